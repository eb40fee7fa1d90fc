/*
 * The error log: one line per event on stderr, `time level message`, or one JSON object per
 * line. All but printable ASCII is written as \xNN, so that no peer can forge a line or make it
 * unreadable. Any thread; a line is written with one write(2). The access log is
 * flow/accesslog.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
};

/* Lines below `level` are dropped. `json` chooses JSON lines. Call before threads start or at a
 * reload; safe at any time. */
void log_setup(enum log_level level, bool json);

bool log_enabled(enum log_level level);

/* Writes one line; fmt without a newline. errno is preserved. */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)                      \
    do {                                    \
        if (log_enabled(LOG_DEBUG)) {       \
            log_at(LOG_DEBUG, __VA_ARGS__); \
        }                                   \
    } while (0)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

/*
 * A site that may log at most one line a second however often it is reached:
 *     static struct log_limit limit;
 *     if (log_allowed(&limit)) { log_warn("..."); }
 */
struct log_limit {
    _Atomic long long next_ms; /* monotonic time from which the next line is allowed */
};
bool log_allowed(struct log_limit *limit);

#endif
