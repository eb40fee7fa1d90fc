/*
 * The Redis part of GET /keys: SCAN with a bounded COUNT, never KEYS, on connections of the
 * control thread: a listing is never in front of a request's commands, nor on a worker's CPU.
 * MATCH has only the literal head of the pattern, because a long name stands in Redis with a
 * hash for its end; the pattern itself is matched against the full name, which is in the entry.
 * Of larger values than HEAD_MAX nothing is read but the name in Redis.
 *
 * In a cluster one master is scanned after the other, in the order of their first slots. What
 * is moved between masters meanwhile may be missed or come twice. A cursor that another server
 * (or another life of it) gave means nothing: the master is scanned again from its beginning,
 * so that names come twice rather than not at all.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "admin/keys.h"
#include "admin/keys_json.h"
#include "base/json_text.h"
#include "base/mem.h"
#include "cache/glob.h"
#include "cache/redis.h"
#include "flow/node.h"
#include "flow/redis_tier.h"

#define COUNT       100          /* asked of each SCAN */
#define BATCH       16           /* values asked at once: a megabyte of answers at most */
#define HEAD_MAX    (64u * 1024) /* bytes that are read of a value */
#define LITERAL_MAX 300 /* bytes of the pattern in MATCH: a shortened name keeps more */
#define MASTERS_MAX 512

/* One name of a SCAN's answer. */
struct found {
    struct scan *scan;
    struct redis_command *command; /* reads its value; NULL: not now */
    char *key;                     /* in Redis */
    struct entry *entry;           /* NULL: not read, or not ours */
    bool large;                    /* more than HEAD_MAX */
};

/* A page's scan. */
struct scan {
    struct keys_page *page;
    struct redis *redis;
    struct str prefix;
    struct redis_command *command; /* the SCAN under way, or NULL */
    uint64_t next;                 /* Redis's cursor behind this answer */
    struct found *list;
    size_t n;
    size_t n_asked; /* of them */
    size_t waiting; /* of these */
    struct stamp asked;
};

static void ask_scan(struct scan *s);

/* ---- ends ------------------------------------------------------------------------------- */

static void forget_list(struct scan *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->list[i].command != NULL) {
            redis_cancel(s->list[i].command);
        }
        free(s->list[i].key);
        if (s->list[i].entry != NULL) {
            entry_unref(s->list[i].entry);
        }
    }
    free(s->list);
    s->list = NULL;
    s->n = s->n_asked = 0;
}

void keys_scan_stop(struct keys_page *page)
{
    struct scan *s = page->scanning;
    if (s->command != NULL) {
        redis_cancel(s->command);
    }
    forget_list(s);
    free(s);
    page->scanning = NULL;
}

static void finish(struct scan *s, bool more)
{
    struct keys_page *page = s->page;
    const struct keys_scan_place *p = &page->scan;
    char cursor[100];
    keys_scan_stop(page);
    snprintf(cursor, sizeof(cursor), "l2.%" PRIu64 ".%" PRIu64 ".%" PRIu64 ".%" PRIu64, p->slot,
             p->connection, p->cursor, p->after);
    keys_page_end(page, more ? cursor : NULL);
}

/* On to the master with the next higher first slot; false when there is none. */
static bool next_master(struct scan *s)
{
    uint16_t slots[MASTERS_MAX];
    size_t n = redis_masters(s->redis, 0, slots, MASTERS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (slots[i] > s->page->scan.slot) {
            s->page->scan = (struct keys_scan_place){.slot = slots[i]};
            return true;
        }
    }
    return false;
}

/* After an answer, or when there will be none: more of this page, or its end. */
static void go_on(struct scan *s, bool more)
{
    const struct keys_page *page = s->page;
    more = more || next_master(s);
    if (more && page->n < page->limit && page->loop->now < page->until) {
        ask_scan(s);
    } else {
        finish(s, more);
    }
}

/* ---- names ------------------------------------------------------------------------------ */

/* The full name, or as much of it as stands in Redis. */
static struct str name_of(const struct scan *s, const struct found *f)
{
    return f->entry != NULL ? entry_name(f->entry)
                            : str_skip(str_from(f->key), s->prefix.n + 1);
}

