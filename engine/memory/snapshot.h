/*
 * What the heap of a debuggee held at one moment: bytes by the line that allocated them, objects by
 * type, and what the process as a whole uses.
 *
 * Made from the result of the snapshot job (job.h, scripts/snapshot.py), and immutable from then
 * on, but for bsk_memory_snapshot_explain() and _infer(). Ownership: bsk_memory_snapshot_new()
 * gives it to the caller; the history (growth.h) takes it over. Text lives as long as the snapshot.
 * Bytes everywhere; lines from 1.
 *
 * Left out: what our scripts and the debugger allocated (paths below debugpy's and pydevd's
 * folders, "<basilisk>"); told in debugger_bytes.
 */
#ifndef BSK_MEMORY_SNAPSHOT_H
#define BSK_MEMORY_SNAPSHOT_H

#include "engine/memory/job.h"
#include "engine/profile/origin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BSK_MEMORY_TOP_SITES = 100,
    BSK_MEMORY_MAX_SITES = 20000, /* kept for diffs; smaller ones are summed into the rest */
    BSK_MEMORY_MAX_TYPES = 2000,
    BSK_MEMORY_MAX_STACK = 32,
};

struct bsk_memory_frame {
    const char *path;
    uint32_t line;
    const char *function; /* as the source says, or "" where it cannot be read */
};

struct bsk_memory_site {
    const char *path; /* absolute, or as the code object has it: "<string>", "<frozen abc>" */
    uint32_t line;
    const char *function; /* see bsk_memory_snapshot_explain(); "" when not known */
    const char *text;     /* the line's code without blanks at its ends, or "" */
    enum bsk_code_origin origin;
    uint64_t bytes;
    uint64_t count; /* blocks; bytes / count is the average */
    /* Where the frames say so (tracking with more than one): the commonest way to this line,
     * innermost first, this line included; stack_count 0 or 1: none. stack_bytes of `bytes` came
     * this way. */
    const struct bsk_memory_frame *stack;
    uint32_t stack_count;
    uint64_t stack_bytes;
    /* Not 0: the stack was not traced but inferred: a sampler saw it so often end on this line. */
    uint64_t stack_samples;
    /* The first frame of the stack that is the user's code: where to look, where a warning belongs.
     * The site itself when there is no stack, or no user's frame in it. */
    const char *user_path;
    uint32_t user_line;
};

struct bsk_memory_type {
    const char *name; /* "dict", "orders.Order" */
    uint64_t count;
    uint64_t bytes; /* by __sizeof__ (never a user's own), what it refers to not included; 0 when
                       sizes were not asked for */
};

struct bsk_memory_snapshot {
    uint32_t number;                   /* set by the history, from 1 */
    int64_t unix_ns;                   /* when the debuggee took it */
    double uptime_s;                   /* since tracking began */
    double work_s;                     /* CPU seconds of the debuggee so far, without our own */
    double stopped_s;                  /* CPU seconds that it cost the debuggee */
    pid_t pid;                         /* as the debuggee sees itself */
    uint32_t frames;                   /* tracemalloc's limit */
    bool foreign;                      /* the program itself had started tracemalloc */
    bool at_exit;                      /* the last one, when the program ended */
    uint64_t traced_bytes, peak_bytes; /* tracemalloc's; peak without what our dumps took */
    uint64_t tracker_bytes;            /* what tracemalloc itself uses */
    uint64_t rss_bytes;                /* 0: not known */
    uint64_t start_rss_bytes;          /* when tracking began: what was there before */
    uint64_t debugger_bytes; /* traced, ours and the debugger's: in traced_bytes, in no site */
    uint64_t blocks;

    const struct bsk_memory_site *sites; /* by bytes, largest first */
    size_t site_count;
    size_t top_count;                /* the first min(100, site_count): what is shown */
    uint64_t rest_bytes, rest_count; /* of sites that are not kept at all */
    /* Σ sites' bytes + rest_bytes + debugger_bytes = traced_bytes, where there are sites. */
    /* false: over the budget, see `missing`; then no diff is made of sites. Where there are some
     * all the same, they are estimated from a sample of the objects. */
    bool has_sites;

    const struct bsk_memory_type *types; /* by bytes, then count, largest first */
    size_t type_count;
    bool has_types, has_type_bytes;
    uint64_t object_count; /* tracked by the collector: no str, bytes, int, float */

    struct {
        uint64_t collections, collected, uncollectable;
    } gc[3]; /* by generation, gc.get_stats() */

    bool truncated;
    char missing[256]; /* what is not there and why, one sentence; "" when all is */
    void *memory;      /* owned */
};

/* Fails with BSK_E_FORMAT when the dump is not what the script writes, BSK_E_LIMIT, BSK_E_MEMORY.
 * 10^6 blocks take some 100 ms. */
int bsk_memory_snapshot_new(const struct bsk_memory_job_result *result,
                            struct bsk_memory_snapshot **out_snapshot, struct bsk_error *err);
void bsk_memory_snapshot_free(struct bsk_memory_snapshot *snapshot); /* accepts NULL */

/* Reads `text` and `function` of the top sites out of the sources, where these can be read. `root`
 * is put before paths ("/proc/4711/root"), or NULL. Files over 16 MiB are not read. */
void bsk_memory_snapshot_explain(struct bsk_memory_snapshot *snapshot, const char *root);

/* Gives a site without a traced stack the one that a sampler saw `samples` times: innermost first,
 * the site's line included; copied, at most BSK_MEMORY_MAX_STACK frames. Nothing happens where it
 * was traced, and with fewer than two frames, which tell of no caller. False: out of memory. */
bool bsk_memory_snapshot_infer(struct bsk_memory_snapshot *snapshot, size_t site,
                               const struct bsk_memory_frame *frames, uint32_t count,
                               uint64_t samples);

#endif
