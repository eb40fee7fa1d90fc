/*
 * Finding out which epoch there is and where to read on. Runs on the connection of the reads
 * that follow, so that both speak to one server; a new connection is a new sync.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cache/journal_link_state.h"
#include "cache/journal_scripts.h"

#define OLDER_COUNT 512 /* entries of one XRANGE */

/* A copy with a NUL; false when it does not fit or holds one. */
static bool copy_text(char *out, size_t cap, struct str s)
{
    if (s.n >= cap || memchr(s.p, '\0', s.n) != NULL) {
        return false;
    }
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

/* Begins to follow in front of record `first`: nothing that was known before counts any more.
 */
static void take_up(struct journal_link *l, const char *id, uint64_t first)
{
    bool same = strcmp(id, l->epoch) == 0;
    if (l->epoch[0] != '\0') {
        log_warn("journal: %s: stored answers are validated before they are used again",
                 same ? "records were trimmed before they were read"
                      : "a new epoch (another master, or the journal was lost)");
    }
    l->last_seq = first - 1;
    journal_stream_epoch(l->journal, strtoull(id, NULL, 16), l->last_seq);
    atomic_fetch_add_explicit(&l->epochs, 1, memory_order_relaxed);
    l->passed = same ? l->last_seq : 0;
    intent_epoch(l);
    if (same) {
        l->retry_ms = 0; /* nobody's fault */
        append_passed(l);
    } else {
        memcpy(l->epoch, id, sizeof(l->epoch));
        l->epoch_n++;
        append_epoch(l, strcmp(id, l->fresh) == 0);
    }
}

/* What was announced shortly before the epoch began may still be open. */
static void look_back(struct journal_link *l, const char *from)
{
    uint64_t at = 0;
    (void)str_to_u64(str_make(from, str_index(str_from(from), '-')), UINT64_MAX, &at);
    l->older_end[0] = '\0';
    uint64_t back = (uint64_t)atomic_load_explicit(&l->lookback, memory_order_relaxed);
    if (back > 0 && at > 0) {
        snprintf(l->older, sizeof(l->older), "%llu-0",
                 (unsigned long long)(at > back ? at - back : 0));
        memcpy(l->older_end, from, strlen(from) + 1);
    }
}

/* Takes up what the script said; false when it makes no sense. */
static bool take_sync(struct journal_link *l, const struct redis_reply *reply)
{
    const struct redis_reply *id = redis_reply_item(reply, 0, REDIS_STRING);
    const struct redis_reply *seq = redis_reply_item(reply, 1, REDIS_INTEGER);
    const struct redis_reply *from = redis_reply_item(reply, 2, REDIS_STRING);
    const struct redis_reply *first = redis_reply_item(reply, 3, REDIS_INTEGER);
    char epoch[17], start[sizeof(l->cursor)];
    if (id == NULL || seq == NULL || from == NULL || first == NULL || id->text.n != 16 ||
        !copy_text(epoch, sizeof(epoch), id->text) ||
        !copy_text(start, sizeof(start), from->text) || first->integer < 1 ||
        seq->integer < first->integer) {
        return false;
    }
    bool same = strcmp(epoch, l->epoch) == 0;
    l->newest = (uint64_t)seq->integer;
    l->newest_at = 0;
    l->gap = false;
    if (!same || (uint64_t)first->integer > l->last_seq + 1) {
        memcpy(l->cursor, start, sizeof(start));
        take_up(l, epoch, (uint64_t)first->integer);
        if (!same) {
            look_back(l, start);
        }
    }
    return true;
}

static void catch_up(struct journal_link *l);

static void on_older(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    struct str last;
    l->slots[SLOT_SYNC] = NULL;
    if (result->outcome != REDIS_ANSWERED || result->connection != l->connection) {
        link_down(l, link_why(result));
        return;
    }
    const struct redis_reply *entries = result->reply;
    if (entries->type != REDIS_ARRAY || !follow_older(l, entries, &last)) {
        link_down(l, "a reply that makes no sense");
        return;
    }
    if (entries->n_items < OLDER_COUNT || !copy_text(l->older, sizeof(l->older), last)) {
        l->older_end[0] = '\0';
    }
    catch_up(l);
}

/* From the sync on: first what is older than the epoch. */
static void catch_up(struct journal_link *l)
{
    char count[20], behind[1 + sizeof(l->older)];
    if (l->older_end[0] == '\0') {
        l->state = LINK_CATCHING_UP;
        follow_turn(l);
        return;
    }
    snprintf(behind, sizeof(behind), "(%s", l->older);
    const struct segment argv[] = {
        REDIS_ARG("XRANGE"), redis_arg(l->key_stream),
        link_text(behind),   link_text(l->older_end),
        REDIS_ARG("COUNT"),  redis_arg(str_make(count, u64_to_dec(OLDER_COUNT, count)))};
    const struct redis_call call = {.role = REDIS_FOLLOW,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 1,
                                    .timeout = COMMAND_MS,
                                    .done = on_older,
                                    .ctx = l};
    link_send(l, SLOT_SYNC, &call);
}

static void on_sync(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    l->slots[SLOT_SYNC] = NULL;
    if (result->outcome != REDIS_ANSWERED) {
        link_down(l, link_why(result));
        return;
    }
    if (!take_sync(l, result->reply)) {
        link_down(l, "a reply that makes no sense");
        return;
    }
    l->connection = result->connection;
    l->registered_at = 0;
    l->replicas = 0;
    l->mastered = 0;
    catch_up(l);
}

void sync_start(struct journal_link *l)
{
    char known[20];
    link_random(l->fresh);
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(JOURNAL_SYNC),
        REDIS_ARG("2"),
        redis_arg(l->key_epoch),
        redis_arg(l->key_stream),
        link_text(l->fresh),
        link_text(l->epoch),
        redis_arg(str_make(known, u64_to_dec(l->last_seq, known))),
        l->gap ? REDIS_ARG("1") : REDIS_ARG("0"),
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
    link_send(l, SLOT_SYNC, &call);
}
