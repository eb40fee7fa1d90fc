/*
 * All steps leave in one write; the first refusal counts, because those after a failed AUTH
 * fail for that reason only. The commands are ends of the pipeline like all others: a reply too
 * few or too many is noticed as everywhere.
 */
#include "cache/redis_handshake.h"

#include <stdio.h>

static void on_required(struct redis_command *c, enum redis_outcome outcome,
                        const struct redis_reply *reply);
static void on_optional(struct redis_command *c, enum redis_outcome outcome,
                        const struct redis_reply *reply);
static void on_role(struct redis_command *c, enum redis_outcome outcome,
                    const struct redis_reply *reply);

static void send_step(struct redis_link *l, const struct segment *argv, size_t argc,
                      redis_end_fn *end)
{
    l->steps++;
    redis_link_enqueue(l, redis_command_new(argv, argc, end));
}

static void send_auth(struct redis_link *l)
{
    const struct redis_link_settings *s = l->settings;
    struct segment argv[3] = {REDIS_ARG("AUTH")};
    size_t argc = 1;
    if (s->user.n > 0) {
        argv[argc++] = redis_arg(s->user);
    }
    argv[argc++] = redis_arg(s->password);
    send_step(l, argv, argc, on_required);
}

void redis_handshake_send(struct redis_link *l)
{
    const struct redis_link_settings *s = l->settings;
    char number[24];
    l->steps = 0;
    l->why[0] = '\0';
    if (s->password.n > 0) {
        send_auth(l);
    }
    if (s->database != 0) {
        struct str text = {number, u64_to_dec(s->database, number)};
        send_step(l, (struct segment[]){REDIS_ARG("SELECT"), redis_arg(text)}, 2, on_required);
    }
    if (s->name != NULL) {
        send_step(l,
                  (struct segment[]){REDIS_ARG("CLIENT"), REDIS_ARG("SETNAME"),
                                     redis_arg(str_from(s->name))},
                  3, on_optional);
    }
    if (s->check_role) {
        send_step(l, (struct segment[]){REDIS_ARG("ROLE")}, 1, on_role);
    }
    send_step(l, (struct segment[]){REDIS_ARG("PING")}, 1, on_optional);
}

static void note_refusal(struct redis_link *l, enum redis_error error, struct str text)
{
    if (l->why[0] == '\0') {
        l->refusal = error;
        snprintf(l->why, sizeof(l->why), "%.*s", STR_ARG(text));
    }
}

/* One step less; after the last one the verdict. c is gone afterwards. */
static void step_done(struct redis_command *c)
{
    struct redis_link *l = c->link;
    redis_command_unref(c);
    if (--l->steps == 0) {
        char why[sizeof(l->why)];
        snprintf(why, sizeof(why), "%s", l->why);
        redis_link_handshake_done(l, l->refusal, why[0] != '\0' ? why : NULL);
    }
}

static void on_required(struct redis_command *c, enum redis_outcome outcome,
                        const struct redis_reply *reply)
{
    if (reply == NULL) {
        redis_command_unref(c); /* the connection ended, which is known already */
        return;
    }
    if (outcome == REDIS_DENIED) {
        note_refusal(c->link, reply->error, reply->text);
    }
    step_done(c);
}

/* SETNAME and PING may be forbidden by the ACL or unknown to a proxy in between: the answer
 * itself shows that somebody is there. */
static void on_optional(struct redis_command *c, enum redis_outcome outcome,
                        const struct redis_reply *reply)
{
    if (reply == NULL) {
        redis_command_unref(c);
        return;
    }
    enum redis_error error = outcome == REDIS_DENIED ? reply->error : REDIS_E_NONE;
    if (error != REDIS_E_NONE && error != REDIS_E_NOPERM && error != REDIS_E_OTHER) {
        note_refusal(c->link, error, reply->text);
    }
    step_done(c);
}

/* A replica answers reads with what its master said a while ago, and takes no writes. Where
 * ROLE is not allowed (it is in @dangerous), READONLY tells it later. */
static void on_role(struct redis_command *c, enum redis_outcome outcome,
                    const struct redis_reply *reply)
{
    const struct redis_reply *role = redis_reply_item(reply, 0, REDIS_STRING);
    if (role != NULL && !str_eq(role->text, STR("master"))) {
        note_refusal(c->link, REDIS_E_READONLY, STR("the server is not a master"));
    }
    on_optional(c, outcome, reply);
}
