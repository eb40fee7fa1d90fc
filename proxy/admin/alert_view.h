/*
 * The alerts as GET /stats shows them, for those who have no receiver of
 * webhooks. Control thread.
 */
#ifndef ADMIN_ALERT_VIEW_H
#define ADMIN_ALERT_VIEW_H

struct alert;
struct cJSON;

/*
 * {"sent","failed","dropped","firing": how many,"rules":[{"alert","firing","since","detail"}]}
 * in the order of the configuration; since is null while it does not fire, detail until there
 * is something to judge by. Never a URL or a secret. To be freed by the caller.
 */
struct cJSON *alert_view_json(const struct alert *a) __attribute__((warn_unused_result));

#endif
