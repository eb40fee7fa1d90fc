/*
 * Lingering close, bounded in number, time and bytes.
 */
#include "admin/linger.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/stream.h"

#define LINGERS_MAX 32
#define LINGER_MS   2000
#define LINGER_MAX  (16u << 20) /* bytes */

struct lingering {
    struct lingering *prev, *next;
    struct lingers *all;
    struct stream stream;
    struct deadline limit;
    struct deferred end; /* the stream's memory outlives its callback */
};

static void linger_free(struct lingering *g)
{
    struct lingers *all = g->all;
    if (g->prev != NULL) {
        g->prev->next = g->next;
    } else {
        all->list = g->next;
    }
    if (g->next != NULL) {
        g->next->prev = g->prev;
    }
    deadline_cancel(&g->limit);
    loop_defer_cancel(all->loop, &g->end);
    stream_close(&g->stream, false);
    all->n--;
    free(g);
}

static void on_end(struct deferred *d)
{
    linger_free(container_of(d, struct lingering, end));
}

static void on_limit(struct deadline *d)
{
    struct lingering *g = container_of(d, struct lingering, limit);
    loop_defer(g->all->loop, &g->end);
}

static void on_readable(struct stream *s)
{
    struct lingering *g = container_of(s, struct lingering, stream);
    size_t n;
    enum io_result r = stream_read(s, g->all->loop->scratch, LOOP_SCRATCH_SIZE, &n);
    if (r == IO_EOF || r == IO_ERROR || s->bytes_in > LINGER_MAX) {
        loop_defer(g->all->loop, &g->end);
    }
}

static void on_failed(struct stream *s, enum stream_error e)
{
    struct lingering *g = container_of(s, struct lingering, stream);
    (void)e;
    loop_defer(g->all->loop, &g->end);
}

static const struct stream_ops ops = {.readable = on_readable, .failed = on_failed};

void lingers_add(struct lingers *all, int fd)
{
    int own = all->n < LINGERS_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (own < 0) {
        return;
    }
    struct lingering *g = xcalloc(1, sizeof(*g));
    g->all = all;
    g->next = all->list;
    if (g->next != NULL) {
        g->next->prev = g;
    }
    all->list = g;
    all->n++;
    g->end.fn = on_end;
    deadline_init(&g->limit, on_limit);
    deadline_set(all->loop, &g->limit, LINGER_MS);
    stream_open(&g->stream, all->loop, &ops, own, NULL);
}

void lingers_end(struct lingers *all)
{
    while (all->list != NULL) {
        linger_free(all->list);
    }
}
