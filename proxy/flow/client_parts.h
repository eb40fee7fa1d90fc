/*
 * What the files of the client connection share. Private to flow/client*.c.
 */
#ifndef FLOW_CLIENT_PARTS_H
#define FLOW_CLIENT_PARTS_H

#include "flow/client.h"
#include "flow/worker.h"

static inline const struct limit_settings *client_limits(const struct client *c)
{
    return &config_settings(c->worker->config)->limits;
}

/* Something is due of the peer within so many ms, by the state. */
static inline void client_arm(struct client *c, msec_t after)
{
    deadline_set(c->worker->loop, &c->deadline, after);
}

/* client_input.c: uses `in` behind what has been kept; what has to wait is kept. Ends the
 * connection where nothing can come any more. */
void client_process_input(struct client *c, struct str in);

/* client.c: the kept input is looked at at the end of the turn. */
void client_look_again(struct client *c);

/* client.c: our side ends; the peer's bytes are read and dropped for a moment, because closing
 * with unread input would reset the connection and take the answer with it (RFC 9112 9.6). */
void client_linger(struct client *c);

#endif
