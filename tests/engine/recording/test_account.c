/* Sharing a thread's CPU time among its samples. */
#include "engine/recording/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MS = 1000000, PERIOD = 10 * MS };

struct fixture {
    struct bsk_profile *profile;
    uint32_t work, rest;
    struct bsk_account account;
    uint64_t now_ns;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){ .profile = bsk_profile_new(0), .now_ns = PERIOD };
    struct bsk_profile *profile = fixture.profile;
    uint32_t track = bsk_profile_track(profile, 1, 1, "app.py", "MainThread");
    struct bsk_profile_frame work = {
        bsk_profile_function(profile, "work", "/app.py", 1, BSK_FUNCTION_PYTHON), 2
    };
    struct bsk_profile_frame rest = {
        bsk_profile_function(profile, "rest", "/app.py", 9, BSK_FUNCTION_PYTHON), 10
    };
    fixture.work = bsk_profile_stack(profile, track, &work, 1);
    fixture.rest = bsk_profile_stack(profile, track, &rest, 1);
    bsk_account_rebase(&fixture.account, profile, 500 * MS, fixture.now_ns);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    bsk_account_free(&((struct fixture *)*state)->account);
    bsk_profile_free(((struct fixture *)*state)->profile);
    return 0;
}

static uint32_t look(struct fixture *fixture, uint64_t cpu_ns, uint32_t node)
{
    fixture->now_ns += PERIOD;
    const struct bsk_sight sight = { .now_ns = fixture->now_ns,
                                     .node = node,
                                     .runs = node != BSK_NO_NODE,
                                     .counted = true,
                                     .cpu_ns = cpu_ns };
    return bsk_account_look(&fixture->account, fixture->profile, &sight);
}

static uint64_t self_ns(const struct fixture *fixture, uint32_t node)
{
    return bsk_profile_node_at(fixture->profile, node)->self_ns;
}

static void finish(struct fixture *fixture)
{
    bsk_account_close(&fixture->account, fixture->profile, fixture->now_ns);
}

static void a_busy_thread_gets_exactly_what_it_used(void **state)
{
    struct fixture *fixture = *state;
    look(fixture, 508 * MS, fixture->work);
    look(fixture, 520 * MS, fixture->rest);
    finish(fixture);
    assert_int_equal(self_ns(fixture, fixture->work), 14 * MS); /* 8, and half of 12 */
    assert_int_equal(self_ns(fixture, fixture->rest), 6 * MS);
    assert_int_equal(bsk_profile_samples(fixture->profile), 2);
}

static void samples_wait_until_the_counter_moves_and_share(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(look(fixture, 500 * MS, fixture->work), 0);
    assert_int_equal(look(fixture, 500 * MS, fixture->work), 0);
    assert_int_equal(look(fixture, 500 * MS, fixture->rest), 0);
    assert_int_equal(look(fixture, 507 * MS, fixture->rest), 3); /* 2, 2, 2 and half a share */
    finish(fixture);
    assert_int_equal(self_ns(fixture, fixture->work), 4 * MS);
    assert_int_equal(self_ns(fixture, fixture->rest), 3 * MS);
}

/* The counter moves where the program asks for its CPU time, and at no other moment: no bias. */
static void where_the_counter_moves_does_not_matter(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t round = 0; round < 1000; round++) { /* 3 looks in work, 1 in rest; 10 ms each */
        uint64_t before = 500 * MS + round * 4 * PERIOD;
        look(fixture, before, fixture->work);
        look(fixture, before, fixture->work);
        look(fixture, before, fixture->work);
        look(fixture, before + 4 * PERIOD, fixture->rest);
    }
    finish(fixture);
    double share =
        (double)self_ns(fixture, fixture->rest) / (double)bsk_profile_cpu_ns(fixture->profile);
    assert_true(share > 0.24 && share < 0.26);
}

static void a_share_that_does_not_divide_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    look(fixture, 500 * MS, fixture->work);
    look(fixture, 500 * MS, fixture->work);
    look(fixture, 500 * MS + 101, fixture->rest);
    look(fixture, 500 * MS + 204, fixture->rest);
    finish(fixture);
    assert_int_equal(bsk_profile_cpu_ns(fixture->profile), 204);
}

