#include "engine/inject/prelude.h"

#include "engine/base/strings.h"
#include "engine/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern const char bsk_inject_prelude[];

static const char find_home[] = "_home = _sys.modules.get('_basilisk')\n";

/* Executes the prelude where it has not been. */
static void write_prelude(struct bsk_buffer *out)
{
    bsk_buffer_text_append(out, "if _home is None:\n"
                                "    _home = _sys.modules['_basilisk'] = type(_sys)('_basilisk')\n"
                                "if not hasattr(_home, 'start'):\n"
                                "    _home._sys, _home._home = _sys, _home\n"
                                "    exec(compile(");
    bsk_python_literal(out, bsk_inject_prelude);
    bsk_buffer_text_append(out, ", '<basilisk>', 'exec'), _home.__dict__)\n");
}

static void write_begin(struct bsk_buffer *out, const char *function, uint64_t number,
                        const struct bsk_job *job, bool with_prelude)
{
    bsk_buffer_text_append(out, find_home);
    if (with_prelude)
        write_prelude(out);
    bsk_buffer_printf(out, "_answer(b'prelude\\n' if not hasattr(_home, 'start') else _home.%s(",
                      function);
    bsk_buffer_printf(out, "%" PRIu64 ", ", number);
    bsk_python_literal(out, job->source);
    bsk_buffer_printf(out, ", %s, %" PRIu64, job->arguments ? job->arguments : "{}",
                      job->max_dump_bytes ? job->max_dump_bytes : BSK_DUMP_MAX_BYTES);
}

void bsk_inject_start(struct bsk_buffer *out, uint64_t number, const struct bsk_job *job,
                      uint32_t wait_ms, bool with_prelude)
{
    write_begin(out, "start", number, job, with_prelude);
    bsk_buffer_printf(out, ", %.3f))\n", wait_ms / 1e3);
}

void bsk_inject_run(struct bsk_buffer *out, uint64_t number, const struct bsk_job *job,
                    bool with_prelude)
{
    write_begin(out, "run", number, job, with_prelude);
    bsk_buffer_text_append(out, "))\n");
}

void bsk_inject_fetch(struct bsk_buffer *out, uint64_t number, uint32_t wait_ms)
{
    bsk_buffer_text_append(out, find_home);
    bsk_buffer_printf(out, "_answer(_home.fetch(%" PRIu64 ", %.3f))\n", number, wait_ms / 1e3);
}

void bsk_inject_piece(struct bsk_buffer *out, uint64_t number, uint64_t offset, size_t size)
{
    bsk_buffer_text_append(out, find_home);
    bsk_buffer_printf(out, "_answer(_home.piece(%" PRIu64 ", %" PRIu64 ", %zu))\n", number, offset,
                      size);
}

void bsk_inject_drop(struct bsk_buffer *out, uint64_t number)
{
    bsk_buffer_text_append(out, find_home);
    bsk_buffer_printf(out, "_answer(_home.drop(%" PRIu64 ") or b'')\n", number);
}

void bsk_inject_leave(struct bsk_buffer *out)
{
    bsk_buffer_text_append(out, find_home);
    bsk_buffer_text_append(out, "if hasattr(_home, 'start'):\n"
                                "    _home.leave()\n"
                                "_answer(b'')\n");
}

/* ---- What comes back ---------------------------------------------------------------------------
 */

static int no_report(struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_FORMAT, NULL, "the target's answer is not one of ours");
}

/* The script's own words: the first line is the fact, the second the hint. */
static int refused(const char *text, size_t bytes, struct bsk_error *err)
{
    const char *newline = memchr(text, '\n', bytes);
    size_t fact = newline ? (size_t)(newline - text) : bytes;
    char hint[512] = "";
    if (newline)
        snprintf(hint, sizeof(hint), "%.*s", (int)(bytes - fact - 1 < 500 ? bytes - fact - 1 : 500),
                 newline + 1);
    return bsk_fail(err, BSK_E_STATE, hint, "%.*s", (int)(fact < 500 ? fact : 500), text);
}

