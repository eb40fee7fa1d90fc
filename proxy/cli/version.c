/*
 * Versions as the libraries say them at run time: those are the ones with or without the
 * security fixes, whatever the headers at build time were.
 */
#include "cli/version.h"

#include <stdio.h>

#include <cjson/cJSON.h>
#include <event2/event.h>
#include <llhttp.h>
#include <openssl/crypto.h>
#include <xxhash.h>

#include "cli/options.h"

int cli_version(int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = {{"--json", 0, NULL, &json}, {NULL, 0, NULL, NULL}};
    switch (options_parse("version", argc, argv, specs)) {
    case OPTIONS_HELP: return EXIT_OK;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_OK: break;
    }
    const char *format = json
                             ? "{\"larder\":\"%s\",\"libevent\":\"%s\",\"llhttp\":\"%d.%d.%d\","
                               "\"openssl\":\"%s\",\"cjson\":\"%s\",\"xxhash\":%u}\n"
                             : "larder %s\nlibevent %s, llhttp %d.%d.%d, %s, cJSON %s, "
                               "xxHash %u\n";
    printf(format, LARDER_VERSION, event_get_version(), LLHTTP_VERSION_MAJOR,
           LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH, OpenSSL_version(OPENSSL_VERSION),
           cJSON_Version(), XXH_versionNumber());
    return EXIT_OK;
}
