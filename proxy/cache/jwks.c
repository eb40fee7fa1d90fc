/*
 * Sources of keys and the thread that refetches those with a URL.
 *
 * Sharing: `current` of a source is swapped and referenced under the lock; `generation` is
 * stored after the swap, so that a reader of a new generation finds the new set. All else of a
 * source belongs to the thread once it runs, apart from what a request may ask (`wanted`).
 */
#include "cache/jwks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/jwks_fetch.h"

#define DIGEST_BYTES 32

/* One jwt directive's keys. */
struct source {
    const struct jwt_settings *jwt;
    struct jwk_set *current;      /* under jwks.lock; NULL until the first fetch succeeded */
    _Atomic uint64_t generation;  /* of current; 0 when NULL */
    struct jwks_fetch *fetch;     /* NULL unless the source is a URL */
    atomic_bool wanted;           /* a request asked for an early fetch */
    _Atomic msec_t want_from;     /* monotonic time from which it may ask again */
    msec_t next;                  /* monotonic time of the next fetch */
    bool running;                 /* the fetch is under way */
    unsigned failures;            /* consecutive failed fetches */
    uint8_t digest[DIGEST_BYTES]; /* SHA-256 of the last set, to see whether it changed */
};

struct jwks {
    struct jwks_timing timing;
    struct source *sources; /* by jwt index */
    size_t n;
    pthread_mutex_t lock; /* guards sources[].current */
    CURLM *multi;         /* NULL without a URL */
    pthread_t thread;     /* runs while multi is there and started is set */
    bool started;
    atomic_bool stop;
};

const struct jwks_timing jwks_timing_default = {
    .period = 600 * 1000,
    .period_min = 60 * 1000,
    .period_max = 86400 * 1000,
    .retry_min = 1000,
    .retry_max = 60 * 1000,
    .early_gap = 10 * 1000,
    .connect_timeout = 2000,
    .total_timeout = 5000,
};

static _Atomic uint64_t last_generation;

/* ---- sets in use ------------------------------------------------------------------------ */

/* Puts a set into use and takes over the caller's reference. `first`: only if there is none. */
static void source_publish(struct jwks *k, struct source *s, struct jwk_set *set, bool first)
{
    pthread_mutex_lock(&k->lock);
    struct jwk_set *unused = set;
    if (!first || s->current == NULL) {
        unused = s->current;
        s->current = set;
        atomic_store_explicit(&s->generation, atomic_fetch_add(&last_generation, 1) + 1,
                              memory_order_release);
    }
    pthread_mutex_unlock(&k->lock);
    jwk_set_unref(unused);
}

uint64_t jwks_generation(const struct jwks *k, unsigned index)
{
    return atomic_load_explicit(&k->sources[index].generation, memory_order_acquire);
}

struct jwk_set *jwks_get(struct jwks *k, unsigned index, uint64_t *generation)
{
    struct source *s = &k->sources[index];
    pthread_mutex_lock(&k->lock);
    struct jwk_set *set = s->current != NULL ? jwk_set_ref(s->current) : NULL;
    *generation = atomic_load_explicit(&s->generation, memory_order_relaxed);
    pthread_mutex_unlock(&k->lock);
    return set;
}

void jwks_adopt(struct jwks *k, struct jwks *old)
{
    for (size_t i = 0; i < k->n; i++) {
        struct source *s = &k->sources[i];
        for (unsigned j = 0; s->fetch != NULL && j < old->n; j++) {
            uint64_t generation;
            if (old->sources[j].fetch == NULL ||
                !str_eq(old->sources[j].jwt->jwks, s->jwt->jwks)) {
                continue;
            }
            struct jwk_set *set = jwks_get(old, j, &generation);
            if (set != NULL) {
                source_publish(k, s, set, true);
            }
        }
    }
}

bool jwks_want(struct jwks *k, unsigned index)
{
    struct source *s = &k->sources[index];
    if (s->fetch == NULL) {
        return false;
    }
    msec_t now = clock_monotonic();
    msec_t from = atomic_load_explicit(&s->want_from, memory_order_relaxed);
    if (now >= from &&
        atomic_compare_exchange_strong(&s->want_from, &from, now + k->timing.early_gap)) {
        atomic_store(&s->wanted, true);
        curl_multi_wakeup(k->multi);
    }
    return true;
}

/* ---- the thread ------------------------------------------------------------------------- */

/* A time between `span - span / part` and `span`, so that many nodes do not ask at once. */
static msec_t spread(msec_t span, msec_t part)
{
    uint32_t random = 0;
    (void)RAND_bytes((unsigned char *)&random, sizeof(random));
    return span - (msec_t)(random % (uint32_t)(span / part + 1));
}

static msec_t clamp(msec_t v, msec_t low, msec_t high)
{
    return v < low ? low : v > high ? high : v;
}

