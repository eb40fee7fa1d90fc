/*
 * Lifetime of struct settings. Whoever reads them across a reload holds a reference; the last
 * one frees the arena, and with it everything that the settings point to.
 */
#include "settings.h"

#include <stdlib.h>

struct settings *settings_ref(struct settings *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void settings_unref(struct settings *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    arena_reset(&s->arena);
    free(s);
}
