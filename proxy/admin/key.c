/*
 * GET /keys/NAME: one entry in full, from memory or else from Redis, with what each of the two
 * holds under the name. Where a site has no `hosts`, each Host has entries of its own and a
 * name alone does not say which: `host` chooses, else the first one is taken that is found.
 *
 * Redis is read on the connections of the control thread that listings have (REDIS_LOOK), for
 * at most KEYS_ANSWER_MS. Without it there is what memory has, and the answer says so.
 */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "admin/keys.h"
#include "admin/keys_json.h"
#include "admin/table.h"
#include "base/arena.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cache/l2.h"
#include "cache/redis.h"
#include "flow/node.h"
#include "flow/redis_tier.h"

#define STEPS_PER_TURN 16
#define ENVELOPE_MAX   (64u * 1024) /* of a stored form, beyond max_object */

/* A question on its way. */
struct look {
    struct mail mail;
    bool turning;            /* mail is on its way */
    struct admin_call *call; /* NULL: gone */
    struct node *node;
    struct loop *loop;
    struct l1_place place;         /* of a search over all of memory */
    struct redis_command *command; /* under way, or NULL */
    struct stamp asked;            /* before it was sent */
    char *name, *host;             /* host NULL: any */
    bool l1, l2;                   /* tiers to look at */
    struct keys_tier memory, redis;
    struct arena arena;
};

static void look_free(struct look *k)
{
    struct entry *list[] = {k->memory.entry, k->redis.entry};
    for (int i = 0; i < 2; i++) {
        if (list[i] != NULL) {
            entry_unref(list[i]);
        }
    }
    free(k->name);
    free(k->host);
    arena_reset(&k->arena);
    free(k);
}

/* ---- the answer ------------------------------------------------------------------------- */

/* Neither tier has it. */
static void answer_nothing(struct look *k)
{
    const struct keys_tier *r = &k->redis;
    const char *memory = k->l1 ? "nothing is stored in memory under this name; " : "";
    if (strcmp(r->state, "unavailable") == 0) {
        admin_problem(k->call, 503, "%s%s", memory, r->why);
    } else if (strcmp(r->state, "damaged") == 0) {
        admin_problem(k->call, 502, "%s%s", memory, r->why);
    } else if (r->why != NULL && k->l2) {
        admin_problem(k->call, 404, "%s%s", memory, r->why);
    } else {
        admin_problem(k->call, 404, "nothing is stored under this name");
    }
}

static void answer(struct look *k)
{
    const struct journal *j = k->node->journal;
    bool l1 = k->memory.entry != NULL;
    struct entry *e = l1 ? k->memory.entry : k->redis.entry;
    if (e == NULL) {
        answer_nothing(k);
    } else {
        cJSON *tree = keys_json_whole(e, l1 ? "l1" : "l2", j, k->loop->wall);
        keys_json_add_tier(tree, "l1", &k->memory, j, k->loop->wall);
        keys_json_add_tier(tree, "l2", &k->redis, j, k->loop->wall);
        admin_json(k->call, 200, tree);
    }
    look_free(k);
}

/* ---- Redis ------------------------------------------------------------------------------ */

static void note(struct look *k, const char *state, const char *why)
{
    k->redis.state = state;
    k->redis.why = why;
}

static void take_value(struct look *k, struct str bytes, size_t max)
{
    struct entry *e = bytes.n < max ? entry_decode(bytes) : NULL;
    if (bytes.n == 0) {
        note(k, "none", NULL);
    } else if (e == NULL && entry_is_foreign(bytes)) {
        note(k, "other", "in Redis lies what another version of Larder has stored");
    } else if (e == NULL) {
        note(k, "damaged", "what lies in Redis under this name is not an entry of Larder's");
    } else if (!str_eq(entry_name(e), str_from(k->name)) ||
               (k->host != NULL && !str_eq(entry_host(e), str_from(k->host)))) {
        note(k, "other", "in Redis lies the entry of another host or name");
        entry_unref(e);
    } else {
        journal_adopt_stamp(k->node->journal, &e->stamp, &k->asked);
        k->redis.entry = e;
    }
}

static size_t value_max(const struct look *k)
{
    return redis_tier_settings(k->node->redis)->max_object + ENVELOPE_MAX;
}

static void on_value(void *ctx, const struct redis_result *result)
{
    struct look *k = ctx;
    k->command = NULL;
    if (result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_STRING) {
        take_value(k, result->reply->text, value_max(k));
    } else if (result->outcome == REDIS_DENIED && result->reply->error == REDIS_E_WRONGTYPE) {
        note(k, "damaged", "what lies in Redis under this name is not an entry of Larder's");
    } else if (result->outcome == REDIS_DENIED) {
        note(k, "unavailable", "Redis answers with an error");
    } else {
        note(k, "unavailable", "Redis does not answer");
    }
    answer(k);
}

