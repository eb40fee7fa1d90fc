/*
 * What an entry remembers of its route's scope. A lookup under another scope must be a miss
 * (design section 4), also after a reload, and on a node whose file has its identities in
 * another order; so the number is made of what the identities are, not of their places.
 */
#include "config/build.h"

#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* FNV-1a of the text and its end. Nobody but the operator chooses these texts. */
static uint64_t mix(uint64_t hash, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        hash = (hash ^ (unsigned char)text.p[i]) * FNV_PRIME;
    }
    return (hash ^ 0x100) * FNV_PRIME;
}

static uint64_t identity_hash(const struct identity_settings *id)
{
    uint64_t hash = mix(FNV_START ^ id->source, id->name);
    for (size_t i = 0; i < id->claim.n; i++) {
        hash = mix(hash, id->claim.list[i]);
    }
    hash = mix(hash, id->jwt != NULL ? id->jwt->name : STR(""));
    hash = mix(hash, id->header);
    return mix(hash, id->cookie);
}

uint32_t conf_scope_id(const struct settings *s, const struct route_settings *r)
{
    uint64_t sum = mix(FNV_START, STR("scope")) * (1 + (uint64_t)r->scope);
    for (size_t i = 0; i < s->n_identities; i++) {
        if ((r->scope_mask & (UINT32_C(1) << i)) != 0) {
            sum += identity_hash(&s->identities[i]);
        }
    }
    return (uint32_t)(sum ^ sum >> 32);
}
