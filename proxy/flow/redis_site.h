/*
 * What a deployment calls itself beside others on one Redis: its hosts, or without any its
 * upstreams as they are written. Nodes of one deployment agree on it.
 */
#ifndef FLOW_REDIS_SITE_H
#define FLOW_REDIS_SITE_H

#include "base/str.h"
#include "settings.h"

/* Added to out: at most 120 bytes, printable, never empty. */
void redis_site_text(const struct settings *s, struct strbuf *out);

#endif
