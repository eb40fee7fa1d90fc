/*
 * The table of known fields. A lookup hashes length, first, middle and last byte into a small
 * open-addressed table: one comparison for nearly every known name, none for most unknown ones.
 */
#include "http/field.h"

#include <assert.h>
#include <stddef.h>

#define SLOTS 256u /* over three times the number of names */

struct known_field {
    struct str name;
    unsigned flags;
};

static const struct known_field known[FIELD_COUNT] = {
#define FIELD(id, name, flags) [FIELD_##id] = {{(name), sizeof(name) - 1}, (flags)},
#include "tbl/fields.def"
#undef FIELD
};

static uint8_t slots[SLOTS]; /* field ids; FIELD_OTHER: empty */
static bool ready;

static unsigned slot_of(struct str name)
{
    unsigned first = (unsigned char)ascii_lower(name.p[0]);
    unsigned middle = (unsigned char)ascii_lower(name.p[name.n / 2]);
    unsigned last = (unsigned char)ascii_lower(name.p[name.n - 1]);
    return ((unsigned)name.n * 37u + first * 5u + middle * 11u + last * 73u) % SLOTS;
}

void field_table_init(void)
{
    if (ready) {
        return;
    }
    for (unsigned id = 1; id < FIELD_COUNT; id++) {
        unsigned at = slot_of(known[id].name);
        while (slots[at] != FIELD_OTHER) {
            at = (at + 1) % SLOTS;
        }
        slots[at] = (uint8_t)id;
    }
    ready = true;
}

enum field_id field_lookup(struct str name)
{
    assert(ready); /* without the table no framing field would be known */
    if (name.n == 0) {
        return FIELD_OTHER;
    }
    for (unsigned at = slot_of(name); slots[at] != FIELD_OTHER; at = (at + 1) % SLOTS) {
        if (str_ieq(known[slots[at]].name, name)) {
            return (enum field_id)slots[at];
        }
    }
    return FIELD_OTHER;
}

struct str field_name(enum field_id id)
{
    return known[id].name;
}

unsigned field_flags(enum field_id id)
{
    return known[id].flags;
}
