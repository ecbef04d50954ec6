#include "engine/process/process.h"

#include "engine/process/linux/core.h"
#include "engine/process/linux/held.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIECES_PER_CALL = 1024 }; /* IOV_MAX, which no kernel has raised */

int bsk_process_not_found(pid_t pid, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_GONE, "look for its PID again: it has ended, or never was",
                    "Process not found: %d", (int)pid);
}

/* What keeps us out differs, and so does the one way out (DESIGN.md, "Errors a person meets"). */
int bsk_process_refused(pid_t pid, struct bsk_error *err)
{
    char text[16] = "";
    int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, text, sizeof(text) - 1);
        text[got > 0 ? strcspn(text, "\n") : 0] = '\0';
        close(fd);
    }
    struct bsk_process_facts facts = { 0 };
    bool others = bsk_process_facts(pid, &facts, NULL) == BSK_OK && facts.uid != geteuid();
    if (others)
        return bsk_fail(err, BSK_E_PERMISSION,
                        "run Basilisk as the user it belongs to, or with sudo",
                        "Permission denied: process %d belongs to uid %u (ptrace_scope: %s)",
                        (int)pid, (unsigned)facts.uid, text[0] ? text : "not there");
    const char *way_out = "run with sudo, or grant CAP_SYS_PTRACE";
    if (strcmp(text, "1") == 0)
        way_out = "run `sudo sysctl kernel.yama.ptrace_scope=0`, or start it through Basilisk";
    else if (strcmp(text, "3") == 0)
        way_out = "no process can be read until the machine boots with a lower "
                  "kernel.yama.ptrace_scope";
    return bsk_fail(err, BSK_E_PERMISSION, way_out,
                    "Permission denied: process %d cannot be read (ptrace_scope: %s)", (int)pid,
                    text[0] ? text : "not there");
}

int bsk_process_open(pid_t pid, struct bsk_process **out_process, struct bsk_error *err)
{
    int rc = BSK_OK;
    char path[64];
    struct bsk_process *process = calloc(1, sizeof(*process));
    if (!process)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    process->pid = pid;
    process->mem_fd = -1;
    process->pid_fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (process->pid_fd < 0 && (pid <= 0 || errno == ESRCH || errno == EINVAL)) {
        rc = bsk_process_not_found(pid, err); /* EINVAL: a thread, not a process */
        goto out;
    }
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    process->mem_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (process->mem_fd < 0) {
        if (errno == EACCES || errno == EPERM)
            rc = bsk_process_refused(pid, err);
        else if (errno == ENOENT || errno == ESRCH)
            rc = bsk_process_not_found(pid, err);
        else
            rc = bsk_fail(err, BSK_E_IO, NULL, "%s: %s", path, strerror(errno));
        goto out;
    }
    *out_process = process;
    process = NULL;
out:
    bsk_process_close(process);
    return rc;
}

void bsk_process_close(struct bsk_process *process)
{
    if (!process)
        return;
    if (process->pid_fd >= 0)
        close(process->pid_fd);
    if (process->mem_fd >= 0)
        close(process->mem_fd);
    bsk_core_close(process->core);
    free(process->pieces_local);
    free(process);
}

pid_t bsk_process_pid(const struct bsk_process *process)
{
    return process->pid;
}

static int unreadable(const struct bsk_process *process, uint64_t address, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_TORN, NULL, "0x%" PRIx64 " of process %d is not readable", address,
                    (int)process->pid);
}

static int not_in_core(const struct bsk_process *process, uint64_t address, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_TORN,
                    process->core->claimed_bytes > process->core->bytes
                        ? "it is cut short: take it again with `ulimit -c unlimited` and enough "
                          "room on the disk"
                        : NULL,
                    "0x%" PRIx64 " is not in %.300s", address, process->core->path);
}

