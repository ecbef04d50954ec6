/*
 * One job in the debuggee, from its first call to its dump: a machine without I/O to the debuggee
 * of its own. The caller runs the texts that it gives, by whatever channel there is, and hands back
 * what was answered:
 *
 *     struct bsk_memory_job *job = bsk_memory_job_new(&script, &options, &how, err);
 *     while ((text = bsk_memory_job_next(job, &timeout_ms)))     // NULL: it has ended
 *         ... run `text`; when its answer comes: bsk_memory_job_answer(job, rc, bytes, size, err)
 *     result = bsk_memory_job_result(job, err);                  // NULL: it failed, `err` says why
 *
 * There is never more than one text on its way. The dump is read from the debuggee's descriptor by
 * /proc/PID/fd/N (it has no name in any file system, so nothing is left when either side dies;
 * memory where there is memfd_create, else an unlinked file), proven by the nonce at its start;
 * where that cannot be opened (another machine, another user), it comes in pieces through the
 * channel.
 *
 * Threads: one at a time. Nothing blocks but the read of a dump (page cache: some 0.3 ms a MiB).
 */
#ifndef BSK_MEMORY_JOB_H
#define BSK_MEMORY_JOB_H

#include "engine/memory/marshal.h"
#include "engine/memory/scripts.h"

#include <sys/types.h>

struct bsk_memory_job;

struct bsk_memory_job_how {
    pid_t pid;               /* the debuggee, as we see it; 0: not known, or not on this machine */
    uint32_t wait_ms;        /* each call may wait for so long in the debuggee; 0: not at all */
    uint32_t give_up_ms;     /* since the first text; 0 means 60,000. For the caller's clock: */
    uint64_t max_dump_bytes; /* more is an error; 0 means 1 GiB */
    uint32_t piece_bytes;    /* through the channel; 0 means 4 MiB */
    bool stopped; /* the program's threads stand at a breakpoint (struct bsk_script_how) */
    bool later;   /* the runner defines `_later`: after begin's answer ("running") the next text is
                     not given until bsk_memory_job_answer() was called a second time */
};

struct bsk_memory_job_result {
    const struct bsk_value *value; /* what run() returned: a dict */
    const unsigned char *dump;     /* NULL: none */
    size_t dump_bytes;
    double seconds, cpu_seconds; /* of the job's thread in the debuggee */
    bool through_channel;        /* the dump came in pieces */
};

/* `script` and `how` are copied, `options` too (may be NULL). Fails with BSK_E_MEMORY, BSK_E_IO. */
int bsk_memory_job_new(const struct bsk_script *script, const struct bsk_script_options *options,
                       const struct bsk_memory_job_how *how, struct bsk_memory_job **out_job,
                       struct bsk_error *err);
void bsk_memory_job_free(struct bsk_memory_job *job); /* accepts NULL */

/* The text to run now, which lives until the next call on the job, or NULL: nothing (an answer is
 * awaited, or all is said). `out_timeout_ms`: how long its answer may take. */
const char *bsk_memory_job_next(struct bsk_memory_job *job, uint32_t *out_timeout_ms);

/* `rc` and `err` as the channel gave them; `bytes` when rc is BSK_OK. */
void bsk_memory_job_answer(struct bsk_memory_job *job, int rc, const void *bytes, size_t size,
                           const struct bsk_error *err);

/* The next text drops the job in the debuggee; its result is BSK_E_STATE, `reason`. */
void bsk_memory_job_cancel(struct bsk_memory_job *job, const char *reason);

bool bsk_memory_job_ended(const struct bsk_memory_job *job);

/* After the end: the result, which lives as long as the job, or NULL with `err`. */
const struct bsk_memory_job_result *bsk_memory_job_result(const struct bsk_memory_job *job,
                                                          struct bsk_error *err);

#endif
