/*
 * The audit log: one line of the error log for each change that was asked for through the admin
 * plane, refused or done: who, what, result. Tokens and bodies are never in it; what a handler
 * adds with admin_audit() is.
 */
#include "admin/call.h"
#include "base/log.h"

void audit_write(const struct admin_call *call, int status)
{
    struct str target = str_make(call->target.p, str_index(call->target, '?'));
    log_info("audit: %.*s %.*s %.*s %d%s%.*s", STR_ARG(call->peer), STR_ARG(call->method_name),
             STR_ARG(target), status, call->note.n > 0 ? " " : "", STR_ARG(call->note));
}
