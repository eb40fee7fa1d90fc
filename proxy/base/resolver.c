/*
 * The resolver. Everything is under one lock, which is never held during a lookup. References
 * to the core: the owner, the thread, and each name. References to a name: each add, and the
 * thread while it looks the name up.
 */
#include "base/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define INTERVAL_MS 10000
#define RETRY_MS    2000 /* while a name has no address at all */
#define KICK_MS     1000 /* least time between two lookups of a name */

enum name_state {
    NAME_NEW,
    NAME_GOOD,
    NAME_FAILING,
};

struct resolved {
    struct resolver *resolver;
    struct resolved *next;
    unsigned refs;
    char *host;
    uint16_t port;
    enum name_state state;
    msec_t due;             /* monotonic: next lookup */
    msec_t looked_up;       /* when the last one began */
    struct addr *list;      /* the last good answer, with the port */
    size_t n;               /* addresses in list */
    atomic_uint generation; /* counts changes of list */
};

struct resolver {
    resolver_lookup_fn *lookup;
    msec_t interval;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* to the thread: something is due sooner, or the end */
    pthread_cond_t done; /* to resolver_wait(): a lookup has ended */
    unsigned refs;
    bool stopping;
    struct resolved *names;
    uint32_t random; /* state for the jitter; the thread's */
};

static int lookup_system(const char *host, struct addr *out, size_t max, size_t *n)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    *n = 0;
    int code = getaddrinfo(host, NULL, &hints, &list);
    if (code != 0) {
        return code;
    }
    for (const struct addrinfo *i = list; i != NULL && *n < max; i = i->ai_next) {
        if (i->ai_addrlen <= sizeof(out->u.ss)) {
            memset(&out[*n], 0, sizeof(out[*n]));
            memcpy(&out[*n].u.ss, i->ai_addr, i->ai_addrlen);
            out[(*n)++].len = i->ai_addrlen;
        }
    }
    freeaddrinfo(list);
    return 0;
}

/* ---- lifetime, all under the lock -------------------------------------------------------- */

/* Drops one reference to the core and gives the lock back. */
static void core_unref(struct resolver *r)
{
    bool last = --r->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (last) {
        pthread_cond_destroy(&r->wake);
        pthread_cond_destroy(&r->done);
        pthread_mutex_destroy(&r->lock);
        free(r);
    }
}

/* Drops one reference to a name; true when it is gone and with it a reference to the core. */
static bool name_unref(struct resolver *r, struct resolved *name)
{
    if (--name->refs > 0) {
        return false;
    }
    struct resolved **link = &r->names;
    while (*link != name) {
        link = &(*link)->next;
    }
    *link = name->next;
    free(name->host);
    free(name->list);
    free(name);
    return true;
}

/* ---- the thread -------------------------------------------------------------------------- */

/* An interval of 90 to 110 percent, so that a fleet does not ask in step. */
static msec_t jittered(struct resolver *r, msec_t interval)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 17;
    r->random ^= r->random << 5;
    return interval - interval / 10 + (msec_t)(r->random % (uint64_t)(interval / 5 + 1));
}

static bool list_holds(const struct addr *list, size_t n, const struct addr *a)
{
    for (size_t i = 0; i < n; i++) {
        if (addr_eq(&list[i], a)) {
            return true;
        }
    }
    return false;
}

/* Removes doubles and sets the port; returns how many are left. */
static size_t tidy(struct addr *list, size_t n, uint16_t port)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        addr_set_port(&list[i], port);
        if (!list_holds(list, kept, &list[i])) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

/* A new answer. The same addresses in another order (DNS rotates them) change nothing. */
static void publish(struct resolved *name, const struct addr *list, size_t n)
{
    bool same = n == name->n;
    for (size_t i = 0; i < n && same; i++) {
        same = list_holds(name->list, name->n, &list[i]);
    }
    if (!same) {
        name->list = xrealloc(name->list, n * sizeof(*list));
        memcpy(name->list, list, n * sizeof(*list));
        name->n = n;
        atomic_fetch_add_explicit(&name->generation, 1, memory_order_release);
    }
    if (name->state == NAME_FAILING) {
        log_info("%s resolves again", name->host);
    }
    name->state = NAME_GOOD;
}

static void note_failure(struct resolved *name, int code)
{
    if (name->state != NAME_FAILING) {
        log_warn("cannot resolve %s: %s%s", name->host,
                 code == 0 ? "no address" : gai_strerror(code),
                 name->n > 0 ? "; its last addresses stay in use" : "");
    }
    name->state = NAME_FAILING;
}

