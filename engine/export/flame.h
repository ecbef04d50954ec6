/*
 * The boxes of a flame graph: what stands where, how wide, and what it says.
 *
 * The outermost box is all of the profile; below it a box for each process where there are several,
 * then for each thread of a process that has several, then frames. Siblings stand by weight, the
 * heaviest first. What is narrower than asked is left out and counted. Below the deepest level
 * asked for, ways are left out: a box "left out" stands for them, and on it each frame that used
 * something itself, so that no weight is hidden.
 *
 * Weight is nanoseconds of the profile's clock; samples, where no node has any nanoseconds.
 */
#ifndef BSK_EXPORT_FLAME_H
#define BSK_EXPORT_FLAME_H

#include "engine/export/processes.h"
#include "engine/profile/profile.h"

enum bsk_box_kind {
    BSK_BOX_ALL,
    BSK_BOX_PROCESS,  /* `index`: in `processes` */
    BSK_BOX_THREAD,   /* `index`: the track */
    BSK_BOX_FRAME,    /* `index`: the function */
    BSK_BOX_LEFT_OUT, /* levels that are not shown */
};

struct bsk_box {
    enum bsk_box_kind kind;
    uint32_t index, line;
    uint32_t parent; /* of the first: BSK_NO_NODE */
    uint32_t level;  /* 0: the first */
    uint64_t start;  /* weight to the left of it */
    uint64_t total, self;
    uint64_t samples, self_samples;
    uint64_t wait_ns, idle_ns, call_ns; /* with what is above it, as `total` */
};

struct bsk_flame {
    struct bsk_box *boxes; /* a parent before its children */
    uint32_t count, levels;
    uint32_t narrow;   /* distinct frames left out because they are narrow */
    uint32_t too_deep; /* distinct frames whose way is left out */
    double min_share;  /* below this share of the whole a box is narrow */
    bool weight_is_samples;
    struct bsk_processes processes;
};

struct bsk_flame_limits {
    double min_share;    /* 0..1 */
    uint32_t max_boxes;  /* past it, `min_share` grows until they fit */
    uint32_t max_levels; /* of frames */
};

/* False when out of memory. The caller frees. */
bool bsk_flame_make(const struct bsk_profile *profile, const struct bsk_flame_limits *limits,
                    struct bsk_flame *out_flame);
void bsk_flame_free(struct bsk_flame *flame);

#endif
