/*
 * The journal has no expiry, so volatile-* never takes it. Where it is evicted all the same,
 * nodes notice and validate what they have (a new epoch): nothing wrong is served, but the
 * cache loses its use each time.
 */
#include "cache/redis_advice.h"

#include "base/log.h"

unsigned redis_advise(const struct redis_facts *f)
{
    unsigned advice = 0;
    if (f->eviction == REDIS_EVICTS_ANYTHING) {
        advice |= 1u << REDIS_ADVICE_EVICTS;
    }
    if (f->max_memory == 0) {
        advice |= 1u << REDIS_ADVICE_NO_LIMIT;
    }
    if (f->other[0] != '\0') {
        advice |= 1u << REDIS_ADVICE_SHARED;
    }
    return advice;
}

void redis_advice_text(enum redis_advice advice, const struct redis_facts *f, struct str prefix,
                       struct strbuf *out)
{
    switch (advice) {
    case REDIS_ADVICE_EVICTS:
        strbuf_addf(
            out,
            "maxmemory-policy %s may evict the invalidation journal {%.*s}:journal, and "
            "then every stored answer is validated again: use volatile-lru or another "
            "volatile-* policy",
            f->policy, STR_ARG(prefix));
        break;
    case REDIS_ADVICE_NO_LIMIT:
        strbuf_addf(out, "maxmemory is not set: the server may grow until the system ends it");
        break;
    case REDIS_ADVICE_SHARED:
        strbuf_addf(out,
                    "prefix=%.*s is in use by another site (%s), so each may serve the other's "
                    "entries: choose another prefix, unless that is this service before or "
                    "after a change of its hosts or upstreams",
                    STR_ARG(prefix), f->other);
        break;
    case REDIS_ADVICES:
    default: break;
    }
}

void redis_advice_log(unsigned *said, const struct redis_facts *f, struct str prefix)
{
    unsigned now = redis_advise(f);
    for (unsigned i = 0; i < REDIS_ADVICES; i++) {
        if ((now & ~*said) >> i & 1) {
            struct strbuf text = {0};
            redis_advice_text((enum redis_advice)i, f, prefix, &text);
            log_warn("Redis: %.*s", STR_ARG(strbuf_str(&text)));
            strbuf_free(&text);
        }
    }
    *said = now;
}
