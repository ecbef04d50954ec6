/*
 * What `top` shows, as a pure function of three states of one profile: now, one interval ago, and
 * when counting began. A profile only ever adds nodes, so what a node gained is its difference.
 *
 * Time is CPU time unless the weight says otherwise. "Own" is time in the function itself, "total"
 * with what it called; recursion counts once. Functions of the standard library and of
 * site-packages are folded into one row a package unless `unfold`, with exact totals.
 *
 * Ownership: top_rows_new() gives an immutable result to the caller; its text belongs to the
 * result and to `now`, which must live as long.
 */
#ifndef BSK_CLI_TOP_ROWS_H
#define BSK_CLI_TOP_ROWS_H

#include "engine/profile/profile.h"

enum top_view { TOP_FUNCTIONS, TOP_LINES, TOP_THREADS };

enum top_weight {
    TOP_CPU,
    TOP_GIL,  /* -g: CPU time while holding the GIL */
    TOP_WALL, /* -i: CPU time, waiting for the GIL, and sleeping, in system calls too */
};

enum top_column {
    TOP_OWN,
    TOP_TOTAL,
    TOP_OWN_TIME,
    TOP_TOTAL_TIME,
    TOP_GIL_PERCENT,
    TOP_WAIT,
    TOP_IDLE,
    TOP_CALL,
    TOP_NAME,
    TOP_PLACE,
    TOP_COLUMNS
};

struct top_question {
    const struct bsk_profile *now;
    const struct bsk_profile *before; /* one interval ago; NULL: the start */
    const struct bsk_profile *zero;   /* when counting began; NULL: the start */
    enum top_view view;
    enum top_weight weight;
    enum top_column sort;
    bool reverse;       /* smallest first */
    bool unfold;        /* library functions as themselves, ended threads too */
    uint32_t track;     /* of this thread only; UINT32_MAX: of all */
    const char *filter; /* rows whose name or path has this; NULL or "": all */
};

struct top_row {
    const char *name; /* function, "[package]", or thread */
    const char *path; /* file; of a package where it belongs to; of a thread its process */
    uint32_t line;    /* 0: none */
    bool folded;
    bool ended;                                 /* a thread that has */
    uint32_t track;                             /* of a thread */
    pid_t pid, tid;                             /* of a thread, else 0 */
    uint64_t own_ns, total_ns;                  /* in the interval */
    uint64_t gil_ns, wait_ns, idle_ns, call_ns; /* own, in the interval */
    const char *call;                           /* a thread: the system call that it is in, or "" */
    uint64_t all_own_ns, all_total_ns;          /* since counting began */
};

struct top_rows {
    struct top_row *items;
    size_t count;
    uint64_t interval_ns;             /* wall time between before and now */
    uint64_t cpu_ns, gil_ns, wait_ns; /* of all threads in the interval */
    size_t threads, threads_on_cpu;   /* alive; that used CPU time in the interval */
    void *memory;                     /* owned */
};

struct top_rows *top_rows_new(const struct top_question *question); /* NULL: out of memory */
void top_rows_free(struct top_rows *rows);                          /* accepts NULL */

enum { TOP_PACKAGE_BYTES = 64 };

/* The package of a library's file: "json" of "/usr/lib/python3.11/json/decoder.py" (standard
 * library), "numpy" of ".../site-packages/numpy/core/x.py". False: it is the user's own. */
bool top_library(const char *path, char out_package[TOP_PACKAGE_BYTES], bool *out_standard);

/* The part of a path that tells enough: behind site-packages/ or python3.X/, below `folder` (the
 * program's) or `cwd`, else all of it. */
const char *top_short_path(const char *path, const char *folder, const char *cwd);

#endif
