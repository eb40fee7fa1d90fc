/*
 * One record for each role and server that was ever talked to, with the number of usable
 * connections to it: the first that comes and the last that goes write the line. Under a lock,
 * which is taken at changes only.
 */
#include "cache/redis_health.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define MAX_RECORDS 4096 /* a cluster may change its nodes for ever: then no more lines */

enum known {
    KNOWN_NOTHING,
    KNOWN_UP,
    KNOWN_DOWN,
};

/* A role on a server. */
struct record {
    struct record *next;
    enum redis_role role;
    enum known known; /* what the log says */
    unsigned up;      /* usable connections */
    char server[];
};

struct redis_health {
    atomic_uint refs;
    pthread_mutex_t lock;
    struct record *records; /* under lock */
    size_t n_records;
    char why[160];               /* of the last failure; under lock */
    atomic_uint up[REDIS_ROLES]; /* usable connections of all servers */
    atomic_uint breakers[REDIS_ROLES][REDIS_BREAKER_STATES]; /* CLOSED is not counted */
    atomic_uint refused; /* class of the refusal of writes; REDIS_E_NONE: none */
};

static const char *const role_names[REDIS_ROLES] = {
    [REDIS_DATA] = "entries", [REDIS_JOURNAL] = "journal",     [REDIS_FOLLOW] = "journal reads",
    [REDIS_LEASE] = "leases", [REDIS_WAKE] = "lease wake-ups", [REDIS_LOOK] = "listings",
};

struct redis_health *redis_health_new(void)
{
    struct redis_health *h = xcalloc(1, sizeof(*h));
    atomic_init(&h->refs, 1);
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

struct redis_health *redis_health_ref(struct redis_health *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    return h;
}

void redis_health_unref(struct redis_health *h)
{
    if (h == NULL || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    while (h->records != NULL) {
        struct record *r = h->records;
        h->records = r->next;
        free(r);
    }
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* Under lock. NULL when there are too many. */
static struct record *record_get(struct redis_health *h, enum redis_role role,
                                 const char *server)
{
    struct record *r = h->records;
    while (r != NULL && (r->role != role || strcmp(r->server, server) != 0)) {
        r = r->next;
    }
    if (r == NULL && h->n_records < MAX_RECORDS) {
        size_t n = strlen(server) + 1;
        r = xmalloc(sizeof(*r) + n);
        *r = (struct record){.next = h->records, .role = role};
        memcpy(r->server, server, n);
        h->records = r;
        h->n_records++;
    }
    return r;
}

static void note_down(struct record *r, const char *why)
{
    if (r->known != KNOWN_DOWN && r->up == 0) {
        r->known = KNOWN_DOWN;
        log_warn("Redis (%s): %s is of no use: %s", role_names[r->role], r->server, why);
    }
}

/* Under lock. */
static void keep_why(struct redis_health *h, const char *why)
{
    if (why != NULL) {
        snprintf(h->why, sizeof(h->why), "%s", why);
    }
}

void redis_health_gain(struct redis_health *h, enum redis_role role, const char *server)
{
    atomic_fetch_add_explicit(&h->up[role], 1, memory_order_relaxed);
    pthread_mutex_lock(&h->lock);
    struct record *r = record_get(h, role, server);
    if (r != NULL) {
        r->up++;
        if (r->known != KNOWN_UP) {
            r->known = KNOWN_UP;
            log_info("Redis (%s): %s is usable", role_names[role], server);
        }
    }
    pthread_mutex_unlock(&h->lock);
}

void redis_health_lose(struct redis_health *h, enum redis_role role, const char *server,
                       const char *why)
{
    atomic_fetch_sub_explicit(&h->up[role], 1, memory_order_relaxed);
    pthread_mutex_lock(&h->lock);
    struct record *r = record_get(h, role, server);
    if (r != NULL) {
        r->up -= r->up > 0;
        if (why != NULL) {
            note_down(r, why);
        }
    }
    keep_why(h, why);
    pthread_mutex_unlock(&h->lock);
}

void redis_health_miss(struct redis_health *h, enum redis_role role, const char *server,
                       const char *why)
{
    pthread_mutex_lock(&h->lock);
    struct record *r = record_get(h, role, server);
    if (r != NULL) {
        note_down(r, why);
    }
    keep_why(h, why);
    pthread_mutex_unlock(&h->lock);
}

void redis_health_why(struct redis_health *h, char *out, size_t cap)
{
    pthread_mutex_lock(&h->lock);
    snprintf(out, cap, "%s", h->why);
    pthread_mutex_unlock(&h->lock);
}

bool redis_health_up(const struct redis_health *h, enum redis_role role)
{
    return atomic_load_explicit(&h->up[role], memory_order_relaxed) > 0;
}

void redis_health_breaker(struct redis_health *h, enum redis_role role,
                          enum redis_breaker_state from, enum redis_breaker_state to)
{
    if (from != REDIS_BREAKER_CLOSED) {
        atomic_fetch_sub_explicit(&h->breakers[role][from], 1, memory_order_relaxed);
    }
    if (to != REDIS_BREAKER_CLOSED) {
        atomic_fetch_add_explicit(&h->breakers[role][to], 1, memory_order_relaxed);
    }
}

enum redis_breaker_state redis_health_breakers(const struct redis_health *h,
                                               enum redis_role role)
{
    const atomic_uint *n = h->breakers[role];
    if (atomic_load_explicit(&n[REDIS_BREAKER_OPEN], memory_order_relaxed) > 0) {
        return REDIS_BREAKER_OPEN;
    }
    return atomic_load_explicit(&n[REDIS_BREAKER_HALF_OPEN], memory_order_relaxed) > 0
               ? REDIS_BREAKER_HALF_OPEN
               : REDIS_BREAKER_CLOSED;
}

void redis_health_write_refused(struct redis_health *h, enum redis_error e)
{
    if (atomic_exchange(&h->refused, (unsigned)e) == REDIS_E_NONE) {
        log_warn("Redis takes no writes: %s", redis_error_name(e));
    }
}

void redis_health_write_taken(struct redis_health *h)
{
    if (atomic_load_explicit(&h->refused, memory_order_relaxed) != REDIS_E_NONE &&
        atomic_exchange(&h->refused, REDIS_E_NONE) != REDIS_E_NONE) {
        log_info("Redis takes writes again");
    }
}

enum redis_error redis_health_writes(const struct redis_health *h)
{
    return (enum redis_error)atomic_load_explicit(&h->refused, memory_order_relaxed);
}
