/*
 * What stands before evhttp on the admin address: takes the bytes of one connection apart into
 * requests with the data path's own reader (http/guard, http/h1, http/body), because evhttp
 * lets through what must be refused and answers what it refuses itself in HTML. Pure: no
 * sockets, no evhttp. Private to admin/.
 */
#ifndef ADMIN_INLET_H
#define ADMIN_INLET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/body.h"
#include "http/guard.h"
#include "http/msg.h"

#define INLET_HEAD_MAX (32u * 1024)
#define INLET_BODY_MAX (256u * 1024) /* of any endpoint; rows say less */

/* One connection's input; start with inlet_init(). */
struct inlet {
    struct strbuf in; /* arrived and not used: the owner adds to it */
    struct guard guard;
    struct arena arena; /* what msg points to */
    struct msg msg;     /* the head, once it is complete */
    struct body decoder;
    struct strbuf body; /* decoded so far */
    bool in_body;       /* the head is read */
    int status;         /* refused with it; 0: not refused */
    const char *why;    /* static text for the problem's detail */
};

enum inlet_result {
    INLET_MORE,     /* the request is not complete */
    INLET_CONTINUE, /* the same, and its sender waits for 100 Continue (said once) */
    INLET_REQUEST,  /* msg and body are complete: inlet_take(), then inlet_next_request() */
    INLET_REFUSED,  /* status and why; nothing that follows can be read */
};

void inlet_init(struct inlet *i);
void inlet_fini(struct inlet *i);

/* Looks at what has arrived. Memory is bounded as long as the owner adds a piece at a time. */
enum inlet_result inlet_look(struct inlet *i);

/* Has a request begun to arrive? */
bool inlet_begun(const struct inlet *i);

/* Refuses whatever comes: it took too long. */
void inlet_refuse(struct inlet *i, int status, const char *why);

/* After INLET_REQUEST: hands over the message and its body with the arena that they are in,
 * which *a, an empty one without a first chunk, becomes. */
void inlet_take(struct inlet *i, struct arena *a, struct msg *msg, struct str *body);

/* The request was answered: what follows it is looked at next. */
void inlet_next_request(struct inlet *i);

#endif
