/*
 * Durations and sizes as people write them in proxy.conf and on the command line: one parser
 * and one printer for each. Pure functions; any thread.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

#define UNITS_TEXT_MAX 24

/*
 * "250ms", "30s", "5m", "1h", "2d", "1w" to milliseconds; "0" needs no unit. Lower case, one
 * number, no sign, no fraction. False with a static reason in *why when malformed or too large.
 */
bool duration_parse(struct str text, msec_t *out, const char **why);

/*
 * "512", "512b", "1kb", "256mb", "2gb", "1tb" to bytes; also "1k 1m 1g 1t", either case; 1kb is
 * 1024 bytes. False with a static reason in *why when malformed or too large.
 */
bool size_parse(struct str text, int64_t *out, const char **why);

/* The shortest exact text ("5m", "1500ms", "0s"), NUL-terminated; returns its length. Negative
 * values print as "off". */
size_t duration_text(msec_t value, char out[UNITS_TEXT_MAX]);

/* The shortest exact text ("2mb", "1536b"), NUL-terminated; returns its length. Negative values
 * and INT64_MAX print as "off". */
size_t size_text(int64_t bytes, char out[UNITS_TEXT_MAX]);

#endif
