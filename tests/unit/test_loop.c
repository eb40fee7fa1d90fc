/*
 * The loop: deadlines on a clock that the test moves (nothing waits), mail from threads,
 * deferred work.
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/loop.h"

#define MINUTE 60000

static msec_t fake_now;

static msec_t fake_clock(void)
{
    return fake_now;
}

static int setup(void **state)
{
    struct loop *l = loop_new();
    if (l == NULL) {
        return -1;
    }
    fake_now = l->now;
    l->clock = fake_clock;
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

/* Lets the timer fire at the fake time. */
static void fire(struct loop *l)
{
    event_active(&l->timer, EV_TIMEOUT, 0);
    loop_turn(l, false);
}

/* Moves time on, waking only when the loop asked to be woken. Returns the number of wakes. */
static unsigned advance(struct loop *l, msec_t by)
{
    msec_t until = fake_now + by;
    unsigned wakes = 0;
    while (l->timer_at <= until) {
        fake_now = l->timer_at > fake_now ? l->timer_at : fake_now;
        fire(l);
        wakes++;
    }
    fake_now = until;
    loop_touch(l);
    return wakes;
}

/* A deadline that notes when it fired, and in which place. */
struct probe {
    struct deadline deadline;
    msec_t fired_at; /* 0: not yet */
    unsigned order;
    unsigned count;
    void (*then)(struct probe *p);
};

static unsigned fired_total;
static struct loop *probe_loop;
static struct probe *probe_other;

static void on_probe(struct deadline *d)
{
    struct probe *p = container_of(d, struct probe, deadline);
    p->fired_at = fake_now;
    p->order = ++fired_total;
    p->count++;
    assert_false(deadline_armed(d));
    if (p->then != NULL) {
        p->then(p);
    }
}

static void probe_init(struct probe *p)
{
    *p = (struct probe){0};
    deadline_init(&p->deadline, on_probe);
}

static void on_endless(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ++*(unsigned *)arg;
}

/* A turn is one turn even when there is always something to do. */
static void test_one_turn(void **state)
{
    struct loop *l = *state;
    struct event event;
    unsigned calls = 0;
    /* A fresh eventfd is writable for ever. */
    event_assign(&event, l->base, l->mail_fd, EV_WRITE | EV_PERSIST, on_endless, &calls);
    event_add(&event, NULL);
    loop_turn(l, false);
    assert_int_equal(calls, 1);
    loop_turn(l, true);
    assert_int_equal(calls, 2);
    event_del(&event);
}

static void test_disarm(void **state)
{
    struct loop *l = *state;
    struct probe p;
    probe_init(&p);
    deadline_set(l, &p.deadline, 100);
    deadline_disarm(&p.deadline);
    assert_false(deadline_armed(&p.deadline));
    advance(l, 50);
    msec_t due = l->now + 500;
    deadline_set(l, &p.deadline, 500);
    assert_true(deadline_armed(&p.deadline));
    advance(l, 1000);
    assert_int_equal(p.count, 1);
    assert_in_range(p.fired_at, due, due + LOOP_TICK_MS);
    deadline_set(l, &p.deadline, 100);
    deadline_disarm(&p.deadline);
    advance(l, MINUTE); /* leaves the wheel */
    assert_int_equal(p.count, 1);
    assert_int_equal(l->timer_at, MSEC_MAX);
    deadline_cancel(&p.deadline);
}

static void test_unarmed(void **state)
{
    struct loop *l = *state;
    struct probe p = {0};
    assert_false(deadline_armed(&p.deadline));
    deadline_cancel(&p.deadline);
    probe_init(&p);
    assert_false(deadline_armed(&p.deadline));
    deadline_cancel(&p.deadline);
    assert_int_equal(l->timer_at, MSEC_MAX);
    assert_int_equal(advance(l, 10 * MINUTE), 0);
    assert_int_equal(p.count, 0);
}

