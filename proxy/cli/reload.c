/*
 * `larder reload`: POST /reload, or SIGHUP by pid file. A stale file may name a process that
 * has nothing to do with Larder, and SIGHUP would end it: the process must run under the name
 * of this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/member.h"
#include "cli/options.h"
#include "cli/term.h"
#include "config.h"

/* The first line of a small file, without its newline. False with errno. */
static bool read_line(const char *path, char *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, out, cap - 1);
    close(fd);
    if (n < 0) {
        return false;
    }
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return true;
}

static bool same_program(pid_t pid)
{
    char path[64], theirs[64], ours[64];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    return read_line(path, theirs, sizeof(theirs)) &&
           read_line("/proc/self/comm", ours, sizeof(ours)) && strcmp(theirs, ours) == 0;
}

static int signal_by_file(const char *pid_file)
{
    char text[32];
    uint64_t pid;
    if (!read_line(pid_file, text, sizeof(text))) {
        fprintf(stderr, "larder: cannot read the pid file %s: %s%s\n", pid_file,
                strerror(errno), errno == ENOENT ? "; is larder running?" : "");
        return EXIT_FAILED;
    }
    if (!str_to_u64(str_from(text), INT32_MAX, &pid) || pid < 2) {
        fprintf(stderr, "larder: the pid file %s does not hold a process id\n", pid_file);
        return EXIT_FAILED;
    }
    if (!same_program((pid_t)pid)) {
        fprintf(stderr, "larder: process %d of %s does not run or is not larder\n", (int)pid,
                pid_file);
        return EXIT_FAILED;
    }
    if (kill((pid_t)pid, SIGHUP) != 0) {
        fprintf(stderr, "larder: cannot signal process %d: %s\n", (int)pid, strerror(errno));
        return EXIT_FAILED;
    }
    printf("larder (process %d) was told to reload; its log says what came of it\n", (int)pid);
    return EXIT_OK;
}

/* How to go on when the plane that the configuration names is not the one that runs. */
static const char *way_out(const struct admin_reply *reply)
{
    return reply->status == 401
               ? "after an edit of the token give the old one, or send larder SIGHUP "
                 "(systemctl reload, kill -HUP, or --pid-file FILE)"
               : "after an edit of `admin` ask the old address with --admin ADDRESS, or send "
                 "larder SIGHUP (systemctl reload, kill -HUP, or --pid-file FILE)";
}

/* What went wrong at the other end: every line of it. */
static void print_refusal(const struct admin_client *c, const struct admin_reply *reply,
                          enum exit_code code)
{
    struct str detail = member_text(reply->json, "detail");
    if (reply->status != 422 || code != EXIT_FAILED || detail.n == 0) {
        fprintf(stderr, "larder: %s\n", admin_client_why(c));
        return;
    }
    term_print_text(stderr, detail);
    fprintf(stderr, "\nlarder: nothing was reloaded\n");
}

/* `configured`: the address is that of the configuration, whose pid_file (NULL: it has none) is
 * what to go by when the plane cannot be asked. The exit code. */
static int ask_to_reload(const struct admin_options *o, bool configured, const char *pid_file)
{
    enum exit_code code;
    struct admin_client *c = admin_client_new(o, &code);
    if (c == NULL) {
        return code;
    }
    struct admin_reply reply;
    const struct admin_ask ask = {
        .method = "POST", .target = STR("/reload"), .expect = "status"};
    int result = (int)admin_client_ask(c, &ask, &reply);
    if (result == EXIT_OK) {
        printf("larder at %s has reloaded\n", admin_client_address(c));
    } else if (result != EXIT_UNREACHABLE || !configured) {
        print_refusal(c, &reply, (enum exit_code)result);
    } else if (pid_file == NULL) {
        fprintf(stderr, "larder: %s; %s\n", admin_client_why(c), way_out(&reply));
    } else {
        fprintf(stderr, "larder: %s; going by the pid file %s instead\n", admin_client_why(c),
                pid_file);
        result = signal_by_file(pid_file);
    }
    admin_client_free(c);
    return result;
}

/* By the admin plane or the pid file that the configuration names, after a look at it: errors
 * are seen where the command was typed, and not only in the log. */
static int reload_by_config(const struct admin_options *o)
{
    const char *path = options_config_path(o->config);
    struct config_report report = {0};
    struct settings *s = config_load(path, &report);
    options_print_report(&report);
    if (s == NULL) {
        fprintf(stderr, "larder: %s is not usable; nothing was reloaded\n", path);
        return EXIT_FAILED;
    }
    char *pid_file = s->pid_file.n > 0 ? str_dup(s->pid_file) : NULL;
    bool admin = s->admin.on;
    int code = EXIT_FAILED;
    settings_unref(s);
    if (admin) {
        code = ask_to_reload(o, true, pid_file);
    } else if (pid_file != NULL) {
        code = signal_by_file(pid_file);
    } else {
        fprintf(stderr,
                "larder: %s has neither admin nor pid_file; use --pid-file, kill -HUP, or "
                "systemctl reload\n",
                path);
    }
    free(pid_file);
    return code;
}

int cli_reload(int argc, char **argv)
{
    struct admin_options admin = {0};
    const char *given = NULL;
    const struct option_spec specs[] = {
        ADMIN_OPTION_SPECS(&admin), {.name = "--pid-file", .value = &given}, {0}};
    enum options_result r = options_parse(COMMAND_reload, argc, argv, specs, NULL);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    if (given != NULL && (admin.config != NULL || admin.admin != NULL)) {
        return options_error(COMMAND_reload, "--pid-file goes without --config and --admin");
    }
    if (given != NULL) {
        return signal_by_file(given);
    }
    return admin.admin != NULL ? ask_to_reload(&admin, false, NULL) : reload_by_config(&admin);
}
