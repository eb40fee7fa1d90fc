/*
 * Fills: the leader's side of a flight. The leading request fetches with the flight's stamp,
 * its answer grows in the flight, and a complete, storable one becomes an entry. A fill runs at
 * the origin's speed, whatever its readers do, and goes on when its client has left (design
 * section 7).
 */
#include <stdlib.h>
#include <string.h>

#include "cache/compress.h"
#include "cache/condition.h"
#include "cache/own_etag.h"
#include "cache/tags.h"
#include "flow/flight.h"
#include "flow/forward.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/refresh.h"
#include "flow/reply.h"
#include "flow/request.h"
#include "flow/request_stats.h"
#include "flow/steps.h"
#include "http/h1.h"

#define HIT_FOR_MISS_MS 5000           /* how long a name is not waited for */
#define OVERFLOW_HIGH   (256u * 1024u) /* unread bytes at which an unstorable fill pauses */
#define LOOK_MS         500            /* between two looks at who is slow */
#define LOOKS_MAX       10             /* that found readers held up, until the slow ones go */
#define BUILD_KEEP      (256u * 1024u) /* how large the worker's buffer stays after a fill */
#define ASK_AGAIN_MAX   2              /* fetches begun anew to show what an answer varies on */

static void on_writable(struct fetch *f);
static void on_interim(struct fetch *f, const struct msg *m);
static void on_head(struct fetch *f, const struct msg *m);
static void on_data(struct fetch *f, struct str piece);
static void on_done(struct fetch *f);
static void on_failed(struct fetch *f, enum fetch_error e);

static const struct fetch_ops fill_ops = {
    .writable = on_writable,
    .interim = on_interim,
    .head = on_head,
    .data = on_data,
    .done = on_done,
    .failed = on_failed,
};

/* ---- leading ---------------------------------------------------------------------------- */

void fill_start(struct request *rq)
{
    rq->worker->fills++;
    exchange_fetch(rq, forward_head(rq, FORWARD_FILL), FRAMING_NONE, &fill_ops);
}

void fill_stop_leading(struct request *rq)
{
    deadline_cancel(&rq->patience);
    lease_path_release(rq, LEASE_FAILED);
    flight_unref(rq->lead);
    rq->lead = NULL;
    rq->worker->fills--;
}

void fill_drop_fetch(struct request *rq)
{
    exchange_note_end(rq);
    fetch_free(rq->fetch);
    rq->fetch = NULL;
}

static void on_writable(struct fetch *f)
{
    fetch_send_end(f); /* fills have no body */
}

static void on_interim(struct fetch *f, const struct msg *m)
{
    reply_interim(fetch_owner(f), m);
}

void fill_mark_hit_for_miss(struct request *rq)
{
    struct node *node = rq->worker->node;
    const struct entry_spec spec = {
        .name = rq->name,
        .host = rq->site_key,
        .scope = lookup_scope(rq),
        .stamp = rq->lead->stamp,
        .flags = ENTRY_HIT_FOR_MISS,
        .stored_at = rq->worker->loop->wall,
        .lifetime = HIT_FOR_MISS_MS,
        .type = rq->route->type,
        .route = rq->route->name,
    };
    struct entry *e = entry_new(&spec);
    if (e != NULL) {
        (void)l1_put(node->l1, e);
        entry_unref(e);
    }
}

/* The answer may not be shared: everybody goes alone, the leader with this very answer. */
static void end_sharing(struct request *rq, const struct msg *m, enum reason reason)
{
    struct fetch *f = rq->fetch;
    /* A refresh that fails leaves what is stored alone. */
    if (reason != REASON_CLIENT_NO_STORE) {
        if (rq->refreshing == NULL) {
            fill_mark_hit_for_miss(rq);
        }
        lease_path_release(rq, LEASE_NOT_SHARED);
    }
    flight_leave(&rq->reader);
    flight_end(rq->lead, FLIGHT_UNSHARED, NULL, 0);
    fill_stop_leading(rq);
    request_decide(rq, CACHE_MISS, reason);
    if (rq->client == NULL || rq->background) {
        fill_drop_fetch(rq);
        request_release(rq);
        return;
    }
    if (range_asks_again(rq, m)) {
        fill_drop_fetch(rq);
        range_pass(rq);
        return;
    }
    exchange_adopt(rq, f, m);
}

