/*
 * The model's state, its steps, and a breadth-first search that visits each state once.
 *
 * A step looks at the state, changes it and says its name; what can happen in several ways is
 * several steps. Anything a process does not need any more is cleared, so that states which
 * differ only in the past are one.
 */
#include "journal_rule.h"

#include <stdlib.h>
#include <string.h>

enum { A, B, NODES };
enum { OLD, NEW, MASTERS }; /* servers: before and after the failover */
enum { READERS = 2, FILLER = READERS, PROCESSES };
enum { BLOCK = 4, STREAM_MAX = 8 };
enum {
    BARRIER,
    W,
    OTHER,
    INTENT
}; /* records: one that matches, one that does not; an intent */

struct stamp {
    uint8_t epoch, seq, local;
};

/* One server: the stream (record i has number i + 1) and the hash beside it. */
struct server {
    uint8_t record[STREAM_MAX];
    uint8_t seq;    /* records; also the hash's seq */
    uint8_t epoch;  /* id */
    uint8_t replid; /* that the epoch began on */
    uint8_t from;   /* records before the epoch */
};

enum failover { NOT_YET, NEVER, HAPPENED };
enum item_state { ITEM_NONE, ITEM_QUEUED, ITEM_SENT, ITEM_LISTED };

struct entry {
    uint8_t present, version;
    struct stamp stamp;
};

struct node {
    uint8_t follows, appends; /* server at the other end of each connection */
    uint8_t synced;           /* … of the following one: knows the epoch there */
    uint8_t epoch, last_seq;
    uint8_t position, first, base_seq; /* this node's own order */
    uint8_t hit;                       /* position of the newest record that matches; 0: none */
    uint8_t waiting;                   /* applied here, not known to be in the stream */
    uint8_t proven; /* version of the newest write DONE when this node was last current */
    uint8_t dead;   /* A */
    uint8_t intent; /* B: what it knows of A's */
    struct entry l1;
};

enum known_intent {
    INTENT_NONE,
    INTENT_OPEN,
    INTENT_HEALING, /* its record was appended here … */
    INTENT_HEALED,  /* … and read back */
};

enum writer_at { WRITER_START, WRITER_FORWARDED, WRITER_WAITS, WRITER_END };
enum reader_at {
    READ_START,
    READ_ASK,
    READ_L2,
    READ_JUDGE,
    READ_FETCH,
    READ_STORE,
    READ_PUT,
    READ_END
};

struct reader {
    uint8_t at, node;
    uint8_t required; /* version that was acknowledged before it began */
    uint8_t believes; /* nothing waited when it asked L2 */
    struct stamp asked;
    struct entry got; /* from L2, or from the origin */
};

struct state {
    uint8_t origin; /* version */
    struct server server[MASTERS];
    uint8_t failed_over; /* enum failover */
    uint8_t replicated;  /* records of OLD that its replica has for certain */
    struct entry l2;
    struct node node[NODES];
    struct reader reader[PROCESSES];
    uint8_t writer, item;
    uint8_t other;  /* the record that does not matter was appended */
    uint8_t acked;  /* version acknowledged to the writer, on A */
    uint8_t done;   /* … as known to all */
    uint8_t epochs; /* ids given */
    uint8_t again;  /* A is to announce its write in this epoch too */
    uint8_t gone;   /* the intent was lost with a master, before B had read it and before the
                       backend committed: nobody but A knows of it */
};

/* One search. */
struct search {
    struct rule_setup setup;
    struct rule_result *out;
    const struct state *from; /* that the steps are tried on */
    uint32_t from_index;

    struct state *states; /* all that were reached, in order */
    uint32_t *parent;
    const char **step; /* that led there */
    size_t n, cap;
    uint32_t *table; /* index + 1 of a state, by hash */
    size_t table_size;
};

/* ---- the rule ---------------------------------------------------------------------------- */

static uint8_t place_of(const struct node *n, uint8_t seq)
{
    return (uint8_t)(n->first + (seq - n->base_seq) * BLOCK);
}

static struct stamp stamp_of(const struct node *n)
{
    return (struct stamp){.epoch = n->epoch, .seq = n->last_seq, .local = n->position};
}

