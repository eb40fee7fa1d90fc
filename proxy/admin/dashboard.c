/*
 * GET /: the dashboard, one page without data of its own; it asks the other endpoints with the
 * token that its reader gives it. The build makes admin/dashboard/ into dashboard_page (see the
 * Makefile). The policy names the page's style and script by their hashes, so that nothing else
 * can run in it, and allows it to talk to nobody but us.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "admin/call.h"
#include "admin/plane_state.h"

#define HASH_TEXT 45 /* base64 of 32 bytes, NUL-terminated */

extern const unsigned char dashboard_page[];
extern const size_t dashboard_page_size;

static struct str page(void)
{
    return str_make((const char *)dashboard_page, dashboard_page_size);
}

/* Hash of what stands between two tags, as CSP wants it (CSP 3, "source-list hashes"): every
 * byte between them. */
static void hash_between(const char *open, const char *close, char out[HASH_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct str all = page();
    const char *from = memmem(all.p, all.n, open, strlen(open));
    const char *to = memmem(all.p, all.n, close, strlen(close));
    if (from == NULL || to == NULL) {
        abort(); /* the page is part of the program: a test would have seen it */
    }
    from += strlen(open);
    if (EVP_Digest(from, (size_t)(to - from), digest, NULL, EVP_sha256(), NULL) != 1) {
        abort(); /* out of memory */
    }
    EVP_EncodeBlock((unsigned char *)out, digest, 32);
}

/* What the page has to know before it asks anything: whether a token is needed, and which
 * endpoints there are. All of it is ours: no byte needs escaping. */
static void describe(const struct admin_call *call, struct strbuf *out)
{
    bool needed = call->plane->token_needed || call->routed;
    strbuf_addf(out, "<meta name=\"larder-plane\" data-token=\"%s\" data-endpoints=\"",
                needed ? "needed" : "none");
    for (size_t i = 0; i < n_endpoints; i++) {
        if ((endpoints[i].methods & ADMIN_GET) != 0) {
            strbuf_addf(out, "%s ", endpoints[i].path);
        }
    }
    strbuf_add_str(out, STR("\">"));
}

static void render(const struct admin_call *call, struct strbuf *out)
{
    static const struct str mark = {"<!-- @PLANE@ -->", 16};
    struct str all = page();
    const char *at = memmem(all.p, all.n, mark.p, mark.n);
    if (at == NULL) {
        abort();
    }
    size_t before = (size_t)(at - all.p);
    strbuf_add(out, all.p, before);
    describe(call, out);
    strbuf_add_str(out, str_skip(all, before + mark.n));
}

void endpoint_dashboard(struct admin_call *call)
{
    char script[HASH_TEXT];
    char style[HASH_TEXT];
    char policy[512];
    struct strbuf text = {0};
    hash_between("<script>", "</script>", script);
    hash_between("<style>", "</style>", style);
    snprintf(policy, sizeof(policy),
             "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
             "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
             "frame-ancestors 'none'",
             script, style);
    admin_add_field(call, "Content-Security-Policy", policy);
    admin_add_field(call, "Referrer-Policy", "no-referrer");
    admin_add_field(call, "X-Frame-Options", "DENY");
    admin_add_field(call, "Cross-Origin-Opener-Policy", "same-origin");
    render(call, &text);
    admin_text(call, 200, "text/html; charset=utf-8", strbuf_str(&text));
    strbuf_free(&text);
}
