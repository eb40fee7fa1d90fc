/*
 * admin/alert_event: the JSON that receivers get and its signature, compared with a value that
 * was computed elsewhere.
 */
#include "unit.h"

#include "admin/alert_event.h"

static void test_body(void **state)
{
    struct alert_settings settings = {
        .text = STR("hit_rate<50% for 5m"), .kind = ALERT_HIT_RATE, .limit = 50};
    struct alert_rule rule = {
        .settings = &settings, .value = 41.27777, .detail = "4127 hits of \"10\" \n requests"};
    struct alert_event event = {
        .state = "firing",
        .id = "00ff-1",
        .node = "web-1",
        .since = 1790000000123,
        .at = 1790000300004,
    };
    struct strbuf out = {0};

    (void)state;
    alert_event_body(&rule, &event, &out);
    strbuf_add_char(&out, '\0');
    assert_string_equal(
        out.p, "{\"id\":\"00ff-1\",\"alert\":\"hit_rate<50% for 5m\",\"event\":\"hit_rate\","
               "\"state\":\"firing\",\"repeated\":false,\"value\":41.28,\"limit\":50,"
               "\"detail\":\"4127 hits of \\\"10\\\" \\n requests\","
               "\"since\":\"2026-09-21T14:13:20.123Z\",\"at\":\"2026-09-21T14:18:20.004Z\","
               "\"node\":\"web-1\",\"version\":\"" LARDER_VERSION "\"}");
    strbuf_free(&out);
}

/* What has no limit has none in the body. */
static void test_body_of_state(void **state)
{
    struct alert_settings settings = {.text = STR("redis down for 10s"),
                                      .kind = ALERT_REDIS_DOWN};
    struct alert_rule rule = {.settings = &settings, .value = 1, .detail = "not connected"};
    struct alert_event event = {.state = "resolved", .id = "1", .node = "n", .repeated = true};
    struct strbuf out = {0};

    (void)state;
    alert_event_body(&rule, &event, &out);
    strbuf_add_char(&out, '\0');
    assert_null(strstr(out.p, "limit"));
    assert_non_null(strstr(out.p, "\"event\":\"redis_down\",\"state\":\"resolved\","
                                  "\"repeated\":true,\"value\":1,"));
    assert_non_null(strstr(out.p, "\"since\":\"1970-01-01T00:00:00.000Z\""));
    strbuf_free(&out);
}

static void test_signature(void **state)
{
    char out[ALERT_SIGNATURE_MAX];

    (void)state;
    /* printf '1790000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef */
    alert_event_sign(STR("0123456789abcdef"), STR("1790000000"), STR("{\"a\":1}"), out);
    assert_string_equal(out,
                        "v1=d569e4518fe6f4620fd6639233427e7df5e5394d8f14c85c1063b8d90a724dcb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_body_of_state),
        cmocka_unit_test(test_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
