/*
 * The parking lot.
 */
#include "cache/redis_parking.h"

static void on_release(struct deferred *d);

void redis_parking_init(struct redis_parking *p, struct loop *loop, redis_resume_fn *resume)
{
    *p = (struct redis_parking){.loop = loop, .resume = resume, .release.fn = on_release};
}

void redis_parking_fini(struct redis_parking *p)
{
    loop_defer_cancel(p->loop, &p->release);
    while (p->queue.head != NULL) {
        struct redis_command *c = p->queue.head;
        redis_queue_remove(&p->queue, c);
        deadline_cancel(&c->deadline);
        redis_command_unref(c);
    }
}

/* Its pause is over, or its time. */
static void on_deadline(struct deadline *d)
{
    struct redis_command *c = container_of(d, struct redis_command, deadline);
    struct redis_parking *p = c->parking;
    msec_t left = c->until - clock_monotonic();
    if (left > 0 && !c->pausing) {
        deadline_set(p->loop, d, left); /* the loop's clock is coarse */
        return;
    }
    redis_queue_remove(&p->queue, c);
    if (left > 0) {
        p->resume(c);
    } else {
        c->end(c, REDIS_NOT_SENT, NULL);
    }
}

void redis_parking_add(struct redis_parking *p, struct redis_command *c, msec_t pause)
{
    msec_t left = c->until - clock_monotonic();
    c->parking = p;
    c->link = NULL;
    c->pausing = pause > 0;
    redis_queue_push(&p->queue, c);
    deadline_init(&c->deadline, on_deadline);
    left = pause > 0 && pause < left ? pause : left;
    deadline_set(p->loop, &c->deadline, left > 0 ? left : 0);
}

void redis_parking_release(struct redis_parking *p)
{
    loop_defer(p->loop, &p->release);
}

/* What cannot go after all parks itself again. */
static void on_release(struct deferred *d)
{
    struct redis_parking *p = container_of(d, struct redis_parking, release);
    struct redis_queue waiting = p->queue;
    p->queue = (struct redis_queue){0};
    while (waiting.head != NULL) {
        struct redis_command *c = waiting.head;
        redis_queue_remove(&waiting, c);
        if (c->pausing) {
            redis_queue_push(&p->queue, c);
        } else {
            deadline_cancel(&c->deadline);
            p->resume(c);
        }
    }
}
