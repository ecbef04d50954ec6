/*
 * What a recording knows: a tree of distinct stacks with their weights, one root per thread, and a
 * packed timeline of which stack was seen when.
 *
 * Memory is bounded by the number of distinct stacks, never by the length of the recording: the
 * timeline merges equal neighbours, and past its ceiling it is made coarser in place; weights stay
 * exact, only the order inside a short window of time is lost (docs/profile.md). Out of memory
 * costs weight that is counted (bsk_profile_lost()), never the profile.
 *
 * Ownership: a profile owns all that it hands out; what is handed out lives until the next call
 * that adds. Everything is held by index in flat arrays, so that a clone is a few memcpy and shares
 * nothing. Threads: none of its own; one owner at a time, except that a clone to which nothing is
 * added may be read by several.
 *
 * Units: nanoseconds; times since the start of the profile. Lines from 1, 0 unknown. The timeline
 * keeps durations and CPU time to the nanosecond, and starts to the microsecond below (to two in
 * recordings past 71 minutes, then four, and so on).
 */
#ifndef BSK_PROFILE_PROFILE_H
#define BSK_PROFILE_PROFILE_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bsk_profile;

#define BSK_NO_NODE UINT32_MAX

enum { BSK_PROFILE_MAX_RUNS = 200000 }; /* the timeline's default ceiling: 3.1 MiB */

enum bsk_function_kind {
    BSK_FUNCTION_PYTHON,
    BSK_FUNCTION_SPECIAL, /* "(debugger)", "(idle)": no file, shown in brackets */
};

struct bsk_function {
    const char *name; /* the qualified name where it is known */
    const char *path; /* absolute, or "<string>"; "" for special ones */
    uint32_t first_line;
    enum bsk_function_kind kind;
};

struct bsk_track { /* one thread of one process */
    pid_t pid, tid;
    const char *process; /* what the process is called: "app.py", "python -c" */
    const char *thread;  /* "MainThread", or "Thread 4711" */
    const char *call;    /* the system call that it was in when it was seen last: "read"; or "" */
};

/* The thread of a track that stands for a whole process: one that is no Python, or that may not be
 * read. */
#define BSK_THREAD_NOT_PYTHON "(not Python)"
#define BSK_THREAD_UNREADABLE "(unreadable)"
bool bsk_track_is_other(struct bsk_track track);

/* Stands, as a function, for what ran and could not be read. */
#define BSK_FUNCTION_UNREAD "(unread)"

struct bsk_profile_frame {
    uint32_t function; /* from bsk_profile_function() */
    uint32_t line;
};

struct bsk_node {
    uint32_t parent;       /* BSK_NO_NODE for the root of a track */
    uint32_t first_child;  /* or BSK_NO_NODE */
    uint32_t next_sibling; /* or BSK_NO_NODE */
    uint32_t function;     /* of a root: the track's index */
    uint32_t line;
    uint32_t depth;   /* 0 for a root */
    uint64_t self_ns; /* CPU time of stacks that end here */
    uint64_t samples; /* samples on the CPU whose stack ends here */
    uint64_t gil_ns;  /* of self_ns: while the thread held the GIL */
    uint64_t wait_ns; /* wall time that it waited for the GIL with this stack */
    uint64_t idle_ns; /* wall time that it slept with this stack, as far as idle stacks were read */
    uint64_t call_ns; /* likewise, in system calls that work on something: beside idle_ns */
};

/* One stretch of time in which a track's stack was the same. */
struct bsk_run {
    uint32_t track;
    uint32_t node;
    uint64_t start_ns;
    uint64_t wall_ns; /* how long it lasted */
    uint64_t cpu_ns;  /* how much CPU time it used */
    uint32_t samples;
};

/* What the time of a profile is, and so its samples: chosen once, at the start. */
enum bsk_clock {
    BSK_CLOCK_CPU,  /* CPU time of the threads */
    BSK_CLOCK_WALL, /* time that passed, asleep or not: idle stacks weigh as well */
    BSK_CLOCK_GIL,  /* CPU time while holding the GIL */
};

