/*
 * The loop. Deadlines live in two wheels: `near` in steps of 8 ms for the next 8 s, `far` in
 * steps of 8 s. Moving a deadline later leaves it where it is; when its slot comes up it is put
 * where it belongs now. So a keep-alive connection that is used a hundred thousand times a
 * second costs one re-insertion per slot time, and an idle process has no timer running at all.
 */
#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define WALL_OFFSET_MS 100

static msec_t coarse_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (msec_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void loop_touch(struct loop *l)
{
    l->now = l->clock();
    if (l->now - l->offset_at >= WALL_OFFSET_MS) {
        l->wall_offset = clock_wall() - clock_monotonic();
        l->offset_at = l->now;
    }
    l->wall = l->now + l->wall_offset;
}

static void list_init(struct deadline *head)
{
    head->prev = head;
    head->next = head;
}

static void list_add(struct deadline *head, struct deadline *d)
{
    d->prev = head->prev;
    d->next = head;
    head->prev->next = d;
    head->prev = d;
}

static void list_del(struct deadline *d)
{
    d->prev->next = d->next;
    d->next->prev = d->prev;
    d->prev = NULL;
    d->next = NULL;
}

static msec_t near_floor(msec_t t)
{
    return t - t % LOOP_TICK_MS;
}

static msec_t far_floor(msec_t t)
{
    return t - t % LOOP_FAR_MS;
}

static void timer_arm(struct loop *l, msec_t at)
{
    msec_t wait = at > l->now ? at - l->now : 0;
    struct timeval tv = {.tv_sec = wait / 1000, .tv_usec = (wait % 1000) * 1000};
    l->timer_at = at;
    event_add(&l->timer, &tv);
}

static void wheel_insert(struct loop *l, struct deadline *d)
{
    /* A slot fires when its end has passed, so that nothing fires early. */
    msec_t when = d->when > l->swept ? d->when : l->swept;
    msec_t fire;
    if (when - l->swept < LOOP_FAR_MS) {
        d->slot_time = near_floor(when);
        fire = d->slot_time + LOOP_TICK_MS;
        list_add(&l->near[(d->slot_time / LOOP_TICK_MS) % LOOP_NEAR_SLOTS], d);
    } else {
        msec_t lap = (msec_t)LOOP_FAR_MS * (LOOP_FAR_SLOTS - 1);
        d->slot_time = far_floor(when - l->swept < lap ? when : l->swept + lap);
        fire = d->slot_time;
        list_add(&l->far[(d->slot_time / LOOP_FAR_MS) % LOOP_FAR_SLOTS], d);
    }
    if (fire < l->timer_at) {
        timer_arm(l, fire);
    }
}

void deadline_init(struct deadline *d, deadline_fn *fn)
{
    *d = (struct deadline){.fn = fn, .when = MSEC_MAX};
}

void deadline_set(struct loop *l, struct deadline *d, msec_t after)
{
    if (after < 0) {
        deadline_cancel(d);
        return;
    }
    d->when = l->now + after;
    if (d->next != NULL) {
        if (d->when >= d->slot_time) {
            return;
        }
        list_del(d);
    }
    wheel_insert(l, d);
}

void deadline_cancel(struct deadline *d)
{
    if (d->next != NULL) {
        list_del(d);
    }
    d->when = MSEC_MAX;
}

/* Takes every deadline of a slot: due ones fire, the others go where they belong now. */
static void slot_run(struct loop *l, struct deadline *head)
{
    struct deadline due;
    list_init(&due);
    while (head->next != head) {
        struct deadline *d = head->next;
        list_del(d);
        list_add(&due, d);
    }
    while (due.next != &due) {
        struct deadline *d = due.next;
        list_del(d);
        if (d->when == MSEC_MAX) {
            continue; /* disarmed */
        }
        if (d->when > l->now) {
            wheel_insert(l, d);
        } else {
            d->when = MSEC_MAX;
            d->fn(d);
        }
    }
}

/* The time at which the next non-empty slot is to be run, or MSEC_MAX. */
static msec_t next_fire(const struct loop *l)
{
    msec_t best = MSEC_MAX;
    for (unsigned i = 0; i < LOOP_NEAR_SLOTS; i++) {
        msec_t t = l->swept + (msec_t)i * LOOP_TICK_MS;
        const struct deadline *head = &l->near[(t / LOOP_TICK_MS) % LOOP_NEAR_SLOTS];
        if (head->next != head) {
            best = t + LOOP_TICK_MS;
            break;
        }
    }
    msec_t far_start = far_floor(l->swept);
    for (unsigned i = 1; i < LOOP_FAR_SLOTS; i++) {
        msec_t t = far_start + (msec_t)i * LOOP_FAR_MS;
        const struct deadline *head = &l->far[(t / LOOP_FAR_MS) % LOOP_FAR_SLOTS];
        if (head->next != head) {
            return t < best ? t : best;
        }
    }
    return best;
}

/* Idle or stopped for more than a lap of the near wheel: runs the far slots up to `from`, each
 * once; the near slots need no more than the one lap that the caller sweeps. `swept` moves
 * first, so that what is not due yet finds its slot counted from today. */
static void catch_up(struct loop *l, msec_t from)
{
    msec_t first = far_floor(l->swept) + LOOP_FAR_MS;
    msec_t lap_ago = far_floor(from) - (msec_t)LOOP_FAR_MS * (LOOP_FAR_SLOTS - 1);
    l->swept = from;
    for (msec_t t = first > lap_ago ? first : lap_ago; t <= from; t += LOOP_FAR_MS) {
        slot_run(l, &l->far[(t / LOOP_FAR_MS) % LOOP_FAR_SLOTS]);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *l = arg;
    loop_touch(l);
    l->timer_at = MSEC_MAX;
    msec_t end = near_floor(l->now);
    if (end - l->swept > LOOP_FAR_MS) {
        catch_up(l, end - LOOP_FAR_MS);
    }
    while (l->swept < end) {
        msec_t t = l->swept;
        l->swept += LOOP_TICK_MS;
        slot_run(l, &l->near[(t / LOOP_TICK_MS) % LOOP_NEAR_SLOTS]);
        if (l->swept % LOOP_FAR_MS == 0) {
            slot_run(l, &l->far[(l->swept / LOOP_FAR_MS) % LOOP_FAR_SLOTS]);
        }
    }
    msec_t next = next_fire(l);
    if (next < l->timer_at) {
        timer_arm(l, next);
    }
}

void loop_defer(struct loop *l, struct deferred *d)
{
    if (d->queued) {
        return;
    }
    d->queued = true;
    d->next = NULL;
    *l->deferred_tail = d;
    l->deferred_tail = &d->next;
}

void loop_defer_cancel(struct loop *l, struct deferred *d)
{
    if (!d->queued) {
        return;
    }
    struct deferred **link = &l->deferred_head;
    while (*link != d) {
        link = &(*link)->next;
    }
    *link = d->next;
    if (d->next == NULL) {
        l->deferred_tail = link;
    }
    d->queued = false;
}

static void run_deferred(struct loop *l)
{
    while (l->deferred_head != NULL) {
        struct deferred *d = l->deferred_head;
        l->deferred_head = d->next;
        if (l->deferred_head == NULL) {
            l->deferred_tail = &l->deferred_head;
        }
        d->queued = false;
        d->fn(d);
    }
}

static void deliver_mail(struct loop *l)
{
    pthread_mutex_lock(&l->mail_lock);
    struct mail *m = l->mail_head;
    l->mail_head = NULL;
    l->mail_tail = &l->mail_head;
    pthread_mutex_unlock(&l->mail_lock);
    while (m != NULL) {
        struct mail *next = m->next;
        m->fn(m);
        m = next;
    }
}

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *l = arg;
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof(count));
    (void)ignored;
    loop_touch(l);
    deliver_mail(l);
}

