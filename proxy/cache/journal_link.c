/*
 * The link. Two halves on one thread: following (sync, catch up, follow) and appending
 * (outbox).
 *
 *   DOWN -> SYNCING -> CATCHING_UP -> FOLLOWING
 *     ^________|____________|____________|        whatever goes wrong
 *
 * SYNC runs on the same connection as the reads that follow, so that both speak to one server;
 * a new connection is a new sync. Proof of being current: the moment an XREAD was sent whose
 * answer was applied, if the epoch read right behind it is still the one followed.
 *
 * An append is done when its own mark comes back through the stream that this node follows, not
 * when Redis has acknowledged it: a master that nobody follows any more acknowledges too.
 */
#include "cache/journal_link.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/journal_append.h"
#include "cache/journal_outbox.h"
#include "cache/journal_scripts.h"
#include "cache/journal_wire.h"

#define BLOCK_MS      250  /* XREAD BLOCK: the rhythm of proofs when nothing happens */
#define READ_COUNT    512  /* stream entries of one XREAD */
#define COMMAND_MS    1000 /* time of a short command */
#define RETRY_MIN_MS  50   /* between attempts to sync; doubles … */
#define RETRY_MAX_MS  2000
#define REGISTER_MS   1000 /* between registrations of this node */
#define NODE_LIFE_MS  5000 /* a node that has not registered for this long is gone */
#define IN_FLIGHT_MAX 64   /* appends sent at a time */
#define RECORDS_MAX   1024 /* of one stream entry; more count as `all` */

enum link_state {
    LINK_DOWN,
    LINK_SYNCING,
    LINK_CATCHING_UP,
    LINK_FOLLOWING,
};

struct journal_link {
    struct journal *journal;
    struct loop *loop;
    struct redis *redis;
    pthread_t thread;
    struct journal_link_options options;         /* strings owned */
    struct str key_stream, key_epoch, key_nodes; /* owned */
    char node[17];                               /* random id of this node, hex */

    enum link_state state;
    struct deadline retry;     /* next attempt to sync */
    struct deadline heartbeat; /* next registration */
    msec_t retry_ms;
    char epoch[17];      /* id followed, hex; empty: none yet */
    char cursor[48];     /* stream id of the last entry read */
    char sync_last[48];  /* stream id of the last entry at the time of the sync */
    uint64_t sync_seq;   /* seq at that time */
    uint64_t last_seq;   /* seq of the last entry read in this epoch; 0: none yet */
    bool force;          /* a gap was seen: the next sync moves the epoch */
    uint64_t connection; /* that the sync ran on */
    msec_t read_sent;    /* monotonic time at which the XREAD under way was sent */
    bool read_whole;     /* the last XREAD returned less than READ_COUNT */
    bool was_down;       /* for one log line per change */

    struct outbox outbox;
    uint64_t next_mark;

    _Atomic msec_t proof; /* monotonic; 0: never */
    atomic_bool following;
    atomic_uint_fast64_t nodes; /* last count; 0: never counted */
    atomic_size_t waiting;      /* items in the outbox that are pending */
    atomic_uint_fast64_t appended, epochs;
};

static void sync_start(struct journal_link *l);
static void follow_turn(struct journal_link *l);
static void outbox_flush(struct journal_link *l);

/* ---- state ------------------------------------------------------------------------------ */

static void publish_waiting(struct journal_link *l)
{
    atomic_store_explicit(&l->waiting, l->outbox.waiting, memory_order_release);
}

/* Something went wrong: from the start, after a while. */
static void link_down(struct journal_link *l, const char *why)
{
    if (l->state == LINK_FOLLOWING || !l->was_down) {
        log_warn("journal: not following Redis: %s", why);
        l->was_down = true;
    }
    l->state = LINK_DOWN;
    atomic_store_explicit(&l->following, false, memory_order_release);
    for (struct outbox_item *it = l->outbox.first; it != NULL; it = it->next) {
        it->sent = false; /* perhaps in a stream that is gone: once more, which is harmless */
    }
    if (!deadline_armed(&l->retry)) {
        msec_t wait = l->retry_ms / 2 + random() % (l->retry_ms / 2 + 1);
        deadline_set(l->loop, &l->retry, wait);
        l->retry_ms = l->retry_ms * 2 < RETRY_MAX_MS ? l->retry_ms * 2 : RETRY_MAX_MS;
    }
}

