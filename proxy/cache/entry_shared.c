/*
 * One table under one mutex: it is touched when an entry is made or freed, never on a hit. The
 * texts come from the configuration but for `vary`, which an origin chooses: so chains are
 * bounded, and what finds no room gets a copy of its own that is not in the table.
 */
#include "cache/entry_shared.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/hash.h"

#define BUCKETS   4096 /* a power of two */
#define CHAIN_MAX 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry_shared *table[BUCKETS];

static size_t shared_size(const struct entry_shared *s)
{
    return sizeof(*s) + s->host_n + s->type_n + s->route_n + s->vary_n;
}

static uint64_t hash_texts(const struct str *texts)
{
    uint64_t h = hash_seed();
    for (int i = 0; i < 4; i++) {
        h = hash_str(texts[i], h);
    }
    return h;
}

static bool same_texts(const struct entry_shared *s, const struct str *texts)
{
    if (s->host_n != texts[0].n || s->type_n != texts[1].n || s->route_n != texts[2].n ||
        s->vary_n != texts[3].n) {
        return false;
    }
    const char *p = s->bytes;
    for (int i = 0; i < 4; i++) {
        if (texts[i].n > 0 && memcmp(p, texts[i].p, texts[i].n) != 0) {
            return false;
        }
        p += texts[i].n;
    }
    return true;
}

static struct entry_shared *shared_new(const struct str *texts, uint64_t hash)
{
    size_t n = texts[0].n + texts[1].n + texts[2].n + texts[3].n;
    struct entry_shared *s = xmalloc(sizeof(*s) + n);
    s->next = NULL;
    s->hash = hash;
    s->refs = 1;
    s->host_n = (uint16_t)texts[0].n;
    s->type_n = (uint16_t)texts[1].n;
    s->route_n = (uint16_t)texts[2].n;
    s->vary_n = (uint16_t)texts[3].n;
    char *p = s->bytes;
    for (int i = 0; i < 4; i++) {
        if (texts[i].n > 0) {
            memcpy(p, texts[i].p, texts[i].n);
        }
        p += texts[i].n;
    }
    return s;
}

struct entry_shared *entry_shared_get(struct str host, struct str type, struct str route,
                                      struct str vary)
{
    const struct str texts[4] = {host, type, route, vary};
    uint64_t hash = hash_texts(texts);
    struct entry_shared **bucket = &table[hash & (BUCKETS - 1)];
    int length = 0;

    pthread_mutex_lock(&lock);
    struct entry_shared *s = *bucket;
    while (s != NULL && !(s->hash == hash && same_texts(s, texts))) {
        s = s->next;
        length++;
    }
    if (s != NULL) {
        s->refs++;
    } else {
        s = shared_new(texts, hash);
        s->own = length >= CHAIN_MAX;
        if (!s->own) {
            s->next = *bucket;
            *bucket = s;
        }
    }
    pthread_mutex_unlock(&lock);
    return s;
}

void entry_shared_put(struct entry_shared *s)
{
    if (s->own) {
        free(s);
        return;
    }
    pthread_mutex_lock(&lock);
    bool last = --s->refs == 0;
    if (last) {
        struct entry_shared **link = &table[s->hash & (BUCKETS - 1)];
        while (*link != s) {
            link = &(*link)->next;
        }
        *link = s->next;
    }
    pthread_mutex_unlock(&lock);
    if (last) {
        free(s);
    }
}

size_t entry_shared_cost(const struct entry_shared *s)
{
    return s->own ? shared_size(s) : 0;
}
