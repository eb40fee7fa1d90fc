/*
 * The guard walks type bytes and lengths and jumps over payloads; hiredis builds the replies
 * through the functions below. Both count whole replies, and a difference ends the connection:
 * neither can be talked into an order of replies that the other does not see.
 */
#include "cache/redis_decoder.h"

#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "base/mem.h"

#define MIN_REPLY_LIMIT (16u * 1024 * 1024)

#if HIREDIS_MAJOR >= 1
typedef size_t array_count;
#else
typedef int array_count;
#endif

enum guard_state {
    GUARD_TYPE,    /* the first byte of a value */
    GUARD_LINE,    /* within a status or error line */
    GUARD_LINE_LF, /* its CR was there */
    GUARD_DIGITS,  /* within the number of an integer, a string or an array */
    GUARD_DIGITS_LF,
    GUARD_BULK,    /* bytes of a string */
    GUARD_BULK_CR, /* the end of a string */
    GUARD_BULK_LF,
};

struct guard {
    enum guard_state state;
    char type;       /* of the value whose number is read */
    bool negative;   /* a minus was there */
    unsigned digits; /* read of the number */
    uint64_t number;
    size_t line;                  /* bytes of the line so far */
    size_t bulk;                  /* bytes of the string still to come */
    size_t left[REDIS_MAX_DEPTH]; /* values still missing at each level of arrays */
    unsigned depth;               /* levels in use */
    size_t nodes;                 /* values of this reply so far */
    size_t bytes;                 /* bytes of this reply so far */
    uint64_t replies;             /* whole ones seen */
};

struct redis_decoder {
    redisReader *reader;
    struct guard guard;
    size_t max_value;
    size_t max_reply;
    enum redis_decode bad; /* REPLY: nothing is wrong */
    const char *why;
    uint64_t delivered; /* replies given out */
};

/* ---- the functions hiredis builds with ------------------------------------------------------
 */

static void *attach(const redisReadTask *task, struct redis_reply *reply)
{
    if (task->parent != NULL) {
        struct redis_reply *parent = task->parent->obj;
        parent->items[task->idx] = reply;
    }
    return reply;
}

static void *do_create_string(const redisReadTask *task, char *p, size_t n)
{
    struct redis_reply *reply = xmalloc(sizeof(*reply) + n + 1);
    char *own = (char *)(reply + 1);
    memcpy(own, p, n);
    own[n] = '\0';
    *reply = (struct redis_reply){.type = REDIS_STRING, .text = str_make(own, n)};
    if (task->type == REDIS_REPLY_STATUS) {
        reply->type = REDIS_STATUS;
    } else if (task->type == REDIS_REPLY_ERROR) {
        reply->type = REDIS_ERROR;
        reply->error = redis_error_classify(reply->text);
    }
    return attach(task, reply);
}

static void *do_create_array(const redisReadTask *task, array_count count)
{
    size_t n = (size_t)count; /* the guard has seen it: not negative, within REDIS_MAX_ITEMS */
    struct redis_reply *reply = xcalloc(1, sizeof(*reply) + n * sizeof(reply));
    reply->type = REDIS_ARRAY;
    reply->items = (struct redis_reply **)(void *)(reply + 1);
    reply->n_items = n;
    return attach(task, reply);
}

static void *do_create_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = xcalloc(1, sizeof(*reply));
    reply->type = REDIS_INTEGER;
    reply->integer = value;
    return attach(task, reply);
}

static void *do_create_nil(const redisReadTask *task)
{
    struct redis_reply *reply = xcalloc(1, sizeof(*reply));
    reply->type = REDIS_NIL;
    return attach(task, reply);
}

static void do_free(void *reply)
{
    redis_reply_free(reply);
}

static redisReplyObjectFunctions functions = {
    .createString = do_create_string,
    .createArray = do_create_array,
    .createInteger = do_create_integer,
    .createNil = do_create_nil,
    .freeObject = do_free,
};

