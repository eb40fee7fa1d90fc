/*
 * The way of a request that nobody sent, as far as the look-up. The steps are the data path's
 * own; what they queue for the client goes nowhere, because there is none.
 */
#include "flow/explain.h"

#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/mem.h"
#include "flow/explain_parts.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/reply.h"
#include "http/guard.h"

/* ---- the request ------------------------------------------------------------------------ */

/* Could these bytes end a line or a word of the head? */
static bool is_word(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7f) {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_line(struct str s)
{
    return memchr(s.p != NULL ? s.p : "", '\r', s.n) == NULL &&
           memchr(s.p != NULL ? s.p : "", '\n', s.n) == NULL;
}

static bool has_field(const struct explain_query *q, struct str name)
{
    for (size_t i = 0; i < q->n_fields; i++) {
        if (str_ieq(q->fields[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* The host to ask about where none is named: the first that the file serves, else where it
 * listens. */
static void write_usual_host(const struct settings *s, struct strbuf *out)
{
    char text[ADDR_TEXT_MAX];
    for (size_t i = 0; i < s->n_sites; i++) {
        if (s->sites[i].hosts.n > 0) {
            strbuf_add_str(out, s->sites[i].hosts.list[0]);
            return;
        }
    }
    const struct addr *a = s->n_listens > 0 ? &s->listens[0].addr : NULL;
    if (a == NULL || a->u.sa.sa_family == AF_UNIX) {
        strbuf_add_str(out, STR("localhost"));
    } else if (addr_ip_text(a, text) > 0 &&
               (strcmp(text, "0.0.0.0") == 0 || strcmp(text, "::") == 0)) {
        strbuf_addf(out, "localhost:%u", (unsigned)addr_port(a));
    } else {
        strbuf_add(out, text, addr_text(a, text));
    }
}

/* The head as a client would send it; NULL, or what is wrong with the question. */
static const char *write_head(struct explanation *x, const struct explain_query *q,
                              struct strbuf *out)
{
    if (!is_word(q->method) || !is_word(q->target)) {
        return "a method or target that no client can send";
    }
    strbuf_add_str(out, q->method);
    strbuf_add_char(out, ' ');
    strbuf_add_str(out, q->target);
    strbuf_add_str(out, STR(" HTTP/1.1\r\n"));
    for (size_t i = 0; i < q->n_fields; i++) {
        if (!is_word(q->fields[i].name) || !is_line(q->fields[i].value)) {
            return "a header field that no client can send";
        }
        strbuf_add_str(out, q->fields[i].name);
        strbuf_add_str(out, STR(": "));
        strbuf_add_str(out, q->fields[i].value);
        strbuf_add_str(out, STR("\r\n"));
    }
    if (!has_field(q, STR("Host"))) {
        x->host_assumed = q->target.p[0] == '/';
        strbuf_add_str(out, STR("Host: "));
        if (x->host_assumed) {
            write_usual_host(config_settings(x->rq->config), out);
        } else {
            struct str url = q->target;
            const char *at = memmem(url.p, url.n, "://", 3);
            url = at != NULL ? str_skip(url, (size_t)(at - url.p) + 3) : STR("");
            size_t slash = str_index(url, '/'), mark = str_index(url, '?');
            strbuf_add_str(out, str_make(url.p, slash < mark ? slash : mark));
        }
        strbuf_add_str(out, STR("\r\n"));
    }
    if (q->body.n > 0 && !has_field(q, STR("Content-Length")) &&
        !has_field(q, STR("Transfer-Encoding"))) {
        strbuf_addf(out, "Content-Length: %zu\r\n", q->body.n);
    }
    strbuf_add_str(out, STR("\r\n"));
    return NULL;
}

/* Larder refuses this one. */
static void refuse(struct explanation *x, int status, const char *why)
{
    struct request *rq = x->rq;
    x->end = EXPLAIN_ANSWERED;
    rq->status = status;
    rq->notes->problem = why;
    request_decide(rq, CACHE_NONE, status == 400 ? REASON_BAD_REQUEST : REASON_LIMIT);
}

/* Puts the question into the request, as the client's side does; false after a refusal. */
static bool take_query(struct explanation *x, const struct explain_query *q)
{
    struct request *rq = x->rq;
    const struct limit_settings *l = &config_settings(rq->config)->limits;
    const struct guard_limits limits = {l->header_bytes, l->target_length + 32, l->header_line,
                                        l->header_count};
    struct guard guard = {0};
    struct strbuf head = {0};
    size_t length = 0;
    int status = 400;
    const char *why = write_head(x, q, &head);
    if (why == NULL && guard_scan(&guard, strbuf_str(&head), &limits, false, &length, &status,
                                  &why) == GUARD_DONE) {
        bool ok = request_read_head(rq, strbuf_str(&head));
        strbuf_free(&head);
        if (!ok) {
            x->end = EXPLAIN_ANSWERED;
            return false;
        }
        strbuf_add_str(&rq->body_text, q->body);
        rq->body_bytes = q->body.n;
        rq->body_done = true; /* nothing more will come */
        return true;
    }
    strbuf_free(&head);
    refuse(x, status, why);
    return false;
}

/* ---- the tiers -------------------------------------------------------------------------- */

static enum tier_state state_of(const struct explanation *x, const struct entry *e,
                                const struct lookup_choice *c)
{
    if (e == NULL) {
        return TIER_NONE;
    }
    if ((e->flags & (ENTRY_HIT_FOR_MISS | ENTRY_VARY_MARKER)) != 0) {
        return TIER_MARKER;
    }
    if (c->reason == REASON_INVALIDATED) {
        return TIER_INVALIDATED;
    }
    if (c->way == LOOKUP_SERVE_STALE) {
        return TIER_STALE; /* also what was invalidated softly */
    }
    switch (entry_freshness(e, x->rq->worker->loop->wall)) {
    case ENTRY_FRESH: return TIER_FRESH;
    case ENTRY_STALE_USABLE:
    case ENTRY_STALE_IF_ERROR: return TIER_STALE;
    case ENTRY_EXPIRED: break;
    }
    return TIER_EXPIRED;
}

static bool serves(enum lookup_way way)
{
    return way == LOOKUP_SERVE || way == LOOKUP_SERVE_STALE;
}

/* Goes by what was found, as the look-up would. */
static void follow(struct explanation *x, struct entry *e, const struct lookup_choice *c)
{
    struct request *rq = x->rq;
    x->choice = *c;
    x->used = serves(c->way) || c->way == LOOKUP_KEEP ? e : NULL;
    request_decide(rq, c->result, serves(c->way) ? trust_mark(rq, c->reason) : c->reason);
    if (c->way == LOOKUP_ALONE) {
        rq->joins = JOIN_ALONE;
    }
    x->settled = serves(c->way) || c->way == LOOKUP_BYPASS || c->way == LOOKUP_PASS;
}

static void conclude(struct explanation *x);

/* The tier is asked for the report in any case; it decides only where memory did not. */
static void on_l2(void *ctx, struct entry *e, enum l2_outcome outcome)
{
    static const enum tier_state states[] = {
        [L2_MISS] = TIER_NONE,
        [L2_OTHER] = TIER_OTHER,
        [L2_DAMAGED] = TIER_DAMAGED,
        [L2_FAILED] = TIER_UNAVAILABLE,
    };
    struct request *rq = ctx;
    struct explanation *x = rq->explained;
    enum cache_result result = rq->result;
    enum reason reason = rq->reason;
    struct lookup_choice choice = {LOOKUP_NOTHING, CACHE_MISS, REASON_INVALIDATED, false};
    bool of_use = redis_path_adopt(rq, e); /* decides when it is not */
    bool marker = of_use && (e->flags & ENTRY_VARY_MARKER) != 0;
    if (marker && redis_path_ask_variant(rq, e, on_l2)) {
        entry_unref(e);
        return;
    }
    if (of_use && !marker) {
        lookup_choose(rq, e, &choice);
    }
    x->l2.entry = e;
    x->l2.state = e != NULL ? state_of(x, e, &choice) : states[outcome];
    if (x->settled || e == NULL || marker) {
        request_decide(rq, result, reason);
    } else if (of_use) {
        follow(x, e, &choice);
    }
    conclude(x);
}

static void look_up(struct explanation *x)
{
    struct request *rq = x->rq;
    struct lookup_choice choice;
    struct entry *e = rq->lookup.lookup ? lookup_find(rq) : NULL;
    lookup_choose(rq, e, &choice);
    x->l1.entry = e;
    x->l1.state = state_of(x, e, &choice);
    follow(x, e, &choice);
    if (rq->worker->redis != NULL) {
        x->l2.state = rq->joins == JOIN_ALONE ? TIER_NOT_ASKED : TIER_UNAVAILABLE;
        if (redis_path_ask(rq, on_l2)) {
            return;
        }
        redis_path_note_refused(rq);
    }
    conclude(x);
}

/* ---- the end ---------------------------------------------------------------------------- */

void explain_finish(struct explanation *x)
{
    struct request *rq = x->rq;
    cJSON *answer = explain_json(x);
    if (x->l1.entry != NULL) {
        entry_unref(x->l1.entry);
    }
    if (x->l2.entry != NULL) {
        entry_unref(x->l2.entry);
    }
    rq->explained = NULL;
    request_release(rq);
    x->done(x->ctx, answer);
    free(x);
}

/* The entry answers, with what its preconditions and ranges make of it. */
static void serve(struct explanation *x)
{
    struct request *rq = x->rq;
    x->end = EXPLAIN_SERVE;
    rq->status = reply_entry_status(rq, x->used);
    if (rq->status == 416) {
        x->end = EXPLAIN_ANSWERED;
        rq->notes->problem = "the range lies outside of the body";
        request_decide(rq, CACHE_NONE, REASON_RANGE);
    }
}

/* The rest of the way, once the tiers have been looked at. */
static void conclude(struct explanation *x)
{
    struct request *rq = x->rq;
    bool done = true;
    if (serves(x->choice.way)) {
        serve(x);
        done = x->choice.way != LOOKUP_SERVE_STALE || explain_fetch_look(x);
    } else if (x->settled) {
        x->end = EXPLAIN_FORWARD;
    } else {
        rq->step = STEP_FETCH;
        x->end = request_step(rq) == STEP_DONE ? EXPLAIN_ANSWERED : EXPLAIN_FETCH;
        done = rq->step != STEP_JOIN || explain_fetch_look(x);
    }
    if (done) {
        explain_finish(x);
    }
}

/* RECV to KEY. */
static enum step_result run_steps(struct request *rq)
{
    enum step_result r = STEP_MORE;
    while (r == STEP_MORE && rq->step < STEP_LOOKUP) {
        r = request_step(rq);
    }
    return r;
}

void explain_start(struct worker *w, const struct explain_query *q, explain_done_fn *done,
                   void *ctx)
{
    struct explanation *x = xcalloc(1, sizeof(*x));
    struct request *rq = request_new_explained(w, x, &q->peer, q->tls);
    x->rq = rq;
    x->offline = q->offline;
    x->l1.state = x->l2.state = TIER_NOT_ASKED;
    x->done = done;
    x->ctx = ctx;
    if (!take_query(x, q)) {
        explain_finish(x);
    } else if (run_steps(rq) == STEP_DONE) {
        x->end = EXPLAIN_ANSWERED;
        explain_finish(x);
    } else if (rq->step == STEP_PASS) {
        x->end = EXPLAIN_FORWARD;
        if (rq->unsafe && rq->site != NULL) {
            invalidate_prepare(rq);
            x->n_records = invalidate_preview(rq, &x->records);
        }
        explain_finish(x);
    } else if (q->offline) {
        x->end = EXPLAIN_LOOKUP;
        x->l1.state = TIER_UNKNOWN;
        explain_finish(x);
    } else {
        look_up(x);
    }
}
