#include "engine/process/pause.h"

#include "engine/base/clock.h"
#include "engine/base/room.h"
#include "engine/process/process.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS_MAX = 16, /* over the list of threads: those that are stopped last may have begun some */
    EVENT_SHIFT = 8, /* of what waitid() tells: the event stands above the signal */
    SIGNAL_MASK = (1 << EVENT_SHIFT) - 1,
    NAP_NS = 20000,
    AWAKE_NS = 150000, /* a stop mostly takes less: a nap would be longer than what is left */
};

static const uint64_t all_limit_ns = 1000000000;

struct held {
    pid_t tid;
    enum { ASKED, STOPPED, ENDED } state;
    int signal; /* that it was about to get: it gets it when it goes on */
};

struct bsk_pause {
    pid_t pid;
    struct held *threads;
    size_t count, capacity;
    uint64_t begun_ns; /* when the first of those that are held was asked; 0: none is */
    struct bsk_pause_cost cost;
};

static struct held *find(const struct bsk_pause *pause, pid_t tid)
{
    for (size_t i = 0; i < pause->count; i++)
        if (pause->threads[i].tid == tid)
            return &pause->threads[i];
    return NULL;
}

/* --- who traces it --------------------------------------------------------------------------- */

/* The number behind `key` in /proc/TID/status; 0: there is none. */
static pid_t status_number(pid_t tid, const char *key)
{
    char path[64], line[256];
    long number = 0;
    size_t bytes = strlen(key);
    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    FILE *file = fopen(path, "re");
    while (file && number == 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, key, bytes) == 0)
            number = strtol(line + bytes, NULL, 10);
    if (file)
        fclose(file);
    return (pid_t)number;
}

/* A thread, which may be any of its process's. */
static pid_t tracer_of(pid_t tid)
{
    return status_number(tid, "TracerPid:");
}

static int refused(pid_t pid, pid_t tid, struct bsk_error *err)
{
    char command[128];
    pid_t tracer = tracer_of(tid);
    if (tracer <= 0)
        return bsk_process_refused(pid, err);
    pid_t process = status_number(tracer, "Tgid:");
    bsk_process_command(tracer, command, sizeof(command));
    return bsk_fail(err, BSK_E_PERMISSION, "wait until it is done, or leave --blocking out",
                    "process %d is held by process %d (%s) already", (int)pid,
                    (int)(process > 0 ? process : tracer), command);
}

/* --- one thread ------------------------------------------------------------------------------ */

static bool room_for_one(struct bsk_pause *pause)
{
    return bsk_room_for_one(&pause->threads, pause->count, &pause->capacity,
                            sizeof(*pause->threads));
}

/* 1: it is new and will stop; 0: it has ended, or is asked already; an error where it may not be
 * stopped. */
static int ask(struct bsk_pause *pause, pid_t tid, struct bsk_error *err)
{
    if (find(pause, tid))
        return 0;
    if (!room_for_one(pause))
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    if (pause->begun_ns == 0)
        pause->begun_ns = bsk_now_ns();
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
        return errno == ESRCH ? 0 : refused(pause->pid, tid, err);
    pause->threads[pause->count++] = (struct held){ .tid = tid };
    (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    return 1;
}

/* The end of a thread is told to who traces it, and held back from everybody else until that one
 * has taken note. That of a child of ours is for who waits for the child. */
static void take_note_of_end(const struct bsk_pause *pause, pid_t tid)
{
    struct bsk_process_facts facts;
    siginfo_t info;
    if (tid == pause->pid && bsk_process_facts(tid, &facts, NULL) == BSK_OK &&
        facts.parent == getpid())
        return;
    (void)waitid(P_PID, (id_t)tid, &info, WEXITED | WNOHANG | __WALL);
}

/* Takes what the kernel says of one thread. True: there is nothing more to wait for. */
static bool look(struct bsk_pause *pause, struct held *thread)
{
    siginfo_t info = { 0 };
    if (thread->state != ASKED)
        return true;
    /* WNOWAIT: an exit stays what it is, and a stop ends by our letting go alone. */
    int rc =
        waitid(P_PID, (id_t)thread->tid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL);
    if (rc == 0 && info.si_pid == 0)
        return false;
    if (rc == 0 && (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED)) {
        thread->state = STOPPED;
        if (info.si_status >> EVENT_SHIFT == 0)
            thread->signal = info.si_status & SIGNAL_MASK;
        return true;
    }
    if (rc == 0)
        take_note_of_end(pause, thread->tid);
    thread->state = ENDED;
    return true;
}

static bool let_go(struct bsk_pause *pause, struct held *thread)
{
    if (thread->state == STOPPED) {
        pause->cost.stops++;
        if (ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(intptr_t)thread->signal) == 0)
            return true;
        thread->state = ASKED; /* killed meanwhile: its end comes */
    }
    return look(pause, thread) && thread->state == ENDED;
}