static void on_retry(struct deadline *d)
{
    sync_start(container_of(d, struct journal_link, retry));
}

static void random_hex(char out[17])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[8];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        uint64_t v = (uint64_t)clock_wall() * 0x9e3779b97f4a7c15u;
        memcpy(bytes, &v, sizeof(bytes));
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        out[2 * i] = hex[bytes[i] >> 4];
        out[2 * i + 1] = hex[bytes[i] & 15];
    }
    out[16] = '\0';
}

static uint64_t epoch_number(const char *id)
{
    return strtoull(id, NULL, 16);
}

/* ---- sync ------------------------------------------------------------------------------- */

static bool copy_text(char *out, size_t cap, struct str s)
{
    if (s.n >= cap) {
        return false;
    }
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

/* Takes up what the sync script said; false when it makes no sense. */
static bool take_sync(struct journal_link *l, const struct redis_reply *reply)
{
    const struct redis_reply *id = redis_reply_item(reply, 0, REDIS_STRING);
    const struct redis_reply *seq = redis_reply_item(reply, 1, REDIS_INTEGER);
    const struct redis_reply *last = redis_reply_item(reply, 2, REDIS_STRING);
    char epoch[17];
    if (id == NULL || seq == NULL || last == NULL || seq->integer < 0 || id->text.n != 16 ||
        !copy_text(epoch, sizeof(epoch), id->text) ||
        !copy_text(l->sync_last, sizeof(l->sync_last), last->text)) {
        return false;
    }
    l->sync_seq = (uint64_t)seq->integer;
    l->force = false;
    if (strcmp(epoch, l->epoch) != 0) {
        if (l->epoch[0] != '\0') {
            log_warn("journal: a new epoch (another master, or the journal was lost): stored "
                     "answers are validated before they are used again");
        }
        atomic_fetch_add_explicit(&l->epochs, 1, memory_order_relaxed);
        memcpy(l->epoch, epoch, sizeof(epoch));
        memcpy(l->cursor, "0-0", 4);
        l->last_seq = 0;
        journal_stream_epoch(l->journal, epoch_number(epoch), journal_seq(l->journal));
    }
    return true;
}

static void on_sync(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    if (result->outcome != REDIS_ANSWERED) {
        link_down(l, result->outcome == REDIS_DENIED ? redis_error_name(result->reply->error)
                                                     : "no answer");
        return;
    }
    if (!take_sync(l, result->reply)) {
        link_down(l, "a reply that makes no sense");
        return;
    }
    l->connection = result->connection;
    l->state = LINK_CATCHING_UP;
    follow_turn(l);
}

static struct segment text_arg(const char *s)
{
    return (struct segment){.p = s, .n = strlen(s)};
}

static void sync_start(struct journal_link *l)
{
    char fresh[17], known[20];
    random_hex(fresh);
    struct str seq = str_make(known, u64_to_dec(journal_seq(l->journal), known));
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(JOURNAL_SYNC),
        REDIS_ARG("2"),
        redis_arg(l->key_epoch),
        redis_arg(l->key_stream),
        text_arg(fresh),
        text_arg(l->epoch),
        redis_arg(seq),
        l->force ? REDIS_ARG("1") : REDIS_ARG("0"),
    };
    const struct redis_call call = {.role = REDIS_FOLLOW,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 3,
                                    .timeout = COMMAND_MS,
                                    .wait = true,
                                    .done = on_sync,
                                    .ctx = l};
    l->state = LINK_SYNCING;
    if (redis_command(l->redis, &call) == NULL) {
        link_down(l, "no connection");
    }
}

/* ---- following -------------------------------------------------------------------------- */

