/* What the kernel lets us do beside reading memory: eBPF, perf events; and how much memory. */
#include "adapters/cli/doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

void doctor_check_proc(struct doctor *doctor)
{
    char link[32] = "", path[64];
    ssize_t got = readlink("/proc/self", link, sizeof(link) - 1);
    snprintf(path, sizeof(path), "%d", (int)getpid());
    if (got > 0 && strcmp(link, path) == 0)
        return;
    struct doctor_finding *finding =
        doctor_say(doctor, "proc", DOCTOR_BAD, "pid-namespace",
                   got > 0 ? "/proc is another PID namespace's: its numbers are not ours"
                           : "/proc is not mounted");
    doctor_fix(finding, "mount -t proc proc /proc");
}

bool doctor_check_seccomp(struct doctor *doctor)
{
    static const char known[16] = "known bytes";
    char bytes[16];
    struct iovec local = { bytes, sizeof(bytes) }, remote = { (void *)known, sizeof(known) };
    /* Oneself is always allowed: who says no to that is a filter, or a kernel without the call. */
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == sizeof(bytes))
        return true;
    int error = errno;
    struct doctor_who us = { 0 };
    (void)doctor_who(0, &us);
    struct doctor_finding *finding = doctor_say(
        doctor, "seccomp", DOCTOR_BAD, us.seccomp ? "seccomp" : "kernel",
        us.seccomp ? "process_vm_readv is refused even on ourselves (%s): a seccomp filter is on us"
                   : "process_vm_readv is refused even on ourselves (%s): this kernel has none",
        strerror(error));
    if (us.seccomp)
        doctor_fix(finding, "docker run --security-opt seccomp=unconfined ...");
    return false;
}

/* ---- perf and eBPF ----------------------------------------------------------------------------
 */

static int open_clock(pid_t pid, bool user_only)
{
    struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
                                    .size = sizeof(attr),
                                    .config = PERF_COUNT_SW_CPU_CLOCK,
                                    .sample_period = 1000000,
                                    .disabled = 1,
                                    .exclude_kernel = user_only,
                                    .exclude_hv = user_only };
    return (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* A program that reads user memory at a clock tick: what sampling by ticks does, and nothing more.
 * Its place on the stack is filled by bpf_probe_read_user(stack, 8, NULL). */
static int load_program(void)
{
    const struct bpf_insn program[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 10 },
        { .code = BPF_ALU64 | BPF_ADD, .dst_reg = 1, .imm = -8 },
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 8 },
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0 },
        { .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_user },
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
        { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_PERF_EVENT;
    attr.insns = (uint64_t)(uintptr_t)program;
    attr.insn_cnt = sizeof(program) / sizeof(program[0]);
    attr.license = (uint64_t)(uintptr_t) "Dual MIT/GPL"; /* the call asks for one */
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

bool doctor_check_ticks(struct doctor *doctor, pid_t pid)
{
    struct doctor_who us = { 0 };
    const char *step = "loading a program", *cause = "capability";
    (void)doctor_who(0, &us);
    int program = load_program(), event = -1, error = program < 0 ? errno : 0;
    if (program >= 0) {
        step = "opening a clock";
        event = open_clock(pid, false);
        error = event < 0 ? errno : 0;
    }
    if (event >= 0) {
        step = "tying it to the clock";
        error = ioctl(event, PERF_EVENT_IOC_SET_BPF, program) < 0 ? errno : 0;
    }
    if (event >= 0)
        close(event);
    if (program >= 0)
        close(program);
    if (error == 0) {
        doctor_say(doctor, "ticks", DOCTOR_GOOD, "",
                   "eBPF at clock ticks is possible: exact stacks, without stopping anything");
        return true;
    }
    bool could = doctor_can(&us, CAP_BPF_BIT) && doctor_can(&us, CAP_PERFMON_BIT);
    could = could || doctor_can(&us, CAP_SYS_ADMIN_BIT);
    if (error == ENOSYS || error == EINVAL || error == EOPNOTSUPP)
        cause = "kernel";
    else if (could)
        cause = us.seccomp ? "seccomp" : "security-module";
    struct doctor_finding *finding =
        doctor_say(doctor, "ticks", DOCTOR_DOUBT, cause,
                   "no eBPF at clock ticks: %s failed (%s); stacks are read from outside instead",
                   step, strerror(error));
    if (!could)
        doctor_fix(finding, "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep %s", doctor->self);
    return false;
}

void doctor_check_perf(struct doctor *doctor, pid_t pid)
{
    char paranoid[16];
    int event = open_clock(pid, true);
    if (event >= 0) {
        close(event);
        doctor_say(doctor, "perf", DOCTOR_GOOD, "", "perf events can be opened");
        return;
    }
    int error = errno;
    doctor_line_of("/proc/sys/kernel/perf_event_paranoid", paranoid, sizeof(paranoid));
    struct doctor_finding *finding =
        doctor_say(doctor, "perf", DOCTOR_DOUBT, error == ENOSYS ? "kernel" : "paranoid",
                   "no perf events: %s (perf_event_paranoid is %s); native stacks would need a "
                   "pause",
                   strerror(error), paranoid[0] ? paranoid : "not there");
    if (error != ENOSYS)
        doctor_fix(finding, "sudo sysctl kernel.perf_event_paranoid=1");
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

static bool number_in(const char *folder, const char *file, uint64_t *out)
{
    char path[4400], text[64], *end;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, file) >= sizeof(path))
        return false;
    doctor_line_of(path, text, sizeof(text));
    *out = strtoull(text, &end, 10);
    return end != text; /* "max" is no number */
}