static void waiting_for_a_cpu_weighs_nothing(void **state)
{
    struct fixture *fixture = *state;
    look(fixture, 500 * MS, fixture->work); /* ready, but not on a CPU */
    look(fixture, 500 * MS, BSK_NO_NODE);   /* and then it slept: the counter is exact */
    look(fixture, 510 * MS, fixture->rest);
    finish(fixture);
    assert_int_equal(self_ns(fixture, fixture->work), 0);
    assert_int_equal(self_ns(fixture, fixture->rest), 10 * MS);
    assert_int_equal(bsk_profile_samples(fixture->profile), 1);
}

static void what_no_sample_saw_is_carried_to_the_next_that_does(void **state)
{
    struct fixture *fixture = *state;
    look(fixture, 501 * MS, BSK_NO_NODE); /* a millisecond between two sleeps */
    look(fixture, 502 * MS, BSK_NO_NODE);
    look(fixture, 503 * MS, fixture->work);
    finish(fixture);
    assert_int_equal(self_ns(fixture, fixture->work), 3 * MS);
}

static void what_is_owed_at_the_end_goes_where_it_last_ran(void **state)
{
    struct fixture *fixture = *state;
    look(fixture, 504 * MS, fixture->work);
    look(fixture, 504 * MS, BSK_NO_NODE);
    look(fixture, 506 * MS, BSK_NO_NODE);
    finish(fixture);
    assert_int_equal(self_ns(fixture, fixture->work), 6 * MS);
}

static void a_thread_that_never_was_seen_to_run_pays_where_it_sleeps(void **state)
{
    struct fixture *fixture = *state;
    fixture->now_ns += PERIOD;
    const struct bsk_sight sleeps = {
        .now_ns = fixture->now_ns, .node = fixture->rest, .counted = true, .cpu_ns = 501 * MS
    };
    bsk_account_look(&fixture->account, fixture->profile, &sleeps);
    finish(fixture);
    assert_int_equal(self_ns(fixture, fixture->rest), MS);
}

static void a_hold_is_nobodys_time(void **state)
{
    struct fixture *fixture = *state;
    look(fixture, 504 * MS, fixture->work);
    fixture->now_ns += 50 * PERIOD;
    bsk_account_rebase(&fixture->account, fixture->profile, 900 * MS, fixture->now_ns);
    look(fixture, 905 * MS, fixture->work);
    finish(fixture);
    assert_int_equal(bsk_profile_cpu_ns(fixture->profile), 9 * MS);
}

static void more_samples_than_a_tick_holds_lose_no_time(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 3 * BSK_ACCOUNT_PENDING_MAX; i++)
        look(fixture, 500 * MS, i % 2 ? fixture->work : fixture->rest);
    look(fixture, 540 * MS, fixture->work);
    finish(fixture);
    assert_int_equal(bsk_profile_cpu_ns(fixture->profile), 40 * MS);
}

/* At high rates the counter is looked at with one sample in many. */
static void samples_without_a_look_share_alike(void **state)
{
    struct fixture *fixture = *state;
    struct bsk_sight sight = { .runs = true };
    for (int i = 1; i <= 1000; i++) {
        sight.now_ns = fixture->now_ns += PERIOD;
        sight.node = i % 10 < 7 ? fixture->work : fixture->rest;
        sight.gil = i % 10 < 7;
        sight.counted = i % 100 == 0;
        sight.cpu_ns = 500 * MS + (uint64_t)i * MS;
        bsk_account_look(&fixture->account, fixture->profile, &sight);
    }
    finish(fixture);
    assert_int_equal(bsk_profile_cpu_ns(fixture->profile), 1000 * MS);
    assert_in_range(self_ns(fixture, fixture->work), 699 * MS, 701 * MS);
    const struct bsk_node *work = bsk_profile_node_at(fixture->profile, fixture->work);
    const struct bsk_node *rest = bsk_profile_node_at(fixture->profile, fixture->rest);
    assert_int_equal(work->gil_ns, work->self_ns);
    assert_int_equal(rest->gil_ns, 0);
    assert_int_equal(bsk_profile_samples(fixture->profile), 1000);
}

