/*
 * http/graphql: which operation a document runs, whatever strings, comments, arguments and
 * names say, and which requests hold a document at all.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "http/graphql.h"

#define NONE         GRAPHQL_NONE
#define QUERY        GRAPHQL_QUERY
#define SUBSCRIPTION GRAPHQL_SUBSCRIPTION
#define UNKNOWN      GRAPHQL_UNKNOWN
#define MUTATION     GRAPHQL_MUTATION

struct document_case {
    const char *document;
    const char *name; /* operationName; NULL: none */
    enum graphql_kind kind;
};

static void check_documents(const struct document_case *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str name = list[i].name != NULL ? str_from(list[i].name) : STR_NULL;
        enum graphql_kind kind = graphql_document(str_from(list[i].document), name);
        if (kind != list[i].kind) {
            print_message("%s\n", list[i].document);
        }
        assert_int_equal(kind, list[i].kind);
    }
}

#define CHECK(list) check_documents((list), sizeof(list) / sizeof((list)[0]))

static void test_operations(void **state)
{
    static const struct document_case cases[] = {
        {"{ a }", NULL, QUERY},
        {"query { a }", NULL, QUERY},
        {"query Q { a }", NULL, QUERY},
        {"query Q($a: Int = 1, $b: In = {x: [1, {y: 2}]}) @d(if: {z: true}) { a(b: $b) }", NULL,
         QUERY},
        {"query Q @a @b(c: \"{\") @d { a }", NULL, QUERY},
        {"mutation { a }", NULL, MUTATION},
        {"mutation M($a: ID!) { a(id: $a) { b } }", NULL, MUTATION},
        {"subscription { a }", NULL, SUBSCRIPTION},
        {"\xEF\xBB\xBF query{a}", NULL, QUERY},
        {",,, \t\r\n mutation,{a}", NULL, MUTATION},
        {"query mutation { a }", NULL, QUERY},
        {"mutation query { a }", NULL, MUTATION},
        {"query { mutation subscription }", NULL, QUERY},
        {"{ mutation { mutation } }", NULL, QUERY},
        {"query on { ... on mutation { a } ...mutation }", NULL, QUERY},
        {"\"what it does\" mutation { a }", NULL, MUTATION},
        {"\"\"\"a \\\"\"\" \"mutation\" { \"\"\" query { a }", NULL, QUERY},
    };
    (void)state;
    CHECK(cases);
}

static void test_fragments(void **state)
{
    static const struct document_case cases[] = {
        {"fragment F on T { a } mutation { ...F }", NULL, MUTATION},
        {"fragment F on T @d(x: 1) { a } query { ...F }", NULL, QUERY},
        {"fragment mutation on mutation { mutation } query { ...mutation }", NULL, QUERY},
        {"fragment F($x: Int = 3) on T { a } subscription { ...F }", NULL, SUBSCRIPTION},
        {"fragment F on T { a }", NULL, NONE},
        {"fragment on on T { mutation } query { a }", NULL, UNKNOWN},
    };
    (void)state;
    CHECK(cases);
}

static void test_strings_and_comments(void **state)
{
    static const struct document_case cases[] = {
        {"# mutation { a }\nquery { b }", NULL, QUERY},
        {"# query { a }\rmutation { b }", NULL, MUTATION},
        {"{ a } # mutation { b }", NULL, QUERY},
        {"{ a(s: \"} mutation { x }\") }", NULL, QUERY},
        {"{ a(s: \"\\\"} mutation { x }\") }", NULL, QUERY},
        {"{ a(s: \"\\\\\") } mutation { x }", NULL, MUTATION},
        {"{ a(s: \"\") } mutation { x }", NULL, MUTATION},
        {"{ a(s: \"\"\"\"\"\") } mutation { x }", NULL, MUTATION},
        {"{ a(s: \"\"\" } mutation { x } \"\"\") }", NULL, QUERY},
        {"{ a(s: \"\"\" \\\"\"\" } mutation { x } \"\"\") }", NULL, QUERY},
        {"{ a(s: \"\"\" \" \\\" \"\"\") } mutation { x }", NULL, MUTATION},
        {"{ a(s: \"\"\" # \"\"\") } mutation { x }", NULL, MUTATION},
        {"{ a # \"\n } mutation { x }", NULL, MUTATION},
        {"{ a(s: \"#\") } mutation { x }", NULL, MUTATION},
        {"{ a(n: -1.5e+3, m: 0) b } mutation { x }", NULL, MUTATION},
        {"{ \xC3\xA9 mutation }", NULL, UNKNOWN}, /* no source character outside of strings */
        {"{ a(s: \"\xC3\xA9 mutation\") }", NULL, QUERY},
    };
    (void)state;
    CHECK(cases);
}

