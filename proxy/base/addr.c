/*
 * Addresses. Every comparison is made on 16 bytes, IPv4 as ::ffff:a.b.c.d, so that a dual-stack
 * listener and a plain one see the same peer as the same.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static const struct sockaddr_in *as_in4(const struct addr *a)
{
    return (const struct sockaddr_in *)(const void *)&a->u.ss;
}

static const struct sockaddr_in6 *as_in6(const struct addr *a)
{
    return (const struct sockaddr_in6 *)(const void *)&a->u.ss;
}

/* The 16 comparable bytes; false for Unix sockets and unset addresses. */
static bool addr_bytes(const struct addr *a, uint8_t out[16])
{
    if (a->len == 0) {
        return false;
    }
    if (a->u.sa.sa_family == AF_INET) {
        memcpy(out, v4_prefix, sizeof(v4_prefix));
        memcpy(out + 12, &as_in4(a)->sin_addr, 4);
        return true;
    }
    if (a->u.sa.sa_family == AF_INET6) {
        memcpy(out, &as_in6(a)->sin6_addr, 16);
        return true;
    }
    return false;
}

static void addr_from_bytes(const uint8_t ip[16], struct addr *out)
{
    memset(out, 0, sizeof(*out));
    if (memcmp(ip, v4_prefix, sizeof(v4_prefix)) == 0) {
        struct sockaddr_in *in4 = (struct sockaddr_in *)&out->u.ss;
        in4->sin_family = AF_INET;
        memcpy(&in4->sin_addr, ip + 12, 4);
        out->len = sizeof(*in4);
        return;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->u.ss;
    in6->sin6_family = AF_INET6;
    memcpy(&in6->sin6_addr, ip, 16);
    out->len = sizeof(*in6);
}

static bool ip_bytes(struct str text, uint8_t out[16], bool *v4)
{
    char z[INET6_ADDRSTRLEN + 1];
    if (text.n == 0 || text.n >= sizeof(z) || memchr(text.p, '\0', text.n) != NULL) {
        return false;
    }
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    struct in_addr in4;
    *v4 = inet_pton(AF_INET, z, &in4) == 1;
    if (*v4) {
        memcpy(out, v4_prefix, sizeof(v4_prefix));
        memcpy(out + 12, &in4, 4);
        return true;
    }
    return inet_pton(AF_INET6, z, out) == 1;
}

bool addr_from_ip(struct str text, struct addr *out)
{
    uint8_t ip[16];
    bool v4;
    if (!ip_bytes(text, ip, &v4)) {
        return false;
    }
    addr_from_bytes(ip, out);
    return true;
}

static bool parse_unix(struct str path, struct addr *out, const char **why)
{
    if (path.n == 0 || path.n >= sizeof(out->u.un.sun_path)) {
        *why = path.n == 0 ? "the socket path is empty" : "the socket path is too long";
        return false;
    }
    if (memchr(path.p, '\0', path.n) != NULL) {
        *why = "the socket path holds a NUL";
        return false;
    }
    memset(out, 0, sizeof(*out));
    out->u.un.sun_family = AF_UNIX;
    memcpy(out->u.un.sun_path, path.p, path.n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    return true;
}

bool addr_parse(struct str text, struct addr *out, const char **why)
{
    if (str_starts(text, STR("unix:"))) {
        return parse_unix(str_skip(text, 5), out, why);
    }
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':') {
        colon--;
    }
    uint64_t port;
    if (colon == 0 || !str_to_u64(str_skip(text, colon), 65535, &port)) {
        *why = "expected ADDRESS:PORT with a port of 0-65535";
        return false;
    }
    struct str host = str_make(text.p, colon - 1);
    bool bracketed = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (bracketed) {
        host = str_make(host.p + 1, host.n - 2);
    } else if (str_eq(host, STR("*")) || host.n == 0) {
        host = STR("0.0.0.0");
    }
    /* By its spelling, not its family: [::ffff:127.0.0.1] becomes IPv4. */
    bool v6_spelling = str_index(host, ':') < host.n;
    if (v6_spelling != bracketed || !addr_from_ip(host, out)) {
        *why = "expected a numeric address: 127.0.0.1:80, [::1]:80, *:80 or unix:/path";
        return false;
    }
    addr_set_port(out, (uint16_t)port);
    return true;
}

bool cidr_parse(struct str text, struct cidr *out)
{
    bool v4;
    size_t slash = str_index(text, '/');
    if (str_eq(text, STR("unix"))) {
        memset(out, 0, sizeof(*out));
        out->bits = 255;
        return true;
    }
    if (!ip_bytes(str_make(text.p, slash), out->ip, &v4)) {
        return false;
    }
    uint64_t bits = v4 ? 32 : 128;
    if (slash < text.n && !str_to_u64(str_skip(text, slash + 1), bits, &bits)) {
        return false;
    }
    out->bits = (uint8_t)(v4 ? bits + 96 : bits);
    return true;
}

static bool cidr_holds(const struct cidr *c, const uint8_t ip[16])
{
    if (c->bits > 128) {
        return false;
    }
    /* ::/0 or ::1/64 mean IPv6: they must not hold every IPv4 peer by way of ::ffff:0:0/96. */
    if (c->bits < 96 && memcmp(ip, v4_prefix, sizeof(v4_prefix)) == 0) {
        return false;
    }
    size_t whole = c->bits / 8;
    unsigned rest = c->bits % 8;
    if (memcmp(c->ip, ip, whole) != 0) {
        return false;
    }
    return rest == 0 || ((c->ip[whole] ^ ip[whole]) >> (8 - rest)) == 0;
}

bool cidr_match(const struct cidr_set *set, const struct addr *peer)
{
    uint8_t ip[16];
    bool is_ip = addr_bytes(peer, ip);
    bool is_unix = peer->len > 0 && peer->u.sa.sa_family == AF_UNIX;
    for (size_t i = 0; i < set->n; i++) {
        const struct cidr *c = &set->list[i];
        if ((is_ip && cidr_holds(c, ip)) || (is_unix && c->bits == 255)) {
            return true;
        }
    }
    return false;
}

/* Dotted decimal without printf: this is on the way of every logged or forwarded request. */
static size_t v4_text(const uint8_t ip[4], char *out)
{
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0) {
            out[n++] = '.';
        }
        n += u64_to_dec(ip[i], out + n);
    }
    out[n] = '\0';
    return n;
}

