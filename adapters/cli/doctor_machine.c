/* The doctor without a PID: the machine and the user, tried on processes of our own. */
#include "adapters/cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEBUGPY_WAIT_MS = 20000 };

static const char known[16] = "sixteen bytes !";

/* A copy of ourselves that only waits, and ends when `hold` is closed by us, by any end of ours. */
struct patient {
    pid_t pid;
    int hold;
    bool child;
};

/* A copy of us has the capabilities that our file gives us (setcap), which programs of the user's
 * have not; one that has more of them than is in effect in us could not be read. */
static void become_ordinary(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
    (void)syscall(SYS_capset, &head, none);
    (void)prctl(PR_SET_DUMPABLE, 1);
}

static void wait_for_end(int hold, int ready)
{
    char byte;
    become_ordinary();
    pid_t pid = getpid();
    bool told = write(ready, &pid, sizeof(pid)) == (ssize_t)sizeof(pid);
    close(ready);
    while (told && read(hold, &byte, 1) < 0 && errno == EINTR)
        ;
    _exit(0);
}

/* A child, or with `child` false a grandchild whose parent has ended: no relative of ours any more,
 * as every process is that somebody else started. */
static bool start_patient(struct patient *patient, bool child)
{
    int hold[2], ready[2];
    if (pipe2(hold, O_CLOEXEC) < 0)
        return false;
    if (pipe2(ready, O_CLOEXEC) < 0) {
        close(hold[0]);
        close(hold[1]);
        return false;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(hold[1]);
        close(ready[0]);
        if (child || fork() == 0)
            wait_for_end(hold[0], ready[1]);
        _exit(0);
    }
    close(hold[0]);
    close(ready[1]);
    patient->child = child;
    patient->hold = hold[1];
    bool started = pid > 0 && read(ready[0], &patient->pid, sizeof(patient->pid)) ==
                                  (ssize_t)sizeof(patient->pid);
    close(ready[0]);
    if (pid > 0 && !child)
        waitpid(pid, NULL, 0);
    if (!started) {
        close(hold[1]);
        if (pid > 0 && child)
            waitpid(pid, NULL, 0);
    }
    return started;
}

static void end_patient(struct patient *patient)
{
    close(patient->hold);
    if (patient->child)
        waitpid(patient->pid, NULL, 0);
}

static bool try_patient(struct doctor *doctor, bool child)
{
    struct patient patient = { 0 };
    const char *check = child ? "child" : "others";
    const char *what = child ? "a child of ours" : "another process of yours";
    if (!start_patient(&patient, child)) {
        doctor_say(doctor, check, DOCTOR_BAD, "limit", "no process can be started: %s",
                   strerror(errno));
        return false;
    }
    struct doctor_reading reading = doctor_read(patient.pid, (uint64_t)(uintptr_t)known);
    bool good = reading.mem_errno == 0 && reading.readv_errno == 0;
    if (good)
        doctor_say(doctor, check, DOCTOR_GOOD, "",
                   child ? "programs that Basilisk starts can be read (record -- CMD, debugging)"
                         : "programs of yours that run already can be read (record -p PID)");
    else
        doctor_explain(doctor, patient.pid, check, what, reading);
    end_patient(&patient);
    return good;
}

static void say_who(struct doctor *doctor)
{
    struct doctor_who us = { 0 };
    struct utsname system;
    struct stat info;
    char name[64];
    (void)doctor_who(0, &us);
    (void)uname(&system);
    doctor_user_name(us.uid[1], name, sizeof(name));
    bool container = stat("/.dockerenv", &info) == 0 || stat("/run/.containerenv", &info) == 0 ||
                     getenv("container");
    int scope = doctor_yama();
    char yama[32] = "no Yama";
    if (scope >= 0)
        snprintf(yama, sizeof(yama), "ptrace_scope %d", scope);
    doctor_say(doctor, "user", DOCTOR_GOOD, "", "you are %s, %s CAP_SYS_PTRACE; Linux %s, %s%s",
               name, doctor_can(&us, CAP_SYS_PTRACE_BIT) ? "with" : "without", system.release, yama,
               container ? ", in a container" : "");
}

