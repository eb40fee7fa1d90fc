/*
 * The opening handshake of WebSocket, with the example of RFC 6455 section 1.3.
 */
#include "unit.h"

#include <stdio.h>

#include "flow/websocket.h"
#include "http/field.h"
#include "http/h1.h"

#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ASK    "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define AGREE \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    field_table_init();
    arena_init(&arena, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static bool asked(const char *head)
{
    struct msg m;
    struct str copy = arena_dup(&arena, str_from(head));
    struct h1_verdict v = h1_parse_request(copy, &arena, false, &m);
    return v.status == 0 && websocket_asked(&m);
}

static bool agreed(const char *head)
{
    struct msg request, answer;
    struct str ask = arena_dup(&arena, STR(ASK KEY "Sec-WebSocket-Version: 13\r\n\r\n"));
    assert_int_equal(h1_parse_request(ask, &arena, false, &request).status, 0);
    struct str copy = arena_dup(&arena, str_from(head));
    assert_int_equal(h1_parse_response(copy, METHOD_GET, &arena, &answer).status, 0);
    return websocket_agreed(&request, &answer);
}

static void test_asked(void **state)
{
    (void)state;
    assert_true(asked(ASK KEY "Sec-WebSocket-Version: 13\r\n\r\n"));
    assert_true(asked(ASK "Sec-WebSocket-Key: 0123456789+/abcdefghij==\r\n"
                          "Sec-WebSocket-Version: 13\r\n\r\n"));
}

static void test_not_asked(void **state)
{
    (void)state;
    static const char *const heads[] = {
        ASK KEY "\r\n",
        ASK KEY "Sec-WebSocket-Version: 8\r\n\r\n",
        ASK KEY "Sec-WebSocket-Version: 13, 8\r\n\r\n",
        ASK "Sec-WebSocket-Version: 13\r\n\r\n",
        ASK KEY KEY "Sec-WebSocket-Version: 13\r\n\r\n",
        ASK "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\nSec-WebSocket-Version: 13\r\n\r\n",
        ASK "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\nSec-WebSocket-Version: 13\r\n\r\n",
        ASK "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_Q==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        ASK KEY "Sec-WebSocket-Version: 13\r\nContent-Length: 1\r\n\r\n",
        ASK KEY "Sec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY
        "Sec-WebSocket-Version: 13\r\n\r\n",
        "GET /chat HTTP/1.0\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY
        "Sec-WebSocket-Version: 13\r\n\r\n",
        "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" KEY
        "Sec-WebSocket-Version: 13\r\n\r\n",
        "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: close\r\n" KEY
        "Sec-WebSocket-Version: 13\r\n\r\n",
        "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n" KEY
        "Sec-WebSocket-Version: 13\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        if (asked(heads[i])) {
            fail_msg("%s", heads[i]);
        }
    }
}

static void test_agreed(void **state)
{
    (void)state;
    assert_true(agreed(AGREE ACCEPT "\r\n"));
    assert_true(agreed(AGREE ACCEPT "Sec-WebSocket-Protocol: chat\r\n\r\n"));
}

static void test_not_agreed(void **state)
{
    (void)state;
    static const char *const heads[] = {
        AGREE "\r\n",
        AGREE "Sec-WebSocket-Accept: \r\n\r\n",
        AGREE "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        AGREE "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n\r\n",
        AGREE ACCEPT ACCEPT "\r\n",
        AGREE ACCEPT "Upgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Ok\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT "\r\n",
        "HTTP/1.1 101 Ok\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade\r\n" ACCEPT "\r\n",
        "HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\n" ACCEPT "\r\n",
        "HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\n" ACCEPT "\r\n",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        if (agreed(heads[i])) {
            fail_msg("%s", heads[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_agreed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_agreed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
