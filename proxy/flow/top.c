/*
 * SpaceSaving: a name that is not among the counted takes the place of the one with the lowest
 * count and inherits that count as its error. What is asked for more often than one in 64 times
 * is always among them.
 */
#include "flow/top.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"

#define WINDOW_MS 100          /* in which … */
#define WINDOW    128          /* … so many requests count one by one */
#define SAMPLED   16           /* of the further ones, one for so many */
#define HALVE_MS  (5 * 60000)  /* counts lose half of their weight */
#define SLOW_MS   (10 * 60000) /* how long a slow miss is remembered */

struct top {
    pthread_mutex_t lock;
    struct top_key keys[TOP_KEYS]; /* under lock, as the rest but for the worker's own */
    struct top_slow slow[TOP_SLOW];
    msec_t halved_at;

    /* the worker's own */
    uint64_t random;
    msec_t window;      /* start of the current one */
    unsigned in_window; /* requests in it */
    int64_t slow_floor; /* what is faster than this is not among the slowest … */
    msec_t floor_until; /* … until one of them is forgotten (wall time) */
};

struct top *top_new(void)
{
    struct top *t = xcalloc(1, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    t->random = UINT64_C(0x9e3779b97f4a7c15);
    return t;
}

void top_free(struct top *t)
{
    if (t != NULL) {
        pthread_mutex_destroy(&t->lock);
        free(t);
    }
}

static uint16_t keep_name(char out[TOP_NAME_MAX], struct str name)
{
    size_t n = name.n < TOP_NAME_MAX ? name.n : TOP_NAME_MAX;
    memcpy(out, name.p, n);
    return (uint16_t)n;
}

/* ---- names ------------------------------------------------------------------------------- */

/* How many requests this one stands for; 0: it is not counted. */
static uint64_t weight_of(struct top *t, msec_t now)
{
    if (now - t->window >= WINDOW_MS) {
        t->window = now;
        t->in_window = 0;
    }
    if (t->in_window < WINDOW) {
        t->in_window++;
        return 1;
    }
    t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return t->random >> 60 == 0 ? SAMPLED : 0;
}

static void halve(struct top *t, msec_t now)
{
    bool due = t->halved_at != 0 && now - t->halved_at >= HALVE_MS;
    for (size_t i = 0; i < TOP_KEYS && due; i++) {
        t->keys[i].count /= 2;
        t->keys[i].error /= 2;
    }
    if (due || t->halved_at == 0) {
        t->halved_at = now;
    }
}

static struct top_key *place_of(struct top *t, uint64_t hash)
{
    struct top_key *least = &t->keys[0];
    for (size_t i = 0; i < TOP_KEYS; i++) {
        if (t->keys[i].count > 0 && t->keys[i].hash == hash) {
            return &t->keys[i];
        }
        if (t->keys[i].count < least->count) {
            least = &t->keys[i];
        }
    }
    return least;
}

void top_count(struct top *t, struct str name, uint32_t label, msec_t now)
{
    uint64_t weight = weight_of(t, now);
    if (weight == 0) {
        return;
    }
    uint64_t hash = XXH3_64bits(name.p, name.n);
    pthread_mutex_lock(&t->lock);
    halve(t, now);
    struct top_key *k = place_of(t, hash);
    if (k->count == 0 || k->hash != hash) {
        k->hash = hash;
        k->error = k->count;
        k->name_n = keep_name(k->name, name);
    }
    k->label = label;
    k->count += weight;
    pthread_mutex_unlock(&t->lock);
}

/* ---- slow misses ------------------------------------------------------------------------- */

/* The place of the fastest, or of one that is too old. */
static struct top_slow *slow_place(struct top *t, msec_t wall)
{
    struct top_slow *fastest = &t->slow[0];
    for (size_t i = 0; i < TOP_SLOW; i++) {
        struct top_slow *s = &t->slow[i];
        if (s->us > 0 && wall - s->at > SLOW_MS) {
            s->us = 0;
        }
        if (s->us < fastest->us) {
            fastest = s;
        }
    }
    return fastest;
}

void top_miss(struct top *t, struct str name, uint32_t label, int64_t us, msec_t wall)
{
    if (us <= t->slow_floor && wall < t->floor_until) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    struct top_slow *s = slow_place(t, wall);
    if (us > s->us) {
        s->us = us;
        s->at = wall;
        s->label = label;
        s->name_n = keep_name(s->name, name);
    }
    t->slow_floor = slow_place(t, wall)->us;
    t->floor_until = wall + SLOW_MS / 10;
    pthread_mutex_unlock(&t->lock);
}

/* ---- reading ----------------------------------------------------------------------------- */

void top_get(struct top *t, msec_t wall, struct top_key keys[TOP_KEYS],
             struct top_slow slow[TOP_SLOW])
{
    pthread_mutex_lock(&t->lock);
    memcpy(keys, t->keys, sizeof(t->keys));
    memcpy(slow, t->slow, sizeof(t->slow));
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < TOP_SLOW; i++) {
        if (wall - slow[i].at > SLOW_MS) {
            slow[i].us = 0;
        }
    }
}
