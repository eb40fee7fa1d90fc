/*
 * Life of the plane: its address and token, at the start and at each reload. A new address is
 * listened on before the old one is given up.
 */
#include "admin/plane.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "admin/alert.h"
#include "admin/health_view.h"
#include "admin/http.h"
#include "admin/plane_state.h"
#include "base/log.h"
#include "base/mem.h"
#include "flow/node.h"

struct plane *plane_new(const struct admin_context *context)
{
    struct plane *p = xcalloc(1, sizeof(*p));
    p->context = *context;
    p->next_fd = -1;
    p->context.alert = p->alert = alert_new(&p->context);
    p->context.health = health_view_new(&p->context);
    return p;
}

bool plane_prepare(struct plane *p, const struct settings *settings,
                   struct listen_inherited *inherited, char *error, size_t cap)
{
    const struct admin_settings *a = &settings->admin;
    const struct listen_settings l = {.addr = a->addr, .text = a->text};
    p->inherited = inherited;
    if (!a->on || (p->http != NULL && addr_eq(&p->addr, &a->addr))) {
        return true;
    }
    return listen_socket_open(&l, inherited, &p->next_fd, 1, &p->next_addr, error, cap);
}

/* Calls that are not answered: nobody will be. */
static void drop_calls(struct plane *p)
{
    struct admin_call *next;
    for (struct admin_call *call = p->calls; call != NULL; call = next) {
        next = call->next;
        call_lost(call);
    }
}

/* Calls are still answered, the reload's own among them. */
static void stop_listening(struct plane *p, bool guarded)
{
    if (p->http != NULL) {
        http_drain(p->http, guarded);
        p->http = NULL;
        plane_unlink(p);
    }
}

void plane_commit(struct plane *p, const struct settings *settings)
{
    const struct admin_settings *a = &settings->admin;
    char text[ADDR_TEXT_MAX];
    bool guarded = p->token_needed;
    alert_use(p->alert, (*p->context.runtime)->settings);
    p->token_needed = a->token.n > 0;
    SHA256((const unsigned char *)(a->token.n > 0 ? a->token.p : ""), a->token.n, p->token);
    if (p->next_fd < 0 && a->on) {
        return; /* as it was */
    }
    stop_listening(p, guarded);
    if (p->next_fd < 0) {
        return;
    }
    p->addr = p->next_addr;
    p->http = http_new(p, &p->addr, p->next_fd);
    p->next_fd = -1;
    addr_text(&p->addr, text);
    log_info("admin on %s%s", text, p->token_needed ? "" : " without a token");
}

void plane_abandon(struct plane *p)
{
    if (p->next_fd >= 0) {
        close(p->next_fd);
        p->next_fd = -1;
    }
}

void plane_unlink(struct plane *p)
{
    const struct listen_settings l = {.addr = p->addr};
    if (p->addr.len > 0) {
        listen_socket_remove(&l, p->inherited);
    }
    p->addr.len = 0;
}

void plane_free(struct plane *p)
{
    if (p == NULL) {
        return;
    }
    plane_abandon(p);
    stop_listening(p, p->token_needed);
    drop_calls(p);
    while (p->draining != NULL) {
        http_free(p->draining);
    }
    alert_free(p->alert);
    health_view_free(p->context.health);
    free(p);
}
