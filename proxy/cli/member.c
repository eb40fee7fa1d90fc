/*
 * Three significant digits are enough for people; --json has them all.
 */
#include "cli/member.h"

#include <math.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "cli/term.h"

const struct cJSON *member_find(const struct cJSON *json, const char *path)
{
    struct str rest = str_from(path), name;
    if (rest.n == 0) {
        return json;
    }
    while (json != NULL && str_next(&rest, '.', &name)) {
        json = json_get(json, name);
    }
    return json;
}

double member_number(const struct cJSON *json, const char *path)
{
    const struct cJSON *item = member_find(json, path);
    return item != NULL && cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

struct str member_text(const struct cJSON *json, const char *path)
{
    return json_string(member_find(json, path));
}

bool member_true(const struct cJSON *json, const char *path)
{
    const struct cJSON *item = member_find(json, path);
    return item != NULL && cJSON_IsTrue(item);
}

const struct cJSON *member_first(const struct cJSON *json, const char *path)
{
    const struct cJSON *item = member_find(json, path);
    return item != NULL && (cJSON_IsArray(item) || cJSON_IsObject(item)) ? item->child : NULL;
}

const struct cJSON *member_next(const struct cJSON *item)
{
    return item->next;
}

void show_count(struct strbuf *out, double n)
{
    if (isnan(n)) {
        strbuf_add_char(out, '-');
    } else {
        strbuf_addf(out, "%.0f", n);
    }
}

/* Three digits with a unit. */
static void show_scaled(struct strbuf *out, double n, const char *unit)
{
    strbuf_addf(out, "%.*f %s", n >= 100 ? 0 : n >= 10 ? 1 : 2, n, unit);
}

void show_bytes(struct strbuf *out, double n)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    unsigned unit = 0;
    if (isnan(n)) {
        strbuf_add_char(out, '-');
        return;
    }
    while (n >= 1024 && unit < 5) {
        n /= 1024;
        unit++;
    }
    if (unit == 0) {
        strbuf_addf(out, "%.0f B", n);
    } else {
        show_scaled(out, n, units[unit]);
    }
}

void show_percent(struct strbuf *out, double n)
{
    if (isnan(n)) {
        strbuf_add_char(out, '-');
    } else {
        strbuf_addf(out, "%.1f %%", n);
    }
}

void show_ms(struct strbuf *out, double ms)
{
    if (isnan(ms)) {
        strbuf_add_char(out, '-');
    } else if (ms < 1000) {
        show_scaled(out, ms, "ms");
    } else {
        show_scaled(out, ms / 1000, "s");
    }
}

void show_seconds(struct strbuf *out, double s)
{
    if (isnan(s)) {
        strbuf_add_char(out, '-');
    } else if (fabs(s) < 60) {
        strbuf_addf(out, "%.0fs", s);
    } else if (fabs(s) < 3600) {
        strbuf_addf(out, "%dm %02ds", (int)(s / 60), (int)fabs(fmod(s, 60)));
    } else if (fabs(s) < 86400) {
        strbuf_addf(out, "%dh %02dm", (int)(s / 3600), (int)fabs(fmod(s, 3600) / 60));
    } else {
        strbuf_addf(out, "%.0fd %02dh", trunc(s / 86400), (int)fabs(fmod(s, 86400) / 3600));
    }
}

void show_text(struct strbuf *out, struct str text)
{
    if (text.n == 0) {
        strbuf_add_char(out, '-');
    } else {
        term_add(out, text);
    }
}

double member_value(const struct cJSON *item)
{
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

struct str member_name(const struct cJSON *item)
{
    return str_from(item->string);
}
