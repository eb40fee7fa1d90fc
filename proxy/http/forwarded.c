/*
 * The chain of forwarders, parsed once into nodes from the field that is believed, and written
 * back in both spellings.
 */
#include "http/forwarded.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "http/target.h"
#include "http/token.h"

/* ---- Via --------------------------------------------------------------------------------- */

static char pseudonym[sizeof("larder-00000000")];

static void draw_pseudonym(void)
{
    uint32_t id = (uint32_t)getpid();
    /* Without random bytes the process id tells most instances apart. */
    (void)!getrandom(&id, sizeof(id), GRND_NONBLOCK);
    snprintf(pseudonym, sizeof(pseudonym), "larder-%08x", id);
}

struct str forwarded_pseudonym(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, draw_pseudonym);
    return str_make(pseudonym, sizeof(pseudonym) - 1);
}

/* received-protocol RWS received-by [RWS comment] */
static bool names_us(struct str element)
{
    struct str word;
    if (!str_next(&element, ' ', &word)) {
        return false;
    }
    element = str_trim(element);
    return str_next(&element, ' ', &word) && str_ieq(word, forwarded_pseudonym());
}

bool forwarded_loops(const struct msg *request)
{
    for (size_t i = 0; i < request->n_fields; i++) {
        struct str rest = request->fields[i].value;
        struct str element;
        while (request->fields[i].id == FIELD_VIA && str_next(&rest, ',', &element)) {
            if (names_us(element)) {
                return true;
            }
        }
    }
    return false;
}

static void add_separator(struct strbuf *out)
{
    if (out->n > 0) {
        strbuf_add_str(out, STR(", "));
    }
}

/* Moves the text into the arena; STR_NULL when it is empty. */
static struct str settle(struct strbuf *b, struct arena *a)
{
    struct str s = b->n > 0 ? arena_dup(a, strbuf_str(b)) : STR_NULL;
    strbuf_free(b);
    return s;
}

static struct str build_via(const struct msg *request, struct arena *a)
{
    struct str theirs = msg_joined(request, FIELD_VIA, a);
    struct str version = request->minor == 1 ? STR("1.1 ") : STR("1.0 ");
    struct strbuf out = {0};
    strbuf_add_str(&out, theirs);
    add_separator(&out);
    strbuf_add_str(&out, version);
    strbuf_add_str(&out, forwarded_pseudonym());
    return settle(&out, a);
}

/* ---- the chain --------------------------------------------------------------------------- */

/* Who is named, the first client first. */
struct chain {
    struct str *nodes; /* as written, without quotes */
    size_t n;
    struct str text; /* the field it came from, all lines joined */
    bool from_xff;   /* X-Forwarded-For, else Forwarded */
};

/* An address, with or without port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80. */
static bool parse_node(struct str node, struct addr *out)
{
    if (node.n > 0 && node.p[0] == '[') {
        size_t end = str_index(node, ']');
        struct str after = str_skip(node, end + 1);
        bool good = end < node.n && (after.n == 0 || after.p[0] == ':');
        return good && addr_from_ip(str_make(node.p + 1, end - 1), out);
    }
    size_t colon = str_index(node, ':');
    bool one_colon =
        colon < node.n && str_index(str_skip(node, colon + 1), ':') == node.n - colon - 1;
    return addr_from_ip(one_colon ? str_make(node.p, colon) : node, out);
}

static size_t count_commas(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += s.p[i] == ',';
    }
    return n;
}

static void parse_xff(struct chain *c)
{
    struct str rest = c->text;
    struct str node;
    while (str_next(&rest, ',', &node)) {
        if (node.n > 0) {
            c->nodes[c->n++] = node;
        }
    }
}

/* Takes a token or quoted-string off *s; false when there is neither. Quotes are dropped; no
 * node or host holds an escaped character, so a backslash makes it unusable. */
static bool take_value(struct str *s, struct str *value)
{
    if (s->n == 0 || s->p[0] != '"') {
        size_t n = token_span(*s);
        *value = str_make(s->p, n);
        *s = str_skip(*s, n);
        return n > 0;
    }
    struct str inner = str_skip(*s, 1);
    size_t end = str_index(inner, '"');
    *value = str_make(inner.p, end);
    *s = str_skip(inner, end + 1);
    return end < inner.n && str_index(*value, '\\') == value->n;
}

/* forwarded-element = [ pair ] *( ";" [ pair ] ) (RFC 7239 section 4); *node stays when there
 * is no "for". *s is left at the comma or the end. */