/* What readers and the entry share of the head, in the flight's own memory. */
static void publish(struct request *rq, const struct msg *m, const struct tag_set *tags)
{
    struct flight *f = rq->lead;
    struct strbuf *out = &rq->worker->build;
    out->n = 0;
    h1_write_status_line(out, m->status, m->reason);
    reply_render_stored_fields(rq, m, rq->storing->omit_fields, out);
    struct flight_head head = {
        .status = m->status,
        .head = arena_dup(&f->arena, strbuf_str(out)),
        .etag = arena_dup(&f->arena, msg_get(m, FIELD_ETAG)),
        .date = arena_dup(&f->arena, msg_get(m, FIELD_DATE)),
        .last_modified = arena_dup(&f->arena, msg_get(m, FIELD_LAST_MODIFIED)),
        .variant = arena_dup(&f->arena, rq->name),
        .vary = arena_dup(&f->arena, vary_list(&rq->storing->vary, &rq->arena)),
        .length = m->framing == FRAMING_LENGTH ? (int64_t)m->content_length
                  : m->framing == FRAMING_NONE ? 0
                                               : -1,
        .born = rq->worker->loop->wall - rq->storing->age,
    };
    out->n = 0;
    flight_publish_head(f, &head, arena_dup(&f->arena, tags_join(tags, &rq->arena)));
}

/* Does a body that has come this far leave the route's bounds (`max_object`, `store if size`)?
 */
static enum reason too_large(const struct route_settings *route, uint64_t bytes)
{
    if (route->max_object >= 0 && bytes > (uint64_t)route->max_object) {
        return REASON_TOO_LARGE;
    }
    return route->store_below > 0 && bytes >= (uint64_t)route->store_below ? REASON_CONDITION
                                                                           : REASON_NONE;
}

static bool too_small(const struct route_settings *route, uint64_t bytes)
{
    return bytes < (uint64_t)route->store_least;
}

void fill_judge(struct request *rq, const struct msg *m, struct store_verdict *out)
{
    const struct route_settings *route = rq->route;
    policy_store(route, forward_view(rq), m, fetch_request_time(rq->fetch),
                 rq->worker->loop->wall, policy_keyed(config_settings(rq->config), route),
                 &rq->arena, out);
    if (!out->store) {
        return;
    }
    if (!condition_stores(route, &rq->msg, &rq->target, m, &rq->arena)) {
        out->reason = REASON_CONDITION;
    } else if (m->framing == FRAMING_LENGTH || m->framing == FRAMING_NONE) {
        uint64_t length = m->framing == FRAMING_LENGTH ? m->content_length : 0;
        out->reason = too_small(route, length) ? REASON_CONDITION : too_large(route, length);
    }
    out->store = out->reason == REASON_NONE;
}

/* Too large for Redis, or too soon over: nodes that wait for it need not wait until it has
 * come. `bytes` is what the head announces, or what has come. */
static void release_early(struct request *rq, uint64_t bytes)
{
    const struct store_verdict *sv = rq->storing;
    if (rq->lease != NULL &&
        (!l2_takes(redis_worker_l2(rq->worker->redis), bytes) ||
         !l2_keeps(sv->lifetime - sv->age, sv->stale, sv->stale_if_error, sv->flags))) {
        lease_path_release(rq, LEASE_NOT_IN_REDIS);
    }
}

static void on_head(struct fetch *f, const struct msg *m)
{
    struct request *rq = fetch_owner(f);
    if (m->status == 304 && rq->validating) {
        return; /* on_done freshens the stored answer */
    }
    if (fill_prefers_stale(rq, m->status)) {
        refresh_run_fail(rq, REASON_STATUS);
        fill_give_up(rq, FETCH_BAD);
        return;
    }
    struct store_verdict *sv = arena_alloc(&rq->arena, sizeof(*sv));
    fill_judge(rq, m, sv);
    rq->storing = sv;
    if (!sv->store) {
        end_sharing(rq, m, sv->reason);
        return;
    }
    variant_trim(rq, &sv->vary);
    struct str vary = vary_list(&sv->vary, &rq->arena);
    if (!forward_fits(rq, vary)) {
        if (rq->asked_again < ASK_AGAIN_MAX) {
            fill_ask_again(rq, vary);
        } else {
            end_sharing(rq, m, REASON_VARY);
        }
        return;
    }
    struct tag_set *tags = arena_alloc(&rq->arena, sizeof(*tags));
    tags_collect(&rq->kc, &rq->query, m, &rq->arena, tags);
    if (tags->incomplete) {
        end_sharing(rq, m, REASON_TAGS);
        return;
    }
    variant_select(rq, &sv->vary);
    publish(rq, m, tags);
    release_early(rq, m->framing == FRAMING_LENGTH ? m->content_length : 0);
    loop_defer(rq->worker->loop, &rq->deferred);
}

