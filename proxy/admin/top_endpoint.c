/*
 * GET /top: what the workers have of names and slow misses put together, and the routes by hit
 * rate. Names hold no credentials: those enter a key as keyed hashes.
 */
#include <math.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "admin/table.h"
#include "base/loop.h"
#include "base/mem.h"
#include "flow/node.h"
#include "flow/stats_values.h"
#include "flow/top.h"
#include "flow/worker.h"

#define SHOWN     20
#define SHOWN_MAX 500

/* All workers' lists, one behind the other. */
struct gathered {
    struct top_key *keys;
    struct top_slow *slow;
    size_t n_keys, n_slow;
};

/* A route that had something to look up. */
struct ranked {
    uint32_t label;
    double hit_rate;
    uint64_t requests;
};

static uint64_t sure(const struct top_key *k)
{
    return k->count - k->error;
}

static int by_count(const void *a, const void *b)
{
    uint64_t x = sure(a), y = sure(b);
    return x > y ? -1 : x < y;
}

static int by_time(const void *a, const void *b)
{
    const struct top_slow *x = a, *y = b;
    return x->us > y->us ? -1 : x->us < y->us;
}

static int by_hit_rate(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->hit_rate < y->hit_rate || x->hit_rate > y->hit_rate) {
        return x->hit_rate < y->hit_rate ? -1 : 1;
    }
    return x->requests > y->requests ? -1 : x->requests < y->requests;
}

static int by_hash(const void *a, const void *b)
{
    const struct top_key *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* The same name on several workers becomes one. */
static void merge_keys(struct gathered *g)
{
    size_t n = 0;
    qsort(g->keys, g->n_keys, sizeof(*g->keys), by_hash);
    for (size_t i = 0; i < g->n_keys; i++) {
        if (g->keys[i].count == 0) {
            continue;
        }
        if (n > 0 && g->keys[n - 1].hash == g->keys[i].hash) {
            g->keys[n - 1].count += g->keys[i].count;
            g->keys[n - 1].error += g->keys[i].error;
        } else {
            g->keys[n++] = g->keys[i];
        }
    }
    g->n_keys = n;
}

static void gather(struct gathered *g, const struct admin_context *c)
{
    g->n_keys = c->n_workers * TOP_KEYS;
    g->n_slow = c->n_workers * TOP_SLOW;
    g->keys = xcalloc(g->n_keys, sizeof(*g->keys));
    g->slow = xcalloc(g->n_slow, sizeof(*g->slow));
    for (size_t i = 0; i < c->n_workers; i++) {
        top_get(c->workers[i]->top, c->loop->wall, g->keys + i * TOP_KEYS,
                g->slow + i * TOP_SLOW);
    }
    merge_keys(g);
    qsort(g->keys, g->n_keys, sizeof(*g->keys), by_count);
    qsort(g->slow, g->n_slow, sizeof(*g->slow), by_time);
}

static void put_str(cJSON *to, const char *name, struct str value)
{
    char *text = str_dup(value);
    cJSON_AddStringToObject(to, name, text);
    free(text);
}

static void put_keys(cJSON *to, const struct gathered *g, const struct stats *s, size_t most)
{
    cJSON *list = cJSON_AddArrayToObject(to, "keys");
    for (size_t i = 0; i < g->n_keys && i < most && sure(&g->keys[i]) > 0; i++) {
        cJSON *o = cJSON_CreateObject();
        put_str(o, "name", str_make(g->keys[i].name, g->keys[i].name_n));
        put_str(o, "route", stats_label(s, g->keys[i].label)->label);
        cJSON_AddNumberToObject(o, "hits", (double)sure(&g->keys[i]));
        cJSON_AddItemToArray(list, o);
    }
}

static void put_slow(cJSON *to, const struct gathered *g, const struct stats *s, size_t most)
{
    cJSON *list = cJSON_AddArrayToObject(to, "slow");
    for (size_t i = 0; i < g->n_slow && i < most && g->slow[i].us > 0; i++) {
        const struct top_slow *slow = &g->slow[i];
        cJSON *o = cJSON_CreateObject();
        put_str(o, "name", str_make(slow->name, slow->name_n));
        put_str(o, "route", stats_label(s, slow->label)->label);
        cJSON_AddNumberToObject(o, "ms", round((double)slow->us) / 1000);
        admin_put_time(o, "at", slow->at);
        cJSON_AddItemToArray(list, o);
    }
}

static void put_routes(cJSON *to, const struct stats *s, size_t most)
{
    cJSON *list = cJSON_AddArrayToObject(to, "routes");
    struct ranked *routes = xcalloc(stats_labels(s), sizeof(*routes));
    size_t n = 0;
    for (uint32_t i = 0; i < stats_labels(s); i++) {
        uint64_t hits = stats_route_sum(s, i, STATS_HIT);
        uint64_t misses = stats_route_sum(s, i, STATS_MISS);
        if (hits + misses > 0) {
            routes[n++] =
                (struct ranked){i, stats_hit_rate(hits, misses), stats_requests(s, i)};
        }
    }
    qsort(routes, n, sizeof(*routes), by_hit_rate);
    for (size_t i = 0; i < n && i < most; i++) {
        cJSON *o = cJSON_CreateObject();
        put_str(o, "route", stats_label(s, routes[i].label)->label);
        cJSON_AddNumberToObject(o, "hit_rate", round(routes[i].hit_rate * 1000) / 1000);
        cJSON_AddNumberToObject(o, "requests", (double)routes[i].requests);
        cJSON_AddItemToArray(list, o);
    }
    free(routes);
}

void endpoint_top(struct admin_call *call)
{
    const struct admin_context *c = admin_context(call);
    const struct stats *s = c->node->stats;
    struct gathered g;
    uint64_t most = SHOWN;
    if (!admin_query_number(call, "n", SHOWN_MAX, &most)) {
        return;
    }
    gather(&g, c);
    cJSON *root = cJSON_CreateObject();
    put_keys(root, &g, s, most);
    put_slow(root, &g, s, most);
    put_routes(root, s, most);
    free(g.keys);
    free(g.slow);
    admin_json(call, 200, root);
}
