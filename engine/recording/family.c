#include "engine/recording/family.h"

#include "engine/base/clock.h"
#include "engine/process/process.h"
#include "engine/recording/other.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    OTHERS_MS = 20,        /* how often the CPU time of those that are no Python is asked for */
    OPEN_MAX_NS = 5000000, /* processes are opened for so long at once: others want to be sampled */
    SCAN_SHARE = 400,      /* a scan of all processes may take no more than a 400th of the time */
    SCAN_MAX_MS = 600,     /* as long as that keeps the promise */
    RETRY_MAX_MS = 3000, /* a child that is no Python (yet) is looked at again, ever more rarely */
};

struct bsk_target *bsk_family_target(struct bsk_family *family, pid_t pid)
{
    for (size_t i = 0; i < family->target_count; i++) {
        if (bsk_target_pid(family->targets[i]) == pid)
            return family->targets[i];
    }
    return NULL;
}

void bsk_family_note_python(struct bsk_family *family, const char *version)
{
    if (strstr(family->python, version))
        return;
    size_t used = strlen(family->python);
    snprintf(family->python + used, sizeof(family->python) - used, "%s%s", used ? ", " : "",
             version);
}

bool bsk_family_is_alive(pid_t pid, uint64_t *out_start_ticks)
{
    struct bsk_process_facts facts;
    if (bsk_process_facts(pid, &facts, NULL) != BSK_OK || facts.state == 'Z' || facts.state == 'X')
        return false;
    *out_start_ticks = facts.start_ticks;
    return true;
}

/* Does `command` run this file or module? A debuggee's own has ".../debugpy/launcher/../../debugpy"
 * in it, so that the name must be a whole end of an argument. */
static bool runs(const char *command, const char *what)
{
    size_t bytes = strlen(what);
    for (const char *at = strstr(command, what); at; at = strstr(at + 1, what)) {
        if (at[bytes] == ' ' || at[bytes] == '\0')
            return true;
    }
    return false;
}

/* The debugger's own helpers are children of the program when it called debugpy.listen(). */
static bool is_debuggers(pid_t pid)
{
    char command[4096];
    bsk_process_command(pid, command, sizeof(command));
    return runs(command, "debugpy/adapter") || runs(command, "debugpy.adapter") ||
           runs(command, "debugpy/launcher");
}

/* NULL: it is in already, or is none of ours. */
static struct bsk_candidate *add_candidate(struct bsk_family *family, pid_t pid)
{
    uint64_t start_ticks = 0;
    for (size_t i = 0; i < family->candidate_count; i++) {
        if (family->candidates[i].pid == pid)
            return NULL;
    }
    if (bsk_family_target(family, pid) || family->candidate_count == BSK_FAMILY_MAX ||
        !bsk_family_is_alive(pid, &start_ticks) || is_debuggers(pid))
        return NULL;
    bool is_child = start_ticks == family->start_ticks ? pid > family->newest_at_start
                                                       : start_ticks > family->start_ticks;
    struct bsk_candidate *candidate = &family->candidates[family->candidate_count++];
    *candidate = (struct bsk_candidate){ .pid = pid,
                                         .watch_fd = bsk_process_watch(pid),
                                         .start_ticks = start_ticks,
                                         .is_child = is_child };
    return candidate;
}

static void end_candidate(struct bsk_candidate *candidate, uint64_t now)
{
    bsk_other_close(candidate->other, now);
    if (candidate->watch_fd >= 0)
        close(candidate->watch_fd);
}

/* What it has used until now is told; what it is from now on begins there. */
static void hand_over(struct bsk_candidate *candidate, uint64_t now)
{
    if (candidate->other) {
        bsk_other_close(candidate->other, now);
        candidate->other = NULL;
    }
    candidate->is_child = true;
    (void)bsk_process_cpu_ns(candidate->pid, &candidate->process_used_ns);
    candidate->first_thread_used_ns = bsk_process_first_thread_ns(candidate->pid);
    candidate->wait_ms = 0;
    candidate->next_ns = 0;
}