/* ---- the body --------------------------------------------------------------------------- */

static void on_drained(struct flight *f, void *ctx)
{
    struct request *rq = ctx;
    (void)f;
    if (rq->fetch != NULL && rq->lead != NULL) {
        fetch_resume(rq->fetch);
    }
}

/* Looks whether slow readers hold up another one; if they did half of the time and more, they
 * are left behind. */
static void on_look(struct deadline *d)
{
    struct request *rq = container_of(d, struct request, patience);
    bool held_up = flight_held_up(rq->lead);
    if (held_up) {
        rq->held_up++;
    } else if (rq->held_up > 0) {
        rq->held_up--;
    }
    if (rq->held_up == LOOKS_MAX) {
        rq->held_up = 0;
        flight_leave_behind(rq->lead);
        if (rq->reader.flight != NULL) {
            loop_defer(rq->worker->loop, &rq->deferred);
        }
    }
    deadline_set(rq->worker->loop, &rq->patience, LOOK_MS);
}

/* The body outgrew what is stored: those who read it get it all. */
static void overflow(struct request *rq, enum reason reason)
{
    rq->storing->store = false;
    rq->storing->reason = reason;
    request_decide(rq, rq->result, reason);
    fill_mark_hit_for_miss(rq);
    lease_path_release(rq, LEASE_NOT_IN_REDIS);
    flight_set_drained(rq->lead, on_drained, rq);
    flight_overflow(rq->lead);
    deadline_init(&rq->patience, on_look);
    deadline_set(rq->worker->loop, &rq->patience, LOOK_MS);
}

static void on_data(struct fetch *f, struct str piece)
{
    struct request *rq = fetch_owner(f);
    rq->fill_bytes += piece.n;
    enum reason outgrown = too_large(rq->route, rq->fill_bytes);
    if (rq->storing->store && outgrown != REASON_NONE) {
        overflow(rq, outgrown);
    }
    release_early(rq, rq->fill_bytes);
    flight_append(rq->lead, piece);
    if (!rq->storing->store) {
        if (flight_readers(rq->lead) == 0) {
            fill_give_up(rq, FETCH_RESET); /* nobody reads what is not going to be stored */
            return;
        }
        if (flight_backlog(rq->lead) > OVERFLOW_HIGH) {
            fetch_pause(f);
        }
    }
    if (rq->reader.flight != NULL) {
        loop_defer(rq->worker->loop, &rq->deferred);
    }
}

/* The whole body in one piece; gathered in the worker's buffer when it came in several. */
static struct str whole_body(struct request *rq)
{
    struct flight *f = rq->lead;
    if (f->first == NULL) {
        return STR("");
    }
    if (f->first->next == NULL) {
        return str_make(f->first->data, f->first->used);
    }
    struct strbuf *out = &rq->worker->build;
    out->n = 0;
    strbuf_reserve(out, f->length);
    for (const struct chunk *c = f->first; c != NULL; c = c->next) {
        strbuf_add(out, c->data, c->used);
    }
    return strbuf_str(out);
}

static bool wants_gzip(const struct request *rq, const struct msg *m, size_t length)
{
    return rq->route->compress >= 0 && length > (uint64_t)rq->route->compress &&
           !rq->storing->no_transform && msg_find(m, FIELD_CONTENT_ENCODING) == NULL &&
           compress_type(msg_get(m, FIELD_CONTENT_TYPE));
}

/* Spreads the expiry of entries that were filled together (`jitter`): up to that much earlier.
 */
msec_t fill_jittered(const struct request *rq, msec_t lifetime)
{
    if (rq->route->jitter_percent == 0) {
        return lifetime;
    }
    msec_t span = lifetime / 100 * rq->route->jitter_percent;
    return span > 0 ? lifetime - random() % span : lifetime;
}

