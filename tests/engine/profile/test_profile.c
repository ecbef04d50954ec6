#include "engine/profile/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MS = 1000000,
    ROUNDING_NS = 256000, /* of starts, in the longest recording here */
};

struct sums {
    uint64_t cpu_ns, wall_ns, samples;
    size_t runs;
};

/* Holds the walk to its promises on the way: in order of start, no overlap within a track. */
static struct sums sum_runs(const struct bsk_profile *profile, uint32_t only_track)
{
    struct sums sums = { 0 };
    struct bsk_run run;
    uint64_t last_start = 0;
    uint64_t *end = calloc(bsk_profile_track_count(profile) + 1, sizeof(*end));
    assert_non_null(end);
    for (size_t at = 0; bsk_profile_next_run(profile, &at, &run);) {
        assert_true(run.start_ns >= last_start);
        last_start = run.start_ns;
        assert_true(run.start_ns + ROUNDING_NS >= end[run.track]);
        end[run.track] = run.start_ns + run.wall_ns;
        assert_int_equal(run.track, bsk_profile_track_of(profile, run.node));
        if (only_track != UINT32_MAX && run.track != only_track)
            continue;
        sums.cpu_ns += run.cpu_ns;
        sums.wall_ns += run.wall_ns;
        sums.samples += run.samples;
        sums.runs++;
    }
    free(end);
    return sums;
}

static uint32_t stack_of(struct bsk_profile *profile, uint32_t track, uint32_t number,
                         uint32_t depth)
{
    struct bsk_profile_frame frames[64];
    for (uint32_t i = 0; i < depth; i++) {
        char name[32];
        snprintf(name, sizeof(name), "f%u", number % (3 + i));
        frames[i].function =
            bsk_profile_function(profile, name, "/srv/app.py", 1, BSK_FUNCTION_PYTHON);
        frames[i].line = 1 + number % 7;
        number /= 2;
    }
    return bsk_profile_stack(profile, track, frames, depth);
}

