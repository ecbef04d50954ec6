/*
 * What `basilisk doctor` finds: a list of short sentences, each good, doubtful or bad, with the
 * cause in one word and the one command that mends it. Private to the doctor's files.
 *
 * The doctor tries; it does not deduce. What it tries never stops or changes a process that is not
 * its own.
 */
#ifndef BSK_CLI_DOCTOR_H
#define BSK_CLI_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum doctor_status {
    DOCTOR_GOOD,
    DOCTOR_DOUBT, /* Basilisk works without it, less well */
    DOCTOR_BAD,
};

struct doctor_finding {
    const char *check; /* "reading", "python": the same word each time, for programs */
    enum doctor_status status;
    const char *cause; /* "yama", "user", ...; "" when good */
    char text[512];
    char fix[4600]; /* one command, or what to do; "" */
};

enum { DOCTOR_FINDINGS_MAX = 32 };

struct doctor {
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    size_t count;
    char self[4096];  /* our own path, for commands */
    char command[32]; /* what of us is to be run again: "doctor -p 4711" */
};

/* Adds one; returns it, so that a fix can be put in. Never NULL: past the last the last is
 * overwritten. */
struct doctor_finding *doctor_say(struct doctor *doctor, const char *check,
                                  enum doctor_status status, const char *cause, const char *format,
                                  ...) __attribute__((format(printf, 5, 6)));
void doctor_fix(struct doctor_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What /proc/PID/status says of who a process is. */
struct doctor_who {
    uid_t uid[4]; /* real, effective, saved, file system */
    gid_t gid[4];
    uint64_t permitted, effective; /* capabilities */
    pid_t tracer;                  /* 0: none */
    char tracer_name[32], name[32];
    char state;
    int pid_levels;   /* PID namespaces that it has a number in, as seen from here */
    pid_t pid_inside; /* in the innermost of them */
    int seccomp;      /* 0: no filter */
};

enum { CAP_SYS_PTRACE_BIT = 19, CAP_SYS_ADMIN_BIT = 21, CAP_PERFMON_BIT = 38, CAP_BPF_BIT = 39 };

bool doctor_who(pid_t pid, struct doctor_who *out);       /* pid 0: ourselves */
bool doctor_can(const struct doctor_who *who, int bit);   /* has this capability in effect */
void doctor_user_name(uid_t uid, char *out, size_t size); /* "alice", or "uid 1000" */

/* One line of a small file, or "". */
void doctor_line_of(const char *path, char *out, size_t size);
int doctor_yama(void); /* ptrace_scope, or -1 where there is no Yama */

/* Reads 16 known bytes in two ways; the answers are errno values, 0: it works. */
struct doctor_reading {
    int mem_errno;   /* by /proc/PID/mem */
    int readv_errno; /* by process_vm_readv, which sampling uses */
};
struct doctor_reading doctor_read(pid_t pid, uint64_t address);

/* Says why `pid` cannot be read, and the way out; adds one finding. */
void doctor_explain(struct doctor *doctor, pid_t pid, const char *check, const char *what,
                    struct doctor_reading reading);

void doctor_machine(struct doctor *doctor); /* the machine and the user */
void doctor_target(struct doctor *doctor, pid_t pid);

/* Parts of both: pid 0 is ourselves. */
void doctor_check_proc(struct doctor *doctor);
bool doctor_check_seccomp(struct doctor *doctor); /* true: process_vm_readv works at all */
bool doctor_check_ticks(struct doctor *doctor, pid_t pid);
void doctor_check_perf(struct doctor *doctor, pid_t pid);
void doctor_check_memory(struct doctor *doctor, pid_t pid);
void doctor_check_debugpy(struct doctor *doctor, const char *python);

#endif