static struct entry *make_entry(struct request *rq, const struct msg *m)
{
    struct flight *f = rq->lead;
    const struct store_verdict *sv = rq->storing;
    struct str body = whole_body(rq);
    struct strbuf gz = {0};
    struct entry_spec spec = {
        .name = rq->name,
        .host = rq->site_key,
        .scope = f->scope,
        .stamp = f->stamp,
        .flags = sv->flags | ENTRY_HAS_DATE,
        .status = m->status,
        .stored_at = f->head.born + sv->age, /* when the head came, not the body's end */
        .age_at_store = sv->age,
        .lifetime = fill_jittered(rq, sv->lifetime),
        .stale = sv->stale,
        .stale_if_error = sv->stale_if_error,
        .etag = f->head.etag,
        .last_modified = f->head.last_modified,
        .date = f->head.date,
        .type = f->type,
        .route = f->route,
        .tags = f->tags,
        .vary = f->head.vary,
        .head = f->head.head,
        .coding = ENTRY_IDENTITY,
        .body_length = body.n,
        .body = body,
    };
    char etag[OWN_ETAG_LEN];
    if (rq->route->etag && m->status == 200 && spec.etag.n == 0) {
        spec.etag = own_etag(body, etag); /* metadata: no-transform does not forbid it */
        spec.flags |= ENTRY_OWN_ETAG;
    }
    if (wants_gzip(rq, m, body.n) && compress_gzip(body, &gz)) {
        spec.coding = ENTRY_GZIP;
        spec.body = strbuf_str(&gz);
    }
    struct entry *e = entry_new(&spec);
    strbuf_free(&gz);
    rq->worker->build.n = 0;
    if (rq->worker->build.cap > BUILD_KEEP) {
        strbuf_free(&rq->worker->build);
    }
    return e;
}

/* Did the origin go on where its answer had ended? What follows a Content-Length is a length
 * that is wrong, or a head that somebody has forged: the route says which it takes it for. */
static bool overlong(const struct request *rq, const struct msg *m)
{
    return fetch_surplus(rq->fetch) &&
           !(rq->route->store_surplus && m->framing == FRAMING_LENGTH);
}

/* The complete answer becomes an entry, unless a newer invalidation has overtaken it. */
static struct entry *store(struct request *rq, const struct msg *m)
{
    struct node *node = rq->worker->node;
    const struct flight *f = rq->lead;
    if (!rq->storing->store || overlong(rq, m) || too_small(rq->route, rq->fill_bytes) ||
        journal_check_stamp(node->journal, &f->stamp, entry_base_name(rq->name), f->type,
                            f->route, f->tags) == JOURNAL_INVALID) {
        return NULL;
    }
    struct entry *e = make_entry(rq, m);
    if (e != NULL && !l1_put(node->l1, e)) {
        entry_unref(e);
        return NULL;
    }
    redis_path_store(rq, e);
    if (e != NULL) {
        variant_note(rq, true);
    }
    return e;
}

/* The fill is over in whatever way: readers have been told, the leader's own one is. */
void fill_conclude(struct request *rq)
{
    fill_stop_leading(rq);
    fill_drop_fetch(rq);
    if (rq->reader.flight != NULL) {
        deliver_pump(rq);
    } else {
        request_release(rq);
    }
}

void fill_give_up(struct request *rq, enum fetch_error e)
{
    flight_end(rq->lead, FLIGHT_FAILED, NULL, (int)e);
    fill_conclude(rq);
}

static void on_done(struct fetch *f)
{
    struct request *rq = fetch_owner(f);
    if (rq->storing == NULL) {
        fill_validated(rq, fetch_msg(f));
        return;
    }
    struct entry *e = store(rq, fetch_msg(f));
    rq->stored = e != NULL;
    request_stats_add(rq, STATS_STORED, rq->stored);
    lease_path_release(rq, e != NULL ? LEASE_STORED : LEASE_NOT_IN_REDIS);
    flight_end(rq->lead, FLIGHT_DONE, e, FLIGHT_FILLED);
    if (e != NULL) {
        entry_unref(e);
    }
    fill_conclude(rq);
}

static void on_failed(struct fetch *f, enum fetch_error e)
{
    struct request *rq = fetch_owner(f);
    enum reason reason;
    request_stats_failed(rq, e);
    (void)exchange_error_status(e, &reason);
    refresh_run_fail(rq, reason);
    fill_give_up(rq, e);
}
