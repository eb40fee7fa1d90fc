/*
 * The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt): who the peer of a
 * load balancer is. A pure parser over the first bytes of a connection; that they come from a
 * peer which may say so (proxy_protocol_from) is the listener's to check.
 */
#ifndef FLOW_PROXY_PROTOCOL_H
#define FLOW_PROXY_PROTOCOL_H

#include <stddef.h>

#include "base/addr.h"
#include "base/str.h"

#define PP_V1_MAX 107  /* bytes of a version 1 line with its CRLF */
#define PP_V2_MAX 4096 /* bytes of a version 2 header that are accepted, TLVs included */

enum pp_result {
    PP_NEED_MORE, /* a header may begin so; nothing is consumed */
    PP_OK,        /* src, dst and consumed are set */
    PP_LOCAL,     /* the sender speaks for itself or does not know (LOCAL, UNSPEC, UNKNOWN): the
                     socket's addresses hold; consumed is set */
    PP_BAD,       /* not a header: the connection must be closed */
};

/*
 * Parses a header at the start of `bytes`, all that was received so far. TLVs are skipped.
 * Datagram families are PP_BAD: this is a stream. Once decided, more bytes change nothing.
 */
enum pp_result pp_parse(struct str bytes, struct addr *src, struct addr *dst, size_t *consumed)
    __attribute__((warn_unused_result));

/*
 * How many bytes may be read after `bytes`, the incomplete beginning of a header, without going
 * beyond its end: at least 1. Where TLS follows the header, its first byte must be left for it.
 */
size_t pp_safe_read(struct str bytes);

#endif
