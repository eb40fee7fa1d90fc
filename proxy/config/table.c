/*
 * tbl/directives.def expanded into arrays.
 */
#include "config/table.h"

#include "settings.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define YEAR   (366 * DAY)
#define KB     (INT64_C(1) << 10)
#define MB     (INT64_C(1) << 20)
#define GB     (INT64_C(1) << 30)
#define TB     (INT64_C(1) << 40)

#define ARGS(min, max)  min, max
#define RANGE(min, max) min, max
#define NO_RANGE        0, 0
#define IN(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)
#define NO_FIELD        0, 0

#define OPTION(...)
#define DIRECTIVE(id, name, contexts, form, args, kind, field, initial, range, flags, setter, \
                  example, brief, text)                                                       \
    [DIR_##id] = {name,    form,  contexts, args,    KIND_##kind, field,                      \
                  initial, range, flags,    example, brief,       text},

const struct conf_directive conf_directives[DIRECTIVE_COUNT] = {
#include "tbl/directives.def"
};

#undef DIRECTIVE
#undef OPTION
#define DIRECTIVE(...)
#define OPTION(directive, name, form, kind, field, initial, range, flags, text) \
    {DIR_##directive, name, form, KIND_##kind, field, initial, range, flags, text},

const struct conf_option conf_options[] = {
#include "tbl/directives.def"
};

const size_t conf_n_options = sizeof(conf_options) / sizeof(conf_options[0]);

const struct conf_directive *conf_directive_find(struct str word, unsigned context)
{
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        if ((conf_directives[i].contexts & context) != 0 && word.n > 0 &&
            conf_directives[i].name[0] == word.p[0] &&
            str_eq(word, str_from(conf_directives[i].name))) {
            return &conf_directives[i];
        }
    }
    return NULL;
}

const struct conf_directive *conf_directive_form(const struct conf_directive *d,
                                                 struct str second)
{
    struct str first = str_from(d->name);

    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct conf_directive *form = &conf_directives[i];

        if (form->name[0] != first.p[0] || (form->flags & CONF_LATER) != 0) {
            continue; /* this runs for every statement */
        }
        struct str name = str_from(form->name);
        if (name.n > first.n && name.p[first.n] == ' ' && str_starts(name, first) &&
            str_eq(str_skip(name, first.n + 1), second)) {
            return form;
        }
    }
    return NULL;
}

const struct conf_option *conf_option_find(enum conf_directive_id id, struct str name)
{
    for (size_t i = 0; i < conf_n_options; i++) {
        if (conf_options[i].directive == id && str_eq(name, str_from(conf_options[i].name))) {
            return &conf_options[i];
        }
    }
    return NULL;
}

bool conf_takes_options(enum conf_directive_id id)
{
    if ((conf_directives[id].flags & CONF_ANY_OPTIONS) != 0) {
        return true;
    }
    for (size_t i = 0; i < conf_n_options; i++) {
        if (conf_options[i].directive == id) {
            return true;
        }
    }
    return false;
}
