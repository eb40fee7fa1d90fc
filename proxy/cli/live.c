/*
 * Signals come through a descriptor (signalfd), so that neither a request nor a wait has to be
 * interrupted: whatever happens, the terminal is given back. The screen is drawn line by line
 * over the old one, which does not flicker.
 */
#include "cli/live.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/term.h"

#define INTERVAL_DEFAULT (2 * 1000)
#define INTERVAL_MIN     100
#define INTERVAL_MAX     (3600 * 1000)

void live_init(struct live *l)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTSTP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    l->screen = l->over = false;
    if (l->signal_fd < 0) {
        sigprocmask(SIG_UNBLOCK, &set, NULL); /* then they end the process as ever */
    }
}

static void give_back(struct live *l)
{
    if (l->screen) {
        fputs("\033[?25h\033[?1049l", stdout);
        fflush(stdout);
    }
    l->screen = false;
}

void live_fini(struct live *l)
{
    give_back(l);
    if (l->signal_fd >= 0) {
        close(l->signal_fd);
    }
}

bool live_wait(struct live *l, msec_t time)
{
    struct pollfd p = {.fd = l->signal_fd, .events = POLLIN};
    struct signalfd_siginfo info;
    if (l->over || poll(&p, 1, (int)time) <= 0) {
        return !l->over;
    }
    bool pause = read(l->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info) &&
                 info.ssi_signo == SIGTSTP;
    l->over = !pause;
    if (pause) {
        give_back(l);
        (void)raise(SIGSTOP);
    }
    return pause;
}

bool live_is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

/* Prints the lines of a text, each cut at the screen's edge; returns the rows that are left. */
static size_t show_lines(struct str text, size_t rows, size_t columns)
{
    while (text.n > 0 && rows > 0) {
        struct str line = str_make(text.p, str_index(text, '\n'));
        struct str head = term_head(line, columns - 1); /* EL at the edge takes a letter */
        printf("%.*s\033[K%s", STR_ARG(head), rows > 1 ? "\n" : "");
        text = str_skip(text, line.n + 1);
        rows--;
    }
    return rows;
}

void live_show(struct live *l, struct str head, struct str text)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
        size.ws_row = 24;
        size.ws_col = 80;
    }
    fputs(l->screen ? "\033[H" : "\033[?1049h\033[?25l\033[H", stdout);
    l->screen = true;
    size_t rows = show_lines(head, size.ws_row, size.ws_col);
    show_lines(text, rows, size.ws_col);
    fputs("\033[J", stdout);
    fflush(stdout);
}

bool live_read_interval(const char *text, msec_t *out)
{
    const char *why;
    *out = INTERVAL_DEFAULT;
    if (text == NULL) {
        return true;
    }
    if (duration_parse(str_from(text), out, &why) && *out >= INTERVAL_MIN &&
        *out <= INTERVAL_MAX) {
        return true;
    }
    fprintf(stderr, "larder: --interval wants a duration from 100ms to 1h\n");
    return false;
}

/* ---- views ------------------------------------------------------------------------------- */

static void print_once(const struct live_view *v, const struct admin_reply *reply)
{
    if (v->json) {
        term_print_json(stdout, reply->text);
    } else {
        v->draw(reply->json, stdout, v->arg);
    }
}

/* One more drawing, or what stands above the old one while there is no answer. */
static void show(struct live *l, const struct live_view *v, struct admin_client *c,
                 enum exit_code code, const struct admin_reply *reply, struct strbuf *text)
{
    struct strbuf head = {0};
    if (code == EXIT_OK && v->json) {
        term_print_json(stdout, reply->text);
        fflush(stdout);
    } else if (code == EXIT_OK) {
        char *drawn = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&drawn, &n);
        v->draw(reply->json, out, v->arg);
        fclose(out);
        strbuf_free(text);
        strbuf_add(text, drawn, n);
        free(drawn);
    }
    if (!v->json) {
        if (code != EXIT_OK) {
            strbuf_addf(&head, "%s (trying again)\n", admin_client_why(c));
        }
        live_show(l, strbuf_str(&head), strbuf_str(text));
    }
    strbuf_free(&head);
}

static void repeat(struct admin_client *c, const struct live_view *v, struct live *l,
                   struct admin_reply *reply)
{
    struct strbuf text = {0};
    enum exit_code code = EXIT_OK;
    do {
        show(l, v, c, code, reply, &text);
        if (!live_wait(l, v->interval)) {
            break;
        }
        code = admin_client_ask(c, &v->ask, reply);
    } while (live_wait(l, 0));
    strbuf_free(&text);
}

/* On a terminal, until the end is asked for. */
static int run_live(struct admin_client *c, const struct live_view *v)
{
    struct live l;
    struct admin_reply reply;
    live_init(&l);
    admin_client_stop_on(c, l.signal_fd);
    enum exit_code code = admin_client_ask(c, &v->ask, &reply);
    if (!live_wait(&l, 0)) {
        code = EXIT_OK;
    } else if (code == EXIT_OK) {
        repeat(c, v, &l, &reply);
    } else {
        fprintf(stderr, "larder: %s\n", admin_client_why(c));
    }
    live_fini(&l);
    return (int)code;
}

int live_run(struct admin_client *c, const struct live_view *v)
{
    struct admin_reply reply;
    if (v->repeat && live_is_terminal()) {
        return run_live(c, v);
    }
    enum exit_code code = admin_client_fetch(c, &v->ask, &reply);
    if (code == EXIT_OK) {
        print_once(v, &reply);
        code = fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
    }
    return (int)code;
}
