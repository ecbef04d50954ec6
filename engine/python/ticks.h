/*
 * Stacks of a Python, read in the target's own clock tick (engine/process/ticks.h): exact, evenly
 * spread over each thread's CPU time, nothing torn.
 *
 * Ownership: bsk_python_ticks_open() borrows the Python; bsk_python_ticks_close() accepts NULL and
 * comes before bsk_python_close(). A tick and its frames live until the callback returns; a
 * bsk_code_object until bsk_python_close().
 */
#ifndef BSK_PYTHON_TICKS_H
#define BSK_PYTHON_TICKS_H

#include "engine/process/ticks.h"
#include "engine/python/python.h"

struct bsk_python_ticks;

enum { BSK_INTERPRETER_UNKNOWN = -1 }; /* born since the list was refreshed, or gone already */

struct bsk_python_tick {
    pid_t tid;              /* as in /proc/PID/task; see struct bsk_tick */
    bool listed;            /* false: it is not in the list of threads (any more) */
    uint64_t time_ns;       /* CLOCK_MONOTONIC */
    uint64_t period_ns;     /* CPU time of the thread that this tick stands for */
    uint64_t thread;        /* address of its PyThreadState; 0: it has none */
    int64_t interpreter_id; /* that it ran in; 0: the main one */
    bool has_stack;         /* false: it is `torn` */
    bool torn;              /* a part of it was paged out */
    bool truncated;         /* outermost frames are missing */
    bool holds_gil;         /* free-threaded: attached, as it is while it runs Python */
    bool collects; /* the garbage collector runs on it; free-threaded: said of a lone thread */
    const struct bsk_frame *frames; /* innermost first; `address` is 0. None: no Python runs */
    size_t depth;
};

struct bsk_python_tick_counts {
    struct bsk_tick_counts kernel;
    uint64_t reused; /* stacks with a "(reused code)": it was gone before it could be read */
};

/* Brings the list of threads up to date as well. Fails as bsk_ticks_open(), and with BSK_E_TORN
 * when the program's threads cannot be told apart just now. */
int bsk_python_ticks_open(struct bsk_python *python, struct bsk_threads *os_threads,
                          uint32_t rate_hz, struct bsk_python_ticks **out_ticks,
                          struct bsk_error *err);
void bsk_python_ticks_close(struct bsk_python_ticks *ticks);

/* After each bsk_python_refresh(): clocks for new threads; `os_threads` tells which are ignored. */
int bsk_python_ticks_follow(struct bsk_python_ticks *ticks, struct bsk_threads *os_threads,
                            struct bsk_error *err);

/* As bsk_ticks_catch_new(). */
int bsk_python_ticks_catch_new(struct bsk_python_ticks *ticks, bool on, struct bsk_error *err);
bool bsk_python_ticks_catches_new(const struct bsk_python_ticks *ticks);

typedef void bsk_python_tick_fn(const struct bsk_python_tick *tick, void *user);

/* All ticks since the last call, in order of time for each thread. Never waits. */
void bsk_python_ticks_read(struct bsk_python_ticks *ticks, bsk_python_tick_fn *fn, void *user);

/* No thread ticks until it is resumed. What has ticked already can still be read. */
void bsk_python_ticks_pause(struct bsk_python_ticks *ticks, bool pause);

void bsk_python_ticks_counts(const struct bsk_python_ticks *ticks,
                             struct bsk_python_tick_counts *out_counts);

#endif
