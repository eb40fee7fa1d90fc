/*
 * Following: XREAD from the cursor, and the epoch right behind it on the same connection. What
 * was read is applied before the epoch is looked at. So if that is still the one followed, and
 * the newest record that it knows of has been read (at once, or by the next XREAD if it came in
 * between), then this node knows every record that was there when the XREAD was sent: that is
 * the proof of being current. A newest record that the next XREAD does not bring is lost.
 *
 * Sentinel: a master that was given up goes on answering those who still talk to it. So there
 * the proof needs a write as well, acknowledged by (a majority of) the replicas that this
 * master has had: they are the ones that another master is made of.
 */
#include <string.h>

#include "base/log.h"
#include "cache/journal_link_state.h"
#include "cache/journal_scripts.h"
#include "cache/journal_wire.h"
#include "cache/redis_health.h"

#define BLOCK_MAX_MS 250 /* the rhythm of proofs when nothing happens */
#define BLOCK_MIN_MS 10
#define READ_COUNT   512  /* stream entries of one XREAD */
#define REGISTER_MS  1000 /* between registrations of this node */
#define WAIT_MAX_MS  100  /* for the replicas */
#define PLAIN_ITEMS  6    /* names and values of an entry that has to do with no intent */
#define SEQ_MAX      (UINT64_MAX >> JOURNAL_LOCAL_BITS)

static struct str number(uint64_t v, char digits[20])
{
    return str_make(digits, u64_to_dec(v, digits));
}

static msec_t block_ms(const struct journal_link *l)
{
    msec_t ms = l->options.max_lag / 4;
    ms = ms < BLOCK_MAX_MS ? ms : BLOCK_MAX_MS;
    return ms > BLOCK_MIN_MS ? ms : BLOCK_MIN_MS;
}

/* An answer on the connection that the sync ran on; else link_down() and false. */
static bool is_answer(struct journal_link *l, const struct redis_result *result)
{
    if (result->outcome != REDIS_ANSWERED) {
        link_down(l, link_why(result));
        return false;
    }
    if (result->connection != l->connection) {
        link_down(l, "another connection"); /* perhaps to another server */
        return false;
    }
    return true;
}

/* ---- records ----------------------------------------------------------------------------- */

/* A field of a stream entry's list of names and values; p == NULL: it has none. */
static struct str field_value(const struct redis_reply *fields, struct str name)
{
    for (size_t i = 0; i + 1 < fields->n_items; i += 2) {
        const struct redis_reply *key = redis_reply_item(fields, i, REDIS_STRING);
        const struct redis_reply *value = redis_reply_item(fields, i + 1, REDIS_STRING);
        if (key != NULL && value != NULL && str_eq(key->text, name)) {
            return str_make(value->text.n > 0 ? value->text.p : "", value->text.n);
        }
    }
    return STR_NULL;
}

static void look_for_intent(struct journal_link *l, struct str id,
                            const struct redis_reply *fields)
{
    if (fields->n_items > PLAIN_ITEMS) {
        intent_seen(l, id, field_value(fields, STR("i")), field_value(fields, STR("c")));
    }
}

/* Applies one entry. False at a gap: a record that nobody here has seen. */
static bool apply_entry(struct journal_link *l, struct str id, const struct redis_reply *fields)
{
    uint64_t seq;
    if (!str_to_u64(field_value(fields, STR("s")), SEQ_MAX, &seq) || seq != l->last_seq + 1 ||
        id.n >= sizeof(l->cursor)) {
        return false;
    }
    struct arena arena;
    struct record *records;
    arena_init(&arena, NULL, 0);
    struct str wire = field_value(fields, STR("r"));
    size_t n = journal_wire_decode(wire.p != NULL ? wire : STR("?"), &arena, &records);
    journal_stream_apply(l->journal, seq, records, n);
    arena_reset(&arena);
    memcpy(l->cursor, id.p, id.n);
    l->cursor[id.n] = '\0';
    l->last_seq = seq;
    look_for_intent(l, id, fields);
    struct str mark = field_value(fields, STR("m"));
    if (mark.n > 0 && mark.p[mark.n - 1] == MARK_WATCHED) {
        mark.n--;
        l->registered_at = 0; /* says in the next turn how far it is */
    }
    if (!append_returned(l, mark) && mark.n > 0 &&
        atomic_load_explicit(&l->nodes, memory_order_relaxed) == 1) {
        /* Somebody else is there, whatever the last count said. */
        atomic_store_explicit(&l->nodes, 2, memory_order_release);
    }
    return true;
}

