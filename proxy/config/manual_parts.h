/*
 * What the example file, the reference and proxy.conf(5) have in common: how directives are
 * grouped, and how their ranges and places are written. For config/manual*.c only.
 */
#ifndef CONFIG_MANUAL_PARTS_H
#define CONFIG_MANUAL_PARTS_H

#include <stdio.h>

#include "config/table.h"

enum manual_group {
    MANUAL_PROCESS, /* top level only */
    MANUAL_SITE,    /* top level and host */
    MANUAL_RULES,   /* defaults, type and route */
    MANUAL_GROUPS,
};

/* Headings, in Markdown. */
extern const char *const manual_group_titles[MANUAL_GROUPS];

enum manual_group manual_group_of(const struct conf_directive *d);

/* Is it known, but not available in this version? */
bool manual_is_later(unsigned flags);

bool manual_has_range(enum conf_kind kind, int64_t min, int64_t max);

/* `before` and then "1s to 2h". */
void manual_print_range(FILE *out, const char *before, enum conf_kind kind, int64_t min,
                        int64_t max);

/* "top level, host". */
void manual_print_contexts(FILE *out, unsigned contexts);

#endif