static bool is_valid(const struct search *s, const struct node *n, const struct stamp *st)
{
    bool known = s->setup.bug == BUG_EPOCH_KEEPS_ENTRIES ||
                 (st->epoch == n->epoch && st->local >= n->first);
    return known && n->hit <= st->local;
}

/* As journal_adopt_stamp(). */
static void adopt(const struct search *s, const struct node *n, struct stamp *st,
                  const struct stamp *asked)
{
    uint8_t place = asked->local;
    if (st->epoch == n->epoch &&
        (st->seq < n->last_seq || s->setup.bug == BUG_ADOPT_AT_FACE_VALUE)) {
        place = st->seq >= n->base_seq ? place_of(n, st->seq) : (uint8_t)(n->first - 1);
    }
    st->local =
        place < asked->local || s->setup.bug == BUG_ADOPT_AT_FACE_VALUE ? place : asked->local;
}

static void apply_here(struct node *n)
{
    n->hit = ++n->position;
}

/* ---- the search -------------------------------------------------------------------------- */

static uint64_t hash_of(const struct state *st)
{
    const char *p = (const char *)st;
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < sizeof(*st); i += sizeof(uint64_t)) {
        uint64_t word = 0;
        size_t left = sizeof(*st) - i;
        memcpy(&word, p + i, left < sizeof(word) ? left : sizeof(word));
        h = (h ^ word) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
    }
    return h;
}

static void grow_table(struct search *s)
{
    free(s->table);
    s->table_size = s->table_size > 0 ? s->table_size * 2 : 1 << 16;
    s->table = calloc(s->table_size, sizeof(*s->table));
    for (size_t i = 0; i < s->n; i++) {
        size_t at = hash_of(&s->states[i]) & (s->table_size - 1);
        while (s->table[at] != 0) {
            at = (at + 1) & (s->table_size - 1);
        }
        s->table[at] = (uint32_t)i + 1;
    }
}

static void grow_states(struct search *s)
{
    s->cap = s->cap > 0 ? s->cap * 2 : 1 << 14;
    s->states = realloc(s->states, s->cap * sizeof(*s->states));
    s->parent = realloc(s->parent, s->cap * sizeof(*s->parent));
    s->step = realloc(s->step, s->cap * sizeof(*s->step));
    if (s->states == NULL || s->parent == NULL || s->step == NULL) {
        abort();
    }
}

/* A step leads to this state. */
static void reach(struct search *s, const struct state *st, const char *step)
{
    if (s->n * 2 >= s->table_size) {
        grow_table(s);
    }
    size_t at = hash_of(st) & (s->table_size - 1);
    while (s->table[at] != 0) {
        if (memcmp(&s->states[s->table[at] - 1], st, sizeof(*st)) == 0) {
            return;
        }
        at = (at + 1) & (s->table_size - 1);
    }
    if (s->n == s->cap) {
        const size_t index = s->from_index;
        grow_states(s);
        s->from = &s->states[index];
    }
    s->states[s->n] = *st;
    s->parent[s->n] = s->from_index;
    s->step[s->n] = step;
    s->table[at] = (uint32_t)++s->n;
}

/* The step that is being taken ends in this. */
static void violate(struct search *s, const char *what, const char *step)
{
    struct rule_result *out = s->out;
    const size_t most = sizeof(out->trace) / sizeof(out->trace[0]);
    if (out->violation != NULL) {
        return;
    }
    out->violation = what;
    size_t n = 1;
    for (uint32_t i = s->from_index; i != 0; i = s->parent[i]) {
        n++;
    }
    out->steps = n < most ? n : most;
    size_t at = out->steps;
    out->trace[--at] = step;
    for (uint32_t i = s->from_index; i != 0 && at > 0; i = s->parent[i]) {
        out->trace[--at] = s->step[i];
    }
}

/* ---- the write --------------------------------------------------------------------------- */

/* The writer hears that its record is in the stream, or that it is pending. */
static void tell_writer(struct state *st, bool done)
{
    if (st->writer == WRITER_WAITS) {
        st->writer = WRITER_END;
        st->acked = 1;
        st->done = done ? 1 : st->done;
    }
}