/* A field of a stream entry's list of names and values. */
static struct str field_value(const struct redis_reply *fields, struct str name)
{
    for (size_t i = 0; i + 1 < fields->n_items; i += 2) {
        const struct redis_reply *key = redis_reply_item(fields, i, REDIS_STRING);
        const struct redis_reply *value = redis_reply_item(fields, i + 1, REDIS_STRING);
        if (key != NULL && value != NULL && str_eq(key->text, name)) {
            return value->text;
        }
    }
    return STR_NULL;
}

static void answer(struct outbox_item *it, enum append_outcome outcome)
{
    struct journal_append *a = it->asker;
    it->asker = NULL;
    deadline_cancel(&it->deadline);
    if (a != NULL) {
        append_answer(a, outcome);
    }
}

/* One of our own appends has come back. */
static void own_mark(struct journal_link *l, struct str mark)
{
    uint64_t number;
    size_t colon = str_index(mark, ':');
    if (!str_eq(str_make(mark.p, colon), str_from(l->node)) ||
        !str_to_u64(str_skip(mark, colon + 1), UINT64_MAX, &number)) {
        return;
    }
    struct outbox_item *it = outbox_find(&l->outbox, number);
    if (it == NULL) {
        return; /* sent twice */
    }
    answer(it, APPEND_DONE);
    atomic_fetch_add_explicit(&l->appended, 1, memory_order_relaxed);
    if (it->in_flight) {
        it->sent = true; /* Redis's own answer is still to come: it ends there */
        it->mark = 0;
        return;
    }
    outbox_remove(&l->outbox, it);
    publish_waiting(l);
}

/* Applies one entry. False at a gap: a record that nobody here has seen. */
static bool apply_entry(struct journal_link *l, struct str id, const struct redis_reply *fields)
{
    uint64_t seq;
    struct arena arena;
    struct record *records;
    if (!str_to_u64(field_value(fields, STR("s")), UINT64_MAX >> JOURNAL_LOCAL_BITS, &seq) ||
        !copy_text(l->cursor, sizeof(l->cursor), id) ||
        (l->last_seq != 0 && seq != l->last_seq + 1)) {
        return false;
    }
    arena_init(&arena, NULL, 0);
    size_t n =
        journal_wire_decode(field_value(fields, STR("r")), RECORDS_MAX, &arena, &records);
    if (seq > journal_seq(l->journal)) {
        if (l->last_seq == 0 && l->state == LINK_CATCHING_UP) {
        }
        journal_stream_apply(l->journal, seq, records, n);
    } else {
        /* The numbers of an epoch begun by a node that knew less: this content is new here. */
        journal_apply(l->journal, records, n);
    }
    arena_reset(&arena);
    l->last_seq = seq;
    own_mark(l, field_value(fields, STR("m")));
    return true;
}

/* XREAD's answer: [[stream, [[id, [field, value, …]], …]]]. False when it makes no sense. */
static bool apply_reply(struct journal_link *l, const struct redis_reply *reply, size_t *count)
{
    *count = 0;
    if (reply->type == REDIS_NIL) {
        return true;
    }
    const struct redis_reply *stream = redis_reply_item(reply, 0, REDIS_ARRAY);
    const struct redis_reply *entries =
        stream != NULL ? redis_reply_item(stream, 1, REDIS_ARRAY) : NULL;
    if (entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < entries->n_items; i++) {
        const struct redis_reply *entry = redis_reply_item(entries, i, REDIS_ARRAY);
        const struct redis_reply *id =
            entry != NULL ? redis_reply_item(entry, 0, REDIS_STRING) : NULL;
        const struct redis_reply *fields =
            entry != NULL ? redis_reply_item(entry, 1, REDIS_ARRAY) : NULL;
        if (id == NULL || fields == NULL || !apply_entry(l, id->text, fields)) {
            l->force = true;
            return false;
        }
    }
    *count = entries->n_items;
    return true;
}

static void on_read(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    size_t count;
    if (l->state != LINK_CATCHING_UP && l->state != LINK_FOLLOWING) {
        return;
    }
    if (result->outcome != REDIS_ANSWERED) {
        link_down(l, result->outcome == REDIS_DENIED ? redis_error_name(result->reply->error)
                                                     : "the connection was lost");
        return;
    }
    if (result->connection != l->connection) {
        link_down(l, "another connection"); /* perhaps to another server */
        return;
    }
    if (!apply_reply(l, result->reply, &count)) {
        link_down(l, "records are missing");
        return;
    }
    l->read_whole = count < READ_COUNT;
}

