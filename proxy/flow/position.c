/*
 * X-Cache-Pos (`redis … causal=on`): an answer to a write says where its record is in the
 * journal, as EPOCH-NUMBER, and a client that shows this to any node is not served what that
 * record has invalidated. A node that has not come so far waits for it within `budget`, then
 * asks the origin; so it does with what it does not understand and with another epoch than its
 * own. Records arrive on the journal's thread, which nothing may delay: who waits looks at each
 * tick of its own loop's clock.
 *
 * Of another epoch nothing better can be said, not even when this node has applied the record
 * itself before its epoch moved. Epochs overlap: while the old master still took the write, a
 * third node may have followed the new one already, and what it fetched before the write bears
 * a stamp of the new epoch. That entry is valid here until the writer's node has told its last
 * records again, and nobody can know whether it has. Nor may the answer of a bypass carry a
 * newer position instead: it would vouch for the same entry on the next node.
 */
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/request.h"
#include "flow/steps.h"

#define EPOCH_DIGITS 16

/* What a request has to say about it. */
struct position {
    uint64_t epoch, seq;
};

struct str position_text(const struct append_place *place, struct arena *a)
{
    return place->epoch[0] != '\0'
               ? arena_printf(a, "%s-%llu", place->epoch, (unsigned long long)place->seq)
               : STR("");
}

bool position_shown(const struct request *rq)
{
    const struct redis_tier *redis = rq->worker->node->redis;
    return redis != NULL && redis_tier_settings(redis)->causal &&
           msg_find(&rq->msg, FIELD_X_CACHE_POS) != NULL;
}

static bool parse_one(struct str text, struct position *out)
{
    text = str_trim(text);
    if (text.n <= EPOCH_DIGITS + 1 || text.p[EPOCH_DIGITS] != '-') {
        return false;
    }
    out->epoch = 0;
    for (size_t i = 0; i < EPOCH_DIGITS; i++) {
        int digit = hex_value(text.p[i]);
        if (digit < 0) {
            return false;
        }
        out->epoch = out->epoch << 4 | (uint64_t)digit;
    }
    return str_to_u64(str_skip(text, EPOCH_DIGITS + 1), UINT64_MAX, &out->seq);
}

/* The last record of several positions (a client may have written more than once); false when
 * they cannot be understood or are of several epochs. */
static bool parse(struct request *rq, struct position *out)
{
    struct str list = msg_joined(&rq->msg, FIELD_X_CACHE_POS, &rq->arena), text;
    struct position one;
    bool first = true;
    *out = (struct position){0};
    while (str_next(&list, ',', &text)) {
        if (!parse_one(text, &one) || (!first && one.epoch != out->epoch)) {
            return false;
        }
        out->epoch = one.epoch;
        out->seq = first || one.seq > out->seq ? one.seq : out->seq;
        first = false;
    }
    return !first;
}

enum reached {
    REACHED,
    REACHED_LATER, /* perhaps */
    REACHED_NEVER, /* of another epoch, or nonsense */
};

static enum reached reached(struct request *rq)
{
    struct position p;
    struct stamp here = journal_stamp(rq->worker->node->journal);
    if (!parse(rq, &p) || p.epoch != here.epoch) {
        return REACHED_NEVER;
    }
    return p.seq <= here.seq ? REACHED : REACHED_LATER;
}

/* What is stored may be older than what the client knows. */
static void ask_origin(struct request *rq)
{
    request_decide(rq, CACHE_BYPASS, REASON_UNCERTAIN);
    rq->step = STEP_PASS;
}

static void on_tick(struct deadline *d)
{
    struct request *rq = container_of(d, struct request, wait);
    struct loop *loop = rq->worker->loop;
    enum reached now = reached(rq);
    rq->redis_spent = loop->now - rq->asked_at;
    if (now == REACHED_LATER &&
        rq->redis_spent < redis_tier_settings(rq->worker->node->redis)->budget) {
        deadline_set(loop, d, LOOP_TICK_MS);
        return;
    }
    rq->step = STEP_LOOKUP;
    if (now != REACHED) {
        ask_origin(rq);
    }
    request_run(rq);
}

enum step_result step_position(struct request *rq)
{
    struct loop *loop = rq->worker->loop;
    rq->step = STEP_LOOKUP;
    switch (reached(rq)) {
    case REACHED: return STEP_MORE;
    case REACHED_NEVER: ask_origin(rq); return STEP_MORE;
    case REACHED_LATER: break;
    }
    rq->asked_at = loop->now;
    deadline_init(&rq->wait, on_tick);
    deadline_set(loop, &rq->wait, LOOP_TICK_MS);
    return STEP_WAIT;
}
