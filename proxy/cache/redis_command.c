/*
 * Encoding: "*N\r\n" and for each argument "$LENGTH\r\n" BYTES "\r\n". Our own writer instead
 * of redisFormatCommandArgv, which would copy a large value into the text.
 */
#include "cache/redis_command.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define PIECE_MIN  2048 /* a shorter argument is copied: cheaper than a vector */
#define NUMBER_MAX 23   /* type byte, 20 digits, CR LF */

static bool is_piece(const struct segment *arg)
{
    return arg->release != NULL && arg->n >= PIECE_MIN;
}

static char *put_number(char *to, char type, size_t value)
{
    *to++ = type;
    to += u64_to_dec(value, to);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static char *put_argument(struct redis_command *c, char *to, const struct segment *arg)
{
    to = put_number(to, '$', arg->n);
    if (is_piece(arg)) {
        c->pieces[c->n_pieces++] =
            (struct redis_piece){.at = (size_t)(to - c->text), .arg = *arg};
        c->n_total += arg->n;
    } else {
        if (arg->n > 0) {
            memcpy(to, arg->p, arg->n);
        }
        to += arg->n;
        if (arg->release != NULL) {
            arg->release(arg->owner);
        }
    }
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

struct redis_command *redis_command_new(const struct segment *argv, size_t argc,
                                        redis_end_fn *end)
{
    size_t text = NUMBER_MAX;
    size_t pieces = 0;
    for (size_t i = 0; i < argc; i++) {
        bool piece = is_piece(&argv[i]);
        pieces += piece;
        text += NUMBER_MAX + 2 + (piece ? 0 : argv[i].n);
    }
    struct redis_command *c = xmalloc(sizeof(*c) + pieces * sizeof(struct redis_piece) + text);
    memset(c, 0, sizeof(*c));
    c->refs = 1;
    c->end = end;
    c->pieces = (struct redis_piece *)(c + 1);
    c->text = (char *)(c->pieces + pieces);
    char *to = put_number(c->text, '*', argc);
    for (size_t i = 0; i < argc; i++) {
        to = put_argument(c, to, &argv[i]);
    }
    c->n_text = (size_t)(to - c->text);
    c->n_total += c->n_text;
    return c;
}

struct redis_command *redis_command_ref(struct redis_command *c)
{
    c->refs++;
    return c;
}

void redis_command_unref(struct redis_command *c)
{
    if (c == NULL || --c->refs > 0) {
        return;
    }
    for (size_t i = 0; i < c->n_pieces; i++) {
        c->pieces[i].arg.release(c->pieces[i].arg.owner);
    }
    free(c);
}

static void on_piece_written(void *owner)
{
    redis_command_unref(owner);
}

size_t redis_command_write(struct redis_command *c, struct stream *s, char *buf, size_t n,
                           size_t cap)
{
    size_t from = 0;
    for (size_t i = 0; i <= c->n_pieces; i++) {
        size_t to = i < c->n_pieces ? c->pieces[i].at : c->n_text;
        if (n > 0 && to - from > cap - n) {
            stream_send(s, &(struct segment){.p = buf, .n = n}, 1);
            n = 0;
        }
        if (to - from > cap) {
            stream_send(s, &(struct segment){.p = c->text + from, .n = to - from}, 1);
        } else {
            memcpy(buf + n, c->text + from, to - from);
            n += to - from;
        }
        if (i < c->n_pieces) {
            const struct segment out[] = {
                {.p = buf, .n = n},
                {.p = c->pieces[i].arg.p,
                 .n = c->pieces[i].arg.n,
                 .release = on_piece_written,
                 .owner = redis_command_ref(c)},
            };
            stream_send(s, n > 0 ? out : out + 1, n > 0 ? 2 : 1);
            n = 0;
        }
        from = to;
    }
    return n;
}

void redis_queue_push(struct redis_queue *q, struct redis_command *c)
{
    c->prev = q->tail;
    c->next = NULL;
    *(q->tail != NULL ? &q->tail->next : &q->head) = c;
    q->tail = c;
    q->n++;
}

void redis_queue_remove(struct redis_queue *q, struct redis_command *c)
{
    *(c->prev != NULL ? &c->prev->next : &q->head) = c->next;
    *(c->next != NULL ? &c->next->prev : &q->tail) = c->prev;
    c->prev = c->next = NULL;
    q->n--;
}
