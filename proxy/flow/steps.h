/*
 * The step functions of tbl/steps.def and the few calls that the files of the request path make
 * to each other. Private to flow/.
 */
#ifndef FLOW_STEPS_H
#define FLOW_STEPS_H

#include "cache/journal_link.h"
#include "cache/l2.h"
#include "cache/lease.h"
#include "flow/request.h"

#define STEP(id, function) enum step_result function(struct request *rq);
#include "tbl/steps.def"
#undef STEP

/* body_key.c: is the body of this request, on a cached route, part of its name? */
bool body_key_wanted(const struct request *rq);
/* body_key.c: in step BODY, a piece of the body; all input is used up; the body has ended. */
void body_key_add(struct request *rq, struct str piece);
void body_key_paused(struct request *rq);
void body_key_ended(struct request *rq);

/* exchange.c: takes over a fetch whose head has come, as a pass. */
void exchange_adopt(struct request *rq, struct fetch *f, const struct msg *m);
/* exchange.c: the client can take more, left, or sent body bytes. */
void exchange_writable(struct request *rq);
void exchange_client_gone(struct request *rq);
/* exchange.c: the write's invalidation is in the journal: its answer may go out. */
void exchange_release_held(struct request *rq);
/* exchange.c: the status and reason for a failed fetch. */
int exchange_error_status(enum fetch_error e, enum reason *reason);
/* exchange.c: starts the fetch of a request. */
void exchange_fetch(struct request *rq, struct str head, enum framing body,
                    const struct fetch_ops *ops);
/* exchange.c: notes the end of an exchange for the log. */
void exchange_note_end(struct request *rq);

/* fill.c: begins the fetch of a flight that rq leads. */
void fill_start(struct request *rq);

/* fill.c: may this answer be stored: RFC 9111, then the route's own conditions. */
void fill_judge(struct request *rq, const struct msg *m, struct store_verdict *out);

/* fill.c: the fill's ends. `give_up` fails the flight, `conclude` follows any flight_end(). */
void fill_give_up(struct request *rq, enum fetch_error e);
void fill_conclude(struct request *rq);
void fill_stop_leading(struct request *rq);
void fill_drop_fetch(struct request *rq);

/* validate.c: may rq->stale stand in for an answer with this status (RFC 5861 4)? */
bool fill_prefers_stale(struct request *rq, int status);
/* validate.c: serves rq->stale because the origin failed; false when it may not. */
bool fill_serve_stale_error(struct request *rq);
/* validate.c: the origin answered 304 to a fill that validates rq->stale. */
void fill_validated(struct request *rq, const struct msg *m);
/* fill.c: leaves a short mark, so that requests for a name whose answers cannot be stored do
 * not queue up behind each other. */
void fill_mark_hit_for_miss(struct request *rq);
/* fill.c: the lifetime, shortened at random by up to the route's `jitter`. */
msec_t fill_jittered(const struct request *rq, msec_t lifetime);
/* freshen.c: the stored response e with the fields of m, a 304 or an answer to HEAD, that
 * rq->fetch has brought and that was asked for under this stamp. NULL when m is of another
 * variant; else *sv says whether the new entry, which is the caller's, may be stored. */
struct entry *freshen_entry(struct request *rq, const struct entry *e, const struct msg *m,
                            const struct stamp *stamp, struct store_verdict *sv);
/* validate.c: fetches once more, showing of the client's own fields just those in `vary`. */
void fill_ask_again(struct request *rq, struct str vary);

#define JOIN_ALONE UINT32_MAX /* rq->joins: waits for nobody's fetch */

/* join.c: what a request joins a flight for. */
struct flight_key join_key(const struct request *rq);
/* join.c: how long a follower waits for the head of an answer; -1: no limit. */
msec_t join_patience(const struct route_settings *route);
/* join.c: fetches in the background; false when somebody does already or, unless though_fresh,
 * just did. */
bool join_refresh(struct request *rq, bool though_fresh);

