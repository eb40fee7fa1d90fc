/* Entries: making, counting references, ages. The stored form is entry_codec.c. */
#include "cache/entry.h"

#include <assert.h>
#include <stdlib.h>

#include "base/loop.h"
#include "base/mem.h"
#include "cache/entry_shared.h"
#include "cache/hash.h"

#define SECTION_MAX UINT16_MAX
#define TOTAL_MAX   UINT32_MAX

uint64_t entry_hash(struct str name, struct str host)
{
    /* The host's hash seeds the name's: no separator is needed between the two. */
    return hash_str(name, hash_str(host, hash_seed()));
}

/* Does everything fit the widths of the struct and of the stored form? */
static bool spec_fits(const struct entry_spec *v)
{
    const size_t small[] = {v->name.n, v->host.n,  v->etag.n, v->last_modified.n, v->date.n,
                            v->type.n, v->route.n, v->tags.n, v->vary.n};
    size_t total = 0;
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
        if (small[i] > SECTION_MAX) {
            return false;
        }
        total += small[i];
    }
    if (v->name.n == 0 || v->head.n > TOTAL_MAX || v->body.n > TOTAL_MAX ||
        v->body_length > TOTAL_MAX) {
        return false;
    }
    return total + v->head.n + v->body.n + sizeof(struct entry) <= TOTAL_MAX;
}

/* Units of 10 ms; `up` rounds up. */
static uint32_t to_10ms(msec_t t, bool up)
{
    if (t <= 0) {
        return 0;
    }
    uint64_t units = (uint64_t)t / 10 + (up && t % 10 != 0 ? 1 : 0);
    return units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
}

static char *put(char *at, struct str s)
{
    if (s.n > 0) {
        memcpy(at, s.p, s.n);
    }
    return at + s.n;
}

/* Where the value stands in the head, or false. */
static bool find_in_head(struct str head, struct str value, size_t *at)
{
    const char *p = value.n > 0 && head.n > 0 ? memmem(head.p, head.n, value.p, value.n) : NULL;
    if (p != NULL) {
        *at = (size_t)(p - head.p);
    }
    return p != NULL;
}

static void fill_fields(struct entry *e, const struct entry_spec *v)
{
    atomic_init(&e->refs, 1);
    atomic_init(&e->hits, 0);
    atomic_init(&e->valid_gen, 0);
    atomic_init(&e->freq, 0);
    e->hash = entry_hash(v->name, v->host);
    e->l1_next = e->q_prev = e->q_next = NULL;
    e->q = 0;
    e->spare = 0;
    e->shared = entry_shared_get(v->host, v->type, v->route, v->vary);
    e->status = v->status > 0 && v->status <= 999 ? (uint16_t)v->status : 0;
    e->flags = (uint16_t)(v->flags & ENTRY_FLAGS_ALL);
    e->coding = (uint8_t)v->coding;
    e->stored_at = v->stored_at;
    e->age_10ms = to_10ms(v->age_at_store, true);
    e->lifetime_10ms = to_10ms(v->lifetime, false);
    e->stale_10ms = to_10ms(v->stale, false);
    e->stale_if_error_10ms = to_10ms(v->stale_if_error, false);
    e->body_length = (uint32_t)(v->coding == ENTRY_IDENTITY ? v->body.n : v->body_length);
    e->scope = v->scope;
    e->stamp = v->stamp;
}

struct entry *entry_new(const struct entry_spec *v)
{
    if (!spec_fits(v)) {
        return NULL;
    }
    size_t date_at = 0;
    size_t modified_at = 0;
    bool date_in_head = find_in_head(v->head, v->date, &date_at);
    bool modified_in_head = find_in_head(v->head, v->last_modified, &modified_at);
    size_t n = v->name.n + v->head.n + v->body.n + v->etag.n + v->tags.n +
               (date_in_head ? 0 : v->date.n) + (modified_in_head ? 0 : v->last_modified.n);

    /* The size is the origin's choice but below max_object, which the caller has checked. */
    struct entry *e = xmalloc(offsetof(struct entry, bytes) + n);
    fill_fields(e, v);
    e->name_n = (uint32_t)v->name.n;
    e->head_n = (uint32_t)v->head.n;
    e->body_n = (uint32_t)v->body.n;
    e->etag_n = (uint16_t)v->etag.n;
    e->tags_n = (uint16_t)v->tags.n;
    e->date_n = (uint16_t)v->date.n;
    e->modified_n = (uint16_t)v->last_modified.n;
    char *at = put(put(e->bytes, v->name), v->head);
    at = put(put(put(at, v->body), v->etag), v->tags);
    e->date_at = (uint32_t)(date_in_head ? v->name.n + date_at : (size_t)(at - e->bytes));
    at = date_in_head ? at : put(at, v->date);
    e->modified_at =
        (uint32_t)(modified_in_head ? v->name.n + modified_at : (size_t)(at - e->bytes));
    at = modified_in_head ? at : put(at, v->last_modified);
    assert((size_t)(at - e->bytes) == n);
    return e;
}

struct entry *entry_ref(struct entry *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void entry_unref(struct entry *e)
{
    unsigned before = atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        entry_shared_put(e->shared);
        free(e);
    }
}

size_t entry_bytes(const struct entry *e)
{
    size_t end = (size_t)e->name_n + e->head_n + e->body_n + e->etag_n + e->tags_n;
    size_t date_end = (size_t)e->date_at + e->date_n;
    size_t modified_end = (size_t)e->modified_at + e->modified_n;
    end = date_end > end ? date_end : end;
    return modified_end > end ? modified_end : end;
}

size_t entry_size(const struct entry *e)
{
    return offsetof(struct entry, bytes) + entry_bytes(e) + entry_shared_cost(e->shared);
}

struct str entry_base_name(struct str name)
{
    const char *mark = name.n > 0 ? memchr(name.p, '#', name.n) : NULL;
    return mark != NULL ? str_make(name.p, (size_t)(mark - name.p)) : name;
}

msec_t entry_age(const struct entry *e, msec_t now)
{
    /* A clock that was set back, here or on the node that stored it, adds no negative age. */
    msec_t resident = now > e->stored_at ? now - e->stored_at : 0;
    return entry_age_at_store(e) + resident;
}

uint64_t entry_age_field(msec_t age)
{
    return age > 0 ? (uint64_t)(age + LOOP_COARSE_MS) / 1000 : 0;
}

enum entry_freshness entry_freshness(const struct entry *e, msec_t now)
{
    msec_t past = entry_age(e, now) - entry_lifetime(e);
    if (past < 0) {
        return ENTRY_FRESH; /* RFC 9111 4.2 */
    }
    if (e->flags & ENTRY_MUST_REVALIDATE) {
        return ENTRY_EXPIRED; /* RFC 9111 4.2.4 */
    }
    if (past < entry_stale(e)) {
        return ENTRY_STALE_USABLE;
    }
    return past < entry_stale_if_error(e) ? ENTRY_STALE_IF_ERROR : ENTRY_EXPIRED;
}
