/*
 * Appending. An append is done when its own mark comes back through the stream that this node
 * follows, not when Redis has acknowledged it: a master that nobody follows any more
 * acknowledges too. Until then it may be sent more than once, which is harmless.
 *
 *   QUEUED -> IN_FLIGHT -> SENT -> LISTED -> forgotten
 *      ^__________|__________|________|            refused, lost, or another epoch
 *
 * Whatever is not done within its budget, or cannot be sent at all, is applied here at once and
 * waits: once that is safe on disk (one sync for all of a turn), the asker is told.
 *
 * With Sentinel, done also means that the master's replicas have acknowledged it: what was read
 * back is LISTED until the next proof (journal_follow), which is asked for at once. Elsewhere
 * it is kept a while. For an epoch that somebody else has begun may have begun before it (a
 * failover while this node still talked to the old master), and then it is told once more.
 */
#include <string.h>

#include "base/mem.h"
#include "cache/journal_asker.h"
#include "cache/journal_intent.h"
#include "cache/journal_link_state.h"
#include "cache/journal_scripts.h"
#include "cache/journal_wire.h"

#define IN_FLIGHT_MAX 64    /* appends sent at a time */
#define ESTRANGED_MS  500   /* two connections may speak to servers of different epochs */
#define KEEP_MS       60000 /* how long what was read back may have to be repeated */

static void publish_waiting(struct journal_link *l)
{
    atomic_store_explicit(&l->waiting, l->outbox.waiting, memory_order_release);
}

static void answer(struct outbox_item *it, enum append_outcome outcome)
{
    struct journal_append *a = it->asker;
    struct append_place place = {.seq = 0};
    it->asker = NULL;
    deadline_cancel(&it->deadline);
    if (a == NULL) {
        return;
    }
    if (outcome == APPEND_DONE) {
        memcpy(place.epoch, it->link->epoch, sizeof(place.epoch));
        place.seq = it->seq;
    }
    asker_answer(a, outcome, &place);
}

/* ---- pending ----------------------------------------------------------------------------- */

static void answer_waiting(const struct outbox_list *list)
{
    for (struct outbox_item *it = list->first; it != NULL; it = it->next) {
        if (it->waiting && it->asker != NULL) {
            answer(it, APPEND_PENDING);
        }
    }
}

/* At the end of a turn in which something began to wait. */
static void on_told(struct deferred *d)
{
    struct journal_link *l = container_of(d, struct journal_link, told);
    outbox_sync(&l->outbox);
    answer_waiting(&l->outbox.going);
    answer_waiting(&l->outbox.listed);
    outbox_bound(&l->outbox);
    publish_waiting(l);
}

/* It waits from now on, and L2 is not believed before anybody hears of that. */
static void begin_to_wait(struct journal_link *l, struct outbox_item *it)
{
    if (!it->waiting) {
        outbox_wait(&l->outbox, it);
        publish_waiting(l);
        loop_defer(l->loop, &l->told);
    }
}

static void apply_here(struct journal_link *l, const struct outbox_item *it)
{
    struct arena arena;
    struct record *records;
    arena_init(&arena, NULL, 0);
    size_t n = journal_wire_decode(strbuf_str(&it->wire), &arena, &records);
    journal_apply(l->journal, records, n);
    arena_reset(&arena);
}

/* Not in the stream in time: true here at once, and told to the others as soon as may be. */
static void make_pending(struct journal_link *l, struct outbox_item *it)
{
    if (it->waiting) {
        return;
    }
    deadline_cancel(&it->deadline);
    begin_to_wait(l, it);
    if (it->state != OUTBOX_LISTED) {
        apply_here(l, it);
    }
}

static void on_budget(struct deadline *d)
{
    struct outbox_item *it = container_of(d, struct outbox_item, deadline);
    make_pending(it->link, it);
}

/* ---- the way into the stream ------------------------------------------------------------- */

/* Its mark was read back and Redis has answered. */
static void finish(struct journal_link *l, struct outbox_item *it)
{
    outbox_list(&l->outbox, it, clock_monotonic());
    if (l->replicated) {
        l->registered_at = 0; /* proof in the next turn */
    } else {
        answer(it, APPEND_DONE);
        outbox_unwait(&l->outbox, it);
        publish_waiting(l);
    }
    link_check_closing(l);
}

/*
 * The server that takes the appends knows another epoch than the one followed, or has no
 * stream. Usually a new sync says so as well. If it does not, the two connections are at
 * different masters (an address that has moved), and this one ends, so that the next one finds
 * the right one.
 */
static void note_stranger(struct journal_link *l, const char *why)
{
    const struct segment argv[] = {REDIS_ARG("QUIT")};
    const struct redis_call call = {
        .role = REDIS_JOURNAL, .argv = argv, .argc = 1, .timeout = COMMAND_MS};
    msec_t now = l->loop->now;
    if (l->state != LINK_FOLLOWING) {
        return;
    }
    if (l->estranged == 0) {
        l->estranged = now;
        link_down(l, why);
    } else if (now - l->estranged >= ESTRANGED_MS) {
        l->estranged = 0;
        (void)redis_command(l->redis, &call);
    }
}

