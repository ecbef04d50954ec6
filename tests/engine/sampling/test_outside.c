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

static void who_calls_is_told_at_a_usual_rate(void **state)
{
    enum { LEARNING = 1000, SAMPLES = 2500 };
    const struct timespec period = { .tv_nsec = 1000000 };
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        char line[64];
        struct bsk_error err = { 0 };
        struct bsk_sampler *sampler = NULL;
        struct counts counts = { 0 };
        struct child child = start_fixture(*python, "joined.py", NULL);
        read_line(&child, line, sizeof(line));
        assert_int_equal(
            bsk_sampler_open(child.pid, &(struct bsk_sampler_options){ 0 }, &sampler, &err),
            BSK_OK);
        /* Before 3.11 there is no data stack, and nothing outside of it. */
        bool chunks = minor_of(bsk_sampler_info(sampler)->version) >= 11;
        for (int i = 0; i < SAMPLES && chunks; i++) {
            const struct bsk_sample *sample;
            nanosleep(&period, NULL);
            assert_int_equal(bsk_sampler_take(sampler, &sample, &err), BSK_OK);
            for (size_t t = 0; t < sample->thread_count && i >= LEARNING; t++)
                count_stack(&sample->threads[t], &counts);
        }
        print_message("  %s: %d of %d calls by the generator are known, %d wrong\n",
                      bsk_sampler_info(sampler)->version, counts.known, counts.called,
                      counts.wrong);
        assert_int_equal(counts.wrong, 0);
        assert_true(!chunks || counts.called > 0);
        bsk_sampler_close(sampler);
        stop_child(&child);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(who_calls_is_told_at_a_usual_rate) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