static void the_gils_clock_leaves_out_what_runs_without_it(void **state)
{
    struct fixture *fixture = *state;
    fixture->account.clock = BSK_CLOCK_GIL;
    struct bsk_sight sight = { .runs = true, .counted = true };
    for (int i = 1; i <= 100; i++) {
        sight.now_ns = fixture->now_ns += PERIOD;
        sight.gil = i % 4 != 0;
        sight.node = sight.gil ? fixture->work : fixture->rest;
        sight.cpu_ns = 500 * MS + (uint64_t)i * MS;
        bsk_account_look(&fixture->account, fixture->profile, &sight);
    }
    finish(fixture);
    assert_in_range(bsk_profile_cpu_ns(fixture->profile), 74 * MS, 76 * MS);
    assert_int_equal(self_ns(fixture, fixture->rest), 0);
}

static void the_walls_clock_weighs_sleep(void **state)
{
    struct fixture *fixture = *state;
    fixture->account.clock = BSK_CLOCK_WALL;
    struct bsk_sight sight = { .node = fixture->rest, .counted = true, .cpu_ns = 500 * MS };
    sight.now_ns = fixture->now_ns += PERIOD;
    bsk_account_look(&fixture->account, fixture->profile, &sight);
    sight.node = BSK_NO_NODE; /* asleep, not read again */
    sight.now_ns = fixture->now_ns += 3 * PERIOD;
    bsk_account_look(&fixture->account, fixture->profile, &sight);
    finish(fixture);
    assert_int_equal(self_ns(fixture, fixture->rest), 4 * PERIOD);
    assert_int_equal(bsk_profile_node_at(fixture->profile, fixture->rest)->idle_ns, 4 * PERIOD);
}

static void sleep_is_told_by_its_kind(void **state)
{
    struct fixture *fixture = *state;
    for (int clock = BSK_CLOCK_CPU; clock <= BSK_CLOCK_WALL; clock++) {
        const struct bsk_node *node = bsk_profile_node_at(fixture->profile, fixture->rest);
        const uint64_t wait_ns = node->wait_ns, idle_ns = node->idle_ns, call_ns = node->call_ns;
        fixture->account.clock = (enum bsk_clock)clock;
        struct bsk_sight sight = { .node = fixture->rest, .counted = true, .cpu_ns = 500 * MS };
        sight.now_ns = fixture->now_ns += PERIOD; /* from here on it is known where it sleeps */
        bsk_account_look(&fixture->account, fixture->profile, &sight);
        sight.in_call = true;
        sight.now_ns = fixture->now_ns += 2 * PERIOD;
        bsk_account_look(&fixture->account, fixture->profile, &sight);
        sight.in_call = false;
        sight.gil_wait = true;
        sight.now_ns = fixture->now_ns += 3 * PERIOD;
        bsk_account_look(&fixture->account, fixture->profile, &sight);
        node = bsk_profile_node_at(fixture->profile, fixture->rest);
        assert_int_equal(node->idle_ns - idle_ns, PERIOD);
        assert_int_equal(node->call_ns - call_ns, 2 * PERIOD);
        assert_int_equal(node->wait_ns - wait_ns, 3 * PERIOD);
    }
    finish(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples_without_a_look_share_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(the_gils_clock_leaves_out_what_runs_without_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_walls_clock_weighs_sleep, setup, teardown),
        cmocka_unit_test_setup_teardown(sleep_is_told_by_its_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_busy_thread_gets_exactly_what_it_used, setup, teardown),
        cmocka_unit_test_setup_teardown(samples_wait_until_the_counter_moves_and_share, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(where_the_counter_moves_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(a_share_that_does_not_divide_loses_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(waiting_for_a_cpu_weighs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_no_sample_saw_is_carried_to_the_next_that_does, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_owed_at_the_end_goes_where_it_last_ran, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_thread_that_never_was_seen_to_run_pays_where_it_sleeps,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_hold_is_nobodys_time, setup, teardown),
        cmocka_unit_test_setup_teardown(more_samples_than_a_tick_holds_lose_no_time, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
