/*
 * A tokenizer with the lexical grammar of GraphQL (October 2021, section 2) and, on top of it,
 * no more of the document's grammar than finds the operations: definitions, their heads, and
 * balanced groups. Names inside strings, comments, selections and arguments are never taken for
 * keywords, because only the first token of a definition is one.
 */
#include "http/graphql.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "base/mem.h"
#include "http/media_type.h"

#define GROUPS_MAX 200 /* groups inside groups; deeper documents are unknown */
#define JSON_DEPTH JSON_MAX_DEPTH

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_MARK, /* one punctuator; "..." is one too */
    TOKEN_BAD,
};

struct token {
    enum token_kind kind;
    struct str text;
};

static enum graphql_kind worse(enum graphql_kind a, enum graphql_kind b)
{
    return a > b ? a : b;
}

/* ---- tokens ----------------------------------------------------------------------------- */

static bool is_name_start(char c)
{
    char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* White space, line ends, commas, comments and byte order marks mean nothing (2.1). */
static void skip_ignored(struct str *rest)
{
    for (;;) {
        char c = rest->n > 0 ? rest->p[0] : 'x';
        if (c == '#') {
            while (rest->n > 0 && rest->p[0] != '\n' && rest->p[0] != '\r') {
                *rest = str_skip(*rest, 1);
            }
        } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
            *rest = str_skip(*rest, 1);
        } else if (str_starts(*rest, STR("\xEF\xBB\xBF"))) {
            *rest = str_skip(*rest, 3);
        } else {
            return;
        }
    }
}

/* Length of a """block string""", in which only \""" is an escape; 0 when it does not end. */
static size_t block_string_length(struct str s)
{
    size_t i = 3;
    while (i + 3 <= s.n) {
        if (memcmp(s.p + i, "\"\"\"", 3) == 0) {
            return i + 3;
        }
        i += i + 4 <= s.n && memcmp(s.p + i, "\\\"\"\"", 4) == 0 ? 4 : 1;
    }
    return 0;
}

/* Length of a string at the start of s; 0 when it does not end, or not on its line. */
static size_t string_length(struct str s)
{
    if (str_starts(s, STR("\"\"\""))) {
        return block_string_length(s);
    }
    for (size_t i = 1; i < s.n && s.p[i] != '\n' && s.p[i] != '\r'; i++) {
        if (s.p[i] == '"') {
            return i + 1;
        }
        i += s.p[i] == '\\';
    }
    return 0;
}

/* What the token at the start of s is, and how long. */
static enum token_kind measure(struct str s, size_t *length)
{
    char c = s.p[0];
    size_t n = 1;
    *length = n;
    if (is_name_start(c)) {
        while (n < s.n && (is_name_start(s.p[n]) || is_digit(s.p[n]))) {
            n++;
        }
        *length = n;
        return TOKEN_NAME;
    }
    if (is_digit(c) || c == '-') {
        while (n < s.n && (is_name_start(s.p[n]) || is_digit(s.p[n]) ||
                           memchr("+-.", s.p[n], 3) != NULL)) {
            n++;
        }
        *length = n;
        return TOKEN_NUMBER;
    }
    if (c == '"') {
        *length = string_length(s);
        return *length > 0 ? TOKEN_STRING : TOKEN_BAD;
    }
    if (str_starts(s, STR("..."))) {
        *length = 3;
        return TOKEN_MARK;
    }
    return c != '\0' && memchr("!$&():=@[]{|}", c, 13) != NULL ? TOKEN_MARK : TOKEN_BAD;
}

static struct token next_token(struct str *rest)
{
    skip_ignored(rest);
    if (rest->n == 0) {
        return (struct token){TOKEN_END, STR_NULL};
    }
    size_t n;
    enum token_kind kind = measure(*rest, &n);
    struct token t = {kind, str_make(rest->p, n)};
    *rest = str_skip(*rest, n);
    return t;
}

static bool is_mark(struct token t, char c)
{
    return t.kind == TOKEN_MARK && t.text.n == 1 && t.text.p[0] == c;
}

static bool is_word(struct token t, struct str word)
{
    return t.kind == TOKEN_NAME && str_eq(t.text, word);
}

/* ---- documents -------------------------------------------------------------------------- */

/* A document being read. */
struct document {
    struct str rest;
    struct str wanted;       /* operationName; empty: none */
    enum graphql_kind all;   /* the worst of all operations */
    enum graphql_kind named; /* the one that is wanted */
    unsigned matches;        /* operations of the wanted name */
};

