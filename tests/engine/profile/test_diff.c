#include "engine/profile/diff.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000000 };

/* ---- matching ---- */

struct named {
    const char *name, *path;
};

static struct bsk_profile *profile_of(const struct named *functions, size_t count)
{
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 1, 1, "app.py", "MainThread");
    for (size_t i = 0; i < count; i++) {
        const struct bsk_profile_frame frame = {
            bsk_profile_function(profile, functions[i].name, functions[i].path, (uint32_t)i,
                                 functions[i].path[0] ? BSK_FUNCTION_PYTHON : BSK_FUNCTION_SPECIAL),
            1
        };
        bsk_profile_add(profile, bsk_profile_stack(profile, track, &frame, 1), 0, 0, MS, 1);
    }
    return profile;
}

static void functions_are_found_again_in_other_checkouts(void **state)
{
    static const struct {
        const char *why;
        struct named before[3], after[3];
        bool same; /* the first of each */
    } cases[] = {
        { "name and path are the same", { { "f", "/a/x.py" } }, { { "f", "/a/x.py" } }, true },
        { "another checkout",
          { { "f", "/home/me/app/x.py" } },
          { { "f", "/ci/b/app/x.py" } },
          true },
        { "a script in another folder",
          { { "f", "/home/me/x.py" } },
          { { "f", "/ci/x.py" } },
          true },
        { "py-spy shortens paths", { { "f", "app/x.py" } }, { { "f", "/srv/app/x.py" } }, true },
        { "another file", { { "f", "/a/x.py" } }, { { "f", "/a/y.py" } }, false },
        { "another end of the name", { { "f", "/a/max.py" } }, { { "f", "/b/x.py" } }, false },
        { "another function", { { "f", "/a/x.py" } }, { { "g", "/a/x.py" } }, false },
        { "the more alike one wins",
          { { "f", "/a/one/x.py" }, { "f", "/a/two/x.py" } },
          { { "f", "/b/one/x.py" }, { "f", "/b/two/x.py" } },
          true },
        { "two that are as much alike: neither",
          { { "f", "/a/x.py" } },
          { { "f", "/b/x.py" }, { "f", "/c/x.py" } },
          false },
        { "the same path wins over one that is alike",
          { { "f", "/a/x.py" } },
          { { "f", "/a/x.py" }, { "f", "/b/a/x.py" } },
          true },
        { "a library of another Python",
          { { "f", "/usr/lib/python3.11/json/decoder.py" } },
          { { "f", "/opt/lib/python3.12/json/decoder.py" } },
          true },
        { "the user's file is no library's",
          { { "f", "/usr/lib/python3.11/abc.py" } },
          { { "f", "/home/me/abc.py" } },
          false },
        { "names without their class, as before 3.11",
          { { "run", "/a/x.py" } },
          { { "Worker.run", "/a/x.py" } },
          true },
        { "a method of two classes may be either",
          { { "run", "/a/x.py" } },
          { { "A.run", "/a/x.py" }, { "B.run", "/a/x.py" } },
          false },
        { "methods of two classes are two",
          { { "A.run", "/a/x.py" } },
          { { "B.run", "/a/x.py" } },
          false },
        { "special ones by name", { { "(debugger)", "" } }, { { "(debugger)", "" } }, true },
        { "special ones by name alone", { { "(debugger)", "" } }, { { "(unread)", "" } }, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t counts[2] = { 0, 0 };
        while (counts[0] < 3 && cases[i].before[counts[0]].name)
            counts[0]++;
        while (counts[1] < 3 && cases[i].after[counts[1]].name)
            counts[1]++;
        struct bsk_profile *before = profile_of(cases[i].before, counts[0]);
        struct bsk_profile *after = profile_of(cases[i].after, counts[1]);
        struct bsk_match match;
        print_message("  %s\n", cases[i].why);
        assert_true(bsk_match_make(before, after, &match));
        assert_int_equal(match.of_before[0] == match.of_after[0], cases[i].same);
        bsk_match_free(&match);
        bsk_profile_free(before);
        bsk_profile_free(after);
    }
}

/* ---- significance ---- */

static uint64_t seed;

static double chance(void)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    uint64_t x = seed ^ seed >> 29;
    x *= 0x9e3779b97f4a7c15ULL;
    return (double)(x >> 11) / 9007199254740992.0;
}

enum { FUNCTIONS = 60 };

/* Shares like a real program's: a few large ones, many small ones. */
static void make_shares(double shares[FUNCTIONS])
{
    static const double first[] = { 0.3, 0.2, 0.1, 0.1, 0.05, 0.05 };
    double left = 0.2, sum = 0;
    for (int i = 6; i < FUNCTIONS; i++)
        sum += 1.0 / (i - 4);
    for (int i = 0; i < FUNCTIONS; i++)
        shares[i] = i < 6 ? first[i] : left / (i - 4) / sum;
}

