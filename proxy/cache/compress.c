/*
 * libdeflate, with one compressor and one decompressor for each thread that needs them,
 * released by a pthread key's destructor when the thread ends. libdeflate works on whole
 * buffers, which is what a stored body is.
 */
#include "cache/compress.h"

#include <libdeflate.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

/* 6 is where more effort hardly shrinks JSON and HTML any further. */
#define LEVEL 6

/* RFC 1952: header 10, trailer CRC32 4, ISIZE 4. */
#define GZIP_MIN 18

/* deflate cannot do better than 1032 to 1: who claims more is not worth an allocation. */
#define RATIO_MAX 1032

struct codecs {
    struct libdeflate_compressor *deflate; /* NULL until needed */
    struct libdeflate_decompressor *inflate;
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void codecs_free(void *p)
{
    struct codecs *c = p;
    if (c->deflate != NULL) {
        libdeflate_free_compressor(c->deflate);
    }
    if (c->inflate != NULL) {
        libdeflate_free_decompressor(c->inflate);
    }
    free(c);
}

static void key_new(void)
{
    if (pthread_key_create(&key, codecs_free) != 0) {
        abort(); /* more than PTHREAD_KEYS_MAX: not in this program */
    }
}

static struct codecs *codecs_get(void)
{
    pthread_once(&key_once, key_new);
    struct codecs *c = pthread_getspecific(key);
    if (c == NULL) {
        c = xcalloc(1, sizeof(*c));
        if (pthread_setspecific(key, c) != 0) {
            abort();
        }
    }
    return c;
}

static bool ends_with(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_ieq(str_skip(s, s.n - suffix.n), suffix);
}

bool compress_type(struct str content_type)
{
    static const char *const types[] = {
        "application/json",
        "application/javascript",
        "application/ecmascript",
        "application/xml",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-yaml",
        "application/yaml",
        "application/graphql",
        "application/wasm",
        "application/vnd.ms-fontobject",
        "application/x-www-form-urlencoded",
        "image/x-icon",
        "image/vnd.microsoft.icon",
        "image/bmp",
        "font/ttf",
        "font/otf",
    };
    struct str type = str_trim(str_make(content_type.p, str_index(content_type, ';')));
    /* An event stream is never complete; it is not stored either. */
    if (str_ieq(type, STR("text/event-stream"))) {
        return false;
    }
    if (type.n > 5 && str_ieq(str_make(type.p, 5), STR("text/"))) {
        return true;
    }
    if (ends_with(type, STR("+json")) || ends_with(type, STR("+xml")) ||
        ends_with(type, STR("+yaml"))) {
        return true; /* image/svg+xml, application/problem+json (RFC 6838 4.2.8) */
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (str_ieq(type, str_from(types[i]))) {
            return true;
        }
    }
    return false;
}

bool compress_gzip(struct str body, struct strbuf *out)
{
    struct codecs *c = codecs_get();
    if (c->deflate == NULL) {
        c->deflate = libdeflate_alloc_compressor(LEVEL);
    }
    /* Room for what is worth keeping only: libdeflate gives up when it does not fit. */
    size_t room = body.n - body.n / 10;
    if (c->deflate == NULL || room <= GZIP_MIN || body.n > UINT32_MAX) {
        return false;
    }
    strbuf_reserve(out, room);
    size_t n = libdeflate_gzip_compress(c->deflate, body.p, body.n, out->p + out->n, room);
    out->n += n;
    return n > 0;
}

static uint32_t little_endian_32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

bool compress_inflate(struct str gz, size_t length, struct strbuf *out)
{
    struct codecs *c = codecs_get();
    if (c->inflate == NULL) {
        c->inflate = libdeflate_alloc_decompressor();
    }
    /* All that can be told without inflating comes before the allocation. */
    if (c->inflate == NULL || gz.n < GZIP_MIN || memcmp(gz.p, "\x1f\x8b\x08", 3) != 0 ||
        length > UINT32_MAX || little_endian_32(gz.p + gz.n - 4) != length ||
        length / RATIO_MAX > gz.n) {
        return false;
    }
    strbuf_reserve(out, length + 1);
    size_t consumed = 0;
    enum libdeflate_result r = libdeflate_gzip_decompress_ex(
        c->inflate, gz.p, gz.n, out->p + out->n, length, &consumed, NULL);
    if (r != LIBDEFLATE_SUCCESS || consumed != gz.n) {
        return false;
    }
    out->n += length;
    return true;
}
