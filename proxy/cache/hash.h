/*
 * Seeded hashing for tables that hold peers' texts: XXH3 with a seed drawn once for each
 * process, so that nobody outside can construct collisions. Never used for anything stored.
 */
#ifndef CACHE_HASH_H
#define CACHE_HASH_H

#include <stdint.h>

#include "base/str.h"

/* The process's random seed. Any thread. */
uint64_t hash_seed(void);

/* 64-bit hash of s. */
uint64_t hash_str(struct str s, uint64_t seed);

#endif
