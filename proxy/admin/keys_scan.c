/*
 * The Redis part of GET /keys: SCAN with a bounded COUNT on a worker's own connection, in the
 * background of its requests, never KEYS. MATCH has only the literal head of the pattern,
 * because a long name stands in Redis with a hash for its end; the pattern itself is matched
 * against the full name, which is in the entry. Of larger values than HEAD_MAX nothing is read
 * but the name in Redis.
 *
 * A cluster is not scanned: its names lie on many masters, and a cursor is one master's.
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
#include "flow/worker.h"

#define COUNT         100          /* asked of each SCAN */
#define HEAD_MAX      (64u * 1024) /* bytes that are read of a value */
#define HEAD_MAX_LAST "65535"      /* the offset of the last of them */
#define ANSWER_MS     2000         /* for one command */
#define LITERAL_MAX   300 /* bytes of the pattern in MATCH: a shortened name keeps more */

/* One name of a SCAN's answer. */
struct found {
    struct scan *scan;
    char *key;           /* in Redis */
    struct entry *entry; /* NULL: not read, or not ours */
    bool large;          /* more than HEAD_MAX */
};

/* A page's scan; on the worker's thread. */
struct scan {
    struct mail mail;
    struct keys_page *page;
    struct redis *redis;
    struct str prefix;
    uint64_t next; /* Redis's cursor behind this answer */
    struct found *list;
    size_t n;
    size_t waiting;
    struct stamp asked;
    char cursor[64]; /* of the next page; empty: none */
    const char *why; /* it failed; else NULL */
};

bool keys_scan_possible(const struct keys_page *page)
{
    const struct redis_tier *t = page->node->redis;
    return t != NULL && redis_tier_settings(t)->target.mode != REDIS_CLUSTER;
}

const char *keys_scan_why_not(const struct keys_page *page)
{
    return page->node->redis == NULL ? "there is no Redis in the configuration"
                                     : "names in a Redis Cluster are not listed";
}

/* ---- ends ------------------------------------------------------------------------------- */

static void forget_list(struct scan *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->list[i].key);
        if (s->list[i].entry != NULL) {
            entry_unref(s->list[i].entry);
        }
    }
    free(s->list);
    s->list = NULL;
    s->n = 0;
}

/* On the control thread. */
static void on_returned(struct mail *m)
{
    struct scan *s = container_of(m, struct scan, mail);
    if (s->why != NULL) {
        keys_page_fail(s->page, 503, s->why);
    } else {
        keys_page_end(s->page, s->cursor[0] != '\0' ? s->cursor : NULL);
    }
    free(s);
}

static void finish(struct scan *s, const char *why)
{
    forget_list(s);
    s->why = why;
    s->mail.fn = on_returned;
    loop_post(s->page->loop, &s->mail);
}

/* ---- names ------------------------------------------------------------------------------ */

static void ask_scan(struct scan *s);

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
        item = keys_json_item(f->entry, "l2", page->node->journal, page->worker->loop->wall);
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

/* The page takes what matches; the answer to the SCAN is complete. */
static void take_answer(struct scan *s)
{
    struct keys_page *page = s->page;
    for (size_t i = (size_t)page->scan_skip; i < s->n; i++) {
        const struct found *f = &s->list[i];
        struct str name = name_of(s, f);
        bool ours = f->entry != NULL || f->large;
        if (!ours || (page->pattern != NULL && !glob_match(str_from(page->pattern), name) &&
                      !glob_match(str_from(page->pattern), entry_base_name(name)))) {
            continue;
        }
        if (page->n == page->limit) {
            snprintf(s->cursor, sizeof(s->cursor), "l2.%" PRIu64 ".%zu", page->scan, i);
            finish(s, NULL);
            return;
        }
        add_item(s, f);
    }
    page->scan = s->next;
    page->scan_skip = 0;
    if (s->next != 0 && page->n < page->limit && page->worker->loop->now < page->until) {
        ask_scan(s);
        return;
    }
    if (s->next != 0) {
        snprintf(s->cursor, sizeof(s->cursor), "l2.%" PRIu64 ".0", s->next);
    }
    finish(s, NULL);
}

/* ---- values ----------------------------------------------------------------------------- */

static void on_value(void *ctx, const struct redis_result *result)
{
    struct found *f = ctx;
    struct scan *s = f->scan;
    if (result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_STRING) {
        struct str bytes = result->reply->text;
        f->large = bytes.n == HEAD_MAX;
        f->entry = f->large ? NULL : entry_decode(bytes);
        if (f->entry != NULL) {
            journal_adopt_stamp(s->page->node->journal, &f->entry->stamp, &s->asked);
        }
    }
    if (--s->waiting == 0) {
        take_answer(s);
    }
}

static void ask_value(struct scan *s, struct found *f)
{
    const struct segment argv[] = {REDIS_ARG("GETRANGE"), redis_arg(str_from(f->key)),
                                   REDIS_ARG("0"), REDIS_ARG(HEAD_MAX_LAST)};
    const struct redis_call call = {.role = REDIS_DATA,
                                    .argv = argv,
                                    .argc = 4,
                                    .key = 1,
                                    .timeout = ANSWER_MS,
                                    .wait = true,
                                    .done = on_value,
                                    .ctx = f};
    if (redis_command(s->redis, &call) == NULL) {
        s->waiting--;
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
        if (key.n > 0 && memchr(key.p, '\0', key.n) == NULL) {
            s->list[s->n++] = (struct found){.scan = s, .key = str_dup(key)};
        }
    }
    return true;
}

static void on_scanned(void *ctx, const struct redis_result *result)
{
    struct scan *s = ctx;
    forget_list(s);
    if (result->outcome != REDIS_ANSWERED || !read_scan(s, result->reply)) {
        finish(s, "Redis does not answer a SCAN");
        return;
    }
    s->asked = journal_stamp(s->page->node->journal);
    s->waiting = s->n + 1; /* one for this function: an answer never comes from inside */
    for (size_t i = 0; i < s->n; i++) {
        ask_value(s, &s->list[i]);
    }
    if (--s->waiting == 0) {
        take_answer(s);
    }
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
    snprintf(cursor, sizeof(cursor), "%" PRIu64, s->page->scan);
    snprintf(count, sizeof(count), "%d", COUNT);
    const struct segment argv[] = {REDIS_ARG("SCAN"),  redis_arg(str_from(cursor)),
                                   REDIS_ARG("MATCH"), redis_arg(strbuf_str(&match)),
                                   REDIS_ARG("COUNT"), redis_arg(str_from(count))};
    const struct redis_call call = {.role = REDIS_DATA,
                                    .argv = argv,
                                    .argc = 6,
                                    .timeout = ANSWER_MS,
                                    .wait = true,
                                    .done = on_scanned,
                                    .ctx = s};
    struct redis_command *c = redis_command(s->redis, &call);
    strbuf_free(&match);
    if (c == NULL) {
        finish(s, "Redis is not there");
    }
}

static void on_arrived(struct mail *m)
{
    struct scan *s = container_of(m, struct scan, mail);
    struct worker *w = s->page->worker;
    if (w->draining || w->redis == NULL) {
        finish(s, "this larder is shutting down");
        return;
    }
    s->redis = redis_worker_redis(w->redis);
    ask_scan(s);
}

void keys_scan(struct keys_page *page)
{
    struct scan *s = xcalloc(1, sizeof(*s));
    s->page = page;
    s->prefix = redis_tier_settings(page->node->redis)->prefix;
    s->mail.fn = on_arrived;
    loop_post(page->worker->loop, &s->mail);
}
