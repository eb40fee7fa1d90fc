/*
 * config/set_server: listeners, sites, limits, logs and the other directives of the process,
 * with their defaults; config/block: context, arity, options, repetition.
 */
#include "config_case.h"

static void test_defaults_of_an_empty_file(void **state)
{
    struct settings *s = case_good("");
    const struct limit_settings *l = &s->limits;

    (void)state;
    assert_str(s->file, "t.conf");
    assert_int_equal(s->n_listens, 1);
    assert_int_equal(addr_port(&s->listens[0].addr), 8080);
    assert_str(s->listens[0].text, "127.0.0.1:8080");
    assert_true(s->workers >= 1 && s->workers <= 64);
    assert_int_equal(s->memory, 256 << 20);
    assert_int_equal(s->version.n, 0);
    assert_int_equal(s->hash_key.n, 0);
    assert_int_equal(s->trusted_proxies.n, 0);
    assert_false(s->underscore_headers);
    assert_int_equal(s->pid_file.n, 0);
    assert_true(s->log_access);
    assert_int_equal(s->log_format, LOG_FORMAT_JSON);
    assert_int_equal(s->log_level, LOG_INFO);
    assert_false(s->log_json);
    assert_int_equal(l->header_bytes, 32768);
    assert_int_equal(l->header_line, 8192);
    assert_int_equal(l->header_count, 100);
    assert_int_equal(l->target_length, 8192);
    assert_int_equal(l->query_params, 256);
    assert_int_equal(l->connections, 10000);
    assert_int_equal(l->connections_per_ip, 0);
    assert_int_equal(l->head_timeout, 10000);
    assert_int_equal(l->body_timeout, 30000);
    assert_int_equal(l->idle_timeout, 60000);
    assert_int_equal(l->write_timeout, 30000);
    assert_int_equal(l->drain_timeout, 30000);
    assert_int_equal(l->tunnel_timeout, 3600000);
    settings_unref(s);
}

static void test_defaults_of_a_route(void **state)
{
    struct settings *s = case_good("route GET /x { }\n");
    const struct route_settings *r = case_route(s, "GET /x");

    (void)state;
    assert_int_equal(s->n_sites, 1);
    assert_int_equal(s->sites[0].hosts.n, 0);
    assert_ptr_equal(r->upstream, &s->upstreams[0]);
    assert_false(r->cached);
    assert_int_equal(r->ttl_mode, TTL_NONE);
    assert_int_equal(r->max_body, 10 << 20);
    assert_int_equal(r->max_object, 2 << 20);
    assert_int_equal(r->compress, -1);
    assert_int_equal(r->timeout.connect, 2000);
    assert_int_equal(r->timeout.first_byte, 30000);
    assert_int_equal(r->timeout.idle, 30000);
    assert_int_equal(r->timeout.total, -1);
    assert_int_equal(r->retry, 1);
    assert_int_equal(r->stale, 0);
    assert_int_equal(r->stale_if_error, 0);
    assert_int_equal(r->jitter_percent, 0);
    assert_int_equal(r->settle, 0);
    assert_true(r->access_log);
    assert_true(r->query_all);
    assert_false(r->etag || r->heuristic || r->honor_client_cc || r->method_body ||
                 r->store_private || r->store_set_cookie || r->upgrade_websocket);
    settings_unref(s);
}

static void test_listen_forms(void **state)
{
    struct settings *s = case_good("listen 127.0.0.1:1\nlisten [::1]:2\nlisten *:3\nlisten 4\n"
                                   "listen :5\nlisten localhost:6\nlisten unix:/run/x.sock\n"
                                   "listen 7 proxy_protocol\n"
                                   "proxy_protocol_from 10.0.0.0/8 unix\n"
                                   "proxy_protocol_from ::1\n");
    static const char *const texts[] = {"127.0.0.1:1",      "[::1]:2",   "0.0.0.0:3",
                                        "0.0.0.0:4",        "0.0.0.0:5", "127.0.0.1:6",
                                        "unix:/run/x.sock", "0.0.0.0:7"};

    (void)state;
    assert_int_equal(s->n_listens, 8);
    for (size_t i = 0; i < 8; i++) {
        char text[ADDR_TEXT_MAX];
        addr_text(&s->listens[i].addr, text);
        assert_string_equal(text, texts[i]);
        assert_int_equal(s->listens[i].proxy_protocol, i == 7);
        assert_int_equal(s->listens[i].proxy_trusted.n, i == 7 ? 3 : 0);
        assert_false(s->listens[i].tls);
    }
    settings_unref(s);
}