/* ---- the guard ------------------------------------------------------------------------------
 */

static bool reject(struct redis_decoder *d, enum redis_decode how, const char *why)
{
    d->bad = how;
    d->why = why;
    return false;
}

/* A value is complete: so may be the arrays that it was the last of. */
static void value_done(struct guard *g)
{
    g->state = GUARD_TYPE;
    while (g->depth > 0 && --g->left[g->depth - 1] == 0) {
        g->depth--;
    }
    if (g->depth == 0) {
        g->nodes = 0;
        g->bytes = 0;
        g->replies++;
    }
}

static bool array_begin(struct redis_decoder *d)
{
    struct guard *g = &d->guard;
    if (g->number > REDIS_MAX_ITEMS || g->number > REDIS_MAX_NODES - g->nodes) {
        return reject(d, REDIS_DECODE_TOO_LARGE, "an array of too many items");
    }
    if (g->number == 0) {
        value_done(g);
        return true;
    }
    if (g->depth == REDIS_MAX_DEPTH) {
        return reject(d, REDIS_DECODE_TOO_LARGE, "arrays nested too deeply");
    }
    g->left[g->depth++] = (size_t)g->number;
    g->state = GUARD_TYPE;
    return true;
}

/* The line of a number has ended. */
static bool number_done(struct redis_decoder *d)
{
    struct guard *g = &d->guard;
    if (g->type == ':') {
        if (g->number > (uint64_t)INT64_MAX + g->negative) {
            return reject(d, REDIS_DECODE_MALFORMED, "an integer beyond 64 bits");
        }
        value_done(g);
        return true;
    }
    if (g->negative) {
        if (g->number != 1) {
            return reject(d, REDIS_DECODE_MALFORMED, "a negative length");
        }
        value_done(g);
        return true;
    }
    if (g->type == '*') {
        return array_begin(d);
    }
    if (g->number > d->max_value) {
        return reject(d, REDIS_DECODE_TOO_LARGE, "a value over the limit");
    }
    if (g->bytes > d->max_reply || g->number > d->max_reply - g->bytes) {
        return reject(d, REDIS_DECODE_TOO_LARGE, "a reply over the limit");
    }
    g->bulk = (size_t)g->number;
    g->state = g->bulk > 0 ? GUARD_BULK : GUARD_BULK_CR;
    return true;
}

static bool value_begin(struct redis_decoder *d, char type)
{
    struct guard *g = &d->guard;
    if (++g->nodes > REDIS_MAX_NODES || g->bytes > d->max_reply) {
        return reject(d, REDIS_DECODE_TOO_LARGE, "a reply over the limit");
    }
    switch (type) {
    case '+':
    case '-':
        g->state = GUARD_LINE;
        g->line = 0;
        return true;
    case ':':
    case '$':
    case '*':
        g->state = GUARD_DIGITS;
        g->type = type;
        g->number = 0;
        g->digits = 0;
        g->negative = false;
        return true;
    default: return reject(d, REDIS_DECODE_MALFORMED, "an unknown type of reply");
    }
}

static bool digit(struct redis_decoder *d, char c)
{
    struct guard *g = &d->guard;
    if (c == '\r' && g->digits > 0) {
        g->state = GUARD_DIGITS_LF;
        return true;
    }
    if (c == '-' && g->digits == 0 && !g->negative) {
        g->negative = true;
        return true;
    }
    if (c < '0' || c > '9') {
        return reject(d, REDIS_DECODE_MALFORMED, "a number with other bytes than digits");
    }
    /* 19 digits hold every 64-bit integer and do not overflow the unsigned sum. */
    if (++g->digits > 19) {
        return reject(d, REDIS_DECODE_MALFORMED, "a number of too many digits");
    }
    g->number = g->number * 10 + (uint64_t)(c - '0');
    return true;
}

