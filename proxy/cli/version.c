/*
 * Versions as the libraries say them at run time: those are the ones with or without the
 * security fixes, whatever the headers at build time were.
 */
#include <stdio.h>

#include <cjson/cJSON.h>
#include <event2/event.h>
#include <llhttp.h>
#include <openssl/crypto.h>
#include <xxhash.h>

#include "cli/command.h"
#include "cli/options.h"

int cli_version(int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = {{.name = "--json", .flag = &json}, {0}};
    enum options_result r = options_parse(COMMAND_version, argc, argv, specs, NULL);
    if (r != OPTIONS_OK) {
        return options_exit(r);
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