/* The tightest limit on the way up: the parents' hold too. */
static bool tightest(char *folder, size_t root_bytes, const char *limit_name, const char *used_name,
                     uint64_t *out_limit, uint64_t *out_used)
{
    bool found = false;
    for (;;) {
        uint64_t limit, used;
        if (number_in(folder, limit_name, &limit) && number_in(folder, used_name, &used) &&
            limit < UINT64_C(1) << 60 && /* version 1 writes "none" as a number near 2^63 */
            (!found || limit - (used < limit ? used : limit) < *out_limit - *out_used)) {
            *out_limit = limit;
            *out_used = used < limit ? used : limit;
            found = true;
        }
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < root_bytes)
            return found;
        *slash = '\0';
    }
}

static bool find_limit(pid_t pid, uint64_t *out_limit, uint64_t *out_used)
{
    char path[64], line[4200], folder[4300];
    bool found = false;
    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)(pid ? pid : getpid()));
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *second = strchr(line, ':'), *third = second ? strchr(second + 1, ':') : NULL;
        if (!third || strstr(third, ".."))
            continue;
        bool v2 = strncmp(line, "0::", 3) == 0;
        bool v1 = strncmp(second, ":memory:", 8) == 0;
        const char *root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
        if (!v1 && !v2)
            continue;
        snprintf(folder, sizeof(folder), "%s%s", root, strcmp(third + 1, "/") ? third + 1 : "");
        found = tightest(folder, strlen(root), v2 ? "memory.max" : "memory.limit_in_bytes",
                         v2 ? "memory.current" : "memory.usage_in_bytes", out_limit, out_used);
    }
    fclose(file);
    return found;
}

void doctor_check_memory(struct doctor *doctor, pid_t pid)
{
    enum { LEAST_FREE_MIB = 64 }; /* ours is 50 MiB at most; see DESIGN.md on heap dumps */
    uint64_t limit = 0, used = 0;
    const char *whose = pid ? "the process" : "this shell";
    if (!find_limit(pid, &limit, &used)) {
        doctor_say(doctor, "memory", DOCTOR_GOOD, "", "no cgroup limits the memory of %s", whose);
        return;
    }
    uint64_t free_mib = (limit - used) >> 20;
    bool tight = free_mib < LEAST_FREE_MIB;
    doctor_say(doctor, "memory", tight ? DOCTOR_DOUBT : DOCTOR_GOOD, tight ? "cgroup" : "",
               "the cgroup of %s has %" PRIu64 " MiB, %" PRIu64
               " MiB of them free; a heap dump may "
               "take half of that",
               whose, limit >> 20, free_mib);
}
