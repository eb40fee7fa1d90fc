/*
 * The reader of wakes: a blocking read on a connection of its own, from where the stream ended
 * when it began. Between the taking of a lease by another node and that moment its wake may
 * have come; so everybody who waits asks once more when the end has been found. After a lost
 * connection nobody waits on: all fetch for themselves, and the next one begins anew.
 */
#include <string.h>

#include "cache/lease_parts.h"

#define BLOCK_MS   250 /* of one read; how long a hung Redis can hold up those who wait */
#define READ_MS    (BLOCK_MS + 250)
#define FIND_MS    500 /* connecting included */
#define LINGER_MS  5000
#define READ_COUNT "256"

static void on_found(void *ctx, const struct redis_result *result);
static void on_read(void *ctx, const struct redis_result *result);

/* Nobody can be woken any more. */
static void fail(struct leases *ls)
{
    ls->reader.state = LEASE_READER_IDLE;
    while (ls->waiting != NULL) {
        lease_count(&ls->counters->fallbacks);
        lease_finish(ls->waiting, LEASE_NONE);
    }
}

static void send_command(struct leases *ls, const struct segment *argv, size_t argc, size_t key,
                         msec_t timeout, redis_done_fn *done)
{
    const struct redis_call call = {.role = REDIS_WAKE,
                                    .argv = argv,
                                    .argc = argc,
                                    .key = key,
                                    .timeout = timeout,
                                    .wait = true,
                                    .done = done,
                                    .ctx = ls};
    ls->reader.command = redis_command(ls->redis, &call);
    if (ls->reader.command == NULL) {
        fail(ls);
    }
}

static void find(struct leases *ls)
{
    const struct segment argv[] = {REDIS_ARG("XREVRANGE"), redis_arg(ls->wake), REDIS_ARG("+"),
                                   REDIS_ARG("-"),         REDIS_ARG("COUNT"),  REDIS_ARG("1")};
    ls->reader.state = LEASE_READER_FINDING;
    send_command(ls, argv, 6, 1, FIND_MS, on_found);
}

static void read_on(struct leases *ls)
{
    char ms[20];
    const struct segment argv[] = {
        REDIS_ARG("XREAD"),
        REDIS_ARG("COUNT"),
        REDIS_ARG(READ_COUNT),
        REDIS_ARG("BLOCK"),
        redis_arg(str_make(ms, u64_to_dec(BLOCK_MS, ms))),
        REDIS_ARG("STREAMS"),
        redis_arg(ls->wake),
        redis_arg(str_from(ls->reader.cursor)),
    };
    ls->reader.state = LEASE_READER_READING;
    send_command(ls, argv, 8, 6, READ_MS, on_read);
}

static bool set_cursor(struct leases *ls, struct str id)
{
    if (id.n == 0 || id.n >= sizeof(ls->reader.cursor)) {
        return false;
    }
    memcpy(ls->reader.cursor, id.p, id.n);
    ls->reader.cursor[id.n] = '\0';
    return true;
}

/* [id, [name, value, …]]: its id; NULL when it makes no sense. */
static const struct redis_reply *entry_id(const struct redis_reply *entry)
{
    return entry != NULL ? redis_reply_item(entry, 0, REDIS_STRING) : NULL;
}

static void on_found(void *ctx, const struct redis_result *result)
{
    struct leases *ls = ctx;
    struct lease_reader *r = &ls->reader;
    r->command = NULL;
    if (result->outcome != REDIS_ANSWERED) {
        fail(ls);
        return;
    }
    const struct redis_reply *id = entry_id(redis_reply_item(result->reply, 0, REDIS_ARRAY));
    if (!set_cursor(ls, id != NULL ? id->text : STR("0-0"))) {
        fail(ls);
        return;
    }
    r->connection = result->connection;
    r->state = LEASE_READER_READING;
    for (struct lease *l = ls->others; l != NULL; l = l->next) {
        l->woken = true; /* if it is being asked for */
    }
    while (ls->waiting != NULL) {
        lease_try_again(ls->waiting);
    }
    read_on(ls);
}

/* ---- wakes ---------------------------------------------------------------------------------
 */

static void wake(struct leases *ls, uint64_t wanted, enum lease_end end)
{
    struct lease *next;
    for (struct lease *l = ls->others; l != NULL; l = l->next) {
        l->woken = l->woken || l->wake_hash == wanted;
    }
    for (struct lease *l = ls->waiting; l != NULL; l = next) {
        next = l->next;
        if (l->wake_hash == wanted) {
            lease_wake(l, end);
            next = ls->waiting; /* whatever its callback did */
        }
    }
}

/* Of an entry's list of names and values. */
static struct str field(const struct redis_reply *fields, size_t i)
{
    const struct redis_reply *value = redis_reply_item(fields, i, REDIS_STRING);
    return value != NULL ? value->text : STR("");
}

static bool take_entry(struct leases *ls, const struct redis_reply *entry)
{
    const struct redis_reply *id = entry_id(entry);
    const struct redis_reply *fields =
        entry != NULL ? redis_reply_item(entry, 1, REDIS_ARRAY) : NULL;
    if (id == NULL || fields == NULL || !set_cursor(ls, id->text)) {
        return false;
    }
    uint64_t whom, end;
    if (!str_eq(field(fields, 0), STR("k")) || !str_eq(field(fields, 2), STR("r")) ||
        !str_to_u64(field(fields, 1), UINT64_MAX, &whom) ||
        !str_to_u64(field(fields, 3), LEASE_ALIVE, &end)) {
        return true; /* of a newer version */
    }
    if (end == LEASE_ALIVE) {
        leases_heard(ls, whom);
    } else {
        wake(ls, whom, (enum lease_end)end);
    }
    return true;
}

/* [[stream, [entry, …]]], or nil when nothing came in time. */
static bool take_entries(struct leases *ls, const struct redis_reply *reply)
{
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
        if (!take_entry(ls, redis_reply_item(entries, i, REDIS_ARRAY))) {
            return false;
        }
    }
    return true;
}

static void on_read(void *ctx, const struct redis_result *result)
{
    struct leases *ls = ctx;
    struct lease_reader *r = &ls->reader;
    r->command = NULL;
    if (result->outcome != REDIS_ANSWERED) {
        fail(ls);
        return;
    }
    if (result->connection != r->connection) {
        find(ls); /* perhaps another server */
        return;
    }
    if (!take_entries(ls, result->reply)) {
        fail(ls);
        return;
    }
    if (ls->waiting != NULL) {
        r->used_at = ls->loop->now;
    } else if (ls->loop->now - r->used_at > LINGER_MS) {
        r->state = LEASE_READER_IDLE;
        return;
    }
    read_on(ls);
}

void lease_reader_want(struct leases *ls)
{
    ls->reader.used_at = ls->loop->now;
    if (ls->reader.state == LEASE_READER_IDLE) {
        find(ls);
    }
}

void lease_reader_fini(struct leases *ls)
{
    if (ls->reader.command != NULL) {
        redis_cancel(ls->reader.command);
        ls->reader.command = NULL;
    }
}