static void test_operation_name(void **state)
{
    static const struct document_case cases[] = {
        {"query A { a } mutation B { b }", NULL, MUTATION},
        {"query A { a } mutation B { b }", "A", QUERY},
        {"query A { a } mutation B { b }", "B", MUTATION},
        {"query A { a } mutation B { b }", "", MUTATION},
        {"query A { a } mutation B { b }", "C", MUTATION},
        {"query A { a } subscription B { b }", NULL, SUBSCRIPTION},
        {"query A { a } mutation A { b }", "A", MUTATION}, /* not valid: anything may run */
        {"mutation A { a } query B { b }", "B", QUERY},
        {"query A { a }", "B", QUERY},
        {"{ a } mutation B { b }", "B", MUTATION},
        {"{ a } mutation B { b }", NULL, MUTATION},
    };
    (void)state;
    CHECK(cases);
}

static void test_not_understood(void **state)
{
    static const struct document_case cases[] = {
        {"mutation", NULL, UNKNOWN},
        {"mutation M", NULL, UNKNOWN},
        {"mutation { a", NULL, UNKNOWN},
        {"query { a ) mutation", NULL, UNKNOWN},
        {"query { a } mutation { b } }", NULL, UNKNOWN},
        {"query A mutation B { b }", NULL, UNKNOWN},
        {"query { a(s: \"mutation\n\") }", NULL, UNKNOWN},
        {"query { a(s: \"mutation", NULL, UNKNOWN},
        {"query { a(s: \"\"\"mutation\"\") }", NULL, UNKNOWN},
        {"query { a } extend type Mutation { b: Int }", NULL, UNKNOWN},
        {"MUTATION { a }", NULL, UNKNOWN},
        {"query { a } & mutation { b }", NULL, UNKNOWN},
        {"query { a } .. mutation { b }", NULL, UNKNOWN},
        {"query Q [a] { mutation }", NULL, UNKNOWN},
        /* no parser runs these, and nothing but queries is in them */
        {"", NULL, NONE},
        {" # only a comment", NULL, NONE},
        {"shoes", NULL, NONE},
        {"red shoes, size 42", NULL, NONE},
        {"gene mutation", NULL, NONE},
        {"42 mutations", NULL, NONE},
        {"query { a", NULL, NONE},
        {"{ a } }", NULL, NONE},
    };
    (void)state;
    CHECK(cases);
}

/* As deep as is read, and one level more. */
static void test_depth(void **state)
{
    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        struct strbuf b = {0};
        for (unsigned i = 0; i < 200 + extra; i++) {
            strbuf_addf(&b, "{ mutation ");
        }
        for (unsigned i = 0; i < 200 + extra; i++) {
            strbuf_addf(&b, "}");
        }
        assert_int_equal(graphql_document(strbuf_str(&b), STR_NULL),
                         extra == 0 ? QUERY : UNKNOWN);
        strbuf_free(&b);
    }
}

struct request_case {
    const char *type; /* Content-Type; NULL: none */
    const char *body;
    enum graphql_kind kind;
};

static void check_requests(const struct request_case *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum graphql_kind kind = graphql_request(
            list[i].type != NULL ? str_from(list[i].type) : STR_NULL, str_from(list[i].body));
        if (kind != list[i].kind) {
            print_message("%s: %s\n", list[i].type, list[i].body);
        }
        assert_int_equal(kind, list[i].kind);
    }
}

#define CHECK_REQUESTS(list) check_requests((list), sizeof(list) / sizeof((list)[0]))
#define JSON                 "application/json"

static void test_json_requests(void **state)
{
    static const struct request_case cases[] = {
        {JSON, "{\"query\":\"{a}\"}", QUERY},
        {JSON, "{\"query\":\"{a}\",\"variables\":{\"x\":\"mutation{b}\"}}", QUERY},
        {JSON, "{\"query\":\"mutation{a}\"}", MUTATION},
        {JSON, "{\"query\":\"m\\u0075tation{a}\"}", MUTATION},
        {JSON, "{\"query\":\"#\\nmutation{a}\"}", MUTATION},
        {JSON, "{\"query\":\"query{a(s:\\\"mutation{b}\\\")}\"}", QUERY},
        {JSON "; charset=utf-8", "{\"query\":\"mutation{a}\"}", MUTATION},
        {"Application/JSON ;charset=\"UTF-8\"", "{\"query\":\"subscription{a}\"}",
         SUBSCRIPTION},
        {"application/graphql+json", " {\"query\":\"mutation{a}\"}", MUTATION},
        {"text/plain", "\n\t{\"query\":\"mutation{a}\"}", MUTATION},
        {NULL, "{\"query\":\"mutation{a}\"}", MUTATION},
        {JSON, "{\"query\":\"query A{a} mutation B{b}\",\"operationName\":\"A\"}", QUERY},
        {JSON, "{\"operationName\":\"B\",\"query\":\"query A{a} mutation B{b}\"}", MUTATION},
        {JSON, "{\"operationName\":null,\"query\":\"query A{a} mutation B{b}\"}", MUTATION},
        {JSON,
         "{\"operationName\":\"A\",\"OPERATIONNAME\":\"B\","
         "\"query\":\"query A{a} mutation B{b}\"}",
         MUTATION},
        {JSON, "{\"query\":\"{a}\",\"Query\":\"mutation{b}\"}", MUTATION},
    };
    (void)state;
    CHECK_REQUESTS(cases);
}

