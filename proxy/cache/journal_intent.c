/*
 * See the header. On the link's thread but for the four calls at the end.
 *
 * An own intent is announced with the append script, and nobody reads it back: that Redis has
 * taken it in the epoch followed suffices. One that could not be announced in time stays here
 * until its write ends, and is announced with the next renewal if that is possible then.
 */
#include "cache/journal_intent.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/journal_asker.h"
#include "cache/journal_link_state.h"
#include "cache/journal_wire.h"

#define CLOSING_MAX 1000  /* ends kept until they can be told; more are healed */
#define SLACK_MS    100   /* most that a node leaves to the others before it heals */
#define AGAIN_MS    20    /* before the next look at what is due, but may have been ended */
#define UNREAD_MS   60000 /* deadline of what cannot be read */

/* A write of this node that was announced, or is to be. */
struct own_intent {
    struct jnode node; /* first; by number */
    struct mail mail;  /* brings it to the link */
    struct journal_link *link;
    struct own_intent *prev, *next; /* in the link's list */
    struct journal_append *asker;   /* to be answered; NULL: has been */
    struct strbuf value;            /* as the stream has it */
    uint64_t number;
    msec_t renew;
    struct deadline timer;         /* end of the asker's budget, then the next renewal */
    struct redis_command *command; /* announcing; NULL: none under way */
    bool sent;                     /* the stream may have it */
    bool returned;                 /* … and has: it was read back */
    bool again;                    /* to be announced in this epoch too */
    uint64_t epoch, behind;        /* of the link when that was sent */
};

/* Brings the end of one to the link. */
struct closing_mail {
    struct mail mail;
    struct journal_link *link;
    uint64_t number;
};

static void publish(struct journal_link *l)
{
    atomic_store_explicit(&l->intents.n_open, l->intents.open.n, memory_order_relaxed);
}

/* ---- Redis's clock ----------------------------------------------------------------------- */

/* Not later than what it shows. */
static msec_t redis_now(const struct journal_link *l)
{
    return clock_monotonic() + l->intents.ahead;
}

/* What Redis's clock showed when the last read was sent that brought all there was: who ended
 * his intent before that has done so here too. */
static msec_t known_until(const struct journal_link *l)
{
    return l->newest_at != 0 ? l->newest_at + l->intents.ahead : 0;
}

static void arm(struct journal_link *l)
{
    struct link_intents *li = &l->intents;
    msec_t due = intents_due(&li->open);
    if (due == MSEC_MAX || !li->clock_known) {
        deadline_cancel(&li->heal);
        return;
    }
    msec_t wait = due + li->slack - redis_now(l);
    deadline_set(l->loop, &li->heal, wait > AGAIN_MS ? wait : AGAIN_MS);
}

void intent_clock(struct journal_link *l, msec_t now)
{
    struct link_intents *li = &l->intents;
    li->ahead = now - clock_monotonic();
    li->clock_known = true;
    if (li->rebase) {
        li->rebase = false;
        intents_rebase(&li->open, now);
    }
    if (li->open.n > 0) {
        arm(l);
    }
}

/* When an intent of the stream entry `id` is due. A clock that was set back gives ids that lie
 * ahead of it. */
static msec_t due_of(const struct journal_link *l, struct str id, msec_t deadline)
{
    uint64_t at = 0;
    (void)str_to_u64(str_make(id.p, str_index(id, '-')), INT64_MAX / 2, &at);
    msec_t now = l->intents.clock_known ? redis_now(l) : (msec_t)at;
    return ((msec_t)at < now ? (msec_t)at : now) + deadline;
}

/* ---- own ones ---------------------------------------------------------------------------- */

static uint64_t key_of(uint64_t number)
{
    return number * 0x9e3779b97f4a7c15u;
}

static struct own_intent *find_own(const struct journal_link *l, uint64_t number)
{
    const struct link_intents *li = &l->intents;
    struct jnode *n = li->ready ? jtable_first(&li->by_number, key_of(number)) : NULL;
    while (n != NULL && ((struct own_intent *)n)->number != number) {
        n = jtable_next(n);
    }
    return (struct own_intent *)n;
}