/* Caught up: from here on this node knows everything. */
static void following(struct journal_link *l)
{
    l->state = LINK_FOLLOWING;
    l->retry_ms = RETRY_MIN_MS;
    if (journal_seq(l->journal) < l->sync_seq) {
        journal_stream_epoch(l->journal, epoch_number(l->epoch), l->sync_seq);
    }
    if (l->last_seq == 0) {
        l->last_seq = l->sync_seq;
    }
    atomic_store_explicit(&l->following, true, memory_order_release);
    if (l->was_down) {
        log_info("journal: following Redis");
        l->was_down = false;
    }
    outbox_flush(l);
}

static void on_epoch(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    if (l->state != LINK_CATCHING_UP && l->state != LINK_FOLLOWING) {
        return;
    }
    bool same = result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_STRING &&
                str_eq(result->reply->text, str_from(l->epoch)) &&
                result->connection == l->connection;
    if (!same) {
        link_down(l, result->outcome == REDIS_ANSWERED ? "the epoch has changed" : "no answer");
        return;
    }
    if (l->read_whole) {
        atomic_store_explicit(&l->proof, l->read_sent, memory_order_release);
        if (l->state == LINK_CATCHING_UP) {
            following(l);
        }
    }
    follow_turn(l);
}

/* One XREAD with the epoch right behind it. */
static void follow_turn(struct journal_link *l)
{
    bool block = l->state == LINK_FOLLOWING;
    const struct segment read[] = {
        REDIS_ARG("XREAD"),
        REDIS_ARG("COUNT"),
        REDIS_ARG("512"),
        REDIS_ARG("BLOCK"),
        block ? REDIS_ARG("250") : REDIS_ARG("1"),
        REDIS_ARG("STREAMS"),
        redis_arg(l->key_stream),
        text_arg(l->cursor),
    };
    const struct segment epoch[] = {REDIS_ARG("HGET"), redis_arg(l->key_epoch),
                                    REDIS_ARG("id")};
    struct redis_call call = {.role = REDIS_FOLLOW,
                              .argv = read,
                              .argc = sizeof(read) / sizeof(read[0]),
                              .key = 6,
                              .timeout = BLOCK_MS + COMMAND_MS,
                              .done = on_read,
                              .ctx = l};
    l->read_sent = clock_monotonic();
    if (redis_command(l->redis, &call) == NULL) {
        link_down(l, "no connection");
        return;
    }
    call.argv = epoch;
    call.argc = sizeof(epoch) / sizeof(epoch[0]);
    call.key = 1;
    call.done = on_epoch;
    if (redis_command(l->redis, &call) == NULL) {
        link_down(l, "no connection");
    }
}

/* ---- appending -------------------------------------------------------------------------- */

/* Not in the stream in time: true here at once, and told to the others as soon as may be. */
static void make_pending(struct journal_link *l, struct outbox_item *it)
{
    struct arena arena;
    struct record *records;
    if (it->waiting) {
        return;
    }
    arena_init(&arena, NULL, 0);
    size_t n = journal_wire_decode(strbuf_str(&it->wire), RECORDS_MAX, &arena, &records);
    journal_apply(l->journal, records, n);
    arena_reset(&arena);
    outbox_keep(&l->outbox, it);
    publish_waiting(l);
    answer(it, APPEND_PENDING);
}

static void on_budget(struct deadline *d)
{
    struct outbox_item *it = container_of(d, struct outbox_item, deadline);
    make_pending(it->link, it);
}

static void on_append(void *ctx, const struct redis_result *result)
{
    struct outbox_item *it = ctx;
    struct journal_link *l = it->link;
    it->in_flight = false;
    if (it->mark == 0) { /* its mark came back before this answer */
        outbox_remove(&l->outbox, it);
        publish_waiting(l);
    } else if (result->outcome == REDIS_ANSWERED) {
        it->sent = true;
    } else {
        make_pending(l, it);
    }
    if (l->state == LINK_FOLLOWING) {
        outbox_flush(l);
    }
}

