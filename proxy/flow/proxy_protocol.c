/*
 * Both versions, told apart by their first byte:
 *
 *   v1   PROXY SP (TCP4|TCP6) SP src SP dst SP port SP port CRLF | PROXY SP UNKNOWN … CRLF
 *   v2   signature[12] version+command[1] family[1] length[2] addresses TLVs
 *
 * Strict: one space, decimal ports without leading zeros, families that agree with the
 * addresses. Whoever sends this is a machine that was configured to; a deviation is a mistake
 * or an attack, and a byte taken for a header that is not one would be a smuggled request.
 */
#include "flow/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdbool.h>

static const char SIGNATURE[12] = {'\r', '\n', '\r', '\n', '\0', '\r',
                                   '\n', 'Q',  'U',  'I',  'T',  '\n'};

#define V2_FIXED 16 /* signature, version, family, length */

/* ---- version 1 --------------------------------------------------------------------------- */

/* Takes the text before the next space. */
static struct str next_word(struct str *rest)
{
    size_t end = str_index(*rest, ' ');
    struct str word = str_make(rest->p, end);
    *rest = str_skip(*rest, end + 1);
    return word;
}

static bool parse_port(struct str s, uint16_t *port)
{
    uint64_t value;
    if ((s.n > 1 && s.p[0] == '0') || !str_to_u64(s, 65535, &value)) {
        return false;
    }
    *port = (uint16_t)value;
    return true;
}

static bool parse_ip(struct str s, bool v6, struct addr *out)
{
    bool colon = str_index(s, ':') < s.n;
    return colon == v6 && addr_from_ip(s, out);
}

/* What follows "PROXY TCP4 " or "PROXY TCP6 ". */
static bool parse_v1_addresses(struct str s, bool v6, struct addr *src, struct addr *dst)
{
    struct str from = next_word(&s);
    struct str to = next_word(&s);
    struct str from_port = next_word(&s);
    uint16_t sport;
    uint16_t dport;
    if (!parse_ip(from, v6, src) || !parse_ip(to, v6, dst) || !parse_port(from_port, &sport) ||
        !parse_port(s, &dport)) {
        return false;
    }
    addr_set_port(src, sport);
    addr_set_port(dst, dport);
    return true;
}

static enum pp_result parse_v1(struct str bytes, struct addr *src, struct addr *dst,
                               size_t *consumed)
{
    const struct str prefix = STR("PROXY ");
    size_t known = bytes.n < prefix.n ? bytes.n : prefix.n;
    if (memcmp(bytes.p, prefix.p, known) != 0) {
        return PP_BAD;
    }
    struct str line = str_make(bytes.p, bytes.n < PP_V1_MAX ? bytes.n : PP_V1_MAX);
    line.n = str_index(line, '\r');
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] < ' ' || line.p[i] > '~') {
            return PP_BAD;
        }
    }
    if (line.n + 2 > PP_V1_MAX) {
        return PP_BAD; /* a line that long has no end in time */
    }
    if (line.n + 1 >= bytes.n) {
        return PP_NEED_MORE;
    }
    if (bytes.p[line.n + 1] != '\n' || line.n < prefix.n) {
        return PP_BAD;
    }
    *consumed = line.n + 2;
    struct str rest = str_skip(line, prefix.n);
    struct str family = next_word(&rest);
    if (str_eq(family, STR("UNKNOWN"))) {
        return PP_LOCAL; /* the rest of the line is to be ignored (2.1) */
    }
    bool v6 = str_eq(family, STR("TCP6"));
    bool good = v6 || str_eq(family, STR("TCP4"));
    return good && parse_v1_addresses(rest, v6, src, dst) ? PP_OK : PP_BAD;
}

/* ---- version 2 --------------------------------------------------------------------------- */

