/*
 * The table of flights under way: at most one for each key that can be joined. It holds a
 * reference to each, so that whoever finds one under the shard's lock may take the flight's.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "flow/flight.h"

#define SHARDS  64u
#define BUCKETS 64u /* per shard; flights are few and short-lived */

struct flight_shard {
    pthread_mutex_t lock;
    struct flight *buckets[BUCKETS];
};

struct flight_table {
    struct flight_shard shards[SHARDS];
};

struct flight_table *flight_table_new(void)
{
    struct flight_table *t = xcalloc(1, sizeof(*t));
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&t->shards[i].lock, NULL);
    }
    return t;
}

void flight_table_free(struct flight_table *t)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&t->shards[i].lock);
    }
    free(t);
}

static struct flight_shard *shard_of(struct flight_table *t, uint64_t hash)
{
    return &t->shards[hash % SHARDS];
}

static struct flight **bucket_of(struct flight_shard *s, uint64_t hash)
{
    return &s->buckets[hash / SHARDS % BUCKETS];
}

/* Under the shard's lock; takes over the reference. */
static void list(struct flight_table *t, struct flight_shard *s, struct flight *f)
{
    struct flight **bucket = bucket_of(s, f->hash);
    f->table = t;
    f->listed = true;
    f->table_next = *bucket;
    *bucket = f;
}

/* Under the shard's lock; gives the reference back to the caller. */
static void unlist(struct flight_shard *s, struct flight *f)
{
    struct flight **at = bucket_of(s, f->hash);
    while (*at != f) {
        at = &(*at)->table_next;
    }
    *at = f->table_next;
    f->table_next = NULL;
    f->listed = false;
}

void flight_unlist(struct flight *f)
{
    if (f->table == NULL) {
        return;
    }
    struct flight_shard *s = shard_of(f->table, f->hash);
    pthread_mutex_lock(&s->lock);
    bool listed = f->listed;
    if (listed) {
        unlist(s, f);
    }
    pthread_mutex_unlock(&s->lock);
    if (listed) {
        flight_unref(f);
    }
}

static bool same_key(const struct flight *f, const struct flight_key *key)
{
    return f->hash == key->hash && f->scope == key->scope && str_eq(f->name, key->name) &&
           str_eq(f->host, key->host);
}

/* Under the shard's lock. */
static struct flight *find(struct flight_shard *s, const struct flight_key *key)
{
    struct flight *f = *bucket_of(s, key->hash);
    while (f != NULL && !same_key(f, key)) {
        f = f->table_next;
    }
    return f;
}

struct flight *flight_join(struct flight_table *t, struct journal *j,
                           const struct flight_key *key, struct flight_reader *reader,
                           struct loop *loop, void (*wake)(struct flight_reader *r),
                           bool *leader)
{
    struct flight_shard *s = shard_of(t, key->hash);
    struct flight *overtaken = NULL;
    *leader = false;
    pthread_mutex_lock(&s->lock);
    struct flight *f = find(s, key);
    if (f != NULL && !flight_try_read(f, reader, loop, wake)) {
        unlist(s, f);
        overtaken = f;
        f = NULL;
    }
    if (f == NULL) {
        f = flight_new_alone(j, key, loop);
        flight_read(f, reader, loop, wake);
        list(t, s, flight_ref(f));
        *leader = true;
    }
    pthread_mutex_unlock(&s->lock);
    if (overtaken != NULL) {
        flight_unref(overtaken);
    }
    return f;
}

bool flight_peek(struct flight_table *t, const struct flight_key *key, msec_t now,
                 struct flight_facts *out)
{
    struct flight_shard *s = shard_of(t, key->hash);
    pthread_mutex_lock(&s->lock);
    struct flight *f = find(s, key);
    bool open = f != NULL && flight_get_facts(f, now, out);
    pthread_mutex_unlock(&s->lock);
    return open;
}
