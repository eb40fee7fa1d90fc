/*
 * Prints what is generated from proxy/tbl/directives.def: `example` (proxy.conf.example) or
 * `reference` (docs/directives.md). Built and run by scripts/check-generated.
 */
#include <stdio.h>
#include <string.h>

#include "config.h"

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "example") == 0) {
        config_print_example(stdout);
    } else if (argc == 2 && strcmp(argv[1], "reference") == 0) {
        config_print_reference(stdout);
    } else {
        fprintf(stderr, "usage: %s example|reference\n", argv[0]);
        return 2;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
