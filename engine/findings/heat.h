/*
 * Heat: which lines and functions are worth a look, and how hot they are; and the difference
 * between two states, so that an editor hears only of files that changed.
 *
 * Ownership: bsk_heat_new() gives an immutable result to the caller; it shares nothing with
 * `totals`.
 */
#ifndef BSK_FINDINGS_HEAT_H
#define BSK_FINDINGS_HEAT_H

#include "engine/profile/totals.h"

enum bsk_level {
    BSK_LEVEL_NONE,
    BSK_LEVEL_COOL,
    BSK_LEVEL_WARM,
    BSK_LEVEL_HOT,
    BSK_LEVEL_CRITICAL
};

/* "critical", "hot", "warm", "cool", or "none". From 10, 5, 2 and 1 percent. A level in a heat is
 * that of the rounded percent, and at least cool: what passed a threshold below 1 is to be seen. */
const char *bsk_level_name(enum bsk_level level);
enum bsk_level bsk_level_of(double percent);

/* What fewer samples say is chance: a count of k has a standard error of about its root, which is
 * half of the count and more up to k = 4. No such line or function has heat or a diagnostic,
 * whatever its percent. */
enum { BSK_FINDING_SAMPLES_MIN = 5 };

/* The level to show beside a percent that so many samples stand for. */
enum bsk_level bsk_level_of_samples(double percent, uint64_t samples);

struct bsk_thresholds {
    double line_percent;     /* lines below have no heat; 0 means 1.0 */
    double function_percent; /* functions below are in no table; 0 means 2.0 */
};

struct bsk_hot_line {
    const char *function;
    uint32_t line;
    uint64_t samples;
    double percent; /* rounded to 0.1 */
    enum bsk_level level;
};

struct bsk_hot_function {
    const char *name;
    uint32_t line; /* of its definition */
    uint64_t samples;
    double percent, total_percent; /* rounded to 0.1 */
    enum bsk_level level;
};

struct bsk_hot_file { /* absolute paths only: what is no file has no heat */
    const char *path;
    struct bsk_hot_line *lines; /* by line */
    size_t line_count;
    struct bsk_hot_function *functions; /* by line */
    size_t function_count;
};

struct bsk_heat {
    struct bsk_hot_file *files; /* by path */
    size_t file_count;
    void *memory; /* owned */
};

/* `thresholds` may be NULL: the defaults. */
struct bsk_heat *bsk_heat_new(const struct bsk_totals *totals,
                              const struct bsk_thresholds *thresholds); /* NULL: out of memory */
void bsk_heat_free(struct bsk_heat *heat);                              /* accepts NULL */

/* Calls `fn` for each file of `now` that is not the same in `before`, and, with no lines and no
 * functions, for each that `before` has and `now` has not. `before` may be NULL. A receiver that
 * puts each file in the place of what it knew of that path then has exactly `now`. */
typedef void bsk_hot_file_fn(const struct bsk_hot_file *file, void *user);
void bsk_heat_changes(const struct bsk_heat *before, const struct bsk_heat *now,
                      bsk_hot_file_fn *fn, void *user);

#endif
