/*
 * Leases: what is done with one that was got. It is renewed, entries are stored under its
 * fence, and it is given back. While a worker holds any, it says so every `beat`: one record
 * for all of them, by which those who wait tell a slow fetch from a holder that is gone.
 *
 * Giving back is the one thing that is repeated when it fails: nobody who has lost his
 * connection to Redis should hold up others for longer than that lasts. It is fenced by the
 * token, and over when the lease has run out by itself.
 */
#include "base/mem.h"
#include "cache/lease_parts.h"
#include "cache/lease_scripts.h"

#define GIVE_BACK_MS   1000 /* one attempt; no client waits for that here */
#define REPEAT_MS      50   /* between two attempts */
#define RECORDS_KEPT   "10000"
#define STREAM_LIFE_MS "60000"

static void on_timer(struct deadline *d);

/* ---- the stream of wakes -------------------------------------------------------------------
 */

/* `end`: how the fetch of a lease (a hash of its key) ended, or LEASE_ALIVE of an instance. */
static struct redis_command *tell(struct leases *ls, uint64_t whom, unsigned end,
                                  msec_t timeout, bool wait, redis_done_fn *done, void *ctx)
{
    char who[20], how[20];
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(LEASE_WAKE),
        REDIS_ARG("1"),
        redis_arg(ls->wake),
        redis_arg(str_make(who, u64_to_dec(whom, who))),
        redis_arg(str_make(how, u64_to_dec(end, how))),
        REDIS_ARG(RECORDS_KEPT),
        REDIS_ARG(STREAM_LIFE_MS),
    };
    const struct redis_call call = {.role = REDIS_LEASE,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 3,
                                    .timeout = timeout,
                                    .wait = wait,
                                    .done = done,
                                    .ctx = ctx};
    return redis_command(ls->redis, &call);
}

static void on_beaten(void *ctx, const struct redis_result *result)
{
    struct leases *ls = ctx;
    (void)result; /* what is not heard is not waited for */
    ls->beating = NULL;
}

void lease_on_heart(struct deadline *d)
{
    struct leases *ls = container_of(d, struct leases, heart);
    if (ls->held == 0) {
        return;
    }
    if (ls->beating == NULL) {
        ls->beating = tell(ls, ls->id, LEASE_ALIVE, ls->life / 3, false, on_beaten, ls);
    }
    deadline_set(ls->loop, d, ls->beat);
}

void lease_heart_stop(struct leases *ls)
{
    if (ls->beating != NULL) {
        redis_cancel(ls->beating);
        ls->beating = NULL;
    }
    deadline_cancel(&ls->heart);
}

/* ---- holding -------------------------------------------------------------------------------
 */

void lease_hold(struct lease *l)
{
    struct leases *ls = l->set;
    lease_set_state(l, LEASE_HELD);
    l->over_at = l->asked_at + ls->life;
    deadline_init(&l->timer, on_timer);
    deadline_set(ls->loop, &l->timer, ls->life / 3);
    if (!deadline_armed(&ls->heart)) {
        deadline_set(ls->loop, &ls->heart, ls->beat);
    }
}

/* One of the scripts that need nothing but the own lease, and one argument more or none. */
static struct redis_command *own(struct lease *l, struct segment script, struct str more,
                                 msec_t timeout, redis_done_fn *done)
{
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        script,
        REDIS_ARG("1"),
        redis_arg(strbuf_str(&l->key)),
        redis_arg(str_make(l->head, l->head_n)),
        redis_arg(more),
    };
    const struct redis_call call = {.role = REDIS_LEASE,
                                    .argv = argv,
                                    .argc = more.n > 0 ? 6 : 5,
                                    .key = 3,
                                    .timeout = timeout,
                                    .wait = true,
                                    .done = done,
                                    .ctx = l};
    return redis_command(l->set->redis, &call);
}

