/*
 * Time: milliseconds as one signed type. Monotonic time is for deadlines and ages within this
 * process; wall time for Date, Expires, JWT claims and stored entries.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

typedef int64_t msec_t;

#define MSEC_MAX INT64_MAX

/* Milliseconds of CLOCK_MONOTONIC. Any thread. */
msec_t clock_monotonic(void);

/* Milliseconds since 1970 (UTC). Any thread. */
msec_t clock_wall(void);

#endif
