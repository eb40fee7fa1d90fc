/*
 * Keeping the index's items: the two lists, the two tables, and the raising of marks. A glob
 * whose anchor is crowded makes room there by folding another one, see index_mark_glob().
 */
#include "cache/journal_item.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cache/hash.h"

#define ANCHOR_LOAD 64 /* globs under one anchor */

/* ---- lists ------------------------------------------------------------------------------- */

static struct index_list *list_of(struct index *ix, const struct index_item *it)
{
    return it->list == LIST_COARSE ? &ix->coarse : &ix->fine;
}

static void list_append(struct index *ix, struct index_item *it, enum item_list which)
{
    it->list = (uint8_t)which;
    struct index_list *l = list_of(ix, it);
    it->newer = NULL;
    it->older = l->newest;
    if (l->newest != NULL) {
        l->newest->newer = it;
    } else {
        l->oldest = it;
    }
    l->newest = it;
    l->count++;
}

static void list_remove(struct index *ix, struct index_item *it)
{
    struct index_list *l = list_of(ix, it);
    if (ix->sweep == it) {
        ix->sweep = it->newer;
    }
    if (it->older != NULL) {
        it->older->newer = it->newer;
    } else {
        l->oldest = it->newer;
    }
    if (it->newer != NULL) {
        it->newer->older = it->older;
    } else {
        l->newest = it->older;
    }
    l->count--;
}

void index_drop(struct index *ix, struct index_item *it)
{
    list_remove(ix, it);
    if (it->kind == RECORD_GLOB) {
        jtable_remove(&ix->globs, &it->node);
        shapes_drop(&ix->shapes, it->shape);
    } else {
        jtable_remove(&ix->exact, &it->node);
    }
    free(it);
}

/* ---- exact ones -------------------------------------------------------------------------- */

static uint64_t exact_key(const struct index *ix, enum record_kind kind, struct str text)
{
    return hash_str(text, ix->seed + kind);
}

struct index_item *index_find_exact(const struct index *ix, enum record_kind kind,
                                    struct str text)
{
    uint64_t key = exact_key(ix, kind, text);
    struct jnode *n = jtable_maybe(&ix->exact, key) ? jtable_first(&ix->exact, key) : NULL;
    while (n != NULL) {
        struct index_item *it = (struct index_item *)n;
        if (it->kind == kind && str_eq(index_text(it), text)) {
            return it;
        }
        n = jtable_next(n);
    }
    return NULL;
}

/* ---- taking up --------------------------------------------------------------------------- */

void index_mark_all(struct index *ix, struct index_marks at)
{
    ix->floor = index_later(ix->floor, at.hard);
    ix->all_soft = index_later(ix->all_soft, at.soft);
}

static struct index_item *item_new(enum record_kind kind, struct str text, uint64_t key)
{
    struct index_item *it = xcalloc(1, sizeof(*it) + text.n);
    it->node.key = key;
    it->kind = (uint8_t)kind;
    it->text_n = (uint32_t)text.n;
    if (text.n > 0) {
        memcpy(it->text, text.p, text.n);
    }
    return it;
}

/* The item of this text, made if it is not there, with its marks raised. `which` says where a
 * new one goes, and whether an old one is as good as new. */
static void mark_item(struct index *ix, struct index_item *it, bool is_new,
                      struct index_marks at, enum item_list which)
{
    index_raise_marks(&it->at, at);
    ix->newest[it->kind] = index_later(ix->newest[it->kind], index_later(at.hard, at.soft));
    if (is_new) {
        list_append(ix, it, which);
    } else if (which == LIST_FINE || it->list == LIST_COARSE) {
        list_remove(ix, it);
        list_append(ix, it, which);
    }
}

void index_mark_exact(struct index *ix, enum record_kind kind, struct str text,
                      struct index_marks at)
{
    struct index_item *it = index_find_exact(ix, kind, text);
    bool is_new = it == NULL;
    if (is_new) {
        it = item_new(kind, text, exact_key(ix, kind, text));
        jtable_add(&ix->exact, &it->node);
    }
    mark_item(ix, it, is_new, at, LIST_FINE);
}

/* Of two globs under one anchor, is a to be folded rather than b? Those that can become head,
 * `*`, tail before those that are that already; then by age. */
static bool folds_before(const struct index_item *a, const struct index_item *b)
{
    if (a->simple != b->simple) {
        return !a->simple;
    }
    return index_later(a->at.hard, a->at.soft) < index_later(b->at.hard, b->at.soft);
}

/* Makes room under an anchor that holds too many globs: one becomes head, `*`, tail; if that
 * meets a full anchor again, or there are only such, "all". */
static void fold_one(struct index *ix, uint64_t key, bool again)
{
    struct index_item *victim = NULL;
    for (struct jnode *n = jtable_first(&ix->globs, key); n != NULL; n = jtable_next(n)) {
        struct index_item *it = (struct index_item *)n;
        if (victim == NULL || folds_before(it, victim)) {
            victim = it;
        }
    }
    ix->coarsened++;
    if (again || victim->simple) {
        index_mark_all(ix, victim->at);
        index_drop(ix, victim);
        return;
    }
    struct strbuf folded = {0};
    struct index_marks at = victim->at;
    strbuf_add(&folded, victim->text, victim->head_n);
    strbuf_add_char(&folded, '*');
    strbuf_add(&folded, victim->text + victim->text_n - victim->tail_n, victim->tail_n);
    index_drop(ix, victim);
    index_mark_glob(ix, strbuf_str(&folded), at, LIST_COARSE);
    strbuf_free(&folded);
}

/* The glob with this text; *load counts the globs with its key. */
static struct index_item *find_glob(const struct index *ix, struct str text, uint64_t key,
                                    unsigned *load)
{
    *load = 0;
    for (struct jnode *n = jtable_first(&ix->globs, key); n != NULL; n = jtable_next(n)) {
        struct index_item *it = (struct index_item *)n;
        if (str_eq(index_text(it), text)) {
            return it;
        }
        ++*load;
    }
    return NULL;
}

void index_mark_glob(struct index *ix, struct str text, struct index_marks at,
                     enum item_list which)
{
    struct glob_parts parts;
    glob_parse(text, &parts);
    if (parts.simple && parts.head.n == 0 && parts.tail.n == 0) {
        index_mark_all(ix, at);
        return;
    }
    uint64_t key;
    unsigned load;
    unsigned shape = shapes_choose(&ix->shapes, text, &parts, &key);
    struct index_item *it = find_glob(ix, text, key, &load);
    bool is_new = it == NULL;
    if (is_new) {
        it = item_new(RECORD_GLOB, text, key);
        it->shape = (uint8_t)shape;
        it->simple = parts.simple;
        it->head_n = (uint16_t)parts.head.n;
        it->tail_n = (uint16_t)parts.tail.n;
        jtable_add(&ix->globs, &it->node);
    }
    shapes_use(&ix->shapes, shape, index_later(at.hard, at.soft), !is_new);
    mark_item(ix, it, is_new, at, which);
    /* What folding itself put there may exceed the load, so that one fold does not make two. */
    if (is_new && load >= (which == LIST_COARSE ? 2 * ANCHOR_LOAD : ANCHOR_LOAD)) {
        fold_one(ix, key, which == LIST_COARSE);
    }
    ix->sweep_wanted = ix->sweep_wanted || (parts.simple && parts.tail.n == 0);
}
