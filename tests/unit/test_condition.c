/*
 * cache/condition: conditions as the configuration writes them, judged for one request and one
 * answer.
 */
#include "config_case.h"

#include "base/arena.h"
#include "cache/condition.h"

static char room[16384];
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, room, sizeof(room));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void add_fields(struct msg *m, const char *text)
{
    struct str rest = str_from(text);
    struct str line;
    while (str_next(&rest, '\n', &line)) {
        size_t colon = str_index(line, ':');
        if (line.n > 0) {
            msg_add(m, &arena, str_make(line.p, colon), str_trim(str_skip(line, colon + 1)));
        }
    }
}

/* "bypass if …" or "store if …" on a route, asked about one exchange. */
static bool ask(const char *condition, const char *request, const char *query, int status,
                const char *answer)
{
    struct strbuf text = {0};
    strbuf_addf(&text, "route GET /a { ttl 1m; scope public; %s }\n", condition);
    strbuf_add_char(&text, '\0');
    struct settings *s = case_good(text.p);
    const struct route_settings *r = case_route(s, "GET /a");
    struct msg rq = {.method = METHOD_GET, .method_name = STR("GET"), .minor = 1};
    struct msg rs = {.status = status, .minor = 1};
    add_fields(&rq, request);
    add_fields(&rs, answer);
    const struct target target = {.path = STR("/a"),
                                  .query = query != NULL ? str_from(query) : STR_NULL};
    bool yes = condition[0] == 'b' ? condition_bypasses(r, &rq, &target, &arena)
                                   : condition_stores(r, &rq, &target, &rs, &arena);
    settings_unref(s);
    strbuf_free(&text);
    return yes;
}

static void test_bypass(void **state)
{
    static const struct {
        const char *condition, *request, *query;
        bool yes;
    } cases[] = {
        {"bypass if header X-Preview", "X-Other: 1", NULL, false},
        {"bypass if header X-Preview", "x-preview:", NULL, true},
        {"bypass if header X-Preview=1", "X-Preview: 10", NULL, false},
        {"bypass if header X-Preview=1", "X-Preview: 0\nX-Preview: 1", NULL, true},
        {"bypass if header X-Preview=1", "X-Preview: 1; q=2", NULL, true},
        {"bypass if header X-Preview=On", "X-Preview: on", NULL, false},
        {"bypass if header User-Agent ~ *bot*", "User-Agent: a bot/1", NULL, true},
        {"bypass if header User-Agent ~ *bot*", "User-Agent: Bot", NULL, false},
        {"bypass if not header Accept", "", NULL, true},
        {"bypass if not header Accept", "Accept: */*", NULL, false},
        {"bypass if header a header b", "b: 1", NULL, true},
        {"bypass if header a; bypass if header b", "b: 1", NULL, true},
        {"bypass if cookie session", "Cookie: a=1; session=", NULL, true},
        {"bypass if cookie session", "Cookie: a=1; Session=2", NULL, false},
        {"bypass if cookie session", "Cookie: session=1; session=2", NULL, true},
        {"bypass if cookie session=1", "Cookie: session=1; session=2", NULL, false},
        {"bypass if cookie session=1", "Cookie: session=1", NULL, true},
        {"bypass if cookie session ~ a*", "Cookie: x=y\nCookie: session=abc", NULL, true},
        {"bypass if query nocache=1", "", NULL, false},
        {"bypass if query nocache=1", "", "a=2&nocache=1", true},
        {"bypass if query nocache=1", "", "nocache=0&nocache=1", true},
        {"bypass if query nocache=1", "", "nocache=11", false},
        {"bypass if query nocache=1", "", "nocach%65=%31", true},
        {"bypass if query nocache", "", "nocache", true},
        {"bypass if query nocache=", "", "nocache", true},
        {"bypass if query a ~ [0-9]*", "", "a=x", false},
        {"bypass if query a ~ [0-9]*", "", "a=5x", true},
        {"bypass if query \"a=x;y\"", "", "a=x;y", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool yes = ask(cases[i].condition, cases[i].request, cases[i].query, 200, "");
        if (yes != cases[i].yes) {
            print_message("%s | %s | %s\n", cases[i].condition, cases[i].request,
                          cases[i].query);
        }
        assert_int_equal(yes, cases[i].yes);
    }
}

static void test_store(void **state)
{
    static const struct {
        const char *condition, *request, *query;
        int status;
        const char *answer;
        bool yes;
    } cases[] = {
        {"store if status 200 203", "", NULL, 200, "", true},
        {"store if status 200 203", "", NULL, 203, "", true},
        {"store if status 200 203", "", NULL, 204, "", false},
        {"store if not status 404", "", NULL, 404, "", false},
        {"store if not status 404", "", NULL, 200, "", true},
        {"store if header Content-Type ~ application/json", "", NULL, 200,
         "Content-Type: Application/JSON;charset=utf-8", true},
        {"store if header Content-Type=Application/JSON", "", NULL, 200,
         "Content-Type: application/json", true},
        {"store if header Content-Type ~ application/json", "", NULL, 200,
         "Content-Type: application/json5", false},
        {"store if header Content-Type ~ application/json", "Content-Type: application/json",
         NULL, 200, "", false}, /* the answer's field, not the request's */
        {"store if header a; store if header b", "", NULL, 200, "a: 1", false},
        {"store if header a header b", "", NULL, 200, "a: 1", false},
        {"store if header a header b", "", NULL, 200, "a: 1\nb: 1", true},
        {"store if cookie beta", "Cookie: beta=1", NULL, 200, "", true},
        {"store if not cookie beta", "Cookie: beta=1", NULL, 200, "", false},
        {"store if query keep=1", "", "keep=1", 200, "", true},
        {"store if query keep=1", "", NULL, 200, "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool yes = ask(cases[i].condition, cases[i].request, cases[i].query, cases[i].status,
                       cases[i].answer);
        if (yes != cases[i].yes) {
            print_message("%s | %s | %d | %s\n", cases[i].condition, cases[i].request,
                          cases[i].status, cases[i].answer);
        }
        assert_int_equal(yes, cases[i].yes);
    }
}

/* Routes without conditions: nothing is passed, everything stored. */
static void test_none(void **state)
{
    (void)state;
    assert_false(ask("bypass if header a", "", NULL, 200, ""));
    assert_true(ask("store set-cookie", "", NULL, 500, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bypass, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