static void test_values_are_stored(void **state)
{
    struct settings *s = case_good(
        "workers 7\nmemory 2gb\nversion v1\npid_file /run/l.pid\n"
        "underscores_in_headers on\ntrusted_proxies 10.0.0.0/8,192.168.0.0/16 fd00::/8\n"
        "trusted_proxies unix\nerror_log warn json\nlog /var/log/x.log format=json\n"
        "limits header_bytes=64kb connections=5\nlimits idle=5s tunnel=2h\n"
        "hosts API.example.com www.example.com. [::1] ; hosts third.example.com\n"
        "redis \"\" prefix=shop budget=20ms\n");

    (void)state;
    assert_int_equal(s->workers, 7);
    assert_int_equal(s->memory, INT64_C(2) << 30);
    assert_str(s->version, "v1");
    assert_str(s->pid_file, "/run/l.pid");
    assert_true(s->underscore_headers);
    assert_int_equal(s->trusted_proxies.n, 4);
    assert_int_equal(s->log_level, LOG_WARN);
    assert_true(s->log_json);
    assert_str(s->log_file, "/var/log/x.log");
    assert_int_equal(s->limits.header_bytes, 65536);
    assert_int_equal(s->limits.connections, 5);
    assert_int_equal(s->limits.idle_timeout, 5000);
    assert_int_equal(s->limits.tunnel_timeout, 7200000);
    assert_int_equal(s->limits.header_line, 8192);
    assert_int_equal(s->sites[0].hosts.n, 4);
    assert_str(s->sites[0].hosts.list[0], "api.example.com");
    assert_str(s->sites[0].hosts.list[1], "www.example.com");
    assert_str(s->sites[0].hosts.list[2], "[::1]");
    assert_str(s->sites[0].hosts.list[3], "third.example.com");
    settings_unref(s);
}

static void test_redis(void **state)
{
    struct settings *s = case_good(
        "redis redis://u:p%40ss@h:7000/3 prefix=shop budget=20ms uncertain=serve:30s\n"
        "state_dir /var/lib/larder\n");

    (void)state;
    assert_true(s->redis.on);
    assert_str(s->redis.prefix, "shop");
    assert_int_equal(s->redis.budget, 20);
    assert_int_equal(s->redis.uncertain, UNCERTAIN_SERVE);
    assert_int_equal(s->redis.uncertain_serve, 30000);
    assert_int_equal(s->redis.max_lag, 1000);
    assert_int_equal(s->redis.max_object, 1 << 20);
    assert_int_equal(s->redis.target.n_servers, 1);
    assert_str(s->redis.target.password, "p@ss");
    assert_int_equal(s->redis.target.database, 3);
    assert_str(s->state_dir, "/var/lib/larder");
    settings_unref(s);
    s = case_good("redis prefix=shop host=127.0.0.1 port=6380 password=x\n");
    assert_true(s->redis.on);
    assert_int_equal(s->redis.target.servers[0].port, 6380);
    settings_unref(s);
    s = case_good("redis \"\" prefix=shop\n");
    assert_false(s->redis.on);
    settings_unref(s);
}

static void test_log_forms(void **state)
{
    struct settings *s = case_good("log off\n");

    (void)state;
    assert_false(s->log_access);
    settings_unref(s);
    s = case_good("log - format=\"{status} {{literal} {path}\"\nerror_log level=error\n");
    assert_true(s->log_access);
    assert_str(s->log_file, "-");
    assert_int_equal(s->log_format, LOG_FORMAT_TEXT);
    assert_int_equal(s->log_level, LOG_ERROR);
    settings_unref(s);
    s = case_good("defaults { log off }\nroute GET /x { log on }\nroute GET /y { }\n");
    assert_true(case_route(s, "GET /x")->access_log);
    assert_false(case_route(s, "GET /y")->access_log);
    settings_unref(s);
}

/* sites[0] is the file; each host block is one more, with what it inherits. */
static void test_sites(void **state)
{
    struct settings *s = case_good("hosts a.example\n"
                                   "defaults { upstream app; retry 3; stale 7s }\n"
                                   "route GET /x { }\n"
                                   "host b.example B2.example {\n"
                                   "    upstream shop http://127.0.0.1:9\n"
                                   "    defaults { upstream shop; stale 9s }\n"
                                   "    redirect https\n"
                                   "    type t { ttl 5m; scope public }\n"
                                   "    route GET /x { type t }\n"
                                   "}\n"
                                   "host c.example { }\n"
                                   "route GET /t { type t }\n");

    (void)state;
    assert_int_equal(s->n_sites, 3);
    assert_int_equal(s->sites[1].index, 1);
    assert_int_equal(s->sites[1].hosts.n, 2);
    assert_str(s->sites[1].hosts.list[1], "b2.example");
    assert_false(s->sites[0].redirect_https);
    assert_true(s->sites[1].redirect_https);
    assert_str(s->sites[0].routes[0].upstream->name, "app");
    assert_str(s->sites[1].routes[0].upstream->name, "shop");
    assert_int_equal(s->sites[1].routes[0].retry, 3);
    assert_int_equal(s->sites[1].routes[0].stale, 9000);
    assert_int_equal(s->sites[0].routes[0].stale, 7000);
    assert_true(s->sites[0].routes[1].cached);
    assert_str(s->sites[1].fallback.upstream->name, "shop");
    assert_str(s->sites[2].fallback.upstream->name, "app");
    assert_int_equal(s->sites[2].n_routes, 0);
    settings_unref(s);
}

