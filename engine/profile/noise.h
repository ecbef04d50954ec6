/*
 * What is a shift and what is noise: the statistics of `diff`, apart from profiles. Pure functions.
 * docs/diff.md says why they are as they are, with what was measured.
 */
#ifndef BSK_PROFILE_NOISE_H
#define BSK_PROFILE_NOISE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    BSK_NOISE_BLOCKS_MIN = 16,
    BSK_NOISE_BLOCKS_MAX = 64,
    BSK_NOISE_BLOCK_SAMPLES = 24, /* at least, in each */
};

/* How many blocks a recording of so many samples is cut into; 0: it is too short. */
size_t bsk_noise_blocks(double samples);

/* What makes a share differ between two runs of the same program. */
struct bsk_noise {
    double samples;   /* of the profile */
    double seconds;   /* that they cover */
    double inflation; /* the variance, of that of independent samples; at least 1 */
    double phases;    /* 0: the share is the same all along; 1: it is now all, now nothing */
    double guessed;   /* of its samples, what is filled in or unread: from 0 to 1 */
    bool busy;        /* the machine had other work */
};

/* Whether two recordings, cut into blocks, go through the same course: first this, then that, in
 * the same order, however long each part lasts. Row r of `a` begins at a[r * stride * a_count] and
 * has a share for each of its blocks. A program that does the same thing all along has no course.
 */
bool bsk_noise_same_course(const float *a, size_t a_count, const float *b, size_t b_count,
                           size_t rows, size_t stride);

/* From the shares in `count` blocks of the recording, in order, each of `block_samples`: sets
 * inflation and phases. With `course`, what differs between the phases of the program (it loads,
 * then it computes) is no noise: neighbouring blocks are compared, and the largest tenth of their
 * differences left out. */
void bsk_noise_from_blocks(const float *shares, size_t count, double block_samples, bool course,
                           struct bsk_noise *out);

/* How a function's time comes: in stretches in which it does not change, lengths in samples. */
struct bsk_stretches {
    double sum, squares;           /* of the lengths, and of their squares */
    double long_sum, long_squares; /* of those longer than a block alone */
};

/* Raises the inflation where stretches are long: few of them say little, whatever the blocks look
 * like. With `course`, those longer than a block are phases. */
void bsk_noise_from_stretches(const struct bsk_stretches *stretches, double share, bool course,
                              struct bsk_noise *out);

/* Both as they are taken where the order of samples is not known. */
extern const struct bsk_noise bsk_noise_unordered;

/* One share in two profiles. Shares are from 0 to 1. */
struct bsk_judged {
    double before, after;
    struct bsk_noise noise_before, noise_after;

    double error;    /* out: standard error of the difference */
    double critical; /* out: how many of them it takes */
    bool significant;
};

/* Fills in the outputs of all, such that with equal programs the chance that any is significant is
 * at most 3 percent. A shift below `least_shift` (as a share) is never significant. False: out of
 * memory. */
bool bsk_judge(struct bsk_judged *items, size_t count, double least_shift);

/* The shift that is found 95 times in 100, of a function of share `share`, judged beside `count`
 * others. As a share. */
double bsk_noise_visible(double share, const struct bsk_noise *before,
                         const struct bsk_noise *after, size_t count);

#endif