/* Never early, at most a tick (and the far wheel nothing more) late, whatever the distance. */
static void test_precision(void **state)
{
    struct loop *l = *state;
    static const msec_t after[] = {0,           1,           7,           8,
                                   9,           100,         8191,        8192,
                                   8193,        60000,       8192 * 3,    20 * MINUTE,
                                   34 * MINUTE, 35 * MINUTE, 60 * MINUTE, 600 * MINUTE};
    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        struct probe p;
        probe_init(&p);
        fake_now += 3;
        loop_touch(l);
        msec_t due = l->now + after[i];
        deadline_set(l, &p.deadline, after[i]);
        assert_true(deadline_armed(&p.deadline));
        advance(l, after[i] + 2 * LOOP_TICK_MS);
        assert_int_equal(p.count, 1);
        assert_in_range(p.fired_at, due, due + LOOP_TICK_MS);
    }
}

static void test_order(void **state)
{
    struct loop *l = *state;
    static const msec_t after[] = {50, 10, 9000, 30, 500000, 20000, 8000};
    static const unsigned order[] = {3, 1, 5, 2, 7, 6, 4};
    struct probe p[7];
    fired_total = 0;
    for (unsigned i = 0; i < 7; i++) {
        probe_init(&p[i]);
        deadline_set(l, &p[i].deadline, after[i]);
    }
    advance(l, 600000);
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(p[i].order, order[i]);
    }
}

static void test_many(void **state)
{
    struct loop *l = *state;
    enum { N = 5000 };
    struct probe *p = calloc(N, sizeof(*p));
    msec_t *due = calloc(N, sizeof(*due));
    unsigned seed = 1;
    for (unsigned i = 0; i < N; i++) {
        probe_init(&p[i]);
        seed = seed * 1103515245u + 12345u;
        msec_t after = (seed >> 8) % (70 * MINUTE);
        due[i] = l->now + after;
        deadline_set(l, &p[i].deadline, after);
        if (i % 3 == 0) { /* moved, either way */
            after = (seed >> 4) % (70 * MINUTE);
            due[i] = l->now + after;
            deadline_set(l, &p[i].deadline, after);
        }
        if (i % 100 == 0) {
            advance(l, 777);
        }
    }
    advance(l, 71 * MINUTE);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(p[i].count, 1);
        assert_in_range(p[i].fired_at, due[i], due[i] + LOOP_TICK_MS);
    }
    free(p);
    free(due);
}

static void test_move(void **state)
{
    struct loop *l = *state;
    struct probe p;
    probe_init(&p);
    msec_t start = l->now;
    deadline_set(l, &p.deadline, 1000);
    for (unsigned i = 0; i < 100; i++) {
        advance(l, 500);
        deadline_set(l, &p.deadline, 1000);
    }
    assert_int_equal(p.count, 0);
    deadline_set(l, &p.deadline, 50);
    advance(l, 100);
    assert_int_equal(p.count, 1);
    assert_in_range(p.fired_at, start + 50050, start + 50058);

    deadline_set(l, &p.deadline, 30 * MINUTE); /* far, then near, then far again */
    deadline_set(l, &p.deadline, 20);
    deadline_set(l, &p.deadline, 2 * MINUTE);
    advance(l, 100);
    assert_int_equal(p.count, 1);
    advance(l, 2 * MINUTE);
    assert_int_equal(p.count, 2);

    deadline_set(l, &p.deadline, 100);
    deadline_set(l, &p.deadline, -1);
    assert_false(deadline_armed(&p.deadline));
    advance(l, MINUTE);
    assert_int_equal(p.count, 2);
}

/* Pushing one deadline ahead over and over costs a wake per slot time, not one per push. */
static void test_moving_is_cheap(void **state)
{
    struct loop *l = *state;
    struct probe p;
    probe_init(&p);
    unsigned wakes = 0;
    for (unsigned i = 0; i < 60000; i++) {
        deadline_set(l, &p.deadline, 5000);
        wakes += advance(l, 1);
    }
    assert_int_equal(p.count, 0);
    assert_in_range(wakes, 1, 30);
    deadline_cancel(&p.deadline);
}

static void cancel_other(struct probe *p)
{
    (void)p;
    deadline_cancel(&probe_other->deadline);
}

static void move_other(struct probe *p)
{
    (void)p;
    deadline_set(probe_loop, &probe_other->deadline, 200);
}

static void rearm_self(struct probe *p)
{
    if (p->count < 5) {
        deadline_set(probe_loop, &p->deadline, 0);
    }
}

