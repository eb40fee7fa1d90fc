/*
 * CRC16 in the XMODEM variant (polynomial 0x1021, start 0), as the Redis Cluster specification
 * has it.
 */
#include "cache/redis_slots.h"

#define HOST_MAX 253

static uint16_t crc16(struct str s)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < s.n; i++) {
        crc = (uint16_t)(crc ^ (uint16_t)((uint8_t)s.p[i] << 8));
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
        }
    }
    return crc;
}

uint16_t redis_slot_of(struct str key)
{
    size_t open = str_index(key, '{');
    if (open < key.n) {
        struct str rest = str_skip(key, open + 1);
        size_t close = str_index(rest, '}');
        if (close < rest.n && close > 0) {
            key = str_make(rest.p, close);
        }
    }
    return crc16(key) % REDIS_SLOTS;
}

/* [host, port, …]; newer servers say nil or "?" where they do not know their own name. */
static bool read_node(const struct redis_reply *node, struct str *host, uint16_t *port)
{
    const struct redis_reply *name = redis_reply_item(node, 0, REDIS_STRING);
    const struct redis_reply *number = redis_reply_item(node, 1, REDIS_INTEGER);
    if (number == NULL || number->integer < 1 || number->integer > 65535) {
        return false;
    }
    *port = (uint16_t)number->integer;
    *host = name != NULL && !str_eq(name->text, STR("?")) ? name->text : STR_NULL;
    return host->n <= HOST_MAX && (host->n == 0 || memchr(host->p, '\0', host->n) == NULL);
}

size_t redis_slots_read(const struct redis_reply *reply, redis_slots_fn *fn, void *ctx)
{
    size_t covered = 0;
    for (size_t i = 0; reply->type == REDIS_ARRAY && i < reply->n_items; i++) {
        const struct redis_reply *range = reply->items[i];
        const struct redis_reply *first = redis_reply_item(range, 0, REDIS_INTEGER);
        const struct redis_reply *last = redis_reply_item(range, 1, REDIS_INTEGER);
        struct str host;
        uint16_t port;
        if (first == NULL || last == NULL || first->integer < 0 ||
            last->integer >= REDIS_SLOTS || first->integer > last->integer ||
            !read_node(redis_reply_item(range, 2, REDIS_ARRAY), &host, &port)) {
            continue;
        }
        if (fn != NULL) {
            fn(ctx, (uint16_t)first->integer, (uint16_t)last->integer, host, port);
        }
        covered += (size_t)(last->integer - first->integer + 1);
    }
    return covered;
}

bool redis_redirect_read(struct str line, uint16_t *slot, struct str *host, uint16_t *port)
{
    struct str word;
    uint64_t number;
    if (!str_next(&line, ' ', &word) || !str_next(&line, ' ', &word) ||
        !str_to_u64(word, REDIS_SLOTS - 1, &number) || !str_next(&line, ' ', &word)) {
        return false;
    }
    *slot = (uint16_t)number;
    size_t colon = word.n;
    while (colon > 0 && word.p[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0 || colon - 1 > HOST_MAX ||
        !str_to_u64(str_skip(word, colon), 65535, &number) || number == 0) {
        return false;
    }
    *port = (uint16_t)number;
    *host = str_make(word.p, colon - 1);
    if (str_eq(*host, STR("?"))) {
        *host = STR_NULL;
    }
    return host->n == 0 || memchr(host->p, '\0', host->n) == NULL;
}