/* The rest of a group whose opening mark has been taken, with the groups inside it. */
static bool skip_group(struct str *rest, char opening)
{
    char closing[GROUPS_MAX] = {0};
    size_t depth = 0;
    char c = opening;
    for (;;) {
        if (c == '(' || c == '[' || c == '{') {
            if (depth == GROUPS_MAX) {
                return false;
            }
            closing[depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        } else if (c == ')' || c == ']' || c == '}') {
            if (depth == 0 || c != closing[--depth]) {
                return false;
            }
            if (depth == 0) {
                return true;
            }
        }
        struct token t = next_token(rest);
        if (t.kind == TOKEN_END || t.kind == TOKEN_BAD) {
            return false;
        }
        c = t.kind == TOKEN_MARK ? t.text.p[0] : 'x';
    }
}

/* What follows a definition's name: variables and directives, then the selection set. */
static bool skip_definition(struct str *rest, struct token t)
{
    for (;; t = next_token(rest)) {
        if (is_mark(t, '{')) {
            return skip_group(rest, '{');
        }
        if (is_mark(t, '(')) {
            if (!skip_group(rest, '(')) {
                return false;
            }
        } else if (!is_mark(t, '@') || next_token(rest).kind != TOKEN_NAME) {
            return false;
        }
    }
}

static void note_operation(struct document *d, enum graphql_kind kind, struct str name)
{
    d->all = worse(d->all, kind);
    if (d->wanted.n > 0 && str_eq(d->wanted, name)) {
        d->named = kind;
        d->matches++;
    }
}

static bool read_operation(struct document *d, enum graphql_kind kind)
{
    struct token t = next_token(&d->rest);
    struct str name = STR("");
    if (t.kind == TOKEN_NAME) {
        name = t.text;
        t = next_token(&d->rest);
    }
    note_operation(d, kind, name);
    return skip_definition(&d->rest, t);
}

/* fragment NAME [(variables)] on TYPE …; variables are an extension of some servers. */
static bool read_fragment(struct document *d)
{
    struct token t = next_token(&d->rest);
    if (t.kind != TOKEN_NAME || is_word(t, STR("on"))) {
        return false;
    }
    t = next_token(&d->rest);
    if (is_mark(t, '(')) {
        if (!skip_group(&d->rest, '(')) {
            return false;
        }
        t = next_token(&d->rest);
    }
    if (!is_word(t, STR("on")) || next_token(&d->rest).kind != TOKEN_NAME) {
        return false;
    }
    return skip_definition(&d->rest, next_token(&d->rest));
}

static bool read_definition(struct document *d, struct token t)
{
    if (t.kind == TOKEN_STRING) {
        t = next_token(&d->rest); /* a description */
    }
    if (is_mark(t, '{')) {
        note_operation(d, GRAPHQL_QUERY, STR(""));
        return skip_group(&d->rest, '{');
    }
    if (is_word(t, STR("query"))) {
        return read_operation(d, GRAPHQL_QUERY);
    }
    if (is_word(t, STR("mutation"))) {
        return read_operation(d, GRAPHQL_MUTATION);
    }
    if (is_word(t, STR("subscription"))) {
        return read_operation(d, GRAPHQL_SUBSCRIPTION);
    }
    return is_word(t, STR("fragment")) && read_fragment(d); /* no type system: not executed */
}

static bool contains(struct str text, struct str word)
{
    for (size_t i = 0; i + word.n <= text.n; i++) {
        if (ascii_lower(text.p[i]) == word.p[0] &&
            str_ieq(str_make(text.p + i, word.n), word)) {
            return true;
        }
    }
    return false;
}

/* Could a parser that reads on after an error, or a later language, execute this as anything
 * but a query? Not what has no such operation in it, nor what begins no definition. */
static bool may_execute(struct str document)
{
    static const struct str starts[] = {
        {"query", 5},     {"mutation", 8}, {"subscription", 12}, {"fragment", 8}, {"extend", 6},
        {"directive", 9}, {"schema", 6},   {"type", 4},          {"input", 5},    {"enum", 4},
        {"interface", 9}, {"union", 5},    {"scalar", 6},
    };
    if (!contains(document, STR("mutation")) && !contains(document, STR("subscription"))) {
        return false;
    }
    struct token t = next_token(&document);
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (t.kind == TOKEN_NAME && str_ieq(t.text, starts[i])) {
            return true;
        }
    }
    return is_mark(t, '{') || t.kind == TOKEN_STRING;
}

enum graphql_kind graphql_document(struct str document, struct str operation_name)
{
    struct document d = {.rest = document, .wanted = operation_name};
    struct token t = next_token(&d.rest);
    while (t.kind != TOKEN_END) {
        if (!read_definition(&d, t)) {
            return may_execute(document) ? GRAPHQL_UNKNOWN : GRAPHQL_NONE;
        }
        t = next_token(&d.rest);
    }
    return d.matches == 1 ? d.named : d.all;
}

/* ---- requests --------------------------------------------------------------------------- */

