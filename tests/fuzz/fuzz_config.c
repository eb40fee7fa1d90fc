/*
 * Fuzzes config_parse: any text gives settings or at least one error, never a crash, and what
 * was accepted can be printed. `include` is left out: it would read this machine's files.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is there a line that could name a file? Those are covered by tests/unit/test_config_files.c.
 */
static bool reads_files(const uint8_t *data, size_t size)
{
    static const char *const words[] = {"include", "secret_file", "file="};

    for (size_t i = 0; i < 3; i++) {
        if (memmem(data, size, words[i], strlen(words[i])) != NULL) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_report report;

    if (size == 0 || reads_files(data, size)) {
        return 0;
    }
    struct settings *s = config_parse("fuzz", str_make((const char *)data, size), &report);
    if ((s == NULL) != (report.errors > 0)) {
        abort();
    }
    if (s != NULL) {
        FILE *out = fopen("/dev/null", "w");

        config_print_routes(s, out);
        fclose(out);
        settings_unref(s);
    }
    strbuf_free(&report.text);
    return 0;
}
