/*
 * The error log. A line is formatted on the stack, escaped and written with one write(2), so
 * that lines of several threads never mix and a full disk or a closed pipe costs a line, not
 * the process.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_LINE_MAX 2048

static _Atomic int current_level = LOG_INFO;
static _Atomic bool json_lines;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, bool json)
{
    atomic_store(&current_level, (int)level);
    atomic_store(&json_lines, json);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* Copies text with (for JSON) quotes escaped, and in either form all but printable ASCII:
 * control bytes, and the UTF-8 controls and line separators that readers of a log split at.
 * Returns the length written. */
static size_t escape_into(char *out, size_t cap, const char *text, bool json)
{
    size_t n = 0;
    for (; *text != '\0' && n + 7 < cap; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c >= 0x7f) {
            n += (size_t)snprintf(out + n, cap - n, json ? "\\\\x%02x" : "\\x%02x", c);
        } else if (json && (c == '"' || c == '\\')) {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else {
            out[n++] = (char)c;
        }
    }
    return n;
}

static size_t format_time(char *out, size_t cap)
{
    msec_t now = clock_wall();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(out + n, cap - n, ".%03dZ", (int)(now % 1000));
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if (!log_enabled(level)) {
        return;
    }
    int saved = errno;
    bool json = atomic_load_explicit(&json_lines, memory_order_relaxed);
    char text[LOG_LINE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    char when[40];
    format_time(when, sizeof(when));
    char line[2 * LOG_LINE_MAX];
    size_t n =
        (size_t)snprintf(line, sizeof(line),
                         json ? "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"" : "%s %-5s ",
                         when, level_names[level]);
    n += escape_into(line + n, sizeof(line) - n - 4, text, json);
    if (json) {
        line[n++] = '"';
        line[n++] = '}';
    }
    line[n++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
    errno = saved;
}

bool log_allowed(struct log_limit *limit)
{
    long long now = clock_monotonic();
    long long next = atomic_load_explicit(&limit->next_ms, memory_order_relaxed);
    return now >= next && atomic_compare_exchange_strong(&limit->next_ms, &next, now + 1000);
}
