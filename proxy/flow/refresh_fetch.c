/*
 * A scheduled refresh on its worker: a request that nobody sent takes the data path's own steps
 * up to the look-up and then leads a flight in the background. It ends where every request
 * does, when it is freed.
 */
#include <string.h>

#include "base/addr.h"
#include "cache/l2.h"
#include "flow/flight.h"
#include "flow/refresh.h"
#include "flow/request.h"
#include "flow/steps.h"

static void post_back(struct mail *mail)
{
    struct refresh_run *run = container_of(mail, struct refresh_run, mail);
    run->ended(run);
}

static void give_back(struct refresh_run *run)
{
    run->duration = run->worker->loop->wall - run->started;
    run->mail.fn = post_back;
    loop_post(run->control, &run->mail);
}

static void fail(struct refresh_run *run, struct str reason)
{
    size_t n = reason.n < sizeof(run->reason_text) ? reason.n : sizeof(run->reason_text);
    memcpy(run->reason_text, reason.p, n);
    run->reason = str_make(run->reason_text, n);
    run->result = REFRESH_FAILED;
}

void refresh_run_fail(struct request *rq, enum reason reason)
{
    if (rq->refreshing != NULL) {
        fail(rq->refreshing, reason_word(reason));
    }
}

/* ---- the end ---------------------------------------------------------------------------- */

void refresh_run_end(struct request *rq)
{
    struct refresh_run *run = rq->refreshing;
    rq->refreshing = NULL;
    if (run->result == REFRESH_NONE) {
        struct entry *e = l1_peek(rq->worker->node->l1, rq->hash, rq->name, rq->site_key);
        if (e != NULL && (e->flags & ENTRY_HIT_FOR_MISS) == 0 && e->stored_at >= run->started) {
            run->result = REFRESH_STORED;
            run->stored_at = e->stored_at;
            run->bytes = e->body_length;
        } else {
            fail(run, rq->reason_text);
        }
        if (e != NULL) {
            entry_unref(e);
        }
    }
    give_back(run);
}

/* ---- the fetch -------------------------------------------------------------------------- */

/* Somebody has just stored an answer: it will do. */
static bool is_young(struct request *rq, struct entry *e)
{
    struct refresh_run *run = rq->refreshing;
    if (run->young == 0 || rq->worker->loop->wall - e->stored_at >= run->young ||
        !lookup_is_fresh(rq, e)) {
        return false;
    }
    run->result = REFRESH_SHARED;
    run->stored_at = e->stored_at;
    run->bytes = e->body_length;
    return true;
}

/* Neither here nor in Redis is a young answer. */
static void fetch(struct request *rq)
{
    if (!join_refresh(rq, true)) {
        rq->refreshing->result = REFRESH_BUSY;
    }
    request_release(rq);
}

static void on_stored(void *ctx, struct entry *e, enum l2_outcome outcome)
{
    struct request *rq = ctx;
    (void)outcome;
    bool adopted = redis_path_adopt(rq, e);
    if (adopted && (e->flags & ENTRY_VARY_MARKER) == 0 && is_young(rq, e)) {
        (void)l1_put(rq->worker->node->l1, e);
        request_release(rq);
    } else {
        fetch(rq);
    }
    if (e != NULL) {
        entry_unref(e);
    }
}

/* What is stored here validates, and stands in if the backend fails. */
static void look_up(struct request *rq)
{
    struct entry *e = lookup_find(rq);
    if (e != NULL && (e->flags & ENTRY_HIT_FOR_MISS) == 0 && e->scope == lookup_scope(rq) &&
        journal_check(rq->worker->node->journal, e) == JOURNAL_VALID) {
        rq->stale = e;
        rq->stale_ok = true;
        if (is_young(rq, e)) {
            request_release(rq);
            return;
        }
    } else if (e != NULL) {
        entry_unref(e);
    }
    if (rq->refreshing->young == 0 || !redis_path_ask(rq, on_stored)) {
        fetch(rq);
    }
}

/* Takes the steps that find the name; false: there is nothing to fetch, and why was noted. */
static bool find_name(struct request *rq)
{
    struct refresh_run *run = rq->refreshing;
    enum step_result r = STEP_MORE;
    while (r == STEP_MORE && rq->step < STEP_LOOKUP) {
        r = request_step(rq);
    }
    if (r != STEP_MORE || rq->step != STEP_LOOKUP) {
        fail(run, rq->reason_text);
        return false;
    }
    if (!str_eq(rq->route->label, run->label) || !rq->lookup.store) {
        fail(run, STR("another route answers"));
        return false;
    }
    return true;
}

static void add_field(struct strbuf *out, struct str name, struct str value)
{
    strbuf_add_str(out, name);
    strbuf_add_str(out, STR(": "));
    strbuf_add_str(out, value);
    strbuf_add_str(out, STR("\r\n"));
}

static bool read_head(struct request *rq)
{
    struct refresh_run *run = rq->refreshing;
    struct strbuf head = {0};
    strbuf_add_str(&head, STR("GET "));
    strbuf_add_str(&head, run->target);
    strbuf_add_str(&head, STR(" HTTP/1.1\r\n"));
    add_field(&head, STR("Host"), run->host);
    add_field(&head, STR("User-Agent"), STR("larder-refresh"));
    add_field(&head, STR("Accept"), STR("*/*"));
    if (run->header.n > 0) {
        add_field(&head, run->header, run->credential);
    }
    strbuf_add_str(&head, STR("\r\n"));
    bool ok = request_read_head(rq, strbuf_str(&head));
    strbuf_free(&head);
    if (!ok) {
        fail(run, rq->reason_text);
    }
    return ok;
}

static void on_worker(struct mail *mail)
{
    struct refresh_run *run = container_of(mail, struct refresh_run, mail);
    struct worker *w = run->worker;
    struct addr peer;
    const char *why;
    run->started = w->loop->wall;
    if (w->draining || w->stopped) {
        fail(run, STR("stopping"));
        give_back(run);
        return;
    }
    (void)addr_parse(STR("127.0.0.1:0"), &peer, &why);
    struct request *rq = request_new_own(w, &peer, run->tls);
    rq->refreshing = run;
    if (read_head(rq) && find_name(rq)) {
        look_up(rq);
    } else {
        request_release(rq);
    }
}

void refresh_run_start(struct refresh_run *run)
{
    run->result = REFRESH_NONE;
    run->reason = STR("");
    run->bytes = 0;
    run->stored_at = 0;
    run->mail.fn = on_worker;
    loop_post(run->worker->loop, &run->mail);
}
