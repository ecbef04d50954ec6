/*
 * The timeline of a profile: which node each track was in, packed, with a ceiling. For profile.c
 * alone; profile.h says what it promises.
 *
 * A run takes 16 bytes. What does not fit (more than 4.29 s, more than 254 samples) lies in a side
 * array. A zeroed struct after bsk_timeline_init() is an empty timeline; bsk_timeline_free() gives
 * the memory back.
 */
#ifndef BSK_PROFILE_TIMELINE_H
#define BSK_PROFILE_TIMELINE_H

#include "engine/profile/profile.h"

struct bsk_packed_run {
    uint32_t start;       /* in units of `unit_ns` */
    uint32_t node : 24;   /* a tree of more than 2^24 nodes has no timeline for the rest */
    uint32_t samples : 8; /* 255: wall and samples are in wide[wall] */
    uint32_t wall_ns;
    uint32_t cpu_ns;
};

struct bsk_wide_run {
    uint64_t wall_ns, cpu_ns;
    uint32_t samples;
};

struct bsk_track_end { /* the newest run of a track */
    uint32_t run;      /* UINT32_MAX: none yet */
    uint64_t end_ns;   /* exact, where the packed start is not */
};

struct bsk_timeline {
    struct bsk_packed_run *runs; /* by start, unless `unsorted` */
    struct bsk_wide_run *wide;
    struct bsk_track_end *ends; /* by track */
    uint32_t run_count, run_capacity, max_runs;
    uint32_t wide_count, wide_capacity;
    uint32_t track_count, track_capacity;
    uint32_t max_depth; /* deeper stacks were cut in the timeline; UINT32_MAX: none */
    uint64_t unit_ns, window_ns;
    bool unsorted;
};

struct bsk_timeline_tree { /* what it must know of the profile's nodes */
    const struct bsk_node *nodes;
    const uint32_t *tracks;
    uint32_t count;
};

void bsk_timeline_init(struct bsk_timeline *timeline, size_t max_runs);
void bsk_timeline_free(struct bsk_timeline *timeline);

/* `timeline` is a plain copy of another: gives it memory of its own, sorted. On failure it owns
 * nothing but what bsk_timeline_free() takes. */
bool bsk_timeline_clone(struct bsk_timeline *timeline, const struct bsk_timeline_tree *tree);

/* Lowers the ceiling, and makes the timeline coarser until it fits. */
void bsk_timeline_limit(struct bsk_timeline *timeline, const struct bsk_timeline_tree *tree,
                        size_t max_runs);

/* Tracks come as 0, 1, 2, …; asking for the newest again is harmless. */
bool bsk_timeline_add_track(struct bsk_timeline *timeline, uint32_t track);

/* False: out of memory, the run is not in the timeline. */
bool bsk_timeline_add(struct bsk_timeline *timeline, const struct bsk_timeline_tree *tree,
                      uint32_t node, uint64_t start_ns, uint64_t wall_ns, uint64_t cpu_ns,
                      uint32_t samples);

void bsk_timeline_sort(struct bsk_timeline *timeline, const struct bsk_timeline_tree *tree);
bool bsk_timeline_next(const struct bsk_timeline *timeline, const struct bsk_timeline_tree *tree,
                       size_t *at, struct bsk_run *out_run);
size_t bsk_timeline_bytes(const struct bsk_timeline *timeline);

#endif