static void item_send(struct journal_link *l, struct outbox_item *it)
{
    char mark[48], horizon[20], most[20];
    size_t node_n = strlen(l->node);
    memcpy(mark, l->node, node_n);
    mark[node_n] = ':';
    size_t mark_n = node_n + 1 + u64_to_dec(it->mark, mark + node_n + 1);
    size_t horizon_n = u64_to_dec((uint64_t)l->options.horizon, horizon);
    size_t most_n = u64_to_dec(l->options.max_records, most);
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(JOURNAL_APPEND),
        REDIS_ARG("2"),
        redis_arg(l->key_epoch),
        redis_arg(l->key_stream),
        text_arg(l->epoch),
        redis_arg(strbuf_str(&it->wire)),
        redis_arg(str_make(mark, mark_n)),
        redis_arg(str_make(horizon, horizon_n)),
        redis_arg(str_make(most, most_n)),
    };
    const struct redis_call call = {.role = REDIS_JOURNAL,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 3,
                                    .timeout = COMMAND_MS,
                                    .done = on_append,
                                    .ctx = it};
    it->in_flight = redis_command(l->redis, &call) != NULL;
    if (!it->in_flight) {
        make_pending(l, it);
    }
}

/* Sends what has not been sent, in order, a bounded number at a time. */
static void outbox_flush(struct journal_link *l)
{
    size_t in_flight = 0;
    struct outbox_item *next = NULL;
    for (struct outbox_item *it = l->outbox.first; it != NULL && in_flight < IN_FLIGHT_MAX;
         it = next) {
        next = it->next;
        if (!it->in_flight && !it->sent) {
            item_send(l, it);
            if (!it->in_flight) {
                return; /* refused: the next sync or registration tries again */
            }
        }
        in_flight += it->in_flight;
    }
}

static void on_append_mail(struct mail *m)
{
    struct outbox_item *it = container_of(m, struct outbox_item, mail);
    struct journal_link *l = it->link;
    it->mark = ++l->next_mark;
    deadline_init(&it->deadline, on_budget);
    outbox_add(&l->outbox, it);
    if (l->state != LINK_FOLLOWING) {
        make_pending(l, it);
        return;
    }
    deadline_set(l->loop, &it->deadline, l->options.budget);
    outbox_flush(l);
}

struct journal_append *journal_link_append(struct journal_link *l, struct loop *loop,
                                           const struct record *records, size_t n,
                                           journal_append_fn *done, void *ctx)
{
    struct outbox_item *it = xcalloc(1, sizeof(*it));
    it->mail.fn = on_append_mail;
    it->link = l;
    it->asker = append_new(loop, done, ctx);
    journal_wire_encode(records, n, &it->wire);
    struct journal_append *a = it->asker;
    loop_post(l->loop, &it->mail);
    return a;
}

/* ---- other nodes ------------------------------------------------------------------------ */

static void on_registered(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    if (result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_INTEGER) {
        atomic_store_explicit(&l->nodes, (uint64_t)result->reply->integer,
                              memory_order_release);
    }
}

static void on_heartbeat(struct deadline *d)
{
    struct journal_link *l = container_of(d, struct journal_link, heartbeat);
    char life[20];
    struct str life_ms = str_make(life, u64_to_dec(NODE_LIFE_MS, life));
    const struct segment argv[] = {REDIS_ARG("EVAL"), REDIS_ARG(JOURNAL_REGISTER),
                                   REDIS_ARG("1"),    redis_arg(l->key_nodes),
                                   text_arg(l->node), redis_arg(life_ms)};
    const struct redis_call call = {.role = REDIS_JOURNAL,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 3,
                                    .timeout = COMMAND_MS,
                                    .done = on_registered,
                                    .ctx = l};
    (void)redis_command(l->redis, &call);
    if (l->state == LINK_FOLLOWING) {
        outbox_flush(l);
    }
    deadline_set(l->loop, &l->heartbeat, REGISTER_MS);
}

/* ---- life ------------------------------------------------------------------------------- */