static void test_within_callbacks(void **state)
{
    struct loop *l = *state;
    struct probe a, b;
    probe_loop = l;
    probe_other = &b;
    probe_init(&a);
    probe_init(&b);
    a.then = cancel_other; /* both due in the same slot; the first cancels the second */
    deadline_set(l, &a.deadline, 40);
    deadline_set(l, &b.deadline, 40);
    advance(l, 1000);
    assert_int_equal(a.count, 1);
    assert_int_equal(b.count, 0);

    a.then = move_other;
    msec_t start = l->now;
    deadline_set(l, &a.deadline, 40);
    deadline_set(l, &b.deadline, 40);
    advance(l, 1000);
    assert_int_equal(a.count, 2);
    assert_int_equal(b.count, 1);
    assert_in_range(b.fired_at, start + 240, start + 264);

    a.then = rearm_self; /* due at once: the next turn, not for ever in this one */
    a.count = 0;
    deadline_set(l, &a.deadline, 0);
    advance(l, LOOP_TICK_MS);
    assert_in_range(a.count, 1, 2);
    advance(l, 1000);
    assert_int_equal(a.count, 5);
}

/* An idle process has no timer; a deadline set after any idle time is as precise as ever. */
static void test_after_idle(void **state)
{
    struct loop *l = *state;
    static const msec_t idle[] = {9000,        20000,           20 * MINUTE,      34 * MINUTE,
                                  36 * MINUTE, 5 * 60 * MINUTE, 100 * 60 * MINUTE};
    static const msec_t after[] = {5, 5000, 9000, 10 * MINUTE, 40 * MINUTE};
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++) {
        for (size_t k = 0; k < sizeof(after) / sizeof(after[0]); k++) {
            struct probe p;
            probe_init(&p);
            assert_int_equal(l->timer_at, MSEC_MAX);
            advance(l, idle[i]);
            msec_t due = l->now + after[k];
            deadline_set(l, &p.deadline, after[k]);
            advance(l, after[k] + 2 * LOOP_TICK_MS);
            if (p.count != 1) {
                fail_msg("idle %lld, after %lld: fired %u times", (long long)idle[i],
                         (long long)after[k], p.count);
            }
            assert_in_range(p.fired_at, due, due + LOOP_TICK_MS);
            advance(l, 1000);
        }
    }
}

/* Stopped (SIGSTOP, a suspended machine) with deadlines pending: all that is due fires at the
 * next turn, the rest keeps its time. */
static void test_after_stop(void **state)
{
    struct loop *l = *state;
    static const msec_t stop[] = {100, 9000, 20 * MINUTE, 36 * MINUTE, 300 * MINUTE};
    for (size_t i = 0; i < sizeof(stop) / sizeof(stop[0]); i++) {
        struct probe soon, far, later;
        probe_init(&soon);
        probe_init(&far);
        probe_init(&later);
        deadline_set(l, &soon.deadline, 50);
        deadline_set(l, &far.deadline, stop[i] - 50);
        deadline_set(l, &later.deadline, stop[i] + 50);
        msec_t due = l->now + stop[i] + 50;
        fake_now += stop[i];
        fire(l);
        assert_int_equal(soon.count, 1);
        assert_int_equal(far.count, 1);
        assert_int_equal(later.count, 0);
        advance(l, 100);
        assert_int_equal(later.count, 1);
        assert_in_range(later.fired_at, due, due + LOOP_TICK_MS);
    }
}

/* The real clock once: the loop wakes by itself. */
static void on_stop_deadline(struct deadline *d)
{
    (void)d;
    loop_stop(probe_loop);
}

static void test_real_clock(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    assert_non_null(l);
    probe_loop = l;
    struct deadline d;
    deadline_init(&d, on_stop_deadline);
    loop_touch(l);
    msec_t start = clock_monotonic();
    deadline_set(l, &d, 20);
    loop_run(l);
    msec_t took = clock_monotonic() - start;
    assert_true(took >= 10); /* l->now is coarse: up to a jiffy behind */
    assert_true(llabs(l->wall - clock_wall()) < 2000);
    loop_free(l);
}

/* ---- deferred ---- */

