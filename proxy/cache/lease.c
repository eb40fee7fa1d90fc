/*
 * Leases: the instance, and a quest from its first command to its outcome: taking, waiting.
 * Every step is one command, whose failure means to go on without a lease. What a command that
 * timed out may have taken all the same runs out by itself. What is done with a lease that was
 * got: lease_hold.c.
 */
#include "cache/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "cache/journal.h"
#include "cache/lease_parts.h"
#include "cache/lease_scripts.h"

#define SLACK_MS      20 /* after the time at which another's lease is over */
#define DISPLACED_MAX 3  /* leases taken over in one quest */
#define FAILURES_MAX  2  /* failed fetches of others waited for */

static void on_wait_end(struct deadline *d);
static void on_taken(void *ctx, const struct redis_result *result);

/* ---- the instance --------------------------------------------------------------------------
 */

struct leases *leases_new(const struct lease_options *o)
{
    struct leases *ls = xcalloc(1, sizeof(*ls));
    *ls = (struct leases){.redis = o->redis,
                          .loop = o->loop,
                          .journal = o->journal,
                          .counters = o->counters,
                          .prefix = str_make(str_dup(o->prefix), o->prefix.n),
                          .life = o->life,
                          .beat = o->beat};
    deadline_init(&ls->heart, lease_on_heart);
    struct strbuf wake = {0};
    strbuf_addf(&wake, "{%.*s}:wake", STR_ARG(o->prefix));
    ls->wake = str_make(str_dup(strbuf_str(&wake)), wake.n);
    strbuf_free(&wake);
    if (RAND_bytes((unsigned char *)&ls->id, sizeof(ls->id)) != 1) {
        ls->id = (uint64_t)clock_monotonic() ^ (uint64_t)(uintptr_t)ls;
    }
    return ls;
}

static struct lease **list_of(struct lease *l)
{
    return l->state == LEASE_WAITING ? &l->set->waiting : &l->set->others;
}

static void list_remove(struct lease *l)
{
    l->set->held -= l->state == LEASE_HELD;
    *(l->prev != NULL ? &l->prev->next : list_of(l)) = l->next;
    if (l->next != NULL) {
        l->next->prev = l->prev;
    }
    l->prev = l->next = NULL;
}

static void list_add(struct lease *l)
{
    struct lease **list = list_of(l);
    l->set->held += l->state == LEASE_HELD;
    l->next = *list;
    if (l->next != NULL) {
        l->next->prev = l;
    }
    *list = l;
}

void lease_set_state(struct lease *l, enum lease_state state)
{
    list_remove(l);
    l->state = state;
    list_add(l);
}

void lease_free(struct lease *l)
{
    if (l->command != NULL) {
        redis_cancel(l->command);
    }
    list_remove(l);
    deadline_cancel(&l->timer);
    strbuf_free(&l->key);
    strbuf_free(&l->entry);
    free(l);
}

void leases_free(struct leases *ls)
{
    lease_reader_fini(ls);
    lease_heart_stop(ls);
    while (ls->waiting != NULL) {
        lease_free(ls->waiting);
    }
    while (ls->others != NULL) {
        lease_free(ls->others);
    }
    free((void *)(uintptr_t)ls->prefix.p);
    free((void *)(uintptr_t)ls->wake.p);
    free(ls);
}

/* ---- taking --------------------------------------------------------------------------------
 */

void lease_finish(struct lease *l, enum lease_outcome outcome)
{
    deadline_cancel(&l->timer);
    if (outcome == LEASE_GOT) {
        lease_count(&l->set->counters->taken);
        lease_hold(l);
        l->done(l->ctx, l, outcome);
        return;
    }
    l->done(l->ctx, l, outcome);
    lease_free(l);
}

/* In the entry's slot. */
static void add_key(struct str entry, struct str host, uint32_t scope, struct strbuf *out)
{
    uint64_t part = XXH3_64bits_withSeed(host.n > 0 ? host.p : "", host.n, scope);
    strbuf_addf(out, "{%.*s}:lease:%016llx", STR_ARG(entry), (unsigned long long)part);
}

void lease_key(struct str prefix, struct str name, struct str host, uint32_t scope,
               struct strbuf *out)
{
    char first[1024];
    struct arena arena;
    arena_init(&arena, first, sizeof(first));
    add_key(l2_redis_name(prefix, name, &arena), host, scope, out);
    arena_reset(&arena);
}

/* The keys: of the lease and of the entry. */
static void make_keys(struct lease *l)
{
    char first[1024];
    struct arena arena;
    arena_init(&arena, first, sizeof(first));
    struct str entry = l2_redis_name(l->set->prefix, l->quest.name, &arena);
    strbuf_add_str(&l->entry, entry);
    add_key(entry, l->quest.host, l->quest.scope, &l->key);
    l->wake_hash = XXH3_64bits(l->key.p, l->key.n);
    arena_reset(&arena);
}

