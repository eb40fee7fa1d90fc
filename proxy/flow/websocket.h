/*
 * The opening handshake of WebSocket (RFC 6455 section 4), as much of it as a proxy must check
 * before it lets bytes through that it does not understand. Pure functions of two heads.
 */
#ifndef FLOW_WEBSOCKET_H
#define FLOW_WEBSOCKET_H

#include <stdbool.h>

#include "http/msg.h"

/* Is it a complete and correct opening request (section 4.2.1)? */
bool websocket_asked(const struct msg *request);

/* Does this 101 agree to that very request (section 4.2.2)? */
bool websocket_agreed(const struct msg *request, const struct msg *answer);

#endif