/* The one of this node with this mid, unless it has ended; NULL: it is another node's. */
static struct own_intent *own_of(const struct journal_link *l, struct str mid)
{
    uint64_t number;
    size_t colon = str_index(mid, ':');
    bool here = str_eq(str_make(mid.p, colon), str_from(l->node)) &&
                str_to_u64(str_skip(mid, colon + 1), UINT64_MAX, &number);
    return here ? find_own(l, number) : NULL;
}

static void add_mid(const struct journal_link *l, uint64_t number, struct strbuf *out)
{
    strbuf_addf(out, "%s:%llu", l->node, (unsigned long long)number);
}

static void keep_own(struct journal_link *l, struct own_intent *own)
{
    struct link_intents *li = &l->intents;
    if (!li->ready) {
        jtable_init(&li->by_number);
        li->ready = true;
    }
    own->node.key = key_of(own->number);
    jtable_add(&li->by_number, &own->node);
    own->next = li->mine;
    if (own->next != NULL) {
        own->next->prev = own;
    }
    li->mine = own;
    li->n_mine++;
}

static void free_own(struct own_intent *own)
{
    if (own->asker != NULL) {
        asker_drop(own->asker);
    }
    strbuf_free(&own->value);
    free(own);
}

/* It has ended. */
static void forget_own(struct journal_link *l, struct own_intent *own)
{
    struct link_intents *li = &l->intents;
    jtable_remove(&li->by_number, &own->node);
    *(own->prev != NULL ? &own->prev->next : &li->mine) = own->next;
    if (own->next != NULL) {
        own->next->prev = own->prev;
    }
    li->n_mine--;
    deadline_cancel(&own->timer);
    if (own->command != NULL && l->redis != NULL) { /* it goes with the connections */
        redis_cancel(own->command);
    }
    free_own(own);
}

static void answer(struct own_intent *own, enum append_outcome outcome)
{
    const struct append_place nowhere = {.seq = 0};
    struct journal_append *a = own->asker;
    if (a == NULL) {
        return;
    }
    own->asker = NULL;
    if (outcome == APPEND_PENDING) {
        atomic_fetch_add_explicit(&own->link->intents.failed, 1, memory_order_relaxed);
    }
    asker_answer(a, outcome, &nowhere);
}

static struct redis_command *send_field(struct journal_link *l, const char *field,
                                        struct str value, redis_done_fn *done, void *ctx)
{
    char mark[24]; /* no append of this node's: nothing is waited for */
    int n = snprintf(mark, sizeof(mark), "%s:0", l->node);
    return append_send(l, STR(""), str_make(mark, (size_t)n), field, value, done, ctx);
}

static void on_announced(void *ctx, const struct redis_result *result);

static void announce(struct own_intent *own)
{
    struct journal_link *l = own->link;
    if (l->state != LINK_FOLLOWING || own->command != NULL) {
        return;
    }
    own->command = send_field(l, "i", strbuf_str(&own->value), on_announced, own);
    if (own->command != NULL) {
        own->sent = true;
        own->returned = false;
        own->again = false;
        own->epoch = l->epoch_n;
        own->behind = l->last_seq;
    }
}

static void on_announced(void *ctx, const struct redis_result *result)
{
    struct own_intent *own = ctx;
    struct journal_link *l = own->link;
    own->command = NULL;
    bool taken = append_taken(l, own->behind, own->returned, result);
    if (own->epoch != l->epoch_n) {
        announce(own); /* that epoch is over; the budget goes on */
        return;
    }
    answer(own, taken ? APPEND_DONE : APPEND_PENDING);
    deadline_set(l->loop, &own->timer, own->renew);
}

static void on_timer(struct deadline *d)
{
    struct own_intent *own = container_of(d, struct own_intent, timer);
    if (own->asker != NULL) {
        answer(own, APPEND_PENDING);
    } else {
        announce(own);
    }
    deadline_set(own->link->loop, &own->timer, own->renew);
}

