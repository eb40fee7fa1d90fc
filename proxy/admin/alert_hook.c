/*
 * The thread that delivers. Others only append to `inbox` under the lock and wake it; receivers
 * and their queues belong to the thread. A receiver goes when its queue is empty.
 *
 *   post -> inbox -> receiver.queue -> one transfer -+- 2xx ------------------> delivered
 *                        ^                           +- 408, 429, 5xx, none --> pause, again
 *                        +---------------------------+- others ---------------> lost
 */
#include "admin/alert_hook.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <curl/curl.h>
#include <openssl/rand.h>

#include "admin/alert_event.h"
#include "base/log.h"
#include "base/mem.h"

#define IDLE_MS 3600000 /* longest sleep; posts end it */

/* One event on its way. */
struct delivery {
    struct delivery *next;
    char *url;
    char *secret; /* with its length, may hold any byte */
    size_t secret_len;
    char *alert;
    char id[ALERT_ID_MAX];
    struct strbuf body;
    unsigned attempts;
};

/* Where events go, while there are any. */
struct receiver {
    struct receiver *next;
    struct delivery *queue; /* the first one is the one under way */
    size_t n;
    msec_t due;  /* monotonic time of the next attempt */
    bool silent; /* its failing was logged */
    bool running;
    CURL *easy;
    struct curl_slist *fields; /* of the transfer under way */
    char why[CURL_ERROR_SIZE];
};

struct alert_hook {
    struct alert_hook_timing timing;
    pthread_mutex_t lock;
    struct delivery *inbox;     /* under lock, newest first */
    struct receiver *receivers; /* the thread's, as all below but the counts */
    CURLM *multi;
    pthread_t thread;
    bool started;
    atomic_bool stop;
    _Atomic uint64_t counts[ALERT_HOOK_COUNTERS];
};

const struct alert_hook_timing alert_hook_timing_default = {
    .connect_timeout = 3000,
    .total_timeout = 10000,
    .retry_min = 1000,
    .retry_max = 300 * 1000,
    .attempts = 16, /* about an hour */
    .queue = 64,
};

/* ---- deliveries -------------------------------------------------------------------------- */

static void delivery_free(struct delivery *d)
{
    free(d->url);
    free(d->secret);
    free(d->alert);
    strbuf_free(&d->body);
    free(d);
}

/* Drops the first event that is not under way. */
static void drop_oldest(struct alert_hook *h, struct receiver *r)
{
    struct delivery **at = r->running ? &r->queue->next : &r->queue;
    struct delivery *d = *at;
    log_warn("alert %s: %u events wait for its webhook already: the oldest is lost", d->alert,
             h->timing.queue);
    *at = d->next;
    r->n--;
    delivery_free(d);
    atomic_fetch_add(&h->counts[ALERT_HOOK_DROPPED], 1);
}

static void finish_first(struct receiver *r)
{
    struct delivery *d = r->queue;
    r->queue = d->next;
    r->n--;
    delivery_free(d);
}

/* ---- receivers --------------------------------------------------------------------------- */

static bool same_receiver(const struct receiver *r, const struct delivery *d)
{
    const struct delivery *first = r->queue;
    return first != NULL && strcmp(first->url, d->url) == 0 &&
           first->secret_len == d->secret_len &&
           memcmp(first->secret, d->secret, d->secret_len) == 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * n; /* what it says does not matter, its status does */
}

static CURL *easy_new(const struct alert_hook *h, struct receiver *r, const char *url)
{
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        abort(); /* out of memory, as base/mem does */
    }
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
                     strncmp(url, "https:", 6) == 0 ? "https" : "http");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)h->timing.connect_timeout);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)h->timing.total_timeout);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "larder/" LARDER_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->why);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
    return easy;
}

static struct receiver *receiver_of(struct alert_hook *h, const struct delivery *d)
{
    struct receiver *r = h->receivers;
    while (r != NULL && !same_receiver(r, d)) {
        r = r->next;
    }
    if (r == NULL) {
        r = xcalloc(1, sizeof(*r));
        r->easy = easy_new(h, r, d->url);
        r->next = h->receivers;
        h->receivers = r;
    }
    return r;
}

