/*
 * Draws one screen of `top`, of any size: what does not fit is left out by importance, never
 * wrapped. Knows nothing of where the numbers come from.
 */
#ifndef BSK_CLI_TOP_SCREEN_H
#define BSK_CLI_TOP_SCREEN_H

#include "adapters/cli/top_rows.h"

enum { TOP_FILTER_BYTES = 128 };

/* What the keys change. */
struct top_state {
    enum top_view view;
    enum top_weight weight;
    enum top_column sort;
    bool reverse, unfold, paused, help;
    bool of_cpu;  /* percent of the CPU time used, not of the time that passed */
    bool editing; /* the filter is being typed */
    bool cursor_shown;
    size_t cursor, first; /* rows: the one that is marked, the first that is visible */
    size_t page;          /* answer of top_draw(): how many rows fit */
    uint32_t track;       /* functions of this thread only; UINT32_MAX: of all */
    char filter[TOP_FILTER_BYTES];
    bool full_filenames;
};

/* What the recording says, as text is made of it. */
struct top_facts {
    const char *program;      /* its command line */
    const char *python;       /* "3.13.0" */
    const char *method;       /* how it is read: "read from outside" */
    const char *thread;       /* the name of state.track, or NULL */
    const char *output;       /* the file that a program of ours writes to, or NULL */
    const char *folder, *cwd; /* for short file names; may be "" */
    pid_t pid;
    uint32_t rate_hz, processes;
    uint64_t samples, errors, torn, filled, unread, stopped, missed;
    uint64_t elapsed_ns;
};

void top_draw(const struct top_facts *facts, const struct top_rows *rows, struct top_state *state);

/* The columns of a view, in their order, ended by TOP_COLUMNS: what `<` and `>` walk along. */
const enum top_column *top_columns(enum top_view view);

#endif
