/* See explain_offline.h. */
#include "cli/explain_offline.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/resolver.h"
#include "flow/node.h"
#include "flow/worker.h"

#define KEYS_WAIT_MS 5000 /* for JWK sets */
#define KEYS_LOOK_MS 50

/* No name is looked up: nobody connects to an upstream. */
static int no_lookup(const char *host, struct addr *out, size_t max, size_t *n)
{
    (void)host;
    (void)out;
    (void)max;
    *n = 0;
    return EAI_AGAIN;
}

static void on_explained(void *ctx, struct cJSON *answer)
{
    struct cJSON **out = ctx;
    *out = answer;
}

static struct cJSON *explain_once(struct worker *w, const struct explain_query *q)
{
    struct cJSON *answer = NULL;
    loop_touch(w->loop);
    explain_start(w, q, on_explained, &answer);
    loop_turn(w->loop, false); /* the request is given back at the end of a turn */
    return answer;
}

/* Is all that is missing a key that is on its way? */
static bool waits_for_keys(const struct cJSON *answer)
{
    return str_eq(json_string(json_get(answer, STR("reason"))), STR("identity-keys"));
}

static struct cJSON *explain_patiently(struct worker *w, const struct explain_query *q)
{
    struct cJSON *answer = explain_once(w, q);
    for (int waited = 0; waits_for_keys(answer) && waited < KEYS_WAIT_MS;
         waited += KEYS_LOOK_MS) {
        nanosleep(&(struct timespec){.tv_nsec = KEYS_LOOK_MS * 1000000L}, NULL);
        cJSON_Delete(answer);
        answer = explain_once(w, q);
    }
    return answer;
}

/* What only a server needs: its certificates may not be ours to read, nor its log to write. */
static void strip(struct settings *s)
{
    s->log_access = false;
    s->memory = 1 << 20;
    for (size_t i = 0; i < s->n_listens; i++) {
        s->listens[i].tls = false;
    }
}

struct cJSON *explain_offline(struct settings *settings, const struct explain_query *q)
{
    char error[512];
    struct cJSON *answer = NULL;
    strip(settings);
    struct resolver *resolver = resolver_new_custom(no_lookup, 3600 * 1000);
    if (resolver == NULL) {
        return NULL;
    }
    struct node *node = node_new(settings, resolver);
    struct runtime *runtime = runtime_new(settings, node, error, sizeof(error));
    if (runtime == NULL) {
        fprintf(stderr, "larder: %s\n", error);
    } else {
        int *fds = xcalloc(settings->n_listens + 1, sizeof(*fds));
        for (size_t i = 0; i < settings->n_listens; i++) {
            fds[i] = -1;
        }
        struct worker *w = worker_new(0, node, runtime, fds, NULL);
        free(fds);
        if (w != NULL) {
            answer = explain_patiently(w, q);
            worker_free(w);
        }
        runtime_unref(runtime);
    }
    node_free(node);
    resolver_free(resolver);
    return answer;
}
