/*
 * config/table and config/manual: the rows are sound, and the example that is printed from them
 * is a configuration that loads and shows every directive.
 */
#include "config_case.h"

#include "base/units.h"
#include "config/table.h"

typedef void printer(FILE *out);

static char *print(printer *p)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    assert_non_null(out);
    p(out);
    fclose(out);
    return text;
}

/* Reads the default of a number as its kind; -1 for what is none. */
static int64_t number_of(enum conf_kind kind, const char *text)
{
    const char *why = NULL;
    int64_t value = -1;
    uint64_t count;

    switch (kind) {
    case KIND_DURATION:
    case KIND_DURATION_OFF:
        assert_true(strcmp(text, "off") == 0 || duration_parse(str_from(text), &value, &why));
        return value;
    case KIND_SIZE:
    case KIND_SIZE_OFF:
    case KIND_SIZE_UNLIMITED:
        assert_true(strcmp(text, "off") == 0 || size_parse(str_from(text), &value, &why));
        return value;
    case KIND_COUNT:
        assert_true(str_to_u64(str_from(text), INT64_MAX, &count));
        return (int64_t)count;
    case KIND_FLAG: assert_true(strcmp(text, "on") == 0 || strcmp(text, "off") == 0); return -1;
    default: return -1;
    }
}

/* A default is of its kind and within its range; a field has the size that its kind stores. */
static void check_value(enum conf_kind kind, const char *initial, int64_t min, int64_t max,
                        size_t size)
{
    int64_t value = initial[0] != '\0' ? number_of(kind, initial) : -1;

    assert_true(value == -1 || (value >= min && value <= max));
    switch (kind) {
    case KIND_CUSTOM: assert_int_equal(size, 0); break;
    case KIND_TEXT: assert_true(size == 0 || size == sizeof(struct str)); break;
    case KIND_FLAG: assert_true(size == 0 || size == sizeof(bool)); break;
    case KIND_COUNT:
    case KIND_PERCENT: assert_true(size == 4 || size == 8); break;
    default: assert_true(size == 0 || size == 8); break;
    }
    assert_true(size != 4 || max <= UINT32_MAX);
}

static void test_rows_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct conf_directive *d = &conf_directives[i];

        check_value(d->kind, d->initial, d->min, d->max, d->size);
        assert_true(d->contexts != 0 && (d->contexts & ~(unsigned)IN_ANY) == 0);
        assert_true(d->min_args <= d->max_args);
        assert_true(d->brief[0] != '\0' && d->text[0] != '\0');
        assert_true(d->kind == KIND_CUSTOM || (d->min_args == 1 && d->max_args == 1));
        /* One word means one thing in one place. */
        for (size_t k = 0; k < i; k++) {
            assert_true(strcmp(d->name, conf_directives[k].name) != 0 ||
                        (d->contexts & conf_directives[k].contexts) == 0);
        }
        if (strchr(d->name, ' ') == NULL) {
            unsigned one = d->contexts & (0u - d->contexts);
            assert_ptr_equal(conf_directive_find(str_from(d->name), one), d);
        }
    }
    size_t per_directive = 0;
    for (size_t i = 0; i < conf_n_options; i++) {
        const struct conf_option *o = &conf_options[i];

        check_value(o->kind, o->initial, o->min, o->max, o->size);
        assert_true(o->text[0] != '\0');
        /* GET /config covers what is marked so. */
        static const char *const secret[] = {"secret", "token", "password", "value"};
        for (size_t k = 0; k < 4; k++) {
            assert_true(strcmp(o->name, secret[k]) != 0 || strcmp(o->form, "SECRET") == 0);
        }
        assert_ptr_equal(conf_option_find(o->directive, str_from(o->name)), o);
        assert_true(conf_takes_options(o->directive));
        per_directive =
            i > 0 && conf_options[i - 1].directive == o->directive ? per_directive + 1 : 1;
        assert_true(per_directive < 64);
    }
    assert_null(conf_directive_find(STR("ttl"), IN_TOP));
    assert_null(conf_directive_find(STR(""), IN_TOP));
    assert_null(conf_option_find(DIR_upstream, STR("")));
    assert_false(conf_takes_options(DIR_header));
}

