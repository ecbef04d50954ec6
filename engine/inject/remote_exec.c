#include "engine/inject/remote_exec.h"

#include "engine/base/clock.h"
#include "engine/inject/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

extern const char bsk_inject_remote_exec[];

enum {
    PLEASE_STOP = 1 << 5, /* _PY_EVAL_PLEASE_STOP_BIT: what makes a thread look */
    FIRST_TURN_MS = 300,  /* for the main thread alone; then each other one is asked as well */
    NEXT_TURN_MS = 100,
    ANSWER_MS = 2000, /* to a text that has begun */
    ANSWER_MAX_BYTES = 64 << 20,
    PATH_ROOM = 256,
};

/* Where things are, out of the last six words of the target's _Py_DebugOffsets. */
struct support {
    uint64_t eval_breaker; /* in a thread state */
    uint64_t here;         /* in a thread state: the two below are from there */
    uint64_t enabled;      /* in an interpreter state: an int */
    uint64_t pending;      /* an int */
    uint64_t path;         /* a char[] of `path_bytes` */
    uint64_t path_bytes;
};

struct bsk_remote {
    pid_t pid;
    struct bsk_process *process;
    struct bsk_python *python;
    struct bsk_threads threads;
    struct support support;
    const volatile sig_atomic_t *stop;
    char inside[PATH_ROOM];   /* our folder, as the target sees it */
    char outside[PATH_ROOM];  /* and as we do */
    int folder_fd, parent_fd; /* of that folder, and of what it lies in; -1: none */
    char name[32];            /* of the text under way: "1.py" */
    unsigned runs;
};

/* --- memory of the target -------------------------------------------------------------------- */

static int write_memory(struct bsk_remote *remote, uint64_t address, const void *bytes, size_t size,
                        struct bsk_error *err)
{
    struct iovec local = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
    struct iovec there = { .iov_base = (void *)(uintptr_t)address, .iov_len = size };
    ssize_t done = process_vm_writev(remote->pid, &local, 1, &there, 1, 0);
    if (done == (ssize_t)size)
        return BSK_OK;
    if (done < 0 && errno == ESRCH)
        return bsk_process_not_found(remote->pid, err);
    if (done < 0 && errno == EPERM)
        return bsk_process_refused(remote->pid, err);
    return bsk_fail(err, BSK_E_TORN, "try again", "0x%" PRIx64 " of process %d cannot be written",
                    address, (int)remote->pid);
}

static size_t words_of(int minor)
{
    return minor == 14   ? 95
           : minor == 15 ? 111
                         : 0; /* as engine/python/layouts/tables.h has them */
}

static int find_support(struct bsk_remote *remote, struct bsk_error *err)
{
    const struct bsk_python_info *info = bsk_python_info(remote->python);
    size_t words = words_of(info->minor);
    if (info->minor < 14)
        return bsk_fail(err, BSK_E_UNSUPPORTED,
                        "start it in a debug session: there memory commands work on 3.8 and later",
                        "Process %d is CPython %s: running code in it from outside needs 3.14",
                        (int)remote->pid, info->version);
    if (words == 0)
        return bsk_fail(err, BSK_E_UNSUPPORTED, "look for a newer Basilisk",
                        "Process %d is CPython %s, whose interface we do not know",
                        (int)remote->pid, info->version);
    struct support *support = &remote->support;
    int rc = bsk_process_read(remote->process, bsk_python_anchor(remote->python) + (words - 6) * 8,
                              support, sizeof(*support), err);
    if (rc < 0)
        return rc;
    bool sane = support->eval_breaker < 1 << 14 && support->here < 1 << 16 &&
                support->enabled < 1 << 24 && support->pending < 1 << 12 &&
                support->path < 1 << 12 && support->path_bytes >= 64 &&
                support->path_bytes <= 1 << 16;
    if (!sane)
        return bsk_fail(err, BSK_E_FORMAT, NULL, "Process %d: its debugger support makes no sense",
                        (int)remote->pid);
    return BSK_OK;
}

