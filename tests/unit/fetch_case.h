/*
 * Helpers of test_fetch*.c: one exchange with scripted origins, noting all that happens.
 */
#ifndef TESTS_UNIT_FETCH_CASE_H
#define TESTS_UNIT_FETCH_CASE_H

#include "origin_case.h"

#include "upstream/fetch.h"

#define GET_HEAD            "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
#define PUT_HEAD            "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#define POST_HEAD           "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
#define ANSWER(body_length) "HTTP/1.1 200 OK\r\nContent-Length: " #body_length "\r\n\r\n"

/* The exchange of a test and what came of it. */
struct exchange {
    struct fetch *f;
    struct strbuf body; /* of the answer */
    unsigned heads, interims, dones, fails, upgrades, writables, pieces;
    int status; /* of the final head, or the 101 */
    int interim_status;
    enum fetch_error error; /* after a failure */
    bool pause;             /* pause at each piece */
    bool free_at_head;      /* the owner gives up when the head comes */
    const char *to_send;    /* sent once it is writable, in one piece, then the end */
    bool sent;
};

static struct loop *l;
static struct pool *pool;
static struct scripted *origin;
static struct origins *set;
static struct exchange ex;
static struct fetch_request request;

static void case_writable(struct fetch *f)
{
    struct exchange *e = fetch_owner(f);
    e->writables++;
    if (e->to_send != NULL && !e->sent) {
        e->sent = true;
        fetch_send(f, str_from(e->to_send));
        fetch_send_end(f);
    } else if (e->to_send != NULL) {
        fetch_send_end(f);
    }
}

static void case_interim(struct fetch *f, const struct msg *m)
{
    struct exchange *e = fetch_owner(f);
    e->interims++;
    e->interim_status = m->status;
}

static void case_head(struct fetch *f, const struct msg *m)
{
    struct exchange *e = fetch_owner(f);
    e->heads++;
    e->status = m->status;
    if (e->free_at_head) {
        fetch_free(f);
        e->f = NULL;
    }
}

static void case_data(struct fetch *f, struct str piece)
{
    struct exchange *e = fetch_owner(f);
    assert_true(piece.n > 0);
    e->pieces++;
    strbuf_add_str(&e->body, piece);
    if (e->pause) {
        fetch_pause(f);
    }
}

static void case_done(struct fetch *f)
{
    struct exchange *e = fetch_owner(f);
    e->dones++;
    fetch_free(f);
    e->f = NULL;
}

static void case_failed(struct fetch *f, enum fetch_error error)
{
    struct exchange *e = fetch_owner(f);
    e->fails++;
    e->error = error;
    assert_int_not_equal(error, FETCH_OK);
    fetch_free(f);
    e->f = NULL;
}

static void case_upgraded(struct fetch *f, const struct msg *m)
{
    struct exchange *e = fetch_owner(f);
    (void)f;
    e->upgrades++;
    e->status = m->status;
}

static const struct fetch_ops case_ops = {
    .writable = case_writable,
    .interim = case_interim,
    .head = case_head,
    .data = case_data,
    .done = case_done,
    .failed = case_failed,
    .upgraded = case_upgraded,
};

static inline void case_get(void)
{
    request = (struct fetch_request){
        .method = METHOD_GET,
        .head = STR(GET_HEAD),
        .body = FRAMING_NONE,
        .timeout = {.connect = 5000, .first_byte = 5000, .idle = 5000, .total = -1},
        .head_limit = 4096,
        .count_limit = 20,
        .line_limit = 1024,
    };
}

/* Origins for the scripts on one port, and a GET that is not started yet. */
static inline void case_start(const struct step *const *scripts, size_t n, const char *options)
{
    l = loop_new();
    pool = pool_new(l);
    origin = scripted_start(scripts, n);
    set = make_origins(&origin->port, 1, options);
    ex = (struct exchange){0};
    case_get();
}

/* Starts the exchange; several may follow each other in one test. */
static inline void case_begin(void)
{
    strbuf_free(&ex.body);
    ex.heads = ex.interims = ex.dones = ex.fails = ex.upgrades = ex.writables = ex.pieces = 0;
    ex.sent = false;
    ex.f = fetch_new(pool, set, origins_get(set, 0), &request, &case_ops, &ex);
    fetch_start(ex.f);
    assert_int_equal(ex.heads + ex.dones + ex.fails + ex.writables, 0); /* from the loop only */
}

static inline void case_run(void)
{
    case_begin();
    RUN_UNTIL(l, ex.dones + ex.fails > 0);
    assert_int_equal(ex.dones + ex.fails, 1);
}

static inline int case_teardown(void **state)
{
    (void)state;
    if (ex.f != NULL) {
        fetch_free(ex.f);
    }
    loop_turn(l, false);
    for (size_t i = 0; i < origins_count(set); i++) {
        struct origin *o = origins_get(set, (unsigned)i);
        for (size_t k = 0; k < o->n_servers; k++) {
            assert_int_equal(atomic_load(&o->servers[k].in_flight), 0);
        }
    }
    pool_free(pool);
    scripted_stop(origin);
    scripted_free(origin);
    origins_unref(set);
    loop_free(l);
    strbuf_free(&ex.body);
    return 0;
}

static inline void assert_answer(int status, const char *body)
{
    if (ex.fails > 0) {
        fail_msg("failed with %d", (int)ex.error);
    }
    assert_int_equal(ex.heads, 1);
    assert_int_equal(ex.dones, 1);
    assert_int_equal(ex.status, status);
    assert_int_equal(ex.body.n, strlen(body));
    assert_memory_equal(ex.body.p != NULL ? ex.body.p : "", body, ex.body.n);
}

static inline void assert_failed(enum fetch_error e)
{
    assert_int_equal(ex.dones, 0);
    assert_int_equal(ex.fails, 1);
    assert_int_equal(ex.error, e);
}

/* What the i-th connection received, after scripted_stop(). */
static inline void assert_received(size_t i, const char *text)
{
    assert_true(i < origin->n_conns);
    assert_int_equal(origin->conns[i].in.n, strlen(text));
    assert_memory_equal(origin->conns[i].in.p, text, strlen(text));
}

#endif
