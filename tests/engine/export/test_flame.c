#include "engine/export/flame.h"
#include "tests/engine/export/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct bsk_flame_limits limits = { .min_share = 0.1 / 1180,
                                                .max_boxes = 30000,
                                                .max_levels = 250 };

static struct bsk_flame flame_of(const struct bsk_profile *profile,
                                 const struct bsk_flame_limits *with)
{
    struct bsk_flame flame;
    assert_true(bsk_flame_make(profile, with, &flame));
    return flame;
}

/* Boxes lie on their parents side by side, the heaviest first, and weigh what the profile does. */
static void hold(const struct bsk_profile *profile, const struct bsk_flame *flame)
{
    uint64_t own = 0;
    uint64_t all =
        flame->weight_is_samples ? bsk_profile_samples(profile) : bsk_profile_cpu_ns(profile);
    assert_int_equal(flame->boxes[0].kind, BSK_BOX_ALL);
    assert_int_equal(flame->boxes[0].total, all);
    assert_int_equal(flame->boxes[0].samples, bsk_profile_samples(profile));
    for (uint32_t i = 0; i < flame->count; i++) {
        const struct bsk_box *box = &flame->boxes[i];
        own += box->self;
        assert_true(box->self <= box->total);
        if (i == 0)
            continue;
        const struct bsk_box *parent = &flame->boxes[box->parent], *before = box - 1;
        assert_true(box->parent < i);
        assert_int_equal(box->level, parent->level + 1);
        assert_true(box->level < flame->levels);
        assert_true(box->start >= parent->start);
        assert_true(box->start + box->total <= parent->start + parent->total);
        if (before->level == box->level) {
            assert_true(box->start >= before->start + before->total);
            assert_true(box->parent != before->parent || box->total <= before->total);
        }
    }
    assert_true(own <= all);
}

static void boxes_hold_the_whole_profile(void **state)
{
    (void)state;
    for (size_t i = 0; i < sample_profile_count; i++) {
        struct bsk_profile *profile = sample_profiles[i].make();
        struct bsk_flame flame = flame_of(profile, &limits);
        print_message("  %s: %u boxes\n", sample_profiles[i].name, flame.count);
        uint64_t all = flame.boxes[0].total, own = 0;
        assert_int_equal(flame.boxes[0].samples, bsk_profile_samples(profile));
        assert_true(all == bsk_profile_cpu_ns(profile) || flame.weight_is_samples);
        for (uint32_t b = 0; b < flame.count; b++)
            own += flame.boxes[b].self;
        assert_true(own <= all);
        bsk_flame_free(&flame);
        bsk_profile_free(profile);
    }
    for (uint32_t seed = 1; seed <= 200; seed++) {
        static const struct bsk_flame_limits tight = { .min_share = 0.01,
                                                       .max_boxes = 20,
                                                       .max_levels = 3 };
        struct bsk_profile *profile = random_profile(seed);
        struct bsk_flame wide = flame_of(profile, &limits), narrow = flame_of(profile, &tight);
        hold(profile, &wide);
        hold(profile, &narrow);
        assert_true(narrow.levels <= 3 + 2 + 1 + 2);
        bsk_flame_free(&wide);
        bsk_flame_free(&narrow);
        bsk_profile_free(profile);
    }
}

static struct bsk_profile *chain(uint32_t depth, uint32_t count)
{
    static struct bsk_profile_frame frames[10000];
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 1, 1, "deep.py", "MainThread");
    uint32_t f = bsk_profile_function(profile, "walk", "/srv/deep.py", 1, BSK_FUNCTION_PYTHON);
    uint32_t leaf = bsk_profile_function(profile, "leaf", "/srv/deep.py", 9, BSK_FUNCTION_PYTHON);
    for (uint32_t d = 0; d < depth; d++)
        frames[d] = (struct bsk_profile_frame){ f, 2 };
    for (uint32_t i = 0; i < count; i++) {
        struct bsk_profile_frame last = frames[depth - 1 - i];
        frames[depth - 1 - i] = (struct bsk_profile_frame){ leaf, 10 };
        uint32_t node = bsk_profile_stack(profile, track, frames, depth - i);
        bsk_profile_add(profile, node, i * 1000000ULL, 1000000, 1000000, 1);
        frames[depth - 1 - i] = last;
    }
    return profile;
}

static void what_is_too_deep_still_has_its_own_time(void **state)
{
    (void)state;
    struct bsk_profile *profile = chain(10000, 40);
    struct bsk_flame flame = flame_of(profile, &limits);
    assert_int_equal(flame.levels, 1 + 250 + 2);
    const struct bsk_box *leaf = &flame.boxes[flame.count - 1];
    assert_int_equal(leaf->kind, BSK_BOX_FRAME);
    assert_int_equal(leaf->line, 10);
    assert_int_equal(leaf->self, 40 * 1000000);
    assert_int_equal(leaf->self_samples, 40);
    assert_int_equal(flame.boxes[leaf->parent].kind, BSK_BOX_LEFT_OUT);
    assert_true(flame.too_deep > 9000);
    bsk_flame_free(&flame);
    bsk_profile_free(profile);

    profile = chain(250, 1); /* just deep enough to be whole */
    flame = flame_of(profile, &limits);
    assert_int_equal(flame.levels, 1 + 250);
    assert_int_equal(flame.too_deep, 0);
    bsk_flame_free(&flame);
    bsk_profile_free(profile);
}

static void threads_and_processes_have_boxes_where_there_are_several(void **state)
{
    (void)state;
    static const struct {
        pid_t pids[3];
        uint32_t processes, threads;
    } cases[] = {
        { { 1, 0, 0 }, 0, 0 },
        { { 1, 1, 0 }, 0, 2 },
        { { 1, 2, 0 }, 2, 0 },
        { { 1, 2, 2 }, 2, 2 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_profile *profile = bsk_profile_new(0);
        uint32_t kinds[BSK_BOX_LEFT_OUT + 1] = { 0 };
        uint32_t f = bsk_profile_function(profile, "f", "/f.py", 1, BSK_FUNCTION_PYTHON);
        for (uint32_t t = 0; t < 3 && cases[i].pids[t]; t++) {
            const struct bsk_profile_frame frame = { f, 1 };
            uint32_t track =
                bsk_profile_track(profile, cases[i].pids[t], (pid_t)t + 1, "app.py", "t");
            bsk_profile_add(profile, bsk_profile_stack(profile, track, &frame, 1), 0, 10, 10, 1);
        }
        bsk_profile_track(profile, 9, 9, "sleeper", "never on the CPU");
        struct bsk_flame flame = flame_of(profile, &limits);
        for (uint32_t b = 0; b < flame.count; b++)
            kinds[flame.boxes[b].kind]++;
        assert_int_equal(kinds[BSK_BOX_PROCESS], cases[i].processes);
        assert_int_equal(kinds[BSK_BOX_THREAD], cases[i].threads);
        bsk_flame_free(&flame);
        bsk_profile_free(profile);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_hold_the_whole_profile),
        cmocka_unit_test(what_is_too_deep_still_has_its_own_time),
        cmocka_unit_test(threads_and_processes_have_boxes_where_there_are_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
