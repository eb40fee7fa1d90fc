/*
 * GraphQL documents and requests. The first byte chooses the Content-Type, the first line is
 * the operationName, the rest a document or a body.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "http/graphql.h"
#include "http/media_type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* The kind of `before` document `after`. */
static enum graphql_kind kind_within(const char *before, struct str document, const char *after)
{
    struct strbuf text = {0};
    strbuf_add_str(&text, str_from(before));
    strbuf_add_str(&text, document);
    strbuf_add_str(&text, str_from(after));
    enum graphql_kind kind = graphql_document(strbuf_str(&text), STR_NULL);
    strbuf_free(&text);
    return kind;
}

static void check_document(struct str document)
{
    enum graphql_kind kind = graphql_document(document, STR_NULL);
    require(kind_within(" \xEF\xBB\xBF#\"\n", document, "") == kind);
    if (kind != GRAPHQL_UNKNOWN) {
        /* Understood to its end: what follows is seen for what it is. A text that is no
         * document may become one that cannot be read. */
        enum graphql_kind more = kind_within("", document, "\nmutation M { a }");
        require(more == GRAPHQL_MUTATION || kind == GRAPHQL_NONE);
        more = kind_within("mutation M { a }\n", document, "");
        require(more == GRAPHQL_MUTATION || kind == GRAPHQL_NONE);
    }
    bool holds = false;
    for (size_t i = 0; i + 8 <= document.n; i++) {
        holds = holds || str_ieq(str_make(document.p + i, 8), STR("mutation"));
    }
    require(holds || kind != GRAPHQL_MUTATION);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {
        "application/json", "application/graphql", "application/x-www-form-urlencoded",
        "text/plain",       "a/b;charset=utf-16",
    };
    if (size == 0) {
        return 0;
    }
    struct str input = str_make((const char *)data + 1, size - 1);
    struct str name = str_make(input.p, str_index(input, '\n'));
    struct str document = str_skip(input, name.n + 1);
    check_document(document);
    enum graphql_kind all = graphql_document(document, STR_NULL);
    enum graphql_kind one = graphql_document(document, name);
    require(one <= all);
    (void)graphql_request(str_from(types[data[0] % 5]), document);
    struct strbuf out = {0}, again = {0};
    media_type_canonical(name, &out);
    media_type_canonical(strbuf_str(&out), &again);
    require(str_eq(strbuf_str(&out), strbuf_str(&again)));
    strbuf_free(&out);
    strbuf_free(&again);
    return 0;
}