/* One command of the quest, within what is left of its budget. */
static bool take(struct lease *l)
{
    struct leases *ls = l->set;
    char value[128], life[20];
    msec_t left = l->quest.budget - l->spent;
    if (left <= 0) {
        return false;
    }
    l->woken = false;
    l->stamp = journal_stamp(ls->journal);
    l->head_n = (size_t)snprintf(l->head, sizeof(l->head), "%016llx-%llx|",
                                 (unsigned long long)ls->id, (unsigned long long)++ls->serial);
    size_t n =
        (size_t)snprintf(value, sizeof(value), "%s%llu|%llu|", l->head,
                         (unsigned long long)l->stamp.epoch, (unsigned long long)l->stamp.seq);
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(LEASE_TAKE),
        REDIS_ARG("2"),
        redis_arg(strbuf_str(&l->key)),
        redis_arg(strbuf_str(&l->entry)),
        redis_arg(str_make(value, n)),
        redis_arg(str_make(life, u64_to_dec((uint64_t)ls->life, life))),
        redis_arg(l->quest.seen),
        redis_arg(str_make(l->other, l->other_n)),
    };
    const struct redis_call call = {.role = REDIS_LEASE,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 3,
                                    .timeout = left,
                                    .done = on_taken,
                                    .ctx = l};
    l->asked_at = ls->loop->now;
    l->command = redis_command(ls->redis, &call);
    return l->command != NULL;
}

struct lease *lease_seek(struct leases *ls, const struct lease_quest *quest,
                         lease_done_fn *done, void *ctx)
{
    struct lease *l = xcalloc(1, sizeof(*l));
    l->set = ls;
    l->quest = *quest;
    l->done = done;
    l->ctx = ctx;
    l->until = quest->patience >= 0 ? ls->loop->now + quest->patience : MSEC_MAX;
    size_t n = quest->seen.n < L2_MARK ? quest->seen.n : L2_MARK;
    if (n > 0) {
        memcpy(l->seen, quest->seen.p, n);
    }
    l->quest.seen = str_make(l->seen, n);
    deadline_init(&l->timer, on_wait_end);
    list_add(l);
    make_keys(l);
    if (!take(l)) {
        lease_count(&ls->counters->fallbacks);
        lease_free(l);
        return NULL;
    }
    return l;
}

void lease_try_again(struct lease *l)
{
    deadline_cancel(&l->timer);
    lease_set_state(l, LEASE_ASKING);
    if (!take(l)) {
        lease_count(&l->set->counters->fallbacks);
        lease_finish(l, LEASE_NONE);
    }
}

void leases_give_up(struct leases *ls)
{
    while (ls->waiting != NULL) {
        lease_finish(ls->waiting, LEASE_NONE);
    }
    struct lease *l = ls->others;
    while (l != NULL) {
        bool asking = l->state == LEASE_ASKING;
        if (asking) {
            lease_finish(l, LEASE_NONE);
        }
        l = asking ? ls->others : l->next;
    }
}

/* ---- waiting -------------------------------------------------------------------------------
 */

/* What a lease that is taken says of its holder. */
struct holder {
    struct str head; /* token and its end */
    uint64_t id;     /* of the instance; the token's first part */
    struct stamp stamp;
};

static bool read_instance(struct str token, uint64_t *id)
{
    char hex[17];
    char *end;
    if (token.n <= 16 || token.p[16] != '-') {
        return false;
    }
    memcpy(hex, token.p, 16);
    hex[16] = '\0';
    *id = strtoull(hex, &end, 16);
    return *end == '\0';
}

static bool read_holder(struct str value, struct holder *out)
{
    struct str rest = value, token, epoch, seq;
    *out = (struct holder){0};
    if (!str_next(&rest, '|', &token) || !str_next(&rest, '|', &epoch) ||
        !str_next(&rest, '|', &seq)) {
        return false;
    }
    out->head = str_make(value.p, token.n + 1);
    return out->head.n <= sizeof(((struct lease *)0)->other) &&
           read_instance(token, &out->id) && str_to_u64(epoch, UINT64_MAX, &out->stamp.epoch) &&
           str_to_u64(seq, UINT64_MAX >> JOURNAL_LOCAL_BITS, &out->stamp.seq);
}

/* Until the holder's lease may be over, patience ends, or he has been silent for what is left
 * of the budget: a Redis that is ill, or a holder that is cut off from it, costs no more. */
static void set_alarm(struct lease *l)
{
    msec_t until = l->quiet_at < l->until ? l->quiet_at : l->until;
    until = l->over_at < until ? l->over_at : until;
    deadline_set(l->set->loop, &l->timer, until - l->set->loop->now);
}

