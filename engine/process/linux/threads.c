#include "engine/base/room.h"
#include "engine/process/linux/core.h"
#include "engine/process/linux/held.h"
#include "engine/process/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS_MAX = 65536 };

static int open_of(const struct bsk_process *process, pid_t tid, const char *name)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)process->pid, (int)tid, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* One line of a small /proc file; returns its bytes or -1. `kept_fd` < 0: opens and closes. */
static ssize_t look(const struct bsk_process *process, pid_t tid, const char *name, int kept_fd,
                    char *line, size_t size)
{
    int fd = kept_fd >= 0 ? kept_fd : open_of(process, tid, name);
    if (fd < 0)
        return -1;
    ssize_t got = pread(fd, line, size - 1, 0);
    if (fd != kept_fd)
        close(fd);
    if (got >= 0)
        line[got] = '\0';
    return got;
}

/* "NSpid: 4711 12": the last one is what the thread calls itself. */
static pid_t tid_inside(const struct bsk_process *process, pid_t tid)
{
    char text[8192];
    pid_t inside = tid;
    if (look(process, tid, "status", -1, text, sizeof(text)) <= 0)
        return tid;
    const char *at = strstr(text, "\nNSpid:");
    if (!at)
        return tid;
    at += strlen("\nNSpid:");
    for (char *end = NULL; *at && *at != '\n'; at = end) {
        long value = strtol(at, &end, 10);
        if (end == at)
            break;
        inside = (pid_t)value;
    }
    return inside;
}

static void close_thread(struct bsk_thread *thread)
{
    if (thread->schedstat_fd >= 0)
        close(thread->schedstat_fd);
    if (thread->stat_fd >= 0)
        close(thread->stat_fd);
}

static int by_tid(const void *left, const void *right)
{
    const struct bsk_thread *a = left, *b = right;
    return (a->tid > b->tid) - (a->tid < b->tid);
}

struct bsk_thread *bsk_threads_find(struct bsk_threads *threads, pid_t tid)
{
    struct bsk_thread key = { .tid = tid };
    if (threads->count == 0)
        return NULL;
    return bsearch(&key, threads->items, threads->count, sizeof(key), by_tid);
}

static bool add(struct bsk_process *process, struct bsk_threads *threads, pid_t tid)
{
    if (!bsk_room_for_one(&threads->items, threads->count, &threads->capacity,
                          sizeof(*threads->items)))
        return false;
    threads->items[threads->count++] = (struct bsk_thread){
        .tid = tid,
        .tid_inside = tid_inside(process, tid),
        .schedstat_fd = open_of(process, tid, "schedstat"),
        .stat_fd = open_of(process, tid, "stat"),
        .listed_in = threads->round,
    };
    return true;
}

/* Those of a core are always the same ones. Their numbers are as they saw them themselves. */
static int take_those_of_core(const struct bsk_process *process, struct bsk_threads *threads,
                              struct bsk_error *err)
{
    const struct bsk_core *core = process->core;
    if (threads->count > 0)
        return BSK_OK;
    for (size_t i = 0; i < core->thread_count; i++) {
        if (!bsk_room_for_one(&threads->items, threads->count, &threads->capacity,
                              sizeof(*threads->items)))
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        threads->items[threads->count++] = (struct bsk_thread){ .tid = core->threads[i].tid,
                                                                .tid_inside = core->threads[i].tid,
                                                                .schedstat_fd = -1,
                                                                .stat_fd = -1 };
    }
    return BSK_OK;
}