/* Between vfork and exec a child has its parent's memory, and looks like it. */
static bool is_between(pid_t pid)
{
    struct bsk_process_facts facts;
    return bsk_process_facts(pid, &facts, NULL) == BSK_OK &&
           bsk_process_share_memory(pid, facts.parent);
}

static void open_other(struct bsk_family *family, struct bsk_candidate *candidate, bool unreadable,
                       uint64_t now)
{
    uint64_t used_ns = candidate->process_used_ns;
    if (!candidate->is_child)
        (void)bsk_process_cpu_ns(candidate->pid, &used_ns);
    candidate->other = bsk_other_open(family->context, candidate->pid, unreadable, used_ns, now);
}

/* True when the candidate is one no more: it is sampled now. */
static bool try_candidate(struct bsk_family *family, struct bsk_candidate *candidate, uint64_t now)
{
    if (candidate->other && bsk_other_is_another(candidate->other))
        hand_over(candidate, now);
    if (now < candidate->next_ns || family->target_count == BSK_FAMILY_MAX ||
        is_between(candidate->pid))
        return false;
    struct bsk_target *target = NULL;
    int rc =
        bsk_target_open(family->context, candidate->pid, NULL, candidate->is_child, &target, NULL);
    if (rc == BSK_OK) {
        if (candidate->other) /* the same program, which has become a Python */
            hand_over(candidate, now);
        bsk_family_note_python(family, bsk_target_python(target)->version);
        bsk_target_used_before(target, candidate->first_thread_used_ns);
        bsk_target_hold(target, candidate->held);
        family->targets[family->target_count++] = target;
        return true;
    }
    bool unreadable = rc == BSK_E_PERMISSION;
    if (family->other_processes && !candidate->other &&
        (rc == BSK_E_FORMAT || rc == BSK_E_UNSUPPORTED || unreadable))
        open_other(family, candidate, unreadable, now);
    candidate->wait_ms = candidate->wait_ms ? candidate->wait_ms * 2 : BSK_RELATIVES_MS;
    if (candidate->wait_ms > RETRY_MAX_MS)
        candidate->wait_ms = RETRY_MAX_MS;
    candidate->next_ns = now + (uint64_t)candidate->wait_ms * 1000000;
    return false;
}

/* Those that have ended are candidates no more. One system call for all. */
static void drop_ended(struct bsk_family *family, uint64_t now)
{
    struct pollfd ends[BSK_FAMILY_MAX];
    size_t kept = 0, count = family->candidate_count;
    for (size_t i = 0; i < count; i++)
        ends[i] = (struct pollfd){ .fd = family->candidates[i].watch_fd, .events = POLLIN };
    if (count > 0)
        (void)poll(ends, count, 0);
    for (size_t i = 0; i < count; i++) {
        struct bsk_candidate *candidate = &family->candidates[i];
        uint64_t ticks;
        bool ended = ends[i].revents != 0;
        if (candidate->watch_fd < 0)
            ended = !bsk_family_is_alive(candidate->pid, &ticks) || ticks != candidate->start_ticks;
        if (ended)
            end_candidate(candidate, now);
        else
            family->candidates[kept++] = *candidate;
    }
    family->candidate_count = kept;
}

static void look_at_others(struct bsk_family *family, uint64_t now)
{
    for (size_t i = 0; i < family->candidate_count; i++)
        if (family->candidates[i].other)
            bsk_other_look(family->candidates[i].other, now);
}

/* Somebody is left of whom something is to be expected: what is no Python and was left behind by
 * the first process (a daemon) is not. */
bool bsk_family_is_anybody_left(const struct bsk_family *family)
{
    for (size_t i = 0; i < family->candidate_count; i++) {
        const struct bsk_candidate *candidate = &family->candidates[i];
        if (!candidate->other || candidate->pid == family->first_pid)
            return true;
    }
    return family->target_count > 0;
}

/* A scan costs 10 us a process of the whole machine, so there is none while no process is born. The
 * kernel gives out a number before the process that gets it can be found: it is looked for again.
 */