static void test_example_loads(void **state)
{
    struct config_report report;
    char *text = print(config_print_example);
    struct settings *s = config_parse("example", str_from(text), &report);

    (void)state;
    strbuf_add_char(&report.text, '\0');
    if (s == NULL || report.warnings > 0) {
        print_message("%s", report.text.p);
    }
    assert_non_null(s);
    assert_int_equal(report.warnings, 0);
    assert_true(s->sites[0].n_routes > 0);
    settings_unref(s);
    strbuf_free(&report.text);
    free(text);
}

/* Every directive is in both; what is not available says so, and is commented out. */
static void test_everything_is_documented(void **state)
{
    char *example = print(config_print_example);
    char *reference = print(config_print_reference);

    (void)state;
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct conf_directive *d = &conf_directives[i];
        char heading[128];

        snprintf(heading, sizeof(heading), "\n### %s\n\n    %s", d->name, d->name);
        assert_non_null(strstr(reference, heading));
        if (strcmp(d->name, "defaults") != 0 && i != DIR_type && i != DIR_route) {
            snprintf(heading, sizeof(heading), "# %s%s%s\n", d->name,
                     d->form[0] != '\0' ? " " : "", d->form);
            if (strstr(example, heading) == NULL) {
                snprintf(heading, sizeof(heading), "#   %s%s%s\n", d->name,
                         d->form[0] != '\0' ? " " : "", d->form);
            }
            assert_non_null(strstr(example, heading));
        }
        if ((d->flags & CONF_LATER) != 0) {
            assert_true(d->example[0] == '#' || d->example[0] == '\0');
        }
    }
    for (size_t i = 0; i < conf_n_options; i++) {
        char heading[128];
        snprintf(heading, sizeof(heading), "\n- `%s=` ", conf_options[i].name);
        assert_non_null(strstr(reference, heading));
    }
    assert_non_null(strstr(reference, "- not available in this version"));
    free(example);
    free(reference);
}

static char *read_whole(const char *path)
{
    struct strbuf text = {0};
    char piece[4096];
    size_t n;
    FILE *f = fopen(path, "r");

    if (f == NULL) {
        fail_msg("%s is not here: unit tests run in the folder of the Makefile", path);
    }
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0) {
        strbuf_add(&text, piece, n);
    }
    fclose(f);
    strbuf_add_char(&text, '\0');
    return text.p;
}

/* What is in the tree is what the table says now. */
static void test_generated_files_are_current(void **state)
{
    static const struct {
        const char *path;
        printer *print;
    } files[] = {
        {"proxy.conf.example", config_print_example},
        {"docs/directives.md", config_print_reference},
        {"docs/man/proxy.conf.5", config_print_man},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *printed = print(files[i].print);
        char *stored = read_whole(files[i].path);
        if (strcmp(printed, stored) != 0) {
            print_message("run: scripts/check-generated --write\n");
        }
        assert_true(strcmp(printed, stored) == 0);
        free(printed);
        free(stored);
    }
}

/* The configurations of the five systems load as they are, and say what a hit skips. */
static void test_examples_of_the_five_systems(void **state)
{
    static const char *const names[] = {"flask", "fastapi", "fastify", "express",
                                        "trading-bot"};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        char path[64];
        struct config_report report;

        snprintf(path, sizeof(path), "conf/%s.conf", names[i]);
        char *text = read_whole(path);
        assert_non_null(strstr(text, "a hit skips the backend's authorization"));
        free(text);
        struct settings *s = config_load(path, &report);
        strbuf_add_char(&report.text, '\0');
        if (s == NULL) {
            print_message("%s", report.text.p);
        }
        assert_non_null(s);
        settings_unref(s);
        strbuf_free(&report.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_sound),
        cmocka_unit_test(test_example_loads),
        cmocka_unit_test(test_everything_is_documented),
        cmocka_unit_test(test_generated_files_are_current),
        cmocka_unit_test(test_examples_of_the_five_systems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
