/*
 * Takes one sample of one target at a time: the Python stack of each of its threads, and what each
 * thread was doing.
 *
 * The sampler reads and never writes into the target; it stops nothing unless `stop_threads` asks
 * for it. Who drives it (recording/) owns the clock. All calls on one sampler come from one thread;
 * only open may come from another one.
 *
 * Ownership: bsk_sampler_open() gives the sampler to the caller; bsk_sampler_close() takes it back
 * and accepts NULL. A sample, its stacks and its frames live until the next take or close; a
 * bsk_code_object lives until close.
 *
 * exec: the PID stays, the Python behind it does not. take() notices (the old memory is gone) and
 * answers BSK_E_GONE with a hint that the process became another program; the caller closes this
 * sampler and opens the PID again, since ids of codes and threads belong to the old program.
 */
#ifndef BSK_SAMPLING_SAMPLER_H
#define BSK_SAMPLING_SAMPLER_H

#include "engine/base/error.h"
#include "engine/process/pause.h" /* struct bsk_pause_cost */
#include "engine/python/python.h" /* struct bsk_frame, struct bsk_python_info */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bsk_sampler;

enum bsk_thread_state {
    BSK_THREAD_IDLE,     /* sleeps in the kernel, and waits: for time, a lock, an event */
    BSK_THREAD_RUNNING,  /* on a CPU, or ready and waiting for one */
    BSK_THREAD_GIL_WAIT, /* sleeps until it is given the GIL */
    BSK_THREAD_CALL,     /* sleeps in a system call that works on something: read, connect, fsync;
                            or the disk keeps it waiting. Where the kernel does not tell which call a
                            thread sleeps in, that is told of the latter alone */
};

struct bsk_thread_sample {
    pid_t tid; /* as the target's own PID namespace is seen from ours: the one in /proc/PID/task */
    enum bsk_thread_state state;
    uint64_t
        cpu_ns;     /* CPU time of the thread since it began; moves in steps of the kernel's tick */
    bool has_stack; /* false: it could not be read (see `torn`), or it is idle, was so all the time
                       since the last sample, and idle stacks were not asked for */
    int32_t call; /* IDLE and CALL: the system call that it sleeps in, as bsk_call_name() wants it;
                     else BSK_CALL_UNKNOWN */
    bool torn;    /* the stack changed while it was read, or was garbage: counts as an error */
    bool truncated; /* deeper than the ceiling: outermost frames are missing */
    bool counted;   /* `cpu_ns` is of this sample, not of one before: counters are only looked at
                       now and then, or where the state is in doubt */
    size_t kept;    /* so many of the outermost frames are as they were in the stack before */
    uint32_t
        stack; /* counts this thread's stacks: `kept` is about the one with the number before */
    bool holds_gil;         /* on a free-threaded build: attached to the interpreter */
    bool collects;          /* runs the garbage collector, above the innermost frame */
    bool filled;            /* the innermost frames are told by what was proven before */
    bool unread;            /* what runs above the innermost frame could not be told */
    int64_t interpreter_id; /* its id: 0 the main one, others are subinterpreters' */
    bool elsewhere;   /* the thread has gone into another interpreter, where another sample of the
                         same `tid` shows it: 3.13 and later */
    const char *name; /* as threading knows it, "" where that is not known (yet) */
    const struct bsk_frame *frames; /* innermost first */
    size_t depth;
};

struct bsk_sample {
    uint64_t time_ns; /* CLOCK_MONOTONIC when it began */
    const struct bsk_thread_sample *threads;
    size_t thread_count;
};

struct bsk_sampler_options {
    bool idle_stacks;  /* read the stacks of idle threads as well: when they fall asleep, and with
                          each look at the counters */
    bool fresh_states; /* ask the kernel for each thread's state each time, as for a dump, not only
                          as often as its counters move */
    bool stop_threads; /* stop each thread that runs for as long as its stack is read: exact, but
                          see engine/process/pause.h. Who sleeps is read without */
};

/* `options` may be NULL. Fails with BSK_E_GONE ("Process not found"), BSK_E_FORMAT ("Not a Python
 * process"), BSK_E_UNSUPPORTED (a version or an implementation that we do not know, named),
 * BSK_E_PERMISSION ("Permission denied", with what was found and the one way out; with
 * `stop_threads` also when another tool traces it, which is then named), or BSK_E_TORN while its
 * Python is still starting: then try again in some milliseconds. */
int bsk_sampler_open(pid_t pid, const struct bsk_sampler_options *options,
                     struct bsk_sampler **out_sampler, struct bsk_error *err);
void bsk_sampler_close(struct bsk_sampler *sampler);

/* The same for a core file, which is a process that stands still: each sample is the one that it
 * has. `root` and failures are bsk_process_open_core()'s; BSK_E_TORN where Python was starting or
 * ending, or the file is cut short: no later try works. `*out_core` is filled in as soon as the
 * file is known to be a core, also where Python is not found; its path lives as long as `path`. */
int bsk_sampler_open_core(const char *path, const char *root, struct bsk_sampler **out_sampler,
                          struct bsk_core_facts *out_core, struct bsk_error *err);

const struct bsk_python_info *bsk_sampler_info(const struct bsk_sampler *sampler);

/* What it reads, for what a sample does not tell (locals.h); belongs to the sampler. */
struct bsk_python *bsk_sampler_python(struct bsk_sampler *sampler);
struct bsk_process *bsk_sampler_process(struct bsk_sampler *sampler);

/* One sample of all threads. A thread whose stack cannot be read costs that thread, not the sample.
 * Fails with BSK_E_GONE when the target has ended, BSK_E_TORN when nothing could be read this time.
 */
int bsk_sampler_take(struct bsk_sampler *sampler, const struct bsk_sample **out_sample,
                     struct bsk_error *err);

/* What the stops have cost so far; zeroes without `stop_threads`. */
struct bsk_pause_cost bsk_sampler_stop_cost(const struct bsk_sampler *sampler);

/* A thread that did not stop when it should (it slept where nothing interrupts it) stops later:
 * lets it go on. True: there is none left; else call again within some milliseconds. */
bool bsk_sampler_let_go(struct bsk_sampler *sampler);

/* A thread that no one wants to hear of (the debugger's): later samples are without it. */
void bsk_sampler_ignore(struct bsk_sampler *sampler, pid_t tid);

/* Reads `size` bytes of the target at `address`, all or nothing (for proofs of identity). */
int bsk_sampler_read(struct bsk_sampler *sampler, uint64_t address, void *dst, size_t size,
                     struct bsk_error *err);

#endif