static void test_batches(void **state)
{
    static const struct request_case cases[] = {
        {JSON, "[{\"query\":\"{a}\"},{\"query\":\"{b}\"}]", QUERY},
        {JSON, "[{\"query\":\"{a}\"},{\"query\":\"mutation{b}\"}]", MUTATION},
        {JSON, "[{\"query\":\"mutation{a}\"},{\"query\":\"{b}\"}]", MUTATION},
        {JSON, "[{\"query\":\"{a}\"},{\"query\":\"subscription{b}\"}]", SUBSCRIPTION},
        {JSON, "[{\"query\":\"{a}\"},{\"documentId\":\"x\"}]", UNKNOWN},
        {JSON, "[1,\"mutation\",null]", NONE},
        {JSON, "[]", NONE},
    };
    (void)state;
    CHECK_REQUESTS(cases);
}

static void test_persisted(void **state)
{
    static const struct request_case cases[] = {
        {JSON, "{\"extensions\":{\"persistedQuery\":{\"version\":1}}}", UNKNOWN},
        {JSON, "{\"query\":\"\",\"extensions\":{\"persistedQuery\":{}}}", UNKNOWN},
        {JSON, "{\"query\":\"{a}\",\"extensions\":{\"persistedQuery\":{}}}", QUERY},
        {JSON, "{\"documentId\":\"sha256:00\"}", UNKNOWN},
        {JSON, "{\"doc_id\":\"1\"}", UNKNOWN},
        {JSON, "{\"queryId\":\"1\"}", UNKNOWN},
        {JSON, "{\"id\":\"1\",\"variables\":{}}", UNKNOWN},
        {JSON, "{\"operationName\":\"Delete\"}", UNKNOWN},
        {JSON, "{\"id\":\"1\"}", NONE},
        {JSON, "{\"extensions\":{\"pdf\":true}}", NONE},
    };
    (void)state;
    CHECK_REQUESTS(cases);
}

static void test_other_bodies(void **state)
{
    static const struct request_case cases[] = {
        {JSON, "{\"query\":\"shoes\",\"page\":1}", NONE},
        {JSON, "{\"query\":{\"match\":{\"title\":\"mutation\"}}}", NONE},
        {JSON, "{\"q\":\"mutation{a}\"}", NONE},
        {JSON, "\"mutation{a}\"", NONE},
        {JSON, "", NONE},
        {NULL, "", NONE},
        {"text/plain", "shoes", NONE},
        {"application/graphql", "{ a }", QUERY},
        {"application/graphql; charset=utf-8", "mutation { a }", MUTATION},
        {"application/graphql", "shoes", UNKNOWN},
        {"application/graphql", "", UNKNOWN},
        /* not readable, and it could hold anything */
        {JSON, "{\"query\":\"{a}\",\"query\":\"mutation{b}\"}", UNKNOWN},
        {JSON, "{\"query\":\"{a}\",\"query\":\"m\\u0075tation{b}\"}", UNKNOWN},
        {JSON, "{\"query\":\"Mutation{b}\"", UNKNOWN},
        {JSON, "\xEF\xBB\xBF{\"query\":\"mutation{b}\"}", UNKNOWN},
        {JSON, "{\"variables\":{},}", UNKNOWN},
        {JSON, "{\"query\":\"{a}\"", NONE},
        {JSON "; charset=utf-16", "{}", UNKNOWN},
        {"multipart/form-data; boundary=x", "--x\r\n\r\n{\"query\":\"mutation{a}\"}\r\n",
         UNKNOWN},
        {"multipart/form-data; boundary=x", "--x\r\n\r\npicture\r\n", NONE},
        {"application/x-www-form-urlencoded", "query=%6dutation%7ba%7d", UNKNOWN},
        {"application/x-www-form-urlencoded", "q=100%&a=%2", NONE},
        {"application/x-ndjson", "{\"index\":\"a\"}\n{\"query\":{\"match_all\":{}}}\n", NONE},
    };
    (void)state;
    CHECK_REQUESTS(cases);
    assert_int_equal(graphql_request(STR(JSON), str_make("{\0m\0u\0", 6)), UNKNOWN);
}

/* Every prefix of a document with a mutation is read within its bounds. */
static void test_prefixes(void **state)
{
    static const char text[] = "fragment F on T{a(s:\"\"\"x\\\"\"\"\"\"\",t:\"\\\"\")}#\n"
                               "query Q($a:[Int!]=[-1.5])@d{...F}mutation M{a}";
    (void)state;
    for (size_t n = 0; n < sizeof(text); n++) {
        char *copy = xmalloc(n + 1);
        memcpy(copy, text, n);
        enum graphql_kind kind = graphql_document(str_make(copy, n), STR_NULL);
        assert_true(n == sizeof(text) - 1 ? kind == MUTATION : kind != MUTATION);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_strings_and_comments),
        cmocka_unit_test(test_operation_name),
        cmocka_unit_test(test_not_understood),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_json_requests),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_persisted),
        cmocka_unit_test(test_other_bodies),
        cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
