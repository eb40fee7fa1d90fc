/*
 * Lists of variants. A change reads the resident marker, makes a new one and puts it in its
 * place, under the lock of the name's group, so that no change is lost.
 */
#include "cache/variants.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/key.h"

#define GROUPS 16u
#define ID     (KEY_VARIANT_LEN - 1) /* bytes of a hash in a name */

struct variants {
    struct l1 *l1;
    pthread_mutex_t locks[GROUPS];
};

/* Hashes, one behind the other; room for one more than there may be. */
struct id_list {
    char ids[(VARIANTS_MAX + 1) * ID];
    size_t n;
};

struct variants *variants_new(struct l1 *l1)
{
    struct variants *v = xcalloc(1, sizeof(*v));
    v->l1 = l1;
    for (size_t i = 0; i < GROUPS; i++) {
        pthread_mutex_init(&v->locks[i], NULL);
    }
    return v;
}

void variants_free(struct variants *v)
{
    for (size_t i = 0; i < GROUPS; i++) {
        pthread_mutex_destroy(&v->locks[i]);
    }
    free(v);
}

static char *id_at(struct id_list *list, size_t i)
{
    return list->ids + i * ID;
}

static void remove_id(struct id_list *list, size_t i)
{
    list->n--;
    memmove(id_at(list, i), id_at(list, i + 1), (list->n - i) * ID);
}

static void add_first(struct id_list *list, const char *id)
{
    for (size_t i = 0; i < list->n; i++) {
        if (memcmp(id_at(list, i), id, ID) == 0) {
            remove_id(list, i);
            break;
        }
    }
    memmove(id_at(list, 1), id_at(list, 0), list->n * ID);
    memcpy(id_at(list, 0), id, ID);
    list->n++;
}

static struct entry *peek(struct variants *v, struct str name, struct str host)
{
    return l1_peek(v->l1, entry_hash(name, host), name, host);
}

/* The list of what stands under the base name; empty if that is no marker. */
static void read_list(const struct entry *e, struct id_list *out)
{
    out->n = 0;
    if (e == NULL || (e->flags & ENTRY_VARY_MARKER) == 0) {
        return;
    }
    struct str body = entry_body(e);
    if (body.n % ID == 0 && body.n <= (size_t)VARIANTS_MAX * ID) {
        out->n = body.n / ID;
        memcpy(out->ids, body.p, body.n);
    }
}

/* Makes the marker resident with this list; a reference, or NULL. */
static struct entry *put_marker(struct variants *v, struct entry_spec *marker,
                                const struct id_list *list)
{
    marker->body = str_make(list->ids, list->n * ID);
    marker->body_length = marker->body.n;
    struct entry *e = entry_new(marker);
    if (e != NULL) {
        (void)l1_put(v->l1, e);
    }
    return e;
}

static pthread_mutex_t *lock_of(struct variants *v, struct str base, struct str host)
{
    return &v->locks[entry_hash(base, host) % GROUPS];
}

void variants_mark(struct variants *v, const struct entry_spec *marker)
{
    struct entry_spec spec = *marker;
    struct id_list list;
    pthread_mutex_t *lock = lock_of(v, marker->name, marker->host);
    pthread_mutex_lock(lock);
    struct entry *old = peek(v, marker->name, marker->host);
    read_list(old, &list);
    struct entry *e = put_marker(v, &spec, &list);
    pthread_mutex_unlock(lock);
    if (old != NULL) {
        entry_unref(old);
    }
    if (e != NULL) {
        entry_unref(e);
    }
}

/* ---- adding ------------------------------------------------------------------------------ */

static struct str variant_name(struct str base, const char *id, struct arena *a)
{
    return arena_printf(a, "%.*s#%.*s", STR_ARG(base), ID, id);
}

/* The place of the variant that is to go: one that is gone already, else the one used least,
 * of several the one filled longest ago. Never the newest. */
static size_t find_victim(struct variants *v, struct str base, struct str host,
                          struct id_list *list, struct arena *a)
{
    size_t victim = list->n - 1;
    unsigned least = UINT8_MAX + 1u;
    for (size_t i = list->n - 1; i > 0; i--) {
        struct entry *e = peek(v, variant_name(base, id_at(list, i), a), host);
        if (e == NULL) {
            return i;
        }
        unsigned freq = atomic_load_explicit(&e->freq, memory_order_relaxed);
        if (freq < least) {
            least = freq;
            victim = i;
        }
        entry_unref(e);
    }
    return victim;
}

static struct str drop_one(struct variants *v, struct str base, struct str host,
                           struct id_list *list, struct arena *a)
{
    size_t at = find_victim(v, base, host, list, a);
    struct str name = variant_name(base, id_at(list, at), a);
    struct entry *e = peek(v, name, host);
    remove_id(list, at);
    if (e != NULL) {
        l1_remove(v->l1, e);
        entry_unref(e);
    }
    return name;
}

/* The same marker once more, for another list. */
static struct entry_spec spec_of(const struct entry *e)
{
    return (struct entry_spec){
        .name = entry_name(e),
        .host = entry_host(e),
        .scope = e->scope,
        .stamp = e->stamp,
        .flags = e->flags,
        .status = e->status,
        .stored_at = e->stored_at,
        .age_at_store = entry_age_at_store(e),
        .lifetime = entry_lifetime(e),
        .stale = entry_stale(e),
        .stale_if_error = entry_stale_if_error(e),
        .type = entry_type(e),
        .route = entry_route(e),
        .vary = entry_vary(e),
    };
}

struct entry *variants_add(struct variants *v, struct str base, struct str host,
                           struct str name, struct arena *a, struct str *gone)
{
    assert(name.n == base.n + KEY_VARIANT_LEN);
    struct id_list list;
    struct entry *e = NULL;
    *gone = STR_NULL;
    pthread_mutex_t *lock = lock_of(v, base, host);
    pthread_mutex_lock(lock);
    struct entry *old = peek(v, base, host);
    if (old != NULL && (old->flags & ENTRY_VARY_MARKER) != 0) {
        struct entry_spec spec = spec_of(old);
        read_list(old, &list);
        add_first(&list, name.p + name.n - ID);
        if (list.n > VARIANTS_MAX) {
            *gone = drop_one(v, base, host, &list, a);
        }
        e = put_marker(v, &spec, &list);
    }
    pthread_mutex_unlock(lock);
    if (old != NULL) {
        entry_unref(old);
    }
    return e;
}

struct entry *variants_find(struct variants *v, struct str base, struct str host,
                            struct arena *a, bool (*fits)(struct entry *e, void *ctx),
                            void *ctx)
{
    struct id_list list;
    struct entry *marker = peek(v, base, host);
    read_list(marker, &list);
    if (marker != NULL) {
        entry_unref(marker);
    }
    for (size_t i = 0; i < list.n; i++) {
        struct entry *e = peek(v, variant_name(base, id_at(&list, i), a), host);
        if (e != NULL && fits(e, ctx)) {
            return e;
        }
        if (e != NULL) {
            entry_unref(e);
        }
    }
    return NULL;
}
