/*
 * Without a file the configuration is a text of four lines, read by the same parser as a file,
 * so that there is one way from words to settings.
 */
#include "cli/run_options.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/options.h"
#include "config.h"

/* An argument as a quoted word of proxy.conf; `$` must not become a variable. */
static bool add_quoted(struct strbuf *out, const char *word)
{
    strbuf_add_char(out, '"');
    for (const char *p = word; *p != '\0'; p++) {
        if (*p == '$' || (unsigned char)*p < 0x21 || *p == 0x7f) {
            return false;
        }
        if (*p == '"' || *p == '\\') {
            strbuf_add_char(out, '\\');
        }
        strbuf_add_char(out, *p);
    }
    strbuf_add_char(out, '"');
    return true;
}

/* The text behind `--upstream URL --listen ADDRESS`; false when an argument cannot be one. */
static bool render(struct strbuf *out, const char *upstream, const char *listen)
{
    strbuf_add_str(out, STR("listen "));
    bool ok = add_quoted(out, listen != NULL ? listen : "127.0.0.1:8080");
    strbuf_add_str(out, STR("\nupstream main "));
    ok = ok && add_quoted(out, upstream);
    strbuf_add_str(out, STR("\ndefaults { upstream main }\n"
                            "route GET /* { scope public; ttl origin }\n"));
    return ok;
}

static struct settings *settings_of_arguments(const char *upstream, const char *listen,
                                              struct config_report *report)
{
    struct strbuf text = {0};
    struct settings *s = NULL;
    if (render(&text, upstream, listen)) {
        s = config_parse("(arguments of larder run)", strbuf_str(&text), report);
    } else {
        strbuf_addf(&report->text, "larder: --upstream wants a URL and --listen an address\n");
    }
    strbuf_free(&text);
    return s;
}

bool run_options_read(int argc, char **argv, struct run_options *out, int *code)
{
    const char *config = NULL, *upstream = NULL, *listen = NULL;
    const struct option_spec specs[] = {{.name = "--config", .value = &config},
                                        {.name = "--upstream", .value = &upstream},
                                        {.name = "--listen", .value = &listen},
                                        {0}};
    enum options_result r = options_parse(COMMAND_run, argc, argv, specs, NULL);
    *code = options_exit(r);
    if (r != OPTIONS_OK) {
        return false;
    }
    if (upstream == NULL && listen != NULL) {
        options_error(COMMAND_run,
                      "--listen goes with --upstream; a file has its own `listen`");
        return false;
    }
    if (upstream != NULL && config != NULL) {
        options_error(COMMAND_run, "give either --config or --upstream");
        return false;
    }
    struct config_report report = {0};
    out->path = upstream == NULL ? options_config_path(config) : NULL;
    out->settings = upstream == NULL ? config_load(out->path, &report)
                                     : settings_of_arguments(upstream, listen, &report);
    options_print_report(&report);
    *code = out->settings != NULL ? EXIT_OK : EXIT_FAILED;
    return out->settings != NULL;
}