/* An entry of a stream: [id, [field, value, …]]. False when it makes no sense. */
static bool parse_entry(const struct redis_reply *list, size_t i, struct str *id,
                        const struct redis_reply **fields)
{
    const struct redis_reply *entry = redis_reply_item(list, i, REDIS_ARRAY);
    const struct redis_reply *text =
        entry != NULL ? redis_reply_item(entry, 0, REDIS_STRING) : NULL;
    *fields = entry != NULL ? redis_reply_item(entry, 1, REDIS_ARRAY) : NULL;
    if (text == NULL || *fields == NULL) {
        return false;
    }
    *id = text->text;
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
        const struct redis_reply *fields;
        struct str id;
        if (!parse_entry(entries, i, &id, &fields) || !apply_entry(l, id, fields)) {
            return false;
        }
    }
    *count = entries->n_items;
    return true;
}

bool follow_older(struct journal_link *l, const struct redis_reply *entries, struct str *last)
{
    for (size_t i = 0; i < entries->n_items; i++) {
        const struct redis_reply *fields;
        if (!parse_entry(entries, i, last, &fields)) {
            return false;
        }
        look_for_intent(l, *last, fields);
    }
    return true;
}

static void on_read(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    size_t count;
    l->slots[SLOT_READ] = NULL;
    if (!is_answer(l, result)) {
        return;
    }
    if (!apply_reply(l, result->reply, &count)) {
        l->gap = true;
        link_down(l, "records are missing");
        return;
    }
    l->read_whole = count < READ_COUNT;
}

/* ---- proof ------------------------------------------------------------------------------- */

/* Caught up: from here on this node knows everything. */
static void become_following(struct journal_link *l)
{
    l->state = LINK_FOLLOWING;
    l->following_since = l->loop->now;
    atomic_store_explicit(&l->following, true, memory_order_release);
    if (!l->said_up) {
        log_info("journal: following Redis");
        l->said_up = true;
        l->said_down = false;
    }
    append_flush(l);
    intent_flush(l);
}

/* All that was there at `proof` is known, in an epoch that is still the same. */
static void prove(struct journal_link *l, msec_t proof)
{
    if (l->replicated && l->mastered < proof) {
        proof = l->mastered;
    }
    if (proof > atomic_load_explicit(&l->proof, memory_order_relaxed)) {
        atomic_store_explicit(&l->proof, proof, memory_order_release);
        append_proof(l, proof);
    }
}

/* The turn's read has brought all there was, and the newest record was this one just after it.
 * False: one that was known to be there did not come. */
static bool take_newest(struct journal_link *l, uint64_t newest)
{
    if (l->last_seq < l->newest) {
        return false;
    }
    if (l->last_seq >= newest) {
        prove(l, l->read_sent);
    } else if (l->newest_at != 0) {
        prove(l, l->newest_at); /* of this turn, only the next one can say */
    }
    l->newest = newest;
    l->newest_at = l->read_sent;
    return true;
}

static void on_epoch(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    l->slots[SLOT_EPOCH] = NULL;
    if (!is_answer(l, result)) {
        return;
    }
    const struct redis_reply *id = redis_reply_item(result->reply, 0, REDIS_STRING);
    const struct redis_reply *seq = redis_reply_item(result->reply, 1, REDIS_STRING);
    uint64_t newest;
    if (id == NULL || seq == NULL || !str_eq(id->text, str_from(l->epoch)) ||
        !str_to_u64(seq->text, SEQ_MAX, &newest)) {
        link_down(l, "the epoch has changed");
        return;
    }
    if (l->read_whole && !take_newest(l, newest)) {
        l->gap = true;
        link_down(l, "records are missing");
        return;
    }
    if (l->read_whole && l->state == LINK_CATCHING_UP) {
        become_following(l);
    }
    follow_turn(l);
}

/* ---- nodes and replicas ------------------------------------------------------------------ */

/* How many replicas have to acknowledge: with the master, a majority. */
static uint64_t acks_needed(const struct journal_link *l)
{
    return (l->replicas + 1) / 2;
}

/* This turn's write was taken by a master that has its replicas. */
static void set_mastered(struct journal_link *l)
{
    l->mastered = l->read_sent;
    if (l->replicated) {
        append_proof(l, l->mastered);
    }
}

static void on_registered(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    l->slots[SLOT_REGISTER] = NULL;
    if (result->outcome != REDIS_ANSWERED || result->connection != l->connection) {
        return; /* no write is taken here; reading goes on, its end says the rest */
    }
    const struct redis_reply *nodes = redis_reply_item(result->reply, 0, REDIS_INTEGER);
    const struct redis_reply *replicas = redis_reply_item(result->reply, 1, REDIS_INTEGER);
    if (nodes == NULL || replicas == NULL || nodes->integer < 1 || replicas->integer < 0) {
        return;
    }
    const struct redis_reply *now = redis_reply_item(result->reply, 2, REDIS_INTEGER);
    if (now != NULL) {
        intent_clock(l, now->integer);
    }
    atomic_store_explicit(&l->nodes, (uint64_t)nodes->integer, memory_order_release);
    l->replicas = (uint64_t)replicas->integer;
    l->written = l->read_sent;
    if (acks_needed(l) == 0) {
        set_mastered(l);
    } else if (l->slots[SLOT_WAIT] == NULL) {
        l->registered_at = 0; /* replicas have come: they are asked in the next turn */
    }
}

