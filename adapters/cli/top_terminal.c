#include "adapters/cli/top_terminal.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

static SCREEN *screen;
static int signal_pipe[2] = { -1, -1 };
static bool utf8, colours;
static struct termios saved;

/* What a crash writes: made beforehand, since nothing may be looked up then. */
static char farewell[256];
static size_t farewell_bytes;

static const int ends[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGWINCH };
static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

static void on_signal(int number)
{
    int error = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t ignored = write(signal_pipe[1], &byte, 1);
    (void)ignored;
    errno = error;
}

/* Only what is safe in a signal handler; then the signal does what it does. */
static void on_crash(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, farewell, farewell_bytes);
    (void)ignored;
    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    signal(number, SIG_DFL);
    raise(number);
}

static void remember(const char *capability)
{
    const char *text = tigetstr(capability);
    size_t bytes = !text || text == (char *)-1 ? 0 : strlen(text);
    if (bytes == 0 || farewell_bytes + bytes > sizeof(farewell))
        return;
    memcpy(farewell + farewell_bytes, text, bytes);
    farewell_bytes += bytes;
}

int top_terminal_catch(struct bsk_error *err)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return bsk_fail(err, BSK_E_IO, NULL, "no pipe: %s", strerror(errno));
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        sigaction(ends[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a terminal that went away is an error of write() */
    return BSK_OK;
}

static void catch_crashes(void)
{
    struct sigaction action = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND }, before;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        /* A sanitizer's own handler says more than ours. */
        if (sigaction(crashes[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(crashes[i], &action, NULL);
    }
}

static void choose_colours(void)
{
    const char *refused = getenv("NO_COLOR");
    colours = !(refused && *refused) && has_colors();
    if (!colours)
        return;
    start_color();
    use_default_colors();
    /* Nearest in the 256 colours to #e8500a, #f97316, #fbbf24, #4a5468 of DESIGN.md, Findings. */
    bool many = COLORS >= 256;
    init_pair(TOP_PAINT_CRITICAL, many ? 202 : COLOR_RED, -1);
    init_pair(TOP_PAINT_HOT, many ? 208 : COLOR_RED, -1);
    init_pair(TOP_PAINT_WARM, many ? 214 : COLOR_YELLOW, -1);
    init_pair(TOP_PAINT_COOL, many ? 103 : -1, -1);
    init_pair(TOP_PAINT_ACCENT, many ? 74 : COLOR_CYAN, -1);
    init_pair(TOP_PAINT_DIM, many ? 245 : -1, -1);
    init_pair(TOP_PAINT_GOOD, many ? 71 : COLOR_GREEN, -1);
}

unsigned int top_terminal_paint(enum top_paint paint)
{
    attr_t bold = paint == TOP_PAINT_CRITICAL || paint == TOP_PAINT_HOT ? A_BOLD : A_NORMAL;
    if (!colours)
        return paint == TOP_PAINT_ACCENT ? A_BOLD : paint == TOP_PAINT_DIM ? A_DIM : bold;
    if (paint == TOP_PAINT_PLAIN)
        return A_NORMAL;
    return (unsigned int)COLOR_PAIR(paint) | (paint == TOP_PAINT_CRITICAL ? A_BOLD : A_NORMAL);
}

int top_terminal_open(struct bsk_error *err)
{
    setlocale(LC_ALL, "");
    utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    const char *type = getenv("TERM");
    tcgetattr(STDIN_FILENO, &saved);
    set_escdelay(50);
    screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return bsk_fail(err, BSK_E_UNSUPPORTED, "set TERM, to xterm-256color for example",
                        "the terminal type \"%s\" is not known", type ? type : "");
    remember("sgr0");
    remember("rmkx");
    remember("cnorm");
    remember("rmcup");
    catch_crashes();
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    intrflush(stdscr, FALSE);
    curs_set(0);
    choose_colours();
    return BSK_OK;
}

void top_terminal_close(void)
{
    if (!screen)
        return;
    curs_set(1);
    endwin();
    delscreen(screen);
    screen = NULL;
    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

int top_terminal_signal_fd(void)
{
    return signal_pipe[0];
}

int top_terminal_signal(void)
{
    unsigned char byte;
    return read(signal_pipe[0], &byte, 1) == 1 ? byte : 0;
}

void top_terminal_resize(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        resizeterm(size.ws_row, size.ws_col);
    clear();
}

bool top_terminal_utf8(void)
{
    return utf8;
}
