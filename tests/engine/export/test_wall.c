#include "engine/export/tree.h"
#include "engine/export/wall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000000 };

struct walked {
    uint64_t by_node[64], idle_us, end_us;
};

static void collect(uint32_t node, uint64_t start_us, uint64_t end_us, void *user)
{
    struct walked *walked = user;
    assert_int_equal(start_us, walked->end_us); /* no gap, no overlap */
    assert_true(end_us >= start_us);
    walked->end_us = end_us;
    if (node == BSK_NO_NODE)
        walked->idle_us += end_us - start_us;
    else
        walked->by_node[node % 64] += end_us - start_us;
}

static uint32_t leaf(struct bsk_profile *profile, uint32_t track, const char *name)
{
    const struct bsk_profile_frame frame = {
        bsk_profile_function(profile, name, "/a.py", 1, BSK_FUNCTION_PYTHON), 1
    };
    return bsk_profile_stack(profile, track, &frame, 1);
}

static void wall_time_is_shared_by_the_cpu_used(void **state)
{
    (void)state;
    const struct {
        const char *why;
        uint64_t start_ms, wall_ms, cpu_ms; /* of the second thread; the first runs 0..30 */
        uint64_t first_us, second_us, idle_us;
    } cases[] = {
        { "one after the other", 30, 10, 10, 30000, 10000, 0 },
        { "a pause between", 50, 10, 10, 30000, 10000, 20000 },
        { "at once, both on a CPU", 0, 30, 30, 15000, 15000, 0 },
        { "at once, the second half as much", 0, 30, 15, 20000, 10000, 0 },
        { "partly at once", 20, 20, 20, 25000, 15000, 0 },
        { "inside the first", 10, 10, 10, 25000, 5000, 0 },
        { "no CPU at all weighs nothing beside one", 0, 30, 0, 30000, 0, 0 },
        { "alone it has its time whatever it used", 30, 10, 1, 30000, 10000, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_profile *p = bsk_profile_new(0);
        uint32_t a = leaf(p, bsk_profile_track(p, 1, 1, "p", "a"), "a");
        uint32_t b = leaf(p, bsk_profile_track(p, 1, 2, "p", "b"), "b");
        struct walked walked = { 0 };
        print_message("  %s\n", cases[i].why);
        bsk_profile_add(p, a, 0, 30 * MS, 30 * MS, 1);
        bsk_profile_add(p, b, cases[i].start_ms * MS, cases[i].wall_ms * MS, cases[i].cpu_ms * MS,
                        1);
        assert_true(bsk_wall_walk(p, collect, &walked));
        assert_in_range(walked.by_node[a] + 1, cases[i].first_us, cases[i].first_us + 2);
        assert_in_range(walked.by_node[b] + 1, cases[i].second_us, cases[i].second_us + 2);
        assert_int_equal(walked.idle_us, cases[i].idle_us);
        assert_int_equal(walked.end_us, bsk_wall_us(p));
        bsk_profile_free(p);
    }
}

static void any_timeline_adds_up_to_its_wall_time(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 30; round++) {
        struct bsk_profile *p = bsk_profile_new(round % 2 ? 100 : 0);
        uint32_t seed = round, leaves[8];
        uint64_t at[8] = { 0 }, end = 0;
        for (uint32_t t = 0; t < 8; t++)
            leaves[t] = leaf(p, bsk_profile_track(p, 1, (pid_t)t, "p", "t"), "f");
        for (uint32_t i = 0; i < 2000; i++) {
            seed = seed * 1664525 + 1013904223;
            uint32_t t = seed >> 29, wall = 1 + (seed >> 4) % (20 * MS);
            at[t] += seed % 3 ? 0 : seed % (30 * MS);
            bsk_profile_add(p, leaves[t], at[t], wall, wall / (1 + i % 4), 1);
            at[t] += wall;
            end = at[t] > end ? at[t] : end;
        }
        bsk_profile_meta(p)->duration_ns = end + 5 * MS;
        struct walked walked = { 0 };
        assert_true(bsk_wall_walk(p, collect, &walked));
        assert_int_equal(walked.end_us, (end + 5 * MS) / 1000);
        bsk_profile_free(p);
    }
}

static void a_pruned_tree_keeps_every_hit(void **state)
{
    (void)state;
    struct bsk_profile *p = bsk_profile_new(0);
    uint32_t functions[50], seed = 3;
    for (uint32_t i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%u", i);
        functions[i] = bsk_profile_function(p, name, "/a.py", i + 1, BSK_FUNCTION_PYTHON);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        struct bsk_profile_frame frames[8];
        for (uint32_t d = 0; d < 8; d++) {
            seed = seed * 1664525 + 1013904223;
            frames[d] =
                (struct bsk_profile_frame){ functions[(seed >> 16) % 50], 1 + (seed >> 30) };
        }
        uint32_t track = bsk_profile_track(p, 1, (pid_t)(i % 3), "p", "t");
        bsk_profile_add(p, bsk_profile_stack(p, track, frames, 1 + i % 8), 0, 0, 1000, 1);
    }
    static const uint32_t ceilings[] = { 1000000, 5000, 1000, 200, 10, 1 };
    for (size_t c = 0; c < sizeof(ceilings) / sizeof(ceilings[0]); c++) {
        struct bsk_tree tree;
        uint64_t hits = 0, ticks = 0;
        assert_true(bsk_tree_make(p, ceilings[c], &tree));
        print_message("  at most %u: %u nodes, %u taken out\n", ceilings[c], tree.count,
                      tree.pruned);
        assert_true(tree.count <= ceilings[c] + 3 + 60); /* a few for what was taken out */
        for (uint32_t i = 0; i < tree.count; i++) {
            hits += tree.nodes[i].hits;
            assert_true(i == 0 || tree.nodes[i].parent < i);
            for (uint32_t t = 0; t < tree.nodes[i].tick_count; t++)
                ticks += tree.ticks[tree.nodes[i].first_tick + t].samples;
        }
        assert_int_equal(hits, 20000);
        assert_int_equal(ticks, 20000);
        bsk_tree_free(&tree);
    }
    bsk_profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wall_time_is_shared_by_the_cpu_used),
        cmocka_unit_test(any_timeline_adds_up_to_its_wall_time),
        cmocka_unit_test(a_pruned_tree_keeps_every_hit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
