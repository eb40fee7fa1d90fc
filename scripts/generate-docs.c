/*
 * Prints what is generated from proxy/tbl: `example` (proxy.conf.example), `reference`
 * (docs/directives.md), `reasons` (docs/reasons.md), `metrics` (docs/metrics.md), `larder.1` or
 * `proxy.conf.5` (docs/man). Built and run by scripts/check-generated.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/manual.h"
#include "config.h"

static void print_reasons(void)
{
    static const struct {
        const char *word;
        const char *help;
    } reasons[] = {
#define REASON(id, word, help) {word, help},
#include "tbl/reasons.def"
#undef REASON
    };
    printf("# Reasons\n\n"
           "Why a request was answered as it was: the `detail` of `Cache-Status`, `reason` in "
           "the\n"
           "access log. Generated from `proxy/tbl/reasons.def`.\n\n"
           "| word | meaning |\n|---|---|\n");
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        printf("| `%s` | %s |\n", reasons[i].word, reasons[i].help);
    }
}

/* Labels of a family, each as code. */
static void print_labels(const char *labels)
{
    const char *comma = ", labels ";
    while (*labels != '\0') {
        size_t n = strcspn(labels, " ");
        printf("%s`%.*s`", comma, (int)n, labels);
        labels += n + (labels[n] == ' ');
        comma = ", ";
    }
}

static void print_family(const char *name, const char *type, const char *unit,
                         const char *labels, const char *help)
{
    printf("\n### %s\n\n%s Type ", name, help);
    for (; *type != '\0'; type++) {
        putchar(tolower((unsigned char)*type));
    }
    printf(", unit %s", unit);
    print_labels(labels);
    printf(".\n\n");
}

/* One row of a family. */
static void print_row(const char *label, const char *value, const char *help)
{
    if (label[0] != '\0') {
        printf("- `%s=\"%s\"`: %s\n", label, value, help);
    } else {
        printf("- %s\n", help);
    }
}

static void print_metrics(void)
{
    printf(
        "# Metrics\n\n"
        "What `GET /metrics` on the admin address says (Prometheus text format 0.0.4), and\n"
        "what the same figures mean in `GET /stats`. Generated from\n"
        "`proxy/tbl/counters.def`.\n\n"
        "`route` is the label of the access log: the route's `name`, or its methods and path\n"
        "as written; `(no route)` for paths without one, `(not routed)` for requests that\n"
        "were refused before. `site` is the first name of the route's `host` block and\n"
        "absent at the file's top level; `type` the route's `type`, absent without one.\n"
        "`reason` is a word of [reasons.md](reasons.md). A route's lines appear with its\n"
        "first request; counters go on over a reload, and stay when a route is gone.\n");
#define METRIC(id, name, type, unit, labels, help) \
    print_family(name, #type, unit, labels, help);
#define ROUTE(id, name, metric, label, value, help)  print_row(label, value, help);
#define HISTOGRAM(id, name, metric, help)            print_row("", "", help);
#define WORKER(id, name, metric, label, value, help) print_row(label, value, help);
#define VALUE(id, name, metric, label, value, help)  print_row(label, value, help);
#define SERVER(id, name, metric, help)               print_row("", "", help);
#define HOOK(id, name, metric, label, value, help)   print_row(label, value, help);
#include "tbl/counters.def"
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "example") == 0) {
        config_print_example(stdout);
    } else if (argc == 2 && strcmp(argv[1], "reference") == 0) {
        config_print_reference(stdout);
    } else if (argc == 2 && strcmp(argv[1], "reasons") == 0) {
        print_reasons();
    } else if (argc == 2 && strcmp(argv[1], "metrics") == 0) {
        print_metrics();
    } else if (argc == 2 && strcmp(argv[1], "larder.1") == 0) {
        manual_print(stdout);
    } else if (argc == 2 && strcmp(argv[1], "proxy.conf.5") == 0) {
        config_print_man(stdout);
    } else {
        fprintf(stderr, "usage: %s example|reference|reasons|metrics|larder.1|proxy.conf.5\n",
                argv[0]);
        return 2;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