static void make_pending(const struct search *s, struct state *st)
{
    if (st->node[A].waiting) {
        return;
    }
    st->node[A].waiting = 1;
    if (s->setup.bug != BUG_PENDING_NOT_APPLIED) {
        apply_here(&st->node[A]);
    }
    tell_writer(st, false);
}

/* The record is in the stream for good. */
static void settle(struct state *st)
{
    st->item = ITEM_NONE;
    st->node[A].waiting = 0;
    tell_writer(st, true);
    /* Told as pending, it is known to the others from now on. */
    st->done = 1;
}

static bool is_there(const struct search *s, const struct state *st, uint8_t server)
{
    return server == NEW || st->failed_over != HAPPENED || s->setup.redis == REDIS_FAILS_OVER;
}

/* The append script, for one who follows the epoch of node n; false when it refuses. */
static bool append_to(const struct search *s, struct state *st, uint8_t server,
                      const struct node *n, uint8_t record)
{
    struct server *m = &st->server[server];
    if (!n->synced || !is_there(s, st, server) || m->epoch != n->epoch ||
        m->seq == STREAM_MAX) {
        return false;
    }
    m->record[m->seq++] = record;
    return true;
}

/* A announces a write (strict: or refuses it) and forwards it. It cannot die before, or the
 * backend would never see the write. */
static void forward_step(struct search *s)
{
    struct state st = *s->from;
    if (st.writer != WRITER_START) {
        return;
    }
    if (s->setup.intent && s->setup.bug == BUG_ANNOUNCE_LATE) {
        st.again = 1;
    } else if (s->setup.intent && !append_to(s, &st, st.node[A].appends, &st.node[A], INTENT)) {
        return;
    } else {
        /* A master that was given up takes it: until A knows, nobody else can. */
        st.gone = st.failed_over == HAPPENED && st.node[A].appends == OLD;
    }
    st.writer = WRITER_FORWARDED;
    reach(s, &st, s->setup.intent ? "A announces a write, forwards it" : "A forwards a write");
}

/* In a new epoch. */
static void announce_step(struct search *s)
{
    struct state st = *s->from;
    if (!st.again || st.node[A].dead) {
        return;
    }
    if (s->setup.bug != BUG_NOT_ANNOUNCED_AGAIN &&
        !append_to(s, &st, st.node[A].appends, &st.node[A], INTENT)) {
        return;
    }
    st.again = st.gone = 0;
    reach(s, &st, "A announces its write again");
}

static void death_step(struct search *s)
{
    struct state st = *s->from;
    if (!s->setup.dies || st.node[A].dead ||
        (st.writer != WRITER_FORWARDED && st.writer != WRITER_WAITS)) {
        return;
    }
    st.node[A] = (struct node){.dead = 1};
    st.item = ITEM_NONE;
    st.again = 0;
    st.writer = st.writer == WRITER_WAITS ? WRITER_END : WRITER_FORWARDED;
    for (size_t i = 0; i < PROCESSES; i++) {
        if (st.reader[i].node == A) {
            st.reader[i] = (struct reader){.at = READ_END};
        }
    }
    reach(s, &st, "A dies");
}

static void writer_steps(struct search *s)
{
    struct state st = *s->from;
    bool plain = !s->setup.dies && !s->setup.intent;
    if (st.writer == (plain ? WRITER_START : WRITER_FORWARDED)) {
        bool dead = st.node[A].dead;
        st.origin = 1;
        st.writer = dead ? WRITER_END : WRITER_WAITS;
        st.item = dead ? ITEM_NONE : ITEM_QUEUED;
        reach(s, &st, "the backend commits a write, A is asked to invalidate");
    } else if (st.writer == WRITER_WAITS && st.item != ITEM_NONE) {
        make_pending(s, &st);
        reach(s, &st, "A: the write's budget is over: applied here, answered as pending");
    }
}