/* deliver.c: sends what the request's flight has for it. */
void deliver_pump(struct request *rq);
void deliver_wake(struct flight_reader *r);

/* deliver_range.c: how a request with a Range goes on. */
enum range_way {
    RANGE_WAY_WHOLE,    /* as without the Range */
    RANGE_WAY_PART,     /* the head of a 206 has been queued; rq->part of the body follows */
    RANGE_WAY_WAIT,     /* for the complete answer */
    RANGE_WAY_ANSWERED, /* 416 has been sent */
    RANGE_WAY_PASS,     /* the origin is to be asked for the range itself */
};
/* deliver_range.c: decides for a reader that has the flight's head, but no entry yet. */
enum range_way deliver_range(struct request *rq, const struct flight_view *view);
/* deliver_range.c: is this 200, which cannot be stored, to be asked for again with the client's
 * Range? */
bool range_asks_again(const struct request *rq, const struct msg *answer);
/* deliver_range.c: the piece's bytes that belong to rq->part. */
struct str range_clip(const struct request *rq, struct str piece);
/* deliver_range.c: has the reader come to the end of rq->part? */
bool range_sent(const struct request *rq);
/* deliver_range.c: asks the origin for the range itself. */
void range_pass(struct request *rq);

/* invalidate.c: resolves what the route's `invalidate` names of the writer, while he is known.
 */
void invalidate_prepare(struct request *rq);

/* invalidate.c: what would be invalidated if the request were sent and answered with 200, and
 * nothing else of the answer were known; in the arena. After invalidate_prepare(). Returns how
 * many records. */
size_t invalidate_preview(struct request *rq, const struct record **list);

/* invalidate.c: applies what a write invalidates; answer NULL: the outcome is unknown. Returns
 * how many records that were. */
uint64_t invalidate_after_write(struct request *rq, const struct msg *answer);

/* learn.c: before a request that is passed goes out; true when it is to be sent as a fill. */
bool learn_begin(struct request *rq);
/* learn.c: its answer, before the client sees it. Applies what a write invalidates. */
void learn_head(struct request *rq, const struct msg *m);
void learn_data(struct request *rq, struct str piece);
/* learn.c: the answer is complete. */
void learn_done(struct request *rq);
/* learn.c: frees what is kept of it; idempotent. */
void learn_end(struct request *rq);

/* position.c: a place in the journal as X-Cache-Pos shows it; empty for none. */
struct str position_text(const struct append_place *place, struct arena *a);
/* position.c: does the request say which records it wants to be known? */
bool position_shown(const struct request *rq);
/* lookup.c: the site part and scope of entries that this request may use. */
uint32_t lookup_scope(const struct request *rq);
/* lookup.c: the resident entry of the request's name, following a Vary marker to the variant; a
 * reference, or NULL. */
struct entry *lookup_find(struct request *rq);

/* What is done with what was found in a tier. */
enum lookup_way {
    LOOKUP_NOTHING,     /* it is of no use: the next tier, then the origin */
    LOOKUP_KEEP,        /* the same, but it may validate (`ok`: or serve if the origin fails) */
    LOOKUP_ALONE,       /* to the origin, waiting for nobody */
    LOOKUP_SERVE,       /* it is the answer */
    LOOKUP_SERVE_STALE, /* it is the answer, and refreshed in the background */
    LOOKUP_BYPASS,      /* around the cache */
    LOOKUP_PASS,        /* around the cache, for the range itself */
};

struct lookup_choice {
    enum lookup_way way;
    enum cache_result result; /* as of now */
    enum reason reason;
    bool ok; /* LOOKUP_KEEP */
};

/* lookup.c: decides by an entry found (NULL: none) and does nothing yet; may set
 * rq->uncertain. */
void lookup_choose(struct request *rq, struct entry *e, struct lookup_choice *c);

/* lookup.c: what to do with an entry found; takes over the reference. STEP_MORE: it will not
 * do, rq->step says where to go on. */
