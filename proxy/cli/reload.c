/*
 * SIGHUP by pid file. A stale file may name a process that has nothing to do with Larder, and
 * SIGHUP would end it: the process must run under the name of this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/command.h"
#include "cli/options.h"
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

/* The pid file that the configuration names, on the heap; NULL after an error was printed. */
static char *find_pid_file(const char *path)
{
    struct config_report report = {0};
    struct settings *s = config_load(path, &report);
    char *pid_file = NULL;
    options_print_report(&report);
    if (s == NULL) {
        fprintf(stderr, "larder: %s is not usable; nothing was reloaded\n", path);
        return NULL;
    }
    if (s->pid_file.n > 0) {
        pid_file = str_dup(s->pid_file);
    } else {
        fprintf(stderr,
                "larder: %s has no pid_file; use --pid-file, kill -HUP, or systemctl "
                "reload\n",
                path);
    }
    settings_unref(s);
    return pid_file;
}

int cli_reload(int argc, char **argv)
{
    const char *config = NULL, *given = NULL;
    const struct option_spec specs[] = {
        {.name = "--config", .value = &config}, {.name = "--pid-file", .value = &given}, {0}};
    enum options_result r = options_parse(COMMAND_reload, argc, argv, specs, NULL);
    if (r != OPTIONS_OK) {
        return options_exit(r);
    }
    if (config != NULL && given != NULL) {
        return options_error(COMMAND_reload, "give either --config or --pid-file");
    }
    if (given != NULL) {
        return signal_by_file(given);
    }
    char *pid_file = find_pid_file(options_config_path(config));
    int code = pid_file != NULL ? signal_by_file(pid_file) : EXIT_FAILED;
    free(pid_file);
    return code;
}
