/*
 * GET /metrics and GET /stats. The page of metrics is rendered over several turns of the loop
 * when it is long.
 */
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "admin/alert_view.h"
#include "admin/health_view.h"
#include "admin/metrics.h"
#include "admin/stats_json.h"
#include "admin/table.h"
#include "base/loop.h"
#include "base/mem.h"

static struct stats_source source_of(const struct admin_call *call)
{
    const struct admin_context *c = admin_context(call);
    return (struct stats_source){.node = c->node,
                                 .runtime = *c->runtime,
                                 .workers = c->workers,
                                 .n_workers = c->n_workers,
                                 .now = c->loop->now,
                                 .started = c->started_mono};
}

/* A page under way. */
struct page_job {
    struct mail mail;        /* to our own loop: the next turn */
    struct admin_call *call; /* NULL: its client has left */
    struct loop *loop;
    struct metrics_page *page;
};

static void job_free(struct page_job *job)
{
    metrics_page_free(job->page);
    free(job);
}

static void on_turn(struct mail *m)
{
    struct page_job *job = container_of(m, struct page_job, mail);
    if (job->call == NULL) {
        job_free(job);
    } else if (metrics_page_more(job->page)) {
        loop_post(job->loop, &job->mail);
    } else {
        admin_text(job->call, 200, METRICS_TYPE, metrics_page_text(job->page));
        job_free(job);
    }
}

static void on_gone(void *ctx)
{
    ((struct page_job *)ctx)->call = NULL;
}

void endpoint_metrics(struct admin_call *call)
{
    const struct stats_source from = source_of(call);
    struct metrics_page *page = metrics_page_new(&from, admin_context(call)->alert);
    if (!metrics_page_more(page)) {
        admin_text(call, 200, METRICS_TYPE, metrics_page_text(page));
        metrics_page_free(page);
        return;
    }
    struct page_job *job = xcalloc(1, sizeof(*job));
    job->mail.fn = on_turn;
    job->call = call;
    job->loop = admin_context(call)->loop;
    job->page = page;
    admin_keep(call, on_gone, job);
    loop_post(job->loop, &job->mail);
}

void endpoint_stats(struct admin_call *call)
{
    const struct stats_source from = source_of(call);
    cJSON *tree = stats_json(&from);
    enum health_status status = health_view_status(admin_context(call)->health);
    cJSON_AddStringToObject(tree, "status", health_status_name(status));
    cJSON_AddItemToObject(tree, "alerts", alert_view_json(admin_context(call)->alert));
    admin_json(call, 200, tree);
}
