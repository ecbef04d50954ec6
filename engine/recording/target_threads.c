/* What the threads of a target are called, and the tracks that they get. */
#include "engine/process/process.h"
#include "engine/recording/target_inside.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the debug session said of this thread, or NULL. */
static const struct bsk_known_thread *known_thread(const struct bsk_target *target, pid_t tid)
{
    const struct bsk_target_context *context = target->context;
    struct bsk_process_facts facts;
    if (context->threads_pid != target->pid || context->thread_count == 0)
        return NULL;
    if (bsk_process_facts(tid, &facts, NULL) == BSK_OK && facts.pid_inside > 0)
        tid = facts.pid_inside; /* it spoke in the numbers of its own namespace */
    for (size_t i = 0; i < context->thread_count; i++) {
        if (context->threads[i].tid == tid)
            return &context->threads[i];
    }
    return NULL;
}

static void read_comm(pid_t pid, pid_t tid, char out[32])
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? 0 : read(fd, out, 31);
    if (fd >= 0)
        close(fd);
    out[bytes > 0 ? bytes : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

static void name_thread(const struct bsk_target *target, pid_t tid, char *out, size_t size)
{
    char own[32], main_thread[32];
    read_comm(target->pid, tid, own);
    read_comm(target->pid, target->pid, main_thread);
    if (tid == 0)
        snprintf(out, size, "Short threads");
    else if (tid == target->pid)
        snprintf(out, size, "MainThread");
    else if (own[0] && strcmp(own, main_thread) != 0)
        snprintf(out, size, "%s", own);
    else
        snprintf(out, size, "Thread %d", (int)tid);
}

/* A subinterpreter's stacks have a track of their own, whichever thread runs them. */
static void add_interpreter(char *name, size_t size, int64_t interpreter)
{
    size_t used = strlen(name);
    if (interpreter > 0)
        snprintf(name + used, size - used, " (interpreter %lld)", (long long)interpreter);
    else if (interpreter < 0)
        snprintf(name + used, size - used, " (short interpreters)");
}

void bsk_target_follow_name(struct bsk_target *target, uint32_t track, int64_t interpreter,
                            const char *name)
{
    char whole[600];
    if (!name || !name[0] || track == UINT32_MAX)
        return;
    struct bsk_track known = bsk_profile_track_at(target->context->profile, track);
    snprintf(whole, sizeof(whole) - 40, "%s", name);
    add_interpreter(whole, sizeof(whole), interpreter);
    if (strcmp(known.thread, whole) != 0)
        bsk_profile_name_track(target->context->profile, track, whole);
}

uint32_t bsk_target_track(struct bsk_target *target, pid_t tid, int64_t interpreter,
                          bool *out_ignored, bool *out_named)
{
    const struct bsk_known_thread *known = known_thread(target, tid);
    char name[192];
    name_thread(target, tid, name, sizeof(name));
    *out_ignored = known && known->debugger;
    *out_named = known && known->name[0];
    if (*out_ignored)
        return UINT32_MAX;
    if (*out_named)
        snprintf(name, sizeof(name) - 40, "%s", known->name);
    add_interpreter(name, sizeof(name), interpreter);
    return bsk_profile_track(target->context->profile, target->pid, tid, target->name, name);
}