static void on_renewed(void *ctx, const struct redis_result *result)
{
    struct lease *l = ctx;
    l->command = NULL;
    if (result->outcome != REDIS_ANSWERED) {
        return;
    }
    if (result->reply->integer != 0) {
        l->over_at = l->asked_at + l->set->life;
        return;
    }
    lease_count(&l->set->counters->lost);
    l->lost = true;
    deadline_cancel(&l->timer);
}

static void renew(struct lease *l)
{
    struct leases *ls = l->set;
    char life[20];
    if (l->command == NULL) {
        struct str ms = str_make(life, u64_to_dec((uint64_t)ls->life, life));
        l->asked_at = ls->loop->now;
        l->command = own(l, REDIS_ARG(LEASE_RENEW), ms, ls->life / 3, on_renewed);
    }
    deadline_set(ls->loop, &l->timer, ls->life / 3);
}

/* ---- giving back ---------------------------------------------------------------------------
 */

static void repeat(struct lease *l)
{
    struct leases *ls = l->set;
    if (ls->loop->now + REPEAT_MS >= l->over_at) {
        lease_free(l);
        return;
    }
    if (!l->repeated) {
        lease_count(&ls->counters->repeated);
        l->repeated = true;
    }
    deadline_set(ls->loop, &l->timer, REPEAT_MS);
}

static void on_told(void *ctx, const struct redis_result *result)
{
    struct lease *l = ctx;
    l->command = NULL;
    if (result->outcome == REDIS_ANSWERED) {
        lease_free(l);
    } else {
        repeat(l);
    }
}

/* Tells those who wait. */
static void tell_end(struct lease *l)
{
    l->telling = true;
    l->command = tell(l->set, l->wake_hash, l->end, GIVE_BACK_MS, true, on_told, l);
    if (l->command == NULL) {
        repeat(l);
    }
}

static void on_given_back(void *ctx, const struct redis_result *result)
{
    struct lease *l = ctx;
    l->command = NULL;
    if (result->outcome != REDIS_ANSWERED) {
        repeat(l);
        return;
    }
    /* Gone when it is asked again: by the attempt whose answer was lost, perhaps. */
    if (result->reply->integer == 2 || (result->reply->integer == 0 && l->repeated)) {
        tell_end(l);
        return;
    }
    if (result->reply->integer == 0) {
        lease_count(&l->set->counters->lost);
    }
    lease_free(l);
}

static void give_back(struct lease *l)
{
    if (l->lost) {
        lease_free(l);
        return;
    }
    if (l->command != NULL) {
        redis_cancel(l->command); /* a renewal */
    }
    if (l->end == LEASE_STORED && l->unwritten) {
        l->end = LEASE_NOT_IN_REDIS;
    }
    l->command = own(l, REDIS_ARG(LEASE_GIVE_BACK), STR(""), GIVE_BACK_MS, on_given_back);
    if (l->command == NULL) {
        repeat(l);
    }
}

static void on_timer(struct deadline *d)
{
    struct lease *l = container_of(d, struct lease, timer);
    if (l->state == LEASE_HELD) {
        renew(l);
    } else if (l->telling) {
        tell_end(l);
    } else {
        give_back(l);
    }
}

static void on_stored(void *ctx, enum l2_written how)
{
    struct lease *l = ctx;
    l->writes--;
    l->unwritten = l->unwritten || how == L2_UNWRITTEN;
    if (how == L2_FENCED) {
        lease_count(&l->set->counters->fenced);
    }
    if (l->state == LEASE_ENDING && l->writes == 0) {
        give_back(l);
    }
}

void lease_store(struct lease *l, struct l2 *t, const struct entry *e, msec_t now)
{
    if (l2_put_fenced(t, e, now, l->fence, on_stored, l)) {
        l->writes++;
    } else {
        l->unwritten = true;
    }
}

void lease_release(struct lease *l, enum lease_end end)
{
    l->end = end;
    lease_set_state(l, LEASE_ENDING);
    deadline_cancel(&l->timer);
    if (l->writes == 0) {
        give_back(l);
    }
}
