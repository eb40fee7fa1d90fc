/*
 * The alerts of proxy.conf: every second the control thread takes a sample of the statistics,
 * looks at each rule and hands what begins or ends to the thread that delivers webhooks.
 * Everything on the control thread. Nothing runs where no alert is configured.
 */
#ifndef ADMIN_ALERT_H
#define ADMIN_ALERT_H

#include <stddef.h>
#include <stdint.h>

#include "admin/alert_hook.h"
#include "admin/alert_rule.h"
#include "settings.h"

struct alert;
struct admin_context;

/* Never NULL; without rules until alert_use(). context must outlive it. */
struct alert *alert_new(const struct admin_context *context)
    __attribute__((warn_unused_result));
/* Before its loop. NULL is allowed. */
void alert_free(struct alert *a);

/* The settings that are in force now, at the start and after a reload; a reference is kept.
 * Alerts that are still there keep their state; those that are gone while they fire are
 * reported as resolved. */
void alert_use(struct alert *a, struct settings *settings);

/* The rules as of the last second, and how deliveries went. */
const struct alert_rule *alert_rules(const struct alert *a, size_t *n);
uint64_t alert_count(const struct alert *a, enum alert_hook_counter which);

#endif
