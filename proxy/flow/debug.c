/*
 * See debug.h. Values are made of printable ASCII (what is not is shown as %XX) and are cut at
 * DEBUG_KEY_MAX bytes, so that the head that they are part of stays one that clients take.
 */
#include "flow/debug.h"

#include <openssl/crypto.h>

#include "cache/tags.h"
#include "flow/explain_parts.h"
#include "flow/reply.h"

/* ---- the token -------------------------------------------------------------------------- */

/* Exactly one line, with the token; how long the comparison takes says nothing but its length.
 */
static bool has_token(const struct request *rq)
{
    struct str token = config_settings(rq->config)->debug_token;
    struct str given = msg_get(&rq->msg, FIELD_X_LARDER_DEBUG);
    return token.n > 0 && given.n == token.n && CRYPTO_memcmp(given.p, token.p, token.n) == 0 &&
           msg_count(&rq->msg, FIELD_X_LARDER_DEBUG) == 1;
}

void debug_begin(struct request *rq)
{
    if (!rq->msg.has_debug) {
        return;
    }
    if (has_token(rq) && rq->notes == NULL) {
        rq->debug = true;
        rq->notes = arena_zalloc(&rq->arena, sizeof(*rq->notes));
    }
    msg_remove(&rq->msg, FIELD_X_LARDER_DEBUG);
}

/* ---- values ----------------------------------------------------------------------------- */

/* Appends text up to `room` bytes after `from`; false when it is cut. */
static bool add_clean(struct strbuf *out, size_t from, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (out->n - from > DEBUG_KEY_MAX - 8) {
            strbuf_add_str(out, STR("..."));
            return false;
        }
        if (c >= 0x20 && c < 0x7f) {
            strbuf_add_char(out, (char)c);
        } else {
            strbuf_addf(out, "%%%02X", c);
        }
    }
    return true;
}

/* A whole line. */
static void add_line(struct strbuf *out, const char *name, struct str value)
{
    strbuf_addf(out, "X-Larder-%s: ", name);
    add_clean(out, out->n, value.n > 0 ? value : STR("-"));
    strbuf_add_str(out, STR("\r\n"));
}

/* ---- lines ------------------------------------------------------------------------------ */

static void add_route(struct request *rq, struct strbuf *out)
{
    const struct route_settings *r = rq->route;
    struct str text = STR("-");
    if (r != NULL && r->line > 0) {
        /* The file's place on this machine is nobody's business. */
        const char *slash = memrchr(r->file.p, '/', r->file.n);
        struct str file =
            slash != NULL ? str_skip(r->file, (size_t)(slash - r->file.p) + 1) : r->file;
        text = arena_printf(&rq->arena, "%.*s (%.*s:%u)", STR_ARG(r->label), STR_ARG(file),
                            r->line);
    } else if (r != NULL) {
        text = r->label;
    }
    add_line(out, "Route", text);
}

static void add_identities(struct request *rq, struct strbuf *out)
{
    const struct settings *s = config_settings(rq->config);
    const struct identity_notes *notes = &rq->notes->identity;
    struct strbuf text = {0};
    for (size_t i = 0; rq->identity != NULL && i < s->n_identities; i++) {
        if ((notes->mask >> i & 1) == 0) {
            continue;
        }
        strbuf_addf(&text, "%s%.*s=%s (", text.n > 0 ? ", " : "",
                    STR_ARG(s->identities[i].name),
                    explain_identity_state(notes->each[i].reason));
        explain_identity_how(&s->identities[i], notes->each[i].alg, &text);
        if (notes->each[i].why != NULL) {
            strbuf_addf(&text, ": %s", notes->each[i].why);
        }
        strbuf_add_char(&text, ')');
    }
    if (rq->identity != NULL && rq->route->scope == SCOPE_AUTHENTICATED) {
        strbuf_addf(&text, "%sauthenticated=%s", text.n > 0 ? ", " : "",
                    explain_identity_state(rq->identity->reason));
    }
    add_line(out, "Identity", strbuf_str(&text));
    strbuf_free(&text);
}

