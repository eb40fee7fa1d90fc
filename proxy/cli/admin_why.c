/*
 * The words for what can go wrong between a command and the admin plane. A problem document
 * (RFC 9457) speaks for itself; all else is guessed at from what users get wrong most often.
 */
#include "cli/admin_why.h"

#include <errno.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "base/units.h"
#include "cli/term.h"

static void cannot_connect(const struct admin_failure *f, struct strbuf *out)
{
    switch (f->error) {
    case ECONNREFUSED:
        strbuf_addf(out,
                    "nothing listens on %s; is larder running, with this address as `admin` "
                    "in its proxy.conf?",
                    f->address);
        break;
    case ENOENT:
        strbuf_addf(out, "there is no socket %s; is larder running?",
                    f->socket != NULL ? f->socket : f->address);
        break;
    case EACCES:
    case EPERM:
        strbuf_addf(out, "no permission to connect to %s; run as larder's user or as root",
                    f->address);
        break;
    default:
        strbuf_addf(out, "cannot connect to %s: %s", f->address,
                    f->error != 0              ? strerror((int)f->error)
                    : f->curl_words[0] != '\0' ? f->curl_words
                                               : curl_easy_strerror(f->curl));
    }
}

enum exit_code admin_why_no_answer(const struct admin_failure *f, struct strbuf *out)
{
    char time[UNITS_TEXT_MAX];
    switch (f->curl) {
    case CURLE_COULDNT_CONNECT: cannot_connect(f, out); break;
    case CURLE_COULDNT_RESOLVE_HOST:
        strbuf_addf(out, "there is no host of the name in %s", f->address);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        duration_text(f->timeout, time);
        strbuf_addf(out, "%s did not answer within %s; --timeout gives it longer", f->address,
                    time);
        break;
    case CURLE_ABORTED_BY_CALLBACK: strbuf_addf(out, "interrupted"); break;
    case CURLE_WRITE_ERROR:
        strbuf_addf(out, "the answer of %s is too large", f->address);
        break;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        strbuf_addf(out, "%s closed the connection before its answer was complete", f->address);
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        strbuf_addf(out, "%s does not speak HTTP; is it the address of `admin`?", f->address);
        break;
    default:
        strbuf_addf(out, "cannot ask %s: %s", f->address,
                    f->curl_words[0] != '\0' ? f->curl_words : curl_easy_strerror(f->curl));
    }
    return EXIT_UNREACHABLE;
}

enum exit_code admin_why_stranger(const struct admin_failure *f, struct strbuf *out)
{
    strbuf_addf(out,
                "what answers on %s is not an admin plane (%s); give the address of `admin`, "
                "not of `listen`",
                f->address,
                f->json == NULL                              ? "its answer is not JSON"
                : json_get(f->json, STR("instance")) != NULL ? "it is larder's data port"
                : f->status < 200 || f->status > 299 ? "its error is not one of larder's"
                                                     : "a member is missing");
    return EXIT_UNREACHABLE;
}

/* Exactly the members that admin_problem() writes, and no others: the data port's problems name
 * their request (`instance`), and other servers have errors of their own. */
static bool is_problem_of_plane(const struct admin_failure *f)
{
    const cJSON *status = json_get(f->json, STR("status"));
    return str_eq(json_string(json_get(f->json, STR("type"))), STR("about:blank")) &&
           json_string(json_get(f->json, STR("title"))).n > 0 &&
           json_string(json_get(f->json, STR("detail"))).n > 0 && cJSON_IsNumber(status) &&
           status->valuedouble == (double)f->status && cJSON_GetArraySize(f->json) == 4;
}

enum exit_code admin_why_refused(const struct admin_failure *f, struct strbuf *out)
{
    if (f->status == 401) {
        strbuf_addf(out,
                    f->token ? "%s refused the token; it must be that of `admin … token=`: set "
                               "LARDER_TOKEN or --token-file"
                             : "%s wants a token; set LARDER_TOKEN or --token-file",
                    f->address);
        return EXIT_UNREACHABLE;
    }
    if (f->status == 421) {
        strbuf_addf(out,
                    "%s does not go by this name; give --admin the address as it stands in "
                    "proxy.conf",
                    f->address);
        return EXIT_UNREACHABLE;
    }
    if (!is_problem_of_plane(f)) {
        return admin_why_stranger(f, out);
    }
    term_add(out, json_string(json_get(f->json, STR("detail"))));
    strbuf_addf(out, " (%s answered %ld)", f->address, f->status);
    return f->status == 403 ? EXIT_UNREACHABLE : EXIT_FAILED;
}