static void add_item(struct scan *s, const struct found *f)
{
    struct keys_page *page = s->page;
    cJSON *item;
    if (f->entry != NULL) {
        item = keys_json_item(f->entry, "l2", page->node->journal, page->loop->wall);
    } else {
        item = cJSON_CreateObject();
        json_add_text(item, "name", name_of(s, f));
        cJSON_AddStringToObject(item, "tier", "l2");
        cJSON_AddNullToObject(item, "state");
    }
    json_add_text(item, "redis", str_from(f->key));
    cJSON_AddItemToArray(page->keys, item);
    page->n++;
}

static uint64_t hash_of(const struct found *f)
{
    return entry_hash(str_from(f->key), STR(""));
}

/* The first name that was not given out by the page before. Names may have come and gone since;
 * without that page's last one all of them come again. */
static size_t first_new(const struct scan *s)
{
    uint64_t after = s->page->scan.after;
    for (size_t i = 0; after != 0 && i < s->n; i++) {
        if (hash_of(&s->list[i]) == after) {
            return i + 1;
        }
    }
    return 0;
}

/* The page takes what matches; the answer to the SCAN is complete. */
static void take_answer(struct scan *s)
{
    struct keys_page *page = s->page;
    for (size_t i = first_new(s); i < s->n; i++) {
        const struct found *f = &s->list[i];
        struct str name = name_of(s, f);
        bool ours = f->entry != NULL || f->large;
        if (!ours || (page->pattern != NULL && !glob_match(str_from(page->pattern), name) &&
                      !glob_match(str_from(page->pattern), entry_base_name(name)))) {
            continue;
        }
        if (page->n == page->limit) {
            page->scan.after = i > 0 ? hash_of(&s->list[i - 1]) : 0;
            finish(s, true);
            return;
        }
        add_item(s, f);
    }
    page->scan.cursor = s->next;
    page->scan.after = 0;
    go_on(s, s->next != 0);
}

/* ---- values ----------------------------------------------------------------------------- */

static void ask_batch(struct scan *s);

static void note_missing(struct scan *s, const char *what)
{
    snprintf(s->page->missing, sizeof(s->page->missing), "%s", what);
}

static void on_value(void *ctx, const struct redis_result *result)
{
    struct found *f = ctx;
    struct scan *s = f->scan;
    f->command = NULL;
    if (result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_STRING) {
        struct str bytes = result->reply->text;
        f->large = bytes.n == HEAD_MAX;
        f->entry = f->large ? NULL : entry_decode(bytes);
        if (f->entry != NULL) {
            journal_adopt_stamp(s->page->node->journal, &f->entry->stamp, &s->asked);
        }
    } else if (result->outcome != REDIS_DENIED ||
               result->reply->error != REDIS_E_WRONGTYPE) { /* that is not ours */
        note_missing(s, "some names in Redis: it did not answer for their values");
    }
    if (--s->waiting == 0) {
        ask_batch(s);
    }
}

struct redis_command *keys_read(struct redis *redis, struct str key, size_t bytes,
                                redis_done_fn *done, void *ctx)
{
    char last[20];
    const struct segment argv[] = {REDIS_ARG("GETRANGE"), redis_arg(key), REDIS_ARG("0"),
                                   redis_arg(str_make(last, u64_to_dec(bytes - 1, last)))};
    const struct redis_call call = {.role = REDIS_LOOK,
                                    .argv = argv,
                                    .argc = 4,
                                    .key = 1,
                                    .timeout = KEYS_ANSWER_MS,
                                    .wait = true,
                                    .done = done,
                                    .ctx = ctx};
    return redis_command(redis, &call);
}

static void ask_value(struct scan *s, struct found *f)
{
    f->command = keys_read(s->redis, str_from(f->key), HEAD_MAX, on_value, f);
    if (f->command != NULL) {
        s->waiting++;
    } else {
        note_missing(s, "some names in Redis: it did not answer for their values");
    }
}

/* The next names' values; after the last ones the answer is complete. An answer never comes
 * from inside. */
static void ask_batch(struct scan *s)
{
    while (s->n_asked < s->n && s->waiting < BATCH) {
        ask_value(s, &s->list[s->n_asked++]);
    }
    if (s->waiting == 0) {
        take_answer(s);
    }
}

/* ---- scanning --------------------------------------------------------------------------- */