static void add_tags(struct request *rq, const struct entry *e, struct strbuf *out)
{
    struct str *list;
    size_t n = explain_tags(rq, e, &list);
    struct strbuf text = {0};
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(&text, "%s%.*s", i > 0 ? ", " : "", STR_ARG(list[i]));
    }
    add_line(out, "Tags", strbuf_str(&text));
    strbuf_free(&text);
}

static void add_names(struct strbuf *out, const char *what, const struct str *list, size_t n)
{
    for (size_t i = 0; i < n && i < KEY_NOTES_MAX; i++) {
        strbuf_addf(out, "%s%.*s", i == 0 ? what : ", ", STR_ARG(list[i]));
    }
}

/* "MISS, expired: the entry was older …; dropped: utm_source" */
static void add_explanation(struct request *rq, const struct entry *e, struct strbuf *out)
{
    const struct key_notes *notes = &rq->notes->key;
    struct str word = reply_result_word(rq->result);
    struct strbuf text = {0};
    strbuf_add_str(&text, word.n > 0 ? word : STR("OWN"));
    if (rq->reason != REASON_NONE) {
        strbuf_addf(&text, ", %.*s: %.*s", STR_ARG(rq->reason_text),
                    STR_ARG(reason_help(rq->reason)));
    }
    if (e != NULL && (rq->result == CACHE_HIT || rq->result == CACHE_STALE)) {
        strbuf_addf(&text, "; from %s", rq->from_redis ? "Redis" : "memory");
    }
    if (rq->collapsed) {
        strbuf_add_str(&text, STR("; of a fetch that was under way"));
    }
    if (rq->notes->problem != NULL) {
        strbuf_addf(&text, "; %s", rq->notes->problem);
    }
    add_names(&text, "; dropped: ", notes->dropped, notes->n_dropped);
    add_names(&text, "; unlisted: ", notes->unlisted, notes->n_unlisted);
    if (rq->vary_names.n > 0) {
        strbuf_addf(&text, "; varies on %.*s", STR_ARG(rq->vary_names));
    }
    add_line(out, "Explain", strbuf_str(&text));
    strbuf_free(&text);
}

static void add_ttl(struct request *rq, struct strbuf *out)
{
    if (rq->route != NULL && rq->route->cached) {
        struct strbuf text = {0};
        explain_ttl(rq->route, &text);
        add_line(out, "Ttl", strbuf_str(&text));
        strbuf_free(&text);
    }
}

struct str debug_lines(struct request *rq, const struct entry *e)
{
    struct strbuf out = {0};
    add_line(&out, "Key", rq->name);
    add_route(rq, &out);
    add_identities(rq, &out);
    add_tags(rq, e, &out);
    add_ttl(rq, &out);
    add_explanation(rq, e, &out);
    struct str lines = arena_dup(&rq->arena, strbuf_str(&out));
    strbuf_free(&out);
    return lines;
}

struct str debug_status_key(const struct request *rq, char out[DEBUG_KEY_MAX])
{
    if (!rq->debug || rq->name.n == 0) {
        return STR("");
    }
    struct strbuf text = {0};
    strbuf_add_str(&text, STR("; key=\""));
    for (size_t i = 0; i < rq->name.n && text.n < DEBUG_KEY_MAX - 8; i++) {
        unsigned char c = (unsigned char)rq->name.p[i];
        if (c == '"' || c == '\\') {
            strbuf_add_char(&text, '\\');
        }
        if (c >= 0x20 && c < 0x7f) {
            strbuf_add_char(&text, (char)c);
        } else {
            strbuf_addf(&text, "%%%02X", c);
        }
    }
    strbuf_add_char(&text, '"');
    size_t n = text.n;
    memcpy(out, text.p, n);
    strbuf_free(&text);
    return str_make(out, n);
}