static void test_process_errors(void **state)
{
    static const struct config_case cases[] = {
        {"listen example.com:80\n", "not an address to listen on", "unix:/path", 0},
        {"listen 127.0.0.1\n", "not an address to listen on", NULL, 0},
        {"listen 127.0.0.1:70000\n", "not an address to listen on", NULL, 0},
        {"listen unix:\n", "not an address to listen on", NULL, 0},
        {"listen 1 tsl\n", "`tls` or `proxy_protocol` is expected, not `tsl`",
         "did you mean `tls`?", 0},
        {"listen 1\nlisten *:1\n", "t.conf:2:8: error: this address is listened on twice", NULL,
         0},
        {"listen 1 proxy_protocol\n", "proxy_protocol needs `proxy_protocol_from CIDR", NULL,
         0},
        {"listen 1 tls\n", "`listen … tls` needs a certificate", NULL, 0},
        {"proxy_protocol_from nobody\n", "an address or range is expected", NULL, 0},
        {"trusted_proxies 10.0.0.0/33\n", "an address or range is expected", NULL, 0},
        {"workers 0\n", "`auto` or a number from 1 to 256", NULL, 0},
        {"workers many\n", "`auto` or a number from 1 to 256", NULL, 0},
        {"memory 1kb\n", "out of range: from 1mb to 16tb", NULL, 0},
        {"memory lots\n", "a size starts with a number", NULL, 0},
        {"memory 1s\n", "the units of a size are", NULL, 0},
        {"limits\n", "`limits` needs at least one NAME=VALUE", NULL, 0},
        {"limits header_bites=1kb\n", "`limits` has no option `header_bites`",
         "did you mean `header_bytes`?", 0},
        {"limits idle=1s idle=2s\n", "t.conf:1:16: error: `idle=` is given twice", NULL, 0},
        {"limits idle=1\n", "a duration needs a unit", NULL, 0},
        {"limits header_count=many\n", "a whole number is expected", NULL, 0},
        {"limits header_count=1\n", "out of range: from 8 to 10000", NULL, 0},
        {"limits idle=99w\n", "out of range: from 100ms to 1d", NULL, 0},
        {"underscores_in_headers maybe\n", "`on` or `off` is expected", NULL, 0},
        {"pid_file \"\"\n", "the value is empty", NULL, 0},
        {"log \"\"\n", "`off`, `-` or a file is expected", NULL, 0},
        {"log - format=yaml\n", "`json` or a text with {placeholders}", NULL, 0},
        {"log - format=\"{}\"\n", "a placeholder of the format is written {name}", NULL, 0},
        {"log - format=\"{status\"\n", "a placeholder of the format is written {name}", NULL,
         0},
        {"error_log loud\n", "is expected, not `loud`", NULL, 0},
        {"error_log level=infp\n", "is expected, not `level=infp`", "did you mean `info`?", 0},
        {"hosts api.example.com:8080\n", "host names are compared without the port", NULL, 0},
        {"hosts *.example.com\n", "wildcards in host names", NULL, 0},
        {"hosts a/b\n", "a host name is expected", NULL, 0},
        {"hosts \"\"\n", "a host name is expected", NULL, 0},
        {"hosts a b A\n", "a host name is given twice", NULL, 0},
        {"hosts a\nhost a { }\n", "a host name is given twice", "the other is at t.conf:1", 0},
        {"host a { listen 1 }\n", "`listen` does not belong here", "it stands in the top level",
         0},
        {"host { }\n", "`host` lacks an argument", "usage: host NAME", 0},
        {"tls /no/such/cert /no/such/key\n",
         "t.conf:1:5: error: cannot read this file: no such file", NULL, 2},
        {"redirect http\n", "`https` is expected, not `http`", "did you mean `https`?", 0},
        {"redis \"\"\n", "`redis` needs prefix=NAME", NULL, 0},
        {"redis \"\" prefix=a:b\n", "the name of a prefix has 1 to 64", NULL, 0},
        {"redis \"\" prefix=\n", "the name of a prefix has 1 to 64", NULL, 2},
        {"redis ftp://h prefix=p\n", "t.conf:1:7: error:", NULL, 0},
        {"redis redis://h:99999 prefix=p\n", "t.conf:1:7: error:", NULL, 0},
        {"redis redis://h prefix=p uncertain=perhaps\n",
         "`revalidate` or `bypass` is expected, not `uncertain=perhaps`", NULL, 0},
        {"redis redis://h prefix=p uncertain=serve:x\n", "a duration starts with a number",
         NULL, 0},
        {"redis \"\" prefix=p bugdet=1s\n", "`redis` has no option `bugdet`",
         "did you mean `budget`?", 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_blocks_and_arity(void **state)
{
    static const struct config_case cases[] = {
        {"ttl 5m\n", "`ttl` does not belong here", "it stands in defaults, type or route", 0},
        {"defaults { memory 1mb }\n", "`memory` does not belong here",
         "it stands in the top level", 0},
        {"defaults { scope public }\n", "`scope` does not belong here",
         "it stands in type or route", 0},
        {"defaults { key a }\n", "`key` does not belong here", "it stands in type or route", 0},
        {"defaults { invalidate all }\n", "`invalidate` does not belong here",
         "it stands in route", 0},
        {"type t { invalidate all }\n", "`invalidate` does not belong here", NULL, 0},
        {"route GET /x { route GET /y { } }\n", "`route` does not belong here",
         "it stands in the top level or host", 0},
        {"memory\n", "t.conf:1:1: error: `memory` lacks an argument", "usage: memory SIZE", 0},
        {"memory 1mb 2mb\n", "t.conf:1:12: error: `memory` has an argument too many", NULL, 0},
        {"memory 1mb\nmemory 2mb\n", "t.conf:2:1: error: `memory` is given twice",
         "it was given before at t.conf:1", 0},
        {"defaults { }\ndefaults { }\n", "`defaults` is given twice", NULL, 0},
        {"route GET /x { ttl 1m; scope public; ttl 2m }\n", "`ttl` is given twice", NULL, 0},
        {"memory 1mb { }\n", "`memory` takes no block", NULL, 0},
        {"type t\n", "`type` needs a block", "usage: type NAME { … }", 0},
        {"type t { ttl 1m }\ntype t { ttl 2m }\n", "the type `t` is defined twice", NULL, 0},
        {"type a:b { }\n", "the name of a type has 1 to 64 of", NULL, 0},
        {"memory 1mb x=1\n", "`memory` has an argument too many", NULL, 0},
        {"route GET /x named=y { }\n", "`route` has no option `named`", "did you mean `name`?",
         0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_debug_token(void **state)
{
    static const struct config_case cases[] = {
        {"debug_token short-s3cret\n", "the token has 12 bytes; at least 16 are needed",
         "debug_token ************", 0},
    };

    (void)state;
    case_refused(CASES(cases));
    struct settings *s = case_good("debug_token 0123456789abcdef\n");
    assert_true(str_eq(s->debug_token, STR("0123456789abcdef")));
    settings_unref(s);
    s = case_good("debug_token \"\"\n");
    assert_int_equal(s->debug_token.n, 0);
    settings_unref(s);
}

static void test_not_available_yet(void **state)
{
    static const struct config_case cases[] = {
        {"rate_limit 100/15m\n", "`rate_limit` is not available in this version", NULL, 0},
        {"security_headers on\n", "`security_headers` is not available in this version", NULL,
         0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_no_upstream(void **state)
{
    struct config_report report;

    (void)state;
    assert_null(config_parse("t.conf", STR("memory 1mb\n"), &report));
    strbuf_add_char(&report.text, '\0');
    assert_int_equal(report.errors, 1);
    assert_non_null(strstr(report.text.p, "t.conf: error: no `upstream` is defined"));
    strbuf_free(&report.text);
}

static void test_references(void **state)
{
    struct settings *s = case_good("memory 1mb\n");

    (void)state;
    assert_ptr_equal(settings_ref(s), s);
    settings_unref(s);
    assert_int_equal(s->memory, 1 << 20); /* still alive: one reference is left */
    settings_unref(s);
    settings_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_of_an_empty_file),
        cmocka_unit_test(test_defaults_of_a_route),
        cmocka_unit_test(test_listen_forms),
        cmocka_unit_test(test_values_are_stored),
        cmocka_unit_test(test_redis),
        cmocka_unit_test(test_log_forms),
        cmocka_unit_test(test_sites),
        cmocka_unit_test(test_process_errors),
        cmocka_unit_test(test_blocks_and_arity),
        cmocka_unit_test(test_debug_token),
        cmocka_unit_test(test_not_available_yet),
        cmocka_unit_test(test_no_upstream),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