struct work {
    struct deferred deferred;
    unsigned ran;
    struct work *also;
};

static struct loop *work_loop;

static void on_work(struct deferred *d)
{
    struct work *w = container_of(d, struct work, deferred);
    w->ran++;
    if (w->also != NULL) {
        loop_defer(work_loop, &w->also->deferred);
        w->also = NULL;
    }
}

static void test_deferred(void **state)
{
    struct loop *l = *state;
    struct work a = {.deferred.fn = on_work}, b = {.deferred.fn = on_work};
    work_loop = l;
    a.also = &b;
    loop_defer(l, &a.deferred);
    loop_defer(l, &a.deferred);
    assert_int_equal(a.ran, 0);
    loop_turn(l, false);
    assert_int_equal(a.ran, 1);
    assert_int_equal(b.ran, 1);
    loop_turn(l, false);
    assert_int_equal(a.ran, 1);
}

static void test_deferred_cancel(void **state)
{
    struct loop *l = *state;
    struct work w[3] = {
        {.deferred.fn = on_work}, {.deferred.fn = on_work}, {.deferred.fn = on_work}};
    work_loop = l;
    for (unsigned out = 0; out < 3; out++) {
        for (unsigned i = 0; i < 3; i++) {
            w[i].ran = 0;
            loop_defer(l, &w[i].deferred);
        }
        loop_defer_cancel(l, &w[out].deferred);
        loop_defer_cancel(l, &w[out].deferred);
        loop_turn(l, false);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(w[i].ran, i == out ? 0 : 1);
        }
    }
    loop_defer(l, &w[0].deferred); /* the only one: the tail must be right afterwards */
    loop_defer_cancel(l, &w[0].deferred);
    loop_defer(l, &w[1].deferred);
    loop_turn(l, false);
    assert_int_equal(w[1].ran, 2);
}

/* ---- mail ---- */

enum { SENDERS = 4, LETTERS = 2000 };

struct letter {
    struct mail mail;
    unsigned sender, number;
};

static struct loop *mail_loop;
static unsigned next_number[SENDERS];
static unsigned delivered;
static bool out_of_order;

static void on_letter(struct mail *m)
{
    struct letter *letter = container_of(m, struct letter, mail);
    out_of_order |= letter->number != next_number[letter->sender]++;
    if (++delivered == SENDERS * LETTERS) {
        loop_stop(mail_loop);
    }
    free(letter);
}

static void *sender_main(void *arg)
{
    unsigned self = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *letter = calloc(1, sizeof(*letter));
        letter->mail.fn = on_letter;
        letter->sender = self;
        letter->number = i;
        loop_post(mail_loop, &letter->mail);
    }
    return NULL;
}

static void test_mail(void **state)
{
    (void)state;
    mail_loop = loop_new();
    assert_non_null(mail_loop);
    pthread_t threads[SENDERS];
    for (uintptr_t i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, sender_main, (void *)i), 0);
    }
    loop_run(mail_loop);
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(delivered, SENDERS * LETTERS);
    assert_false(out_of_order);
    loop_free(mail_loop);
}

static void *stopper_main(void *arg)
{
    loop_stop(arg);
    return NULL;
}

static void test_stop_from_thread(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    assert_non_null(l);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stopper_main, l), 0);
    loop_run(l);
    pthread_join(thread, NULL);
    loop_free(l);
}

/* Mail posted to a loop that does not run any more is delivered when it is freed. */
static void test_mail_at_free(void **state)
{
    (void)state;
    mail_loop = loop_new();
    assert_non_null(mail_loop);
    delivered = 0;
    memset(next_number, 0, sizeof(next_number));
    sender_main((void *)0);
    assert_int_equal(delivered, 0);
    loop_free(mail_loop);
    assert_int_equal(delivered, LETTERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unarmed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disarm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_precision, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moving_is_cheap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_within_callbacks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_after_idle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_after_stop, setup, teardown),
        cmocka_unit_test(test_real_clock),
        cmocka_unit_test_setup_teardown(test_deferred, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deferred_cancel, setup, teardown),
        cmocka_unit_test(test_mail),
        cmocka_unit_test(test_stop_from_thread),
        cmocka_unit_test(test_mail_at_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
