/*
 * GET /keys and GET /keys/NAME for the memory tier. A walk over a million entries is cut into
 * turns of the control thread's loop, which has other calls to answer; a page ends when it is
 * full, or after a second, and the cursor in it says where the next one begins.
 *
 * Cursors are texts for their maker only: "l1.SHARD.PLACE.SKIP", and for Redis
 * "l2.SLOT.CONNECTION.CURSOR.AFTER" (struct keys_scan_place).
 */
#include "admin/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "admin/keys_json.h"
#include "admin/table.h"
#include "base/mem.h"
#include "cache/glob.h"
#include "cache/redis_slots.h"
#include "flow/node.h"

#define LIMIT_DEFAULT  100
#define LIMIT_MAX      1000
#define STEPS_PER_TURN 16 /* of l1_walk(): some 1000 entries */
#define PAGE_MS        1000

/* ---- memory ----------------------------------------------------------------------------- */

/* Takes an entry that matches; false when the page is full and this one is for the next. */
static bool on_listed(struct entry *e, void *ctx)
{
    struct keys_page *page = ctx;
    if (page->pattern != NULL && !glob_match(str_from(page->pattern), entry_name(e)) &&
        !glob_match(str_from(page->pattern), entry_base_name(entry_name(e)))) {
        return true;
    }
    if (page->n == page->limit) {
        return false;
    }
    cJSON_AddItemToArray(page->keys,
                         keys_json_item(e, "l1", page->node->journal, page->loop->wall));
    page->n++;
    return true;
}

static void page_free(struct keys_page *page)
{
    cJSON_Delete(page->tree);
    free(page->pattern);
    free(page);
}

/* cursor NULL: there is no more. */
void keys_page_end(struct keys_page *page, const char *cursor)
{
    if (page->call != NULL) {
        if (cursor != NULL) {
            cJSON_AddStringToObject(page->tree, "cursor", cursor);
        } else {
            cJSON_AddNullToObject(page->tree, "cursor");
        }
        if (page->missing[0] != '\0') {
            cJSON_AddStringToObject(page->tree, "missing", page->missing);
        } else {
            cJSON_AddNullToObject(page->tree, "missing");
        }
        admin_json(page->call, 200, page->tree);
        page->tree = NULL;
    }
    page_free(page);
}

void keys_page_fail(struct keys_page *page, int status, const char *why)
{
    if (page->call != NULL) {
        admin_problem(page->call, status, "%s", why);
    }
    page_free(page);
}

static void end_memory(struct keys_page *page, bool more)
{
    char cursor[80];
    if (more) {
        snprintf(cursor, sizeof(cursor), "l1.%" PRIu64 ".%" PRIx64 ".%" PRIu64,
                 page->place.shard, page->place.at, page->place.skip);
        keys_page_end(page, cursor);
    } else if (page->l2_too) {
        keys_page_end(page, "l2.0.0.0.0");
    } else {
        keys_page_end(page, NULL);
    }
}

static void on_turn(struct mail *m)
{
    struct keys_page *page = container_of(m, struct keys_page, mail);
    bool more = true;
    bool full = false;
    if (page->call == NULL) {
        page_free(page); /* perhaps at the end of the process: nothing else is looked at */
        return;
    }
    for (int i = 0; i < STEPS_PER_TURN && more && !full; i++) {
        more = l1_walk(page->node->l1, &page->place, on_listed, page);
        full = page->n == page->limit;
    }
    if (!more || full || page->loop->now >= page->until) {
        end_memory(page, more);
        return;
    }
    loop_post(page->loop, &page->mail);
}

/* ---- the question ----------------------------------------------------------------------- */

static void on_gone(void *ctx)
{
    struct keys_page *page = ctx;
    page->call = NULL;
    if (page->scanning != NULL) { /* else there is mail on its way */
        keys_scan_stop(page);
        page_free(page);
    }
}

/* Where the page begins; false for what was never given out. */
static bool read_cursor(struct keys_page *page, const char *text)
{
    int end = 0;
    struct l1_place *p = &page->place;
    struct keys_scan_place *s = &page->scan;
    if (text == NULL) {
        return true;
    }
    if (sscanf(text, "l1.%" SCNu64 ".%" SCNx64 ".%" SCNu64 "%n", &p->shard, &p->at, &p->skip,
               &end) == 3 &&
        text[end] == '\0' && page->l1) {
        return true;
    }
    page->l1 = false;
    return sscanf(text, "l2.%" SCNu64 ".%" SCNu64 ".%" SCNu64 ".%" SCNu64 "%n", &s->slot,
                  &s->connection, &s->cursor, &s->after, &end) == 4 &&
           text[end] == '\0' && s->slot < REDIS_SLOTS && page->l2_too;
}

static struct keys_page *page_new(struct admin_call *call)
{
    const struct admin_context *x = admin_context(call);
    struct keys_page *page = xcalloc(1, sizeof(*page));
    const char *pattern = admin_query(call, "pattern");
    const char *tier = admin_query(call, "tier");
    page->call = call;
    page->node = x->node;
    page->loop = x->loop;
    page->limit = LIMIT_DEFAULT;
    page->pattern = pattern != NULL ? str_dup(str_from(pattern)) : NULL;
    page->l1 = tier == NULL || strcmp(tier, "l1") == 0;
    page->l2_only = !page->l1;
    page->l2_too = x->node->redis != NULL && (tier == NULL || page->l2_only);
    page->until = x->loop->now + PAGE_MS;
    page->tree = cJSON_CreateObject();
    page->keys = cJSON_AddArrayToObject(page->tree, "keys");
    return page;
}

void endpoint_keys(struct admin_call *call)
{
    const char *tier = admin_query(call, "tier");
    const char *pattern = admin_query(call, "pattern");
    uint64_t limit = LIMIT_DEFAULT;
    if (tier != NULL && strcmp(tier, "l1") != 0 && strcmp(tier, "l2") != 0) {
        admin_problem(call, 400, "`tier` is l1 (memory) or l2 (Redis)");
        return;
    }
    if (pattern != NULL && strlen(pattern) > GLOB_MAX) {
        admin_problem(call, 400, "`pattern` has more than %d bytes", GLOB_MAX);
        return;
    }
    if (!admin_query_number(call, "limit", LIMIT_MAX, &limit)) {
        return;
    }
    struct keys_page *page = page_new(call);
    page->limit = limit > 0 ? limit : 1;
    if (!read_cursor(page, admin_query(call, "cursor"))) {
        keys_page_fail(page, 400, "`cursor` is what an answer before gave");
        return;
    }
    if (!page->l1 && !page->l2_too) {
        keys_page_fail(page, 501, "there is no Redis in the configuration");
        return;
    }
    admin_keep(call, on_gone, page);
    if (page->l1) {
        page->mail.fn = on_turn;
        loop_post(page->loop, &page->mail);
    } else {
        keys_scan(page);
    }
}
