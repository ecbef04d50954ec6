/* The doctor with a PID: can this very process be read, and does it hold a Python that we know? */
#include "adapters/cli/doctor.h"

#include "engine/process/process.h"
#include "engine/python/python.h"
#include "engine/sampling/sampler.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TAKE_TRIES = 20, TAKE_PAUSE_MS = 25 };

/* False: there is no such process, and why has been said. */
static bool find_process(struct doctor *doctor, pid_t pid, struct doctor_who *out)
{
    struct doctor_finding *finding;
    if (doctor_who(pid, out) && out->state != 'Z' && out->state != 'X')
        return true;
    if (out->state == 'Z' || out->state == 'X') {
        doctor_say(doctor, "process", DOCTOR_BAD, "gone",
                   "process %d has ended; its parent has not asked for its exit code yet",
                   (int)pid);
        return false;
    }
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0 || (kill(pid, 0) < 0 && errno == EPERM)) {
        if (pidfd >= 0)
            close(pidfd);
        finding =
            doctor_say(doctor, "process", DOCTOR_BAD, "hidden",
                       "process %d is there, but /proc hides it (mounted with hidepid)", (int)pid);
        doctor_fix(finding, "sudo %s %s", doctor->self, doctor->command);
        return false;
    }
    struct stat space = { 0 };
    bool outermost = stat("/proc/self/ns/pid", &space) == 0 && space.st_ino == 0xEFFFFFFCU;
    finding = doctor_say(doctor, "process", DOCTOR_BAD, outermost ? "gone" : "pid-namespace",
                         outermost ? "Process not found: %d has ended, or never was"
                                   : "Process not found: %d has ended, or is outside of this "
                                     "container (PID namespace)",
                         (int)pid);
    doctor_fix(finding, outermost ? "pgrep -a python"
                                  : "run Basilisk on the host, or docker run "
                                    "--pid=host ...");
    return false;
}

static void say_process(struct doctor *doctor, pid_t pid, const struct doctor_who *them)
{
    char user[64], command[128];
    doctor_user_name(them->uid[1], user, sizeof(user));
    bsk_process_command(pid, command, sizeof(command));
    doctor_say(doctor, "process", DOCTOR_GOOD, "", "process %d of %s: %s", (int)pid, user,
               command[0] ? command : them->name);
    if (them->pid_levels > 1)
        doctor_say(doctor, "pid-namespace", DOCTOR_GOOD, "",
                   "it runs in a container (PID namespace), where its number is %d; that does not "
                   "matter",
                   (int)them->pid_inside);
    if (them->tracer) {
        struct doctor_finding *finding = doctor_say(
            doctor, "tracer", DOCTOR_DOUBT, "tracer",
            "%s (process %d) traces it: it is read all the same, --blocking and native "
            "stacks must wait",
            them->tracer_name[0] ? them->tracer_name : "another tool", (int)them->tracer);
        doctor_fix(finding, "kill %d", (int)them->tracer);
    }
    if (them->state == 'T' || them->state == 't') {
        struct doctor_finding *finding = doctor_say(doctor, "state", DOCTOR_DOUBT, "stopped",
                                                    "it is stopped: its stacks can be "
                                                    "read, and do not change");
        if (!them->tracer)
            doctor_fix(finding, "kill -CONT %d", (int)pid);
    }
}

static bool check_reading(struct doctor *doctor, pid_t pid)
{
    struct bsk_process *process = NULL;
    struct bsk_maps maps = { 0 };
    uint64_t address = 0;
    /* any address that can be read will do */
    if (bsk_process_open(pid, &process, NULL) == BSK_OK &&
        bsk_maps_read(process, &maps, NULL) == BSK_OK) {
        for (size_t i = 0; i < maps.count && !address; i++)
            if (maps.items[i].readable && maps.items[i].path[0] == '/')
                address = maps.items[i].start;
    }
    bsk_maps_free(&maps);
    bsk_process_close(process);
    struct doctor_reading reading = doctor_read(pid, address);
    if (reading.mem_errno == 0 && reading.readv_errno == 0) {
        doctor_say(doctor, "reading", DOCTOR_GOOD, "", "its memory can be read");
        return true;
    }
    doctor_explain(doctor, pid, "reading", "it", reading);
    return false;
}