static void note_answer(struct journal_link *l, const struct redis_result *result)
{
    if (result->outcome == REDIS_ANSWERED) {
        l->estranged = 0;
        append_flush(l);
    } else if (result->outcome == REDIS_DENIED &&
               str_starts(result->reply->text, STR("EPOCHMOVED"))) {
        note_stranger(l, "an append found another epoch, or no stream");
    }
}

/* Nobody can read back a record that was trimmed; who has not read it has nothing left to which
 * it could apply, this node included. */
static void finish_if_passed(struct journal_link *l, struct outbox_item *it)
{
    if (it->state == OUTBOX_SENT && it->seq <= l->passed) {
        finish(l, it);
    }
}

/* A number that another record had, as far as this node has read, is given a second time: by a
 * master that lacks the last records, while the other connection may still read from the one
 * that had them. */
static bool given_again(const struct journal_link *l, uint64_t behind, uint64_t seq)
{
    return seq <= behind || (seq <= l->last_seq && seq > l->passed);
}

bool append_taken(struct journal_link *l, uint64_t behind, bool returned,
                  const struct redis_result *result)
{
    bool taken = result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_INTEGER;
    if (taken && !returned && given_again(l, behind, (uint64_t)result->reply->integer)) {
        note_stranger(l, "numbers of the journal are given again");
        return false;
    }
    note_answer(l, result);
    return taken;
}

static void on_append(void *ctx, const struct redis_result *result)
{
    struct outbox_item *it = ctx;
    struct journal_link *l = it->link;
    it->state = OUTBOX_QUEUED;
    if (it->epoch != l->epoch_n) {
        if (it->returned) {
            begin_to_wait(l, it); /* in an epoch that is over */
        }
        it->returned = false;
    } else if (it->returned) {
        finish(l, it);
    } else if (result->outcome != REDIS_ANSWERED || result->reply->type != REDIS_INTEGER) {
        make_pending(l, it);
    } else if (given_again(l, it->behind, (uint64_t)result->reply->integer)) {
        make_pending(l, it); /* not in the stream that is followed: to be told again */
        note_stranger(l, "numbers of the journal are given again");
        return;
    } else {
        it->state = OUTBOX_SENT;
        it->seq = (uint64_t)result->reply->integer;
        finish_if_passed(l, it);
    }
    note_answer(l, result);
}

struct redis_command *append_send(struct journal_link *l, struct str records, struct str mark,
                                  const char *field, struct str value, redis_done_fn *done,
                                  void *ctx)
{
    char horizon[20], most[20];
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(JOURNAL_APPEND),
        REDIS_ARG("2"),
        redis_arg(l->key_epoch),
        redis_arg(l->key_stream),
        link_text(l->epoch),
        redis_arg(records),
        redis_arg(mark),
        redis_arg(str_make(horizon, u64_to_dec((uint64_t)l->options.horizon, horizon))),
        redis_arg(str_make(most, u64_to_dec(l->options.max_records, most))),
        link_text(field),
        redis_arg(value),
    };
    const size_t argc = sizeof(argv) / sizeof(argv[0]);
    const struct redis_call call = {.role = REDIS_JOURNAL,
                                    .argv = argv,
                                    .argc = field[0] != '\0' ? argc : argc - 2,
                                    .key = 3,
                                    .timeout = COMMAND_MS,
                                    .writes = true,
                                    .done = done,
                                    .ctx = ctx};
    return redis_command(l->redis, &call);
}

static void send_item(struct journal_link *l, struct outbox_item *it)
{
    char mark[48];
    size_t mark_n = strlen(l->node);
    memcpy(mark, l->node, mark_n);
    mark[mark_n++] = ':';
    mark_n += u64_to_dec(it->mark, mark + mark_n);
    if (it->watched) {
        mark[mark_n++] = MARK_WATCHED;
    }
    it->link = l; /* not all were asked for: some are of an earlier run, or stand for many */
    if (append_send(l, strbuf_str(&it->wire), str_make(mark, mark_n),
                    it->closes.n > 0 ? "c" : "", strbuf_str(&it->closes), on_append,
                    it) != NULL) {
        it->state = OUTBOX_IN_FLIGHT;
        it->epoch = l->epoch_n;
        it->behind = l->last_seq;
        it->returned = false;
    }
}

void append_flush(struct journal_link *l)
{
    size_t in_flight = 0;
    bool refused = l->state != LINK_FOLLOWING;
    struct outbox_item *it = l->outbox.going.first;
    while (it != NULL && !refused && in_flight < IN_FLIGHT_MAX) {
        if (it->state == OUTBOX_QUEUED) {
            send_item(l, it);
            refused = it->state == OUTBOX_QUEUED;
        }
        in_flight += it->state == OUTBOX_IN_FLIGHT;
        it = it->next;
    }
}

