/*
 * Leases: taking, waiting, holding, giving back. Every step is one command, whose failure means
 * to go on without a lease. What a command that timed out may have taken all the same runs out
 * by itself.
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

#define SLACK_MS      20   /* after the time at which another's lease is over */
#define GIVE_BACK_MS  1000 /* nobody waits for that */
#define DISPLACED_MAX 3    /* leases taken over in one quest */
#define FAILURES_MAX  2    /* failed fetches of others waited for */
#define WAKES_KEPT    "1000"
#define WAKES_LIFE_MS "60000"

static void on_timer(struct deadline *d);
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
                          .life = o->life};
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
    *(l->prev != NULL ? &l->prev->next : list_of(l)) = l->next;
    if (l->next != NULL) {
        l->next->prev = l->prev;
    }
    l->prev = l->next = NULL;
}

static void list_add(struct lease *l)
{
    struct lease **list = list_of(l);
    l->next = *list;
    if (l->next != NULL) {
        l->next->prev = l;
    }
    *list = l;
}

static void set_state(struct lease *l, enum lease_state state)
{
    list_remove(l);
    l->state = state;
    list_add(l);
}

static void lease_free(struct lease *l)
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
        set_state(l, LEASE_HELD);
        deadline_set(l->set->loop, &l->timer, l->set->life / 3);
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
    deadline_init(&l->timer, on_timer);
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
    set_state(l, LEASE_ASKING);
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
    struct stamp stamp;
};

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
           str_to_u64(epoch, UINT64_MAX, &out->stamp.epoch) &&
           str_to_u64(seq, UINT64_MAX >> JOURNAL_LOCAL_BITS, &out->stamp.seq);
}

static void wait_for_other(struct lease *l, msec_t ms)
{
    struct leases *ls = l->set;
    msec_t patience = l->until - ls->loop->now;
    msec_t until = ms > 0 ? ms + SLACK_MS : SLACK_MS;
    set_state(l, LEASE_WAITING);
    if (patience <= 0) {
        lease_finish(l, LEASE_NONE);
        return;
    }
    deadline_set(ls->loop, &l->timer, until < patience ? until : patience);
    lease_reader_want(ls);
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

/* ---- holding -------------------------------------------------------------------------------
 */

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
    if (result->outcome == REDIS_ANSWERED && result->reply->integer == 0) {
        lease_count(&l->set->counters->lost);
        l->lost = true;
        deadline_cancel(&l->timer);
    }
}

static void on_timer(struct deadline *d)
{
    struct lease *l = container_of(d, struct lease, timer);
    struct leases *ls = l->set;
    char life[20];
    if (l->state == LEASE_WAITING) {
        if (ls->loop->now >= l->until) {
            lease_finish(l, LEASE_NONE);
            return;
        }
        lease_count(&ls->counters->expired);
        lease_try_again(l);
        return;
    }
    if (l->command == NULL) {
        struct str ms = str_make(life, u64_to_dec((uint64_t)ls->life, life));
        l->command = own(l, REDIS_ARG(LEASE_RENEW), ms, ls->life / 3, on_renewed);
    }
    deadline_set(ls->loop, d, ls->life / 3);
}

msec_t lease_spent(const struct lease *l)
{
    return l->spent;
}

struct stamp lease_stamp(const struct lease *l)
{
    return l->stamp;
}

/* ---- giving back ---------------------------------------------------------------------------
 */

static void on_woken(void *ctx, const struct redis_result *result)
{
    struct lease *l = ctx;
    (void)result;
    l->command = NULL;
    lease_free(l);
}

/* Tells those who wait. */
static void tell(struct lease *l)
{
    char hash[20], end[20];
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(LEASE_WAKE),
        REDIS_ARG("1"),
        redis_arg(l->set->wake),
        redis_arg(str_make(hash, u64_to_dec(l->wake_hash, hash))),
        redis_arg(str_make(end, u64_to_dec((uint64_t)l->end, end))),
        REDIS_ARG(WAKES_KEPT),
        REDIS_ARG(WAKES_LIFE_MS),
    };
    const struct redis_call call = {.role = REDIS_LEASE,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 3,
                                    .timeout = GIVE_BACK_MS,
                                    .wait = true,
                                    .done = on_woken,
                                    .ctx = l};
    l->command = redis_command(l->set->redis, &call);
    if (l->command == NULL) {
        lease_free(l);
    }
}

static void on_given_back(void *ctx, const struct redis_result *result)
{
    struct lease *l = ctx;
    bool answered = result->outcome == REDIS_ANSWERED;
    l->command = NULL;
    if (answered && result->reply->integer == 2) {
        tell(l);
        return;
    }
    if (answered && result->reply->integer == 0) {
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
        lease_free(l);
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
    set_state(l, LEASE_ENDING);
    deadline_cancel(&l->timer);
    if (l->writes == 0) {
        give_back(l);
    }
}
