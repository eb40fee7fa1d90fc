/*
 * GET /keys/NAME: one entry of the memory tier in full. Where a site has no `hosts`, each Host
 * has entries of its own and a name alone does not say which: `host` chooses, else the first
 * one is taken that is found.
 */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "admin/keys_json.h"
#include "admin/table.h"
#include "base/loop.h"
#include "base/mem.h"
#include "flow/node.h"

#define STEPS_PER_TURN 16

/* A search over all entries, in turns. */
struct search {
    struct mail mail;
    struct admin_call *call; /* NULL: gone */
    struct node *node;
    struct loop *loop;
    struct l1_place place;
    char *name;
    struct entry *found; /* a reference */
};

static void answer(struct admin_call *call, struct entry *e)
{
    const struct admin_context *x = admin_context(call);
    if (e == NULL) {
        admin_problem(call, 404, "nothing is stored in memory under this name");
        return;
    }
    cJSON *tree = keys_json_whole(e, "l1", x->node->journal, x->loop->wall);
    entry_unref(e);
    admin_json(call, 200, tree);
}

/* By the hosts that the configuration names, or the one that was asked for. */
static struct entry *look(struct admin_call *call, struct str name, const char *host)
{
    const struct admin_context *x = admin_context(call);
    const struct settings *s = (*x->runtime)->settings;
    struct entry *e = NULL;
    if (host != NULL) {
        struct str h = str_from(host);
        return l1_peek(x->node->l1, entry_hash(name, h), name, h);
    }
    for (size_t i = 0; i < s->n_sites && e == NULL; i++) {
        struct str h = s->sites[i].hosts.n > 0 ? s->sites[i].hosts.list[0] : STR("");
        e = l1_peek(x->node->l1, entry_hash(name, h), name, h);
    }
    return e;
}

static bool on_entry(struct entry *e, void *ctx)
{
    struct search *s = ctx;
    if (!str_eq(entry_name(e), str_from(s->name))) {
        return true;
    }
    s->found = entry_ref(e);
    return false;
}

static void on_turn(struct mail *m)
{
    struct search *s = container_of(m, struct search, mail);
    bool more = s->call != NULL;
    for (int i = 0; i < STEPS_PER_TURN && more && s->found == NULL; i++) {
        more = l1_walk(s->node->l1, &s->place, on_entry, s);
    }
    if (more && s->found == NULL) {
        loop_post(s->loop, &s->mail);
        return;
    }
    if (s->call != NULL) {
        answer(s->call, s->found);
    } else if (s->found != NULL) {
        entry_unref(s->found);
    }
    free(s->name);
    free(s);
}

static void on_gone(void *ctx)
{
    struct search *s = ctx;
    s->call = NULL;
}

void endpoint_key(struct admin_call *call)
{
    const struct admin_context *x = admin_context(call);
    const char *host = admin_query(call, "host");
    const char *tier = admin_query(call, "tier");
    struct str name = admin_rest(call);
    if (tier != NULL && strcmp(tier, "l1") != 0) {
        admin_problem(call, 400, "`tier` can only be l1: entries in full are those in memory");
        return;
    }
    struct entry *e = look(call, name, host);
    if (e != NULL || host != NULL || memchr(name.p, '\0', name.n) != NULL) {
        answer(call, e);
        return;
    }
    struct search *s = xcalloc(1, sizeof(*s));
    s->call = call;
    s->node = x->node;
    s->loop = x->loop;
    s->name = str_dup(name);
    admin_keep(call, on_gone, s);
    s->mail.fn = on_turn;
    loop_post(s->loop, &s->mail);
}