size_t addr_ip_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    uint8_t ip[16];
    if (!addr_bytes(a, ip)) {
        return (size_t)snprintf(out, ADDR_TEXT_MAX, "%s", a->len > 0 ? "unix" : "unknown");
    }
    if (memcmp(ip, v4_prefix, sizeof(v4_prefix)) == 0) {
        return v4_text(ip + 12, out);
    }
    inet_ntop(AF_INET6, ip, out, ADDR_TEXT_MAX);
    return strlen(out);
}

size_t addr_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    char ip[ADDR_TEXT_MAX];
    addr_ip_text(a, ip);
    if (a->len > 0 && a->u.sa.sa_family == AF_UNIX) {
        /* The kernel's path may fill sun_path without a NUL. */
        size_t room = a->len - offsetof(struct sockaddr_un, sun_path);
        return (size_t)snprintf(out, ADDR_TEXT_MAX, "unix:%.*s", (int)room, a->u.un.sun_path);
    }
    const char *format = strchr(ip, ':') != NULL ? "[%.100s]:%u" : "%.100s:%u";
    return (size_t)snprintf(out, ADDR_TEXT_MAX, format, ip, (unsigned)addr_port(a));
}

uint16_t addr_port(const struct addr *a)
{
    if (a->len > 0 && a->u.sa.sa_family == AF_INET) {
        return ntohs(as_in4(a)->sin_port);
    }
    if (a->len > 0 && a->u.sa.sa_family == AF_INET6) {
        return ntohs(as_in6(a)->sin6_port);
    }
    return 0;
}

void addr_set_port(struct addr *a, uint16_t port)
{
    if (a->u.sa.sa_family == AF_INET) {
        ((struct sockaddr_in *)&a->u.ss)->sin_port = htons(port);
    } else if (a->u.sa.sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)&a->u.ss)->sin6_port = htons(port);
    }
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    uint8_t x[16], y[16];
    bool ip = addr_bytes(a, x);
    if (ip != addr_bytes(b, y)) {
        return false;
    }
    if (ip) {
        return memcmp(x, y, 16) == 0 && addr_port(a) == addr_port(b);
    }
    return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

void addr_shorten(const struct addr *a, struct addr_brief *out)
{
    size_t n = a->len;
    if (n > 0 && a->u.sa.sa_family == AF_UNIX) {
        n = sizeof(sa_family_t);
    }
    out->len = (uint8_t)(n <= sizeof(out->bytes) ? n : 0);
    memcpy(out->bytes, &a->u, out->len);
}

void addr_restore(const struct addr_brief *b, struct addr *out)
{
    out->len = b->len;
    memcpy(&out->u, b->bytes, b->len);
}