/* True: the answer comes later. */
static bool ask_redis(struct look *k)
{
    struct str prefix = redis_tier_settings(k->node->redis)->prefix;
    struct str key = l2_redis_name(prefix, str_from(k->name), &k->arena);
    k->asked = journal_stamp(k->node->journal);
    k->command =
        keys_read(redis_tier_look(k->node->redis, k->loop), key, value_max(k), on_value, k);
    if (k->command == NULL) {
        note(k, "unavailable", "there is no connection to Redis");
    }
    return k->command != NULL;
}

static void look_in_redis(struct look *k)
{
    if (!k->l2 || !ask_redis(k)) {
        answer(k);
    }
}

/* ---- memory ----------------------------------------------------------------------------- */

/* By the hosts that the configuration names, or the one that was asked for. */
static struct entry *peek(const struct look *k, const struct settings *s)
{
    struct str name = str_from(k->name);
    struct entry *e = NULL;
    if (k->host != NULL) {
        struct str h = str_from(k->host);
        return l1_peek(k->node->l1, entry_hash(name, h), name, h);
    }
    for (size_t i = 0; i < s->n_sites && e == NULL; i++) {
        struct str h = s->sites[i].hosts.n > 0 ? s->sites[i].hosts.list[0] : STR("");
        e = l1_peek(k->node->l1, entry_hash(name, h), name, h);
    }
    return e;
}

static bool on_entry(struct entry *e, void *ctx)
{
    struct look *k = ctx;
    if (!str_eq(entry_name(e), str_from(k->name))) {
        return true;
    }
    k->memory.entry = entry_ref(e);
    return false;
}

static void on_turn(struct mail *m)
{
    struct look *k = container_of(m, struct look, mail);
    bool more = true;
    k->turning = false;
    if (k->call == NULL) {
        look_free(k); /* perhaps at the end of the process: nothing else is looked at */
        return;
    }
    for (int i = 0; i < STEPS_PER_TURN && more && k->memory.entry == NULL; i++) {
        more = l1_walk(k->node->l1, &k->place, on_entry, k);
    }
    if (more && k->memory.entry == NULL) {
        k->turning = true;
        loop_post(k->loop, &k->mail);
        return;
    }
    look_in_redis(k);
}

/* ---- the question ----------------------------------------------------------------------- */

static void on_gone(void *ctx)
{
    struct look *k = ctx;
    k->call = NULL;
    if (!k->turning) {
        redis_cancel(k->command);
        look_free(k);
    }
}

static struct look *look_new(struct admin_call *call, const char *tier)
{
    const struct admin_context *x = admin_context(call);
    const char *host = admin_query(call, "host");
    struct look *k = xcalloc(1, sizeof(*k));
    arena_init(&k->arena, NULL, 0);
    k->call = call;
    k->node = x->node;
    k->loop = x->loop;
    k->name = str_dup(admin_rest(call));
    k->host = host != NULL ? str_dup(str_from(host)) : NULL;
    k->l1 = tier == NULL || strcmp(tier, "l1") == 0;
    k->l2 = x->node->redis != NULL && (tier == NULL || strcmp(tier, "l2") == 0);
    k->memory.state = k->l1 ? "none" : "not-asked";
    k->redis.state = "not-asked";
    return k;
}

void endpoint_key(struct admin_call *call)
{
    const struct admin_context *x = admin_context(call);
    const char *tier = admin_query(call, "tier");
    struct str name = admin_rest(call);
    if (tier != NULL && strcmp(tier, "l1") != 0 && strcmp(tier, "l2") != 0) {
        admin_problem(call, 400, "`tier` is l1 (memory) or l2 (Redis)");
        return;
    }
    if (tier != NULL && strcmp(tier, "l2") == 0 && x->node->redis == NULL) {
        admin_problem(call, 501, "there is no Redis in the configuration");
        return;
    }
    if (memchr(name.p, '\0', name.n) != NULL) {
        admin_problem(call, 404, "nothing is stored under this name");
        return;
    }
    struct look *k = look_new(call, tier);
    admin_keep(call, on_gone, k);
    k->memory.entry = k->l1 ? peek(k, (*x->runtime)->settings) : NULL;
    if (k->l1 && k->memory.entry == NULL && k->host == NULL) {
        k->turning = true;
        k->mail.fn = on_turn;
        loop_post(k->loop, &k->mail);
    } else {
        look_in_redis(k);
    }
}
