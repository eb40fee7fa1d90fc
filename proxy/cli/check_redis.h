/*
 * What `larder check` says of the Redis that the file names: it is asked for a moment, read
 * only, and whatever comes of that, the file is as good as before.
 */
#ifndef CLI_CHECK_REDIS_H
#define CLI_CHECK_REDIS_H

#include "settings.h"

/* Connects (a second and a half at most) and prints warnings about it on stderr, or a note that
 * it could not be asked. Returns the number of warnings. path: of the file, for the messages.
 * Nothing happens without `redis`. */
unsigned check_redis(const struct settings *s, const char *path);

#endif