/* ["cursor", ["key", …]]; false when it is not. */
static bool read_scan(struct scan *s, const struct redis_reply *r)
{
    if (r->type != REDIS_ARRAY || r->n_items != 2 || r->items[1]->type != REDIS_ARRAY ||
        !str_to_u64(r->items[0]->text, UINT64_MAX, &s->next)) {
        return false;
    }
    const struct redis_reply *keys = r->items[1];
    s->list = xcalloc(keys->n_items + 1, sizeof(*s->list));
    for (size_t i = 0; i < keys->n_items; i++) {
        struct str key = keys->items[i]->text;
        if (key.n > s->prefix.n && memchr(key.p, '\0', key.n) == NULL) {
            s->list[s->n++] = (struct found){.scan = s, .key = str_dup(key)};
        }
    }
    return true;
}

/* A cluster has other masters; a page of both tiers has what is in memory. */
static void scan_failed(struct scan *s, const char *why)
{
    struct keys_page *page = s->page;
    char text[sizeof(page->missing)];
    uint16_t slot;
    bool cluster = redis_tier_settings(page->node->redis)->target.mode == REDIS_CLUSTER;
    if (cluster && redis_masters(s->redis, 0, &slot, 1) > 0) {
        snprintf(text, sizeof(text), "names of the master of slot %" PRIu64 ": %s",
                 page->scan.slot, why);
        note_missing(s, text);
        go_on(s, false);
    } else if (page->l2_only) {
        keys_scan_stop(page);
        keys_page_fail(page, 503, why);
    } else {
        snprintf(text, sizeof(text), "names in Redis: %s", why);
        note_missing(s, text);
        finish(s, false);
    }
}

static void on_scanned(void *ctx, const struct redis_result *result)
{
    struct scan *s = ctx;
    struct keys_scan_place *p = &s->page->scan;
    s->command = NULL;
    forget_list(s);
    if (result->outcome != REDIS_ANSWERED || !read_scan(s, result->reply)) {
        scan_failed(s, result->outcome == REDIS_DENIED ? "Redis refuses SCAN"
                                                       : "Redis does not answer a SCAN");
        return;
    }
    bool foreign = p->cursor != 0 && p->connection != result->connection;
    p->connection = result->connection;
    if (foreign) {
        p->cursor = p->after = 0;
        forget_list(s);
        go_on(s, true);
        return;
    }
    s->asked = journal_stamp(s->page->node->journal);
    ask_batch(s);
}

/* prefix:LITERAL*, what is special in it escaped. */
static void write_match(const struct scan *s, struct strbuf *out)
{
    struct glob_parts parts = {0};
    if (s->page->pattern != NULL) {
        glob_parse(str_from(s->page->pattern), &parts);
    }
    size_t n = parts.head.n < LITERAL_MAX ? parts.head.n : LITERAL_MAX;
    strbuf_add_str(out, s->prefix);
    strbuf_add_char(out, ':');
    for (size_t i = 0; i < n; i++) {
        if (strchr("*?[]\\", parts.head.p[i]) != NULL) {
            strbuf_add_char(out, '\\');
        }
        strbuf_add_char(out, parts.head.p[i]);
    }
    strbuf_add_char(out, '*');
}

static void ask_scan(struct scan *s)
{
    char cursor[24], count[12];
    struct strbuf match = {0};
    write_match(s, &match);
    snprintf(cursor, sizeof(cursor), "%" PRIu64, s->page->scan.cursor);
    snprintf(count, sizeof(count), "%d", COUNT);
    const struct segment argv[] = {REDIS_ARG("SCAN"),  redis_arg(str_from(cursor)),
                                   REDIS_ARG("MATCH"), redis_arg(strbuf_str(&match)),
                                   REDIS_ARG("COUNT"), redis_arg(str_from(count))};
    const struct redis_call call = {.role = REDIS_LOOK,
                                    .argv = argv,
                                    .argc = 6,
                                    .at_slot = true,
                                    .slot = (uint16_t)s->page->scan.slot,
                                    .timeout = KEYS_ANSWER_MS,
                                    .wait = true,
                                    .done = on_scanned,
                                    .ctx = s};
    s->command = redis_command(s->redis, &call);
    strbuf_free(&match);
    if (s->command == NULL) {
        scan_failed(s, "there is no connection to Redis");
    }
}

void keys_scan(struct keys_page *page)
{
    struct scan *s = xcalloc(1, sizeof(*s));
    s->page = page;
    s->redis = redis_tier_look(page->node->redis, page->loop);
    s->prefix = redis_tier_settings(page->node->redis)->prefix;
    page->scanning = s;
    ask_scan(s);
}