/* One lookup; the lock is given up meanwhile. */
static void look_up(struct resolver *r, struct resolved *name)
{
    struct addr list[RESOLVED_MAX];
    size_t n = 0;
    name->refs++;
    name->looked_up = clock_monotonic();
    pthread_mutex_unlock(&r->lock);
    int code = r->lookup(name->host, list, RESOLVED_MAX, &n);
    pthread_mutex_lock(&r->lock);
    if (code == 0 && n > 0) {
        publish(name, list, tidy(list, n, name->port));
    } else {
        note_failure(name, code);
    }
    msec_t interval = name->n == 0 && r->interval > RETRY_MS ? RETRY_MS : r->interval;
    name->due = clock_monotonic() + jittered(r, interval);
    if (name_unref(r, name)) {
        r->refs--; /* never the last: the thread has its own */
    }
    pthread_cond_broadcast(&r->done);
}

static struct resolved *next_due(const struct resolver *r)
{
    struct resolved *first = r->names;
    for (struct resolved *i = r->names; i != NULL; i = i->next) {
        if (i->due < first->due) {
            first = i;
        }
    }
    return first;
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, msec_t when)
{
    struct timespec ts = {.tv_sec = (time_t)(when / 1000),
                          .tv_nsec = (long)(when % 1000) * 1000000};
    pthread_cond_timedwait(cond, lock, &ts);
}

static void *thread_main(void *arg)
{
    struct resolver *r = arg;
    pthread_setname_np(pthread_self(), "resolver");
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        struct resolved *name = next_due(r);
        if (name == NULL) {
            pthread_cond_wait(&r->wake, &r->lock);
        } else if (name->due > clock_monotonic()) {
            wait_until(&r->wake, &r->lock, name->due);
        } else {
            look_up(r, name);
        }
    }
    core_unref(r);
    return NULL;
}

/* A detached thread that takes no signals. */
static bool start_thread(struct resolver *r)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, old;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int number = pthread_create(&thread, &attr, thread_main, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (number != 0) {
        log_error("cannot start the resolver: %s", strerror(number));
    }
    return number == 0;
}

/* ------------------------------------------------------------------------------------------ */

struct resolver *resolver_new_custom(resolver_lookup_fn *lookup, msec_t interval)
{
    struct resolver *r = xcalloc(1, sizeof(*r));
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &attr);
    pthread_cond_init(&r->done, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&r->lock, NULL);
    r->lookup = lookup;
    r->interval = interval;
    r->random = ((uint32_t)clock_wall() ^ (uint32_t)getpid() << 16) | 1;
    r->refs = 2; /* the owner and the thread */
    if (!start_thread(r)) {
        pthread_mutex_lock(&r->lock);
        r->refs = 1;
        core_unref(r);
        return NULL;
    }
    return r;
}

struct resolver *resolver_new(void)
{
    return resolver_new_custom(lookup_system, INTERVAL_MS);
}

void resolver_free(struct resolver *r)
{
    if (r == NULL) {
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->wake);
    pthread_cond_broadcast(&r->done);
    core_unref(r);
}

struct resolved *resolver_add(struct resolver *r, struct str host, uint16_t port)
{
    pthread_mutex_lock(&r->lock);
    struct resolved *name = r->names;
    while (name != NULL && !(name->port == port && str_ieq(str_from(name->host), host))) {
        name = name->next;
    }
    if (name == NULL) {
        name = xcalloc(1, sizeof(*name));
        name->resolver = r;
        name->host = str_dup(host);
        name->port = port;
        name->next = r->names;
        r->names = name;
        r->refs++;
        pthread_cond_signal(&r->wake);
    }
    name->refs++;
    pthread_mutex_unlock(&r->lock);
    return name;
}

void resolver_remove(struct resolver *r, struct resolved *name)
{
    pthread_mutex_lock(&r->lock);
    if (name_unref(r, name)) {
        core_unref(r);
    } else {
        pthread_mutex_unlock(&r->lock);
    }
}

static bool all_tried(const struct resolver *r)
{
    for (const struct resolved *i = r->names; i != NULL; i = i->next) {
        if (i->state == NAME_NEW) {
            return false;
        }
    }
    return true;
}

bool resolver_wait(struct resolver *r, msec_t limit)
{
    msec_t until = clock_monotonic() + limit;
    pthread_mutex_lock(&r->lock);
    while (!all_tried(r) && !r->stopping && clock_monotonic() < until) {
        wait_until(&r->done, &r->lock, until);
    }
    bool all = all_tried(r);
    pthread_mutex_unlock(&r->lock);
    return all;
}

size_t resolved_get(struct resolved *name, struct addr *out, size_t max)
{
    pthread_mutex_lock(&name->resolver->lock);
    size_t n = name->n < max ? name->n : max;
    if (n > 0) {
        memcpy(out, name->list, n * sizeof(*out));
    }
    pthread_mutex_unlock(&name->resolver->lock);
    return n;
}

unsigned resolved_generation(const struct resolved *name)
{
    return atomic_load_explicit(&name->generation, memory_order_acquire);
}

void resolver_kick(struct resolved *name)
{
    struct resolver *r = name->resolver;
    pthread_mutex_lock(&r->lock);
    msec_t soon = name->looked_up + KICK_MS;
    if (soon < name->due) {
        name->due = soon;
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
}
