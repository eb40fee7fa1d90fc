/*
 * A name's heads and tails are hashed in one pass each, from the front and from the back, and
 * the hashes on the way are kept: 64 shapes then cost 64 mixings. The hash is seeded; where two
 * anchors collide, the glob's own match decides.
 */
#include "cache/journal_shape.h"

#define STEP 0x9e3779b97f4a7c15u
#define MIX  0xbf58476d1ce4e5b9u

static const bool is_word[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
    ['.'] = true,         ['_'] = true,         ['-'] = true,
    ['%'] = true,         ['~'] = true,         [128 ... 255] = true,
};

static bool is_separator(char c)
{
    return !is_word[(unsigned char)c];
}

static uint64_t step(uint64_t h, char c)
{
    return (h ^ (unsigned char)c) * STEP;
}

/* Reads up to `limit` bytes, and no further than max_extra beyond separator max_seps. */
static void read_side(struct side *side, struct str s, bool backward, uint64_t seed,
                      unsigned max_seps, unsigned max_extra)
{
    unsigned limit = s.n < ANCHOR_MAX ? (unsigned)s.n : ANCHOR_MAX;
    uint64_t h = seed;
    unsigned seps = 0;
    unsigned i = 0;
    side->hash[0] = h;
    side->end_of[0] = 0;
    while (i < limit && (seps < max_seps || i < side->end_of[seps] + max_extra)) {
        char c = backward ? s.p[s.n - 1 - i] : s.p[i];
        h = step(h, c);
        side->hash[++i] = h;
        if (is_separator(c)) {
            side->end_of[++seps] = (uint16_t)i;
        }
    }
    side->seps = seps;
    side->n = i;
}

/* Bytes of the anchor on this side; false when the side is too short for it. */
static bool anchor_length(const struct side *side, unsigned seps, unsigned extra, unsigned *n)
{
    if (seps > side->seps) {
        return false;
    }
    *n = side->end_of[seps] + extra;
    return *n <= side->n;
}