/* How the stacks were read. */
enum bsk_method {
    BSK_METHOD_READ, /* from outside, without stopping anything */
    BSK_METHOD_TICK, /* by an eBPF program at each thread's clock tick: exact */
    BSK_METHOD_STOP, /* --blocking: the threads were stopped for each sample */
};

/* What made the profile, written into every file. Text is copied and may be NULL. */
struct bsk_profile_meta {
    char name[256];  /* of the program: "app.py" */
    char python[64]; /* "3.13.0", or "3.11.7, 3.13.0" where processes differ */
    char command[1024];
    char reason[128]; /* why it ended: "stopped", "program ended"; "" while it runs */
    int64_t started_unix_ns;
    uint64_t duration_ns; /* wall time from start to the newest sample or the end */
    double rate_hz;       /* asked */
    uint64_t samples;     /* thread stacks on a CPU that were counted */
    uint64_t sweeps;      /* times that all threads were looked at */
    uint64_t errors;      /* stacks that could not be read at all */
    uint64_t torn;        /* stacks that changed under the read: not in the profile's tree */
    uint64_t filled;      /* stacks whose innermost frame was told by what was proven before */
    uint64_t unread;      /* stacks that end in "(unread)": what ran above could not be told */
    uint64_t stopped;     /* times that a thread was stopped for a sample */
    uint64_t stopped_ns; /* how long threads stood still for samples, all in all; and at the most */
    uint64_t longest_stop_ns;
    enum bsk_clock clock;
    enum bsk_method method;
    uint64_t missed;        /* sweeps left out because the clock ran late */
    uint64_t jit_functions; /* that CPython's JIT has compiled: their lines may be ones before */
    bool full_filenames;    /* asked for: formats that shorten paths for people do not */
};

/* Returns NULL when out of memory. `max_runs` 0: the default ceiling of the timeline; others are
 * held between 16 and 2^31. */
struct bsk_profile *bsk_profile_new(size_t max_runs);
struct bsk_profile *bsk_profile_clone(const struct bsk_profile *profile);
/* An empty one that says of itself (meta, lost, window) what `profile` does. NULL: out of
 * memory. */
struct bsk_profile *bsk_profile_like(const struct bsk_profile *profile);
void bsk_profile_free(struct bsk_profile *profile); /* accepts NULL */

struct bsk_profile_meta *bsk_profile_meta(struct bsk_profile *profile);
const struct bsk_profile_meta *bsk_profile_meta_const(const struct bsk_profile *profile);

/* The three below intern: the same question gets the same index. Strings are copied and may be
 * NULL. They return UINT32_MAX when out of memory. A track answers to the thread name that it was
 * asked for first and to the one that it has now. */
uint32_t bsk_profile_function(struct bsk_profile *profile, const char *name, const char *path,
                              uint32_t first_line, enum bsk_function_kind kind);
uint32_t bsk_profile_track(struct bsk_profile *profile, pid_t pid, pid_t tid, const char *process,
                           const char *thread);
/* The node of a whole stack, `frames` outermost first; with depth 0 the track's root. */
uint32_t bsk_profile_stack(struct bsk_profile *profile, uint32_t track,
                           const struct bsk_profile_frame *frames, size_t depth);

/* The node of one more frame above `parent`; BSK_NO_NODE stays what it is. */
uint32_t bsk_profile_step(struct bsk_profile *profile, uint32_t parent, uint32_t function,
                          uint32_t line);

/* Names a track's thread anew, when the name became known later. */
void bsk_profile_name_track(struct bsk_profile *profile, uint32_t track, const char *thread);

/* Notes what system call the track's thread is in now; "" or NULL: in none. */
void bsk_profile_note_call(struct bsk_profile *profile, uint32_t track, const char *call);

