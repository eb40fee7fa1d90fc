/*
 * The figures that alerts look at, from where GET /stats has them. Control thread.
 */
#ifndef ADMIN_ALERT_SAMPLE_H
#define ADMIN_ALERT_SAMPLE_H

#include "admin/admin.h"
#include "admin/alert_rule.h"

/* Everything of a sample but its time. */
void alert_sample_take(const struct admin_context *context, struct alert_sample *out);

#endif
