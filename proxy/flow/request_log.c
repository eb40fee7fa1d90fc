/*
 * The record of a finished request. It is made once, for the access log and for the last
 * requests alike; neither keeps a pointer into the request.
 */
#include "flow/request_log.h"

#include "flow/accesslog.h"
#include "flow/node.h"
#include "flow/recent.h"
#include "flow/reply.h"
#include "http/forwarded.h"

void request_log_end(struct request *rq, int64_t end_us)
{
    const struct settings *s = config_settings(rq->config);
    struct worker *w = rq->worker;
    bool logged = s->log_access && w->access != NULL;
    if ((!logged && !s->admin.on) || rq->status == 0 ||
        (rq->route != NULL && !rq->route->access_log)) {
        return;
    }
    bool kept = s->admin.on && recent_wants(w->recent, rq->result == CACHE_HIT, w->loop->now);
    if (!logged && !kept) {
        return;
    }
    bool from_cache = rq->result == CACHE_HIT || rq->result == CACHE_STALE;
    const struct access_record record = {
        .time = rq->wall_start,
        .id = logged ? request_id(rq) : rq->id, /* nobody else has heard of a new one */
        .client = forwarded_client(&s->trusted_proxies, &rq->peer, &rq->msg, &rq->arena),
        .method = rq->msg.method_name,
        .host = rq->host.name,
        .path = rq->msg.target,
        .route = rq->route != NULL ? rq->route->label : STR(""),
        .cache = reply_result_word(rq->result),
        .reason = rq->reason_text,
        .tier = !from_cache      ? STR("")
                : rq->from_redis ? STR("l2")
                                 : STR("l1"),
        .status = rq->status,
        .bytes = rq->bytes_sent,
        .request_bytes = rq->body_bytes,
        .total_us = rq->start_us != 0 ? end_us - rq->start_us : -1,
        .upstream_us = rq->fetch_start_us != 0 ? rq->upstream_us : -1,
        .upstream = rq->upstream,
        .protocol = rq->msg.minor == 1 ? STR("HTTP/1.1") : STR("HTTP/1.0"),
        .agent = msg_get(&rq->msg, FIELD_USER_AGENT),
        .tls = rq->tls,
    };
    if (logged) {
        accesslog_write(w->access, &record);
    }
    if (kept) {
        recent_add(w->recent, &record);
    }
}