static bool parse_element(struct str *s, struct str *node)
{
    for (;;) {
        *s = str_trim(*s);
        size_t n = token_span(*s);
        if (n > 0) {
            struct str name = str_make(s->p, n);
            struct str value;
            *s = str_skip(*s, n);
            if (s->n == 0 || s->p[0] != '=') {
                return false;
            }
            *s = str_skip(*s, 1);
            if (!take_value(s, &value)) {
                return false;
            }
            if (str_ieq(name, STR("for"))) {
                *node = value;
            }
            *s = str_trim(*s);
        }
        if (s->n == 0 || s->p[0] != ';') {
            return s->n == 0 || s->p[0] == ',';
        }
        *s = str_skip(*s, 1);
    }
}

/* A malformed field is worth nothing: false. */
static bool parse_forwarded(struct chain *c)
{
    struct str rest = c->text;
    for (;;) {
        struct str node = STR_NULL;
        if (!parse_element(&rest, &node)) {
            return false;
        }
        if (node.p != NULL) {
            c->nodes[c->n++] = node;
        }
        if (rest.n == 0) {
            return true;
        }
        rest = str_skip(rest, 1);
    }
}

/* Reads what a trusted peer says; an empty chain when it says nothing usable. */
static void chain_read(const struct msg *request, struct arena *a, struct chain *c)
{
    *c = (struct chain){.from_xff = true};
    c->text = msg_joined(request, FIELD_X_FORWARDED_FOR, a);
    if (c->text.p == NULL) {
        c->from_xff = false;
        c->text = msg_joined(request, FIELD_FORWARDED, a);
    }
    if (c->text.n == 0) {
        return;
    }
    c->nodes = arena_alloc(a, (count_commas(c->text) + 1) * sizeof(*c->nodes));
    if (c->from_xff) {
        parse_xff(c);
    } else if (!parse_forwarded(c)) {
        *c = (struct chain){.from_xff = false};
    }
}

static void chain_client(const struct chain *c, const struct cidr_set *trusted,
                         const struct addr *peer, struct addr *out)
{
    *out = *peer;
    for (size_t i = c->n; i > 0; i--) {
        struct addr node;
        if (!parse_node(c->nodes[i - 1], &node)) {
            return;
        }
        *out = node;
        if (!cidr_match(trusted, &node)) {
            return;
        }
    }
}

void forwarded_client_addr(const struct cidr_set *trusted, const struct addr *peer,
                           const struct msg *request, struct arena *a, struct addr *out)
{
    struct chain c = {.n = 0};
    if (cidr_match(trusted, peer)) {
        chain_read(request, a, &c);
    }
    chain_client(&c, trusted, peer, out);
}

static struct str ip_text(const struct addr *addr, struct arena *a)
{
    char text[ADDR_TEXT_MAX];
    size_t n = addr_ip_text(addr, text);
    return arena_dup(a, str_make(text, n));
}

struct str forwarded_client(const struct cidr_set *trusted, const struct addr *peer,
                            const struct msg *request, struct arena *a)
{
    struct addr client;
    forwarded_client_addr(trusted, peer, request, a, &client);
    return ip_text(&client, a);
}

/* ---- writing ----------------------------------------------------------------------------- */

static bool is_ip(const struct addr *a)
{
    return a->len > 0 && a->u.sa.sa_family != AF_UNIX;
}

static void add_quoted(struct strbuf *out, struct str s)
{
    bool token = token_valid(s);
    strbuf_add_str(out, token ? STR("") : STR("\""));
    strbuf_add_str(out, s);
    strbuf_add_str(out, token ? STR("") : STR("\""));
}

/* for=192.0.2.1, for="[2001:db8::1]", for=unknown (RFC 7239 section 6); no port. */
static void add_for(struct strbuf *out, const struct addr *addr)
{
    char text[ADDR_TEXT_MAX];
    struct str ip = str_make(text, addr_ip_text(addr, text));
    add_separator(out);
    if (!is_ip(addr)) {
        strbuf_add_str(out, addr->len > 0 ? STR("for=_unix") : STR("for=unknown"));
    } else if (str_index(ip, ':') < ip.n) {
        strbuf_add_str(out, STR("for=\"["));
        strbuf_add_str(out, ip);
        strbuf_add_str(out, STR("]\""));
    } else {
        strbuf_add_str(out, STR("for="));
        strbuf_add_str(out, ip);
    }
}

