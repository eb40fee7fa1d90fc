/*
 * Text that a peer sent, made safe for a terminal: a cached name or a path may hold escape
 * sequences (ESC, C1 controls) or characters that change the order of what is shown. Such
 * characters are printed as \xHH or \uHHHH; all other UTF-8 stays as it is.
 */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include <stdio.h>

#include "base/str.h"

/* Appends s, made safe for one line: newlines and tabs are escaped too. */
void term_add(struct strbuf *out, struct str s);

/* The same to a stream. */
void term_print(FILE *out, struct str s);

/* Prints text of several lines: newlines and tabs stay. */
void term_print_text(FILE *out, struct str s);

/* JSON that was parsed before, on one line. The characters above can stand within strings only,
 * where \uHHHH means the same. The printer ends the line. */
void term_add_json(struct strbuf *out, struct str json);
void term_print_json(FILE *out, struct str json);

/* Columns that s takes on a terminal: two for the wide characters of East Asia and for emoji,
 * none for what is drawn over the character before. */
size_t term_columns(struct str s);

/* The longest head of s of at most `columns` columns. */
struct str term_head(struct str s, size_t columns);

#endif
