/* XXH3 is compiled in (XXH_INLINE_ALL): the call through the library costs as much as a hash.
 */
#include "cache/hash.h"

#include <pthread.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"

static pthread_once_t seed_once = PTHREAD_ONCE_INIT;
static uint64_t seed_value;

static void draw_seed(void)
{
    if (getrandom(&seed_value, sizeof(seed_value), 0) != (ssize_t)sizeof(seed_value)) {
        /* Kernels without getrandom: the clock and the address layout must do. */
        seed_value = (uint64_t)clock_monotonic() * 0x9e3779b97f4a7c15u ^
                     (uint64_t)(uintptr_t)&seed_value;
    }
}

uint64_t hash_seed(void)
{
    pthread_once(&seed_once, draw_seed);
    return seed_value;
}

uint64_t hash_str(struct str s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.n > 0 ? s.p : "", s.n, seed);
}