static void on_open_mail(struct mail *m)
{
    struct own_intent *own = container_of(m, struct own_intent, mail);
    struct journal_link *l = own->link;
    deadline_init(&own->timer, on_timer);
    if (l->intents.n_mine >= INTENTS_OWN_MAX) {
        answer(own, APPEND_PENDING);
        free_own(own);
        return;
    }
    keep_own(l, own);
    announce(own);
    if (own->command != NULL) {
        deadline_set(l->loop, &own->timer, l->options.budget);
    } else if (l->redis != NULL) { /* else the link is ending, nobody is answered any more */
        answer(own, APPEND_PENDING);
        deadline_set(l->loop, &own->timer, own->renew);
    }
}

void intent_commit(struct journal_link *l, uint64_t number, struct strbuf *mid)
{
    struct own_intent *own = find_own(l, number);
    if (own == NULL) {
        return;
    }
    if (own->sent) {
        add_mid(l, number, mid);
    }
    forget_own(l, own);
}

/* ---- ends without records ---------------------------------------------------------------- */

static void on_told(void *ctx, const struct redis_result *result);

static void tell_closing(struct journal_link *l)
{
    struct link_intents *li = &l->intents;
    if (li->closing.n == 0 || li->closing_sent.n > 0 || l->state != LINK_FOLLOWING) {
        return;
    }
    if (send_field(l, "c", strbuf_str(&li->closing), on_told, l) != NULL) {
        li->closing_sent = li->closing;
        li->n_closing_sent = li->n_closing;
        li->closing = (struct strbuf){0};
        li->n_closing = 0;
    }
}

static void on_told(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    struct link_intents *li = &l->intents;
    if (append_taken(l, 0, true, result)) {
        strbuf_free(&li->closing_sent);
        tell_closing(l);
    } else { /* told again in the next turn that is good for it */
        if (li->closing.n > 0) {
            strbuf_add_char(&li->closing_sent, ' ');
            strbuf_add_str(&li->closing_sent, strbuf_str(&li->closing));
            strbuf_free(&li->closing);
        }
        li->closing = li->closing_sent;
        li->n_closing += li->n_closing_sent;
        li->closing_sent = (struct strbuf){0};
    }
    link_check_closing(l);
}

static void on_close_due(struct deferred *d)
{
    tell_closing(container_of(d, struct journal_link, intents.close_due));
}

static void on_closing_mail(struct mail *m)
{
    struct closing_mail *c = container_of(m, struct closing_mail, mail);
    struct journal_link *l = c->link;
    struct link_intents *li = &l->intents;
    struct own_intent *own = find_own(l, c->number);
    free(c);
    if (own == NULL) {
        return;
    }
    if (own->sent && li->n_closing < CLOSING_MAX) {
        if (li->closing.n > 0) {
            strbuf_add_char(&li->closing, ' ');
        }
        add_mid(l, own->number, &li->closing);
        li->n_closing++;
        loop_defer(l->loop, &li->close_due);
    }
    forget_own(l, own);
}

bool intent_unsaid(const struct journal_link *l)
{
    return l->intents.closing.n > 0 || l->intents.closing_sent.n > 0;
}

/* ---- those of all nodes ------------------------------------------------------------------ */

void intent_seen(struct journal_link *l, struct str id, struct str announced, struct str ended)
{
    struct intents *open = &l->intents.open;
    struct journal_intent intent;
    struct str mid;
    while (str_next(&ended, ' ', &mid)) {
        (void)intents_close(open, mid);
    }
    if (announced.p != NULL) {
        if (!journal_wire_decode_intent(announced, &intent)) {
            /* Nobody will end it under this name: then all, when it is due. */
            intent = (struct journal_intent){id, UNREAD_MS, STR("ah0:")};
        }
        intents_put(open, &intent, due_of(l, id, intent.deadline));
        struct own_intent *own = own_of(l, intent.mid);
        if (own != NULL) {
            own->returned = true;
        }
    }
    publish(l);
    arm(l);
}

