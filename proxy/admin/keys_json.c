/* See keys_json.h. */
#include "admin/keys_json.h"

#include <stdlib.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "base/json_text.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cache/compress.h"

#define INFLATE_MAX (16u * 1024u * 1024u) /* a gzipped body is inflated up to this size */

/* ---- facts ------------------------------------------------------------------------------ */

static const char *state_of(struct entry *e, const struct journal *j, msec_t now)
{
    if ((e->flags & (ENTRY_VARY_MARKER | ENTRY_HIT_FOR_MISS)) != 0) {
        return "marker";
    }
    switch (journal_check(j, e)) {
    case JOURNAL_INVALID: return "invalidated";
    case JOURNAL_SOFT:
    case JOURNAL_UNVERIFIED: return "stale";
    case JOURNAL_VALID: break;
    }
    return entry_freshness(e, now) == ENTRY_FRESH ? "fresh" : "stale";
}

static void add_tags(cJSON *object, struct str rest)
{
    cJSON *tags = cJSON_AddArrayToObject(object, "tags");
    while (rest.n > 0) {
        struct str tag = str_make(rest.p, str_index(rest, '\0'));
        json_push_text(tags, tag);
        rest = str_skip(rest, tag.n + 1);
    }
}

static void add_state(cJSON *o, struct entry *e, const struct journal *j, msec_t now)
{
    msec_t age = entry_age(e, now);
    cJSON_AddStringToObject(o, "state", state_of(e, j, now));
    cJSON_AddNumberToObject(o, "age_seconds", (double)(age / 1000));
    cJSON_AddNumberToObject(o, "ttl_seconds", (double)((entry_lifetime(e) - age) / 1000));
    cJSON_AddNumberToObject(o, "bytes", (double)entry_size(e));
}

cJSON *keys_json_item(struct entry *e, const char *tier, const struct journal *j, msec_t now)
{
    cJSON *o = cJSON_CreateObject();
    bool l1 = tier[1] == '1';
    json_add_text(o, "name", entry_name(e));
    cJSON_AddStringToObject(o, "tier", tier);
    add_state(o, e, j, now);
    cJSON_AddNumberToObject(o, "status", e->status);
    add_tags(o, entry_tags(e));
    /* Deliveries from here; what other nodes send is not counted with the entry. */
    cJSON_AddItemToObject(
        o, "hits",
        l1 ? cJSON_CreateNumber(atomic_load_explicit(&e->hits, memory_order_relaxed))
           : cJSON_CreateNull());
    json_add_text(o, "route", entry_route(e).n > 0 ? entry_route(e) : STR_NULL);
    json_add_text(o, "type", entry_type(e).n > 0 ? entry_type(e) : STR_NULL);
    json_add_text(o, "host", entry_host(e).n > 0 ? entry_host(e) : STR_NULL);
    json_add_text(o, "vary", entry_vary(e).n > 0 ? entry_vary(e) : STR_NULL);
    return o;
}

/* ---- one in full ------------------------------------------------------------------------ */

static void add_field(cJSON *list, struct str name, struct str value)
{
    cJSON *pair = cJSON_CreateArray();
    bool cookie = str_ieq(name, STR("Set-Cookie")) || str_ieq(name, STR("Set-Cookie2"));
    json_push_text(pair, name);
    json_push_text(pair, cookie ? STR("***") : value);
    cJSON_AddItemToArray(list, pair);
}

/* The stored head's lines behind the status line. */
static void add_fields(cJSON *o, const struct entry *e)
{
    cJSON *list = cJSON_AddArrayToObject(o, "headers");
    struct str head = entry_head(e);
    head = str_skip(head, str_index(head, '\n') + 1);
    while (head.n > 0) {
        size_t end = str_index(head, '\n');
        struct str line = str_make(head.p, end);
        head = str_skip(head, end + 1);
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        size_t colon = str_index(line, ':');
        if (colon < line.n) {
            add_field(list, str_make(line.p, colon), str_trim(str_skip(line, colon + 1)));
        }
    }
    if (entry_etag(e).n > 0) {
        add_field(list, STR("ETag"), entry_etag(e));
    }
}

