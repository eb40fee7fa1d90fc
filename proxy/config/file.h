/*
 * Reading of the files that a configuration names: bounded, regular files only where a device
 * or a pipe would hang the start. Blocking; called while loading.
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

#define CONF_MAX_FILE   (16u << 20) /* bytes of one configuration file */
#define CONF_MAX_SECRET (64u << 10) /* bytes of a secret file */

/* Which file a path is, whatever its spelling. */
struct conf_file_id {
    uint64_t dev;
    uint64_t ino;
};

/* The bytes of `path` in the arena. `any_kind` also allows pipes, for the file given with -c.
 * NULL on success, else a static or arena-owned reason. */
const char *conf_file_read(const char *path, size_t max, bool any_kind, struct arena *a,
                           struct str *out, struct conf_file_id *id);

/* NULL when `path` is a regular file that this process may read, else the reason. */
const char *conf_file_check(const char *path);

#endif
