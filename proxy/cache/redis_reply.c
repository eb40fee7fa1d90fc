/*
 * Error lines to classes by their first words, and the reply tree's few helpers.
 */
#include "cache/redis_reply.h"

#include <stdlib.h>

/* A line beginning so has this class; the longer of two that fit comes first. */
static const struct {
    struct str start;
    enum redis_error error;
} starts[] = {
    {{"LOADING", 7}, REDIS_E_LOADING},
    {{"BUSY", 4}, REDIS_E_BUSY},
    {{"MASTERDOWN", 10}, REDIS_E_MASTERDOWN},
    {{"READONLY", 8}, REDIS_E_READONLY},
    {{"UNBLOCKED", 9}, REDIS_E_UNBLOCKED},
    {{"NOREPLICAS", 10}, REDIS_E_NOREPLICAS},
    {{"MOVED", 5}, REDIS_E_MOVED},
    {{"ASK", 3}, REDIS_E_ASK},
    {{"TRYAGAIN", 8}, REDIS_E_TRYAGAIN},
    {{"CLUSTERDOWN", 11}, REDIS_E_CLUSTERDOWN},
    {{"CROSSSLOT", 9}, REDIS_E_CROSSSLOT},
    {{"OOM", 3}, REDIS_E_OOM},
    {{"MISCONF", 7}, REDIS_E_MISCONF},
    {{"NOAUTH", 6}, REDIS_E_NOAUTH},
    {{"WRONGPASS", 9}, REDIS_E_WRONGPASS},
    {{"NOPERM", 6}, REDIS_E_NOPERM},
    {{"NOSCRIPT", 8}, REDIS_E_NOSCRIPT},
    {{"WRONGTYPE", 9}, REDIS_E_WRONGTYPE},
    {{"DENIED Redis is running in protected mode", 41}, REDIS_E_PROTECTED},
    {{"ERR max number of clients", 25}, REDIS_E_MAXCLIENTS},
    {{"ERR This instance has cluster support disabled", 46}, REDIS_E_NOTCLUSTER},
    /* Redis up to 5, and a password where none is configured. */
    {{"ERR invalid password", 20}, REDIS_E_WRONGPASS},
    {{"ERR Client sent AUTH", 20}, REDIS_E_WRONGPASS},
    {{"ERR AUTH <password> called without any password", 47}, REDIS_E_WRONGPASS},
};

static const struct {
    const char *name;
    enum redis_remedy remedy;
} errors[REDIS_ERRORS] = {
    [REDIS_E_NONE] = {"none", REDIS_R_NONE},
    [REDIS_E_LOADING] = {"LOADING", REDIS_R_WAIT},
    [REDIS_E_BUSY] = {"BUSY", REDIS_R_WAIT},
    [REDIS_E_MASTERDOWN] = {"MASTERDOWN", REDIS_R_FAILOVER},
    [REDIS_E_READONLY] = {"READONLY", REDIS_R_FAILOVER},
    [REDIS_E_UNBLOCKED] = {"UNBLOCKED", REDIS_R_FAILOVER},
    [REDIS_E_NOREPLICAS] = {"NOREPLICAS", REDIS_R_READ},
    [REDIS_E_MOVED] = {"MOVED", REDIS_R_REDIRECT},
    [REDIS_E_ASK] = {"ASK", REDIS_R_REDIRECT},
    [REDIS_E_TRYAGAIN] = {"TRYAGAIN", REDIS_R_REDIRECT},
    [REDIS_E_CLUSTERDOWN] = {"CLUSTERDOWN", REDIS_R_WAIT},
    [REDIS_E_CROSSSLOT] = {"CROSSSLOT", REDIS_R_NONE},
    [REDIS_E_OOM] = {"OOM", REDIS_R_READ},
    [REDIS_E_MISCONF] = {"MISCONF", REDIS_R_READ},
    [REDIS_E_NOAUTH] = {"NOAUTH", REDIS_R_OPERATOR},
    [REDIS_E_WRONGPASS] = {"WRONGPASS", REDIS_R_OPERATOR},
    [REDIS_E_NOPERM] = {"NOPERM", REDIS_R_OPERATOR},
    [REDIS_E_MAXCLIENTS] = {"max clients", REDIS_R_WAIT},
    [REDIS_E_PROTECTED] = {"protected mode", REDIS_R_OPERATOR},
    [REDIS_E_NOSCRIPT] = {"NOSCRIPT", REDIS_R_NONE},
    [REDIS_E_WRONGTYPE] = {"WRONGTYPE", REDIS_R_NONE},
    [REDIS_E_NOTCLUSTER] = {"no cluster", REDIS_R_OPERATOR},
    [REDIS_E_OTHER] = {"other", REDIS_R_NONE},
};

static bool is_word_end(struct str line, size_t at)
{
    return at == line.n || line.p[at] == ' ';
}

/* Redis up to 6 wraps what a command inside a script said: "ERR Error running script (call to
 * f_…): @user_script:1: -OOM command not allowed …". */
static struct str unwrap(struct str line)
{
    if (!str_starts(line, STR("ERR Error running script"))) {
        return line;
    }
    for (size_t i = line.n; i-- > 2;) {
        if (line.p[i] == '-' && line.p[i - 1] == ' ' && line.p[i - 2] == ':') {
            return str_skip(line, i + 1);
        }
    }
    return line;
}

enum redis_error redis_error_classify(struct str line)
{
    line = unwrap(line);
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (str_starts(line, starts[i].start) && is_word_end(line, starts[i].start.n)) {
            return starts[i].error;
        }
    }
    return REDIS_E_OTHER;
}

const char *redis_error_name(enum redis_error e)
{
    return errors[e].name;
}

enum redis_remedy redis_error_remedy(enum redis_error e)
{
    return errors[e].remedy;
}

void redis_reply_free(struct redis_reply *reply)
{
    if (reply == NULL) {
        return;
    }
    /* As deep as the decoder lets it be: a handful of levels. */
    for (size_t i = 0; i < reply->n_items; i++) {
        redis_reply_free(reply->items[i]);
    }
    free(reply);
}

const struct redis_reply *redis_reply_item(const struct redis_reply *reply, size_t i,
                                           enum redis_type type)
{
    if (reply == NULL || reply->type != REDIS_ARRAY || i >= reply->n_items) {
        return NULL;
    }
    const struct redis_reply *item = reply->items[i];
    return item->type == type ? item : NULL;
}
