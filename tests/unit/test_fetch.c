/*
 * Answers: every framing cut at every byte, malformed ones, surplus bytes, interim answers, and
 * which connections are used again afterwards.
 */
#include "fetch_case.h"

#define SCRIPTS(...) ((const struct step *const[]){__VA_ARGS__})
#define ONE(script)  SCRIPTS(script), 1

static void test_a_simple_answer(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, ANSWER(5) "hello", 0}, {DEED_HANG, NULL, 0}};
    case_start(ONE(script), "");
    case_run();
    assert_answer(200, "hello");
    assert_int_equal(pool_idle(pool), 1);
    pool_drop_others(pool, NULL);
    scripted_stop(origin);
    assert_received(0, GET_HEAD);
}

static void test_a_connection_is_used_again(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0},
        {DEED_SEND, ANSWER(1) "a", 0},
        {DEED_HEAD, NULL, 0},
        {DEED_SEND, "HTTP/1.1 204 No Content\r\n\r\n", 0},
        {DEED_HEAD, NULL, 0},
        {DEED_SEND,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1;ext=\"x\"\r\nb\r\n0\r\nTrailer: x\r\n\r\n",
         0},
        {DEED_HEAD, NULL, 0},
        {DEED_SEND, ANSWER(0), 0},
        {DEED_HANG, NULL, 0}};
    static const struct {
        int status;
        const char *body;
    } expected[] = {{200, "a"}, {204, ""}, {200, "b"}, {200, ""}};
    case_start(ONE(script), "");
    for (unsigned i = 0; i < 4; i++) {
        case_run();
        assert_answer(expected[i].status, expected[i].body);
        assert_int_equal(pool_idle(pool), 1);
    }
    assert_int_equal(origin->n_conns, 1);
}

static void test_head_has_no_body(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0},
        {DEED_SEND, ANSWER(500), 0},
        {DEED_HEAD, NULL, 0},
        {DEED_SEND, "HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", 0},
        {DEED_HANG, NULL, 0}};
    case_start(ONE(script), "");
    request.method = METHOD_HEAD;
    request.head = STR("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
    case_run();
    assert_answer(200, "");
    case_get();
    case_run();
    assert_answer(304, "");
    assert_int_equal(origin->n_conns, 1);
}

/* Answers that end a connection's life, though they are right. */
static void test_what_is_not_used_again(void **state)
{
    (void)state;
    static const struct step scripts[][3] = {
        {{DEED_HEAD, NULL, 0},
         {DEED_SEND,
          "HTTP/1.1 200 OK\r\nConnection: close\r\n"
          "Content-Length: 2\r\n\r\nhi",
          0},
         {DEED_HANG, NULL, 0}},
        {{DEED_HEAD, NULL, 0},
         {DEED_SEND, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 0},
         {DEED_HANG, NULL, 0}},
        {{DEED_HEAD, NULL, 0}, {DEED_SEND, ANSWER(2) "hisurplus", 0}, {DEED_HANG, NULL, 0}},
        {{DEED_HEAD, NULL, 0},
         {DEED_SEND, ANSWER(2) "hiHTTP/1.1 200 OK\r\n\r\n", 0},
         {DEED_HANG, NULL, 0}},
        {{DEED_HEAD, NULL, 0},
         {DEED_SEND,
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          "2\r\nhi\r\n0\r\n\r\nx",
          0},
         {DEED_HANG, NULL, 0}},
        {{DEED_HEAD, NULL, 0},
         {DEED_SEND, "HTTP/1.1 200 OK\r\n\r\nhi", 0},
         {DEED_END, NULL, 0}},
    };
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        case_start(ONE(scripts[i]), "");
        case_run();
        assert_answer(200, "hi");
        assert_int_equal(pool_idle(pool), 0);
        case_teardown(NULL);
    }
}

static void run_text(const char *answer, size_t n)
{
    const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {n > 0 ? DEED_SEND : DEED_END, answer, n}, {DEED_END, NULL, 0}};
    case_start(ONE(script), "");
    case_run();
}

/* An answer cut after each of its bytes is a failure, whatever its framing; whole, it is not.
 */
static void test_every_cut_is_noticed(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nhel\r\n02\r\nlo\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
        "5\r\n\r\nhello",
    };
    for (unsigned a = 0; a < 3; a++) {
        size_t whole = strlen(answers[a]);
        for (size_t n = 0; n < whole; n++) {
            run_text(answers[a], n);
            assert_failed(FETCH_RESET);
            assert_true(ex.body.n <= 5 &&
                        memcmp(ex.body.p != NULL ? ex.body.p : "", "hello", ex.body.n) == 0);
            case_teardown(NULL);
        }
        run_text(answers[a], whole);
        assert_answer(200, "hello");
        case_teardown(NULL);
    }
}

/* The same pieces of any size give the same answer. */
static void test_pieces_of_every_size(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
                               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"
                               "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: z\r\n\r\n";
    for (size_t n = 1; n < sizeof(text); n += n < 8 ? 1 : 13) {
        const struct step script[] = {
            {DEED_HEAD, NULL, 0}, {DEED_PACED, text, n}, {DEED_HANG, NULL, 0}};
        case_start(ONE(script), "");
        case_run();
        assert_answer(200, "hello world");
        assert_int_equal(ex.interims, 1);
        assert_int_equal(ex.interim_status, 102);
        assert_int_equal(pool_idle(pool), 1);
        case_teardown(NULL);
    }
}

