/*
 * Labels, cells, sums. Pointers to chunks, cells and histograms are published with release
 * stores and never taken back, so that a reader beside the workers needs no lock.
 */
#include "flow/stats.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"

#define WORKERS_MAX 256 /* as `workers` */
#define LABEL_NONE  0   /* requests that never came to a route */
#define LABEL_OTHER 1   /* labels beyond the bound */

_Static_assert(STATS_LABELS_MAX % STATS_CHUNK == 0, "whole chunks");

struct stats {
    struct stats_label *labels; /* STATS_LABELS_MAX, pages as used; texts on the heap */
    uint32_t n_labels;
    uint32_t *table; /* label + 1 by hash of (site, label), open addressing */
    size_t table_size;
    struct str missing[STATS_MISSING_MAX]; /* words no-NAME, on the heap */
    unsigned n_missing;
    struct stats_worker *workers[WORKERS_MAX];
    unsigned n_workers;
};

/* ---- labels ------------------------------------------------------------------------------ */

static uint64_t label_hash(struct str site, struct str label)
{
    return XXH3_64bits_withSeed(label.p, label.n, XXH3_64bits(site.p, site.n));
}

static struct str own(struct str s)
{
    return str_make(str_dup(s), s.n);
}

static void disown(struct str s)
{
    free((void *)(uintptr_t)s.p);
}

static void table_put(struct stats *s, uint32_t label)
{
    const struct stats_label *l = &s->labels[label];
    size_t at = label_hash(l->site, l->label) & (s->table_size - 1);
    while (s->table[at] != 0) {
        at = (at + 1) & (s->table_size - 1);
    }
    s->table[at] = label + 1;
}

static void table_grow(struct stats *s)
{
    free(s->table);
    s->table_size = s->table_size > 0 ? 2 * s->table_size : 64;
    s->table = xcalloc(s->table_size, sizeof(*s->table));
    for (uint32_t i = 0; i < s->n_labels; i++) {
        table_put(s, i);
    }
}

static uint32_t label_add(struct stats *s, struct str site, struct str label)
{
    if (s->n_labels == STATS_LABELS_MAX) {
        return LABEL_OTHER;
    }
    if (2 * ((size_t)s->n_labels + 1) > s->table_size) {
        table_grow(s);
    }
    s->labels[s->n_labels] =
        (struct stats_label){.site = own(site), .label = own(label), .type = own(STR(""))};
    table_put(s, s->n_labels);
    return s->n_labels++;
}

static uint32_t label_find(struct stats *s, struct str site, struct str label)
{
    size_t at = label_hash(site, label) & (s->table_size - 1);
    for (; s->table[at] != 0; at = (at + 1) & (s->table_size - 1)) {
        const struct stats_label *l = &s->labels[s->table[at] - 1];
        if (str_eq(l->label, label) && str_eq(l->site, site)) {
            return s->table[at] - 1;
        }
    }
    return label_add(s, site, label);
}

/* The index of the word no-NAME. */
static uint8_t missing_find(struct stats *s, struct str name)
{
    struct strbuf word = {0};
    strbuf_addf(&word, "no-%.*s", STR_ARG(name));
    unsigned i = 0;
    while (i < s->n_missing && !str_eq(s->missing[i], strbuf_str(&word))) {
        i++;
    }
    if (i == s->n_missing && i < STATS_MISSING_MAX) {
        s->missing[s->n_missing++] = own(strbuf_str(&word));
    }
    strbuf_free(&word);
    return (uint8_t)i;
}

static void map_route(struct stats_map *m, struct stats *s, const struct site_settings *site,
                      const struct route_settings *route)
{
    struct str host = site->index > 0 && site->hosts.n > 0 ? site->hosts.list[0] : STR("");
    uint32_t label = label_find(s, host, route->label);
    m->labels[route->number] = label;
    if (label != LABEL_OTHER && !str_eq(s->labels[label].type, route->type)) {
        disown(s->labels[label].type);
        s->labels[label].type = own(route->type);
    }
}

void stats_map_init(struct stats_map *m, struct stats *s, const struct settings *settings)
{
    m->labels = xcalloc(settings->n_numbers, sizeof(*m->labels));
    for (size_t i = 0; i < settings->n_sites; i++) {
        const struct site_settings *site = &settings->sites[i];
        for (size_t k = 0; k < site->n_routes; k++) {
            map_route(m, s, site, &site->routes[k]);
        }
        map_route(m, s, site, &site->fallback);
    }
    memset(m->missing, STATS_MISSING_MAX, sizeof(m->missing));
    for (size_t i = 0; i < settings->n_identities; i++) {
        m->missing[i] = missing_find(s, settings->identities[i].name);
    }
}

void stats_map_fini(struct stats_map *m)
{
    free(m->labels);
    m->labels = NULL;
}

/* ---- lifetime ---------------------------------------------------------------------------- */

struct stats *stats_new(void)
{
    struct stats *s = xcalloc(1, sizeof(*s));
    s->labels = xcalloc(STATS_LABELS_MAX, sizeof(*s->labels));
    table_grow(s);
    (void)label_add(s, STR(""), STR("(not routed)"));
    (void)label_add(s, STR(""), STR("(others)"));
    return s;
}

static void cell_free(struct stats_cell *c)
{
    for (int i = 0; c != NULL && i < STATS_TIMES; i++) {
        free(atomic_load_explicit(&c->times[i], memory_order_relaxed));
    }
    free(c);
}

