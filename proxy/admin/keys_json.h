/*
 * Stored entries as JSON, for GET /keys. Nothing that a client could be impersonated with is
 * shown: the names hold keyed hashes, and what a Set-Cookie sets is covered. Any thread.
 */
#ifndef ADMIN_KEYS_JSON_H
#define ADMIN_KEYS_JSON_H

#include <stdbool.h>

#include "base/clock.h"
#include "cache/entry.h"
#include "cache/journal.h"

struct cJSON;

#define KEYS_BODY_MAX (64u * 1024u) /* bytes of a body that are shown */

/* An item of the list. tier: "l1" or "l2"; now is wall time. */
struct cJSON *keys_json_item(struct entry *e, const char *tier, const struct journal *j,
                             msec_t now);

/* The same with head fields and body. */
struct cJSON *keys_json_whole(struct entry *e, const char *tier, const struct journal *j,
                              msec_t now);

/* What a tier holds under a name. */
struct keys_tier {
    struct entry *entry; /* a reference, or NULL */
    const char *state;   /* without an entry: "none", "other", "damaged", "unavailable",
                            "not-asked" */
    const char *why;     /* words about that, or NULL */
};

/* Adds the tier to an object: its state, and with an entry age, rest of its time and size. */
void keys_json_add_tier(struct cJSON *object, const char *name, const struct keys_tier *tier,
                        const struct journal *j, msec_t now);

#endif
