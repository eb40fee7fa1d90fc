/*
 * What a webhook's receiver is sent: the JSON body of one event, and the signature by which it
 * knows that we wrote it and when. Pure. Used by alert and alert_hook.
 *
 *   Larder-Timestamp: 1790000000
 *   Larder-Signature: v1=<hex of HMAC-SHA256(secret, timestamp "." body)>
 */
#ifndef ADMIN_ALERT_EVENT_H
#define ADMIN_ALERT_EVENT_H

#include "admin/alert_rule.h"
#include "base/str.h"

#define ALERT_ID_MAX        48
#define ALERT_SIGNATURE_MAX 72 /* "v1=" and 64 digits, NUL-terminated */

/* What belongs to one event beside its rule. */
struct alert_event {
    const char *state; /* "firing" or "resolved" */
    const char *id;    /* the same in every attempt: receivers drop what they know */
    const char *node;  /* who says it */
    msec_t since;      /* wall time at which it began */
    msec_t at;         /* wall time of the event */
    bool repeated;     /* told before */
};

/* The body: one JSON object, without a newline. */
void alert_event_body(const struct alert_rule *r, const struct alert_event *e,
                      struct strbuf *out);

/* The value of Larder-Signature for a body sent at `timestamp` (decimal seconds since 1970). */
void alert_event_sign(struct str secret, struct str timestamp, struct str body,
                      char out[ALERT_SIGNATURE_MAX]);

#endif
