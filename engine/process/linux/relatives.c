#include "engine/process/linux/held.h"
#include "engine/process/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* One line of /proc/PID/NAME into `text`, terminated; -1 with errno. */
static ssize_t small_file(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, text, size - 1);
    int saved = errno;
    close(fd);
    errno = saved;
    if (got >= 0)
        text[got] = '\0';
    return got;
}

/* State, parent and start time out of /proc/PID/stat. */
static bool parse_stat(const char *text, struct bsk_process_facts *out)
{
    const char *at = strrchr(text, ')'); /* the name may hold spaces and parentheses */
    int parent = 0;
    if (!at || sscanf(at + 1, " %c %d", &out->state, &parent) != 2)
        return false;
    out->parent = (pid_t)parent;
    at += 2;
    for (int field = 3; field < 22; field++) { /* starttime is the 22nd, state the 3rd */
        at = strchr(at, ' ');
        if (!at)
            return false;
        at++;
    }
    out->start_ticks = strtoull(at, NULL, 10);
    return true;
}

int bsk_process_facts(pid_t pid, struct bsk_process_facts *out_facts, struct bsk_error *err)
{
    char text[8192];
    struct bsk_process_facts facts = { .pid = pid, .pid_inside = pid };
    ssize_t got = small_file(pid, "stat", text, sizeof(text));
    if (got < 0 && errno != ENOENT && errno != ESRCH)
        return bsk_fail(err, BSK_E_IO, NULL, "/proc/%d/stat: %s", (int)pid, strerror(errno));
    if (got <= 0 || !parse_stat(text, &facts))
        return bsk_process_not_found(pid, err);
    if (small_file(pid, "status", text, sizeof(text)) <= 0)
        return bsk_process_not_found(pid, err);
    const char *uid = strstr(text, "\nUid:"), *inside = strstr(text, "\nNSpid:");
    unsigned effective = 0;
    if (uid && sscanf(uid, "\nUid: %*u %u", &effective) == 1)
        facts.uid = effective;
    if (inside) {
        inside += strlen("\nNSpid:");
        for (char *end = NULL; *inside && *inside != '\n'; inside = end) {
            long value = strtol(inside, &end, 10);
            if (end == inside)
                break;
            facts.pid_inside = (pid_t)value;
        }
    }
    *out_facts = facts;
    return BSK_OK;
}

static void link_text(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    ssize_t got = readlink(path, out, size - 1);
    out[got > 0 ? got : 0] = '\0';
    static const char deleted[] = " (deleted)";
    if (got >= (ssize_t)sizeof(deleted) - 1 &&
        strcmp(out + got - (ssize_t)(sizeof(deleted) - 1), deleted) == 0)
        out[got - (ssize_t)(sizeof(deleted) - 1)] = '\0';
}

void bsk_process_exe(pid_t pid, char *out, size_t size)
{
    link_text(pid, "exe", out, size);
}

void bsk_process_cwd(pid_t pid, char *out, size_t size)
{
    link_text(pid, "cwd", out, size);
}

void bsk_process_first_cwd(pid_t pid, char *out, size_t size)
{
    enum { ENVIRONMENT_MAX_BYTES = 1 << 17 };
    char *words = malloc(ENVIRONMENT_MAX_BYTES);
    ssize_t got = words ? small_file(pid, "environ", words, ENVIRONMENT_MAX_BYTES) : 0;
    out[0] = '\0';
    for (ssize_t at = 0; at < got; at += (ssize_t)strlen(words + at) + 1) {
        if (strncmp(words + at, "PWD=/", 5) != 0)
            continue;
        if (strlen(words + at + 4) < size)
            strcpy(out, words + at + 4);
        break;
    }
    free(words);
}

void bsk_process_command(pid_t pid, char *out, size_t size)
{
    ssize_t got = small_file(pid, "cmdline", out, size);
    if (got <= 0) {
        out[0] = '\0';
        return;
    }
    bool cut = got == (ssize_t)size - 1 && out[got - 1] != '\0';
    while (got > 0 && out[got - 1] == '\0')
        got--;
    for (ssize_t i = 0; i < got; i++)
        if (out[i] == '\0' || out[i] == '\n')
            out[i] = ' ';
    if (cut && size > 4)
        strcpy(out + size - 4, "...");
}

