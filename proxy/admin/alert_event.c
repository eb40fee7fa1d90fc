/*
 * Bodies and signatures of webhooks. cJSON writes the text, so that whatever a name holds is
 * escaped.
 */
#include "admin/alert_event.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "admin/health_view.h"

static void add_time(cJSON *object, const char *name, msec_t wall)
{
    char text[HEALTH_TIME_MAX];
    health_time(wall, text);
    cJSON_AddStringToObject(object, name, text);
}

static const char *kind_name(enum alert_kind kind)
{
    static const char *const names[] = {"hit_rate", "errors", "journal_lag", "redis_down",
                                        "breaker_open"};
    return names[kind];
}

void alert_event_body(const struct alert_rule *r, const struct alert_event *e,
                      struct strbuf *out)
{
    const struct alert_settings *a = r->settings;
    bool limited = a->kind <= ALERT_JOURNAL_LAG;
    char *name = str_dup(a->text);
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "id", e->id);
    cJSON_AddStringToObject(body, "alert", name);
    cJSON_AddStringToObject(body, "event", kind_name(a->kind));
    cJSON_AddStringToObject(body, "state", e->state);
    cJSON_AddBoolToObject(body, "repeated", e->repeated);
    cJSON_AddNumberToObject(body, "value", round(r->value * 100) / 100);
    if (limited) {
        cJSON_AddNumberToObject(body, "limit", (double)a->limit);
    }
    cJSON_AddStringToObject(body, "detail", r->detail);
    add_time(body, "since", e->since);
    add_time(body, "at", e->at);
    cJSON_AddStringToObject(body, "node", e->node);
    cJSON_AddStringToObject(body, "version", LARDER_VERSION);
    char *text = cJSON_PrintUnformatted(body);
    if (text == NULL) {
        abort(); /* out of memory, as base/mem does */
    }
    strbuf_add_str(out, str_from(text));
    cJSON_free(text);
    cJSON_Delete(body);
    free(name);
}

void alert_event_sign(struct str secret, struct str timestamp, struct str body,
                      char out[ALERT_SIGNATURE_MAX])
{
    struct strbuf signed_text = {0};
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    strbuf_add_str(&signed_text, timestamp);
    strbuf_add_char(&signed_text, '.');
    strbuf_add_str(&signed_text, body);
    if (HMAC(EVP_sha256(), secret.p, (int)secret.n, (const unsigned char *)signed_text.p,
             signed_text.n, mac, &n) == NULL) {
        abort(); /* out of memory */
    }
    size_t at = (size_t)snprintf(out, ALERT_SIGNATURE_MAX, "v1=");
    for (unsigned i = 0; i < n; i++) {
        at += (size_t)snprintf(out + at, ALERT_SIGNATURE_MAX - at, "%02x", mac[i]);
    }
    strbuf_free(&signed_text);
}
