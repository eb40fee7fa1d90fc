/*
 * Construction and end of what lives as long as the process (node) and as long as one
 * configuration (runtime).
 */
#include "flow/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <xxhash.h>

#include "base/mem.h"
#include "cache/variants.h"
#include "flow/accesslog.h"
#include "flow/flight.h"
#include "flow/ip_count.h"

/* Distinct invalidation patterns kept before the oldest are coarsened: some 20 MB at most. */
#define JOURNAL_PATTERNS 100000

/* ---- node ------------------------------------------------------------------------------- */

static uint64_t largest_object(const struct settings *s)
{
    int64_t max = 1;
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct site_settings *site = &s->sites[i];
        for (size_t k = 0; k < site->n_routes; k++) {
            int64_t size = site->routes[k].cached ? site->routes[k].max_object : 0;
            /* "No limit" says nothing about what comes: the memory's own bound decides. */
            if (size > max && size != SETTINGS_UNLIMITED) {
                max = size;
            }
        }
    }
    return (uint64_t)max;
}

static void set_hash_key(struct node *n, struct str secret)
{
    unsigned length = sizeof(n->hash_key);
    bool ok = secret.n > 0 ? EVP_Digest(secret.p, secret.n, n->hash_key, &length, EVP_sha256(),
                                        NULL) == 1
                           : RAND_bytes(n->hash_key, sizeof(n->hash_key)) == 1;
    if (!ok) {
        /* Without it tenants could not be told apart safely; as fatal as memory running out. */
        fputs("larder: OpenSSL gives no random bytes or no SHA-256\n", stderr);
        abort();
    }
}

struct node *node_new(const struct settings *settings, struct resolver *resolver)
{
    struct node *n = xcalloc(1, sizeof(*n));
    n->l1 = l1_new(settings->memory, largest_object(settings));
    n->variants = variants_new(n->l1);
    n->journal = journal_new(JOURNAL_PATTERNS);
    n->flights = flight_table_new();
    n->peers = ip_count_new();
    n->stats = stats_new();
    n->resolver = resolver;
    set_hash_key(n, settings->hash_key);
    return n;
}

void node_free(struct node *n)
{
    flight_table_free(n->flights);
    variants_free(n->variants);
    l1_free(n->l1);
    journal_free(n->journal);
    ip_count_free(n->peers);
    stats_free(n->stats);
    OPENSSL_cleanse(n->hash_key, sizeof(n->hash_key));
    free(n);
}

/* ---- runtime ---------------------------------------------------------------------------- */

static bool wants_tls(const struct settings *s)
{
    for (size_t i = 0; i < s->n_listens; i++) {
        if (s->listens[i].tls) {
            return true;
        }
    }
    return false;
}

static size_t count_certs(const struct settings *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_sites; i++) {
        n += s->sites[i].n_certs;
    }
    return n;
}

/* One tls_server with the certificates of all sites, in the order of the file. */
static struct tls_server *make_tls(const struct settings *s, char *error, size_t cap)
{
    size_t total = count_certs(s), n = 0;
    if (total == 0) {
        snprintf(error, cap, "`listen … tls` needs a certificate: tls CERT_FILE KEY_FILE");
        return NULL;
    }
    struct tls_cert *certs = xcalloc(total, sizeof(*certs));
    char **paths = xcalloc(total, 2 * sizeof(char *));
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct site_settings *site = &s->sites[i];
        for (size_t k = 0; k < site->n_certs; k++, n++) {
            paths[2 * n] = str_dup(site->certs[k].cert_file);
            paths[2 * n + 1] = str_dup(site->certs[k].key_file);
            certs[n] = (struct tls_cert){paths[2 * n], paths[2 * n + 1], site->hosts.list,
                                         site->hosts.n};
        }
    }
    struct tls_server *tls = tls_server_new(certs, n, error, cap);
    for (size_t i = 0; i < 2 * n; i++) {
        free(paths[i]);
    }
    free(paths);
    free(certs);
    return tls;
}

struct runtime *runtime_new(struct settings *settings, struct node *node, char *error,
                            size_t cap)
{
    const char *why = "";
    struct runtime *r = xcalloc(1, sizeof(*r));
    atomic_init(&r->refs, 1);
    r->settings = settings_ref(settings);
    r->version = settings->version.n > 0
                     ? (uint32_t)XXH3_64bits(settings->version.p, settings->version.n)
                     : 0;
    r->routes = route_table_new(settings);
    r->origins = origins_new(settings, node->resolver, error, cap);
    if (r->origins == NULL) {
        goto fail;
    }
    if (wants_tls(settings)) {
        r->tls = make_tls(settings, error, cap);
        if (r->tls == NULL) {
            goto fail;
        }
    }
    if (settings->log_access) {
        r->access = accesslog_new(settings->log_file, settings->log_format,
                                  settings->log_template, error, cap);
        if (r->access == NULL) {
            goto fail;
        }
    }
    stats_map_init(&r->stats, node->stats, settings);
    /* Last, because it may start a thread. */
    r->keys = identity_keys_new(settings, &why);
    if (r->keys == NULL) {
        snprintf(error, cap, "%s", why);
        goto fail;
    }
    return r;
fail:
    runtime_unref(r);
    return NULL;
}

struct runtime *runtime_ref(struct runtime *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void runtime_unref(struct runtime *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    identity_keys_free(r->keys);
    accesslog_unref(r->access);
    stats_map_fini(&r->stats);
    if (r->tls != NULL) {
        tls_server_unref(r->tls);
    }
    if (r->origins != NULL) {
        origins_unref(r->origins);
    }
    route_table_unref(r->routes);
    settings_unref(r->settings);
    free(r);
}

static bool same_log(const struct settings *a, const struct settings *b)
{
    return a->log_access && b->log_access && str_eq(a->log_file, b->log_file) &&
           a->log_format == b->log_format && str_eq(a->log_template, b->log_template);
}

void runtime_adopt(struct runtime *r, struct runtime *old)
{
    if (same_log(r->settings, old->settings)) {
        accesslog_unref(r->access);
        r->access = accesslog_ref(old->access);
        r->log_lost = old->log_lost;
    } else {
        r->log_lost = old->log_lost + (old->access != NULL ? accesslog_lost(old->access) : 0);
    }
    identity_keys_adopt(r->keys, old->keys);
    origins_adopt(r->origins, old->origins);
}
