/*
 * The table: sets of two slots. The first slot of a set holds the verified token that was used
 * last, the second what came besides it; so a flood of forged tokens costs their forger a
 * signature check each and pushes out at most every second good one.
 */
#include "cache/jwt_memo.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/rand.h>
#include <xxhash.h>

#include "base/mem.h"

#define SETS         1024 /* a power of two; 2048 tokens for each worker */
#define SECRET_BYTES 192  /* the length of XXH3's own secret */

struct slot {
    struct jwt_memo_key key; /* generation 0: empty */
    struct jwt_memo memo;    /* memo.values: one heap block with the texts behind it */
};

struct table {
    struct slot sets[SETS][2];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t table_key; /* frees the table when its thread ends */
static uint8_t secret[SECRET_BYTES];
static _Thread_local struct table *table;

static void on_thread_end(void *arg)
{
    struct table *t = arg;
    for (size_t i = 0; i < SETS; i++) {
        free(t->sets[i][0].memo.values);
        free(t->sets[i][1].memo.values);
    }
    free(t);
}

static void memo_start(void)
{
    if (RAND_bytes(secret, sizeof(secret)) != 1 ||
        pthread_key_create(&table_key, on_thread_end) != 0) {
        abort(); /* no randomness, no safe hash */
    }
}

void jwt_memo_key(struct str token, uint64_t generation, struct jwt_memo_key *out)
{
    pthread_once(&once, memo_start);
    XXH128_hash_t h = XXH3_128bits_withSecret(token.p, token.n, secret, sizeof(secret));
    *out = (struct jwt_memo_key){
        .low = h.low64,
        .high = h.high64,
        .generation = generation,
        .length = token.n,
    };
}

static bool key_eq(const struct jwt_memo_key *a, const struct jwt_memo_key *b)
{
    return a->low == b->low && a->high == b->high && a->generation == b->generation &&
           a->length == b->length;
}

const struct jwt_memo *jwt_memo_find(const struct jwt_memo_key *key)
{
    if (table == NULL) {
        return NULL;
    }
    struct slot *set = table->sets[key->low % SETS];
    if (key_eq(&set[0].key, key)) {
        return &set[0].memo;
    }
    if (!key_eq(&set[1].key, key)) {
        return NULL;
    }
    if (!set[1].memo.verified) {
        return &set[1].memo;
    }
    struct slot used = set[1];
    set[1] = set[0];
    set[0] = used;
    return &set[0].memo;
}

/* One block: the slices, then their bytes. */
static struct str *values_copy(const struct str *values, size_t n)
{
    size_t size = n * sizeof(*values);
    for (size_t i = 0; i < n; i++) {
        size += values[i].n;
    }
    struct str *copy = xmalloc(size);
    char *text = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = str_make(text, values[i].n);
        memcpy(text, values[i].p, values[i].n);
        text += values[i].n;
    }
    return copy;
}

void jwt_memo_store(const struct jwt_memo_key *key, const struct jwt_memo *memo)
{
    if (table == NULL) {
        pthread_once(&once, memo_start);
        table = xcalloc(1, sizeof(*table));
        pthread_setspecific(table_key, table);
    }
    struct slot *set = table->sets[key->low % SETS];
    struct slot *slot = &set[1];
    free(slot->memo.values);
    if (memo->verified) {
        set[1] = set[0];
        slot = &set[0];
    }
    size_t n = (size_t)__builtin_popcount(memo->known);
    *slot = (struct slot){.key = *key, .memo = *memo};
    slot->memo.values = n > 0 ? values_copy(memo->values, n) : NULL;
}
