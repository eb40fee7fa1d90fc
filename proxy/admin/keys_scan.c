/*
 * The Redis part of GET /keys.
 */
#include "admin/keys.h"

bool keys_scan_possible(const struct keys_page *page)
{
    (void)page;
    return false;
}

const char *keys_scan_why_not(const struct keys_page *page)
{
    (void)page;
    return "names in Redis are not listed by this version";
}

void keys_scan(struct keys_page *page)
{
    keys_page_fail(page, 501, keys_scan_why_not(page));
}