/* Sorts the inbox, which is newest first, into the receivers' queues. */
static void take_inbox(struct alert_hook *h)
{
    pthread_mutex_lock(&h->lock);
    struct delivery *newest = h->inbox;
    h->inbox = NULL;
    pthread_mutex_unlock(&h->lock);
    struct delivery *list = NULL;
    while (newest != NULL) {
        struct delivery *d = newest;
        newest = d->next;
        d->next = list;
        list = d;
    }
    while (list != NULL) {
        struct delivery *d = list;
        struct receiver *r = receiver_of(h, d);
        struct delivery **tail = &r->queue;
        list = d->next;
        d->next = NULL;
        if (r->n >= h->timing.queue) {
            drop_oldest(h, r);
        }
        while (*tail != NULL) {
            tail = &(*tail)->next;
        }
        *tail = d;
        r->n++;
    }
}

static void receiver_stop(struct alert_hook *h, struct receiver *r)
{
    if (r->running) {
        curl_multi_remove_handle(h->multi, r->easy);
        r->running = false;
    }
    curl_slist_free_all(r->fields);
    r->fields = NULL;
}

static void receiver_free(struct alert_hook *h, struct receiver *r)
{
    receiver_stop(h, r);
    curl_easy_cleanup(r->easy);
    while (r->queue != NULL) {
        finish_first(r);
    }
    free(r);
}

/* ---- transfers --------------------------------------------------------------------------- */

static void add_field(struct receiver *r, const char *line)
{
    struct curl_slist *grown = curl_slist_append(r->fields, line);
    if (grown == NULL) {
        abort();
    }
    r->fields = grown;
}

/* Signed anew at each attempt, so that a receiver may refuse what is old. */
static void add_signature(struct receiver *r, const struct delivery *d)
{
    char stamp[24];
    char line[160];
    char signature[ALERT_SIGNATURE_MAX];
    snprintf(stamp, sizeof(stamp), "%lld", (long long)(clock_wall() / 1000));
    snprintf(line, sizeof(line), "Larder-Timestamp: %s", stamp);
    add_field(r, line);
    if (d->secret_len > 0) {
        alert_event_sign(str_make(d->secret, d->secret_len), str_from(stamp),
                         strbuf_str(&d->body), signature);
        snprintf(line, sizeof(line), "Larder-Signature: %s", signature);
        add_field(r, line);
    }
    snprintf(line, sizeof(line), "Larder-Event-Id: %s", d->id);
    add_field(r, line);
}

static void receiver_start(struct alert_hook *h, struct receiver *r)
{
    struct delivery *d = r->queue;
    d->attempts++;
    r->why[0] = '\0';
    add_field(r, "Content-Type: application/json");
    add_field(r, "Expect:");
    add_signature(r, d);
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->fields);
    curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE, (long)d->body.n);
    curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, d->body.p);
    curl_multi_add_handle(h->multi, r->easy);
    r->running = true;
}

/* Half of it certain, half random, so that nodes do not come all at once. */
static msec_t retry_pause(const struct alert_hook *h, unsigned attempts)
{
    msec_t pause = h->timing.retry_max;
    uint32_t random = 0;
    if (attempts <= 16 && (h->timing.retry_min << (attempts - 1)) < pause) {
        pause = h->timing.retry_min << (attempts - 1);
    }
    (void)RAND_bytes((unsigned char *)&random, sizeof(random));
    return pause / 2 + (msec_t)(random % (uint32_t)(pause / 2 + 1));
}

static void delivered(struct alert_hook *h, struct receiver *r)
{
    atomic_fetch_add(&h->counts[ALERT_HOOK_SENT], 1);
    if (r->silent) {
        log_info("alert %s: its webhook answers again", r->queue->alert);
    }
    r->silent = false;
    r->due = 0;
    finish_first(r);
}

/* `again`: it may go better later. */
static void failed(struct alert_hook *h, struct receiver *r, bool again, const char *why)
{
    struct delivery *d = r->queue;
    atomic_fetch_add(&h->counts[ALERT_HOOK_FAILED], 1);
    if (again && d->attempts < h->timing.attempts) {
        if (!r->silent) {
            log_warn("alert %s: its webhook fails: %s; trying again", d->alert, why);
            r->silent = true;
        }
        r->due = clock_monotonic() + retry_pause(h, d->attempts);
        return;
    }
    log_error("alert %s: its webhook was not delivered: %s", d->alert, why);
    atomic_fetch_add(&h->counts[ALERT_HOOK_DROPPED], 1);
    r->due = 0;
    finish_first(r);
}