bool append_returned(struct journal_link *l, struct str mark)
{
    uint64_t n;
    size_t colon = str_index(mark, ':');
    if (!str_eq(str_make(mark.p, colon), str_from(l->node)) ||
        !str_to_u64(str_skip(mark, colon + 1), UINT64_MAX, &n)) {
        return false;
    }
    struct outbox_item *it = outbox_find(&l->outbox, n);
    if (it == NULL || it->returned) {
        return true; /* sent more than once */
    }
    it->seq = l->last_seq;
    atomic_fetch_add_explicit(&l->appended, 1, memory_order_relaxed);
    if (it->state == OUTBOX_IN_FLIGHT) {
        it->returned = true; /* Redis's own answer is still to come: it ends there */
    } else {
        finish(l, it);
    }
    return true;
}

void append_passed(struct journal_link *l)
{
    struct outbox_item *next;
    for (struct outbox_item *it = l->outbox.going.first; it != NULL; it = next) {
        next = it->next;
        finish_if_passed(l, it);
    }
}

void append_epoch(struct journal_link *l, bool ours)
{
    l->estranged = 0;
    outbox_again(&l->outbox, !ours);
    if (l->outbox.waiting > 0) {
        loop_defer(l->loop, &l->told);
    }
    publish_waiting(l);
}

void append_proof(struct journal_link *l, msec_t proof)
{
    msec_t until = l->replicated ? proof : proof - KEEP_MS;
    for (struct outbox_item *it = l->outbox.listed.first; it != NULL && it->listed <= until;
         it = it->next) {
        answer(it, APPEND_DONE);
    }
    outbox_settle(&l->outbox, until);
    publish_waiting(l);
    if (l->outbox.listed.n > OUTBOX_MAX) {
        loop_defer(l->loop, &l->told);
    }
}

/* ---- asking ------------------------------------------------------------------------------ */

/* One of everything waits already and has not been sent. */
static void join_all(struct journal_link *l, struct outbox_item *it)
{
    apply_here(l, it);
    answer(it, APPEND_PENDING);
    outbox_drop(it);
}

static void take_up(struct journal_link *l, struct outbox_item *it)
{
    deadline_init(&it->deadline, on_budget);
    if (outbox_covers(&l->outbox)) {
        join_all(l, it);
        return;
    }
    outbox_add(&l->outbox, it);
    if (l->state != LINK_FOLLOWING) {
        make_pending(l, it);
        return;
    }
    msec_t left = l->options.budget - it->spent;
    deadline_set(l->loop, &it->deadline, left > 0 ? left : 0);
    append_flush(l);
    if (it->state == OUTBOX_QUEUED && !redis_ready(l->redis, REDIS_JOURNAL)) {
        make_pending(l, it);
    }
}

static void on_append_mail(struct mail *m)
{
    struct outbox_item *it = container_of(m, struct outbox_item, mail);
    if (it->intent != 0) {
        intent_commit(it->link, it->intent, &it->closes);
    }
    take_up(it->link, it);
}

void append_own(struct journal_link *l, struct str wire, struct str mid)
{
    struct outbox_item *it = xcalloc(1, sizeof(*it));
    it->link = l;
    strbuf_add_str(&it->wire, wire);
    strbuf_add_str(&it->closes, mid);
    take_up(l, it);
}

/* What an append may be besides its records. */
struct append_more {
    bool watched;
    uint64_t intent;
    msec_t spent;
};

static struct journal_append *append(struct journal_link *l, struct loop *loop,
                                     const struct record *records, size_t n,
                                     struct append_more more, journal_append_fn *done,
                                     void *ctx)
{
    struct outbox_item *it = xcalloc(1, sizeof(*it));
    struct journal_append *a = asker_new(loop, done, ctx);
    it->mail.fn = on_append_mail;
    it->link = l;
    it->asker = a;
    it->watched = more.watched;
    it->intent = more.intent;
    it->spent = more.spent;
    journal_wire_encode(records, n, &it->wire);
    loop_post(l->loop, &it->mail);
    return a;
}

struct journal_append *journal_link_append(struct journal_link *l, struct loop *loop,
                                           const struct record *records, size_t n,
                                           journal_append_fn *done, void *ctx)
{
    return append(l, loop, records, n, (struct append_more){0}, done, ctx);
}

struct journal_append *journal_link_append_watched(struct journal_link *l, struct loop *loop,
                                                   const struct record *records, size_t n,
                                                   journal_append_fn *done, void *ctx)
{
    return append(l, loop, records, n, (struct append_more){.watched = true}, done, ctx);
}

struct journal_append *journal_intent_commit(struct journal_link *l, struct loop *loop,
                                             uint64_t intent, msec_t spent,
                                             const struct record *records, size_t n,
                                             journal_append_fn *done, void *ctx)
{
    const struct append_more more = {.intent = intent, .spent = spent};
    return append(l, loop, records, n, more, done, ctx);
}

void append_init(struct journal_link *l)
{
    l->told.fn = on_told;
    publish_waiting(l);
}