static void worker_part_free(struct stats_worker *w)
{
    for (size_t i = 0; i < STATS_LABELS_MAX / STATS_CHUNK; i++) {
        struct stats_chunk *chunk = atomic_load_explicit(&w->chunks[i], memory_order_relaxed);
        for (size_t k = 0; chunk != NULL && k < STATS_CHUNK; k++) {
            cell_free(atomic_load_explicit(&chunk->cells[k], memory_order_relaxed));
        }
        free(chunk);
    }
    free(w);
}

void stats_free(struct stats *s)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        worker_part_free(s->workers[i]);
    }
    for (uint32_t i = 0; i < s->n_labels; i++) {
        disown(s->labels[i].site);
        disown(s->labels[i].label);
        disown(s->labels[i].type);
    }
    for (unsigned i = 0; i < s->n_missing; i++) {
        disown(s->missing[i]);
    }
    free(s->labels);
    free(s->table);
    free(s);
}

/* Zeroed cache lines that nobody else has a part of. */
static void *lines_alloc(size_t n)
{
    n = (n + 63) / 64 * 64;
    void *p = aligned_alloc(64, n);
    if (p == NULL) {
        abort();
    }
    return memset(p, 0, n);
}

struct stats_worker *stats_worker_new(struct stats *s)
{
    struct stats_worker *w = lines_alloc(sizeof(*w));
    if (s->n_workers == WORKERS_MAX) {
        abort(); /* `workers` allows no more */
    }
    s->workers[s->n_workers++] = w;
    return w;
}

/* ---- counting ---------------------------------------------------------------------------- */

struct stats_cell *stats_cell(struct stats_worker *w, uint32_t label)
{
    _Atomic(struct stats_chunk *) *place = &w->chunks[label / STATS_CHUNK];
    struct stats_chunk *chunk = atomic_load_explicit(place, memory_order_relaxed);
    if (chunk == NULL) {
        chunk = lines_alloc(sizeof(*chunk));
        atomic_store_explicit(place, chunk, memory_order_release);
    }
    _Atomic(struct stats_cell *) *slot = &chunk->cells[label % STATS_CHUNK];
    struct stats_cell *cell = atomic_load_explicit(slot, memory_order_relaxed);
    if (cell == NULL) {
        cell = lines_alloc(sizeof(*cell));
        atomic_store_explicit(slot, cell, memory_order_release);
    }
    return cell;
}

void stats_time(struct stats_cell *c, enum stats_time which, int64_t us)
{
    struct histogram *h = atomic_load_explicit(&c->times[which], memory_order_relaxed);
    if (h == NULL) {
        h = lines_alloc(sizeof(*h));
        atomic_store_explicit(&c->times[which], h, memory_order_release);
    }
    histogram_record(h, us);
}

/* ---- reading ----------------------------------------------------------------------------- */

static struct stats_cell *cell_seen(const struct stats_worker *w, uint32_t label)
{
    struct stats_chunk *chunk =
        atomic_load_explicit(&w->chunks[label / STATS_CHUNK], memory_order_acquire);
    return chunk == NULL
               ? NULL
               : atomic_load_explicit(&chunk->cells[label % STATS_CHUNK], memory_order_acquire);
}

uint32_t stats_labels(const struct stats *s)
{
    return s->n_labels;
}

const struct stats_label *stats_label(const struct stats *s, uint32_t label)
{
    return &s->labels[label];
}

uint64_t stats_route_sum(const struct stats *s, uint32_t label, enum stats_route_counter which)
{
    bool plain = which == STATS_HIT || which == STATS_HIT_L1 || which == STATS_STATUS_2XX ||
                 which == STATS_SAVED;
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->n_workers; i++) {
        const struct stats_cell *c = cell_seen(s->workers[i], label);
        if (c != NULL) {
            sum += counter_get(&c->counts[which]) + (plain ? counter_get(&c->plain) : 0);
        }
    }
    return sum;
}

uint64_t stats_reason_sum(const struct stats *s, uint32_t label, unsigned reason)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->n_workers; i++) {
        const struct stats_cell *c = cell_seen(s->workers[i], label);
        sum += c != NULL ? counter_get(&c->reasons[reason]) : 0;
    }
    return sum;
}

uint64_t stats_worker_sum(const struct stats *s, enum stats_worker_counter which)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->n_workers; i++) {
        sum += counter_get(&s->workers[i]->counts[which]);
    }
    return sum;
}

bool stats_times_sum(const struct stats *s, uint32_t label, enum stats_time which,
                     struct histogram *into)
{
    bool any = false;
    for (unsigned i = 0; i < s->n_workers; i++) {
        const struct stats_cell *c = cell_seen(s->workers[i], label);
        const struct histogram *h =
            c != NULL ? atomic_load_explicit(&c->times[which], memory_order_acquire) : NULL;
        if (h != NULL) {
            histogram_merge(into, h);
            any = true;
        }
    }
    return any;
}

bool stats_label_used(const struct stats *s, uint32_t label)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        if (cell_seen(s->workers[i], label) != NULL) {
            return true;
        }
    }
    return false;
}

struct str stats_reason_word(const struct stats *s, unsigned reason)
{
    if (reason < REASON_COUNT) {
        return reason_word((enum reason)reason);
    }
    unsigned i = reason - REASON_COUNT;
    return i < s->n_missing ? s->missing[i] : STR("");
}
