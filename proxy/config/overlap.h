/*
 * Can two templates produce one name? Can a glob match what a template produces? Conservative:
 * a placeholder stands for every value that its encoding allows (design section 4), so "yes"
 * may be wrong and "no" never is. Pure functions.
 */
#ifndef CONFIG_OVERLAP_H
#define CONFIG_OVERLAP_H

#include <stdbool.h>

#include "settings.h"

/* Is there a name that both produce? `glob` reads a's literal parts as a glob. Templates that
 * are too long to compare count as not overlapping. */
bool conf_overlap(const struct key_template *a, bool glob, const struct key_template *b);

/* The literal bytes that every name of the template begins with. */
struct str conf_literal_head(const struct key_template *t, bool glob);

#endif