/* The write's record, which ends its intent. */
static void append_step(struct search *s)
{
    struct state st = *s->from;
    struct node *a = &st.node[A];
    if (st.item != ITEM_QUEUED || !a->synced) {
        return;
    }
    if (!append_to(s, &st, a->appends, a, W)) {
        make_pending(s, &st);
        reach(s, &st, "A: the append is refused: pending");
        return;
    }
    st.item = ITEM_SENT;
    st.again = 0;
    st.gone = st.gone && a->appends == OLD; /* … which nobody follows any more */
    if (s->setup.bug == BUG_PENDING_ENDS_EARLY) {
        a->waiting = 0;
    }
    if (s->setup.bug == BUG_ACK_BEFORE_APPLY) {
        tell_writer(&st, true);
    }
    reach(s, &st,
          a->appends == OLD ? "A appends to the old master" : "A appends to the new master");
}

/* ---- following --------------------------------------------------------------------------- */

/* A: what was sent goes into the new epoch as well. */
static void send_again(struct state *st, bool ours)
{
    if (st->item == ITEM_SENT) {
        st->item = ITEM_QUEUED;
    } else if (st->item == ITEM_LISTED && (!ours || st->node[A].waiting)) {
        st->item = ITEM_QUEUED;
        st->node[A].waiting = 1;
    } else if (st->item == ITEM_LISTED) {
        st->item = ITEM_NONE;
    }
}

/* What the record says of it. */
static void note_intent(struct node *b, uint8_t record)
{
    if (record == INTENT && b->intent == INTENT_NONE) {
        b->intent = INTENT_OPEN;
    } else if (record == W) {
        b->intent = b->intent == INTENT_HEALING ? INTENT_HEALED : INTENT_NONE;
    }
}

/* B in an epoch that is new to it: what is left of older ones it looks through for intents. */
static void keep_intent(const struct search *s, struct node *b, const struct server *m,
                        bool ours)
{
    if (s->setup.bug == BUG_EPOCH_ENDS_INTENTS || (b->intent == INTENT_HEALED && ours)) {
        b->intent = INTENT_NONE; /* … what was healed is validated anyway */
    } else if (b->intent != INTENT_NONE) {
        b->intent = INTENT_OPEN;
    }
    for (uint8_t i = 0; i < m->from && s->setup.bug != BUG_OLDER_NOT_READ; i++) {
        note_intent(b, m->record[i]);
    }
}

/* The sync script, and what the node makes of its answer. */
static void sync_step(struct search *s, uint8_t which)
{
    struct state st = *s->from;
    struct node *n = &st.node[which];
    struct server *m = &st.server[n->follows];
    if (n->synced || n->dead || !is_there(s, &st, n->follows)) {
        return;
    }
    bool good = m->replid == n->follows || s->setup.bug == BUG_NO_EPOCH_MOVE;
    bool ours = false;
    if (good && m->epoch == n->epoch && n->last_seq > m->seq) {
        good = s->setup.bug == BUG_NO_EPOCH_MOVE;
    }
    if (!good) {
        while (m->seq < n->last_seq) {
            m->record[m->seq++] = BARRIER; /* numbers that are left out */
        }
        m->from = m->seq;
        m->record[m->seq++] = BARRIER;
        m->epoch = ++st.epochs;
        m->replid = n->follows;
        ours = true;
    }
    if (m->epoch != n->epoch) {
        n->epoch = m->epoch;
        n->last_seq = n->base_seq = m->from;
        n->position = n->first = (uint8_t)((n->position / BLOCK + 1) * BLOCK);
        if (which == A) {
            send_again(&st, ours);
            st.again =
                s->setup.intent && (st.writer == WRITER_FORWARDED || st.writer == WRITER_WAITS);
        } else {
            keep_intent(s, n, m, ours);
        }
    }
    n->synced = 1;
    static const char *const names[NODES][2] = {{"A: sync", "A: sync, begins a new epoch"},
                                                {"B: sync", "B: sync, begins a new epoch"}};
    reach(s, &st, names[which][ours]);
}

