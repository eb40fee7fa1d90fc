/*
 * Socket addresses and CIDR sets: parsing, printing, matching. No name resolution here.
 * IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) are treated as IPv4 everywhere.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

/* One socket address of any family used here. */
struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_storage ss;
        struct sockaddr_un un;
    } u;
    socklen_t len; /* 0: unset */
};

/* The same where there are many: an IP address with its port, or that it is a Unix socket. */
struct addr_brief {
    uint8_t len; /* 0: unset */
    uint8_t bytes[sizeof(struct sockaddr_in6)];
};

/* An address range. */
struct cidr {
    uint8_t ip[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;   /* prefix length counted on the 128 bits */
};

/* A set of ranges; plain data, owned by whoever holds the settings. */
struct cidr_set {
    struct cidr *list;
    size_t n;
};

/* "127.0.0.1:80", "[::1]:80", "*:80", "unix:/path"; numeric only. False with a reason in *why.
 */
bool addr_parse(struct str text, struct addr *out, const char **why);

/* "IP", "IP/bits", "unix" (a Unix-socket peer). False when malformed. An IPv6 range never holds
 * IPv4 peers, unless it lies within ::ffff:0:0/96. */
bool cidr_parse(struct str text, struct cidr *out);

/* Does the set hold this peer? Never for an unset address. */
bool cidr_match(const struct cidr_set *set, const struct addr *peer);

/* The IP without port ("203.0.113.7", "2001:db8::1", "unix"), NUL-terminated. */
#define ADDR_TEXT_MAX 128
size_t addr_ip_text(const struct addr *a, char out[ADDR_TEXT_MAX]);

/* "IP:port", "[v6]:port" or "unix:/path", NUL-terminated. */
size_t addr_text(const struct addr *a, char out[ADDR_TEXT_MAX]);

uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_eq(const struct addr *a, const struct addr *b);

/* An IP literal without port and brackets ("127.0.0.1", "::1"), port 0. False when it is none.
 */
bool addr_from_ip(struct str text, struct addr *out);

/* Of a Unix socket's address only the family stays. */
void addr_shorten(const struct addr *a, struct addr_brief *out);
void addr_restore(const struct addr_brief *b, struct addr *out);

#endif
