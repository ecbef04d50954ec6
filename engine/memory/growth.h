/*
 * Snapshots one after another, what grew between them, and how likely each growth is a leak.
 *
 * Confidence (0 to 100) is log-odds for each site over all intervals up to the later snapshot,
 * weighed by the CPU seconds that the debuggee worked in them, so that time at a breakpoint does
 * not count; docs/memory.md has the formula. Steady growth reads low, medium, high after one, two,
 * three intervals; a plateau or giving back lowers it; growth alone never passes 94. Evidence from
 * the reference graph moves it: up to "definite" (95 and more), or down.
 *
 * Ownership: the history owns its snapshots and its diffs' text. At most BSK_HISTORY_SNAPSHOTS are
 * kept: past that the oldest but the first goes. Threads: one at a time.
 */
#ifndef BSK_MEMORY_GROWTH_H
#define BSK_MEMORY_GROWTH_H

#include "engine/base/json.h"
#include "engine/memory/snapshot.h"

enum {
    BSK_HISTORY_SNAPSHOTS = 64,
    BSK_DIFF_LEAKS = 100,     /* shown in a diff */
    BSK_CONFIDENCE_ALONE = 94 /* the most that growth without evidence reaches */
};

enum bsk_leak_band { BSK_LEAK_LOW, BSK_LEAK_MEDIUM, BSK_LEAK_HIGH, BSK_LEAK_DEFINITE };

/* "low" below 40, "medium" to 69, "high" to 94, "definite" from 95. */
enum bsk_leak_band bsk_leak_band_of(int confidence);
const char *bsk_leak_band_name(enum bsk_leak_band band);

/*
 * What the reference graph knows of a site's objects, in the order of its weight. The graph's room
 * finds it (it asks tracemalloc for the lines of objects); the session asks for it for the sites
 * that are medium or more.
 */
enum bsk_evidence_kind {
    BSK_EVIDENCE_NONE,    /* not asked, or nothing could be said: growth alone decides */
    BSK_EVIDENCE_LEAKED,  /* all of it hangs on one growing container or root: 95 and more */
    BSK_EVIDENCE_HELD,    /* held by one container, which has not grown since: no change */
    BSK_EVIDENCE_BOUNDED, /* held by something with a bound (lru_cache with maxsize, deque with
                             maxlen): at most medium */
    BSK_EVIDENCE_GARBAGE, /* reachable from no root: cycles that wait for a collection: low */
    BSK_EVIDENCE_IN_USE,  /* held by frames that still run: a batch at work: at most medium */
};

struct bsk_evidence {
    enum bsk_evidence_kind kind;
    double share;     /* 0..1 of the site's objects for which it holds; below 0.8 it is as NONE */
    uint32_t graphs;  /* how many graphs, at different snapshots, say so; LEAKED needs the holder's
                         growth, so 2 */
    char holder[160]; /* "dict __main__.cache", "list Registry._callbacks"; "" when not known */
    uint32_t objects; /* of the site that the graph has; 0: not counted */
};

struct bsk_leak {
    const char *path;
    uint32_t line;
    const char *function, *text; /* as in a site */
    const char *user_path;       /* where the warning belongs */
    uint32_t user_line;
    int64_t growth_bytes, growth_count; /* from `from` to `to`; a shrink is negative */
    uint64_t bytes, count;              /* at `to` */
    double bytes_per_s;                 /* of the debuggee's work; 0 when it did none */
    int confidence;                     /* 0..100 */
    enum bsk_leak_band band;
    char reasons[3][200];             /* in words, the weightiest first; "" where there are fewer */
    uint32_t intervals, grew, shrank; /* over all snapshots up to `to` */
    const struct bsk_memory_frame *stack; /* as in a site */
    uint32_t stack_count;
    uint64_t stack_samples; /* 0: it was traced; else it was inferred from so many samples */
    struct bsk_evidence evidence;
};

struct bsk_type_growth {
    const char *name;
    int64_t growth_count, growth_bytes;
    uint64_t count, bytes; /* at `to` */
};

struct bsk_memory_diff {
    uint32_t from, to;      /* numbers of snapshots */
    struct bsk_leak *leaks; /* by confidence, then growth; those that grew, and those that shrank
                               after a confidence of 40 or more */
    size_t leak_count;
    struct bsk_type_growth *types; /* that grew, largest first; at most 100 */
    size_t type_count;
    int64_t traced_growth, rss_growth; /* bytes */
    double work_s;                     /* between the two */
    uint32_t intervals; /* that confidences rest on: up to `to`, since tracking began (anew) */
    bool sites_comparable, types_comparable; /* both snapshots have them */
    /* RSS grew by more than traced bytes can explain: C code, or fragments; one sentence or "". */
    char native_note[256];
    char missing[256]; /* as in a snapshot, of either; "" when nothing is */
    void *memory;      /* owned */
};

struct bsk_memory_history;

struct bsk_memory_history *bsk_memory_history_new(void); /* NULL: out of memory */
void bsk_memory_history_free(struct bsk_memory_history *history);

/* Takes the snapshot over in every case, gives it its number. Fails with BSK_E_MEMORY, and with
 * BSK_E_STATE when it is of another process than those before. */
int bsk_memory_history_add(struct bsk_memory_history *history, struct bsk_memory_snapshot *snapshot,
                           struct bsk_error *err);

/* By number; 0 means the last. NULL when there is none (or it is not kept any more). */
const struct bsk_memory_snapshot *bsk_memory_history_get(const struct bsk_memory_history *history,
                                                         uint32_t number);

/* Says what the graph found for a site as of the newest snapshot; it counts in diffs up to that
 * snapshot and is forgotten at the next one, when it must be found anew: taking the root's
 * reference away brings a leak below 95 at the next diff. BSK_E_STATE: no such site. */
int bsk_memory_history_evidence(struct bsk_memory_history *history, const char *path, uint32_t line,
                                const struct bsk_evidence *evidence, struct bsk_error *err);

/* Growth of a site since the snapshot before, for showing a snapshot; false when there is none. */
bool bsk_memory_history_growth(const struct bsk_memory_history *history,
                               const struct bsk_memory_snapshot *snapshot,
                               const struct bsk_memory_site *site, int64_t *out_bytes,
                               int64_t *out_count);

/* 0 for `to`: the last; 0 for `from`: the one before `to`. Fails with BSK_E_STATE: "Take at least
 * two snapshots", or a number that is not kept. The caller frees. */
int bsk_memory_history_diff(const struct bsk_memory_history *history, uint32_t from, uint32_t to,
                            struct bsk_memory_diff **out_diff, struct bsk_error *err);
/* As bsk_memory_snapshot_infer(), for one of the diff's leaks. */
bool bsk_memory_diff_infer(struct bsk_memory_diff *diff, size_t leak,
                           const struct bsk_memory_frame *frames, uint32_t count, uint64_t samples);
void bsk_memory_diff_free(struct bsk_memory_diff *diff); /* accepts NULL */

#endif
