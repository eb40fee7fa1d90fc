/*
 * Start and end. The main thread is the control thread: it has a loop of its own for signals,
 * health checks and timers, and never touches a client's connection.
 *
 * Signals are blocked in every thread and read from a signalfd, so that nothing runs in a
 * handler. Order of the end: workers drain and their threads end; all are joined; then workers,
 * the runtime, the control loop (which may hold mail of the workers), node and resolver go.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/resolver.h"
#include "base/units.h"
#include "flow/accesslog.h"
#include "flow/redis_tier.h"
#include "flow/refresh.h"
#include "flow/service.h"
#include "server_state.h"
#include "upstream/health.h"

#define TRIM_MS 60000
#define ORIGIN_TTL_MS                                                            \
    (366 * 24 * 3600 * (msec_t)1000)       /* longest that an origin may ask for \
                                            */
#define FETCH_MS     (3600 * (msec_t)1000) /* between a fetch's stamp and its entry's start */
#define NAMES_MS     1000                  /* for the first lookup of the servers' names */
#define FDS_RESERVED 64                    /* logs, loops, listeners */

/* ---- the journal's memory ---------------------------------------------------------------- */

/* From the receipt of an answer to the last moment at which it may be used. What the origin may
 * decide counts as a year; an entry that outlives the bound is a miss, not an error, because
 * the journal refuses whatever is older than its memory. */
static msec_t route_lifetime(const struct route_settings *r)
{
    if (!r->cached) {
        return 0;
    }
    msec_t lifetime = r->ttl_mode == TTL_FORCE ? r->ttl : ORIGIN_TTL_MS;
    lifetime = r->ttl > lifetime ? r->ttl : lifetime;
    for (size_t i = 0; i < r->n_statuses; i++) {
        lifetime = r->statuses[i].ttl > lifetime ? r->statuses[i].ttl : lifetime;
    }
    msec_t window = r->stale > r->stale_if_error ? r->stale : r->stale_if_error;
    return lifetime + lifetime / 100 * (msec_t)r->jitter_percent + window + FETCH_MS;
}

msec_t server_longest_lifetime(const struct settings *settings)
{
    msec_t longest = 0;
    for (size_t i = 0; i < settings->n_sites; i++) {
        const struct site_settings *site = &settings->sites[i];
        for (size_t k = 0; k < site->n_routes; k++) {
            msec_t lifetime = route_lifetime(&site->routes[k]);
            longest = lifetime > longest ? lifetime : longest;
        }
    }
    return longest;
}

static void on_trim(struct deadline *d)
{
    struct server *s = container_of(d, struct server, trim);
    journal_trim(s->node->journal, s->longest);
    deadline_set(s->loop, d, TRIM_MS);
}

static void on_watchdog(struct deadline *d)
{
    struct server *s = container_of(d, struct server, watchdog);
    service_alive();
    deadline_set(s->loop, d, service_watchdog_interval());
}

/* ---- the end ------------------------------------------------------------------------------
 */

static void on_worker_ended(struct worker *w)
{
    struct server *s = w->owner;
    if (--s->n_running == 0) {
        loop_stop(s->loop);
    }
}

/* SIGTERM, SIGINT: in an orderly way; the second time at once. */
static void drain(struct server *s)
{
    const struct settings *settings = s->runtime->settings;
    msec_t limit = s->draining ? 0 : settings->limits.drain_timeout;
    if (!s->draining) {
        char text[UNITS_TEXT_MAX];
        duration_text(limit, text);
        log_info("stopping: requests under way have %s to finish", text);
        service_stopping();
        atomic_store(&s->node->draining, true);
        deadline_cancel(&s->trim);
        refresh_stop(s->refresh);
        health_free(s->health);
        s->health = NULL;
        /* Before anybody stops listening, so that a successor may have the name at once. */
        for (size_t i = 0; i < settings->n_listens; i++) {
            listen_socket_remove(&settings->listens[i], &s->inherited);
        }
        plane_unlink(s->plane);
    } else {
        log_info("stopping now");
    }
    s->draining = true;
    for (size_t i = 0; i < s->n_workers; i++) {
        worker_drain(s->workers[i], limit);
    }
}

/* ---- signals ------------------------------------------------------------------------------
 */

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    struct signalfd_siginfo info;
    (void)what;
    loop_touch(s->loop);
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGHUP: server_reload(s); break;
        case SIGUSR1:
            if (s->runtime->access != NULL) {
                accesslog_reopen(s->runtime->access);
            }
            break;
        default: drain(s); break;
        }
    }
}

