/*
 * The tick, and what a reload keeps. The delivering thread is started with the first
 * configuration that has an alert and stays until the end, because it may hold events of the
 * configuration before.
 */
#include "admin/alert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "admin/admin.h"
#include "admin/alert_event.h"
#include "admin/alert_sample.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

#define TICK_MS 1000

struct alert {
    const struct admin_context *context;
    struct settings *settings; /* a reference: the rules point into it; NULL at first */
    struct deadline tick;
    struct alert_history *history; /* NULL while there is no alert */
    struct alert_hook
        *hook; /* NULL until there was one, or without a thread: only the log then */
    struct alert_rule *rules;
    size_t n;
    uint64_t run;  /* random, so that event ids differ between runs and nodes */
    uint64_t last; /* number of the last event */
    char node[256];
};

/* ---- events ------------------------------------------------------------------------------ */

static void tell(struct alert *a, const struct alert_rule *r, enum alert_change change)
{
    const struct alert_settings *s = r->settings;
    bool over = change == ALERT_RESOLVED;
    char id[ALERT_ID_MAX];
    struct strbuf body = {0};
    snprintf(id, sizeof(id), "%016" PRIx64 "-%" PRIu64, a->run, ++a->last);
    struct alert_event e = {
        .state = over ? "resolved" : "firing",
        .id = id,
        .node = a->node,
        .since = clock_wall() - (clock_monotonic() - r->fired_at),
        .at = clock_wall(),
        .repeated = change == ALERT_REPEATED,
    };
    log_at(over ? LOG_INFO : LOG_WARN, "alert %.*s: %s, %s", STR_ARG(s->text), e.state,
           r->detail);
    if (a->hook != NULL) {
        alert_event_body(r, &e, &body);
        alert_hook_post(a->hook, s->url, s->secret, s->text, id, strbuf_str(&body));
        strbuf_free(&body);
    }
}

static void look(struct alert *a)
{
    struct alert_sample sample;
    alert_sample_take(a->context, &sample);
    sample.at = clock_monotonic();
    alert_history_add(a->history, &sample);
}

static void on_tick(struct deadline *d)
{
    struct alert *a = container_of(d, struct alert, tick);
    look(a);
    for (size_t i = 0; i < a->n; i++) {
        enum alert_change change = alert_rule_step(&a->rules[i], a->history);
        if (change != ALERT_SAME) {
            tell(a, &a->rules[i], change);
        }
    }
    deadline_set(a->context->loop, &a->tick, TICK_MS);
}

/* ---- configurations ---------------------------------------------------------------------- */

static bool same_alert(const struct alert_settings *a, const struct alert_settings *b)
{
    return str_eq(a->text, b->text) && str_eq(a->url, b->url);
}

/* Takes the state of rules that are still there; ends those that are not. */
static void adopt(struct alert *a, struct alert_rule *next, size_t n)
{
    for (size_t i = 0; i < a->n; i++) {
        struct alert_rule *old = &a->rules[i];
        size_t k = 0;
        while (k < n && !same_alert(old->settings, next[k].settings)) {
            k++;
        }
        if (k < n) {
            const struct alert_settings *settings = next[k].settings;
            next[k] = *old;
            next[k].settings = settings;
        } else if (old->firing) {
            snprintf(old->detail, sizeof(old->detail), "no longer in the configuration");
            tell(a, old, ALERT_RESOLVED);
        }
    }
}

void alert_use(struct alert *a, struct settings *settings)
{
    size_t n = settings->n_alerts;
    struct alert_rule *rules = xcalloc(n + 1, sizeof(*rules));
    for (size_t i = 0; i < n; i++) {
        rules[i].settings = &settings->alerts[i];
    }
    adopt(a, rules, n);
    free(a->rules);
    a->rules = rules;
    a->n = n;
    if (a->settings != NULL) {
        settings_unref(a->settings);
    }
    a->settings = settings_ref(settings);
    if (n == 0) {
        deadline_cancel(&a->tick);
        alert_history_free(a->history);
        a->history = NULL;
        return;
    }
    if (a->history == NULL) {
        a->history = alert_history_new();
        look(a); /* what the next one is compared with */
    }
    if (a->hook == NULL) {
        a->hook = alert_hook_new(&alert_hook_timing_default);
    }
    if (!deadline_armed(&a->tick)) {
        deadline_set(a->context->loop, &a->tick, TICK_MS);
    }
}

struct alert *alert_new(const struct admin_context *context)
{
    struct alert *a = xcalloc(1, sizeof(*a));
    a->context = context;
    deadline_init(&a->tick, on_tick);
    (void)RAND_bytes((unsigned char *)&a->run, sizeof(a->run));
    if (gethostname(a->node, sizeof(a->node) - 1) != 0) {
        snprintf(a->node, sizeof(a->node), "unknown");
    }
    return a;
}

void alert_free(struct alert *a)
{
    if (a == NULL) {
        return;
    }
    deadline_cancel(&a->tick);
    alert_hook_free(a->hook);
    alert_history_free(a->history);
    free(a->rules);
    if (a->settings != NULL) {
        settings_unref(a->settings);
    }
    free(a);
}

const struct alert_rule *alert_rules(const struct alert *a, size_t *n)
{
    *n = a->n;
    return a->rules;
}

uint64_t alert_count(const struct alert *a, enum alert_hook_counter which)
{
    return a->hook != NULL ? alert_hook_count(a->hook, which) : 0;
}
