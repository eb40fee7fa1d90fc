/*
 * Words and help of the reasons, expanded from tbl/reasons.def.
 */
#include "cache/reason.h"

static const struct {
    const char *word;
    const char *help;
} reasons[REASON_COUNT] = {
#define REASON(id, word, help) [REASON_##id] = {word, help},
#include "tbl/reasons.def"
#undef REASON
};

/* A number from outside the table (a newer entry, say) explains nothing. */
static enum reason known(enum reason r)
{
    return (unsigned)r < REASON_COUNT ? r : REASON_NONE;
}

struct str reason_word(enum reason r)
{
    return str_from(reasons[known(r)].word);
}

struct str reason_help(enum reason r)
{
    return str_from(reasons[known(r)].help);
}
