/*
 * Field names (RFC 9110 section 5.1) known to Larder, from tbl/fields.def: an id for each, what
 * class it belongs to, and a fast case-insensitive lookup. Read-only after field_table_init().
 */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Ids of known fields; FIELD_OTHER is any name not in the table. */
enum field_id {
    FIELD_OTHER,
#define FIELD(id, name, flags) FIELD_##id,
#include "tbl/fields.def"
#undef FIELD
    FIELD_COUNT
};

/* Classes of known fields (bits of the table's flags column). */
enum field_flag {
    FIELD_HOP = 1 << 0,       /* hop-by-hop: never forwarded nor stored (RFC 9110 7.6.1) */
    FIELD_PROTECTED = 1 << 1, /* may not be named by Connection: 400 (hardening H2) */
    FIELD_SINGLETON = 1 << 2, /* more than one line is an error where Larder decides by it */
    FIELD_SHARED = 1 << 3,    /* request: forwarded on cached routes (the allow-list) */
    FIELD_OURS = 1 << 4,      /* set by Larder on what it forwards; a client's is not passed on
                                 as it is (Via, X-Forwarded-*, Forwarded) */
    FIELD_LIST = 1 << 5,      /* comma-separated list */
};

/* Fills the lookup table. Runs by itself before main(); again is harmless. */
void field_table_init(void) __attribute__((constructor));

/* Id of a name in any letter case. */
enum field_id field_lookup(struct str name);

/* Canonical spelling ("Content-Type"); STR("") for FIELD_OTHER. */
struct str field_name(enum field_id id);

/* Flags of enum field_flag; 0 for FIELD_OTHER. */
unsigned field_flags(enum field_id id);

#endif