/* Runs `python -c ...` and gives its first line; false with a reason. */
static bool ask_python(const char *python, const char *code, char *out, size_t size)
{
    int answer[2];
    size_t used = 0;
    out[0] = '\0';
    if (pipe2(answer, O_CLOEXEC) < 0)
        return false;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int nothing = open("/dev/null", O_RDWR);
        dup2(nothing, STDIN_FILENO);
        dup2(answer[1], STDOUT_FILENO);
        dup2(nothing, STDERR_FILENO);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp(python, python, "-c", code, (char *)NULL);
        _exit(127);
    }
    close(answer[1]);
    struct pollfd event = { .fd = answer[0], .events = POLLIN };
    while (pid > 0 && used + 1 < size && poll(&event, 1, DEBUGPY_WAIT_MS) > 0) {
        ssize_t got = read(answer[0], out + used, size - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    close(answer[0]);
    out[used] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (pid < 0)
        return false;
    int status = 0;
    if (used == 0)
        kill(pid, SIGKILL); /* it has ended, or takes too long */
    waitpid(pid, &status, 0);
    return out[0] != '\0';
}

void doctor_check_debugpy(struct doctor *doctor, const char *python)
{
    char answer[256];
    const char *candidates[] = { python ? python : "python3", python ? NULL : "python" };
    for (size_t i = 0; i < 2 && candidates[i]; i++) {
        if (!ask_python(candidates[i],
                        "import sys\n"
                        "try:\n"
                        "    import debugpy\n"
                        "    has = 'debugpy ' + debugpy.__version__\n"
                        "except ImportError:\n"
                        "    has = 'no debugpy'\n"
                        "print(has, 'in Python', sys.version.split()[0], sys.executable)",
                        answer, sizeof(answer)))
            continue;
        if (strncmp(answer, "no ", 3) != 0) {
            doctor_say(doctor, "debugpy", DOCTOR_GOOD, "", "%s", answer);
            return;
        }
        struct doctor_finding *finding = doctor_say(doctor, "debugpy", DOCTOR_DOUBT, "debugpy",
                                                    "%s: debug sessions need it", answer);
        doctor_fix(finding, "%s -m pip install debugpy", candidates[i]);
        return;
    }
    struct doctor_finding *finding =
        doctor_say(doctor, "debugpy", DOCTOR_DOUBT, "python",
                   "%s could not be run: debug sessions need a Python with debugpy",
                   python ? python : "python3");
    if (!python)
        doctor_fix(finding, "put a Python on PATH");
}

void doctor_machine(struct doctor *doctor)
{
    say_who(doctor);
    doctor_check_proc(doctor);
    bool reads = doctor_check_seccomp(doctor), child = false, others = false;
    if (reads) {
        child = try_patient(doctor, true);
        others = try_patient(doctor, false);
    }
    bool ticks = doctor_check_ticks(doctor, 0);
    doctor_check_perf(doctor, 0);
    doctor_check_debugpy(doctor, NULL);
    doctor_check_memory(doctor, 0);
    const char *how = ticks ? "reads from outside, or by eBPF where this build has it; nothing is "
                              "ever stopped"
                            : "reads from outside; nothing is ever stopped";
    if (child && others)
        doctor_say(doctor, "therefore", DOCTOR_GOOD, "", "so Basilisk %s", how);
    else if (child)
        doctor_say(doctor, "therefore", DOCTOR_DOUBT, "partly",
                   "so Basilisk %s, but only what it starts itself: use -- CMD", how);
    else
        doctor_say(doctor, "therefore", DOCTOR_BAD, "nothing",
                   "so Basilisk can sample only from inside a debug session");
}
