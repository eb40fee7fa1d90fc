/*
 * What the files of a flight share. Private to flow/flight*.c; everything here is called under
 * the flight's lock.
 */
#ifndef FLOW_FLIGHT_PARTS_H
#define FLOW_FLIGHT_PARTS_H

#include "flow/flight.h"

/* flight.c: mail to a reader, unless some is under way; the leader's own gets none. */
void flight_wake_reader(struct flight *f, struct flight_reader *r);

/* flight_backlog.c: nobody can join any more. Readers look for their places from now on,
 * because a chunk that one has read may go. */
void flight_start_dropping(struct flight *f);
/* flight_backlog.c, dropping: drops what everybody has read. The last chunk stays, because the
 * leader writes to it without the lock. */
void flight_trim(struct flight *f);
/* flight_backlog.c: a reader has gone on from this offset, or left. */
void flight_moved_on(struct flight *f, size_t from);
/* flight_backlog.c: gives the reference to the first chunk back. */
void flight_drop_first_chunk(struct flight *f);

#endif
