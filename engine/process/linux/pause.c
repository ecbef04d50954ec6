#include "engine/process/pause.h"

#include "engine/process/process.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

enum {
    ROUNDS_MAX = 16, /* over the list of threads: those that are stopped last may have begun some */
    WAIT_MS = 1000,  /* for all threads together */
    EVENT_SHIFT = 16,
};

struct held {
    pid_t tid;
    bool stopped;
    int signal; /* that it was about to get: it gets it when it goes on */
};

struct bsk_pause {
    struct held *threads;
    size_t count, capacity;
};

static bool is_held(const struct bsk_pause *pause, pid_t tid)
{
    for (size_t i = 0; i < pause->count; i++)
        if (pause->threads[i].tid == tid)
            return true;
    return false;
}

/* Who traces it already, in words. */
static void find_tracer(pid_t tid, char *out, size_t size)
{
    char path[64], line[256], command[128];
    int tracer = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "TracerPid: %d", &tracer) == 1)
            break;
    if (file)
        fclose(file);
    out[0] = '\0';
    if (tracer > 0) {
        bsk_process_command((pid_t)tracer, command, sizeof(command));
        snprintf(out, size, "process %d (%s)", tracer, command);
    }
}

/* 1: it is new and will stop; 0: it has ended; an error where it may not be stopped. */
static int seize(struct bsk_pause *pause, pid_t pid, pid_t tid, struct bsk_error *err)
{
    char tracer[256];
    if (pause->count == pause->capacity) {
        size_t capacity = pause->capacity ? pause->capacity * 2 : 16;
        struct held *grown = realloc(pause->threads, capacity * sizeof(grown[0]));
        if (!grown)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        pause->threads = grown;
        pause->capacity = capacity;
    }
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
        if (errno == ESRCH)
            return 0;
        find_tracer(tid, tracer, sizeof(tracer));
        if (tracer[0])
            return bsk_fail(err, BSK_E_PERMISSION, "wait until it is done, or leave --blocking out",
                            "process %d is held by %s already", (int)pid, tracer);
        return bsk_process_refused(pid, err);
    }
    pause->threads[pause->count++] = (struct held){ .tid = tid };
    (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    return 1;
}

/* How many threads of the list were not held yet, or an error. */
static int seize_new(struct bsk_pause *pause, pid_t pid, struct bsk_error *err)
{
    char path[64];
    int fresh = 0, rc = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    if (!folder)
        return bsk_process_not_found(pid, err);
    for (struct dirent *entry = readdir(folder); entry && rc >= 0; entry = readdir(folder)) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid <= 0 || is_held(pause, tid))
            continue;
        rc = seize(pause, pid, tid, err);
        fresh += rc > 0;
    }
    closedir(folder);
    return rc < 0 ? rc : fresh;
}

/* Takes what the kernel says of one thread. True: there is nothing more to wait for. */
static bool look(struct held *thread)
{
    int status;
    if (thread->stopped)
        return true;
    pid_t got = waitpid(thread->tid, &status, __WALL | WNOHANG);
    if (got == 0)
        return false;
    thread->stopped = got == thread->tid && WIFSTOPPED(status);
    if (thread->stopped && status >> EVENT_SHIFT == 0)
        thread->signal = WSTOPSIG(status);
    return true;
}

static void wait_for_all(struct bsk_pause *pause)
{
    struct timespec now, begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (bool all = false; !all;) {
        all = true;
        for (size_t i = 0; i < pause->count; i++)
            all = look(&pause->threads[i]) && all;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 > WAIT_MS)
            return;
        if (!all)
            nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
}

int bsk_process_pause(pid_t pid, struct bsk_pause **out_pause, struct bsk_error *err)
{
    int fresh = 1;
    struct bsk_pause *pause = calloc(1, sizeof(*pause));
    if (!pause)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    for (int round = 0; fresh > 0 && round < ROUNDS_MAX; round++) {
        fresh = seize_new(pause, pid, err);
        wait_for_all(pause);
    }
    if (fresh < 0) {
        bsk_process_resume(pause);
        return fresh;
    }
    *out_pause = pause;
    return BSK_OK;
}

void bsk_process_resume(struct bsk_pause *pause)
{
    if (!pause)
        return;
    for (size_t i = 0; i < pause->count; i++) {
        struct held *thread = &pause->threads[i];
        (void)look(thread); /* one that took more than its second */
        if (thread->stopped)
            (void)ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(intptr_t)thread->signal);
    }
    free(pause->threads);
    free(pause);
}