static void source_failed(struct jwks *k, struct source *s, const char *why)
{
    msec_t pause = k->timing.retry_max;
    if (s->failures < 16) {
        pause = clamp(k->timing.retry_min << s->failures, 0, k->timing.retry_max);
    }
    if (s->failures++ == 0) {
        log_warn("jwt %.*s: no keys from its JWK set URL: %s; %s", STR_ARG(s->jwt->name), why,
                 atomic_load(&s->generation) != 0 ? "the last ones stay in use"
                                                  : "its tokens cannot be verified yet");
    }
    s->next = clock_monotonic() + spread(pause, 2);
}

static size_t usable_keys(const struct source *s, const struct jwk_set *set)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        n += (set->keys[i].algs & s->jwt->algs) != 0;
    }
    return n;
}

/* A whole answer: puts its keys into use if they are others than before. */
static void source_loaded(struct jwks *k, struct source *s, struct str body, msec_t max_age)
{
    uint8_t digest[DIGEST_BYTES] = {0};
    const char *why = NULL;
    struct jwk_set *set = jwk_set_parse(body, &why);
    if (set == NULL) {
        source_failed(k, s, why);
        return;
    }
    if (s->failures > 0) {
        log_info("jwt %.*s: its JWK set URL answers again", STR_ARG(s->jwt->name));
    }
    s->failures = 0;
    msec_t period = max_age < 0 ? k->timing.period
                                : clamp(max_age, k->timing.period_min, k->timing.period_max);
    s->next = clock_monotonic() + spread(period, 10);
    if (EVP_Digest(body.p, body.n, digest, NULL, EVP_sha256(), NULL) == 1 &&
        memcmp(digest, s->digest, DIGEST_BYTES) == 0) {
        jwk_set_unref(set);
        return;
    }
    memcpy(s->digest, digest, DIGEST_BYTES);
    size_t usable = usable_keys(s, set);
    log_at(usable > 0 ? LOG_INFO : LOG_WARN,
           "jwt %.*s: %zu usable keys in its JWK set, %zu skipped%s%s", STR_ARG(s->jwt->name),
           usable, set->skipped, set->skipped_why != NULL ? ", the first: " : "",
           set->skipped_why != NULL ? set->skipped_why : "");
    source_publish(k, s, set, false);
}

static void reap(struct jwks *k)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(k->multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode code = m->data.result; /* m dies with the removal */
        struct source *s = jwks_fetch_owner(m->easy_handle);
        struct jwks_fetch_result result;
        jwks_fetch_stop(s->fetch, k->multi);
        s->running = false;
        jwks_fetch_read(s->fetch, code, &result);
        if (result.ok) {
            source_loaded(k, s, result.body, result.max_age);
        } else {
            source_failed(k, s, result.why);
        }
    }
}

/* Starts what is due; returns the milliseconds until something else will be, 0 to run it. */
static msec_t start_due(struct jwks *k)
{
    msec_t now = clock_monotonic();
    msec_t wait = k->timing.period_max;
    for (size_t i = 0; i < k->n; i++) {
        struct source *s = &k->sources[i];
        if (s->fetch == NULL || s->running) {
            continue;
        }
        if (atomic_exchange(&s->wanted, false) && s->failures == 0) {
            s->next = now;
        }
        if (s->next <= now) {
            s->running = true;
            jwks_fetch_start(s->fetch, k->multi);
            wait = 0;
        } else if (s->next - now < wait) {
            wait = s->next - now;
        }
    }
    return wait;
}

static void *fetch_thread(void *arg)
{
    struct jwks *k = arg;
    while (!atomic_load(&k->stop)) {
        int running;
        curl_multi_perform(k->multi, &running);
        reap(k);
        msec_t wait = start_due(k);
        /* curl cuts this short for its own timeouts, and for curl_multi_wakeup(). */
        curl_multi_poll(k->multi, NULL, 0, (int)clamp(wait, 0, 3600 * 1000), NULL);
    }
    for (size_t i = 0; i < k->n; i++) {
        if (k->sources[i].running) {
            jwks_fetch_stop(k->sources[i].fetch, k->multi);
        }
    }
    return NULL;
}

/* Signals are the main thread's. */
static bool thread_start(struct jwks *k)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    k->started = pthread_create(&k->thread, NULL, fetch_thread, k) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (k->started) {
        pthread_setname_np(k->thread, "jwks");
    }
    return k->started;
}

/* ---- loading ---------------------------------------------------------------------------- */

static bool is_url(struct str s)
{
    return (s.n > 7 && str_ieq(str_make(s.p, 7), STR("http://"))) ||
           (s.n > 8 && str_ieq(str_make(s.p, 8), STR("https://")));
}

/* Plain http to another machine. */
static bool is_open_http(struct str url)
{
    static const struct str local[] = {{"127.", 4}, {"localhost", 9}, {"[::1]", 5}};
    struct str host = str_skip(url, 7);
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (str_starts(host, local[i])) {
            return false;
        }
    }
    return str_ieq(str_make(url.p, 7), STR("http://"));
}

