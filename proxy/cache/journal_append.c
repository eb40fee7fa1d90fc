/* See the header. `done` and `ctx` are touched by the asker's thread only. */
#include "cache/journal_append.h"

#include <stdlib.h>

#include "base/mem.h"

struct journal_append {
    struct mail mail;        /* the answer on its way */
    struct loop *loop;       /* the asker's */
    journal_append_fn *done; /* NULL: cancelled */
    void *ctx;
    enum append_outcome outcome;
};

struct journal_append *append_new(struct loop *loop, journal_append_fn *done, void *ctx)
{
    struct journal_append *a = xcalloc(1, sizeof(*a));
    a->loop = loop;
    a->done = done;
    a->ctx = ctx;
    return a;
}

static void on_answer(struct mail *m)
{
    struct journal_append *a = container_of(m, struct journal_append, mail);
    if (a->done != NULL) {
        a->done(a->ctx, a->outcome);
    }
    free(a);
}

void append_answer(struct journal_append *a, enum append_outcome outcome)
{
    a->outcome = outcome;
    a->mail.fn = on_answer;
    loop_post(a->loop, &a->mail);
}

void append_free(struct journal_append *a)
{
    free(a);
}

void journal_append_cancel(struct journal_append *a)
{
    a->done = NULL;
}