static int pick(const double shares[FUNCTIONS])
{
    double at = chance();
    int i = 0;
    for (; i < FUNCTIONS - 1 && at >= shares[i]; i++)
        at -= shares[i];
    return i;
}

/* `stretch`: the mean number of samples in a row of one function (1: they are independent). */
static struct bsk_profile *simulate(const double shares[FUNCTIONS], int samples, double stretch,
                                    bool ordered)
{
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 1, 1, "app.py", "MainThread");
    uint32_t nodes[FUNCTIONS];
    for (int i = 0; i < FUNCTIONS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        /* each below a module's frame and one of six groups, so that totals differ from selves */
        const struct bsk_profile_frame frames[] = {
            { bsk_profile_function(profile, "<module>", "/a.py", 1, BSK_FUNCTION_PYTHON), 1 },
            { bsk_profile_function(profile,
                                   (const char *[]){ "g0", "g1", "g2", "g3", "g4", "g5" }[i % 6],
                                   "/a.py", 1, BSK_FUNCTION_PYTHON),
              1 },
            { bsk_profile_function(profile, name, "/a.py", 1, BSK_FUNCTION_PYTHON), 1 },
        };
        nodes[i] = bsk_profile_stack(profile, track, frames, 3);
    }
    int now = pick(shares);
    for (int i = 0; i < samples; i++) {
        bsk_profile_add(profile, nodes[now], (uint64_t)i * MS, ordered ? MS : 0, MS, 1);
        if (chance() * stretch < 1)
            now = pick(shares);
    }
    return profile;
}

static const struct bsk_diff_function *named(const struct bsk_diff *diff, const char *name)
{
    for (size_t i = 0; i < diff->count; i++) {
        if (strcmp(diff->functions[i].name, name) == 0)
            return &diff->functions[i];
    }
    return NULL;
}

static int pairs_with_any(double stretch, bool ordered, int samples_before, int samples_after,
                          int pairs)
{
    double shares[FUNCTIONS];
    int any = 0;
    make_shares(shares);
    for (int i = 0; i < pairs; i++) {
        struct bsk_profile *a = simulate(shares, samples_before, stretch, ordered);
        struct bsk_profile *b = simulate(shares, samples_after, stretch, ordered);
        struct bsk_diff *diff = bsk_diff_new(a, ordered, b, ordered, 0.1);
        any += diff->significant > 0;
        bsk_diff_free(diff);
        bsk_profile_free(a);
        bsk_profile_free(b);
    }
    return any;
}