static void say_not_python(struct doctor *doctor, pid_t pid, const struct bsk_error *err)
{
    pid_t below = 0;
    struct doctor_finding *finding = doctor_say(
        doctor, "python", DOCTOR_BAD, err->code == BSK_E_UNSUPPORTED ? "unsupported" : "not-python",
        "%s", err->message);
    if (err->code == BSK_E_FORMAT && bsk_python_find_below(pid, &below, NULL) == BSK_OK)
        doctor_fix(finding, "%s doctor -p %d", doctor->self, (int)below);
    else
        doctor_fix(finding, "%s", err->hint);
}

/* The whole of it: one sample, as record and top take them. */
static bool check_sample(struct doctor *doctor, pid_t pid)
{
    const struct bsk_sampler_options options = { .idle_stacks = true, .fresh_states = true };
    struct bsk_sampler *sampler = NULL;
    const struct bsk_sample *sample = NULL;
    struct bsk_error err = { 0 };
    int rc = BSK_E_TORN;
    for (int i = 0; rc == BSK_E_TORN && i < TAKE_TRIES; i++) {
        if (i > 0)
            nanosleep(&(struct timespec){ .tv_nsec = TAKE_PAUSE_MS * 1000000 }, NULL);
        if (!sampler && (rc = bsk_sampler_open(pid, &options, &sampler, &err)) < 0)
            continue;
        rc = bsk_sampler_take(sampler, &sample, &err);
    }
    if (rc == BSK_OK) {
        size_t stacks = 0;
        for (size_t i = 0; i < sample->thread_count; i++)
            stacks += sample->threads[i].has_stack;
        const struct bsk_python_info *info = bsk_sampler_info(sampler);
        doctor_say(doctor, "python", DOCTOR_GOOD, "",
                   "Python %s%s: read %zu of the stacks of %zu thread%s", info->version,
                   info->free_threaded ? " (free-threaded)" : "", stacks, sample->thread_count,
                   sample->thread_count == 1 ? "" : "s");
    } else if (rc == BSK_E_FORMAT || rc == BSK_E_UNSUPPORTED) {
        say_not_python(doctor, pid, &err);
    } else {
        struct doctor_finding *finding =
            doctor_say(doctor, "python", DOCTOR_BAD, rc == BSK_E_GONE ? "gone" : "sample", "%s",
                       err.message[0] ? err.message : "no sample could be taken");
        doctor_fix(finding, "%s", err.hint);
    }
    bsk_sampler_close(sampler);
    return rc == BSK_OK;
}

/* Its Python is run only when it is our own user's: its packages are that user's code. */
static void check_debugpy_of(struct doctor *doctor, pid_t pid, const struct doctor_who *them)
{
    char first[4096], path[64];
    struct doctor_who us = { 0 };
    if (!doctor_who(0, &us) || us.uid[1] != them->uid[1] || them->pid_levels > 1)
        return;
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    doctor_line_of(path, first, sizeof(first)); /* ends at the first argument's zero */
    if (first[0] != '/' || access(first, X_OK) < 0)
        bsk_process_exe(pid, first, sizeof(first));
    if (first[0])
        doctor_check_debugpy(doctor, first);
}

void doctor_target(struct doctor *doctor, pid_t pid)
{
    struct doctor_who them = { 0 };
    doctor_check_proc(doctor);
    if (!find_process(doctor, pid, &them))
        return;
    say_process(doctor, pid, &them);
    if (!doctor_check_seccomp(doctor) || !check_reading(doctor, pid) || !check_sample(doctor, pid))
        return;
    bool ticks = doctor_check_ticks(doctor, pid);
    doctor_check_perf(doctor, pid);
    check_debugpy_of(doctor, pid, &them);
    doctor_check_memory(doctor, pid);
    doctor_say(doctor, "therefore", DOCTOR_GOOD, "", "so Basilisk %s",
               ticks ? "reads it from outside, or by eBPF where this build has it; it is never "
                       "stopped"
                     : "reads it from outside; it is never stopped");
}
