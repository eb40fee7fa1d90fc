/*
 * base/json_text and base/utf8: whatever the bytes, what comes out is JSON, and what is UTF-8
 * is left as it is.
 */
#include "unit.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "base/json_text.h"
#include "base/utf8.h"

static void expect(struct str text, const char *wanted)
{
    cJSON *object = cJSON_CreateObject();
    json_add_text(object, "t", text);
    char *printed = cJSON_PrintUnformatted(object);
    const char *why = NULL;
    cJSON *back = json_parse(str_from(printed), 4096, 4, &why);
    assert_non_null(back);
    assert_string_equal(json_string(json_get(back, STR("t"))).p, wanted);
    json_free(back);
    free(printed);
    cJSON_Delete(object);
}

static void test_texts(void **state)
{
    (void)state;
    expect(STR(""), "");
    expect(STR("plain \"quoted\" \\ %41"), "plain \"quoted\" \\ %41");
    expect(STR("k\xc3\xa4se \xe2\x82\xac \xf0\x9f\x98\x80"),
           "k\xc3\xa4se \xe2\x82\xac \xf0\x9f\x98\x80");
    expect(STR("a\nb\0c\x7f"), "a%0Ab%00c%7F");
    expect(STR("\xff\xc3"), "%FF%C3");
    expect(STR("\xc0\xaf"), "%C0%AF");               /* overlong */
    expect(STR("\xed\xa0\x80"), "%ED%A0%80");        /* a surrogate */
    expect(STR("\xf4\x90\x80\x80"), "%F4%90%80%80"); /* beyond U+10FFFF */
    expect(STR("\xe2\x82"), "%E2%82");               /* cut short */
}

static void test_absent_is_null(void **state)
{
    (void)state;
    cJSON *object = cJSON_CreateObject();
    json_add_text(object, "t", STR_NULL);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(object, "t")));
    cJSON *array = cJSON_AddArrayToObject(object, "list");
    json_push_text(array, STR("x"));
    assert_string_equal(cJSON_GetArrayItem(array, 0)->valuestring, "x");
    cJSON_Delete(object);
}

static void test_code_points(void **state)
{
    uint32_t code = 0;
    (void)state;
    assert_int_equal(utf8_sequence((const unsigned char *)"\xe2\x82\xac", 3, &code), 3);
    assert_int_equal(code, 0x20ac);
    assert_int_equal(utf8_sequence((const unsigned char *)"a", 1, &code), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_absent_is_null),
        cmocka_unit_test(test_code_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
