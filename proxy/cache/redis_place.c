/*
 * A place is cheap: the resolver shares one lookup among all that ask for a name.
 */
#include "cache/redis_place.h"

#include <stdlib.h>

#include "base/mem.h"

static char *text_make(const struct redis_place *p)
{
    struct strbuf b = {0};
    if (p->addr.len > 0) {
        char text[ADDR_TEXT_MAX];
        addr_text(&p->addr, text);
        strbuf_addf(&b, "%s", text);
    } else {
        strbuf_addf(&b, "%s:%u", p->host, p->port);
    }
    strbuf_add_char(&b, '\0');
    return b.p;
}

void redis_place_init(struct redis_place *p, struct str host, uint16_t port,
                      const struct addr *literal, struct resolver *resolver)
{
    *p = (struct redis_place){.host = str_dup(host), .port = port, .resolver = resolver};
    if (literal != NULL && literal->len > 0) {
        p->addr = *literal;
    } else if (addr_from_ip(host, &p->addr)) {
        addr_set_port(&p->addr, port);
    } else if (resolver != NULL) {
        p->resolved = resolver_add(resolver, host, port);
    }
    p->text = text_make(p);
}

void redis_place_fini(struct redis_place *p)
{
    if (p->resolved != NULL) {
        resolver_remove(p->resolver, p->resolved);
    }
    free(p->host);
    free(p->text);
    *p = (struct redis_place){0};
}

bool redis_place_get(struct redis_place *p, struct addr *to)
{
    struct addr list[RESOLVED_MAX];
    if (p->addr.len > 0) {
        *to = p->addr;
        return true;
    }
    size_t n = p->resolved != NULL ? resolved_get(p->resolved, list, RESOLVED_MAX) : 0;
    if (n == 0) {
        return false;
    }
    *to = list[p->turn % n];
    return true;
}

void redis_place_failed(struct redis_place *p)
{
    p->turn++;
    if (p->resolved != NULL) {
        resolver_kick(p->resolved);
    }
}

bool redis_place_is(const struct redis_place *p, struct str host, uint16_t port)
{
    return p->port == port && str_ieq(str_from(p->host), host);
}
