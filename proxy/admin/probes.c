/*
 * Probes and health.
 */
#include "admin/table.h"

void endpoint_livez(struct admin_call *call)
{
    admin_text(call, 200, "text/plain; charset=utf-8", STR("ok\n"));
}