static void the_same_question_gets_the_same_index(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(0);
    uint32_t a = bsk_profile_function(p, "f", "/a.py", 1, BSK_FUNCTION_PYTHON);
    const struct {
        const char *why, *name, *path;
        uint32_t line;
        enum bsk_function_kind kind;
        bool same;
    } cases[] = {
        { "all alike", "f", "/a.py", 1, BSK_FUNCTION_PYTHON, true },
        { "another name", "g", "/a.py", 1, BSK_FUNCTION_PYTHON, false },
        { "another file", "f", "/b.py", 1, BSK_FUNCTION_PYTHON, false },
        { "another line", "f", "/a.py", 2, BSK_FUNCTION_PYTHON, false },
        { "another kind", "f", "/a.py", 1, BSK_FUNCTION_SPECIAL, false },
        { "no text at all is an empty one", NULL, NULL, 0, BSK_FUNCTION_PYTHON, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        uint32_t b =
            bsk_profile_function(p, cases[i].name, cases[i].path, cases[i].line, cases[i].kind);
        assert_int_equal(b == a, cases[i].same);
        assert_int_equal(
            b, bsk_profile_function(p, cases[i].name, cases[i].path, cases[i].line, cases[i].kind));
    }
    assert_int_equal(bsk_profile_function(p, "", "", 0, BSK_FUNCTION_PYTHON),
                     bsk_profile_function(p, NULL, NULL, 0, BSK_FUNCTION_PYTHON));
    assert_string_equal(bsk_profile_function_at(p, a).path, "/a.py");
    bsk_profile_free(p);
}

static void a_renamed_track_answers_to_both_names(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(0);
    uint32_t t = bsk_profile_track(p, 1, 2, "app.py", "Thread 2");
    bsk_profile_name_track(p, t, "pool-0");
    bsk_profile_name_track(p, 99, "nobody");
    assert_string_equal(bsk_profile_track_at(p, t).thread, "pool-0");
    assert_int_equal(bsk_profile_track(p, 1, 2, "app.py", "Thread 2"), t);
    assert_int_equal(bsk_profile_track(p, 1, 2, "app.py", "pool-0"), t);
    assert_int_not_equal(bsk_profile_track(p, 1, 2, "app.py", "reused TID"), t);
    assert_int_not_equal(bsk_profile_track(p, 3, 2, "app.py", "pool-0"), t);
    bsk_profile_free(p);
}

static void stacks_share_their_beginnings(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(0);
    uint32_t t = bsk_profile_track(p, 1, 1, "app.py", "MainThread");
    uint32_t f = bsk_profile_function(p, "f", "/a.py", 1, BSK_FUNCTION_PYTHON);
    const struct bsk_profile_frame one[] = { { f, 1 }, { f, 2 } }, other[] = { { f, 1 }, { f, 3 } };
    uint32_t a = bsk_profile_stack(p, t, one, 2), b = bsk_profile_stack(p, t, other, 2);
    assert_int_equal(bsk_profile_node_at(p, a)->parent, bsk_profile_node_at(p, b)->parent);
    assert_int_equal(bsk_profile_node_at(p, a)->depth, 2);
    assert_int_equal(bsk_profile_stack(p, t, one, 2), a);
    assert_int_equal(bsk_profile_stack(p, t, NULL, 0), bsk_profile_track_root(p, t));
    assert_int_equal(bsk_profile_node_count(p), 4);
    const struct bsk_profile_frame wild = { 12345, 1 };
    assert_int_equal(bsk_profile_stack(p, t, &wild, 1), BSK_NO_NODE);
    assert_int_equal(bsk_profile_stack(p, 77, one, 2), BSK_NO_NODE);
    bsk_profile_add(p, BSK_NO_NODE, 0, MS, MS, 3);
    assert_int_equal(bsk_profile_lost(p), 3);
    assert_int_equal(bsk_profile_cpu_ns(p), 0);
    bsk_profile_free(p);
}

static void only_what_follows_without_a_gap_is_merged(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(0);
    uint32_t t = bsk_profile_track(p, 1, 1, "app.py", "MainThread");
    uint32_t a = stack_of(p, t, 1, 3), b = stack_of(p, t, 2, 3);
    const struct {
        const char *why;
        uint32_t node;
        uint64_t start_ns, wall_ns, cpu_ns;
        size_t runs;
    } cases[] = {
        { "the first", a, 0, 10 * MS, 9 * MS, 1 },
        { "goes on", a, 10 * MS, 10 * MS, 9 * MS, 1 },
        { "after a gap", a, 30 * MS, 10 * MS, 9 * MS, 2 },
        { "another stack", b, 40 * MS, 10 * MS, 9 * MS, 3 },
        { "weight without time is in the tree alone", b, 50 * MS, 0, 5, 3 },
        { "goes on all the same", b, 50 * MS, 10 * MS, 0, 3 },
        { "longer than 32 bits of nanoseconds", b, 60 * MS, 5000 * (uint64_t)MS, 7, 3 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        bsk_profile_add(p, cases[i].node, cases[i].start_ns, cases[i].wall_ns, cases[i].cpu_ns, 1);
        assert_int_equal(sum_runs(p, UINT32_MAX).runs, cases[i].runs);
    }
    struct sums sums = sum_runs(p, UINT32_MAX);
    assert_int_equal(sums.wall_ns, 5050 * (uint64_t)MS);
    assert_int_equal(sums.cpu_ns, 36 * MS + 7);
    assert_int_equal(bsk_profile_cpu_ns(p), 36 * MS + 12);
    bsk_profile_free(p);
}

static void late_runs_of_other_tracks_find_their_place(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(0);
    enum { TRACKS = 5, RUNS = 1000 };
    uint32_t tracks[TRACKS];
    for (uint32_t t = 0; t < TRACKS; t++)
        tracks[t] = bsk_profile_track(p, 1, (pid_t)t, "app.py", "t");
    for (uint32_t t = 0; t < TRACKS; t++) { /* one whole track after the other: the worst order */
        for (uint32_t i = 0; i < RUNS; i++)
            bsk_profile_add(p, stack_of(p, tracks[t], i, 4), i * (uint64_t)MS, MS, i, 1);
    }
    for (uint32_t t = 0; t < TRACKS; t++) {
        struct sums sums = sum_runs(p, t);
        assert_int_equal(sums.wall_ns, RUNS * (uint64_t)MS);
        assert_int_equal(sums.cpu_ns, (uint64_t)RUNS * (RUNS - 1) / 2);
        bsk_profile_add(p, stack_of(p, tracks[t], RUNS - 1, 4), RUNS * (uint64_t)MS, MS, 0, 1);
        assert_int_equal(sum_runs(p, t).runs, sums.runs); /* it still knows each track's newest */
    }
    bsk_profile_free(p);
}

/* Whatever the ceiling, nothing but order is lost. */
static void coarser_timelines_keep_their_sums(void **state)
{
    (void)state;
    const struct {
        const char *why;
        size_t max_runs;
        uint32_t stacks, tracks;
        uint64_t step_ns;
    } cases[] = {
        { "windows alone are enough", 2000, 50, 3, 10 * MS },
        { "more distinct stacks than runs: stacks are cut", 100, 5000, 2, 10 * MS },
        { "the smallest ceiling", 1, 5000, 2, MS },
        { "more tracks than runs: the timeline gives up", 16, 10, 40, MS },
        { "past 71 minutes: starts get coarser", 5000, 20, 2, 1000 * (uint64_t)MS },
        { "days", 500, 20, 2, 30000 * (uint64_t)MS },
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        print_message("  %s\n", cases[c].why);
        struct bsk_profile *p = bsk_profile_new(cases[c].max_runs);
        uint64_t cpu[64] = { 0 }, wall[64] = { 0 }, samples[64] = { 0 };
        uint32_t seed = 5;
        for (uint32_t i = 0; i < 20000; i++) {
            seed = seed * 1664525 + 1013904223;
            uint32_t t = bsk_profile_track(p, 1, (pid_t)(i % cases[c].tracks), "app.py", "t");
            uint32_t node = stack_of(p, t, (seed >> 8) % cases[c].stacks, 12);
            uint64_t ns = cases[c].step_ns - seed % 1000;
            bsk_profile_add(p, node, i / cases[c].tracks * cases[c].step_ns, ns, ns / 3, 1 + i % 3);
            cpu[t] += ns / 3;
            wall[t] += ns;
            samples[t] += 1 + i % 3;
        }
        bool gave_up = cases[c].tracks > 16;
        assert_int_equal(bsk_profile_lost(p) > 0, gave_up);
        for (uint32_t t = 0; t < cases[c].tracks && !gave_up; t++) {
            struct sums sums = sum_runs(p, t);
            assert_int_equal(sums.cpu_ns, cpu[t]);
            assert_int_equal(sums.wall_ns, wall[t]);
            assert_int_equal(sums.samples, samples[t]);
        }
        size_t ceiling = cases[c].max_runs < 16 ? 16 : cases[c].max_runs;
        assert_true(sum_runs(p, UINT32_MAX).runs <= ceiling);
        bsk_profile_free(p);
    }
}

static void a_clone_is_equal_and_shares_nothing(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(1000), *copies[2];
    snprintf(bsk_profile_meta(p)->name, sizeof(bsk_profile_meta(p)->name), "app.py");
    uint32_t t = bsk_profile_track(p, 1, 1, "app.py", "MainThread");
    for (uint32_t i = 0; i < 5000; i++)
        bsk_profile_add(p, stack_of(p, t, i * 7, 5), i * (uint64_t)MS, MS, i, 1);
    copies[0] = bsk_profile_clone(p);
    copies[1] = bsk_profile_clone(copies[0]);
    struct sums before = sum_runs(p, UINT32_MAX);
    size_t nodes = bsk_profile_node_count(p);
    for (uint32_t i = 5000; i < 9000; i++)
        bsk_profile_add(p, stack_of(p, t, i * 13, 9), i * (uint64_t)MS, MS, i, 1);
    bsk_profile_free(p);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(bsk_profile_meta(copies[i])->name, "app.py");
        assert_int_equal(bsk_profile_node_count(copies[i]), nodes);
        struct sums now = sum_runs(copies[i], UINT32_MAX);
        assert_memory_equal(&before, &now, sizeof(now));
        /* it lives on by itself: finds what it had, and grows */
        assert_true(stack_of(copies[i], t, 7, 5) < nodes);
        uint32_t node = stack_of(copies[i], t, 999999, 20);
        bsk_profile_add(copies[i], node, 9000 * (uint64_t)MS, MS, 1, 1);
        assert_int_equal(sum_runs(copies[i], UINT32_MAX).cpu_ns, before.cpu_ns + 1);
        bsk_profile_free(copies[i]);
    }
}

static void ten_minutes_fit_in_two_megabytes(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(0);
    for (uint32_t i = 0; i < 60000; i++) { /* 100 Hz; two of four threads run at a time */
        for (uint32_t j = 0; j < 2; j++) {
            uint32_t t = bsk_profile_track(p, 1, (pid_t)((i / 50 + j) % 4), "app.py", "t");
            /* the same line for 20 ms at a time */
            bsk_profile_add(p, stack_of(p, t, i / 2 % 200, 20), i * 10 * (uint64_t)MS, 10 * MS,
                            5 * MS, 1);
        }
    }
    print_message("  %zu bytes\n", bsk_profile_bytes(p));
    assert_true(bsk_profile_bytes(p) < 2 << 20);
    bsk_profile_free(p);
}

static void a_million_adds_stay_below_the_ceiling(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(0);
    uint32_t t = bsk_profile_track(p, 1, 1, "app.py", "MainThread"), nodes[4096];
    for (uint32_t i = 0; i < 4096; i++)
        nodes[i] = stack_of(p, t, i, 12);
    for (uint32_t i = 0; i < 1000000; i++)
        bsk_profile_add(p, nodes[i * 2654435761U >> 20], i * (uint64_t)MS, MS, MS - 1, 1);
    struct sums sums = sum_runs(p, UINT32_MAX);
    assert_int_equal(sums.cpu_ns, 1000000 * (uint64_t)(MS - 1));
    assert_int_equal(sums.samples, 1000000);
    assert_true(sums.runs <= BSK_PROFILE_MAX_RUNS);
    assert_true(bsk_profile_bytes(p) < 8 << 20);
    assert_int_equal(bsk_profile_lost(p), 0);
    bsk_profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_question_gets_the_same_index),
        cmocka_unit_test(a_renamed_track_answers_to_both_names),
        cmocka_unit_test(stacks_share_their_beginnings),
        cmocka_unit_test(only_what_follows_without_a_gap_is_merged),
        cmocka_unit_test(late_runs_of_other_tracks_find_their_place),
        cmocka_unit_test(coarser_timelines_keep_their_sums),
        cmocka_unit_test(a_clone_is_equal_and_shares_nothing),
        cmocka_unit_test(ten_minutes_fit_in_two_megabytes),
        cmocka_unit_test(a_million_adds_stay_below_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
