/*
 * Edit distance (optimal string alignment) and the threshold below which a suggestion helps
 * more than it puzzles.
 */
#include "base/suggest.h"

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned suggest_distance(struct str a, struct str b)
{
    /* Three rows of the matrix: the swap of two neighbours looks two rows back. */
    unsigned rows[3][SUGGEST_MAX_WORD + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];

    if (a.n > SUGGEST_MAX_WORD || b.n > SUGGEST_MAX_WORD) {
        return SUGGEST_FAR;
    }
    for (size_t j = 0; j <= b.n; j++) {
        above[j] = (unsigned)j;
        before[j] = 0;
    }
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            char ca = ascii_lower(a.p[i - 1]);
            char cb = ascii_lower(b.p[j - 1]);
            unsigned d = above[j - 1] + (ca != cb);

            d = least(d, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && ca == ascii_lower(b.p[j - 2]) &&
                cb == ascii_lower(a.p[i - 2])) {
                d = least(d, before[j - 2] + 1);
            }
            row[j] = d;
        }
        unsigned *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b.n];
}

void suggest_init(struct suggest *s, struct str word)
{
    s->word = word;
    s->best = STR_NULL;
    s->distance = SUGGEST_FAR;
}

void suggest_offer(struct suggest *s, struct str candidate)
{
    unsigned d = suggest_distance(s->word, candidate);

    if (d < s->distance) {
        s->distance = d;
        s->best = candidate;
    }
}

bool suggest_result(const struct suggest *s, struct str *best)
{
    /* One slip in a short word, two in a usual one, three in a long one. */
    unsigned allowed = s->word.n <= 3 ? 1 : s->word.n <= 7 ? 2 : 3;

    if (s->distance > allowed || s->distance >= s->best.n) {
        return false;
    }
    *best = s->best;
    return true;
}