/* --- all of them ----------------------------------------------------------------------------- */

int bsk_pause_open(pid_t pid, struct bsk_pause **out_pause, struct bsk_error *err)
{
    struct bsk_pause *pause = calloc(1, sizeof(*pause));
    if (!pause)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    pause->pid = pid;
    *out_pause = pause;
    return BSK_OK;
}

int bsk_pause_ask(struct bsk_pause *pause, pid_t tid, struct bsk_error *err)
{
    int rc = ask(pause, tid, err);
    return rc < 0 ? rc : BSK_OK;
}

bool bsk_pause_wait(struct bsk_pause *pause, uint64_t limit_ns)
{
    uint64_t begin = bsk_now_ns();
    for (;;) {
        bool all = true;
        for (size_t i = 0; i < pause->count; i++)
            all = look(pause, &pause->threads[i]) && all;
        uint64_t waited_ns = bsk_now_ns() - begin;
        if (all || waited_ns > limit_ns)
            return all;
        if (waited_ns < AWAKE_NS)
            sched_yield(); /* on a machine with one CPU it is the thread's turn */
        else
            nanosleep(&(struct timespec){ .tv_nsec = NAP_NS }, NULL);
    }
}

bool bsk_pause_holds(const struct bsk_pause *pause, pid_t tid)
{
    const struct held *thread = find(pause, tid);
    return thread && thread->state != ENDED;
}

/* A thread that execs takes the number of the first one with it, and our hold on it too. */
static void follow_exec(struct bsk_pause *pause)
{
    bool vanished = false;
    for (size_t i = 0; i < pause->count; i++)
        vanished |= pause->threads[i].state == ENDED && pause->threads[i].tid != pause->pid;
    if (vanished && !find(pause, pause->pid) && tracer_of(pause->pid) == gettid() &&
        room_for_one(pause))
        pause->threads[pause->count++] = (struct held){ .tid = pause->pid };
}

bool bsk_pause_let_go(struct bsk_pause *pause)
{
    size_t kept = 0;
    follow_exec(pause);
    for (size_t i = 0; i < pause->count; i++)
        if (!let_go(pause, &pause->threads[i]))
            pause->threads[kept++] = pause->threads[i];
    pause->count = kept;
    if (pause->begun_ns > 0) {
        uint64_t stopped_ns = bsk_now_ns() - pause->begun_ns;
        pause->cost.stopped_ns += stopped_ns;
        if (stopped_ns > pause->cost.longest_ns)
            pause->cost.longest_ns = stopped_ns;
    }
    pause->begun_ns = 0;
    return kept == 0;
}

struct bsk_pause_cost bsk_pause_cost(const struct bsk_pause *pause)
{
    return pause->cost;
}

/* How many threads of the list were not held yet, or an error. */
static int ask_new(struct bsk_pause *pause, struct bsk_error *err)
{
    char path[64];
    int fresh = 0, rc = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pause->pid);
    DIR *folder = opendir(path);
    if (!folder)
        return bsk_process_not_found(pause->pid, err);
    for (const struct dirent *entry; rc >= 0 && (entry = readdir(folder)) != NULL;) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid <= 0)
            continue;
        rc = ask(pause, tid, err);
        fresh += rc > 0;
    }
    closedir(folder);
    return rc < 0 ? rc : fresh;
}

int bsk_process_pause(pid_t pid, struct bsk_pause **out_pause, struct bsk_error *err)
{
    int fresh = 1;
    struct bsk_pause *pause = NULL;
    int rc = bsk_pause_open(pid, &pause, err);
    if (!pause)
        return rc;
    for (int round = 0; fresh > 0 && round < ROUNDS_MAX; round++) {
        fresh = ask_new(pause, err);
        (void)bsk_pause_wait(pause, all_limit_ns);
    }
    if (fresh < 0) {
        bsk_process_resume(pause);
        return fresh;
    }
    *out_pause = pause;
    return BSK_OK;
}

int bsk_pause_try(pid_t pid, struct bsk_error *err)
{
    struct bsk_pause *pause = NULL;
    int rc = bsk_pause_open(pid, &pause, err);
    if (!pause)
        return rc;
    rc = bsk_pause_ask(pause, pid, err);
    if (rc == BSK_OK)
        (void)bsk_pause_wait(pause, all_limit_ns);
    bsk_process_resume(pause);
    return rc;
}

void bsk_process_resume(struct bsk_pause *pause)
{
    if (!pause)
        return;
    /* What does not stop now is let go by the kernel when the thread that asked it ends. */
    for (uint64_t begin = bsk_now_ns();
         !bsk_pause_let_go(pause) && bsk_now_ns() - begin < all_limit_ns;)
        nanosleep(&(struct timespec){ .tv_nsec = NAP_NS }, NULL);
    free(pause->threads);
    free(pause);
}
