/*
 * What a finished request leaves behind for people: its line in the access log, and its place
 * among the worker's last requests (flow/recent) where there is an admin plane to show them.
 */
#ifndef FLOW_REQUEST_LOG_H
#define FLOW_REQUEST_LOG_H

#include <stdint.h>

#include "flow/request.h"

/* The request is over for its client. end_us: now; 0 where it was not timed. */
void request_log_end(struct request *rq, int64_t end_us);

#endif