int bsk_threads_refresh(struct bsk_process *process, struct bsk_threads *threads,
                        struct bsk_error *err)
{
    char path[64];
    if (process->core)
        return take_those_of_core(process, threads, err);
    snprintf(path, sizeof(path), "/proc/%d/task", (int)process->pid);
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? bsk_process_not_found(process->pid, err)
                               : bsk_fail(err, BSK_E_IO, NULL, "%s: %s", path, strerror(errno));
    threads->round++;
    size_t known = threads->count;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid <= 0)
            continue;
        size_t now = threads->count;
        threads->count = known; /* only these are sorted yet */
        struct bsk_thread *thread = bsk_threads_find(threads, tid);
        threads->count = now;
        if (thread) {
            thread->listed_in = threads->round;
        } else if (threads->count < THREADS_MAX && !add(process, threads, tid)) {
            closedir(folder);
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        }
    }
    closedir(folder);
    size_t kept = 0;
    for (size_t i = 0; i < threads->count; i++) {
        if (threads->items[i].listed_in == threads->round)
            threads->items[kept++] = threads->items[i];
        else
            close_thread(&threads->items[i]);
    }
    threads->count = kept;
    if (kept == 0)
        return bsk_process_not_found(process->pid, err);
    qsort(threads->items, kept, sizeof(threads->items[0]), by_tid);
    return BSK_OK;
}

void bsk_threads_free(struct bsk_threads *threads)
{
    for (size_t i = 0; i < threads->count; i++)
        close_thread(&threads->items[i]);
    free(threads->items);
    *threads = (struct bsk_threads){ 0 };
}

/* "RUN WAIT TURNS": nanoseconds, nanoseconds, count. */
int bsk_thread_cpu_ns(struct bsk_process *process, struct bsk_thread *thread, uint64_t *out_ns,
                      uint64_t *out_turns)
{
    char line[96], *at = line;
    if (process->core) {
        const struct bsk_core_thread *known = bsk_core_thread(process->core, thread->tid);
        *out_ns = known ? known->cpu_ns : 0;
        *out_turns = 0;
        return known ? BSK_OK : BSK_E_GONE;
    }
    if (look(process, thread->tid, "schedstat", thread->schedstat_fd, line, sizeof(line)) <= 0)
        return BSK_E_GONE;
    *out_ns = strtoull(at, &at, 10);
    (void)strtoull(at, &at, 10);
    *out_turns = strtoull(at, NULL, 10);
    return BSK_OK;
}

int bsk_thread_state(struct bsk_process *process, struct bsk_thread *thread, char *out_state)
{
    char line[512];
    if (process->core) {
        const struct bsk_core_thread *known = bsk_core_thread(process->core, thread->tid);
        *out_state = known ? known->state : '?';
        return known ? BSK_OK : BSK_E_GONE;
    }
    if (look(process, thread->tid, "stat", thread->stat_fd, line, sizeof(line)) <= 0)
        return BSK_E_GONE;
    const char *name_end = strrchr(line, ')'); /* a thread's name may hold anything, ')' too */
    if (!name_end || name_end[1] != ' ')
        return BSK_E_GONE;
    *out_state = name_end[2];
    return BSK_OK;
}

int32_t bsk_thread_call(struct bsk_process *process, const struct bsk_thread *thread,
                        uint64_t *out_argument)
{
    char line[256], *at = line;
    *out_argument = 0;
    if (process->core) {
        const struct bsk_core_thread *known = bsk_core_thread(process->core, thread->tid);
        *out_argument = known && known->call == SYS_futex ? known->argument : 0;
        return known ? known->call : BSK_CALL_UNKNOWN;
    }
    if (look(process, thread->tid, "syscall", -1, line, sizeof(line)) <= 0)
        return BSK_CALL_UNKNOWN;
    if (strncmp(line, "-1 ", 3) == 0)
        return BSK_CALL_FAULT;
    if (line[0] < '0' || line[0] > '9') /* "running" */
        return BSK_CALL_UNKNOWN;
    unsigned long number = strtoul(at, &at, 10); /* then its arguments, in hexadecimal */
    *out_argument = strtoull(at, NULL, 16);
    return number <= INT32_MAX ? (int32_t)number : BSK_CALL_UNKNOWN;
}
