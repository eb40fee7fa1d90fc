/*
 * What is dangerous about the Redis that was found, in words. A running node says it in its
 * log, once when it finds out; `larder check` prints it.
 */
#ifndef CACHE_REDIS_ADVICE_H
#define CACHE_REDIS_ADVICE_H

#include "base/str.h"
#include "cache/redis_info.h"

enum redis_advice {
    REDIS_ADVICE_EVICTS,   /* the journal may be evicted */
    REDIS_ADVICE_NO_LIMIT, /* no maxmemory */
    REDIS_ADVICE_SHARED,   /* another site under the same prefix */
    REDIS_ADVICES
};

/* What applies, as a mask 1u << redis_advice. Unknown figures give no advice. */
unsigned redis_advise(const struct redis_facts *f);

/* One sentence or two, without a newline, added to out. */
void redis_advice_text(enum redis_advice advice, const struct redis_facts *f, struct str prefix,
                       struct strbuf *out);

/* Logs what applies and is not in *said, one line each, and notes it there; what does not apply
 * any more may be said again. */
void redis_advice_log(unsigned *said, const struct redis_facts *f, struct str prefix);

#endif
