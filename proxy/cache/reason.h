/*
 * Why a request was answered as it was: one word each from tbl/reasons.def, the same in
 * Cache-Status, access log and metrics.
 */
#ifndef CACHE_REASON_H
#define CACHE_REASON_H

#include "base/str.h"

enum reason {
#define REASON(id, word, help) REASON_##id,
#include "tbl/reasons.def"
#undef REASON
    REASON_COUNT
};

/* The word ("no-org" style reasons for identities are made by the caller: "no-" + identity). */
struct str reason_word(enum reason r);

/* One line of help for the manual. */
struct str reason_help(enum reason r);

#endif