static struct bsk_python_thread *thread_at(struct bsk_remote *remote, size_t index)
{
    /* the main thread first: the others only when it does not come */
    size_t count = bsk_python_thread_count(remote->python), at = 0;
    for (size_t i = 0; i < count; i++) {
        struct bsk_python_thread *thread = bsk_python_thread(remote->python, i);
        if (thread->interpreter_id == 0 && thread->tid == remote->pid && at++ == index)
            return thread;
    }
    for (size_t i = 0; i < count; i++) {
        struct bsk_python_thread *thread = bsk_python_thread(remote->python, i);
        if (thread->interpreter_id == 0 && thread->tid != remote->pid && at++ == index)
            return thread;
    }
    return NULL;
}

static int check_enabled(struct bsk_remote *remote, struct bsk_error *err)
{
    int32_t enabled = 0;
    int rc = bsk_python_refresh(remote->python, &remote->threads, err);
    if (rc < 0)
        return rc;
    struct bsk_python_thread *thread = thread_at(remote, 0);
    if (!thread)
        return bsk_fail(err, BSK_E_TORN, "try again", "Process %d shows no Python thread",
                        (int)remote->pid);
    rc = bsk_process_read(remote->process, thread->interpreter + remote->support.enabled, &enabled,
                          sizeof(enabled), err);
    if (rc == BSK_OK && enabled != 1)
        return bsk_fail(err, BSK_E_STATE,
                        "start it without PYTHON_DISABLE_REMOTE_DEBUG and without "
                        "-X disable-remote-debug, or in a debug session",
                        "Remote debugging is switched off in process %d", (int)remote->pid);
    return rc;
}

/* --- its files ------------------------------------------------------------------------------- */

/* A folder of the target's user, in its own /tmp: it may live in another mount namespace. */
static int make_folder(struct bsk_remote *remote, struct bsk_error *err)
{
    static const char *const places[] = { "/tmp", "/var/tmp", "/dev/shm" };
    struct bsk_process_facts facts;
    int rc = bsk_process_facts(remote->pid, &facts, err), reason = 0;
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *out = remote->outside;
        snprintf(out, PATH_ROOM, "/proc/%d/root%s/.basilisk-XXXXXX", (int)remote->pid, places[i]);
        if (!mkdtemp(out)) {
            reason = errno;
            continue;
        }
        if (facts.uid != geteuid() && chown(out, facts.uid, (gid_t)-1) != 0) {
            reason = errno;
            rmdir(out);
            continue;
        }
        snprintf(remote->inside, PATH_ROOM, "%s%s", places[i], strrchr(out, '/'));
        /* by descriptors from here on: /proc/PID/root goes with the target, its files do not */
        remote->folder_fd = open(out, O_PATH | O_DIRECTORY | O_CLOEXEC);
        *strrchr(out, '/') = '\0';
        remote->parent_fd = open(out, O_PATH | O_DIRECTORY | O_CLOEXEC);
        snprintf(out, PATH_ROOM, "/proc/self/fd/%d", remote->folder_fd);
        if (remote->folder_fd >= 0 && remote->parent_fd >= 0)
            return BSK_OK;
        reason = errno;
        break;
    }
    remote->outside[0] = '\0';
    return bsk_fail(err, BSK_E_IO, "free space in /tmp",
                    "No private file can be made for process %d: %s", (int)remote->pid,
                    strerror(reason));
}

static void path_of(const struct bsk_remote *remote, const char *suffix, char *out, size_t size)
{
    snprintf(out, size, "%s/%s%s", remote->outside, remote->name, suffix);
}

static void remove_files(struct bsk_remote *remote)
{
    static const char *const suffixes[] = { "",           ".text",        ".taken",
                                            ".answer",    ".answer.part", ".later",
                                            ".later.part" };
    char path[PATH_ROOM + 64];
    for (size_t i = 0; remote->name[0] && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        path_of(remote, suffixes[i], path, sizeof(path));
        unlink(path);
    }
}