/* Adds weight to a node and, with `wall_ns` > 0, a run to the timeline. `samples` and `cpu_ns` may
 * be 0. Runs of one track come in order of time; between tracks any order is fine. BSK_NO_NODE is
 * allowed, so that the answer of bsk_profile_stack() need not be looked at: its weight is lost. */
void bsk_profile_add(struct bsk_profile *profile, uint32_t node, uint64_t start_ns,
                     uint64_t wall_ns, uint64_t cpu_ns, uint32_t samples);

/* Adds to the timeline alone what bsk_profile_add() adds to both: for copies that carry weights
 * over node by node. */
void bsk_profile_add_run(struct bsk_profile *profile, uint32_t node, uint64_t start_ns,
                         uint64_t wall_ns, uint64_t cpu_ns, uint32_t samples);

/* Lowers the ceiling of the timeline, which becomes coarser where it does not fit; weights stay. */
void bsk_profile_coarsen(struct bsk_profile *profile, size_t max_runs);

/* Adds what the thread did with this stack, beside its CPU time; BSK_NO_NODE is allowed. */
void bsk_profile_add_states(struct bsk_profile *profile, uint32_t node, uint64_t gil_ns,
                            uint64_t wait_ns, uint64_t idle_ns);
void bsk_profile_add_call_time(struct bsk_profile *profile, uint32_t node, uint64_t call_ns);

/* Columns stand beside the tree (columns.h): two places on one line stay one node. The first says
 * that the innermost frame of `node` was seen at `column`, `count` times; the second, that its
 * caller stood at `column` when it called. 0 says nothing; BSK_NO_NODE is allowed. */
void bsk_profile_saw_column(struct bsk_profile *profile, uint32_t node, uint32_t column,
                            uint32_t count);
void bsk_profile_called_from(struct bsk_profile *profile, uint32_t node, uint32_t column);

/* Reading. Indexes are dense from 0. */
size_t bsk_profile_function_count(const struct bsk_profile *profile);
struct bsk_function bsk_profile_function_at(const struct bsk_profile *profile, uint32_t function);
size_t bsk_profile_track_count(const struct bsk_profile *profile);
struct bsk_track bsk_profile_track_at(const struct bsk_profile *profile, uint32_t track);
uint32_t bsk_profile_track_root(const struct bsk_profile *profile, uint32_t track);
uint32_t bsk_profile_track_of(const struct bsk_profile *profile, uint32_t node);
size_t bsk_profile_node_count(const struct bsk_profile *profile);
const struct bsk_node *bsk_profile_node_at(const struct bsk_profile *profile, uint32_t node);
bool bsk_profile_has_columns(const struct bsk_profile *profile); /* any at all */
/* The column where the caller of `node` stood at least half of the times that it was seen to call
 * it; 0: there is none. */
uint32_t bsk_profile_call_column(const struct bsk_profile *profile, uint32_t node);
/* Walks the columns that a node was seen at; `at` starts at 0; false at the end. */
bool bsk_profile_next_column(const struct bsk_profile *profile, uint32_t node, uint32_t *at,
                             uint32_t *out_column, uint32_t *out_count);
uint64_t bsk_profile_cpu_ns(const struct bsk_profile *profile); /* of all nodes */
uint64_t bsk_profile_samples(const struct bsk_profile *profile);
size_t bsk_profile_bytes(const struct bsk_profile *profile); /* memory it holds */

/* Samples (or adds without one) whose weight is in no node, or in a node but not in the timeline,
 * because memory was out. */
uint64_t bsk_profile_lost(const struct bsk_profile *profile);

/* How coarse the timeline became: the window inside which order is lost; 0 while it is exact. */
uint64_t bsk_profile_window_ns(const struct bsk_profile *profile);

/* Walks the timeline in order of start. `at` starts at 0; returns false at the end. Runs of one
 * track do not overlap as long as those that were added do not. The first walk after an add may
 * sort. */
bool bsk_profile_next_run(const struct bsk_profile *profile, size_t *at, struct bsk_run *out_run);

#endif
