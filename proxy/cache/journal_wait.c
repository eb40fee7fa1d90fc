/*
 * Waiting until every node has applied a record. The nodes say how far they are when they
 * register, and at once after a watched record; here Redis is asked for that with growing
 * pauses. On the link's thread but for asking, the answer and cancelling, as in journal_asker.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/journal_link_state.h"
#include "cache/journal_scripts.h"

#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 200

struct journal_wait {
    struct mail mail; /* to the link, later back */
    struct journal_link *link;
    struct journal_wait *prev, *next; /* in the link's list */
    struct loop *loop;                /* the asker's */
    journal_wait_fn *done;
    void *ctx;
    struct append_place place;
    msec_t limit;
    msec_t until; /* link's loop time */
    msec_t pause; /* before the next question */
    struct deadline again;
    struct redis_command *command;
    uint64_t nodes, waiting; /* as of the last answer */
    bool cancelled;          /* under the lock: nobody waits any more */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the answer -------------------------------------------------------------------------- */

/* On the asker's loop. */
static void on_answer(struct mail *m)
{
    struct journal_wait *w = container_of(m, struct journal_wait, mail);
    pthread_mutex_lock(&lock);
    bool cancelled = w->cancelled;
    pthread_mutex_unlock(&lock);
    if (!cancelled) {
        w->done(w->ctx, w->nodes, w->waiting);
    }
    free(w);
}

static void unlist(struct journal_wait *w)
{
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else {
        w->link->waits = w->next;
    }
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    deadline_cancel(&w->again);
    if (w->command != NULL) {
        redis_cancel(w->command);
    }
}

static void finish(struct journal_wait *w)
{
    unlist(w);
    pthread_mutex_lock(&lock);
    bool cancelled = w->cancelled;
    if (!cancelled) {
        w->mail.fn = on_answer;
        loop_post(w->loop, &w->mail);
    }
    pthread_mutex_unlock(&lock);
    if (cancelled) {
        free(w);
    }
}

void wait_drop_all(struct journal_link *l)
{
    while (l->waits != NULL) {
        struct journal_wait *w = l->waits;
        unlist(w);
        free(w);
    }
}

/* ---- asking Redis ------------------------------------------------------------------------ */

static void ask_again(struct journal_wait *w)
{
    if (w->link->loop->now >= w->until) {
        finish(w);
        return;
    }
    deadline_set(w->link->loop, &w->again, w->pause);
    w->pause = w->pause * 2 < PAUSE_MAX_MS ? w->pause * 2 : PAUSE_MAX_MS;
}

static void on_applied(void *ctx, const struct redis_result *result)
{
    struct journal_wait *w = ctx;
    w->command = NULL;
    if (result->outcome == REDIS_ANSWERED) {
        const struct redis_reply *nodes = redis_reply_item(result->reply, 0, REDIS_INTEGER);
        const struct redis_reply *waiting = redis_reply_item(result->reply, 1, REDIS_INTEGER);
        if (nodes != NULL && waiting != NULL && nodes->integer >= 0 && waiting->integer >= 0) {
            w->nodes = (uint64_t)nodes->integer;
            w->waiting = (uint64_t)waiting->integer;
        }
    }
    /* No node at all: this one's own registration is lost; it will be back. */
    if (w->nodes > 0 && w->waiting == 0) {
        finish(w);
    } else {
        ask_again(w);
    }
}

static void ask(struct journal_wait *w)
{
    struct journal_link *l = w->link;
    char seq[20], life[20];
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(JOURNAL_APPLIED),
        REDIS_ARG("2"),
        redis_arg(l->key_nodes),
        redis_arg(l->key_applied),
        link_text(w->place.epoch),
        redis_arg(str_make(seq, u64_to_dec(w->place.seq, seq))),
        redis_arg(str_make(life, u64_to_dec(NODE_LIFE_MS, life))),
    };
    const struct redis_call call = {.role = REDIS_JOURNAL,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 3,
                                    .timeout = COMMAND_MS,
                                    .done = on_applied,
                                    .ctx = w};
    w->command = redis_command(l->redis, &call);
    if (w->command == NULL) {
        ask_again(w);
    }
}

static void on_again(struct deadline *d)
{
    ask(container_of(d, struct journal_wait, again));
}

/* ---- asking for it ----------------------------------------------------------------------- */

static void on_wait_mail(struct mail *m)
{
    struct journal_wait *w = container_of(m, struct journal_wait, mail);
    struct journal_link *l = w->link;
    if (l->redis == NULL) {
        free(w); /* the link is ending: nobody is answered any more */
        return;
    }
    w->next = l->waits;
    if (w->next != NULL) {
        w->next->prev = w;
    }
    l->waits = w;
    deadline_init(&w->again, on_again);
    w->until = l->loop->now + w->limit;
    w->pause = PAUSE_MIN_MS;
    ask(w);
}

struct journal_wait *journal_link_wait(struct journal_link *l, struct loop *loop,
                                       const struct append_place *place, msec_t limit,
                                       journal_wait_fn *done, void *ctx)
{
    struct journal_wait *w = xcalloc(1, sizeof(*w));
    w->mail.fn = on_wait_mail;
    w->link = l;
    w->loop = loop;
    w->place = *place;
    w->limit = limit;
    w->done = done;
    w->ctx = ctx;
    loop_post(l->loop, &w->mail);
    return w;
}

void journal_wait_cancel(struct journal_wait *w)
{
    pthread_mutex_lock(&lock);
    w->cancelled = true;
    pthread_mutex_unlock(&lock);
}
