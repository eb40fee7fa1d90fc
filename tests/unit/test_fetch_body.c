/*
 * Request bodies and the flow in both directions: framing, replay on a retry, early answers,
 * back-pressure, and connections that change hands after a 101.
 */
#include "fetch_case.h"

#define SCRIPTS(...) ((const struct step *const[]){__VA_ARGS__})

static const struct step takes_put[] = {
    {DEED_HEAD, NULL, 0},
    {DEED_HEAD, NULL, 0}, /* the last chunk ends like a head */
    {DEED_SEND, ANSWER(4) "good", 0},
    {DEED_HANG, NULL, 0}};

static void start(const struct step *const *scripts, size_t n)
{
    case_start(scripts, n, "max_fails=0");
}

static void put_request(void)
{
    request.method = METHOD_PUT;
    request.head = STR(PUT_HEAD);
    request.body = FRAMING_CHUNKED;
}

static void test_a_chunked_body(void **state)
{
    (void)state;
    start(SCRIPTS(takes_put), 1);
    put_request();
    ex.to_send = "hello, sixteen++";
    case_run();
    assert_answer(200, "good");
    assert_int_equal(pool_idle(pool), 1);
    pool_drop_others(pool, NULL);
    scripted_stop(origin);
    assert_received(0, PUT_HEAD "10\r\nhello, sixteen++\r\n0\r\n\r\n");
}