static void receiver_ended(struct alert_hook *h, struct receiver *r, CURLcode code)
{
    long status = 0;
    char why[64];
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    receiver_stop(h, r);
    if (status >= 200 && status < 300) {
        delivered(h, r);
    } else if (code != CURLE_OK) {
        failed(h, r, true, r->why[0] != '\0' ? r->why : curl_easy_strerror(code));
    } else {
        snprintf(why, sizeof(why), "the answer's status is %ld%s", status,
                 status >= 300 && status < 400 ? ", and redirects are not followed" : "");
        failed(h, r, status == 408 || status == 429 || status >= 500, why);
    }
}

static void reap(struct alert_hook *h)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode code = m->data.result; /* m dies with the removal */
        void *owner = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &owner);
        receiver_ended(h, owner, code);
    }
}

/* ---- the thread -------------------------------------------------------------------------- */

/* Starts what is due, drops idle receivers; the milliseconds until something else is due. */
static msec_t start_due(struct alert_hook *h)
{
    msec_t now = clock_monotonic();
    msec_t wait = IDLE_MS;
    for (struct receiver **at = &h->receivers; *at != NULL;) {
        struct receiver *r = *at;
        if (r->queue == NULL) {
            *at = r->next;
            receiver_free(h, r);
            continue;
        }
        if (!r->running && r->due <= now) {
            receiver_start(h, r);
            wait = 0;
        } else if (!r->running && r->due - now < wait) {
            wait = r->due - now;
        }
        at = &r->next;
    }
    return wait;
}

static void *hook_thread(void *arg)
{
    struct alert_hook *h = arg;
    while (!atomic_load(&h->stop)) {
        int running;
        take_inbox(h);
        msec_t wait = start_due(h);
        curl_multi_perform(h->multi, &running);
        reap(h);
        /* What has just ended may have another one waiting behind it. */
        msec_t next = start_due(h);
        wait = next < wait ? next : wait;
        curl_multi_poll(h->multi, NULL, 0, (int)wait, NULL);
    }
    return NULL;
}

/* Signals are the main thread's. */
static bool thread_start(struct alert_hook *h)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    h->started = pthread_create(&h->thread, NULL, hook_thread, h) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (h->started) {
        pthread_setname_np(h->thread, "alerts");
    }
    return h->started;
}

static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct alert_hook *alert_hook_new(const struct alert_hook_timing *timing)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct alert_hook *h = xcalloc(1, sizeof(*h));
    h->timing = *timing;
    pthread_mutex_init(&h->lock, NULL);
    pthread_once(&once, curl_start);
    h->multi = curl_multi_init();
    if (h->multi == NULL || !thread_start(h)) {
        log_error("the thread that delivers alerts cannot be started");
        alert_hook_free(h);
        return NULL;
    }
    return h;
}

void alert_hook_free(struct alert_hook *h)
{
    if (h == NULL) {
        return;
    }
    if (h->started) {
        atomic_store(&h->stop, true);
        curl_multi_wakeup(h->multi);
        pthread_join(h->thread, NULL);
        take_inbox(h);
    }
    size_t waiting = 0;
    while (h->receivers != NULL) {
        struct receiver *r = h->receivers;
        h->receivers = r->next;
        waiting += r->n;
        receiver_free(h, r);
    }
    if (waiting > 0) {
        log_warn("%zu alert%s had not been delivered", waiting, waiting == 1 ? "" : "s");
    }
    if (h->multi != NULL) {
        curl_multi_cleanup(h->multi);
    }
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void alert_hook_post(struct alert_hook *h, struct str url, struct str secret, struct str alert,
                     const char *id, struct str body)
{
    struct delivery *d = xcalloc(1, sizeof(*d));
    d->url = str_dup(url);
    d->secret = str_dup(secret);
    d->secret_len = secret.n;
    d->alert = str_dup(alert);
    snprintf(d->id, sizeof(d->id), "%s", id);
    strbuf_add_str(&d->body, body);
    pthread_mutex_lock(&h->lock);
    d->next = h->inbox;
    h->inbox = d;
    pthread_mutex_unlock(&h->lock);
    curl_multi_wakeup(h->multi);
}

uint64_t alert_hook_count(const struct alert_hook *h, enum alert_hook_counter which)
{
    return atomic_load(&h->counts[which]);
}