static void on_waited(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    l->slots[SLOT_WAIT] = NULL;
    if (result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_INTEGER &&
        result->connection == l->connection && l->written == l->read_sent &&
        result->reply->integer >= (int64_t)acks_needed(l)) {
        set_mastered(l);
    }
}

/* A full server takes the registration, because that begins by deleting. Whether it takes
 * others again is asked for: a node without traffic has nothing else to find out by. */
static void probe_writes(struct journal_link *l)
{
    const struct redis_health *h = l->options.redis.health;
    const struct segment argv[] = {REDIS_ARG("SET"), redis_arg(l->key_probe), REDIS_ARG("1"),
                                   REDIS_ARG("PX"), REDIS_ARG("1000")};
    const struct redis_call call = {.role = REDIS_JOURNAL,
                                    .argv = argv,
                                    .argc = 5,
                                    .key = 1,
                                    .timeout = COMMAND_MS,
                                    .writes = true};
    if (h != NULL && redis_health_writes(h) != REDIS_E_NONE) {
        (void)redis_command(l->redis, &call);
    }
}

static bool send_register(struct journal_link *l)
{
    char life[20], seq[20];
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(JOURNAL_REGISTER),
        REDIS_ARG("4"),
        redis_arg(l->key_nodes),
        redis_arg(l->key_epoch),
        redis_arg(l->key_stream),
        redis_arg(l->key_applied),
        link_text(l->node),
        redis_arg(number(NODE_LIFE_MS, life)),
        l->replicated ? REDIS_ARG("1") : REDIS_ARG("0"),
        link_text(l->epoch),
        redis_arg(number(l->last_seq, seq)),
    };
    const struct redis_call call = {.role = REDIS_FOLLOW,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 3,
                                    .timeout = COMMAND_MS,
                                    .done = on_registered,
                                    .ctx = l};
    l->registered_at = l->loop->now;
    append_flush(l); /* what was refused gets another chance now and then */
    intent_flush(l);
    probe_writes(l);
    return link_send(l, SLOT_REGISTER, &call);
}

static bool send_wait(struct journal_link *l)
{
    char acks[20], ms[20];
    msec_t patience = block_ms(l) < WAIT_MAX_MS ? block_ms(l) : WAIT_MAX_MS;
    const struct segment argv[] = {REDIS_ARG("WAIT"), redis_arg(number(acks_needed(l), acks)),
                                   redis_arg(number((uint64_t)patience, ms))};
    const struct redis_call call = {.role = REDIS_FOLLOW,
                                    .argv = argv,
                                    .argc = 3,
                                    .timeout = WAIT_MAX_MS + COMMAND_MS,
                                    .done = on_waited,
                                    .ctx = l};
    return link_send(l, SLOT_WAIT, &call);
}

/* ---- a turn ------------------------------------------------------------------------------ */

static bool send_read(struct journal_link *l)
{
    char count[20], block[20];
    bool idle = l->state == LINK_FOLLOWING;
    const struct segment argv[] = {
        REDIS_ARG("XREAD"),
        REDIS_ARG("COUNT"),
        redis_arg(number(READ_COUNT, count)),
        REDIS_ARG("BLOCK"),
        redis_arg(number(idle ? (uint64_t)block_ms(l) : 1, block)),
        REDIS_ARG("STREAMS"),
        redis_arg(l->key_stream),
        link_text(l->cursor),
    };
    const struct redis_call call = {.role = REDIS_FOLLOW,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 6,
                                    .timeout = BLOCK_MAX_MS + COMMAND_MS,
                                    .done = on_read,
                                    .ctx = l};
    return link_send(l, SLOT_READ, &call);
}

static bool send_epoch(struct journal_link *l)
{
    const struct segment argv[] = {REDIS_ARG("HMGET"), redis_arg(l->key_epoch), REDIS_ARG("id"),
                                   REDIS_ARG("seq")};
    const struct redis_call call = {.role = REDIS_FOLLOW,
                                    .argv = argv,
                                    .argc = 4,
                                    .key = 1,
                                    .timeout = BLOCK_MAX_MS + COMMAND_MS,
                                    .done = on_epoch,
                                    .ctx = l};
    return link_send(l, SLOT_EPOCH, &call);
}

void follow_turn(struct journal_link *l)
{
    msec_t every = l->replicated ? block_ms(l) : REGISTER_MS;
    l->read_sent = clock_monotonic();
    l->read_whole = false;
    if (l->registered_at == 0 || l->loop->now - l->registered_at >= every) {
        if (!send_register(l) || (acks_needed(l) > 0 && !send_wait(l))) {
            return;
        }
    }
    if (send_read(l)) {
        send_epoch(l);
    }
}