static void add_chain_forwarded(struct strbuf *out, const struct chain *c, struct str proto)
{
    for (size_t i = 0; i < c->n; i++) {
        struct addr node;
        if (!parse_node(c->nodes[i], &node)) {
            node.len = 0;
        }
        add_for(out, &node);
        if (i == 0 && proto.n > 0) {
            strbuf_add_str(out, STR(";proto="));
            strbuf_add_str(out, proto);
        }
    }
}

static void add_chain_xff(struct strbuf *out, const struct chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct addr node;
        char text[ADDR_TEXT_MAX] = "unknown";
        if (parse_node(c->nodes[i], &node)) {
            addr_ip_text(&node, text);
        }
        add_separator(out);
        strbuf_add_str(out, str_from(text));
    }
}

static struct str build_xff(const struct chain *c, const struct addr *peer, struct arena *a)
{
    struct strbuf out = {0};
    if (c->from_xff) {
        strbuf_add_str(&out, c->text);
    } else {
        add_chain_xff(&out, c);
    }
    if (is_ip(peer)) {
        char text[ADDR_TEXT_MAX];
        addr_ip_text(peer, text);
        add_separator(&out);
        strbuf_add_str(&out, str_from(text));
    }
    return settle(&out, a);
}

static struct str build_forwarded(const struct chain *c, const struct addr *peer, bool tls,
                                  struct str host, struct str first_proto, struct arena *a)
{
    struct strbuf out = {0};
    if (c->from_xff) {
        add_chain_forwarded(&out, c, first_proto);
    } else {
        strbuf_add_str(&out, c->text);
    }
    add_for(&out, peer);
    if (host.n > 0) {
        strbuf_add_str(&out, STR(";host="));
        add_quoted(&out, host);
    }
    strbuf_add_str(&out, tls ? STR(";proto=https") : STR(";proto=http"));
    return settle(&out, a);
}

/* The scheme that a trusted peer reports, STR_NULL for anything but one of the two. */
static struct str reported_proto(const struct msg *request)
{
    struct str rest = msg_get(request, FIELD_X_FORWARDED_PROTO);
    struct str first = STR_NULL;
    (void)str_next(&rest, ',', &first);
    if (str_ieq(first, STR("https"))) {
        return STR("https");
    }
    return str_ieq(first, STR("http")) ? STR("http") : STR_NULL;
}

/* The host that a trusted peer reports, if it is one. */
static struct str reported_host(const struct msg *request, struct arena *a)
{
    struct str rest = msg_get(request, FIELD_X_FORWARDED_HOST);
    struct str first = STR_NULL;
    struct host host;
    (void)str_next(&rest, ',', &first);
    return first.n > 0 && host_parse(first, false, a, &host) ? first : STR_NULL;
}

/* The port that a trusted peer reports, else that of the host, else the scheme's. */
static struct str choose_port(struct str reported, struct str host, struct str proto)
{
    uint64_t port;
    if (str_to_u64(reported, 65535, &port) && port > 0) {
        return reported;
    }
    size_t colon = host.n;
    while (colon > 0 && host.p[colon - 1] != ':' && host.p[colon - 1] != ']') {
        colon--;
    }
    struct str own = str_skip(host, colon);
    if (colon > 0 && host.p[colon - 1] == ':' && str_to_u64(own, 65535, &port) && port > 0) {
        return own;
    }
    return str_eq(proto, STR("https")) ? STR("443") : STR("80");
}

void forwarded_build(const struct cidr_set *trusted, const struct addr *peer, bool tls,
                     struct str host, const struct msg *request, struct arena *a,
                     struct forwarded_fields *out)
{
    struct chain c = {.from_xff = true};
    struct str proto = STR_NULL;
    struct str their_host = STR_NULL;
    struct str port = STR_NULL;
    if (cidr_match(trusted, peer)) {
        chain_read(request, a, &c);
        proto = reported_proto(request);
        their_host = reported_host(request, a);
        port = msg_get(request, FIELD_X_FORWARDED_PORT);
    }
    struct addr client;
    chain_client(&c, trusted, peer, &client);
    out->x_real_ip = is_ip(&client) ? ip_text(&client, a) : STR_NULL;
    out->x_forwarded_for = build_xff(&c, peer, a);
    out->forwarded = build_forwarded(&c, peer, tls, host, proto, a);
    out->x_forwarded_proto = proto.n > 0 ? proto : tls ? STR("https") : STR("http");
    out->x_forwarded_host = their_host.n > 0 ? their_host : host.n > 0 ? host : STR_NULL;
    out->x_forwarded_port = choose_port(port, out->x_forwarded_host, out->x_forwarded_proto);
    out->via = build_via(request, a);
}
