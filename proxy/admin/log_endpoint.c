/*
 * GET /log: the workers' last requests in the order of time, in the form of the JSON access log
 * (which hides secrets). A cursor holds the time of this process's start and, for each worker,
 * the number of its next record: "19aa0c.15.42" is two workers'. That of another process has
 * no place here: then everything is new, and `restarted` says so. `missed` counts records since
 * the cursor that are gone, `skipped` hits since the start that came too fast to be kept
 * (recent_wants).
 */
#include <stdlib.h>
#include <string.h>

#include "admin/table.h"
#include "base/mem.h"
#include "flow/accesslog_line.h"
#include "flow/recent.h"
#include "flow/worker.h"

#define SHOWN     50
#define SHOWN_MAX 1000

/* What is asked for; empty texts match everything. The route as records keep it. */
struct filter {
    struct str route, cache, reason;
};

/* Records found, and where the next call goes on. */
struct found {
    struct recent_copy **list; /* on the heap */
    size_t n;
    uint64_t missed;
    uint64_t skipped; /* since the start */
    bool restarted;   /* the cursor was another process's */
};

static struct str query_text(const struct admin_call *call, const char *name)
{
    const char *value = admin_query(call, name);
    return value != NULL ? str_from(value) : STR("");
}

/* The start, and a number for each worker, all between dots; *restarted: of another process,
 * whose numbers say nothing. False for what was never given out. */
static bool read_cursor(const char *text, const struct admin_context *x, uint64_t *from,
                        bool *restarted)
{
    struct str rest = str_from(text), part;
    char *end;
    unsigned long long started = strtoull(text, &end, 16);
    size_t i = 0;
    if (end == text || *end != '.') {
        return false;
    }
    rest = str_skip(rest, (size_t)(end - text) + 1);
    while (str_next(&rest, '.', &part)) {
        uint64_t number;
        if (!str_to_u64(part, UINT64_MAX, &number)) {
            return false;
        }
        if (i < x->n_workers) {
            from[i] = number;
        }
        i++;
    }
    *restarted = started != (unsigned long long)x->started || i != x->n_workers;
    if (*restarted) {
        memset(from, 0, x->n_workers * sizeof(*from));
    }
    return true;
}

static bool matches(const struct access_record *r, const struct filter *f)
{
    return (f->route.n == 0 || str_eq(r->route, f->route)) &&
           (f->cache.n == 0 || str_ieq(r->cache, f->cache)) &&
           (f->reason.n == 0 || str_eq(r->reason, f->reason));
}

/* A worker's records from number `from` on; *next is what follows them. */
static void take_from(struct found *f, const struct recent *r, uint64_t from,
                      const struct filter *filter, uint64_t *next)
{
    uint64_t end = recent_count(r);
    uint64_t first = end > RECENT_SLOTS ? end - RECENT_SLOTS : 0;
    from = from < end ? from : end;
    f->missed += from < first ? first - from : 0;
    for (uint64_t i = from > first ? from : first; i < end; i++) {
        struct recent_copy *c = xmalloc(sizeof(*c));
        bool there = recent_get(r, i, c);
        f->missed += !there;
        if (there && matches(&c->record, filter)) {
            f->list[f->n++] = c;
        } else {
            free(c);
        }
    }
    *next = end;
}

/* A worker's own records stay in their order; those of two workers within a few milliseconds,
 * which is how exact the time is, may change places. */
static int by_time(const void *a, const void *b)
{
    const struct recent_copy *x = *(struct recent_copy *const *)a;
    const struct recent_copy *y = *(struct recent_copy *const *)b;
    if (x->record.time != y->record.time) {
        return x->record.time < y->record.time ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

static void put_requests(struct strbuf *out, const struct found *f, size_t most)
{
    static const struct access_format json = {.json = true};
    struct access_clock clock = {0};
    strbuf_add_str(out, STR("{\"requests\":["));
    for (size_t i = f->n > most ? f->n - most : 0; i < f->n; i++) {
        char line[ACCESS_LINE_MAX];
        size_t n = access_line_render(&json, &clock, &f->list[i]->record, line);
        if (out->p[out->n - 1] != '[') {
            strbuf_add_char(out, ',');
        }
        strbuf_add(out, line, n - 1); /* without its newline */
    }
    strbuf_add_char(out, ']');
}

static void answer(struct admin_call *call, const struct found *f, const uint64_t *next,
                   size_t most)
{
    const struct admin_context *x = admin_context(call);
    struct strbuf out = {0};
    put_requests(&out, f, most);
    strbuf_addf(&out, ",\"next\":\"%llx", (unsigned long long)x->started);
    for (size_t i = 0; i < x->n_workers; i++) {
        strbuf_addf(&out, ".%llu", (unsigned long long)next[i]);
    }
    strbuf_addf(&out, "\",\"missed\":%llu,\"skipped\":%llu,\"restarted\":%s}\n",
                (unsigned long long)f->missed, (unsigned long long)f->skipped,
                f->restarted ? "true" : "false");
    admin_text(call, 200, "application/json", strbuf_str(&out));
    strbuf_free(&out);
}

void endpoint_log(struct admin_call *call)
{
    const struct admin_context *c = admin_context(call);
    const char *after = admin_query(call, "after");
    struct str route = query_text(call, "route");
    const struct filter filter = {
        str_make(route.p, route.n < RECENT_ROUTE ? route.n : RECENT_ROUTE),
        query_text(call, "cache"), query_text(call, "reason")};
    uint64_t most = after != NULL ? SHOWN_MAX : SHOWN;
    if (!admin_query_number(call, "n", SHOWN_MAX, &most)) {
        return;
    }
    uint64_t *from = xcalloc(2 * c->n_workers, sizeof(*from));
    uint64_t *next = from + c->n_workers;
    struct found f = {0};
    if (after != NULL && !read_cursor(after, c, from, &f.restarted)) {
        free(from);
        admin_problem(call, 400, "`after` is what an earlier answer has as `next`");
        return;
    }
    f.list = xcalloc(c->n_workers * RECENT_SLOTS, sizeof(struct recent_copy *));
    for (size_t i = 0; i < c->n_workers; i++) {
        take_from(&f, c->workers[i]->recent, from[i], &filter, &next[i]);
        f.skipped += recent_skipped(c->workers[i]->recent);
    }
    if (after == NULL) {
        f.missed = 0; /* nobody has missed what he has not asked for */
    }
    qsort(f.list, f.n, sizeof(f.list[0]), by_time);
    answer(call, &f, next, most);
    for (size_t i = 0; i < f.n; i++) {
        free(f.list[i]);
    }
    free(f.list);
    free(from);
}
