/*
 * Who may call: token, Host and Origin (hardening T6, T7). A browser can be made to send
 * requests to a loopback address. Host stops a name that was rebound to it; Origin and
 * Sec-Fetch-Site stop a page that posts to the address itself; the token, which no browser
 * sends by itself, stops both.
 */
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "admin/call.h"
#include "admin/plane_state.h"
#include "base/addr.h"
#include "base/log.h"
#include "http/target.h"

/* ---- token --------------------------------------------------------------------------------
 */

/* "Bearer T" (RFC 6750 section 2.1); an empty slice for anything else. */
static struct str bearer(struct str value)
{
    static const struct str scheme = {"Bearer ", 7};
    if (value.n <= scheme.n || !str_ieq(str_make(value.p, scheme.n), scheme)) {
        return STR_NULL;
    }
    return str_trim(str_skip(value, scheme.n));
}

bool check_token(struct admin_call *call)
{
    static struct log_limit limit;
    const struct plane *p = call->plane;
    uint8_t digest[TOKEN_DIGEST];
    struct str value;
    if (!p->token_needed && !call->routed && !call->guarded) {
        return true;
    }
    bool once = call_single(call, "Authorization", &value);
    struct str token = bearer(value);
    /* Of both the digest, so that neither length nor content shows in the time taken. */
    SHA256((const unsigned char *)(token.n > 0 ? token.p : ""), token.n, digest);
    bool same = CRYPTO_memcmp(digest, p->token, sizeof(digest)) == 0;
    if (p->token_needed && once && token.n > 0 && same) {
        return true;
    }
    if (value.n > 0 && log_allowed(&limit)) {
        log_warn("admin: wrong token from %.*s", STR_ARG(call->peer));
    }
    admin_add_field(call, "WWW-Authenticate", "Bearer realm=\"larder\"");
    admin_problem(call, 401,
                  "send the token of the `admin` directive: Authorization: Bearer …");
    return false;
}

/* ---- Host ---------------------------------------------------------------------------------
 */

static bool is_loopback_name(const struct host *h)
{
    struct addr a;
    struct str name = h->name;
    if (str_eq(name, STR("localhost")) || str_eq(name, STR("[::1]"))) {
        return true;
    }
    return addr_from_ip(name, &a) && a.u.sa.sa_family == AF_INET &&
           str_starts(name, STR("127."));
}

/* The address that is listened on, without port. A wildcard is every address of this machine,
 * but no name: a name is what rebinding needs. */
static bool is_own_address(const struct addr *local, const struct host *h)
{
    struct addr a;
    char own[ADDR_TEXT_MAX];
    struct str name = h->name;
    if (name.n > 2 && name.p[0] == '[') {
        name = str_make(name.p + 1, name.n - 2);
    }
    if (!addr_from_ip(name, &a)) {
        return false;
    }
    addr_ip_text(local, own);
    struct str text = str_from(own);
    return str_eq(text, STR("0.0.0.0")) || str_eq(text, STR("::")) || str_eq(text, name);
}

bool check_host(struct admin_call *call)
{
    struct str value;
    struct host h;
    bool once = call_single(call, "Host", &value);
    if (!once) {
        admin_problem(call, 400, "more than one Host");
        return false;
    }
    if (call->unix_peer || call->routed) {
        return true;
    }
    if (value.n > 0 && host_parse(value, false, &call->arena, &h) &&
        (is_loopback_name(&h) || is_own_address(call->local, &h))) {
        return true;
    }
    admin_problem(call, 421, "Host is not a name of the admin address");
    return false;
}

/* ---- Origin -------------------------------------------------------------------------------
 */

/* Is it the origin of the page that this plane serves itself? */
static bool is_own_origin(const struct admin_call *call, struct str origin)
{
    struct str host;
    struct str scheme = call->secure ? STR("https://") : STR("http://");
    return call_single(call, "Host", &host) && host.n > 0 && str_starts(origin, scheme) &&
           str_ieq(str_skip(origin, scheme.n), host);
}

bool check_origin(struct admin_call *call)
{
    struct str origin, site;
    if ((call->row->flags & ENDPOINT_MUTATES) == 0 && call->method == ADMIN_GET) {
        return true;
    }
    bool good =
        call_single(call, "Origin", &origin) && call_single(call, "Sec-Fetch-Site", &site);
    good = good && (origin.p == NULL || is_own_origin(call, origin));
    good = good &&
           (site.p == NULL || str_eq(site, STR("same-origin")) || str_eq(site, STR("none")));
    if (!good) {
        admin_problem(call, 403, "requests of other sites' pages are refused");
    }
    return good;
}
