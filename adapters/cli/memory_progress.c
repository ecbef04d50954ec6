#include "adapters/cli/memory_progress.h"

#include "engine/base/clock.h"
#include "engine/base/strings.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { REDRAW_MS = 250 };

struct cli_memory_progress {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char what[160];
    uint64_t since_ns;
    double seconds; /* to wait for; 0: not known */
    bool ended;
};

static void put(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored; /* a terminal that is gone sees nothing */
}

static void draw(const struct cli_memory_progress *progress)
{
    struct winsize size = { 0 };
    char line[256], shown[256], out[300];
    size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    double passed = (double)(bsk_now_ns() - progress->since_ns) / 1e9;
    if (progress->seconds > 0)
        snprintf(line, sizeof(line), "%s in %.0f s  Ctrl-C: now, and no more", progress->what,
                 passed < progress->seconds ? progress->seconds - passed : 0);
    else
        snprintf(line, sizeof(line), "%s  %.1f s", progress->what, passed);
    /* A line that is wider than the terminal would wrap, and could not be taken back. */
    bsk_utf8_copy(shown, columns < sizeof(shown) ? columns : sizeof(shown), line);
    snprintf(out, sizeof(out), "\r\033[K%s\r", shown);
    put(out);
}

static void *redraw(void *argument)
{
    struct cli_memory_progress *progress = argument;
    pthread_mutex_lock(&progress->lock);
    while (!progress->ended) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REDRAW_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        if (progress->what[0])
            draw(progress);
        pthread_cond_timedwait(&progress->changed, &progress->lock, &until);
    }
    pthread_mutex_unlock(&progress->lock);
    return NULL;
}

struct cli_memory_progress *cli_memory_progress_open(void)
{
    const char *terminal = getenv("TERM");
    sigset_t all, before;
    if (!isatty(STDERR_FILENO) || (terminal && strcmp(terminal, "dumb") == 0))
        return NULL;
    struct cli_memory_progress *progress = calloc(1, sizeof(*progress));
    if (!progress)
        return NULL;
    pthread_mutex_init(&progress->lock, NULL);
    pthread_cond_init(&progress->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* Ctrl-C is for who waits */
    int rc = pthread_create(&progress->thread, NULL, redraw, progress);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return progress;
    free(progress);
    return NULL;
}

void cli_memory_progress_say(struct cli_memory_progress *progress, double seconds,
                             const char *format, ...)
{
    char what[sizeof(progress->what)];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (!progress)
        return;
    pthread_mutex_lock(&progress->lock);
    memcpy(progress->what, what, sizeof(what));
    progress->seconds = seconds;
    progress->since_ns = bsk_now_ns();
    pthread_cond_signal(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
}

void cli_memory_progress_close(struct cli_memory_progress *progress)
{
    if (!progress)
        return;
    pthread_mutex_lock(&progress->lock);
    progress->ended = true;
    pthread_cond_signal(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
    pthread_join(progress->thread, NULL);
    put("\r\033[K");
    pthread_cond_destroy(&progress->changed);
    pthread_mutex_destroy(&progress->lock);
    free(progress);
}
