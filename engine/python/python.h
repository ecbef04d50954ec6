/*
 * A CPython inside a process: which one it is, its threads, their stacks, what the frames are
 * called and where they stand. 3.8 to 3.15, read from outside and never stopped.
 *
 * Ownership: bsk_python_open() borrows the process, which must outlive it; bsk_python_close()
 * accepts NULL. Threads, their stacks and their frames live until the next refresh or read; a
 * bsk_code_object lives until close. Threads: all calls on one bsk_python come from one thread at a
 * time.
 */
#ifndef BSK_PYTHON_PYTHON_H
#define BSK_PYTHON_PYTHON_H

#include "engine/base/error.h"
#include "engine/process/process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A code object as it was when it was first met, read in full then. */
struct bsk_code_object {
    uint32_t id;          /* dense from 0 within one target; an address used again gets a new one */
    uint32_t first_line;  /* from 1; 0 when unknown */
    const char *name;     /* co_name, UTF-8 */
    const char *qualname; /* co_qualname (3.11 and later), else as `name` */
    const char *path;     /* co_filename; made absolute by the target's cwd where it is a file name;
                             "<string>", "<frozen runpy>" and the like stay as they are */
};

struct bsk_frame {
    const struct bsk_code_object *code;
    uint32_t line; /* from 1; 0 when unknown */
    /* What of the line runs, as bsk_python_columns() filled it in: from 1, in bytes of UTF-8, the
     * last byte's at the end; 0 where the code has none (before 3.11; -X no_debug_ranges). */
    uint16_t column, end_column;
    uint32_t end_line;
    uint64_t address; /* of the frame in the target */
};

struct bsk_python_info {
    pid_t pid;
    int major, minor, micro; /* 3, 13, 0; micro -1 when unknown */
    bool free_threaded;
    char version[32];      /* "3.13.0" */
    char executable[4096]; /* /proc/PID/exe, as far as it could be read */
};

struct bsk_python;

/* Fails with BSK_E_FORMAT ("Not a Python process"), BSK_E_UNSUPPORTED (an implementation or a
 * version that we do not know, named), BSK_E_GONE, BSK_E_PERMISSION, and BSK_E_TORN while the
 * interpreter is not set up yet: then a later try may work. */
int bsk_python_open(struct bsk_process *process, struct bsk_python **out_python,
                    struct bsk_error *err);
void bsk_python_close(struct bsk_python *python);

/* Something failed with BSK_E_GONE: what has become of the process? It has ended (BSK_E_GONE, `err`
 * stays as it is), it is a thread of the kernel (BSK_E_FORMAT), or it execs and has no memory for a
 * moment (BSK_E_TORN). */
int bsk_python_tell_gone(pid_t pid, struct bsk_error *err);
const struct bsk_python_info *bsk_python_info(const struct bsk_python *python);

/* An address that stays readable for as long as this Python lives: for bsk_process_same(). */
uint64_t bsk_python_anchor(const struct bsk_python *python);

/* --- threads and stacks ------------------------------------------------------------------------
 */

enum { BSK_STACK_MAX_DEPTH = 65536 }; /* of frames; deeper stacks are cut and say so */

struct bsk_stack_memory; /* what reading a thread's stack remembers from sample to sample */

struct bsk_python_thread {
    pid_t tid;              /* as in /proc/PID/task */
    uint64_t address;       /* of its PyThreadState */
    uint64_t interpreter;   /* of its PyInterpreterState */
    int64_t interpreter_id; /* 0: the main one */
    uint64_t ident;         /* PyThreadState.thread_id: threading's ident */
    const char *name; /* as threading calls it, UTF-8; "" while not known. Until the next naming */
    struct bsk_stack_memory *memory;

    bool sleeps; /* set by its owner: it was on no CPU lately, so its stack should stand still */

    /* The answer of the last bsk_python_read_stacks() that was given this thread. */
    bool has_stack;
    bool torn;           /* it changed while it was read, or was garbage */
    bool truncated;      /* deeper than BSK_STACK_MAX_DEPTH: outermost frames are missing */
    size_t kept;         /* so many of the outermost frames are those of the read before */
    uint32_t answers;    /* how many stacks it was given so far: `kept` is about the one before */
    bool holds_gil;      /* at the moment of the reading; free-threaded: attached */
    bool collects;       /* the garbage collector runs on it; free-threaded: and the others stand */
    bool elsewhere;      /* its thread runs in another interpreter: another of these has its TID */
    bool filled, unread; /* see bsk_thread_sample */
    const struct bsk_frame *frames; /* innermost first */
    size_t depth;