/* Until the end of the connection: an orderly end completes, a reset does not. */
static void test_a_body_until_the_end(void **state)
{
    (void)state;
    run_text("HTTP/1.1 200 OK\r\n\r\nhello", 0 + sizeof("HTTP/1.1 200 OK\r\n\r\nhello") - 1);
    assert_answer(200, "hello");
    case_teardown(NULL);
    static const struct step script[] = {{DEED_HEAD, NULL, 0},
                                         {DEED_SEND, "HTTP/1.1 200 OK\r\n\r\nhello", 0},
                                         {DEED_GATE, NULL, 0},
                                         {DEED_RESET, NULL, 0}};
    case_start(ONE(script), "");
    case_begin();
    RUN_UNTIL(l, ex.body.n == 5);
    atomic_store(&origin->gate, true);
    RUN_UNTIL(l, ex.fails > 0);
    assert_failed(FETCH_RESET);
    case_teardown(NULL);
}

static void test_bad_answers(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\0Y: a\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 2000 High\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "\r\n\r\n\r\n\r\n\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        size_t n =
            i == 12 ? sizeof("HTTP/1.1 200 OK\r\nX\0Y: a\r\n\r\n") - 1 : strlen(answers[i]);
        run_text(answers[i], n);
        if (ex.fails != 1 || ex.error != FETCH_BAD) {
            fail_msg("taken, or failed otherwise: %s", answers[i]);
        }
        assert_int_equal(pool_idle(pool), 0);
        assert_int_equal(origin->n_conns, 1); /* never asked again */
        case_teardown(NULL);
    }
}

static void test_a_head_without_end(void **state)
{
    (void)state;
    struct strbuf text = {0};
    strbuf_add_str(&text, STR("HTTP/1.1 200 OK\r\n"));
    for (unsigned i = 0; i < 200; i++) {
        strbuf_addf(&text, "X-%u: %0100u\r\n", i, i);
    }
    strbuf_add_str(&text, STR("\r\n"));
    strbuf_add_char(&text, '\0');
    run_text(text.p, 0 + strlen(text.p));
    assert_failed(FETCH_BAD);
    case_teardown(NULL);
    text.n = 0;
    strbuf_addf(&text, "HTTP/1.1 200 OK\r\nX: %02000u", 1);
    strbuf_add_char(&text, '\0');
    run_text(text.p, strlen(text.p)); /* refused before its end comes */
    assert_failed(FETCH_BAD);
    case_teardown(NULL);
    strbuf_free(&text);
}

static void test_interim_answers_have_an_end(void **state)
{
    (void)state;
    struct strbuf text = {0};
    for (unsigned i = 0; i < 11; i++) {
        strbuf_add_str(&text, STR("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"));
    }
    strbuf_add_str(&text, STR(ANSWER(0)));
    strbuf_add_char(&text, '\0');
    run_text(text.p, strlen(text.p));
    assert_failed(FETCH_BAD);
    assert_int_equal(ex.interims, 10);
    case_teardown(NULL);
    strbuf_free(&text);
}

static void test_the_owner_may_leave_at_any_time(void **state)
{
    (void)state;
    static const struct step script[] = {{DEED_HEAD, NULL, 0},
                                         {DEED_SEND, ANSWER(5) "he", 0},
                                         {DEED_GATE, NULL, 0},
                                         {DEED_SEND, "llo", 0},
                                         {DEED_HANG, NULL, 0}};
    /* before the loop has turned once */
    case_start(ONE(script), "");
    case_begin();
    fetch_free(ex.f);
    fetch_free(ex.f); /* twice is harmless until the turn ends */
    ex.f = NULL;
    case_teardown(NULL);
    /* from inside the head's callback, with body bytes behind it */
    case_start(ONE(script), "");
    ex.free_at_head = true;
    case_begin();
    RUN_UNTIL(l, ex.heads > 0);
    loop_turn(l, false);
    assert_int_equal(ex.pieces + ex.dones + ex.fails, 0);
    case_teardown(NULL);
    /* in the middle of the body */
    case_start(ONE(script), "");
    case_begin();
    RUN_UNTIL(l, ex.body.n == 2);
    fetch_free(ex.f);
    ex.f = NULL;
    assert_int_equal(pool_idle(pool), 0);
    case_teardown(NULL);
}

static void test_an_answer_before_the_request(void **state)
{
    (void)state;
    /* What comes unasked on a new connection can only be garbage for this request, but nobody
     * can tell; on a used one it must never be taken. */
    static const struct step script[] = {{DEED_HEAD, NULL, 0},
                                         {DEED_SEND, ANSWER(1) "a", 0},
                                         {DEED_GATE, NULL, 0},
                                         {DEED_SEND, ANSWER(6) "poison", 0},
                                         {DEED_HANG, NULL, 0}};
    static const struct step second[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, ANSWER(4) "good", 0}, {DEED_HANG, NULL, 0}};
    case_start(SCRIPTS(script, second), 2, "");
    case_run();
    assert_answer(200, "a");
    atomic_store(&origin->gate, true);
    RUN_UNTIL(l, pool_idle(pool) == 0);
    case_run();
    assert_answer(200, "good");
    assert_int_equal(origin->n_conns, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_simple_answer, case_teardown),
        cmocka_unit_test_teardown(test_a_connection_is_used_again, case_teardown),
        cmocka_unit_test_teardown(test_head_has_no_body, case_teardown),
        cmocka_unit_test(test_what_is_not_used_again),
        cmocka_unit_test(test_every_cut_is_noticed),
        cmocka_unit_test(test_pieces_of_every_size),
        cmocka_unit_test(test_a_body_until_the_end),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_a_head_without_end),
        cmocka_unit_test(test_interim_answers_have_an_end),
        cmocka_unit_test(test_the_owner_may_leave_at_any_time),
        cmocka_unit_test_teardown(test_an_answer_before_the_request, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