/* The next record is read and applied. */
static void apply_step(struct search *s, uint8_t which)
{
    struct state st = *s->from;
    struct node *n = &st.node[which];
    const struct server *m = &st.server[n->follows];
    if (!n->synced || !is_there(s, &st, n->follows) || n->last_seq >= m->seq) {
        return;
    }
    n->last_seq++;
    n->position = place_of(n, n->last_seq);
    if (which == B) {
        note_intent(n, m->record[n->last_seq - 1]);
    }
    if (m->record[n->last_seq - 1] == W) {
        n->hit = n->position;
        if (which == A && (st.item == ITEM_SENT || st.item == ITEM_QUEUED)) {
            st.item = ITEM_LISTED;
            if (s->setup.redis == REDIS_CRASHES || s->setup.bug == BUG_DONE_WITHOUT_REPLICAS) {
                settle(&st);
            }
        }
    }
    reach(s, &st, which == A ? "A applies a record" : "B applies a record");
}

/* All was read, the epoch is the one followed and, with Sentinel, the replicas have
 * acknowledged a write: this node was current just now. */
static bool is_current(const struct search *s, const struct state *st, const struct node *n)
{
    const struct server *m = &st->server[n->follows];
    bool mastered =
        s->setup.redis == REDIS_CRASHES || n->follows == NEW || st->failed_over != HAPPENED;
    return n->synced && is_there(s, st, n->follows) && n->last_seq == m->seq &&
           m->epoch == n->epoch && mastered;
}

static void proof_step(struct search *s, uint8_t which)
{
    struct state st = *s->from;
    struct node *n = &st.node[which];
    const struct server *m = &st.server[n->follows];
    if (!is_current(s, &st, n)) {
        return;
    }
    if (n->follows == OLD) {
        st.replicated = m->seq;
    }
    if (which == A && st.item == ITEM_LISTED) {
        settle(&st);
    }
    if (s->setup.view == READS_ELSEWHERE && which == B) {
        n->proven = st.done; /* A's is not looked at */
    }
    reach(s, &st, which == A ? "A proves that it is current" : "B proves that it is current");
}

/* B: the deadline of the intent is over, which is not before the backend has committed, and all
 * that was there by then has been read. */
static void heal_step(struct search *s)
{
    struct state st = *s->from;
    struct node *b = &st.node[B];
    bool due = st.origin == 1 || s->setup.bug == BUG_HEAL_EARLY;
    if (b->intent != INTENT_OPEN || !due || b->last_seq != st.server[b->follows].seq ||
        !append_to(s, &st, b->follows, b, W)) {
        return;
    }
    b->intent = INTENT_HEALING;
    reach(s, &st, "B heals an intent");
}

/* Long after A died with its write, when B has nothing left to heal and is current: the write
 * is known, as if it had been answered. */
static void end_step(struct search *s)
{
    struct state st = *s->from;
    struct node *b = &st.node[B];
    bool busy = b->intent == INTENT_OPEN || b->intent == INTENT_HEALING;
    if (!st.node[A].dead || st.origin == 0 || st.gone || busy || !is_current(s, &st, b) ||
        s->setup.view != READS_ELSEWHERE) {
        return;
    }
    if (b->follows == OLD) {
        st.replicated = st.server[OLD].seq;
    }
    st.done = b->proven = 1;
    reach(s, &st, "the deadline is long over");
}

/* ---- the failover ------------------------------------------------------------------------ */

static void failover_steps(struct search *s)
{
    static const char *const names[] = {"Redis fails over, nothing is lost",
                                        "Redis fails over, a record is lost",
                                        "Redis fails over, two records are lost"};
    for (uint8_t lost = 0; lost < 3; lost++) {
        struct state st = *s->from;
        const struct server *old = &st.server[OLD];
        uint8_t least = s->setup.redis == REDIS_FAILS_OVER ? st.replicated : 1;
        if (st.failed_over != NOT_YET || old->seq < least + lost) {
            continue;
        }
        st.failed_over = HAPPENED;
        st.server[NEW] = *old;
        for (uint8_t i = 0; i < lost; i++) {
            uint8_t *record = &st.server[NEW].record[--st.server[NEW].seq];
            st.gone = st.gone ||
                      (*record == INTENT && st.origin == 0 && st.node[B].intent == INTENT_NONE);
            *record = 0;
        }
        if (s->setup.redis == REDIS_CRASHES) {
            st.server[OLD] = (struct server){0}; /* and its connections end */
            st.node[A].synced = st.node[B].synced = 0;
            st.node[A].follows = st.node[B].follows = NEW;
            st.node[A].appends = st.node[B].appends = NEW;
        }
        reach(s, &st, names[lost]);
    }
}