enum step_result lookup_judge(struct request *rq, struct entry *e);
/* lease_path.c: is there another node to share a fetch with, and may what it fetched be used?
 */
bool lease_path_of_use(const struct request *rq);
/* lease_path.c: the leader of a flight fetches, unless another node that shares the Redis does
 * already: then it waits for what that one stores. */
void lease_path_start(struct request *rq);
/* lease_path.c: how the fetch of a leader ended, for other nodes; idempotent. */
void lease_path_release(struct request *rq, enum lease_end end);

/* redis_path.c: asks the Redis tier for what is stored under the request's name, if that is of
 * use, within what is left of its budget; done(rq, …) gets it. False when it is not asked. */
bool redis_path_ask(struct request *rq, l2_done_fn *done);
/* redis_path.c: it was not asked: gives the reason of a miss if that is why. */
void redis_path_note_refused(struct request *rq);
/* redis_path.c: the same for the variant that this request selects by a Vary marker; false also
 * when it was a variant that was asked for. */
bool redis_path_ask_variant(struct request *rq, const struct entry *marker, l2_done_fn *done);
/* redis_path.c: what was asked for has come, or nothing (NULL): accounts for it and gives the
 * entry a stamp of this node. False when it is of no use. */
bool redis_path_adopt(struct request *rq, struct entry *e);
/* redis_path.c: the same, and makes the entry resident here unless there is a newer one by now;
 * the one to go on with, NULL for none. Takes over the reference. Notes what was seen. */
struct entry *redis_path_take_in(struct request *rq, struct entry *e, enum l2_outcome outcome);
/* redis_path.c: writes an entry to the Redis tier, without waiting. */
void redis_path_store(struct request *rq, const struct entry *e);
/* redis_path.c: removes a name from the Redis tier, without waiting. */
void redis_path_remove(struct request *rq, struct str name);
/* variant.c: takes out of an answer's Vary what cannot have chosen it on this route. */
void variant_trim(const struct request *rq, struct vary_spec *vary);
/* variant.c: renames a leading request to the name under which its answer goes: of a variant if
 * it varies. Leaves the marker that leads others to it. */
void variant_select(struct request *rq, const struct vary_spec *vary);
/* variant.c: a fresh variant in the language that the request prefers to every other, where an
 * answer varies on that alone; a reference, or NULL. */
struct entry *variant_by_language(struct request *rq, const struct vary_spec *spec);
/* variant.c: an entry has become resident under rq->name. If that is a variant's it is counted,
 * and another one may have to go for it; Redis is told if it was filled here. */
void variant_note(struct request *rq, bool filled);
/* lookup.c: renames the request to the variant that this Vary spec selects for `as`, the
 * request as the client or as the origin sees it. */
void lookup_select_variant(struct request *rq, const struct vary_spec *spec,
                           const struct msg *as);

/* lookup.c: the host part of the request's names. */
struct str lookup_site_key(struct request *rq);

/* lookup.c: is this an answer of its route that may be sent to the client as it is? */
bool lookup_is_fresh(struct request *rq, struct entry *e);
/* lookup.c: a reference to the entry that is stored under rq->name and fresh for this request,
 * or NULL. */
struct entry *lookup_fresh(struct request *rq);

/* What to do with an entry of a node that may not know every invalidation. */
enum trust {
    TRUST, /* use it (rq->uncertain: and say so) */
    TRUST_VALIDATE,
    TRUST_BYPASS,
};
/* trust.c: does the node know that it knows every invalidation? */
bool trust_certain(const struct request *rq);
/* trust.c: … and if it does not: what to do with this entry. */
enum trust trust_in(struct request *rq, const struct entry *e);
/* trust.c: the reason to give for an answer from the cache. */
enum reason trust_mark(const struct request *rq, enum reason reason);

/* request.c: the client has become a tunnel: logs and ends the request without it. */
void request_detach(struct request *rq);

/* request.c: frees a request whose client and exchange are done. */
void request_release(struct request *rq);

#endif
