/*
 * proxy.conf's bytes to words, braces and ends of statements (design section 4). Called by the
 * parser only. Reports bad bytes and unfinished strings itself and always goes on, so that one
 * slip does not hide the next.
 */
#ifndef CONFIG_LEXER_H
#define CONFIG_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/diag.h"

enum conf_token_kind {
    TOKEN_WORD,
    TOKEN_OPEN,  /* { as a token of its own */
    TOKEN_CLOSE, /* } as a token of its own */
    TOKEN_END,   /* newline or ; */
    TOKEN_EOF,
};

struct conf_token {
    enum conf_token_kind kind;
    struct conf_span at;
    struct str raw;  /* as in the file, with quotes */
    struct str text; /* without quotes and escapes; before ${NAME} is replaced */
    size_t name_len; /* bytes before the = of name=value; 0: not an option */
    bool quoted;     /* "…" as a whole: never an option or a directive */
    bool bad;        /* a message was given; the statement is not used */
};

struct conf_lexer {
    struct conf_diags *d;
    uint32_t source;
    struct str text;
    size_t pos;
    uint32_t line;
};

/* Starts on a registered source; checks its bytes (UTF-8, no control bytes) once. */
void conf_lexer_init(struct conf_lexer *lx, struct conf_diags *d, uint32_t source);

/* The next token; after TOKEN_EOF always TOKEN_EOF. Texts live in d->arena. */
struct conf_token conf_lexer_next(struct conf_lexer *lx);

/* Is this byte part of an option's name? */
bool conf_is_option_byte(char c);

#endif