static void reconnect_steps(struct search *s, uint8_t which)
{
    struct state st = *s->from;
    struct node *n = &st.node[which];
    if (st.failed_over != HAPPENED || n->dead) {
        return;
    }
    if (n->follows == OLD) {
        n->follows = NEW;
        n->synced = 0;
        reach(s, &st, which == A ? "A follows the new master" : "B follows the new master");
        st = *s->from;
    }
    if (which == A && n->appends == OLD) {
        n->appends = NEW;
        reach(s, &st, "A: appends go to the new master");
    }
}

/* ---- a read ------------------------------------------------------------------------------ */

static void end_read(struct reader *r)
{
    *r = (struct reader){.at = READ_END, .node = r->node};
}

/* The client has its answer. */
static void answer_read(struct search *s, const struct reader *r, const struct entry *e,
                        const char *step)
{
    if (e->version < r->required) {
        violate(
            s,
            s->setup.view == READS_ON_WRITER
                ? "A returned an older version than it had acknowledged"
                : "B returned an older version than was known to all when it proved that it "
                  "is current",
            step);
    }
}

/* From the request to the stamp. A request that began earlier is entitled to less: so it begins
 * with its first look. */
static void begin_read(struct search *s, struct state *st, struct reader *r, struct node *n)
{
    r->required = s->setup.view == READS_ON_WRITER ? st->acked : n->proven;
    if (n->l1.present && is_valid(s, n, &n->l1.stamp)) {
        answer_read(s, r, &n->l1, "a reader is served from L1");
        end_read(r);
        reach(s, st, "a reader is served from L1");
        return;
    }
    r->believes = !n->waiting;
    if (s->setup.bug == BUG_PENDING_BEFORE_STAMP) {
        r->at = READ_ASK;
        reach(s, st, "a reader begins, finds nothing valid in L1 and nothing pending");
        return;
    }
    if (s->setup.no_l2 && r == &st->reader[1]) {
        return; /* looks at L1 only */
    }
    if (s->setup.no_l2) {
        r->got = (struct entry){.stamp = stamp_of(n)};
        r->at = READ_FETCH;
        reach(s, st, "a reader begins, finds nothing valid in L1, takes its stamp");
        return;
    }
    r->asked = stamp_of(n);
    r->at = READ_L2;
    reach(s, st, "a reader begins, finds nothing valid in L1, asks L2");
}

static void judge_l2(struct search *s, struct state *st, struct reader *r, struct node *n)
{
    adopt(s, n, &r->got.stamp, &r->asked);
    bool believes = r->believes || s->setup.bug == BUG_PENDING_BELIEVES_L2;
    if (r->got.present && believes && is_valid(s, n, &r->got.stamp)) {
        answer_read(s, r, &r->got, "a reader is served from L2");
        n->l1 = r->got;
        end_read(r);
        reach(s, st, "a reader is served from L2");
        return;
    }
    r->asked = (struct stamp){0};
    r->believes = 0;
    r->got = (struct entry){.stamp = stamp_of(n)};
    r->at = READ_FETCH;
    reach(s, st, "a reader finds nothing valid in L2, takes its stamp");
}

static void store_l1(struct search *s, struct state *st, struct reader *r, struct node *n)
{
    if (s->setup.bug == BUG_STAMP_AFTER_FETCH) {
        r->got.stamp = stamp_of(n);
    }
    answer_read(s, r, &r->got, "a reader is served from the origin, and L1 filled");
    n->l1 = r->got;
    r->required = 0;
    r->at = READ_PUT;
    if (s->setup.no_l2) {
        end_read(r);
    }
    reach(s, st, "a reader is served from the origin, and L1 filled");
}

