/*
 * Requests of the admin address from bytes. A body is collected whole, within INLET_BODY_MAX:
 * handlers want JSON documents.
 */
#include "admin/inlet.h"

#include "http/h1.h"

static const struct guard_limits limits = {
    .head_bytes = INLET_HEAD_MAX,
    .start_line = 8192 + 32,
    .field_line = 16384,
    .field_count = 100,
};

void inlet_init(struct inlet *i)
{
    *i = (struct inlet){0};
    arena_init(&i->arena, NULL, 0);
}

void inlet_fini(struct inlet *i)
{
    strbuf_free(&i->in);
    strbuf_free(&i->body);
    arena_reset(&i->arena);
}

void inlet_refuse(struct inlet *i, int status, const char *why)
{
    i->status = status;
    i->why = why;
    strbuf_free(&i->in);
    strbuf_free(&i->body);
}

static enum inlet_result refused(struct inlet *i, int status, const char *why)
{
    inlet_refuse(i, status, why);
    return INLET_REFUSED;
}

bool inlet_begun(const struct inlet *i)
{
    return i->in_body || i->in.n > 0;
}

/* The bytes of the body that are there. */
static enum inlet_result look_at_body(struct inlet *i)
{
    for (;;) {
        size_t used;
        struct str data;
        enum body_result r = body_next_run(&i->decoder, strbuf_str(&i->in), &used, &data);
        if (r == BODY_ERROR) {
            return refused(i, 400, "a malformed chunk");
        }
        if (data.n > INLET_BODY_MAX - i->body.n) {
            return refused(i, 413, "the body is too large");
        }
        strbuf_add_str(&i->body, data);
        strbuf_consume(&i->in, used);
        if (r != BODY_DATA) {
            return r == BODY_DONE ? INLET_REQUEST : INLET_MORE;
        }
    }
}

static enum inlet_result start_body(struct inlet *i)
{
    const struct msg *m = &i->msg;
    i->in_body = true;
    if (m->method == METHOD_CONNECT) {
        return refused(i, 501, "CONNECT is not supported");
    }
    if (m->framing == FRAMING_LENGTH && m->content_length > INLET_BODY_MAX) {
        return refused(i, 413, "the body is too large");
    }
    body_start(&i->decoder, m);
    enum inlet_result r = look_at_body(i);
    bool waits = m->expect_continue && i->decoder.received == 0 && i->in.n == 0;
    return r == INLET_MORE && waits ? INLET_CONTINUE : r;
}

enum inlet_result inlet_look(struct inlet *i)
{
    size_t end;
    int status;
    const char *why;
    if (i->status != 0) {
        return INLET_REFUSED;
    }
    if (i->in_body) {
        return look_at_body(i);
    }
    switch (guard_scan(&i->guard, strbuf_str(&i->in), &limits, false, &end, &status, &why)) {
    case GUARD_MORE: return INLET_MORE;
    case GUARD_REFUSE: return refused(i, status, why);
    case GUARD_DONE: break;
    }
    size_t start = i->guard.start;
    struct str head = arena_dup(&i->arena, str_make(i->in.p + start, end - start));
    strbuf_consume(&i->in, end);
    struct h1_verdict v = h1_parse_request(head, &i->arena, false, &i->msg);
    return v.status != 0 ? refused(i, v.status, v.why) : start_body(i);
}

void inlet_take(struct inlet *i, struct arena *a, struct msg *msg, struct str *body)
{
    *body = i->body.n > 0 ? arena_dup(&i->arena, strbuf_str(&i->body)) : STR_NULL;
    *msg = i->msg;
    *a = i->arena;
    arena_init(&i->arena, NULL, 0);
    i->msg = (struct msg){0};
    strbuf_free(&i->body);
}

void inlet_next_request(struct inlet *i)
{
    arena_reset(&i->arena);
    i->msg = (struct msg){0};
    i->guard = (struct guard){0};
    i->in_body = false;
    strbuf_free(&i->body);
    if (i->in.n == 0) {
        strbuf_free(&i->in);
    }
}
