/*
 * "Did you mean": the known word nearest to one that is not known. The caller offers every
 * candidate and asks for the best; nothing is allocated. Knows nothing of directives.
 */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stdbool.h>

#include "base/str.h"

/* A search under way. */
struct suggest {
    struct str word;   /* what was written */
    struct str best;   /* nearest candidate so far, borrowed */
    unsigned distance; /* its distance; SUGGEST_FAR when there is none */
};

#define SUGGEST_FAR      1000
#define SUGGEST_MAX_WORD 64 /* longer words are near to nothing */

/* Edits (insert, delete, replace, swap of neighbours) from a to b, ignoring ASCII case;
 * SUGGEST_FAR when either is longer than SUGGEST_MAX_WORD. */
unsigned suggest_distance(struct str a, struct str b);

void suggest_init(struct suggest *s, struct str word);

/* The first of several equally near candidates stays. `candidate` must outlive the search. */
void suggest_offer(struct suggest *s, struct str candidate);

/* True with the word in *best when one is near enough to be what was meant. */
bool suggest_result(const struct suggest *s, struct str *best);

#endif
