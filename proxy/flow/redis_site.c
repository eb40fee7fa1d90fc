/*
 * Hosts before upstreams: an address may differ from node to node, a public name does not.
 */
#include "flow/redis_site.h"

#include <inttypes.h>

#include <xxhash.h>

#define SITE_MAX 120

static void add(struct strbuf *out, size_t from, struct str word)
{
    if (out->n > from) {
        strbuf_add_char(out, ' ');
    }
    strbuf_add_str(out, word);
}

void redis_site_text(const struct settings *s, struct strbuf *out)
{
    size_t from = out->n;
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].hosts.n; k++) {
            add(out, from, s->sites[i].hosts.list[k]);
        }
    }
    size_t upstreams = out->n == from ? s->n_upstreams : 0;
    for (size_t i = 0; i < upstreams; i++) {
        for (size_t k = 0; k < s->upstreams[i].n_servers; k++) {
            add(out, from, s->upstreams[i].servers[k].url);
        }
    }
    if (out->n == from) {
        strbuf_add_str(out, STR("no upstream"));
    }
    if (out->n - from > SITE_MAX) {
        uint64_t hash = XXH3_64bits(out->p + from, out->n - from);
        out->n = from + SITE_MAX - 20;
        strbuf_addf(out, "... %016" PRIx64, hash);
    }
}
