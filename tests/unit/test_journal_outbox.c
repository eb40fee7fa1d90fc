/*
 * cache/journal_outbox and its file: order, what survives a process, torn and foreign files,
 * the collapse into `all`, and what another epoch means for what was sent.
 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/journal_outbox.h"
#include "cache/journal_wire.h"

struct dir {
    char path[64];
};

static int setup(void **state)
{
    struct dir *d = xcalloc(1, sizeof(*d));
    snprintf(d->path, sizeof(d->path), "/tmp/larder-outbox-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    *state = d;
    return 0;
}

/* Calls fn with the path of each file; returns their number. */
static size_t each_file(const struct dir *d, void (*fn)(const char *path))
{
    size_t n = 0;
    DIR *dir = opendir(d->path);
    assert_non_null(dir);
    struct dirent *e;
    while ((e = readdir(dir)) != NULL) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", d->path, e->d_name);
        if (e->d_name[0] != '.') {
            n++;
            if (fn != NULL) {
                fn(path);
            }
        }
    }
    closedir(dir);
    return n;
}

static void remove_file(const char *path)
{
    unlink(path);
}

static int teardown(void **state)
{
    struct dir *d = *state;
    each_file(d, remove_file);
    rmdir(d->path);
    free(d);
    return 0;
}

static void start(struct outbox *o, const struct dir *d, const char *node)
{
    outbox_init(o, d != NULL ? str_from(d->path) : STR_NULL, STR("shop"), node);
}

static struct outbox_item *add(struct outbox *o, const char *wire)
{
    struct outbox_item *it = xcalloc(1, sizeof(*it));
    strbuf_add_str(&it->wire, str_from(wire));
    outbox_add(o, it);
    return it;
}

static struct outbox_item *add_waiting(struct outbox *o, const char *wire)
{
    struct outbox_item *it = add(o, wire);
    outbox_wait(o, it);
    return it;
}

static void assert_wire(const struct outbox_item *it, const char *wire)
{
    assert_non_null(it);
    assert_true(str_eq(strbuf_str(&it->wire), str_from(wire)));
}

/* ---- the list ---------------------------------------------------------------------------- */

static void test_order_and_marks(void **state)
{
    (void)state;
    struct outbox o;
    start(&o, NULL, "n1");
    struct outbox_item *a = add(&o, "a"), *b = add(&o, "b"), *c = add(&o, "c");
    assert_true(a->mark < b->mark && b->mark < c->mark);
    assert_ptr_equal(outbox_find(&o, b->mark), b);
    assert_null(outbox_find(&o, c->mark + 1));
    uint64_t gone = b->mark;
    outbox_remove(&o, b);
    assert_null(outbox_find(&o, gone));
    assert_ptr_equal(o.going.first, a);
    assert_ptr_equal(a->next, c);
    outbox_list(&o, a, 100);
    assert_null(outbox_find(&o, a->mark));
    assert_int_equal(o.going.n, 1);
    assert_int_equal(o.listed.n, 1);
    outbox_list(&o, c, 200);
    outbox_settle(&o, 99);
    assert_int_equal(o.listed.n, 2);
    outbox_settle(&o, 100);
    assert_ptr_equal(o.listed.first, c);
    assert_int_equal(outbox_fini(&o), 0);
}

static void test_waiting_is_counted_once(void **state)
{
    (void)state;
    struct outbox o;
    start(&o, NULL, "n1");
    struct outbox_item *a = add(&o, "ah0:"), *b = add(&o, "ns1:x");
    outbox_wait(&o, a);
    outbox_wait(&o, a);
    outbox_wait(&o, b);
    assert_int_equal(o.waiting, 2);
    assert_int_equal(o.bytes, 9);
    outbox_unwait(&o, a);
    outbox_unwait(&o, a);
    assert_int_equal(o.waiting, 1);
    outbox_list(&o, b, 1);
    assert_int_equal(o.waiting, 1);
    outbox_settle(&o, 1);
    assert_int_equal(o.waiting, 0);
    assert_int_equal(o.bytes, 0);
    assert_int_equal(outbox_fini(&o), 1); /* a was never told, and there is no file */
}