/* A file of the target's user, whole or not at all. */
static int write_file(struct bsk_remote *remote, const char *suffix, const char *bytes, size_t size,
                      struct bsk_error *err)
{
    char path[PATH_ROOM + 64];
    struct stat folder;
    path_of(remote, suffix, path, sizeof(path));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0 && stat(remote->outside, &folder) == 0;
    for (size_t done = 0; written && done < size;) {
        ssize_t got = write(fd, bytes + done, size - done);
        written = got > 0;
        done += written ? (size_t)got : 0;
    }
    if (written && folder.st_uid != geteuid())
        written = fchown(fd, folder.st_uid, (gid_t)-1) == 0;
    int rc = written ? BSK_OK
                     : bsk_fail(err, BSK_E_IO, "free space in /tmp", "Cannot write %s: %s", path,
                                strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int write_script(struct bsk_remote *remote, const char *text, uint32_t timeout_ms,
                        struct bsk_error *err)
{
    struct bsk_buffer script = { 0 };
    char inside[PATH_ROOM + 64];
    snprintf(inside, sizeof(inside), "%s/%s", remote->inside, remote->name);
    bsk_buffer_text_append(&script, "exec(compile(");
    bsk_python_literal(&script, bsk_inject_remote_exec);
    bsk_buffer_text_append(&script, ", '<basilisk>', 'exec'), {'_path': ");
    bsk_python_literal(&script, inside);
    bsk_buffer_printf(&script, ", '_deadline': %" PRIu64 "})\n",
                      (bsk_now_ns() / 1000000 + timeout_ms) / 1000 + ANSWER_MS / 1000 + 1);
    int rc = script.failed ? bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory") : BSK_OK;
    if (rc == BSK_OK)
        rc = write_file(remote, ".text", text, strlen(text), err);
    if (rc == BSK_OK)
        rc = write_file(remote, "", script.data, script.size, err);
    bsk_buffer_free(&script);
    return rc;
}

/* 1: it is there and read; 0: not yet. */
static int read_answer(struct bsk_remote *remote, const char *suffix, struct bsk_buffer *out,
                       struct bsk_error *err)
{
    char path[PATH_ROOM + 64], chunk[1 << 16], kind = 0;
    path_of(remote, suffix, path, sizeof(path));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    size_t start = out->size;
    ssize_t got = read(fd, &kind, 1);
    while (got > 0 && (got = read(fd, chunk, sizeof(chunk))) > 0) {
        bsk_buffer_append(out, chunk, (size_t)got);
        if (out->size - start > ANSWER_MAX_BYTES)
            break;
    }
    close(fd);
    unlink(path);
    if (got < 0 || out->failed)
        return bsk_fail(err, BSK_E_IO, NULL, "The answer of process %d cannot be read",
                        (int)remote->pid);
    if (out->size - start > ANSWER_MAX_BYTES)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "Process %d answers too much", (int)remote->pid);
    if (kind == 'E') {
        int rc = bsk_fail(err, BSK_E_FORMAT, NULL, "The script failed in process %d: %.*s",
                          (int)remote->pid, (int)(out->size - start), out->data + start);
        out->size = start;
        return rc;
    }
    return 1;
}

/* --- asking threads -------------------------------------------------------------------------- */

static int ask(struct bsk_remote *remote, uint64_t thread, struct bsk_error *err)
{
    const struct support *support = &remote->support;
    char path[PATH_ROOM + 64];
    int32_t pending = 1;
    uint8_t breaker = 0; /* its lowest byte: others hold what sys.monitoring counts */
    snprintf(path, sizeof(path), "%s/%s", remote->inside, remote->name);
    int rc =
        write_memory(remote, thread + support->here + support->path, path, strlen(path) + 1, err);
    if (rc == BSK_OK)
        rc = write_memory(remote, thread + support->here + support->pending, &pending,
                          sizeof(pending), err);
    if (rc == BSK_OK)
        rc = bsk_process_read(remote->process, thread + support->eval_breaker, &breaker,
                              sizeof(breaker), err);
    breaker |= PLEASE_STOP;
    if (rc == BSK_OK)
        rc = write_memory(remote, thread + support->eval_breaker, &breaker, sizeof(breaker), err);
    return rc;
}

/* Takes the request back from a thread that has not looked; only while it is still a thread. */
static void take_back(struct bsk_remote *remote, uint64_t thread)
{
    const struct support *support = &remote->support;
    char path[PATH_ROOM + 64], there[PATH_ROOM + 64];
    int32_t pending = 0;
    snprintf(path, sizeof(path), "%s/%s", remote->inside, remote->name);
    size_t size = strlen(path) + 1;
    if (bsk_process_read(remote->process, thread + support->here + support->path, there, size,
                         NULL) == BSK_OK &&
        memcmp(there, path, size) == 0)
        write_memory(remote, thread + support->here + support->pending, &pending, sizeof(pending),
                     NULL);
}

static bool is_taken(struct bsk_remote *remote)
{
    char path[PATH_ROOM + 64];
    path_of(remote, ".taken", path, sizeof(path));
    return access(path, F_OK) == 0;
}

/* From here on no thread begins with it; false: one has. */
static bool withdraw(struct bsk_remote *remote)
{
    char path[PATH_ROOM + 64];
    path_of(remote, ".taken", path, sizeof(path));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || errno != EEXIST;
}

static bool is_listed(const struct bsk_remote *remote, uint64_t address)
{
    size_t count = bsk_python_thread_count(remote->python);
    for (size_t i = 0; i < count; i++)
        if (bsk_python_thread(remote->python, i)->address == address)
            return true;
    return false;
}

/* A thread that was not asked yet and is still there: one that has ended is freed memory. The main
 * thread comes first. */
static struct bsk_python_thread *next_to_ask(struct bsk_remote *remote, const uint64_t *asked,
                                             size_t count)
{
    struct bsk_python_thread *thread;
    if (count > 0 && bsk_python_refresh(remote->python, &remote->threads, NULL) < 0)
        return NULL;
    for (size_t i = 0; (thread = thread_at(remote, i)); i++) {
        size_t k = 0;
        while (k < count && asked[k] != thread->address)
            k++;
        if (k == count)
            return thread;
    }
    return NULL;
}

static int pause_for(struct bsk_remote *remote, uint32_t ms, struct bsk_error *err)
{
    struct timespec nap = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
    if (remote->stop && *remote->stop)
        return bsk_fail(err, BSK_E_STATE, NULL, "Interrupted");
    nanosleep(&nap, NULL);
    if (remote->stop && *remote->stop)
        return bsk_fail(err, BSK_E_STATE, NULL, "Interrupted");
    return bsk_process_same(remote->process, bsk_python_anchor(remote->python), err);
}

static int wait_for(struct bsk_remote *remote, const char *suffix, uint64_t until_ns,
                    struct bsk_buffer *out, struct bsk_error *err)
{
    uint32_t nap = 1;
    for (;;) {
        int rc = read_answer(remote, suffix, out, err);
        if (rc != 0)
            return rc;
        if (bsk_now_ns() >= until_ns)
            return 0;
        rc = pause_for(remote, nap, err);
        if (rc < 0) {
            int last = read_answer(remote, suffix, out, NULL);
            return last > 0 ? last : rc;
        }
        nap = nap < 8 ? nap * 2 : 10;
    }
}

static int nobody_came(struct bsk_remote *remote, uint32_t timeout_ms, struct bsk_error *err)
{
    char state = '?';
    struct bsk_thread *thread = bsk_threads_find(&remote->threads, remote->pid);
    if (thread)
        bsk_thread_state(remote->process, thread, &state);
    return bsk_fail(err, BSK_E_IO,
                    "try again when that call has returned (a build --without-remote-debug never "
                    "answers)",
                    "Process %d ran no Python code for %.1f s: its main thread %s. Nothing was run "
                    "in it, and nothing will be",
                    (int)remote->pid, timeout_ms / 1000.0,
                    state == 'R'                   ? "works in C code"
                    : state == 'T' || state == 't' ? "is stopped"
                                                   : "waits in a system call");
}

static int ask_all(struct bsk_remote *remote, uint32_t timeout_ms, struct bsk_buffer *out,
                   struct bsk_error *err)
{
    enum { MAX_ASKED = 256 };
    uint64_t asked[MAX_ASKED], end = bsk_now_ns() + (uint64_t)timeout_ms * 1000000;
    size_t asked_count = 0;
    int rc = 0;
    for (size_t turn = 0; rc == 0 && bsk_now_ns() < end && !is_taken(remote); turn++) {
        struct bsk_python_thread *thread =
            asked_count < MAX_ASKED ? next_to_ask(remote, asked, asked_count) : NULL;
        if (thread) {
            asked[asked_count++] = thread->address;
            rc = ask(remote, thread->address, err);
            if (rc == BSK_E_TORN) /* that thread has just ended */
                rc = 0;
        }
        if (rc < 0)
            break;
        uint64_t until =
            bsk_now_ns() + (uint64_t)(turn == 0 ? FIRST_TURN_MS : NEXT_TURN_MS) * 1000000;
        rc = wait_for(remote, ".answer", until < end ? until : end, out, err);
    }
    bool withdrawn = withdraw(remote);
    /* The file goes last: a thread that does not find it would say so on the program's stderr. */
    if ((asked_count > 1 || withdrawn) &&
        bsk_python_refresh(remote->python, &remote->threads, NULL) == BSK_OK)
        for (size_t i = 0; i < asked_count; i++)
            if (is_listed(remote, asked[i]))
                take_back(remote, asked[i]);
    char path[PATH_ROOM + 64];
    path_of(remote, "", path, sizeof(path));
    unlink(path);
    if (rc == 0 && withdrawn)
        return nobody_came(remote, timeout_ms, err);
    if (rc == 0)
        rc = wait_for(remote, ".answer", bsk_now_ns() + (uint64_t)ANSWER_MS * 1000000, out, err);
    if (rc == 0)
        return bsk_fail(err, BSK_E_IO, "try again later",
                        "Process %d has begun and does not end what it was asked",
                        (int)remote->pid);
    return rc > 0 ? BSK_OK : rc;
}

int bsk_remote_run(struct bsk_remote *remote, const char *text, uint32_t timeout_ms,
                   struct bsk_buffer *out_answer, struct bsk_error *err)
{
    remove_files(remote); /* of the text before */
    int rc = bsk_python_refresh(remote->python, &remote->threads, err);
    if (rc < 0)
        return rc;
    snprintf(remote->name, sizeof(remote->name), "%u.py", ++remote->runs);
    if (strlen(remote->inside) + strlen(remote->name) + 2 > remote->support.path_bytes)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "The path %s is too long for process %d",
                        remote->inside, (int)remote->pid);
    rc = write_script(remote, text, timeout_ms, err);
    if (rc == BSK_OK)
        rc = ask_all(remote, timeout_ms, out_answer, err);
    return rc;
}