static struct str key_of(struct str prefix, const char *what)
{
    struct strbuf b = {0};
    strbuf_addf(&b, "{%.*s}:%s", STR_ARG(prefix), what);
    struct str key = str_make(str_dup(strbuf_str(&b)), b.n);
    strbuf_free(&b);
    return key;
}

static void *run(void *arg)
{
    struct journal_link *l = arg;
    loop_run(l->loop);
    return NULL;
}

/* A connection that was lost ends what was read through it at once, not after a timeout. */
static void on_state(void *ctx, enum redis_role role, bool up)
{
    struct journal_link *l = ctx;
    if (role == REDIS_FOLLOW && up && l->state == LINK_DOWN) {
        l->retry_ms = RETRY_MIN_MS;
        deadline_cancel(&l->retry);
        sync_start(l);
    }
}

struct journal_link *journal_link_new(struct journal *j,
                                      const struct journal_link_options *options)
{
    struct journal_link *l = xcalloc(1, sizeof(*l));
    l->journal = j;
    l->options = *options;
    l->key_stream = key_of(options->prefix, "journal");
    l->key_epoch = key_of(options->prefix, "epoch");
    l->key_nodes = key_of(options->prefix, "nodes");
    l->retry_ms = RETRY_MIN_MS;
    memcpy(l->cursor, "0-0", 4);
    random_hex(l->node);
    l->loop = loop_new();
    if (l->loop == NULL) {
        abort();
    }
    outbox_init(&l->outbox, options->state_dir, options->prefix);
    for (struct outbox_item *it = l->outbox.first; it != NULL; it = it->next) {
        it->link = l;
        it->mark = ++l->next_mark;
    }
    publish_waiting(l);
    struct redis_options ro = options->redis;
    ro.roles = 1u << REDIS_FOLLOW | 1u << REDIS_JOURNAL;
    ro.on_state = on_state;
    ro.ctx = l;
    l->redis = redis_new(l->loop, &ro);
    deadline_init(&l->retry, on_retry);
    deadline_init(&l->heartbeat, on_heartbeat);
    deadline_set(l->loop, &l->heartbeat, 0);
    sync_start(l);
    pthread_create(&l->thread, NULL, run, l);
    return l;
}

void journal_link_free(struct journal_link *l)
{
    loop_stop(l->loop);
    pthread_join(l->thread, NULL);
    deadline_cancel(&l->retry);
    deadline_cancel(&l->heartbeat);
    redis_free(l->redis);
    outbox_fini(&l->outbox);
    loop_free(l->loop);
    free((void *)(uintptr_t)l->key_stream.p);
    free((void *)(uintptr_t)l->key_epoch.p);
    free((void *)(uintptr_t)l->key_nodes.p);
    free(l);
}

/* ---- what others ask -------------------------------------------------------------------- */

bool journal_link_certain(const struct journal_link *l, msec_t now)
{
    msec_t proof = atomic_load_explicit(&l->proof, memory_order_acquire);
    if (proof != 0 && now - proof <= l->options.max_lag) {
        return true;
    }
    /* Alone on the prefix: whatever was written passed through this node. */
    return proof != 0 && atomic_load_explicit(&l->nodes, memory_order_acquire) == 1;
}

bool journal_link_pending(const struct journal_link *l)
{
    return atomic_load_explicit(&l->waiting, memory_order_acquire) > 0;
}

void journal_link_stats_get(const struct journal_link *l, struct journal_link_stats *out)
{
    msec_t proof = atomic_load_explicit(&l->proof, memory_order_acquire);
    out->connected = atomic_load_explicit(&l->following, memory_order_acquire);
    out->nodes = atomic_load_explicit(&l->nodes, memory_order_relaxed);
    out->alone = out->nodes == 1;
    out->lag = proof != 0 ? clock_monotonic() - proof : -1;
    out->seq = journal_seq(l->journal);
    out->outbox = atomic_load_explicit(&l->waiting, memory_order_relaxed);
    out->appended = atomic_load_explicit(&l->appended, memory_order_relaxed);
    out->epochs = atomic_load_explicit(&l->epochs, memory_order_relaxed);
}