/* An epoch of somebody else: everything that went into the old one goes into the new one. */
static void test_another_epoch(void **state)
{
    (void)state;
    struct outbox o;
    start(&o, NULL, "n1");
    struct outbox_item *listed = add(&o, "1"), *sent = add(&o, "2"), *flying = add(&o, "3"),
                       *queued = add(&o, "4");
    uint64_t old_mark = listed->mark;
    outbox_list(&o, listed, 5);
    sent->state = OUTBOX_SENT;
    flying->state = OUTBOX_IN_FLIGHT;
    outbox_again(&o, true);
    assert_int_equal(sent->state, OUTBOX_QUEUED);
    assert_int_equal(flying->state, OUTBOX_IN_FLIGHT); /* its answer says what became of it */
    assert_int_equal(queued->state, OUTBOX_QUEUED);
    assert_int_equal(listed->state, OUTBOX_QUEUED);
    assert_ptr_equal(o.going.last, listed);
    assert_true(listed->mark > queued->mark && listed->mark != old_mark);
    assert_true(listed->waiting);
    assert_false(sent->waiting);
    assert_int_equal(o.listed.n, 0);
    outbox_fini(&o);
}

/* One that this node has begun: what was read back came before it. */
static void test_an_epoch_of_our_own(void **state)
{
    (void)state;
    struct outbox o;
    start(&o, NULL, "n1");
    struct outbox_item *done = add(&o, "1"), *doubted = add(&o, "2"), *sent = add(&o, "3");
    outbox_wait(&o, doubted);
    outbox_list(&o, done, 5);
    outbox_list(&o, doubted, 5);
    sent->state = OUTBOX_SENT;
    outbox_again(&o, false);
    assert_int_equal(o.listed.n, 0);
    assert_int_equal(o.going.n, 2);
    assert_ptr_equal(o.going.first, sent);
    assert_ptr_equal(o.going.last, doubted);
    assert_int_equal(o.waiting, 1);
    outbox_fini(&o);
}

/* … but somebody still waits to hear of it (Sentinel: until the replicas have it). */
static void test_an_epoch_of_our_own_before_the_answer(void **state)
{
    (void)state;
    struct outbox o;
    char somebody;
    start(&o, NULL, "n1");
    struct outbox_item *it = add(&o, "1");
    it->asker = (struct journal_append *)(void *)&somebody;
    outbox_list(&o, it, 5);
    outbox_again(&o, false);
    assert_ptr_equal(o.going.first, it);
    assert_int_equal(it->state, OUTBOX_QUEUED);
    assert_true(it->waiting); /* who waits is told so */
    it->asker = NULL;
    outbox_fini(&o);
}

/* ---- bounds ------------------------------------------------------------------------------ */

static void test_overflow_becomes_all(void **state)
{
    struct dir *d = *state;
    struct outbox o;
    start(&o, d, "n1");
    struct outbox_item *flying = add_waiting(&o, "nh1:f"), *young = add(&o, "nh1:y");
    flying->state = OUTBOX_IN_FLIGHT;
    for (unsigned i = 0; i < OUTBOX_MAX; i++) {
        assert_false(outbox_covers(&o));
        add_waiting(&o, "nh1:x");
        outbox_sync(&o);
        outbox_bound(&o);
    }
    assert_true(outbox_covers(&o));
    assert_int_equal(o.waiting, 2);
    assert_int_equal(o.going.n, 3);
    assert_ptr_equal(o.going.first, flying);
    assert_ptr_equal(flying->next, young); /* does not wait: its asker does */
    assert_ptr_equal(o.going.last, o.all);
    assert_wire(o.all, "ah0:");
    assert_int_equal(each_file(d, NULL), 1);
    assert_true(o.file.size < 200);
    o.all->state = OUTBOX_IN_FLIGHT;
    assert_false(outbox_covers(&o)); /* what comes now, comes after it */
    o.all->state = OUTBOX_QUEUED;
    outbox_remove(&o, o.all);
    assert_null(o.all);
    assert_int_equal(each_file(d, NULL), 1);
    outbox_remove(&o, flying);
    assert_int_equal(each_file(d, NULL), 0);
    outbox_fini(&o);
}

