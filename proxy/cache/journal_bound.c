/*
 * What keeps the index small: swallowing what newer, broader records say anyway, coarsening the
 * oldest items when there are too many, and freeing what the floor made pointless.
 */
#include "cache/journal_item.h"

#define REAP_STEP   64 /* items freed in one call */
#define SWEEP_STEP  16 /* items looked at for swallowing at each record */
#define COARSE_STEP 64 /* items coarsened at each record */

/* Do newer, broader records say all that this one says? */
static bool is_covered(const struct index *ix, const struct index_item *it)
{
    bool hard = it->at.hard <= ix->floor;
    bool soft = it->at.soft <= index_later(index_later(ix->floor, ix->all_soft), it->at.hard);
    if (it->kind == RECORD_TAG) {
        hard = hard || it->at.hard <= ix->any_tag.hard;
        soft = soft || it->at.soft <= index_later(ix->any_tag.hard, ix->any_tag.soft);
    }
    if ((hard && soft) || (it->kind != RECORD_NAME && it->kind != RECORD_GLOB)) {
        return hard && soft;
    }
    bool is_glob = it->kind == RECORD_GLOB;
    struct str text = is_glob ? str_make(it->text, it->head_n) : index_text(it);
    hard = hard || index_judge_globs(ix, it->at.hard, text, is_glob) == JOURNAL_INVALID;
    return hard && (soft || index_judge_globs(ix, it->at.soft, text, is_glob) != JOURNAL_VALID);
}

/* Goes once through the items, oldest first, after a `x*` was put; another one that comes
 * meanwhile makes for another round. */
void index_sweep(struct index *ix)
{
    if (ix->sweep == NULL && ix->sweep_wanted) {
        ix->sweep_wanted = false;
        ix->sweep = ix->fine.oldest;
        ix->sweep_left = ix->fine.count;
    }
    for (int i = 0; i < SWEEP_STEP && ix->sweep != NULL; i++) {
        struct index_item *it = ix->sweep;
        ix->sweep = --ix->sweep_left > 0 ? it->newer : NULL;
        if (is_covered(ix, it)) {
            index_drop(ix, it);
        }
    }
}

/* The part of a name or glob that its coarser form begins with: through the last `:` (or `/`,
 * where names are made of paths), and shorter than the glob itself. Empty: there is none. */
static struct str coarse_prefix(const struct index_item *it)
{
    struct str p = index_text(it);
    if (it->kind == RECORD_GLOB) {
        bool is_prefix = it->simple && it->tail_n == 0;
        p.n = it->head_n - (is_prefix && it->head_n > 0 ? 1 : 0);
    }
    p.n = p.n < ANCHOR_MAX ? p.n : ANCHOR_MAX;
    const char *cut = p.n > 0 ? memrchr(p.p, ':', p.n) : NULL;
    if (cut == NULL && p.n > 0) {
        cut = memrchr(p.p, '/', p.n);
    }
    return str_make(p.p, cut != NULL ? (size_t)(cut - p.p) + 1 : 0);
}

/* Puts a broader record with the same positions in the place of this one. */
static void coarsen(struct index *ix, struct index_item *it)
{
    struct index_marks at = it->at;
    struct strbuf glob = {0};
    ix->coarsened++;
    if (it->kind == RECORD_TAG) {
        index_raise_marks(&ix->any_tag, at);
    } else if (it->kind == RECORD_NAME || it->kind == RECORD_GLOB) {
        struct str prefix = coarse_prefix(it);
        for (size_t i = 0; i < prefix.n; i++) {
            if (memchr("*?[\\", prefix.p[i], 4) != NULL) {
                strbuf_add_char(&glob, '\\');
            }
            strbuf_add_char(&glob, prefix.p[i]);
        }
        strbuf_add_char(&glob, '*');
    } else {
        index_mark_all(ix, at);
    }
    index_drop(ix, it);
    if (glob.n > 0) {
        index_mark_glob(ix, strbuf_str(&glob), at, LIST_COARSE);
    }
    strbuf_free(&glob);
}

/* Each turn removes an item; those that put a coarser one in its place are limited. */
void index_make_room(struct index *ix)
{
    int steps = 0;
    while (index_count(ix) > ix->max) {
        struct index_item *it = ix->fine.oldest;
        bool fine = it != NULL && ix->coarse.count <= ix->max / 4 && steps++ < COARSE_STEP;
        if (!fine && ix->coarse.oldest != NULL) {
            it = ix->coarse.oldest;
        }
        if (is_covered(ix, it)) {
            index_drop(ix, it);
        } else if (fine) {
            coarsen(ix, it);
        } else {
            ix->coarsened++;
            index_mark_all(ix, it->at);
            index_drop(ix, it);
        }
    }
}

static int reap_list(struct index *ix, struct index_list *l, int steps)
{
    while (steps > 0 && l->oldest != NULL &&
           index_later(l->oldest->at.hard, l->oldest->at.soft) <= ix->floor) {
        index_drop(ix, l->oldest);
        steps--;
    }
    return steps;
}

bool index_reap(struct index *ix)
{
    return reap_list(ix, &ix->coarse, reap_list(ix, &ix->fine, REAP_STEP)) == 0;
}

void index_raise_floor(struct index *ix, uint64_t position)
{
    ix->floor = index_later(ix->floor, position);
}