static bool line_byte(struct redis_decoder *d, char c)
{
    struct guard *g = &d->guard;
    if (c == '\r') {
        g->state = GUARD_LINE_LF;
    } else if (c == '\n') {
        return reject(d, REDIS_DECODE_MALFORMED, "a line feed without carriage return");
    } else if (++g->line > REDIS_MAX_LINE) {
        return reject(d, REDIS_DECODE_TOO_LARGE, "a line over the limit");
    }
    return true;
}

static bool expect(struct redis_decoder *d, char c, char wanted)
{
    return c == wanted || reject(d, REDIS_DECODE_MALFORMED, "a value without its end");
}

static bool guard_byte(struct redis_decoder *d, char c)
{
    struct guard *g = &d->guard;
    switch (g->state) {
    case GUARD_TYPE: return value_begin(d, c);
    case GUARD_LINE: return line_byte(d, c);
    case GUARD_DIGITS: return digit(d, c);
    case GUARD_DIGITS_LF: return expect(d, c, '\n') && number_done(d);
    case GUARD_BULK_CR: g->state = GUARD_BULK_LF; return expect(d, c, '\r');
    case GUARD_LINE_LF:
    case GUARD_BULK_LF:
        if (!expect(d, c, '\n')) {
            return false;
        }
        value_done(g);
        return true;
    case GUARD_BULK: break; /* not byte by byte */
    }
    return true;
}

/* How many of the bytes may go on to hiredis: all, or those before the first bad one. */
static size_t guard_run(struct redis_decoder *d, const char *p, size_t n)
{
    struct guard *g = &d->guard;
    size_t at = 0;
    while (at < n) {
        if (g->state == GUARD_BULK) {
            size_t part = g->bulk < n - at ? g->bulk : n - at;
            g->bulk -= part;
            g->bytes += part;
            at += part;
            g->state = g->bulk == 0 ? GUARD_BULK_CR : GUARD_BULK;
            continue;
        }
        g->bytes++;
        if (!guard_byte(d, p[at])) {
            break;
        }
        at++;
    }
    return at;
}

/* ---- the decoder ----------------------------------------------------------------------------
 */

struct redis_decoder *redis_decoder_new(size_t max_value)
{
    struct redis_decoder *d = xcalloc(1, sizeof(*d));
    d->reader = redisReaderCreateWithFunctions(&functions);
    if (d->reader == NULL) {
        abort(); /* out of memory, as in base/mem */
    }
    d->max_value = max_value;
    d->max_reply = max_value > MIN_REPLY_LIMIT / 4 ? max_value * 4 : MIN_REPLY_LIMIT;
    d->bad = REDIS_DECODE_REPLY;
    return d;
}

void redis_decoder_free(struct redis_decoder *d)
{
    if (d != NULL) {
        redisReaderFree(d->reader);
        free(d);
    }
}

void redis_decoder_feed(struct redis_decoder *d, const char *p, size_t n)
{
    if (d->bad != REDIS_DECODE_REPLY) {
        return;
    }
    size_t good = guard_run(d, p, n);
    if (good > 0 && redisReaderFeed(d->reader, p, good) != REDIS_OK) {
        reject(d, REDIS_DECODE_MALFORMED, "the reader takes no more");
    }
}

enum redis_decode redis_decoder_next(struct redis_decoder *d, struct redis_reply **reply)
{
    void *got = NULL;
    *reply = NULL;
    if (d->delivered < d->guard.replies) {
        if (redisReaderGetReply(d->reader, &got) != REDIS_OK || got == NULL) {
            d->guard.replies = d->delivered;
            reject(d, REDIS_DECODE_MALFORMED, "not a reply");
            return d->bad;
        }
        d->delivered++;
        *reply = got;
        return REDIS_DECODE_REPLY;
    }
    return d->bad == REDIS_DECODE_REPLY ? REDIS_DECODE_MORE : d->bad;
}

const char *redis_decoder_why(const struct redis_decoder *d)
{
    return d->why != NULL ? d->why : "nothing is wrong";
}
