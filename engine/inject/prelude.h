/*
 * The wire between a channel and prelude.py: the Python texts that begin, fetch and drop a job
 * inside a target, and what they answer. For those who write a channel.
 *
 * Each text is a script of a few lines that takes milliseconds. It expects two names: `_sys` (the
 * module) and `_answer` (a function that takes bytes).
 */
#ifndef BSK_INJECT_PRELUDE_H
#define BSK_INJECT_PRELUDE_H

#include "engine/inject/channel.h"

#include <stdbool.h>
#include <sys/types.h>

/* Begins the job `number` and waits at most `wait_ms` for its end. Without the prelude it answers
 * BSK_JOB_NO_PRELUDE where that has never been: then send it once with it. */
void bsk_inject_start(struct bsk_buffer *out, uint64_t number, const struct bsk_job *job,
                      uint32_t wait_ms, bool with_prelude);
/* The same on the thread that executes it, to its end. */
void bsk_inject_run(struct bsk_buffer *out, uint64_t number, const struct bsk_job *job,
                    bool with_prelude);
void bsk_inject_fetch(struct bsk_buffer *out, uint64_t number, uint32_t wait_ms);
/* Answers up to `size` bytes of the dump from `offset` on. */
void bsk_inject_piece(struct bsk_buffer *out, uint64_t number, uint64_t offset, size_t size);
void bsk_inject_drop(struct bsk_buffer *out, uint64_t number);
/* Takes the prelude out of the target again, and the module with it when nothing else is there. */
void bsk_inject_leave(struct bsk_buffer *out);

enum bsk_job_stage {
    BSK_JOB_NO_PRELUDE,
    BSK_JOB_UNKNOWN, /* no such job: it was dropped, or the process is another (a fork's child) */
    BSK_JOB_RUNNING,
    BSK_JOB_DONE,
};

struct bsk_job_report {
    enum bsk_job_stage stage;
    /* Of one that is done. */
    const char *text; /* the answer, inside the text that was parsed */
    size_t text_bytes;
    uint64_t wall_ns, cpu_ns;
    uint64_t dump_bytes;
    pid_t pid; /* as the target sees itself; with the number of its descriptor of the dump, and
                  which file that is */
    int fd;
    uint64_t device, inode;
};

/* What start, run and fetch answered. Fails with BSK_E_STATE when the script refused, with
 * BSK_E_FORMAT when it failed or the text is none of ours. */
int bsk_job_report_parse(const char *text, size_t bytes, struct bsk_job_report *out_report,
                         struct bsk_error *err);

/* Opens the dump that the target holds, through /proc/PID/fd, and proves that it is that file.
 * `pid`: where to look first, or 0. Tells by *out_pid whose it was. Fails with BSK_E_IO: it is out
 * of our sight, ask for pieces. */
int bsk_job_open_dump(const struct bsk_job_report *report, pid_t pid, int *out_fd, pid_t *out_pid,
                      struct bsk_error *err);

/* NULL when out of memory. The text is copied. */
struct bsk_answer *bsk_answer_new(const struct bsk_job_report *report);

#endif