void bsk_process_name(pid_t pid, char *out, size_t size)
{
    char text[64];
    ssize_t got = small_file(pid, "comm", text, sizeof(text));
    if (got > 0)
        text[strcspn(text, "\n")] = '\0';
    snprintf(out, size, "%s", got > 0 ? text : "?");
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

bool bsk_process_cpu_ns(pid_t pid, uint64_t *out_ns)
{
    enum { SCHEDULED = 2 }; /* what the scheduler counts, to the nanosecond */
    /* As clock_getcpuclockid() makes it, which asks the kernel once more each time. */
    clockid_t clock = (clockid_t)((~(unsigned)pid << 3) | SCHEDULED);
    struct timespec used;
    if (clock_gettime(clock, &used) != 0)
        return false;
    *out_ns = (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
    return true;
}

uint64_t bsk_process_first_thread_ns(pid_t pid)
{
    char text[128];
    return small_file(pid, "schedstat", text, sizeof(text)) > 0 ? strtoull(text, NULL, 10) : 0;
}

uint64_t bsk_process_program(pid_t pid)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    if (stat(path, &status) != 0)
        return 0;
    return ((uint64_t)status.st_dev << 48 ^ (uint64_t)status.st_ino) | 1ULL << 63;
}

bool bsk_process_share_memory(pid_t pid, pid_t other)
{
    return syscall(SYS_kcmp, pid, other, KCMP_VM, 0, 0) == 0;
}

int bsk_process_watch(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int by_number(const void *left, const void *right)
{
    pid_t a = *(const pid_t *)left, b = *(const pid_t *)right;
    return (a > b) - (a < b);
}

int bsk_process_all(pid_t **out_pids, size_t *out_count, struct bsk_error *err)
{
    pid_t *pids = NULL;
    size_t count = 0, capacity = 0;
    DIR *folder = opendir("/proc");
    if (!folder)
        return bsk_fail(err, BSK_E_IO, "is /proc mounted?", "/proc: %s", strerror(errno));
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0)
            continue;
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 256;
            pid_t *grown = realloc(pids, capacity * sizeof(*pids));
            if (!grown) {
                free(pids);
                closedir(folder);
                return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
            }
            pids = grown;
        }
        pids[count++] = pid;
    }
    closedir(folder);
    if (count > 0)
        qsort(pids, count, sizeof(*pids), by_number);
    *out_pids = pids;
    *out_count = count;
    return BSK_OK;
}

pid_t bsk_process_newest(void)
{
    char text[128];
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *last = strrchr(text, ' ');
    return last ? (pid_t)strtol(last + 1, NULL, 10) : 0;
}

/*
 * By the parents of all processes rather than by /proc/PID/task/TID/children: not every kernel
 * has that file (CONFIG_PROC_CHILDREN), it costs an open per thread of every process on the way,
 * and it may leave out children while others end.
 */
int bsk_process_below(pid_t pid, pid_t **out_pids, size_t *out_count, struct bsk_error *err)
{
    pid_t *all = NULL, *parents = NULL, *below = NULL;
    size_t count = 0, found = 0;
    int rc = bsk_process_all(&all, &count, err);
    if (rc < 0)
        return rc;
    parents = calloc(count + 1, sizeof(*parents));
    below = calloc(count + 1, sizeof(*below));
    if (!parents || !below) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        char text[1024];
        struct bsk_process_facts facts = { 0 };
        if (small_file(all[i], "stat", text, sizeof(text)) > 0 && parse_stat(text, &facts))
            parents[i] = facts.parent;
    }
    for (size_t at = 0; at <= found; at++) { /* `below` is its own queue: nearest first */
        pid_t parent = at == 0 ? pid : below[at - 1];
        for (size_t i = 0; i < count; i++)
            if (parents[i] == parent && all[i] != pid && found < count)
                below[found++] = all[i];
    }
    *out_pids = below;
    *out_count = found;
    below = NULL;
out:
    free(all);
    free(parents);
    free(below);
    return rc;
}
