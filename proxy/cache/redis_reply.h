/*
 * What Redis answers: a tree of values, and errors by name. Made by cache/redis_decoder, read
 * by whoever sent the command; valid during the callback that delivers it.
 */
#ifndef CACHE_REDIS_REPLY_H
#define CACHE_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum redis_type {
    REDIS_NIL,     /* no such key, or the time of a blocking command is over */
    REDIS_STRING,  /* text: the bytes */
    REDIS_STATUS,  /* text: OK, PONG, … */
    REDIS_INTEGER, /* integer */
    REDIS_ARRAY,   /* items[0 … n_items) */
    REDIS_ERROR,   /* text: the whole line; error: its class */
};

/* Errors by the first word of their line (a few by more), with what they mean to us. */
enum redis_error {
    REDIS_E_NONE,
    REDIS_E_LOADING,     /* reading its data after a start */
    REDIS_E_BUSY,        /* a script runs too long */
    REDIS_E_MASTERDOWN,  /* replica that has lost its master */
    REDIS_E_READONLY,    /* a replica: the master is elsewhere now */
    REDIS_E_UNBLOCKED,   /* a blocking command was ended by a change of role */
    REDIS_E_NOREPLICAS,  /* too few replicas for a write */
    REDIS_E_MOVED,       /* cluster: the slot lives elsewhere */
    REDIS_E_ASK,         /* cluster: this key lives elsewhere already */
    REDIS_E_TRYAGAIN,    /* cluster: the slot is being moved */
    REDIS_E_CLUSTERDOWN, /* cluster: not every slot is served */
    REDIS_E_CROSSSLOT,   /* cluster: keys of several slots in one command */
    REDIS_E_OOM,         /* maxmemory reached, nothing to evict */
    REDIS_E_MISCONF,     /* cannot persist, takes no writes */
    REDIS_E_NOAUTH,      /* no AUTH yet, or it was taken back */
    REDIS_E_WRONGPASS,   /* user or password is wrong */
    REDIS_E_NOPERM,      /* the ACL does not allow this command or key */
    REDIS_E_MAXCLIENTS,  /* too many connections */
    REDIS_E_PROTECTED,   /* protected mode refuses connections from elsewhere */
    REDIS_E_NOSCRIPT,    /* EVALSHA of a script it does not know */
    REDIS_E_WRONGTYPE,   /* the key holds something else */
    REDIS_E_NOTCLUSTER,  /* a cluster command, but cluster mode is off */
    REDIS_E_OTHER,
    REDIS_ERRORS
};

/* What an error asks for. The connection layer does its part by itself before the caller hears
 * of it; the caller treats a read as a miss and a write as not done in every case. */
enum redis_remedy {
    REDIS_R_NONE,     /* the caller's own business (NOSCRIPT, WRONGTYPE, CROSSSLOT, other) */
    REDIS_R_WAIT,     /* ill for a while: counts as a failure of the server */
    REDIS_R_FAILOVER, /* ask again where the master is; the connection is closed */
    REDIS_R_REDIRECT, /* the cluster's routing handles it; a failure elsewhere */
    REDIS_R_READ,     /* reads go on, writes are refused until memory or disk is there */
    REDIS_R_OPERATOR, /* wrong configuration: loud, and no tight loop of attempts */
};

struct redis_reply {
    enum redis_type type;
    enum redis_error error;     /* REDIS_ERROR: its class */
    int64_t integer;            /* REDIS_INTEGER */
    struct str text;            /* REDIS_STRING, REDIS_STATUS, REDIS_ERROR */
    struct redis_reply **items; /* REDIS_ARRAY; none is NULL in a complete reply */
    size_t n_items;
};

/* The class of an error line (without the leading '-'). */
enum redis_error redis_error_classify(struct str line);

/* Its name as in logs and metrics: "LOADING", "max clients", …; never NULL. */
const char *redis_error_name(enum redis_error e);

enum redis_remedy redis_error_remedy(enum redis_error e);

/* Frees a tree; NULL is allowed. */
void redis_reply_free(struct redis_reply *reply);

/* items[i] when it exists and has this type, NULL otherwise: for walking untrusted shapes. */
const struct redis_reply *redis_reply_item(const struct redis_reply *reply, size_t i,
                                           enum redis_type type);

#endif