static void wake(struct loop *l)
{
    uint64_t one = 1;
    ssize_t ignored = write(l->mail_fd, &one, sizeof(one));
    (void)ignored;
}

void loop_post(struct loop *l, struct mail *m)
{
    m->next = NULL;
    pthread_mutex_lock(&l->mail_lock);
    bool was_empty = l->mail_head == NULL;
    *l->mail_tail = m;
    l->mail_tail = &m->next;
    pthread_mutex_unlock(&l->mail_lock);
    if (was_empty) {
        wake(l);
    }
}

struct loop *loop_new(void)
{
    struct loop *l = xcalloc(1, sizeof(*l));
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    l->base = event_base_new_with_config(config);
    event_config_free(config);
    l->mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->base == NULL || l->mail_fd < 0) {
        log_error("cannot create an event loop: %s", strerror(errno));
        if (l->base != NULL) {
            event_base_free(l->base);
        }
        free(l);
        return NULL;
    }
    for (unsigned i = 0; i < LOOP_NEAR_SLOTS; i++) {
        list_init(&l->near[i]);
    }
    for (unsigned i = 0; i < LOOP_FAR_SLOTS; i++) {
        list_init(&l->far[i]);
    }
    l->clock = coarse_now;
    l->scratch = xmalloc(LOOP_SCRATCH_SIZE);
    l->deferred_tail = &l->deferred_head;
    l->mail_tail = &l->mail_head;
    l->offset_at = -WALL_OFFSET_MS;
    l->timer_at = MSEC_MAX;
    pthread_mutex_init(&l->mail_lock, NULL);
    loop_touch(l);
    l->swept = near_floor(l->now);
    event_assign(&l->timer, l->base, -1, 0, on_timer, l);
    event_assign(&l->mail_event, l->base, l->mail_fd, EV_READ | EV_PERSIST, on_mail, l);
    event_add(&l->mail_event, NULL);
    return l;
}

void loop_free(struct loop *l)
{
    deliver_mail(l);
    run_deferred(l);
    event_del(&l->timer);
    event_del(&l->mail_event);
    close(l->mail_fd);
    event_base_free(l->base);
    pthread_mutex_destroy(&l->mail_lock);
    free(l->scratch);
    free(l);
}

void loop_turn(struct loop *l, bool block)
{
    run_deferred(l);
    event_base_loop(l->base, block ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    run_deferred(l);
}

void loop_run(struct loop *l)
{
    while (!atomic_load_explicit(&l->stopping, memory_order_acquire)) {
        loop_turn(l, true);
    }
}

void loop_stop(struct loop *l)
{
    atomic_store_explicit(&l->stopping, true, memory_order_release);
    wake(l);
}
