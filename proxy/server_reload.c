/*
 * SIGHUP. The new configuration is read, built and its sockets opened beside the old one;
 * whatever fails leaves the old one serving. Then every worker changes over between two events,
 * and with the last of them the reload is done. The log's last line about it says "reload" and
 * comes when the new configuration serves everywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "config.h"
#include "flow/redis_tier.h"
#include "flow/refresh.h"
#include "flow/service.h"
#include "server_state.h"
#include "upstream/health.h"

/* ---- sockets ------------------------------------------------------------------------------
 */

static bool has_listen(const struct settings *s, const struct addr *addr)
{
    for (size_t i = 0; i < s->n_listens; i++) {
        if (addr_eq(&s->listens[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

bool server_open_listens(struct server *s, const struct settings *settings,
                         const struct settings *old, int *fds, char *error, size_t cap)
{
    size_t n = settings->n_listens;
    int *own = xcalloc(s->n_workers, sizeof(*own));
    bool ok = true;
    for (size_t i = 0; i < n * s->n_workers; i++) {
        fds[i] = -1;
    }
    for (size_t i = 0; i < n && ok; i++) {
        const struct listen_settings *l = &settings->listens[i];
        if (old != NULL && has_listen(old, &l->addr)) {
            continue;
        }
        ok = listen_socket_open(l, &s->inherited, own, s->n_workers, NULL, error, cap);
        for (size_t w = 0; ok && w < s->n_workers; w++) {
            fds[w * n + i] = own[w];
        }
    }
    for (size_t i = 0; i < n * s->n_workers && !ok; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(own);
    return ok;
}

/* ---- words --------------------------------------------------------------------------------
 */

/* A report of several lines, each as a line of the log. */
static void log_lines(enum log_level level, struct str text)
{
    while (text.n > 0) {
        size_t n = str_index(text, '\n');
        if (n > 0 && log_enabled(level)) {
            log_at(level, "%.*s", (int)n, text.p);
        }
        text = str_skip(text, n + 1);
    }
}

void server_reload_answer(struct reload_asker **list, const char *errors)
{
    struct reload_asker *a = *list;
    *list = NULL;
    while (a != NULL) {
        struct reload_asker *next = a->next;
        a->done(a->ctx, errors);
        free(a);
        a = next;
    }
}

/* report: the messages about the file, may be empty. */
static void refuse(struct server *s, const char *why, struct str report)
{
    struct strbuf text = {0};
    log_error("reload refused: %s; the running configuration stays", why);
    service_ready();
    strbuf_addf(&text, "%s", why);
    if (report.n > 0) {
        strbuf_addf(&text, ":\n%.*s", STR_ARG(report));
    }
    strbuf_add_char(&text, '\0');
    server_reload_answer(&s->asked, text.p);
    strbuf_free(&text);
}

static bool redis_same(const struct redis_settings *a, const struct redis_settings *b)
{
    if (!a->on || !b->on) {
        return a->on == b->on;
    }
    /* `intent` is read for each request. */
    return redis_target_eq(&a->target, &b->target) && str_eq(a->prefix, b->prefix) &&
           a->budget == b->budget && a->max_object == b->max_object &&
           a->max_lag == b->max_lag && a->uncertain == b->uncertain &&
           a->uncertain_serve == b->uncertain_serve && a->max_records == b->max_records &&
           a->breaker_failures == b->breaker_failures && a->breaker_max == b->breaker_max &&
           a->lease == b->lease && a->causal == b->causal && a->lease_time == b->lease_time;
}

/* What only a restart can change. */
static void note_restart(const struct settings *old, const struct settings *next)
{
    static const char format[] = "%s changed: takes effect at the next restart";
    if (old->workers != next->workers) {
        log_warn(format, "workers");
    }
    if (!str_eq(old->hash_key, next->hash_key)) {
        log_warn(format, "hash_key");
    }
    if (!str_eq(old->pid_file, next->pid_file)) {
        log_warn(format, "pid_file");
    }
    if (!str_eq(old->state_dir, next->state_dir)) {
        log_warn(format, "state_dir");
    }
    if (!redis_same(&old->redis, &next->redis)) {
        log_warn(format, "redis");
    }
}

/* ---- the change ---------------------------------------------------------------------------
 */

static void remove_old_files(struct server *s, const struct settings *old,
                             const struct settings *next)
{
    for (size_t i = 0; i < old->n_listens; i++) {
        if (!has_listen(next, &old->listens[i].addr)) {
            listen_socket_remove(&old->listens[i], &s->inherited);
        }
    }
}

/* Every worker has changed over. */
static void finish(struct server *s)
{
    struct runtime *old = s->runtime;
    const struct settings *before = old->settings;
    const struct settings *now = s->next->settings;
    s->runtime = s->next;
    s->next = NULL;
    remove_old_files(s, before, now);
    plane_commit(s->plane, now);
    if (before->memory != now->memory) {
        l1_resize(s->node->l1, now->memory);
    }
    if (!str_eq(before->version, now->version)) {
        log_info("version is %.*s now: what is stored from %.*s is stale",
                 STR_ARG(now->version), STR_ARG(before->version));
        journal_new_epoch(s->node->journal);
    }
    if (!s->draining) {
        health_free(s->health);
        s->health = health_new(s->loop, s->runtime->origins);
        refresh_configure(s->refresh, s->runtime);
    }
    note_restart(before, now);
    log_lines(LOG_WARN, strbuf_str(&s->notes));
    strbuf_free(&s->notes);
    struct strbuf text = {0};
    server_describe(s, now, &text);
    log_info("reload done: %.*s", STR_ARG(strbuf_str(&text)));
    service_status("%.*s", STR_ARG(strbuf_str(&text)));
    strbuf_free(&text);
    service_ready();
    runtime_unref(old);
    server_reload_answer(&s->asked, NULL);
    if (s->reload_again) {
        s->reload_again = false;
        server_reload(s);
    }
}

static void on_worker_changed(void *ctx)
{
    struct server *s = ctx;
    if (--s->n_waiting == 0) {
        finish(s);
    }
}

/* Builds the runtime and its sockets, and sends them to the workers. */
static void change_to(struct server *s, struct settings *settings)
{
    char error[512] = "";
    size_t n = settings->n_listens;
    struct runtime *next = runtime_new(settings, s->node, error, sizeof(error));
    if (next == NULL) {
        refuse(s, error, STR_NULL);
        return;
    }
    int *fds = xcalloc(n * s->n_workers, sizeof(*fds));
    if (!plane_prepare(s->plane, settings, &s->inherited, error, sizeof(error)) ||
        !server_open_listens(s, settings, s->runtime->settings, fds, error, sizeof(error))) {
        plane_abandon(s->plane);
        runtime_unref(next);
        free(fds);
        refuse(s, error, STR_NULL);
        return;
    }
    runtime_adopt(next, s->runtime);
    msec_t longest = server_longest_lifetime(settings);
    s->longest = longest > s->longest ? longest : s->longest;
    log_setup(settings->log_level, settings->log_json);
    s->next = next;
    s->n_waiting = s->n_workers;
    if (s->node->redis != NULL) {
        redis_tier_reloaded(s->node->redis, settings);
    }
    for (size_t i = 0; i < s->n_workers; i++) {
        worker_reload(s->workers[i], next, fds + i * n, on_worker_changed, s);
    }
    free(fds);
}

void server_reload(struct server *s)
{
    if (s->draining) {
        log_warn("no reload: stopping");
        server_reload_answer(&s->asking, "stopping");
        return;
    }
    if (s->next != NULL) {
        s->reload_again = true;
        return;
    }
    s->asked = s->asking;
    s->asking = NULL;
    service_reloading();
    if (s->path == NULL) {
        refuse(s, "larder was started without a file", STR_NULL);
        return;
    }
    struct config_report report = {0};
    struct settings *settings = config_load(s->path, &report);
    if (settings == NULL) {
        char why[64];
        log_lines(LOG_ERROR, strbuf_str(&report.text));
        snprintf(why, sizeof(why), "%u error%s in the file", report.errors,
                 report.errors == 1 ? "" : "s");
        refuse(s, why, strbuf_str(&report.text));
        strbuf_free(&report.text);
        return;
    }
    strbuf_free(&s->notes);
    s->notes = report.text;
    change_to(s, settings);
    settings_unref(settings);
}

void server_reload_asked(void *server, admin_reloaded_fn *done, void *ctx)
{
    struct server *s = server;
    struct reload_asker *a = xcalloc(1, sizeof(*a));
    *a = (struct reload_asker){.next = s->asking, .done = done, .ctx = ctx};
    s->asking = a;
    server_reload(s);
}
