/*
 * A chained hash table that grows with the number of distinct addresses and never shrinks: its
 * size is bounded by the connection limit. Seeded, since peers choose their addresses (IPv6).
 */
#include "flow/ip_count.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/hash.h"

#define FIRST_BUCKETS 64

/* What one address has open. */
struct ip_node {
    struct ip_node *next; /* chain */
    size_t open;          /* never 0 */
    uint8_t key[16];
};

struct ip_count {
    pthread_mutex_t lock;
    struct ip_node **buckets; /* a power of two of them */
    size_t n_buckets;
    size_t n;      /* nodes */
    uint64_t seed; /* of the hash */
};

struct ip_count *ip_count_new(void)
{
    struct ip_count *t = xcalloc(1, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    t->n_buckets = FIRST_BUCKETS;
    t->buckets = xcalloc(t->n_buckets, sizeof(struct ip_node *));
    t->seed = hash_seed();
    return t;
}

void ip_count_free(struct ip_count *t)
{
    for (size_t i = 0; i < t->n_buckets; i++) {
        while (t->buckets[i] != NULL) {
            struct ip_node *node = t->buckets[i];
            t->buckets[i] = node->next;
            free(node);
        }
    }
    free(t->buckets);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* The bytes by which a peer is counted; false for peers without an IP address. */
static bool key_of(const struct addr *peer, uint8_t key[16])
{
    static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (peer->len == 0) {
        return false;
    }
    if (peer->u.sa.sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)&peer->u.ss;
        memcpy(key, v4_prefix, sizeof(v4_prefix));
        memcpy(key + sizeof(v4_prefix), &in4->sin_addr, 4);
        return true;
    }
    if (peer->u.sa.sa_family != AF_INET6) {
        return false;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&peer->u.ss;
    memcpy(key, &in6->sin6_addr, 16);
    if (memcmp(key, v4_prefix, sizeof(v4_prefix)) != 0) {
        memset(key + 8, 0, 8);
    }
    return true;
}

static struct ip_node **bucket_of(struct ip_count *t, const uint8_t key[16])
{
    uint64_t hash = hash_str(str_make((const char *)key, 16), t->seed);
    return &t->buckets[hash & (t->n_buckets - 1)];
}

/* The link that points to the key's node, or to NULL at the end of its chain. */
static struct ip_node **find(struct ip_count *t, const uint8_t key[16])
{
    struct ip_node **link = bucket_of(t, key);
    while (*link != NULL && memcmp((*link)->key, key, 16) != 0) {
        link = &(*link)->next;
    }
    return link;
}

static void grow(struct ip_count *t)
{
    size_t old_n = t->n_buckets;
    struct ip_node **old = t->buckets;
    t->n_buckets = old_n * 2;
    t->buckets = xcalloc(t->n_buckets, sizeof(struct ip_node *));
    for (size_t i = 0; i < old_n; i++) {
        while (old[i] != NULL) {
            struct ip_node *node = old[i];
            struct ip_node **head = bucket_of(t, node->key);
            old[i] = node->next;
            node->next = *head;
            *head = node;
        }
    }
    free(old);
}

bool ip_count_take(struct ip_count *t, const struct addr *peer, size_t max)
{
    uint8_t key[16];
    if (!key_of(peer, key)) {
        return true;
    }
    pthread_mutex_lock(&t->lock);
    struct ip_node **link = find(t, key);
    bool ok = *link != NULL ? (*link)->open < max : max > 0;
    if (ok && *link != NULL) {
        (*link)->open++;
    } else if (ok) {
        struct ip_node *node = xmalloc(sizeof(*node));
        *node = (struct ip_node){.open = 1};
        memcpy(node->key, key, sizeof(node->key));
        *link = node;
        if (++t->n > t->n_buckets) {
            grow(t);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return ok;
}

void ip_count_release(struct ip_count *t, const struct addr *peer)
{
    uint8_t key[16];
    if (!key_of(peer, key)) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    struct ip_node **link = find(t, key);
    struct ip_node *node = *link;
    if (node != NULL && --node->open == 0) {
        *link = node->next;
        t->n--;
        free(node);
    }
    pthread_mutex_unlock(&t->lock);
}