static uint64_t rotate(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static uint64_t mix(uint64_t head, uint64_t tail, uint64_t middle, unsigned shape)
{
    uint64_t k = head + rotate(tail, 23) + rotate(middle, 47) + shape * STEP;
    return (k ^ k >> 32) * MIX;
}

/* ---- globs ------------------------------------------------------------------------------- */

/* The longest literal segment between two separators in the glob's middle; empty if none. */
static struct str find_middle(struct str glob, const struct glob_parts *parts)
{
    struct str best = STR_NULL;
    size_t end = glob.n - parts->tail.n;
    bool open = false; /* a separator was seen, and only literals since */
    size_t from = 0;
    for (size_t i = parts->head.n; i < end; i++) {
        char c = glob.p[i];
        if (c == '[' || c == ']' || c == '\\') {
            return best; /* classes and escapes: what comes behind is not worth the parsing */
        }
        if (c == '*' || c == '?') {
            open = false;
        } else if (is_separator(c)) {
            if (open && i - from > best.n) {
                best = str_make(glob.p + from, i - from);
            }
            open = true;
            from = i + 1;
        }
    }
    return best;
}

static uint64_t hash_segment(uint64_t seed, struct str segment)
{
    uint64_t h = ~seed;
    for (size_t i = 0; i < segment.n; i++) {
        h = step(h, segment.p[i]);
    }
    return h;
}

void shapes_init(struct shapes *s, uint64_t seed)
{
    *s = (struct shapes){.n = 1, .seed = seed};
}

/* What a glob offers as anchor. */
struct offer {
    struct side head, tail;
    struct str middle;
};

static void read_offer(const struct shapes *s, struct str glob, const struct glob_parts *parts,
                       struct offer *o)
{
    read_side(&o->head, parts->head, false, s->seed, ANCHOR_MAX, ANCHOR_MAX);
    read_side(&o->tail, parts->tail, true, s->seed, ANCHOR_MAX, ANCHOR_MAX);
    o->middle = find_middle(glob, parts);
}

/* Can the glob be filed under this shape? *size: how much of it the anchor holds. */
static bool fits(const struct shape *shape, const struct offer *o, unsigned *size)
{
    unsigned head, tail;
    if (!anchor_length(&o->head, shape->head_seps, shape->head_extra, &head) ||
        !anchor_length(&o->tail, shape->tail_seps, shape->tail_extra, &tail) ||
        (shape->middle && o->middle.n == 0)) {
        return false;
    }
    *size = head + tail + (shape->middle ? (unsigned)o->middle.n : 0);
    return true;
}

static uint64_t offer_key(const struct shapes *s, unsigned shape, const struct offer *o)
{
    const struct shape *sh = &s->list[shape];
    unsigned head = 0, tail = 0;
    anchor_length(&o->head, sh->head_seps, sh->head_extra, &head);
    anchor_length(&o->tail, sh->tail_seps, sh->tail_extra, &tail);
    return mix(o->head.hash[head], o->tail.hash[tail],
               sh->middle ? hash_segment(s->seed, o->middle) : 0, shape);
}

static bool same_shape(const struct shape *a, const struct shape *b)
{
    return a->head_seps == b->head_seps && a->head_extra == b->head_extra &&
           a->tail_seps == b->tail_seps && a->tail_extra == b->tail_extra &&
           a->middle == b->middle;
}

/* The shape itself, a free place for it, or the best of those that it fits. */
static unsigned choose_shape(struct shapes *s, const struct offer *o)
{
    struct shape own = {.head_seps = (uint8_t)o->head.seps,
                        .head_extra = (uint8_t)(o->head.n - o->head.end_of[o->head.seps]),
                        .tail_seps = (uint8_t)o->tail.seps,
                        .tail_extra = (uint8_t)(o->tail.n - o->tail.end_of[o->tail.seps]),
                        .middle = o->middle.n > 0};
    unsigned free_place = s->n;
    unsigned best = 0;
    unsigned best_size = 0;
    for (unsigned i = 0; i < s->n; i++) {
        unsigned size;
        if (same_shape(&s->list[i], &own)) {
            return i;
        }
        if (i > 0 && s->list[i].globs == 0) {
            free_place = i;
        } else if (fits(&s->list[i], o, &size) && size > best_size) {
            best = i;
            best_size = size;
        }
    }
    if (free_place == SHAPES_MAX) {
        return best;
    }
    s->list[free_place] = own;
    s->n = free_place == s->n ? s->n + 1 : s->n;
    return free_place;
}

unsigned shapes_choose(struct shapes *s, struct str glob, const struct glob_parts *parts,
                       uint64_t *key)
{
    struct offer o;
    read_offer(s, glob, parts, &o);
    unsigned shape = choose_shape(s, &o);
    *key = offer_key(s, shape, &o);
    return shape;
}

static uint8_t larger(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

/* How far names must be read. */
static void update_reach(struct shapes *s)
{
    struct shape reach = {0};
    for (unsigned i = 0; i < s->n; i++) {
        const struct shape *sh = &s->list[i];
        if (sh->globs > 0) {
            reach.head_seps = larger(reach.head_seps, sh->head_seps);
            reach.head_extra = larger(reach.head_extra, sh->head_extra);
            reach.tail_seps = larger(reach.tail_seps, sh->tail_seps);
            reach.tail_extra = larger(reach.tail_extra, sh->tail_extra);
            reach.middle = reach.middle || sh->middle;
        }
    }
    s->reach = reach;
}

void shapes_use(struct shapes *s, unsigned shape, uint64_t position, bool again)
{
    struct shape *sh = &s->list[shape];
    sh->newest = position > sh->newest ? position : sh->newest;
    if (!again && sh->globs++ == 0) {
        update_reach(s);
    }
}

void shapes_drop(struct shapes *s, unsigned shape)
{
    if (--s->list[shape].globs == 0) {
        update_reach(s);
    }
}

unsigned shapes_count(const struct shapes *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->n; i++) {
        n += s->list[i].globs > 0;
    }
    return n;
}

/* ---- names ------------------------------------------------------------------------------- */

static bool is_active(const struct shape *shape, uint64_t after)
{
    return shape->globs > 0 && shape->newest > after;
}

void shapes_lookup(const struct shapes *s, struct str name, uint64_t after,
                   struct shape_lookup *l)
{
    l->name = name;
    l->after = after;
    read_side(&l->front, name, false, s->seed, s->reach.head_seps, s->reach.head_extra);
    read_side(&l->back, name, true, s->seed, s->reach.tail_seps, s->reach.tail_extra);
}

/* Can a glob of this shape matter? Then its anchor's lengths in this name. */
static bool shape_anchor(const struct shape *sh, const struct shape_lookup *l, unsigned *head,
                         unsigned *tail)
{
    return is_active(sh, l->after) &&
           anchor_length(&l->front, sh->head_seps, sh->head_extra, head) &&
           anchor_length(&l->back, sh->tail_seps, sh->tail_extra, tail) &&
           (size_t)*head + *tail <= l->name.n;
}

unsigned shapes_keys(const struct shapes *s, const struct shape_lookup *l,
                     uint64_t keys[SHAPES_MAX])
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->n; i++) {
        unsigned head, tail;
        if (!s->list[i].middle && shape_anchor(&s->list[i], l, &head, &tail)) {
            keys[n++] = mix(l->front.hash[head], l->back.hash[tail], 0, i);
        }
    }
    return n;
}

bool shapes_each_middle(const struct shapes *s, const struct shape_lookup *l,
                        bool (*fn)(uint64_t key, void *ctx), void *ctx)
{
    for (unsigned i = 0; i < s->n && s->reach.middle; i++) {
        unsigned head, tail;
        if (!s->list[i].middle || !shape_anchor(&s->list[i], l, &head, &tail)) {
            continue;
        }
        /* One key for each segment between two separators of what the anchor leaves. */
        bool open = false;
        uint64_t h = 0;
        for (size_t at = head; at < l->name.n - tail; at++) {
            if (!is_separator(l->name.p[at])) {
                h = step(h, l->name.p[at]);
                continue;
            }
            if (open && fn(mix(l->front.hash[head], l->back.hash[tail], h, i), ctx)) {
                return true;
            }
            open = true;
            h = ~s->seed;
        }
    }
    return false;
}
