/*
 * An upgraded connection (RFC 9110 7.8): bytes pass unchanged both ways with back-pressure
 * until both sides have ended, or nothing has moved for tunnel_timeout. The cache is out of it.
 *
 * Ownership: the tunnel has the upstream connection and is had by its client.
 */
#ifndef FLOW_TUNNEL_H
#define FLOW_TUNNEL_H

#include "base/clock.h"
#include "base/str.h"

struct client;
struct tunnel;
struct upconn;

/* Joins the two; early bytes of either side are passed on first. */
void tunnel_start(struct client *c, struct upconn *uc, struct str from_upstream,
                  msec_t idle_timeout);

/* Events of the client's side, told by flow/client. */
void tunnel_client_input(struct tunnel *t, struct str in);
void tunnel_client_end(struct tunnel *t);
void tunnel_client_written(struct tunnel *t);
void tunnel_client_gone(struct tunnel *t);
void tunnel_timeout(struct tunnel *t);

#endif