static void test_a_body_with_length(void **state)
{
    (void)state;
    static const struct step script[] = {{DEED_HEAD, NULL, 0},
                                         {DEED_READ, NULL, 5},
                                         {DEED_SEND, ANSWER(0), 0},
                                         {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    request.method = METHOD_POST;
    request.head = STR(POST_HEAD);
    request.body = FRAMING_LENGTH;
    ex.to_send = "hello";
    case_run();
    assert_answer(200, "");
    assert_int_equal(pool_idle(pool), 1);
    pool_drop_others(pool, NULL);
    scripted_stop(origin);
    assert_received(0, POST_HEAD "hello");
}

static void test_a_body_is_sent_again_on_a_retry(void **state)
{
    (void)state;
    static const struct step once[] = {{DEED_HEAD, NULL, 0},
                                       {DEED_SEND, ANSWER(1) "a", 0},
                                       {DEED_HEAD, NULL, 0},
                                       {DEED_HEAD, NULL, 0},
                                       {DEED_CLOSE, NULL, 0}};
    start(SCRIPTS(once, takes_put), 2);
    case_run();
    put_request();
    ex.to_send = "hello";
    case_run();
    assert_answer(200, "good");
    pool_drop_others(pool, NULL);
    scripted_stop(origin);
    assert_received(0, GET_HEAD PUT_HEAD "5\r\nhello\r\n0\r\n\r\n");
    assert_received(1, PUT_HEAD "5\r\nhello\r\n0\r\n\r\n");
}

/* The body goes on while the exchange looks for another connection: nothing may be lost or come
 * before the head. */
static void check_body_during_retry(bool end_during_retry)
{
    static const struct step breaks[] = {
        {DEED_HEAD, NULL, 0}, {DEED_READ, NULL, 8}, {DEED_RESET, NULL, 0}};
    start(SCRIPTS(breaks, takes_put), 2);
    put_request();
    request.retries = 1;
    case_begin();
    RUN_UNTIL(l, ex.writables > 0);
    fetch_send(ex.f, STR("one"));
    RUN_UNTIL(l, fetch_body_full(ex.f)); /* the attempt has failed: back-off */
    fetch_send(ex.f, STR("two"));
    if (end_during_retry) {
        fetch_send_end(ex.f);
    } else {
        unsigned before = ex.writables;
        RUN_UNTIL(l, ex.writables > before);
        fetch_send(ex.f, STR("three"));
        fetch_send_end(ex.f);
    }
    RUN_UNTIL(l, ex.dones + ex.fails > 0);
    assert_answer(200, "good");
    pool_drop_others(pool, NULL);
    scripted_stop(origin);
    assert_received(1, end_during_retry ? PUT_HEAD "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
                                        : PUT_HEAD
                           "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
}

static void test_the_body_goes_on_during_a_retry(void **state)
{
    (void)state;
    check_body_during_retry(false);
}

static void test_the_body_ends_during_a_retry(void **state)
{
    (void)state;
    check_body_during_retry(true);
}

static void test_a_large_body_is_not_repeated(void **state)
{
    (void)state;
    static const struct step breaks[] = {
        {DEED_HEAD, NULL, 0}, {DEED_READ, NULL, 100000}, {DEED_RESET, NULL, 0}};
    start(SCRIPTS(breaks, takes_put), 2);
    put_request();
    request.retries = 3;
    case_begin();
    RUN_UNTIL(l, ex.writables > 0);
    char piece[10000];
    memset(piece, 'p', sizeof(piece));
    for (unsigned i = 0; i < 15; i++) {
        fetch_send(ex.f, str_make(piece, sizeof(piece)));
    }
    RUN_UNTIL(l, ex.dones + ex.fails > 0);
    assert_failed(FETCH_RESET);
    assert_int_equal(origin->n_conns, 1);
}

static void test_a_slow_server_holds_the_body_back(void **state)
{
    (void)state;
    static const struct step slow[] = {{DEED_HEAD, NULL, 0},
                                       {DEED_GATE, NULL, 0},
                                       {DEED_HEAD, NULL, 0},
                                       {DEED_SEND, ANSWER(4) "good", 0},
                                       {DEED_HANG, NULL, 0}};
    start(SCRIPTS(slow), 1);
    put_request();
    case_begin();
    RUN_UNTIL(l, ex.writables > 0);
    char piece[16384];
    memset(piece, 'p', sizeof(piece));
    size_t sent = 0;
    while (!fetch_body_full(ex.f)) {
        fetch_send(ex.f, str_make(piece, sizeof(piece)));
        loop_turn(l, false);
        sent += sizeof(piece);
        assert_true(sent < 64u * 1024 * 1024);
    }
    unsigned before = ex.writables;
    for (unsigned i = 0; i < 20; i++) {
        loop_turn(l, false);
        usleep(500);
    }
    assert_int_equal(ex.writables, before);
    assert_false(fetch_request_done(ex.f));
    atomic_store(&origin->gate, true);
    RUN_UNTIL(l, ex.writables > before);
    fetch_send_end(ex.f);
    RUN_UNTIL(l, ex.dones + ex.fails > 0);
    assert_answer(200, "good");
}

static void test_a_server_that_takes_no_body_times_out(void **state)
{
    (void)state;
    static const struct step slow[] = {
        {DEED_HEAD, NULL, 0}, {DEED_GATE, NULL, 0}, {DEED_END, NULL, 0}};
    start(SCRIPTS(slow), 1);
    put_request();
    request.timeout.idle = 200;
    case_begin();
    RUN_UNTIL(l, ex.writables > 0);
    char piece[16384];
    memset(piece, 'p', sizeof(piece));
    while (!fetch_body_full(ex.f)) {
        fetch_send(ex.f, str_make(piece, sizeof(piece)));
        loop_turn(l, false);
    }
    RUN_UNTIL(l, ex.fails > 0);
    assert_failed(FETCH_TIMEOUT);
    atomic_store(&origin->gate, true);
}

/* The server answers before the body is complete (401, 413): the answer counts, the connection
 * does not. */
static void test_an_early_answer(void **state)
{
    (void)state;
    static const struct step script[] = {{DEED_HEAD, NULL, 0},
                                         {DEED_SEND,
                                          "HTTP/1.1 413 Too Large\r\nContent-Length: "
                                          "3\r\n\r\nbig",
                                          0},
                                         {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    put_request();
    case_begin();
    RUN_UNTIL(l, ex.writables > 0);
    fetch_send(ex.f, STR("some"));
    RUN_UNTIL(l, ex.dones + ex.fails > 0);
    assert_answer(413, "big");
    assert_int_equal(pool_idle(pool), 0);
}

/* A server that answers while it still reads (an echo): the body goes on and is ended as it
 * should be, and only then is the connection good for another request. */
static void test_a_body_that_outlasts_the_head(void **state)
{
    (void)state;
    static const struct step script[] = {{DEED_READ, NULL, sizeof(PUT_HEAD "3\r\none\r\n") - 1},
                                         {DEED_SEND, ANSWER(4) "go", 0},
                                         {DEED_READ, NULL, sizeof("3\r\ntwo\r\n0\r\n\r\n") - 1},
                                         {DEED_SEND, "od", 0},
                                         {DEED_HEAD, NULL, 0},
                                         {DEED_SEND, ANSWER(5) "again", 0},
                                         {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    put_request();
    case_begin();
    RUN_UNTIL(l, ex.writables > 0);
    fetch_send(ex.f, STR("one"));
    RUN_UNTIL(l, ex.heads > 0);
    fetch_send(ex.f, STR("two"));
    fetch_send_end(ex.f);
    RUN_UNTIL(l, ex.dones + ex.fails > 0);
    assert_answer(200, "good");
    case_get();
    case_run();
    assert_answer(200, "again");
    assert_int_equal(origin->n_conns, 1);
}

/* The same, and the server closes with the body unread: RST is on its way behind the answer,
 * and what we still send meets a broken connection. */
static void test_an_early_answer_and_a_reset(void **state)
{
    (void)state;
    static const struct step script[] = {{DEED_READ, NULL, 10},
                                         {DEED_SEND,
                                          "HTTP/1.1 413 Too Large\r\nContent-Length: "
                                          "3\r\n\r\nbig",
                                          0},
                                         {DEED_GATE, NULL, 0},
                                         {DEED_CLOSE, NULL, 0}};
    for (unsigned round = 0; round < 3; round++) {
        start(SCRIPTS(script), 1);
        put_request();
        case_begin();
        RUN_UNTIL(l, ex.writables > 0);
        char piece[16384];
        memset(piece, 'p', sizeof(piece));
        while (!fetch_body_full(ex.f) && round > 0) {
            fetch_send(ex.f, str_make(piece, sizeof(piece)));
        }
        fetch_send(ex.f, str_make(piece, sizeof(piece)));
        usleep(20000); /* the answer is there, and not yet seen */
        atomic_store(&origin->gate, true);
        usleep(20000); /* so is the reset */
        if (round == 2) {
            fetch_send(ex.f, str_make(piece, sizeof(piece)));
        }
        RUN_UNTIL(l, ex.dones + ex.fails > 0);
        assert_answer(413, "big");
        case_teardown(NULL);
    }
}

static void test_the_answer_waits_for_its_reader(void **state)
{
    (void)state;
    static const struct step script[] = {{DEED_HEAD, NULL, 0},
                                         {DEED_SEND, ANSWER(50000000), 0},
                                         {DEED_FLOOD, NULL, 50000000},
                                         {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    ex.pause = true;
    case_begin();
    RUN_UNTIL(l, ex.pieces > 0);
    size_t got = ex.body.n;
    for (unsigned i = 0; i < 50; i++) {
        loop_turn(l, false);
        usleep(1000);
    }
    assert_int_equal(ex.body.n, got);
    assert_true(got <= LOOP_SCRATCH_SIZE);
    assert_true(atomic_load(&origin->flooded) < 20000000); /* the kernel's buffers only */
    while (ex.dones + ex.fails == 0) {
        if (ex.body.n > 1000000) {
            ex.pause = false;
        }
        fetch_resume(ex.f);
        loop_turn(l, false);
    }
    assert_int_equal(ex.fails, 0);
    assert_int_equal(ex.body.n, 50000000);
    assert_int_equal(pool_idle(pool), 1);
}

static void test_a_paused_exchange_does_not_time_out(void **state)
{
    (void)state;
    static const struct step script[] = {{DEED_HEAD, NULL, 0},
                                         {DEED_SEND, ANSWER(2) "a", 0},
                                         {DEED_GATE, NULL, 0},
                                         {DEED_SEND, "b", 0},
                                         {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    request.timeout.idle = 50;
    ex.pause = true;
    case_begin();
    RUN_UNTIL(l, ex.pieces == 1);
    msec_t until = clock_monotonic() + 150;
    while (clock_monotonic() < until) {
        loop_turn(l, false);
        usleep(1000);
    }
    assert_int_equal(ex.fails, 0); /* the reader is slow, not the server */
    atomic_store(&origin->gate, true);
    fetch_resume(ex.f);
    RUN_UNTIL(l, ex.dones + ex.fails > 0);
    assert_answer(200, "ab");
}

static void test_resume_without_pause_is_harmless(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, ANSWER(1) "a", 0}, {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    case_begin();
    fetch_resume(ex.f);
    fetch_pause(ex.f); /* before the body: nothing to hold back yet */
    RUN_UNTIL(l, ex.dones + ex.fails > 0);
    assert_answer(200, "a");
}

/* ---- 101 -------------------------------------------------------------------------------- */

#define SWITCH \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static void test_an_upgrade_hands_the_connection_over(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, SWITCH "early", 0}, {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    request.upgrade = true;
    request.timeout.total = 150; /* the tunnel is not part of the exchange */
    case_begin();
    RUN_UNTIL(l, ex.upgrades > 0);
    assert_int_equal(ex.status, 101);
    struct str early;
    struct upconn *uc = fetch_take(ex.f, &early);
    assert_true(str_eq(early, STR("early")));
    fetch_free(ex.f);
    ex.f = NULL;
    msec_t until = clock_monotonic() + 250;
    while (clock_monotonic() < until) {
        loop_turn(l, false);
        usleep(1000);
    }
    assert_true(stream_is_open(&uc->stream));
    assert_int_equal(ex.fails + ex.dones + ex.heads, 0);
    upconn_close(uc, false);
}

static void test_an_upgrade_that_is_declined(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, ANSWER(2) "no", 0}, {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    request.upgrade = true;
    case_run();
    assert_answer(200, "no");
}

static void test_a_101_without_upgrade_fields(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, "HTTP/1.1 101 X\r\n\r\n", 0}, {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    request.upgrade = true;
    case_run();
    assert_failed(FETCH_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_chunked_body, case_teardown),
        cmocka_unit_test_teardown(test_a_body_with_length, case_teardown),
        cmocka_unit_test_teardown(test_a_body_is_sent_again_on_a_retry, case_teardown),
        cmocka_unit_test_teardown(test_the_body_goes_on_during_a_retry, case_teardown),
        cmocka_unit_test_teardown(test_the_body_ends_during_a_retry, case_teardown),
        cmocka_unit_test_teardown(test_a_large_body_is_not_repeated, case_teardown),
        cmocka_unit_test_teardown(test_a_slow_server_holds_the_body_back, case_teardown),
        cmocka_unit_test_teardown(test_a_server_that_takes_no_body_times_out, case_teardown),
        cmocka_unit_test_teardown(test_an_early_answer, case_teardown),
        cmocka_unit_test_teardown(test_a_body_that_outlasts_the_head, case_teardown),
        cmocka_unit_test(test_an_early_answer_and_a_reset),
        cmocka_unit_test_teardown(test_the_answer_waits_for_its_reader, case_teardown),
        cmocka_unit_test_teardown(test_a_paused_exchange_does_not_time_out, case_teardown),
        cmocka_unit_test_teardown(test_resume_without_pause_is_harmless, case_teardown),
        cmocka_unit_test_teardown(test_an_upgrade_hands_the_connection_over, case_teardown),
        cmocka_unit_test_teardown(test_an_upgrade_that_is_declined, case_teardown),
        cmocka_unit_test_teardown(test_a_101_without_upgrade_fields, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
