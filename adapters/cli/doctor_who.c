/* Who may read whom: what the kernel looks at, and what it answers when tried. */
#include "adapters/cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

void doctor_line_of(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[got > 0 ? got : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

int doctor_yama(void)
{
    char text[16];
    doctor_line_of("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text));
    return text[0] >= '0' && text[0] <= '3' ? text[0] - '0' : -1;
}

static void read_name(pid_t pid, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    doctor_line_of(path, out, size);
}

static void take_line(struct doctor_who *who, const char *line)
{
    unsigned long long bits;
    int number;
    if (sscanf(line, "Uid: %u %u %u %u", &who->uid[0], &who->uid[1], &who->uid[2], &who->uid[3]) >
        0)
        return;
    if (sscanf(line, "Gid: %u %u %u %u", &who->gid[0], &who->gid[1], &who->gid[2], &who->gid[3]) >
        0)
        return;
    if (sscanf(line, "CapPrm: %llx", &bits) == 1)
        who->permitted = bits;
    else if (sscanf(line, "CapEff: %llx", &bits) == 1)
        who->effective = bits;
    else if (sscanf(line, "TracerPid: %d", &number) == 1)
        who->tracer = number;
    else if (sscanf(line, "Seccomp: %d", &number) == 1)
        who->seccomp = number;
    else if (strncmp(line, "State:", 6) == 0)
        sscanf(line + 6, " %c", &who->state);
    else if (strncmp(line, "NSpid:", 6) == 0) {
        char *at = (char *)line + 6, *end;
        for (long pid = strtol(at, &end, 10); end != at; pid = strtol(at, &end, 10)) {
            who->pid_inside = (pid_t)pid;
            who->pid_levels++;
            at = end;
        }
    }
}

bool doctor_who(pid_t pid, struct doctor_who *out)
{
    char path[64], line[512];
    struct doctor_who who = { 0 };
    snprintf(path, sizeof(path), "/proc/%d/status", (int)(pid ? pid : getpid()));
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (fgets(line, sizeof(line), file))
        take_line(&who, line);
    fclose(file);
    read_name(pid ? pid : getpid(), who.name, sizeof(who.name));
    if (who.tracer)
        read_name(who.tracer, who.tracer_name, sizeof(who.tracer_name));
    *out = who;
    return true;
}

bool doctor_can(const struct doctor_who *who, int bit)
{
    return who->effective >> bit & 1;
}

void doctor_user_name(uid_t uid, char *out, size_t size)
{
    struct passwd *entry = getpwuid(uid);
    if (entry)
        snprintf(out, size, "%s", entry->pw_name);
    else
        snprintf(out, size, "uid %u", (unsigned)uid);
}

struct doctor_reading doctor_read(pid_t pid, uint64_t address)
{
    char path[64], bytes[16];
    struct doctor_reading reading = { 0 };
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    errno = fd < 0 ? errno : 0;
    /* address 0: any that the process has is not known yet; that it may be opened tells enough */
    if (fd >= 0 && address && pread(fd, bytes, sizeof(bytes), (off_t)address) != sizeof(bytes))
        errno = errno ? errno : ESRCH;
    reading.mem_errno = errno;
    if (fd >= 0)
        close(fd);
    struct iovec local = { bytes, sizeof(bytes) };
    struct iovec remote = { (void *)(uintptr_t)address, sizeof(bytes) };
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != sizeof(bytes) &&
        !(address == 0 && errno == EFAULT)) /* allowed, and nothing is there: good enough */
        reading.readv_errno = errno ? errno : EFAULT;
    return reading;
}

/* ---- Why not ----------------------------------------------------------------------------------
 */

static bool ids_match(const struct doctor_who *us, const struct doctor_who *them)
{
    for (int i = 0; i < 3; i++) /* as the kernel asks: all three of theirs are ours */
        if (them->uid[i] != us->uid[3] || them->gid[i] != us->gid[3])
            return false;
    return true;
}

/* The kernel gives the files of a process that must not be dumped to root. */
static bool is_dumpable(pid_t pid, const struct doctor_who *them)
{
    char path[64];
    struct stat info;
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    return stat(path, &info) < 0 || info.st_uid == them->uid[1];
}

static bool same_user_namespace(pid_t pid)
{
    char path[64], ours[512], theirs[512];
    snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
    doctor_line_of("/proc/self/uid_map", ours, sizeof(ours));
    doctor_line_of(path, theirs, sizeof(theirs));
    return strcmp(ours, theirs) == 0;
}

static bool in_first_user_namespace(void)
{
    char map[128];
    unsigned inside = 1, outside = 1;
    unsigned long count = 0;
    doctor_line_of("/proc/self/uid_map", map, sizeof(map));
    return sscanf(map, "%u %u %lu", &inside, &outside, &count) == 3 && inside == 0 &&
           outside == 0 && count == 4294967295UL;
}

/* Looking (maps) is allowed where attaching (mem) is not: that is how Yama and other security
 * modules refuse, and nobody else does. */
static bool may_look(pid_t pid)
{
    char path[64], byte;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool may = fd >= 0 && read(fd, &byte, 1) == 1;
    if (fd >= 0)
        close(fd);
    return may;
}

static void explain_yama(struct doctor *doctor, const char *check, const char *what, int scope)
{
    struct doctor_finding *finding;
    if (scope == 1) {
        finding = doctor_say(doctor, check, DOCTOR_BAD, "yama",
                             "%s cannot be read: Yama lets you read your own children only "
                             "(ptrace_scope is 1)",
                             what);
        doctor_fix(finding, "sudo sysctl kernel.yama.ptrace_scope=0");
    } else if (scope == 2) {
        finding =
            doctor_say(doctor, check, DOCTOR_BAD, "yama",
                       "%s cannot be read: Yama asks for CAP_SYS_PTRACE (ptrace_scope is 2)", what);
        doctor_fix(finding, "sudo setcap cap_sys_ptrace+ep %s", doctor->self);
    } else {
        finding = doctor_say(doctor, check, DOCTOR_BAD, "yama",
                             "%s cannot be read: Yama forbids it to all (ptrace_scope is 3), until "
                             "the machine boots with less",
                             what);
        doctor_fix(finding, "echo kernel.yama.ptrace_scope=1 | sudo tee "
                            "/etc/sysctl.d/99-ptrace.conf && sudo reboot");
    }
}

static void explain_user(struct doctor *doctor, const char *check, const char *what,
                         const struct doctor_who *us, const struct doctor_who *them)
{
    char name[64];
    struct doctor_finding *finding;
    doctor_user_name(them->uid[1], name, sizeof(name));
    if (us->uid[1] == 0) {
        finding = doctor_say(doctor, check, DOCTOR_BAD, "capability",
                             "%s cannot be read: it belongs to %s, and this root has no "
                             "CAP_SYS_PTRACE (a container?)",
                             what, name);
        doctor_fix(finding, "docker run --cap-add=SYS_PTRACE ...");
    } else {
        finding = doctor_say(doctor, check, DOCTOR_BAD, "user",
                             "%s cannot be read: it belongs to %s", what, name);
        doctor_fix(finding, "sudo %s %s", doctor->self, doctor->command);
    }
}

static void explain_namespace(struct doctor *doctor, const char *check, const char *what)
{
    struct doctor_finding *finding = doctor_say(
        doctor, check, DOCTOR_BAD, "namespace",
        "%s cannot be read: it is in another user namespace, where you have no say", what);
    if (in_first_user_namespace())
        doctor_fix(finding, "sudo %s %s", doctor->self, doctor->command);
    else
        doctor_fix(finding, "run Basilisk outside this user namespace, on the host");
}

void doctor_explain(struct doctor *doctor, pid_t pid, const char *check, const char *what,
                    struct doctor_reading reading)
{
    struct doctor_who us, them;
    struct doctor_finding *finding;
    if (!doctor_who(0, &us) || !doctor_who(pid, &them)) {
        doctor_say(doctor, check, DOCTOR_BAD, "gone", "%s has ended meanwhile", what);
        return;
    }
    bool capable = doctor_can(&us, CAP_SYS_PTRACE_BIT);
    int scope = doctor_yama();
    if (reading.mem_errno == 0) {
        finding = doctor_say(doctor, check, DOCTOR_BAD, "seccomp",
                             "%s cannot be read: process_vm_readv says \"%s\", while /proc/%d/mem "
                             "opens: a seccomp filter is on us",
                             what, strerror(reading.readv_errno), (int)pid);
        doctor_fix(finding, "docker run --security-opt seccomp=unconfined ...");
    } else if (!ids_match(&us, &them) && !capable) {
        explain_user(doctor, check, what, &us, &them);
    } else if (!same_user_namespace(pid)) {
        explain_namespace(doctor, check, what);
    } else if (!capable && (!is_dumpable(pid, &them) ||
                            (!may_look(pid) && (them.permitted & ~us.effective) == 0))) {
        finding = doctor_say(doctor, check, DOCTOR_BAD, "dumpable",
                             "%s cannot be read: it is non-dumpable (setuid, not readable, or "
                             "PR_SET_DUMPABLE)",
                             what);
        doctor_fix(finding, "sudo %s %s", doctor->self, doctor->command);
    } else if (!capable && (them.permitted & ~us.effective)) {
        finding = doctor_say(doctor, check, DOCTOR_BAD, "capability",
                             "%s cannot be read: it has capabilities that you do not have", what);
        doctor_fix(finding, "sudo %s %s", doctor->self, doctor->command);
    } else if (scope > 0 && (!capable || scope == 3)) {
        explain_yama(doctor, check, what, scope);
    } else {
        char modules[128];
        doctor_line_of("/sys/kernel/security/lsm", modules, sizeof(modules));
        finding = doctor_say(doctor, check, DOCTOR_BAD, "security-module",
                             "%s cannot be read: %s, though user and capabilities allow it: a "
                             "security module says no (%s)",
                             what, strerror(reading.mem_errno), modules[0] ? modules : "unknown");
        doctor_fix(finding, "sudo dmesg | tail");
    }
}