/* Is this text, but for a character that was cut off at its end? */
static bool is_text(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.n) {
        uint32_t code;
        bool plain = (p[i] >= 0x20 && p[i] < 0x7f) || (p[i] >= 0x09 && p[i] <= 0x0d);
        size_t len = plain ? 1 : utf8_sequence(p + i, s.n - i, &code);
        if (len == 0 && (s.n - i > 3 || p[i] < 0xc2)) {
            return false;
        }
        if (len == 0) {
            return true;
        }
        i += len;
    }
    return true;
}

static void add_base64(cJSON *o, struct str body)
{
    unsigned char *text = xmalloc((body.n + 2) / 3 * 4 + 1);
    EVP_EncodeBlock(text, (const unsigned char *)body.p, (int)body.n);
    cJSON_AddStringToObject(o, "body_base64", (const char *)text);
    free(text);
}

/* cJSON escapes what JSON needs; a cut character is left out. */
static void add_text(cJSON *o, struct str body)
{
    while (body.n > 0 && ((unsigned char)body.p[body.n - 1] & 0x80) != 0) {
        uint32_t code;
        size_t back = 1;
        while (back < 4 && back < body.n &&
               ((unsigned char)body.p[body.n - back] & 0xc0) == 0x80) {
            back++;
        }
        if (utf8_sequence((const unsigned char *)body.p + body.n - back, back, &code) == back) {
            break;
        }
        body.n--;
    }
    char *copy = str_dup(body);
    cJSON_AddStringToObject(o, "body", copy);
    free(copy);
}

static void add_body(cJSON *o, const struct entry *e)
{
    struct strbuf inflated = {0};
    struct str body = entry_body(e);
    if (e->coding == ENTRY_GZIP) {
        bool ok =
            e->body_length <= INFLATE_MAX && compress_inflate(body, e->body_length, &inflated);
        body = ok ? strbuf_str(&inflated) : STR_NULL;
    }
    bool whole = body.n <= KEYS_BODY_MAX && (body.p != NULL || e->body_length == 0);
    body.n = body.n <= KEYS_BODY_MAX ? body.n : KEYS_BODY_MAX;
    cJSON_AddNumberToObject(o, "body_bytes", e->body_length);
    cJSON_AddBoolToObject(o, "body_complete", whole);
    if (body.n > 0 && !is_text(body)) {
        cJSON_AddNullToObject(o, "body");
        add_base64(o, body);
    } else {
        add_text(o, body);
        cJSON_AddNullToObject(o, "body_base64");
    }
    strbuf_free(&inflated);
}

cJSON *keys_json_whole(struct entry *e, const char *tier, const struct journal *j, msec_t now)
{
    cJSON *o = keys_json_item(e, tier, j, now);
    bool marker = (e->flags & (ENTRY_VARY_MARKER | ENTRY_HIT_FOR_MISS)) != 0;
    cJSON_AddNumberToObject(o, "stale_ms", (double)entry_stale(e));
    cJSON_AddNumberToObject(o, "stale_if_error_ms", (double)entry_stale_if_error(e));
    cJSON_AddStringToObject(o, "coding", e->coding == ENTRY_GZIP ? "gzip" : "identity");
    add_fields(o, e);
    if (marker) {
        cJSON_AddNullToObject(o, "body");
        cJSON_AddNullToObject(o, "body_base64");
    } else {
        add_body(o, e);
    }
    return o;
}

void keys_json_add_tier(cJSON *object, const char *name, const struct keys_tier *tier,
                        const struct journal *j, msec_t now)
{
    cJSON *o = cJSON_AddObjectToObject(object, name);
    if (tier->entry != NULL) {
        add_state(o, tier->entry, j, now);
        return;
    }
    cJSON_AddStringToObject(o, "state", tier->state);
    if (tier->why != NULL) {
        cJSON_AddStringToObject(o, "why", tier->why);
    }
}
