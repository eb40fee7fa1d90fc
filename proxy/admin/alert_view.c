/*
 * Reading the rules as the last tick left them.
 */
#include "admin/alert_view.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

#include "admin/alert.h"
#include "admin/health_view.h"
#include "base/clock.h"

static cJSON *rule_tree(const struct alert_rule *r)
{
    cJSON *o = cJSON_CreateObject();
    char since[HEALTH_TIME_MAX];
    char *text = str_dup(r->settings->text);
    cJSON_AddStringToObject(o, "alert", text);
    free(text);
    cJSON_AddBoolToObject(o, "firing", r->firing);
    if (r->firing) {
        health_time(clock_wall() - (clock_monotonic() - r->fired_at), since);
        cJSON_AddStringToObject(o, "since", since);
    } else {
        cJSON_AddNullToObject(o, "since");
    }
    if (r->detail[0] != '\0') {
        cJSON_AddStringToObject(o, "detail", r->detail);
    } else {
        cJSON_AddNullToObject(o, "detail");
    }
    return o;
}

struct cJSON *alert_view_json(const struct alert *a)
{
    static const char *const names[] = {
#define HOOK(id, name, metric, label, value, help) [ALERT_HOOK_##id] = name,
#include "tbl/counters.def"
    };
    size_t n, firing = 0;
    const struct alert_rule *rules = alert_rules(a, &n);
    cJSON *o = cJSON_CreateObject();
    for (unsigned i = 0; i < ALERT_HOOK_COUNTERS; i++) {
        cJSON_AddNumberToObject(o, names[i],
                                (double)alert_count(a, (enum alert_hook_counter)i));
    }
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < n; i++) {
        firing += rules[i].firing;
        cJSON_AddItemToArray(list, rule_tree(&rules[i]));
    }
    cJSON_AddNumberToObject(o, "firing", (double)firing);
    cJSON_AddItemToObject(o, "rules", list);
    return o;
}