static int parse_head(char *line, struct bsk_job_report *report)
{
    uint64_t fields[7];
    char *at = strchr(line, ' ');
    for (int i = 0; i < 7; i++) {
        char *end = NULL;
        errno = 0;
        if (!at || (at[1] != '-' && (at[1] < '0' || at[1] > '9')))
            return BSK_E_FORMAT;
        fields[i] = at[1] == '-' ? (uint64_t)strtoll(at + 1, &end, 10)
                                 : (uint64_t)strtoull(at + 1, &end, 10);
        if (errno)
            return BSK_E_FORMAT;
        at = end;
    }
    report->wall_ns = fields[0];
    report->cpu_ns = fields[1];
    report->dump_bytes = fields[2];
    report->pid = fields[3] <= INT32_MAX ? (pid_t)fields[3] : 0;
    report->fd = fields[4] <= INT32_MAX ? (int)fields[4] : -1;
    report->device = fields[5];
    report->inode = fields[6];
    return BSK_OK;
}

int bsk_job_report_parse(const char *text, size_t bytes, struct bsk_job_report *out_report,
                         struct bsk_error *err)
{
    struct bsk_job_report report = { .fd = -1 };
    char line[256];
    const char *newline = memchr(text, '\n', bytes < sizeof(line) ? bytes : sizeof(line));
    if (!newline)
        return no_report(err);
    snprintf(line, sizeof(line), "%.*s", (int)(newline - text), text);
    report.text = newline + 1;
    report.text_bytes = bytes - (size_t)(newline + 1 - text);
    if (strcmp(line, "prelude") == 0)
        report.stage = BSK_JOB_NO_PRELUDE;
    else if (strcmp(line, "unknown") == 0)
        report.stage = BSK_JOB_UNKNOWN;
    else if (strcmp(line, "running") == 0)
        report.stage = BSK_JOB_RUNNING;
    else if (parse_head(line, &report) != BSK_OK)
        return no_report(err);
    else if (bsk_starts_with(line, "refused "))
        return refused(report.text, report.text_bytes, err);
    else if (bsk_starts_with(line, "failed "))
        return bsk_fail(err, BSK_E_FORMAT, NULL, "a script of Basilisk's failed: %.*s",
                        (int)(report.text_bytes < 400 ? report.text_bytes : 400), report.text);
    else if (!bsk_starts_with(line, "done "))
        return no_report(err);
    else
        report.stage = BSK_JOB_DONE;
    if (report.text_bytes > BSK_ANSWER_MAX_BYTES)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "the target's answer has %zu bytes, over %d",
                        report.text_bytes, BSK_ANSWER_MAX_BYTES);
    *out_report = report;
    return BSK_OK;
}

/* ---- The dump ----------------------------------------------------------------------------------
 */

static int open_of(pid_t pid, const struct bsk_job_report *report, int *out_fd)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, report->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return BSK_E_IO;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_ino != report->inode ||
        status.st_dev != report->device || (uint64_t)status.st_size != report->dump_bytes) {
        close(fd);
        return BSK_E_IO;
    }
    *out_fd = fd;
    return BSK_OK;
}

int bsk_job_open_dump(const struct bsk_job_report *report, pid_t pid, int *out_fd, pid_t *out_pid,
                      struct bsk_error *err)
{
    pid_t *pids = NULL;
    size_t count = 0;
    *out_pid = pid;
    if (pid > 0 && open_of(pid, report, out_fd) == BSK_OK)
        return BSK_OK;
    *out_pid = report->pid;
    if (report->pid > 0 && open_of(report->pid, report, out_fd) == BSK_OK)
        return BSK_OK;
    /* In a PID namespace of its own it has another number for us. */
    int rc = bsk_process_all(&pids, &count, NULL);
    for (size_t i = 0; rc == BSK_OK && i < count; i++) {
        struct bsk_process_facts facts;
        if (pids[i] == report->pid || bsk_process_facts(pids[i], &facts, NULL) != BSK_OK ||
            facts.pid_inside != report->pid || open_of(pids[i], report, out_fd) != BSK_OK)
            continue;
        *out_pid = pids[i];
        free(pids);
        return BSK_OK;
    }
    free(pids);
    return bsk_fail(err, BSK_E_IO, NULL, "the target shares no file with us");
}