    /* For bsk_python_name_threads() alone. */
    char *name_memory;
    uint64_t name_tried_ns, name_wait_ns;
};

/* Brings the list of threads up to date with the interpreters' own lists; `os_threads` tells which
 * PyThreadState is which thread. A thread of no Python is not in it. Pointers that were handed out
 * before stay good for threads that are still there. */
int bsk_python_refresh(struct bsk_python *python, struct bsk_threads *os_threads,
                       struct bsk_error *err);
size_t bsk_python_thread_count(const struct bsk_python *python);
struct bsk_python_thread *bsk_python_thread(struct bsk_python *python, size_t index);

/* Reads the stacks of `wanted` (may be none), all with as few system calls as can be, and finds out
 * whether the list of threads has changed meanwhile: then a refresh is due. A thread that cannot be
 * read costs that thread. Fails only when nothing can be read: BSK_E_GONE, BSK_E_PERMISSION. */
int bsk_python_read_stacks(struct bsk_python *python, struct bsk_python_thread **wanted,
                           size_t count, bool *out_threads_changed, struct bsk_error *err);

/* A sample, of as many readings as it took, was begun at `time_ns` and is whole: if a stack has
 * moved since the one before, the program ran in the time between, and its code is older by that.
 */
void bsk_python_sampled(struct bsk_python *python, uint64_t time_ns);

/* How many functions are found to have been compiled by CPython's JIT, and were not before. A line
 * told of such a function can be one that ran before the one that ran. One system call; ask now and
 * then, and add up. */
size_t bsk_python_look_for_jit(struct bsk_python *python);

/* Fills in the columns of a thread's frames: of those that changed since it was last called. */
void bsk_python_columns(struct bsk_python *python, struct bsk_python_thread *thread);

/* The same for threads that the caller has stopped: their stacks are exact, and none is filled in
 * or unread. One that cannot be read all the same is `torn`. */
int bsk_python_read_still(struct bsk_python *python, struct bsk_python_thread **wanted,
                          size_t count, bool *out_threads_changed, struct bsk_error *err);

/* Fills in `name` of the threads that have none yet; with `again` of all, since a thread may be
 * given another name. May be called at each sample: where no thread is due it returns at once, else
 * it takes about a dozen small reads and a few for each such thread; one that `threading` does not
 * know (not yet, or never: a program that has not imported it) is looked for again after 1, 2, 4 ms
 * and so on, up to every second. Fails only where objects cannot be read at all: BSK_E_FORMAT,
 * BSK_E_UNSUPPORTED (this build of Python has objects that we do not know), BSK_E_MEMORY. */
int bsk_python_name_threads(struct bsk_python *python, bool again, struct bsk_error *err);

/* The thread that held a GIL at the last reading, or NULL. */
struct bsk_python_thread *bsk_python_gil_holder(const struct bsk_python *python);

/* Whether `address`, that a thread waits on, is of a GIL. */
bool bsk_python_is_gil(const struct bsk_python *python, uint64_t address);

/* --- finding --------------------------------------------------------------------------------- */

struct bsk_python_listing {
    pid_t pid;
    char version[32];  /* "3.13.0", "3.13" where only that is known, "PyPy" */
    char command[512]; /* command line, cut */
    bool can_profile;
    char reason[512]; /* one sentence why not, or "" */
};

/* All Python processes that /proc shows, by rising PID, the caller's own left out. One process that
 * cannot be looked at costs that process. The caller frees `*out_items`. */
int bsk_python_list(struct bsk_python_listing **out_items, size_t *out_count,
                    struct bsk_error *err);

/* `pid` itself where it is a Python, else its nearest descendant that is one (a shell or a launcher
 * started it). Fails with BSK_E_FORMAT when there is none, BSK_E_GONE when `pid` is no process. */
int bsk_python_find_below(pid_t pid, pid_t *out_pid, struct bsk_error *err);

#endif
