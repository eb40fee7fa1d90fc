/* See json_text.h. */
#include "base/json_text.h"

#include <cjson/cJSON.h>

#include "base/utf8.h"

void json_clean_text(struct str text, struct strbuf *out)
{
    const unsigned char *p = (const unsigned char *)text.p;
    size_t i = 0;
    while (i < text.n) {
        uint32_t code;
        size_t len = p[i] >= 0x20 && p[i] < 0x7f ? 1 : utf8_sequence(p + i, text.n - i, &code);
        if (len > 0) {
            strbuf_add(out, p + i, len);
            i += len;
        } else {
            strbuf_addf(out, "%%%02X", p[i++]);
        }
    }
}

static cJSON *make(struct str text)
{
    struct strbuf clean = {0};
    if (text.p == NULL) {
        return cJSON_CreateNull();
    }
    json_clean_text(text, &clean);
    strbuf_add_char(&clean, '\0');
    cJSON *item = cJSON_CreateString(clean.p);
    strbuf_free(&clean);
    return item;
}

void json_add_text(cJSON *object, const char *name, struct str text)
{
    cJSON_AddItemToObject(object, name, make(text));
}

void json_push_text(cJSON *array, struct str text)
{
    cJSON_AddItemToArray(array, make(text));
}