static void test_many_bytes_become_all(void **state)
{
    (void)state;
    struct outbox o;
    char *big = xcalloc(1, OUTBOX_BYTES / 64 + 2);
    memset(big, 'x', OUTBOX_BYTES / 64 + 1);
    start(&o, NULL, "n1");
    for (int i = 0; i < 64; i++) {
        assert_false(outbox_covers(&o));
        add_waiting(&o, big);
        outbox_bound(&o);
    }
    assert_true(outbox_covers(&o));
    assert_int_equal(o.waiting, 1);
    free(big);
    outbox_fini(&o);
}

static void test_what_was_read_back_is_bounded(void **state)
{
    struct dir *d = *state;
    struct outbox o;
    start(&o, d, "n1");
    for (unsigned i = 0; i <= OUTBOX_MAX; i++) {
        struct outbox_item *it = add(&o, "nh1:x");
        if (i == 7) {
            outbox_wait(&o, it);
        }
        outbox_list(&o, it, i);
    }
    outbox_sync(&o);
    outbox_bound(&o);
    assert_int_equal(o.listed.n, 1);
    assert_wire(o.listed.first, "ah0:");
    assert_int_equal(o.waiting, 1);
    outbox_settle(&o, OUTBOX_MAX - 1);
    assert_int_equal(o.listed.n, 1);
    outbox_settle(&o, OUTBOX_MAX);
    assert_int_equal(o.listed.n, 0);
    assert_int_equal(each_file(d, NULL), 0);
    outbox_fini(&o);
}

/* ---- the file ---------------------------------------------------------------------------- */

static void test_a_file_only_while_something_waits(void **state)
{
    struct dir *d = *state;
    struct outbox o;
    start(&o, d, "n1");
    struct outbox_item *a = add(&o, "ah0:");
    outbox_sync(&o);
    assert_int_equal(each_file(d, NULL), 0);
    outbox_wait(&o, a);
    assert_int_equal(each_file(d, NULL), 0);
    outbox_sync(&o);
    assert_int_equal(each_file(d, NULL), 1);
    outbox_remove(&o, a);
    assert_int_equal(each_file(d, NULL), 0);
    a = add_waiting(&o, "ah0:");
    outbox_sync(&o);
    assert_int_equal(each_file(d, NULL), 1);
    outbox_unwait(&o, a);
    assert_int_equal(each_file(d, NULL), 0);
    outbox_remove(&o, a);
    outbox_fini(&o);
}

static void test_replay(void **state)
{
    struct dir *d = *state;
    struct outbox o;
    start(&o, d, "n1");
    add_waiting(&o, "nh3:a:1gh3:b:*");
    add_waiting(&o, "th1:\n");
    outbox_sync(&o);
    add(&o, "nh3:c:1"); /* still on its way when the process ends */
    assert_int_equal(outbox_fini(&o), 0);
    assert_int_equal(each_file(d, NULL), 1);

    start(&o, d, "n2");
    assert_int_equal(o.waiting, 3);
    assert_int_equal(o.going.n, 3);
    assert_wire(o.going.first, "nh3:a:1gh3:b:*");
    assert_wire(o.going.first->next, "th1:\n");
    assert_wire(o.going.last, "nh3:c:1");
    assert_int_equal(o.going.last->state, OUTBOX_QUEUED);
    assert_int_equal(each_file(d, NULL), 1); /* its own by now */
    outbox_fini(&o);

    start(&o, d, "n3");
    assert_int_equal(o.going.n, 3);
    while (o.going.first != NULL) {
        outbox_remove(&o, o.going.first);
    }
    assert_int_equal(each_file(d, NULL), 0);
    outbox_fini(&o);
    start(&o, d, "n4");
    assert_int_equal(o.going.n, 0);
    outbox_fini(&o);
}