int bsk_process_read(struct bsk_process *process, uint64_t address, void *dst, size_t size,
                     struct bsk_error *err)
{
    if (size > BSK_READ_MAX_BYTES)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "refused %zu bytes at 0x%" PRIx64, size, address);
    if (process->core)
        return bsk_core_read(process->core, address, dst, size)
                   ? BSK_OK
                   : not_in_core(process, address, err);
    if (address > INT64_MAX - size) /* the kernel's half: /proc/PID/mem takes a signed offset */
        return unreadable(process, address, err);
    ssize_t got = pread(process->mem_fd, dst, size, (off_t)address);
    if (got == (ssize_t)size)
        return BSK_OK;
    if (got == 0 && size > 0)
        return bsk_process_not_found(process->pid, err); /* the memory itself is gone */
    if (got < 0 && (errno == EPERM || errno == EACCES))
        return bsk_process_refused(process->pid, err);
    return unreadable(process, address, err);
}

int bsk_process_same(struct bsk_process *process, uint64_t address, struct bsk_error *err)
{
    char byte;
    struct pollfd end = { .fd = process->pid_fd, .events = POLLIN };
    if (process->core)
        return BSK_OK;
    if (pread(process->mem_fd, &byte, 1, (off_t)address) == 1)
        return BSK_OK;
    if (process->pid_fd >= 0 && poll(&end, 1, 0) == 0)
        return bsk_fail(err, BSK_E_GONE, "it became another program: look at it again",
                        "Process not found: %d has started another program", (int)process->pid);
    return bsk_process_not_found(process->pid, err);
}

/* Reads a run of at most PIECES_PER_CALL pieces; returns how many at its start came whole. */
static ssize_t read_run(struct bsk_process *process, struct bsk_piece *pieces, size_t count)
{
    struct iovec *local = process->pieces_local, *remote = local + PIECES_PER_CALL;
    for (size_t i = 0; i < count; i++) {
        local[i] = (struct iovec){ .iov_base = pieces[i].dst, .iov_len = pieces[i].size };
        remote[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)pieces[i].address,
                                    .iov_len = pieces[i].size };
    }
    ssize_t got = process_vm_readv(process->pid, local, count, remote, count, 0);
    if (got < 0)
        return errno == EFAULT || errno == EINVAL ? 0 : -1;
    size_t whole = 0;
    while (whole < count && (size_t)got >= pieces[whole].size) {
        got -= (ssize_t)pieces[whole].size;
        pieces[whole++].ok = true;
    }
    return (ssize_t)whole;
}

int bsk_process_read_pieces(struct bsk_process *process, struct bsk_piece *pieces, size_t count,
                            struct bsk_error *err)
{
    for (size_t i = 0; process->core && i < count; i++)
        pieces[i].ok = pieces[i].size > 0 && bsk_core_read(process->core, pieces[i].address,
                                                           pieces[i].dst, pieces[i].size);
    if (process->core)
        return BSK_OK;
    if (!process->pieces_local) {
        process->pieces_local = calloc(2 * (size_t)PIECES_PER_CALL, sizeof(struct iovec));
        if (!process->pieces_local)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        pieces[i].ok = false;
        /* An address above the user's half fails the whole call with EFAULT, so it never goes in;
         * a piece of no bytes reads nothing, wherever it points. */
        if (pieces[i].address > INT64_MAX - BSK_READ_MAX_BYTES ||
            pieces[i].size > BSK_READ_MAX_BYTES)
            pieces[i].size = 0;
        if (pieces[i].size == 0)
            pieces[i].address = 0;
    }
    for (size_t at = 0; at < count;) {
        size_t run = count - at < PIECES_PER_CALL ? count - at : PIECES_PER_CALL;
        ssize_t whole = read_run(process, pieces + at, run);
        if (whole < 0)
            return errno == ESRCH ? bsk_process_not_found(process->pid, err)
                                  : bsk_process_refused(process->pid, err);
        at += (size_t)whole + ((size_t)whole < run ? 1 : 0); /* skip the one that failed */
    }
    for (size_t i = 0; i < count; i++)
        pieces[i].ok = pieces[i].ok && pieces[i].size > 0;
    return BSK_OK;
}
