/*
 * What the two halves of a stream, stream.c and stream_send.c, know of each other. Nobody else
 * includes this.
 */
#ifndef BASE_STREAM_PARTS_H
#define BASE_STREAM_PARTS_H

#include <stdbool.h>

#include "base/stream.h"

/* stream.c: registers for the events that the stream's state asks for. */
void stream_arm(struct stream *s);

/* stream.c: what a call into TLS that did not succeed means; registers for what it waits for.
 * when_broken is the error to deliver if the connection is of no use any more. */
enum io_result stream_tls_result(struct stream *s, int result, enum stream_error when_broken);

/* stream_send.c: sends what is queued; true when some of it went out. */
bool stream_flush(struct stream *s);

/* stream_send.c: drops what is queued. */
void stream_queue_release(struct stream *s);

/* stream_send.c: everything is out: ends our side. */
void stream_finish_shutdown(struct stream *s);

#endif