/* Reads a file of at most JWK_SET_MAX_BYTES; false with a text in *why. */
static bool file_read(struct str path, struct strbuf *out, const char **why)
{
    char *name = str_dup(path);
    FILE *file = fopen(name, "re");
    free(name);
    if (file == NULL) {
        *why = strerror(errno);
        return false;
    }
    strbuf_reserve(out, JWK_SET_MAX_BYTES + 1);
    out->n = fread(out->p, 1, JWK_SET_MAX_BYTES + 1, file);
    bool ok = ferror(file) == 0 && out->n <= JWK_SET_MAX_BYTES;
    *why = ferror(file) != 0 ? strerror(errno) : "it is larger than 256 KiB";
    fclose(file);
    return ok;
}

/* The set of a source that is not a URL; NULL with a text in *why. */
static struct jwk_set *local_load(const struct source *s, const char **why)
{
    const struct jwt_settings *jwt = s->jwt;
    if (jwt->secret.n > 0) {
        return jwk_set_from_secret(jwt->secret, why);
    }
    bool pem = jwt->key_file.n > 0;
    struct strbuf text = {0};
    struct jwk_set *set = NULL;
    if (file_read(pem ? jwt->key_file : jwt->jwks, &text, why)) {
        set = pem ? jwk_set_from_pem(strbuf_str(&text), why)
                  : jwk_set_parse(strbuf_str(&text), why);
    }
    strbuf_free(&text);
    if (set != NULL && usable_keys(s, set) == 0) {
        *why = set->skipped_why != NULL ? set->skipped_why : "it has no key for this alg";
        jwk_set_unref(set);
        return NULL;
    }
    return set;
}

static bool source_init(struct jwks *k, struct source *s, const struct jwt_settings *jwt,
                        const char **why)
{
    s->jwt = jwt;
    if (jwt->secret.n == 0 && jwt->key_file.n == 0 && is_url(jwt->jwks)) {
        if (is_open_http(jwt->jwks)) {
            log_warn("jwt %.*s: its JWK set comes over plain http: whoever is on the way can "
                     "forge tokens",
                     STR_ARG(jwt->name));
        }
        s->fetch =
            jwks_fetch_new(jwt->jwks, k->timing.connect_timeout, k->timing.total_timeout, s);
        return true;
    }
    struct jwk_set *set = local_load(s, why);
    if (set != NULL) {
        source_publish(k, s, set, false);
    }
    return set != NULL;
}

static const char *error_text(const struct jwt_settings *jwt, const char *why)
{
    static _Thread_local char text[512];
    const char *what = jwt->secret.n > 0 ? "secret" : jwt->key_file.n > 0 ? "key_file" : "jwks";
    struct str file = jwt->key_file.n > 0 ? jwt->key_file : jwt->jwks;
    snprintf(text, sizeof(text), "jwt %.*s: %s%s%.*s: %s", STR_ARG(jwt->name), what,
             jwt->secret.n > 0 ? "" : " ", jwt->secret.n > 0 ? 0 : (int)file.n, file.p, why);
    return text;
}

static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct jwks *jwks_new(const struct settings *settings, const struct jwks_timing *timing,
                      const char **error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct jwks *k = xcalloc(1, sizeof(*k));
    k->timing = *timing;
    pthread_mutex_init(&k->lock, NULL);
    k->sources = xcalloc(settings->n_jwts, sizeof(*k->sources));
    k->n = settings->n_jwts;
    bool fetches = false;
    pthread_once(&once, curl_start);
    for (size_t i = 0; i < k->n; i++) {
        const char *why = NULL;
        if (!source_init(k, &k->sources[i], &settings->jwts[i], &why)) {
            *error = error_text(&settings->jwts[i], why);
            jwks_free(k);
            return NULL;
        }
        fetches = fetches || k->sources[i].fetch != NULL;
    }
    if (fetches) {
        k->multi = curl_multi_init();
        if (k->multi == NULL || !thread_start(k)) {
            *error = "the thread that fetches JWK sets cannot be started";
            jwks_free(k);
            return NULL;
        }
    }
    return k;
}

void jwks_free(struct jwks *k)
{
    if (k == NULL) {
        return;
    }
    if (k->started) {
        atomic_store(&k->stop, true);
        curl_multi_wakeup(k->multi);
        pthread_join(k->thread, NULL);
    }
    for (size_t i = 0; i < k->n; i++) {
        jwks_fetch_free(k->sources[i].fetch);
        jwk_set_unref(k->sources[i].current);
    }
    if (k->multi != NULL) {
        curl_multi_cleanup(k->multi);
    }
    pthread_mutex_destroy(&k->lock);
    free(k->sources);
    free(k);
}
