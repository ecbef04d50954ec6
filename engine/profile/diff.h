/*
 * What changed between two profiles: each function's shares before and after, and which shifts are
 * more than noise.
 *
 * Shares are in percent of all weight of their profile, shifts in points (after minus before).
 * Functions are matched as match.h says. A shift is significant when two equal programs show any
 * such shift in at most 3 of 100 pairs (noise.h); docs/diff.md has the reasons and the figures.
 *
 * Ownership: bsk_diff_new() gives an immutable result to the caller, which shares nothing with the
 * profiles.
 */
#ifndef BSK_PROFILE_DIFF_H
#define BSK_PROFILE_DIFF_H

#include "engine/profile/match.h"
#include "engine/profile/origin.h"
#include "engine/profile/profile.h"

struct bsk_share {
    double before, after, delta; /* percent, percent, points */
    double noise;                /* a shift of up to so many points may be noise */
    bool significant;
};

struct bsk_diff_function {
    const char *name, *path; /* as the second profile has them, else the first */
    enum bsk_function_kind kind;
    enum bsk_code_origin origin;
    uint32_t number; /* that bsk_match_make() gives it */
    bool in_before, in_after;
    struct bsk_share self, total; /* total: with what it called; recursion counts once */
};

struct bsk_diff_side { /* what is known of the noise of one profile */
    uint64_t samples;  /* at most as many as its time has periods */
    double weight_ns;
    double inflation; /* of the variance: the median of what is judged; 1 where samples are as good
                         as independent */
    double phases;    /* the same: 0 when shares are the same all along (noise.h) */
    bool from_order;  /* it was measured; else it is the default */
    bool busy;        /* the machine had other work: more than 3 percent of the samples were late */
};

struct bsk_diff {
    struct bsk_diff_function *functions; /* largest shift first: of self or total; then by name */
    size_t count;
    size_t significant; /* how many of them have a significant shift, of self or total */
    struct bsk_diff_side before, after;
    double least_points;   /* a smaller shift is never significant */
    double visible_points; /* a shift that is found 95 times in 100, of a function of 10 percent */
    void *strings;         /* owned */
};

#define BSK_DIFF_LEAST_POINTS 1.0 /* the default */

/* `ordered`: the profile's timeline says what ran when. NULL: out of memory. */
struct bsk_diff *bsk_diff_new(const struct bsk_profile *before, bool before_ordered,
                              const struct bsk_profile *after, bool after_ordered,
                              double least_points);
void bsk_diff_free(struct bsk_diff *diff); /* accepts NULL */

#endif