void server_hold_reloads(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Before any thread starts, so that all inherit the mask. */
static bool take_signals(struct server *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signal_fd < 0) {
        log_error("cannot receive signals: %s", strerror(errno));
        return false;
    }
    event_assign(&s->signal_event, s->loop->base, s->signal_fd, EV_READ | EV_PERSIST, on_signal,
                 s);
    event_add(&s->signal_event, NULL);
    return true;
}

/* ---- files --------------------------------------------------------------------------------
 */

/* As many descriptors as we are allowed; a client may need a second one upstream. */
static void raise_file_limit(const struct settings *settings)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < settings->limits.connections + FDS_RESERVED) {
        log_warn(
            "limits connections=%zu is more than the %llu open files that this process may "
            "have: raise LimitNOFILE or ulimit -n",
            settings->limits.connections, (unsigned long long)limit.rlim_cur);
    }
}

static bool write_pid_file(const struct settings *settings)
{
    if (settings->pid_file.n == 0) {
        return true;
    }
    char *path = str_dup(settings->pid_file);
    char text[24];
    size_t n = u64_to_dec((uint64_t)getpid(), text);
    text[n++] = '\n';
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n;
    if (!ok) {
        log_error("cannot write the pid file %s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return ok;
}

/* Unless a successor has written its own by now. */
static void remove_pid_file(const struct settings *settings)
{
    if (settings->pid_file.n == 0) {
        return;
    }
    char *path = str_dup(settings->pid_file);
    char text[24] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (n > 0 && strtoll(text, NULL, 10) == (long long)getpid()) {
        unlink(path);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
}

/* ---- start --------------------------------------------------------------------------------
 */

void server_describe(const struct server *s, const struct settings *settings,
                     struct strbuf *out)
{
    size_t routes = 0;
    for (size_t i = 0; i < settings->n_sites; i++) {
        routes += settings->sites[i].n_routes;
    }
    strbuf_addf(out, "%zu worker%s, %zu route%s, listening on", s->n_workers,
                s->n_workers == 1 ? "" : "s", routes, routes == 1 ? "" : "s");
    for (size_t i = 0; i < settings->n_listens; i++) {
        const struct listen_settings *l = &settings->listens[i];
        char text[ADDR_TEXT_MAX];
        addr_text(&l->addr, text);
        strbuf_addf(out, "%s %s%s%s", i > 0 ? "," : "", text, l->tls ? " tls" : "",
                    l->proxy_protocol ? " proxy_protocol" : "");
    }
}

/* Makes the workers with their sockets, and starts their threads. */
static bool start_workers(struct server *s)
{
    const struct settings *settings = s->runtime->settings;
    char error[512] = "";
    size_t n = settings->workers > 0 ? settings->workers : 1;
    int *fds = xcalloc(n * settings->n_listens, sizeof(*fds));
    s->workers = xcalloc(n, sizeof(struct worker *));
    s->n_workers = n;
    bool ok = server_open_listens(s, settings, NULL, fds, error, sizeof(error));
    if (!ok) {
        log_error("%s", error);
        s->n_workers = 0;
    }
    for (size_t i = 0; i < s->n_workers; i++) {
        /* Each takes its descriptors, also when it cannot be made. */
        s->workers[i] =
            worker_new((unsigned)i, s->node, s->runtime, fds + i * settings->n_listens, s);
        ok = ok && s->workers[i] != NULL;
    }
    /* Connections wait in the sockets' queues meanwhile. */
    if (ok && !resolver_wait(s->resolver, NAMES_MS)) {
        log_warn("starting without the addresses of some upstream servers");
    }
    for (size_t i = 0; ok && i < s->n_workers; i++) {
        ok = worker_start(s->workers[i], s->loop, on_worker_ended);
        if (ok) {
            s->n_running++;
        } else {
            log_error("cannot start worker thread %zu of %zu: %s", i + 1, s->n_workers,
                      strerror(errno));
        }
    }
    free(fds);
    return ok;
}

/* The admin plane, beside the workers; false with its reason logged. */
static bool start_plane(struct server *s, const struct settings *settings)
{
    char error[512] = "";
    const struct admin_context context = {
        .loop = s->loop,
        .node = s->node,
        .runtime = &s->runtime,
        .workers = s->workers,
        .n_workers = s->n_workers,
        .started = s->loop->wall,
        .started_mono = s->loop->now,
        .refresh = s->refresh,
        .reload = server_reload_asked,
        .server = s,
    };
    s->plane = plane_new(&context);
    if (!plane_prepare(s->plane, settings, &s->inherited, error, sizeof(error))) {
        log_error("admin: %s", error);
        return false;
    }
    plane_commit(s->plane, settings);
    return true;
}

/* Everything up to the first accepted connection; false after the reason was logged. */
static bool start(struct server *s, struct settings *settings)
{
    char error[512] = "";
    raise_file_limit(settings);
    s->resolver = resolver_new();
    if (s->resolver == NULL) {
        return false;
    }
    s->node = node_new(settings, s->resolver);
    if (settings->redis.on) {
        s->node->redis =
            redis_tier_new(settings, s->node->journal, s->resolver, error, sizeof(error));
        if (s->node->redis == NULL) {
            log_error("cannot start: redis: %s", error);
            return false;
        }
    }
    s->runtime = runtime_new(settings, s->node, error, sizeof(error));
    if (s->runtime == NULL) {
        log_error("cannot start: %s", error);
        return false;
    }
    s->longest = server_longest_lifetime(settings);
    bool working = start_workers(s);
    s->refresh = refresh_new(s->loop, s->workers, s->n_workers);
    if (!working || !start_plane(s, settings) || !write_pid_file(settings)) {
        return false;
    }
    listen_inherited_close_rest(&s->inherited);
    s->health = health_new(s->loop, s->runtime->origins);
    refresh_configure(s->refresh, s->runtime);
    deadline_set(s->loop, &s->trim, TRIM_MS);
    deadline_set(s->loop, &s->watchdog, service_watchdog_interval());
    struct strbuf text = {0};
    server_describe(s, settings, &text);
    log_info("larder %s: %.*s", LARDER_VERSION, STR_ARG(strbuf_str(&text)));
    service_status("%.*s", STR_ARG(strbuf_str(&text)));
    service_ready();
    strbuf_free(&text);
    return true;
}

/* Ends what start() began, however far it came. No worker thread runs any more. */
static void clean_up(struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++) {
        if (s->workers[i] != NULL) {
            worker_join(s->workers[i]);
        }
    }
    server_reload_answer(&s->asked, "stopping");
    server_reload_answer(&s->asking, "stopping");
    plane_free(s->plane);
    for (size_t i = 0; i < s->n_workers; i++) {
        if (s->workers[i] != NULL) {
            worker_end(s->workers[i]);
        }
    }
    if (s->node != NULL && s->node->redis != NULL) {
        redis_tier_stop(s->node->redis);
    }
    for (size_t i = 0; i < s->n_workers; i++) {
        if (s->workers[i] != NULL) {
            worker_free(s->workers[i]);
        }
    }
    free(s->workers);
    health_free(s->health);
    if (s->runtime != NULL) {
        remove_pid_file(s->runtime->settings);
        runtime_unref(s->runtime);
    }
    if (s->next != NULL) {
        runtime_unref(s->next);
    }
    strbuf_free(&s->notes);
    if (s->signal_fd >= 0) {
        event_del(&s->signal_event);
        close(s->signal_fd);
    }
    deadline_cancel(&s->trim);
    deadline_cancel(&s->watchdog);
    if (s->refresh != NULL) {
        refresh_stop(s->refresh);
    }
    loop_free(s->loop);
    refresh_free(s->refresh);
    if (s->node != NULL) {
        redis_tier_free(s->node->redis);
        node_free(s->node);
        resolver_free(s->resolver);
    }
    listen_inherited_fini(&s->inherited);
}

int server_run(struct settings *settings, const char *path)
{
    struct server s = {.path = path, .signal_fd = -1};
    log_setup(settings->log_level, settings->log_json);
    listen_inherited_init(&s.inherited);
    s.loop = loop_new();
    if (s.loop == NULL) {
        listen_inherited_fini(&s.inherited);
        return EXIT_FAILURE;
    }
    deadline_init(&s.trim, on_trim);
    deadline_init(&s.watchdog, on_watchdog);
    bool ok = take_signals(&s) && start(&s, settings);
    if (!ok) {
        for (size_t i = 0; i < s.n_running; i++) {
            worker_drain(s.workers[i], 0);
        }
    }
    if (s.n_running > 0) {
        loop_run(s.loop);
    }
    clean_up(&s);
    if (ok) {
        log_info("stopped");
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
