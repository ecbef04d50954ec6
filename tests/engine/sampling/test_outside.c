/* What lies outside of the data stack, at a rate at which hardly any sample meets it standing
 * still: who is told to call is who calls. How much is known soon depends on how often the machine
 * holds the program up, so it is printed. */
#include "engine/sampling/sampler.h"
#include "tests/engine/fixtures/children.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct counts {
    int called, known, wrong;
};

static const char *name_of(const struct bsk_thread_sample *thread, size_t frame)
{
    return frame < thread->depth ? thread->frames[frame].code->name : "";
}

static void count_stack(const struct bsk_thread_sample *thread, struct counts *counts)
{
    for (size_t i = 0; i < thread->depth; i++) {
        const char *below = name_of(thread, i + 1);
        /* 3.12's entry frames are nobody's */
        counts->wrong += strcmp(name_of(thread, i), "<interpreter trampoline>") == 0;
        if (strcmp(name_of(thread, i), "pick") != 0)
            continue;
        counts->called++;
        if (strcmp(below, "<genexpr>") == 0)
            counts->known += strcmp(name_of(thread, i + 2), "word") == 0;
        else
            counts->wrong += strcmp(below, "(unread)") != 0;
    }
}

static int minor_of(const char *version)
{
    int minor = 0;
    return sscanf(version, "3.%d", &minor) == 1 ? minor : 0;
}

typedef void count_fn(const struct bsk_thread_sample *thread, struct counts *counts);

enum { LEARNING = 1000, SAMPLES = 2500 };

/* What the stacks of a fixture are at 1 kHz, once there was time to learn. False before 3.11: there
 * is no data stack, and nothing outside of it. */
static bool look_at(const char *python, const char *fixture, const char *argument, count_fn *count,
                    struct counts *out)
{
    const struct timespec period = { .tv_nsec = 1000000 };
    char line[64];
    struct bsk_error err = { 0 };
    struct bsk_sampler *sampler = NULL;
    struct child child = start_fixture(python, fixture, argument);
    *out = (struct counts){ 0 };
    read_line(&child, line, sizeof(line));
    assert_int_equal(
        bsk_sampler_open(child.pid, &(struct bsk_sampler_options){ 0 }, &sampler, &err), BSK_OK);
    bool chunks = minor_of(bsk_sampler_info(sampler)->version) >= 11;
    for (int i = 0; i < SAMPLES && chunks; i++) {
        const struct bsk_sample *sample;
        nanosleep(&period, NULL);
        assert_int_equal(bsk_sampler_take(sampler, &sample, &err), BSK_OK);
        for (size_t t = 0; t < sample->thread_count && i >= LEARNING; t++)
            count(&sample->threads[t], out);
    }
    print_message("  %s: %d of %d are known, %d wrong\n", bsk_sampler_info(sampler)->version,
                  out->known, out->called, out->wrong);
    bsk_sampler_close(sampler);
    stop_child(&child);
    return chunks;
}

static void who_calls_is_told_at_a_usual_rate(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        struct counts counts;
        if (!look_at(*python, "joined.py", NULL, count_stack, &counts))
            continue;
        assert_int_equal(counts.wrong, 0);
        assert_true(counts.called > 0);
    }
}

static void count_unread(const struct bsk_thread_sample *thread, struct counts *counts)
{
    bool known = thread->depth > 0;
    for (size_t i = 0; i < thread->depth; i++)
        known = known && strcmp(name_of(thread, i), "(unread)") != 0;
    counts->called += thread->depth > 0;
    counts->known += known;
}

/* Nearly all of a plain loop was lost on 3.15, and of what a closed generator runs on each. */
static void loops_are_not_lost(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        struct counts resumed, closed;
        if (!look_at(*python, "loops.py", "resumed", count_unread, &resumed) ||
            !look_at(*python, "loops.py", "closed", count_unread, &closed))
            continue;
        assert_true(resumed.called > 0 && 2 * resumed.known > resumed.called);
        assert_true(closed.called > 0 && 2 * closed.known > closed.called);
    }
}

static void count_lines(const struct bsk_thread_sample *thread, struct counts *counts)
{
    /* loops.py: who calls whom, and on which line. */
    static const struct {
        const char *caller, *callee;
        uint32_t line;
    } calls[] = { { "same", "first", 42 },    { "same", "second", 43 },
                  { "of_star", "third", 65 }, { "of_star", "fourth", 66 },
                  { "of_key", "third", 74 },  { "of_key", "fourth", 75 } };
    for (size_t i = 0; i + 1 < thread->depth; i++)
        for (size_t k = 0; k < sizeof(calls) / sizeof(calls[0]); k++) {
            if (strcmp(name_of(thread, i), calls[k].callee) != 0 ||
                strcmp(name_of(thread, i + 1), calls[k].caller) != 0)
                continue;
            bool right = thread->frames[i + 1].line == calls[k].line;
            counts->called++;
            counts->known += right;
            counts->wrong += !right;
        }
}

/* Frames of which nothing changes, or changes back, look as if they stood still, one time round or
 * ten later. Up to 28 % of all samples had their calls on each other's lines. */
static void calls_stand_on_their_lines(void **state)
{
    (void)state;
    static const char *const loops[] = { "unchanged", "by_star", "by_key" };
    for (const char *const *python = all_pythons(); *python; python++)
        for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
            struct counts counts;
            if (look_at(*python, "loops.py", loops[i], count_lines, &counts))
                assert_int_equal(counts.wrong, 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_calls_is_told_at_a_usual_rate),
        cmocka_unit_test(loops_are_not_lost),
        cmocka_unit_test(calls_stand_on_their_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
