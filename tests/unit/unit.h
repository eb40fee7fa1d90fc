/*
 * What every unit test includes first: cmocka wants stdarg, stddef, setjmp and stdint before
 * itself, in this order. Nothing of Larder is included here, so that each test names the
 * headers that it tests. A test file has one main() and is linked with everything under proxy/
 * but main.o.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

/* The order is cmocka's demand, not ours. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>
/* clang-format on */

#endif
