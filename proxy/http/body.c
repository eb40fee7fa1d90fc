/*
 * The decoder. The chunked grammar is small enough to be written down as states, one byte at a
 * time in the framing bytes and in whole slices in the payload.
 */
#include "http/body.h"

#include <string.h>

#include "http/token.h"

#define CHUNK_DIGITS_MAX 16
#define EXTENSION_MAX    256  /* one chunk */
#define EXTENSIONS_MAX   4096 /* one message */
#define TRAILERS_MAX     8192 /* all trailers */

enum chunk_state {
    CHUNK_SIZE,      /* hex digits */
    CHUNK_EXTENSION, /* after ';' until CR */
    CHUNK_SIZE_LF,   /* CR seen */
    CHUNK_DATA,
    CHUNK_DATA_CR, /* data done, CR expected */
    CHUNK_DATA_LF,
    TRAILER_START, /* at the start of a trailer line */
    TRAILER_NAME,  /* in a name, at least one byte seen */
    TRAILER_VALUE,
    TRAILER_LF,   /* CR of a trailer line seen */
    CHUNK_END_LF, /* CR of the last, empty line seen */
    CHUNK_DONE,
    CHUNK_BROKEN,
};

void body_start(struct body *b, const struct msg *m)
{
    *b = (struct body){.framing = m->framing, .state = CHUNK_SIZE};
    if (m->framing == FRAMING_LENGTH) {
        b->left = m->content_length;
    }
}

static bool is_value_byte(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static enum chunk_state size_byte(struct body *b, unsigned char c)
{
    int digit = hex_value((char)c);
    if (digit >= 0) {
        if (++b->digits > CHUNK_DIGITS_MAX || b->left > (uint64_t)INT64_MAX / 16) {
            return CHUNK_BROKEN;
        }
        b->left = b->left * 16 + (unsigned)digit;
        return CHUNK_SIZE;
    }
    if (b->digits == 0) {
        return CHUNK_BROKEN;
    }
    if (c == ';') {
        b->line_bytes = 0;
        b->quoted = false;
        return CHUNK_EXTENSION;
    }
    return c == '\r' ? CHUNK_SIZE_LF : CHUNK_BROKEN;
}

static enum chunk_state extension_byte(struct body *b, unsigned char c)
{
    if (c == '\r') {
        return b->quoted ? CHUNK_BROKEN : CHUNK_SIZE_LF;
    }
    if (!is_value_byte(c) || ++b->line_bytes > EXTENSION_MAX ||
        ++b->ext_bytes > EXTENSIONS_MAX) {
        return CHUNK_BROKEN;
    }
    if (c == '"') {
        b->quoted = !b->quoted;
    }
    return CHUNK_EXTENSION;
}

static enum chunk_state trailer_byte(struct body *b, unsigned char c)
{
    if (++b->trailer_bytes > TRAILERS_MAX) {
        return CHUNK_BROKEN;
    }
    switch (b->state) {
    case TRAILER_START:
        if (c == '\r') {
            return CHUNK_END_LF;
        }
        return token_char((char)c) ? TRAILER_NAME : CHUNK_BROKEN;
    case TRAILER_NAME:
        if (c == ':') {
            return TRAILER_VALUE;
        }
        return token_char((char)c) ? TRAILER_NAME : CHUNK_BROKEN;
    case TRAILER_VALUE:
        if (c == '\r') {
            return TRAILER_LF;
        }
        return is_value_byte(c) ? TRAILER_VALUE : CHUNK_BROKEN;
    case TRAILER_LF: return c == '\n' ? TRAILER_START : CHUNK_BROKEN;
    default: return c == '\n' ? CHUNK_DONE : CHUNK_BROKEN; /* CHUNK_END_LF */
    }
}

/* The state after one byte of framing. */
static enum chunk_state framing_byte(struct body *b, unsigned char c)
{
    switch (b->state) {
    case CHUNK_SIZE: return size_byte(b, c);
    case CHUNK_EXTENSION: return extension_byte(b, c);
    case CHUNK_SIZE_LF:
        if (c != '\n') {
            return CHUNK_BROKEN;
        }
        return b->left > 0 ? CHUNK_DATA : TRAILER_START;
    case CHUNK_DATA_CR: return c == '\r' ? CHUNK_DATA_LF : CHUNK_BROKEN;
    case CHUNK_DATA_LF:
        b->digits = 0;
        b->left = 0;
        return c == '\n' ? CHUNK_SIZE : CHUNK_BROKEN;
    default: return trailer_byte(b, c);
    }
}

/* Hands out up to b->left bytes of payload. */
static enum body_result take_data(struct body *b, struct str in, size_t *used, struct str *data)
{
    size_t n = in.n < b->left ? in.n : (size_t)b->left;
    *data = str_make(in.p, n);
    *used += n;
    b->left -= n;
    b->received += n;
    return BODY_DATA;
}

static enum body_result next_chunked(struct body *b, struct str in, size_t *used,
                                     struct str *data)
{
    while (*used < in.n) {
        if (b->state == CHUNK_DATA) {
            enum body_result r = take_data(b, str_skip(in, *used), used, data);
            if (b->left == 0) {
                b->state = CHUNK_DATA_CR;
            }
            return r;
        }
        b->state = (uint8_t)framing_byte(b, (unsigned char)in.p[*used]);
        *used += 1;
        if (b->state == CHUNK_BROKEN) {
            return BODY_ERROR;
        }
        if (b->state == CHUNK_DONE) {
            return BODY_DONE;
        }
    }
    return b->state == CHUNK_DONE ? BODY_DONE : BODY_MORE;
}

enum body_result body_next(struct body *b, struct str in, size_t *used, struct str *data)
{
    *used = 0;
    *data = STR_NULL;
    switch (b->framing) {
    case FRAMING_NONE: return BODY_DONE;
    case FRAMING_LENGTH:
        if (b->left == 0) {
            return BODY_DONE;
        }
        return in.n > 0 ? take_data(b, in, used, data) : BODY_MORE;
    case FRAMING_CHUNKED:
        if (b->state == CHUNK_BROKEN) {
            return BODY_ERROR;
        }
        if (b->state == CHUNK_DONE) {
            return BODY_DONE;
        }
        return next_chunked(b, in, used, data);
    case FRAMING_CLOSE: break;
    }
    if (in.n == 0) {
        return BODY_MORE;
    }
    *data = in;
    *used = in.n;
    b->received += in.n;
    return BODY_DATA;
}

enum body_result body_next_run(struct body *b, struct str in, size_t *used, struct str *data)
{
    char *run = NULL; /* start of the payload */
    size_t n = 0;
    *used = 0;
    for (;;) {
        size_t taken;
        struct str piece;
        enum body_result r = body_next(b, str_skip(in, *used), &taken, &piece);
        *used += taken;
        if (r != BODY_DATA) {
            *data = n > 0 ? str_make(run, n) : STR_NULL;
            return n > 0 ? BODY_DATA : r; /* said again by the next call */
        }
        if (n == 0) {
            run = (char *)(uintptr_t)piece.p;
        } else {
            memmove(run + n, piece.p, piece.n);
        }
        n += piece.n;
    }
}

bool body_complete_at_eof(const struct body *b)
{
    switch (b->framing) {
    case FRAMING_NONE:
    case FRAMING_CLOSE: return true;
    case FRAMING_LENGTH: return b->left == 0;
    case FRAMING_CHUNKED: break;
    }
    return b->state == CHUNK_DONE;
}
