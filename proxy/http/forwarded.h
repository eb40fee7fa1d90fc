/*
 * Who asked, through whom: X-Forwarded-For, Forwarded (RFC 7239) and Via (RFC 9110 7.6.3).
 * Reads them where they may be believed, and makes those that are sent to a backend.
 *
 * Trust (hardening H6): what an untrusted peer says is deleted and replaced; what a trusted
 * proxy says is believed and appended to. X-Forwarded-For counts before Forwarded, because load
 * balancers that know only the former pass a client's Forwarded on unchanged; the field that
 * was not believed is made anew from the one that was, so a backend reads one story in both.
 *
 * Pure functions but for the pseudonym, which is drawn once for the process. Any thread.
 */
#ifndef HTTP_FORWARDED_H
#define HTTP_FORWARDED_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/str.h"
#include "http/msg.h"

/* Larder's name in Via: "larder-" and eight random hex digits, so that one Larder behind
 * another is no loop. */
struct str forwarded_pseudonym(void);

/* Does Via name this process already? Then the request goes round in a circle: 508. */
bool forwarded_loops(const struct msg *request);

/*
 * The client's address: the peer's if it is not trusted, else the right-most address in
 * X-Forwarded-For or Forwarded that is not a trusted proxy's, else the left-most one. Anything
 * that is no address (unknown, _hidden, malformed) ends the search at the address to its right.
 * Port 0 unless it is the peer's.
 */
void forwarded_client_addr(const struct cidr_set *trusted, const struct addr *peer,
                           const struct msg *request, struct arena *a, struct addr *out);

/* The same as text ("203.0.113.7", "2001:db8::1", "unix"), in the arena. */
struct str forwarded_client(const struct cidr_set *trusted, const struct addr *peer,
                            const struct msg *request, struct arena *a);

/* Values for the backend; STR_NULL: the field is not sent. All others of these names that came
 * with the request are to be dropped (enum field_flag FIELD_OURS). */
struct forwarded_fields {
    struct str x_forwarded_for;
    struct str x_forwarded_proto; /* "http" or "https": what the first client used */
    struct str x_forwarded_host;
    struct str x_forwarded_port;
    struct str x_real_ip; /* forwarded_client() */
    struct str forwarded;
    struct str via;
};

/* host: what the client asked for, validated, host[:port]; empty when it named none. tls: the
 * connection to this process is. */
void forwarded_build(const struct cidr_set *trusted, const struct addr *peer, bool tls,
                     struct str host, const struct msg *request, struct arena *a,
                     struct forwarded_fields *out);

#endif