static void reader_steps(struct search *s, size_t which)
{
    struct state st = *s->from;
    struct reader *r = &st.reader[which];
    struct node *n = &st.node[r->node];
    bool fills = which == FILLER;
    switch (r->at) {
    case READ_START:
        if (fills) {
            r->got.stamp = stamp_of(n);
            r->at = READ_FETCH;
            reach(s, &st, "the filler takes its stamp");
        } else if (which == 0 || st.reader[0].at != READ_START) { /* they are alike */
            begin_read(s, &st, r, n);
        }
        break;
    case READ_ASK:
        r->asked = stamp_of(n);
        r->at = READ_L2;
        reach(s, &st, "a reader takes the stamp for L2, asks it");
        break;
    case READ_L2:
        r->got = st.l2;
        r->at = READ_JUDGE;
        reach(s, &st, "L2 answers");
        break;
    case READ_JUDGE: judge_l2(s, &st, r, n); break;
    case READ_FETCH:
        r->got.present = 1;
        r->got.version = st.origin;
        r->at = fills ? READ_PUT : READ_STORE;
        reach(s, &st, fills ? "the filler fetches" : "a reader fetches");
        break;
    case READ_STORE: store_l1(s, &st, r, n); break;
    case READ_PUT:
        st.l2 = r->got;
        st.l2.stamp.local = 0; /* means nothing elsewhere */
        end_read(r);
        reach(s, &st,
              fills ? "the filler's answer reaches L2" : "a reader's answer reaches L2");
        break;
    default: break;
    }
}

/* Another client's write of something else. */
static void other_step(struct search *s)
{
    struct state st = *s->from;
    struct server *m = &st.server[st.failed_over == HAPPENED ? NEW : OLD];
    if (!st.other && m->seq < STREAM_MAX) {
        st.other = 1;
        m->record[m->seq++] = OTHER;
        reach(s, &st, "something else is invalidated");
    }
}

/* ---- everything -------------------------------------------------------------------------- */

static void all_steps(struct search *s)
{
    if (s->setup.dies || s->setup.intent) {
        forward_step(s);
        announce_step(s);
        death_step(s);
        heal_step(s);
        end_step(s);
    }
    writer_steps(s);
    append_step(s);
    other_step(s);
    failover_steps(s);
    for (uint8_t n = 0; n < NODES; n++) {
        sync_step(s, n);
        apply_step(s, n);
        proof_step(s, n);
        reconnect_steps(s, n);
    }
    for (size_t r = 0; r < PROCESSES; r++) {
        reader_steps(s, r);
    }
}

/* Both nodes follow the first epoch, which has begun with record 1. */
static void first_state(struct state *st, const struct rule_setup *setup)
{
    *st = (struct state){.replicated = 1, .epochs = 1};
    st->server[OLD] = (struct server){.seq = 1, .epoch = 1, .replid = OLD};
    for (uint8_t n = 0; n < NODES; n++) {
        st->node[n] = (struct node){.synced = 1,
                                    .epoch = 1,
                                    .last_seq = 1,
                                    .position = BLOCK,
                                    .first = BLOCK,
                                    .base_seq = 1};
    }
    uint8_t looked_at = setup->view == READS_ON_WRITER ? A : B;
    st->reader[0].node = st->reader[1].node = looked_at;
    st->reader[1].at = setup->readers > 1 ? READ_START : READ_END;
    st->reader[FILLER].node = looked_at == A ? B : A;
    st->reader[FILLER].at = setup->filler ? READ_START : READ_END;
    st->failed_over = setup->failover ? NOT_YET : NEVER;
    st->other = !setup->other;
}

void rule_explore(const struct rule_setup *setup, struct rule_result *out)
{
    *out = (struct rule_result){0};
    struct search s = {.setup = *setup, .out = out};
    struct state start;
    first_state(&start, setup);
    reach(&s, &start, "start");
    /* In the order of discovery, the first violation is one with the fewest steps. */
    for (size_t i = 0; i < s.n && out->violation == NULL; i++) {
        s.from_index = (uint32_t)i;
        s.from = &s.states[i];
        all_steps(&s);
    }
    out->states = s.n;
    free(s.states);
    free(s.parent);
    free(s.step);
    free(s.table);
}