static void scan_for_children(struct bsk_family *family, uint64_t now)
{
    enum { SCANS_OF_NEWEST = 3 };
    pid_t *pids = NULL;
    size_t count = 0;
    pid_t newest = bsk_process_newest();
    if (newest == 0 || newest != family->newest_pid)
        family->scans_of_newest = 0;
    if (now < family->next_scan_ns || family->scans_of_newest == SCANS_OF_NEWEST)
        return;
    family->newest_pid = newest;
    family->scans_of_newest++;
    if (bsk_process_below(family->first_pid, &pids, &count, NULL) == BSK_OK) {
        for (size_t i = 0; i < count; i++)
            (void)add_candidate(family, pids[i]);
    }
    free(pids);
    uint64_t pause_ns = (bsk_now_ns() - now) * SCAN_SHARE;
    family->next_scan_ns =
        now + (pause_ns < SCAN_MAX_MS * 1000000ULL ? pause_ns : SCAN_MAX_MS * 1000000ULL);
}

static void look_for_relatives(struct bsk_family *family, uint64_t now)
{
    if (family->subprocesses)
        scan_for_children(family, now);
    drop_ended(family, now);
    size_t kept = 0;
    for (size_t i = 0; i < family->candidate_count; i++) {
        struct bsk_candidate *candidate = &family->candidates[i];
        bool late = bsk_now_ns() - now > OPEN_MAX_NS; /* the rest has its turn a little later */
        if (late)
            family->next_relatives_ns = now + 2 * (uint64_t)OPEN_MAX_NS;
        if (!late && try_candidate(family, candidate, now))
            end_candidate(candidate, now);
        else
            family->candidates[kept++] = *candidate;
    }
    family->candidate_count = kept;
}

void bsk_family_look(struct bsk_family *family, uint64_t now)
{
    if (now >= family->next_others_ns) {
        look_at_others(family, now);
        family->next_others_ns = now + OTHERS_MS * 1000000ULL;
    }
    if (now >= family->next_relatives_ns) {
        family->next_relatives_ns = now + BSK_RELATIVES_MS * 1000000ULL;
        look_for_relatives(family, now);
    }
}

void bsk_family_add(struct bsk_family *family, pid_t pid)
{
    (void)add_candidate(family, pid);
    family->next_relatives_ns = 0;
}

void bsk_family_hold(struct bsk_family *family, pid_t pid, bool hold)
{
    struct bsk_target *target = bsk_family_target(family, pid);
    if (target)
        bsk_target_hold(target, hold);
    for (size_t i = 0; i < family->candidate_count; i++) {
        if (family->candidates[i].pid == pid)
            family->candidates[i].held = hold;
    }
}

void bsk_family_begin(struct bsk_family *family, struct bsk_target_context *context, pid_t pid)
{
    struct timespec booted;
    clock_gettime(CLOCK_BOOTTIME, &booted);
    uint64_t tick_ns = 1000000000U / (uint64_t)sysconf(_SC_CLK_TCK);
    family->context = context;
    family->first_pid = pid;
    family->start_ticks =
        ((uint64_t)booted.tv_sec * 1000000000U + (uint64_t)booted.tv_nsec) / tick_ns;
    family->newest_at_start = bsk_process_newest();
}

void bsk_family_end(struct bsk_family *family, uint64_t now)
{
    while (family->candidate_count > 0)
        end_candidate(&family->candidates[--family->candidate_count], now);
    while (family->target_count > 0)
        bsk_target_close(family->targets[--family->target_count], now);
}

/* It has ended, or is another program by exec: then it is a candidate again. */
void bsk_family_lose(struct bsk_family *family, size_t index, uint64_t now)
{
    pid_t pid = bsk_target_pid(family->targets[index]);
    bsk_target_close(family->targets[index], now);
    family->targets[index] = family->targets[--family->target_count];
    struct bsk_candidate *candidate = add_candidate(family, pid);
    if (candidate)
        hand_over(candidate, now);
}