static void equal_runs_show_nothing(void **state)
{
    static const struct {
        const char *why;
        double stretch;
        bool ordered;
        int before, after;
    } cases[] = {
        { "independent samples", 1, true, 10000, 10000 },
        { "the same, without their order", 1, false, 10000, 10000 },
        { "few samples", 1, true, 600, 600 },
        { "few, without order", 1, false, 300, 300 },
        { "unequal numbers", 1, true, 20000, 2000 },
        { "stretches of 10 samples", 10, true, 10000, 10000 },
        { "stretches of 50 samples", 50, true, 10000, 10000 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        seed = 20260000 + i;
        int any = pairs_with_any(cases[i].stretch, cases[i].ordered, cases[i].before,
                                 cases[i].after, 200);
        print_message("  %s: %d of 200 pairs\n", cases[i].why, any);
        assert_true(any <= 10);
    }
}

/* Whether a shift of two points, from f`from`'s share to f`to`'s, is found in `to`. */
static int found(int to, bool ordered, double shift, int runs)
{
    double shares[FUNCTIONS], shifted[FUNCTIONS];
    char name[16];
    int count = 0;
    make_shares(shares);
    memcpy(shifted, shares, sizeof(shares));
    shifted[to] += shift;
    for (int i = 0; i < FUNCTIONS; i++) /* the others give it, each its part */
        shifted[i] *= i == to ? 1 : (1 - shifted[to]) / (1 - shares[to]);
    snprintf(name, sizeof(name), "f%d", to);
    for (int i = 0; i < runs; i++) {
        struct bsk_profile *a = simulate(shares, 10000, 1, ordered);
        struct bsk_profile *b = simulate(shifted, 10000, 1, ordered);
        struct bsk_diff *diff = bsk_diff_new(a, ordered, b, ordered, BSK_DIFF_LEAST_POINTS);
        count += named(diff, name)->self.significant;
        bsk_diff_free(diff);
        bsk_profile_free(a);
        bsk_profile_free(b);
    }
    return count;
}

static void two_points_are_found_in_ten_thousand_samples(void **state)
{
    static const struct {
        int function;
        bool ordered;
        int least; /* of 100 */
    } cases[] = {
        /* 5 percent, and a small one: nearly always. At 10 percent, beside others, the noise of
         * independent samples leaves no more: docs/diff.md. */
        { 4, true, 95 },
        { 4, false, 95 },
        { 20, true, 95 },
        { 2, true, 85 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double shares[FUNCTIONS];
        seed = 4711 + i;
        make_shares(shares);
        int count = found(cases[i].function, cases[i].ordered, 0.02, 100);
        print_message("  a function of %.1f percent%s: %d of 100\n",
                      100 * shares[cases[i].function], cases[i].ordered ? "" : ", without order",
                      count);
        assert_true(count >= cases[i].least);
    }
}

/* 500 of 10,000 samples more: beyond all doubt where all was read. */
static struct bsk_diff *shifted_by_five_points(const char *name, uint64_t guessed)
{
    struct bsk_profile *profiles[2];
    for (size_t i = 0; i < 2; i++) {
        profiles[i] = bsk_profile_new(0);
        uint32_t track = bsk_profile_track(profiles[i], 1, 1, "app.py", "MainThread");
        const struct bsk_profile_frame rest = { bsk_profile_function(profiles[i], "rest", "/a.py",
                                                                     1, BSK_FUNCTION_PYTHON),
                                                1 },
                                       moved = { bsk_profile_function(profiles[i], name, "", 0,
                                                                      BSK_FUNCTION_SPECIAL),
                                                 0 };
        int count = i == 0 ? 1000 : 1500;
        bsk_profile_add(profiles[i], bsk_profile_stack(profiles[i], track, &rest, 1), 0, MS,
                        (uint64_t)(10000 - count) * MS, (uint32_t)(10000 - count));
        bsk_profile_add(profiles[i], bsk_profile_stack(profiles[i], track, &moved, 1), MS, MS,
                        (uint64_t)count * MS, (uint32_t)count);
        bsk_profile_meta(profiles[i])->filled = guessed;
    }
    struct bsk_diff *diff = bsk_diff_new(profiles[0], false, profiles[1], false, 1);
    bsk_profile_free(profiles[0]);
    bsk_profile_free(profiles[1]);
    return diff;
}

static void what_was_not_read_is_no_shift_of_the_program(void **state)
{
    (void)state;
    struct bsk_diff *diff = shifted_by_five_points("moved", 0);
    assert_true(named(diff, "moved")->self.significant);
    bsk_diff_free(diff);
    diff = shifted_by_five_points("moved", 4000); /* 40 percent were told by what is usual */
    assert_false(named(diff, "moved")->self.significant);
    bsk_diff_free(diff);
    diff = shifted_by_five_points(BSK_FUNCTION_UNREAD, 0);
    assert_false(named(diff, BSK_FUNCTION_UNREAD)->self.significant);
    bsk_diff_free(diff);
}

/* ---- sums ---- */

static void shares_are_of_the_whole_and_recursion_counts_once(void **state)
{
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 1, 1, "app.py", "MainThread");
    uint32_t f = bsk_profile_function(profile, "f", "/a.py", 1, BSK_FUNCTION_PYTHON);
    /* the same function to diff: only the first line differs */
    uint32_t again = bsk_profile_function(profile, "f", "/a.py", 9, BSK_FUNCTION_PYTHON);
    uint32_t g = bsk_profile_function(profile, "g", "/a.py", 1, BSK_FUNCTION_PYTHON);
    const struct bsk_profile_frame deep[] = { { f, 1 }, { again, 9 }, { f, 2 } },
                                   other[] = { { f, 1 }, { g, 3 } };
    bsk_profile_add(profile, bsk_profile_stack(profile, track, deep, 3), 0, MS, 30 * MS, 30);
    bsk_profile_add(profile, bsk_profile_stack(profile, track, other, 2), MS, MS, 10 * MS, 10);
    struct bsk_diff *diff = bsk_diff_new(profile, true, profile, true, 1);
    assert_int_equal(diff->count, 2);
    assert_int_equal(diff->significant, 0);
    assert_true(fabs(named(diff, "f")->self.after - 75) < 1e-9);
    assert_true(fabs(named(diff, "f")->total.after - 100) < 1e-9);
    assert_true(fabs(named(diff, "g")->total.before - 25) < 1e-9);
    assert_true(named(diff, "g")->total.delta == 0);
    bsk_diff_free(diff);
    bsk_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_found_again_in_other_checkouts),
        cmocka_unit_test(shares_are_of_the_whole_and_recursion_counts_once),
        cmocka_unit_test(equal_runs_show_nothing),
        cmocka_unit_test(two_points_are_found_in_ten_thousand_samples),
        cmocka_unit_test(what_was_not_read_is_no_shift_of_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
