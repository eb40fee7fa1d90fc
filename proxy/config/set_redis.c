/*
 * Setter of `redis`: the URL or its parts, and how the tier behaves. An empty URL means memory
 * only, so that `${REDIS_URL:-}` works on a developer's machine too.
 */
#include "config/build.h"
#include "config/redis_url.h"

static struct str option_text(const struct conf_stmt *s, const char *name)
{
    const struct conf_arg *arg = conf_opt(s, name);
    return arg != NULL ? arg->value : STR("");
}

static void set_uncertain(struct conf_build *b, const struct conf_stmt *s,
                          struct redis_settings *out)
{
    static const char *const words[] = {"revalidate", "bypass"};
    const struct conf_arg *arg = conf_opt(s, "uncertain");

    out->uncertain = UNCERTAIN_REVALIDATE;
    if (arg == NULL) {
        return;
    }
    if (str_starts(arg->value, STR("serve:"))) {
        struct conf_arg window = *arg;

        window.value = window.text = str_skip(arg->value, 6);
        out->uncertain = UNCERTAIN_SERVE;
        (void)conf_duration(b, &window, 1, 24 * 3600 * 1000, &out->uncertain_serve);
        return;
    }
    out->uncertain =
        conf_choice(b, arg, words, 2) == 1 ? UNCERTAIN_BYPASS : UNCERTAIN_REVALIDATE;
}

static bool is_on(struct conf_build *b, const struct conf_stmt *s, const char *name,
                  bool initial)
{
    static const char *const words[] = {"off", "on"};
    const struct conf_arg *arg = conf_opt(s, name);

    return arg != NULL ? conf_choice(b, arg, words, 2) == 1 : initial;
}

static void set_intent(struct conf_build *b, const struct conf_stmt *s,
                       struct redis_settings *out)
{
    static const char *const words[] = {"off", "on", "strict"};
    static const enum intent_mode modes[] = {INTENT_OFF, INTENT_ON, INTENT_STRICT};
    const struct conf_arg *arg = conf_opt(s, "intent");
    const struct conf_arg *deadline = conf_opt(s, "intent_deadline");
    int chosen = arg != NULL ? conf_choice(b, arg, words, 3) : 0;

    out->intent = modes[chosen > 0 ? chosen : 0];
    if (deadline != NULL) {
        (void)conf_duration(b, deadline, 1000, 3600 * 1000, &out->intent_deadline);
    }
}

static void set_target(struct conf_build *b, const struct conf_stmt *s,
                       struct redis_settings *out)
{
    const struct redis_url_options parts = {
        .host = option_text(s, "host"),
        .port = option_text(s, "port"),
        .user = option_text(s, "user"),
        .password = option_text(s, "password"),
        .database = option_text(s, "database"),
        .sentinel_user = option_text(s, "sentinel_user"),
        .sentinel_password = option_text(s, "sentinel_password"),
        .tls_ca = option_text(s, "tls_ca"),
        .tls_cert = option_text(s, "tls_cert"),
        .tls_key = option_text(s, "tls_key"),
        .tls_name = option_text(s, "tls_name"),
        .tls = is_on(b, s, "tls", false),
        .tls_verify = is_on(b, s, "tls_verify", true),
    };
    struct str url = s->n_args > 0 ? s->args[0].text : STR("");
    const char *why = NULL;

    if (url.n == 0 && parts.host.n == 0) {
        return; /* memory only */
    }
    if (!redis_target_parse(url, &parts, b->keep, &out->target, &why)) {
        conf_error(b->d, s->n_args > 0 ? s->args[0].at : s->at, "%s", why);
        return;
    }
    out->on = true;
}

void set_redis(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct settings *settings = target;
    struct redis_settings *out = &settings->redis;
    const struct conf_arg *prefix = conf_opt(s, "prefix");

    conf_options_initial(DIR_redis, out);
    conf_options_given(b, s, out);
    set_uncertain(b, s, out);
    out->lease = is_on(b, s, "lease", true);
    out->causal = is_on(b, s, "causal", false);
    set_intent(b, s, out);
    if (prefix == NULL) {
        conf_error(b->d, s->at, "`redis` needs prefix=NAME");
        conf_hint(b->d, "it keeps the keys of several applications apart in one Redis");
    } else if (conf_check_name(b, prefix, "a prefix")) {
        out->prefix = prefix->value;
    }
    set_target(b, s, out);
}