/* Does this member tell of an operation that the server knows by another name? */
static bool is_persisted(const struct cJSON *member)
{
    static const char *const ids[] = {"documentId", "doc_id", "queryId", "operationName"};
    struct str name = str_from(member->string);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (str_ieq(name, str_from(ids[i])) && cJSON_IsString(member)) {
            return true;
        }
    }
    if (str_ieq(name, STR("variables"))) {
        return cJSON_IsObject(member);
    }
    return str_ieq(name, STR("extensions")) && json_get(member, STR("persistedQuery")) != NULL;
}

/* The operationName, if there is one only: some servers take members of any case. */
static struct str wanted_operation(const struct cJSON *object)
{
    const struct cJSON *found = NULL;
    for (const struct cJSON *m = object->child; m != NULL; m = m->next) {
        if (str_ieq(str_from(m->string), STR("operationName"))) {
            if (found != NULL) {
                return STR_NULL;
            }
            found = m;
        }
    }
    return json_string(found);
}

static enum graphql_kind classify_object(const struct cJSON *object)
{
    struct str operation = wanted_operation(object);
    enum graphql_kind kind = GRAPHQL_NONE;
    bool persisted = false;
    for (const struct cJSON *m = object->child; m != NULL; m = m->next) {
        if (str_ieq(str_from(m->string), STR("query"))) {
            kind = worse(kind, graphql_document(json_string(m), operation));
        } else {
            persisted = persisted || is_persisted(m);
        }
    }
    return kind == GRAPHQL_NONE && persisted ? GRAPHQL_UNKNOWN : kind;
}

static enum graphql_kind classify_json(const struct cJSON *tree)
{
    enum graphql_kind kind = GRAPHQL_NONE;
    if (cJSON_IsObject(tree)) {
        return classify_object(tree);
    }
    for (const struct cJSON *m = cJSON_IsArray(tree) ? tree->child : NULL; m != NULL;
         m = m->next) {
        if (cJSON_IsObject(m)) {
            kind = worse(kind, classify_object(m));
        }
    }
    return kind;
}

/* A body that could not be read: does it hold anything that a server could take for more than a
 * query? An escape or a NUL (UTF-16) could spell it. */
static enum graphql_kind classify_text(struct str body)
{
    static const struct str words[] = {
        {"mutation", 8},       {"subscription", 12}, {"persistedquery", 14},
        {"documentid", 10},    {"doc_id", 6},        {"queryid", 7},
        {"operationname", 13}, {"variables", 9},     {"\\u", 2},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (contains(body, words[i])) {
            return GRAPHQL_UNKNOWN;
        }
    }
    return str_index(body, '\0') < body.n ? GRAPHQL_UNKNOWN : GRAPHQL_NONE;
}

/* application/x-www-form-urlencoded, which some servers take. */
static enum graphql_kind classify_form(struct str body)
{
    char *text = xmalloc(body.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < body.n; i++) {
        text[n] = body.p[i];
        if (body.p[i] == '%' && body.n - i > 2 && hex_value(body.p[i + 1]) >= 0 &&
            hex_value(body.p[i + 2]) >= 0) {
            text[n] = (char)(hex_value(body.p[i + 1]) << 4 | hex_value(body.p[i + 2]));
            i += 2;
        }
        n++;
    }
    enum graphql_kind kind = classify_text(str_make(text, n));
    free(text);
    return kind;
}

/* Is the text in a coding of which ASCII is a part, as all checks here suppose? */
static bool is_utf8(struct str content_type)
{
    struct str charset = media_type_param(content_type, STR("charset"));
    return charset.p == NULL || str_ieq(charset, STR("utf-8")) ||
           str_ieq(charset, STR("utf8")) || str_ieq(charset, STR("us-ascii"));
}

static bool looks_like_json(struct str body)
{
    size_t i = 0;
    while (i < body.n && memchr(" \t\r\n", body.p[i], 4) != NULL) {
        i++;
    }
    return i < body.n && (body.p[i] == '{' || body.p[i] == '[');
}

enum graphql_kind graphql_request(struct str content_type, struct str body)
{
    struct str type = media_type_essence(content_type);
    if (!is_utf8(content_type)) {
        return GRAPHQL_UNKNOWN;
    }
    if (str_ieq(type, STR("application/graphql"))) {
        enum graphql_kind kind = graphql_document(body, STR_NULL);
        return kind == GRAPHQL_NONE ? GRAPHQL_UNKNOWN : kind;
    }
    if (media_type_is_json(type) || looks_like_json(body)) {
        struct cJSON *tree = json_parse(body, body.n, JSON_DEPTH, NULL);
        if (tree != NULL) {
            enum graphql_kind kind = classify_json(tree);
            json_free(tree);
            return kind;
        }
    }
    if (str_ieq(type, STR("application/x-www-form-urlencoded"))) {
        return classify_form(body);
    }
    return classify_text(body);
}
