/*
 * Why the admin plane gave no usable answer, in one line that says what to do.
 */
#ifndef CLI_ADMIN_WHY_H
#define CLI_ADMIN_WHY_H

#include <curl/curl.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/command.h"

struct cJSON;

/* What is known of a failed question. */
struct admin_failure {
    const char *address;      /* as messages name it */
    const char *socket;       /* path of a Unix socket; NULL: TCP */
    bool token;               /* one was sent */
    msec_t timeout;           /* that it had */
    CURLcode curl;            /* without an answer: why … */
    const char *curl_words;   /* … in curl's words … */
    long error;               /* … and the errno of the connection, or 0 */
    long status;              /* of an answer */
    const struct cJSON *json; /* its body; NULL: it is no JSON */
};

/* Each appends the line, safe for a terminal, and returns the exit code. */

/* No answer came. */
enum exit_code admin_why_no_answer(const struct admin_failure *f, struct strbuf *out);

/* The answer's status is not 2xx. */
enum exit_code admin_why_refused(const struct admin_failure *f, struct strbuf *out);

/* An answer that the admin plane does not give. */
enum exit_code admin_why_stranger(const struct admin_failure *f, struct strbuf *out);

#endif