/* A process that is still there keeps its file to itself, and another prefix its own. */
static void test_files_of_others(void **state)
{
    struct dir *d = *state;
    struct outbox alive, mine, other;
    start(&alive, d, "n1");
    add_waiting(&alive, "nh1:a");
    outbox_sync(&alive);
    outbox_init(&other, str_from(d->path), STR("shop-2"), "n9");
    assert_int_equal(other.going.n, 0);
    add_waiting(&other, "nh1:o");
    assert_int_equal(outbox_fini(&other), 0);
    start(&mine, d, "n2");
    assert_int_equal(mine.going.n, 0);
    outbox_fini(&mine);
    assert_int_equal(outbox_fini(&alive), 0);
    start(&mine, d, "n3");
    assert_int_equal(mine.going.n, 1);
    assert_wire(mine.going.first, "nh1:a");
    outbox_fini(&mine);
}

static size_t torn_at; /* bytes to leave in each file */

static void tear(const char *path)
{
    assert_int_equal(truncate(path, (off_t)torn_at), 0);
}

static size_t file_size;

static void measure(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    file_size = (size_t)st.st_size;
}

static void fill_file(const struct dir *d)
{
    struct outbox o;
    start(&o, d, "n1");
    add_waiting(&o, "nh3:a:1");
    add_waiting(&o, "nh3:b:1");
    outbox_sync(&o);
    outbox_fini(&o);
}

/* Cut anywhere: what is whole is read, the rest means all. */
static void test_torn_end(void **state)
{
    struct dir *d = *state;
    fill_file(d);
    each_file(d, measure);
    size_t size = file_size, half = size / 2;
    for (torn_at = 1; torn_at < size; torn_at++) {
        struct outbox o;
        each_file(d, remove_file);
        fill_file(d);
        each_file(d, tear);
        start(&o, d, "n2");
        size_t whole = torn_at >= half;
        assert_int_equal(o.going.n, whole + (torn_at != half));
        if (whole > 0) {
            assert_wire(o.going.first, "nh3:a:1");
        }
        if (torn_at != half) {
            assert_wire(o.going.last, "ah0:");
        }
        outbox_fini(&o);
    }
}

static void spoil(const char *path)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\0\0", 2, (off_t)torn_at), 2);
    close(fd);
}

/* A block that never reached the disk. */
static void test_spoilt_bytes(void **state)
{
    struct dir *d = *state;
    fill_file(d);
    each_file(d, measure);
    size_t size = file_size;
    for (torn_at = 0; torn_at + 2 <= size; torn_at++) {
        struct outbox o;
        each_file(d, remove_file);
        fill_file(d);
        each_file(d, spoil);
        start(&o, d, "n2");
        assert_true(o.going.n == 1 || o.going.n == 2);
        assert_wire(o.going.last, "ah0:");
        outbox_fini(&o);
    }
}

static void test_a_directory_that_is_not_there(void **state)
{
    (void)state;
    struct outbox o;
    log_setup(LOG_ERROR + 1, false);
    outbox_init(&o, STR("/nonexistent/state"), STR("shop"), "n1");
    struct outbox_item *a = add_waiting(&o, "ah0:");
    outbox_sync(&o);
    outbox_bound(&o);
    assert_int_equal(o.waiting, 1);
    outbox_remove(&o, a);
    add_waiting(&o, "ah0:");
    assert_int_equal(outbox_fini(&o), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_marks),
        cmocka_unit_test(test_waiting_is_counted_once),
        cmocka_unit_test(test_another_epoch),
        cmocka_unit_test(test_an_epoch_of_our_own),
        cmocka_unit_test(test_an_epoch_of_our_own_before_the_answer),
        cmocka_unit_test_setup_teardown(test_overflow_becomes_all, setup, teardown),
        cmocka_unit_test(test_many_bytes_become_all),
        cmocka_unit_test_setup_teardown(test_what_was_read_back_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_only_while_something_waits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_replay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spoilt_bytes, setup, teardown),
        cmocka_unit_test(test_a_directory_that_is_not_there),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
