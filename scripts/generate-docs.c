/*
 * Prints what is generated from proxy/tbl: `example` (proxy.conf.example), `reference`
 * (docs/directives.md), `reasons` (docs/reasons.md), `larder.1` or `proxy.conf.5` (docs/man).
 * Built and run by scripts/check-generated.
 */
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
           "Why a request was answered as it was: the `detail` of `Cache-Status`, `reason` in the\n"
           "access log. Generated from `proxy/tbl/reasons.def`.\n\n"
           "| word | meaning |\n|---|---|\n");
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        printf("| `%s` | %s |\n", reasons[i].word, reasons[i].help);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "example") == 0) {
        config_print_example(stdout);
    } else if (argc == 2 && strcmp(argv[1], "reference") == 0) {
        config_print_reference(stdout);
    } else if (argc == 2 && strcmp(argv[1], "reasons") == 0) {
        print_reasons();
    } else if (argc == 2 && strcmp(argv[1], "larder.1") == 0) {
        manual_print(stdout);
    } else if (argc == 2 && strcmp(argv[1], "proxy.conf.5") == 0) {
        config_print_man(stdout);
    } else {
        fprintf(stderr, "usage: %s example|reference|reasons|larder.1|proxy.conf.5\n", argv[0]);
        return 2;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