/* Nobody has ended these. */
static void heal(struct journal_link *l)
{
    struct intents *open = &l->intents.open;
    msec_t now = known_until(l) - l->intents.slack;
    size_t n = 0;
    if (intents_take_all(open, now)) {
        append_own(l, STR("ah0:"), STR(""));
        n++;
    }
    while (open->first != NULL && open->first->due <= now) {
        struct open_intent *it = open->first;
        if (own_of(l, open_intent_mid(it)) != NULL) {
            /* This node lives, and will end it. */
            intents_postpone(open, it, now + it->deadline);
            continue;
        }
        append_own(l, open_intent_records(it), open_intent_mid(it));
        intents_drop(open, it);
        n++;
    }
    if (n > 0) {
        atomic_fetch_add_explicit(&l->intents.healed, n, memory_order_relaxed);
        log_warn("journal: %zu announced writes never ended: what they name is invalidated", n);
    }
}

static void on_heal(struct deadline *d)
{
    struct journal_link *l = container_of(d, struct journal_link, intents.heal);
    /* What ends them may be among the records that were not read yet. */
    if (l->state == LINK_FOLLOWING) {
        heal(l);
        publish(l);
        arm(l);
    }
}

void intent_epoch(struct journal_link *l)
{
    struct link_intents *li = &l->intents;
    li->clock_known = false;
    li->rebase = true;
    for (struct own_intent *own = li->mine; own != NULL; own = own->next) {
        own->again = true;
    }
}

void intent_flush(struct journal_link *l)
{
    for (struct own_intent *own = l->intents.mine; own != NULL; own = own->next) {
        if (own->again) {
            announce(own);
        }
    }
    tell_closing(l);
    arm(l);
}

/* ---- life -------------------------------------------------------------------------------- */

void intent_init(struct journal_link *l)
{
    struct link_intents *li = &l->intents;
    uint64_t random = strtoull(l->node, NULL, 16);
    intents_init(&li->open, random);
    li->slack = (msec_t)(random % (SLACK_MS + 1));
    li->close_due.fn = on_close_due;
    deadline_init(&li->heal, on_heal);
}

void intent_fini(struct journal_link *l)
{
    struct link_intents *li = &l->intents;
    loop_defer_cancel(l->loop, &li->close_due);
    deadline_cancel(&li->heal);
    while (li->mine != NULL) {
        forget_own(l, li->mine);
    }
    if (li->ready) {
        jtable_fini(&li->by_number);
    }
    strbuf_free(&li->closing);
    strbuf_free(&li->closing_sent);
    intents_fini(&li->open);
}

/* ---- asking ------------------------------------------------------------------------------ */

uint64_t journal_intent_open(struct journal_link *l, struct loop *loop,
                             const struct intent_call *call, journal_append_fn *done, void *ctx,
                             struct journal_append **handle)
{
    struct own_intent *own = xcalloc(1, sizeof(*own));
    struct strbuf mid = {0}, records = {0};
    own->mail.fn = on_open_mail;
    own->link = l;
    own->number = atomic_fetch_add_explicit(&l->intents.given, 1, memory_order_relaxed) + 1;
    own->renew = call->renew > 0 ? call->renew : 1;
    own->asker = asker_new(loop, done, ctx);
    add_mid(l, own->number, &mid);
    journal_wire_encode(call->records, call->n, &records);
    if (records.n > INTENT_BYTES) {
        const struct record all = {.kind = RECORD_ALL};
        records.n = 0;
        journal_wire_encode(&all, 1, &records);
    }
    const struct journal_intent intent = {
        .mid = strbuf_str(&mid), .deadline = call->deadline, .records = strbuf_str(&records)};
    journal_wire_encode_intent(&intent, &own->value);
    strbuf_free(&mid);
    strbuf_free(&records);
    *handle = own->asker;
    uint64_t number = own->number;
    loop_post(l->loop, &own->mail);
    return number;
}

void journal_intent_close(struct journal_link *l, uint64_t intent)
{
    struct closing_mail *c = xcalloc(1, sizeof(*c));
    c->mail.fn = on_closing_mail;
    c->link = l;
    c->number = intent;
    loop_post(l->loop, &c->mail);
}