int bsk_remote_later(struct bsk_remote *remote, uint32_t timeout_ms, struct bsk_buffer *out_answer,
                     struct bsk_error *err)
{
    int rc =
        wait_for(remote, ".later", bsk_now_ns() + (uint64_t)timeout_ms * 1000000, out_answer, err);
    if (rc == 0)
        return bsk_fail(err, BSK_E_IO, "try again later", "Process %d gave no answer within %.1f s",
                        (int)remote->pid, timeout_ms / 1000.0);
    return rc > 0 ? BSK_OK : rc;
}

/* --- opening and closing --------------------------------------------------------------------- */

int bsk_remote_open(pid_t pid, const volatile sig_atomic_t *stop, struct bsk_remote **out_remote,
                    struct bsk_error *err)
{
    struct bsk_remote *remote = calloc(1, sizeof(*remote));
    if (!remote)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory");
    remote->pid = pid;
    remote->stop = stop;
    remote->folder_fd = remote->parent_fd = -1;
    int rc = bsk_process_open(pid, &remote->process, err);
    if (rc == BSK_OK)
        rc = bsk_python_open(remote->process, &remote->python, err);
    if (rc == BSK_OK)
        rc = find_support(remote, err);
    if (rc == BSK_OK)
        rc = check_enabled(remote, err);
    if (rc == BSK_OK)
        rc = make_folder(remote, err);
    if (remote->process && rc == BSK_E_GONE)
        rc = bsk_python_tell_gone(pid, err);
    if (rc < 0) {
        bsk_remote_close(remote);
        return rc;
    }
    *out_remote = remote;
    return BSK_OK;
}

void bsk_remote_close(struct bsk_remote *remote)
{
    if (!remote)
        return;
    if (remote->outside[0]) {
        remove_files(remote);
        if (remote->parent_fd >= 0)
            unlinkat(remote->parent_fd, strrchr(remote->inside, '/') + 1, AT_REMOVEDIR);
    }
    if (remote->folder_fd >= 0)
        close(remote->folder_fd);
    if (remote->parent_fd >= 0)
        close(remote->parent_fd);
    bsk_threads_free(&remote->threads);
    bsk_python_close(remote->python);
    bsk_process_close(remote->process);
    free(remote);
}