static void wait_for_other(struct lease *l, msec_t ms)
{
    struct leases *ls = l->set;
    msec_t now = ls->loop->now;
    lease_set_state(l, LEASE_WAITING);
    if (l->until <= now || l->spent >= l->quest.budget) {
        lease_finish(l, LEASE_NONE);
        return;
    }
    l->overdue = false;
    l->over_at = now + (ms > 0 ? ms : 0) + SLACK_MS;
    l->quiet_at = now + l->quest.budget - l->spent;
    set_alarm(l);
    lease_reader_want(ls);
}

static void on_wait_end(struct deadline *d)
{
    struct lease *l = container_of(d, struct lease, timer);
    struct leases *ls = l->set;
    msec_t now = ls->loop->now;
    if (now >= l->until) {
        lease_finish(l, LEASE_NONE);
    } else if (now >= l->over_at) {
        l->overdue = true; /* or it was renewed meanwhile */
        lease_try_again(l);
    } else if (now >= l->quiet_at) {
        lease_count(&ls->counters->silent);
        lease_finish(l, LEASE_NONE);
    } else {
        set_alarm(l); /* heard of him meanwhile */
    }
}

void leases_heard(struct leases *ls, uint64_t holder)
{
    for (struct lease *l = ls->waiting; l != NULL; l = l->next) {
        if (l->holder == holder) {
            l->quiet_at = ls->loop->now + l->quest.budget - l->spent;
        }
    }
}

/* Somebody else has it: the joining rule of design section 6. */
static void on_held(struct lease *l, struct str value, msec_t ms)
{
    struct leases *ls = l->set;
    struct holder other;
    if (!read_holder(value, &other)) {
        lease_finish(l, LEASE_NONE);
        return;
    }
    journal_adopt_stamp(ls->journal, &other.stamp, &l->stamp);
    switch (journal_check_stamp(ls->journal, &other.stamp, entry_base_name(l->quest.name),
                                l->quest.type, l->quest.route, STR(""))) {
    case JOURNAL_VALID:
        if (l->woken) {
            lease_try_again(l);
            return;
        }
        lease_count(&ls->counters->waited);
        l->holder = other.id;
        wait_for_other(l, ms);
        return;
    case JOURNAL_SOFT:
    case JOURNAL_INVALID:
        if (l->displaced++ < DISPLACED_MAX) {
            memcpy(l->other, other.head.p, other.head.n);
            l->other_n = other.head.n;
            lease_try_again(l);
            return;
        }
        break;
    case JOURNAL_UNVERIFIED: break;
    }
    lease_finish(l, LEASE_NONE);
}

void lease_wake(struct lease *l, enum lease_end end)
{
    struct lease_counters *counters = l->set->counters;
    switch (end) {
    case LEASE_STORED:
        lease_count(&counters->woken);
        lease_finish(l, LEASE_LOOK);
        return;
    case LEASE_NOT_SHARED:
        lease_count(&counters->unshared);
        lease_finish(l, LEASE_UNSHARED);
        return;
    case LEASE_NOT_IN_REDIS: lease_finish(l, LEASE_NONE); return;
    case LEASE_FAILED: break;
    }
    lease_count(&counters->failed);
    if (++l->failures < FAILURES_MAX) {
        lease_try_again(l);
    } else {
        lease_finish(l, LEASE_NONE);
    }
}

/* ---- answers -------------------------------------------------------------------------------
 */

static void got(struct lease *l, const struct redis_reply *fence)
{
    if (fence == NULL || !str_to_u64(fence->text, UINT64_MAX, &l->fence)) {
        lease_finish(l, LEASE_NONE);
        return;
    }
    if (l->other_n > 0) {
        lease_count(&l->set->counters->displaced);
    } else if (l->overdue) {
        lease_count(&l->set->counters->expired);
    }
    lease_finish(l, LEASE_GOT);
}

static void on_taken(void *ctx, const struct redis_result *result)
{
    struct lease *l = ctx;
    l->command = NULL;
    l->spent += l->set->loop->now - l->asked_at;
    const struct redis_reply *word = result->outcome == REDIS_ANSWERED
                                         ? redis_reply_item(result->reply, 0, REDIS_STRING)
                                         : NULL;
    if (word == NULL) {
        lease_count(&l->set->counters->fallbacks);
        lease_finish(l, LEASE_NONE);
        return;
    }
    const struct redis_reply *text = redis_reply_item(result->reply, 1, REDIS_STRING);
    const struct redis_reply *ms = redis_reply_item(result->reply, 2, REDIS_INTEGER);
    if (str_eq(word->text, STR("got"))) {
        got(l, text);
    } else if (str_eq(word->text, STR("look"))) {
        lease_finish(l, LEASE_LOOK);
    } else if (text != NULL && ms != NULL) {
        on_held(l, text->text, ms->integer);
    } else {
        lease_finish(l, LEASE_NONE);
    }
}

msec_t lease_spent(const struct lease *l)
{
    return l->spent;
}

struct stamp lease_stamp(const struct lease *l)
{
    return l->stamp;
}