static uint16_t read_u16(const char *p)
{
    return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

/* By way of text: IPv4-mapped addresses become IPv4 like everywhere else. */
static bool set_ip(int family, const char *ip, const char *port, struct addr *out)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, ip, text, sizeof(text)) == NULL ||
        !addr_from_ip(str_from(text), out)) {
        return false;
    }
    addr_set_port(out, read_u16(port));
    return true;
}

static void set_unix(const char *path, struct addr *out)
{
    memset(out, 0, sizeof(*out));
    out->u.un.sun_family = AF_UNIX;
    size_t n = str_index(str_make(path, sizeof(out->u.un.sun_path) - 1), '\0');
    memcpy(out->u.un.sun_path, path, n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
}

/* p: the n bytes after the fixed part. */
static enum pp_result parse_v2_addresses(uint8_t family, const char *p, size_t n,
                                         struct addr *src, struct addr *dst)
{
    switch (family) {
    case 0x00: return PP_LOCAL; /* UNSPEC: nothing is said (2.2) */
    case 0x11:                  /* TCP over IPv4: 4 + 4 + 2 + 2 bytes */
        return n >= 12 && set_ip(AF_INET, p, p + 8, src) && set_ip(AF_INET, p + 4, p + 10, dst)
                   ? PP_OK
                   : PP_BAD;
    case 0x21: /* TCP over IPv6: 16 + 16 + 2 + 2 bytes */
        return n >= 36 && set_ip(AF_INET6, p, p + 32, src) &&
                       set_ip(AF_INET6, p + 16, p + 34, dst)
                   ? PP_OK
                   : PP_BAD;
    case 0x31: /* stream over a Unix socket: two paths of 108 bytes */
        if (n < 216) {
            return PP_BAD;
        }
        set_unix(p, src);
        set_unix(p + 108, dst);
        return PP_OK;
    default: return PP_BAD;
    }
}

static enum pp_result parse_v2(struct str bytes, struct addr *src, struct addr *dst,
                               size_t *consumed)
{
    size_t known = bytes.n < sizeof(SIGNATURE) ? bytes.n : sizeof(SIGNATURE);
    if (memcmp(bytes.p, SIGNATURE, known) != 0) {
        return PP_BAD;
    }
    uint8_t command = bytes.n > 12 ? (uint8_t)bytes.p[12] : 0x20;
    if (command != 0x20 && command != 0x21) {
        return PP_BAD;
    }
    if (bytes.n < V2_FIXED) {
        return PP_NEED_MORE;
    }
    size_t length = read_u16(bytes.p + 14);
    if (V2_FIXED + length > PP_V2_MAX) {
        return PP_BAD;
    }
    if (bytes.n < V2_FIXED + length) {
        return PP_NEED_MORE;
    }
    *consumed = V2_FIXED + length;
    if (command == 0x20) {
        return PP_LOCAL;
    }
    return parse_v2_addresses((uint8_t)bytes.p[13], bytes.p + V2_FIXED, length, src, dst);
}

enum pp_result pp_parse(struct str bytes, struct addr *src, struct addr *dst, size_t *consumed)
{
    *consumed = 0;
    if (bytes.n == 0) {
        return PP_NEED_MORE;
    }
    enum pp_result result;
    size_t n = 0;
    if (bytes.p[0] == SIGNATURE[0]) {
        result = parse_v2(bytes, src, dst, &n);
    } else {
        result = parse_v1(bytes, src, dst, &n);
    }
    if (result == PP_OK || result == PP_LOCAL) {
        *consumed = n;
    }
    return result;
}

size_t pp_safe_read(struct str bytes)
{
    const size_t shortest = sizeof("PROXY UNKNOWN\r\n") - 1;
    if (bytes.n < shortest) {
        return shortest - bytes.n;
    }
    if (bytes.p[0] != SIGNATURE[0]) {
        return 1; /* a line: its end is only known when it is there */
    }
    size_t total = bytes.n < V2_FIXED ? V2_FIXED : V2_FIXED + read_u16(bytes.p + 14);
    return total > bytes.n ? total - bytes.n : 1;
}
