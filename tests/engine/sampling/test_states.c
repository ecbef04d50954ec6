/* What threads do beside standing somewhere: the GIL, waiting for it, sleep, rubbish. */
#include "engine/process/process.h"
#include "engine/sampling/sampler.h"
#include "tests/engine/fixtures/children.h"

#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SAMPLES = 1500, NAMES = 7 };

static const char *const names[NAMES] = {
    "spinner one", "spinner two", "digester", "sleeper", "collector \xf0\x9f\x90\x8d",
    "reader",      "poller"
};

struct seen {
    int samples, holds, runs_without, waits, idle, in_call, collects;
    int reads, others; /* by the call's name: read, another one */
};

static void count(struct seen *seen, const struct bsk_thread_sample *thread)
{
    seen->samples++;
    seen->holds += thread->holds_gil;
    seen->runs_without += thread->state == BSK_THREAD_RUNNING && !thread->holds_gil;
    seen->waits += thread->state == BSK_THREAD_GIL_WAIT;
    seen->idle += thread->state == BSK_THREAD_IDLE;
    seen->in_call += thread->state == BSK_THREAD_CALL;
    if (strcmp(bsk_call_name(thread->call), "read") == 0)
        seen->reads++;
    else
        seen->others += thread->call != BSK_CALL_UNKNOWN;
    seen->collects += thread->collects;
}

static void watch(const char *python)
{
    struct seen seen[NAMES] = { 0 };
    struct bsk_error err = { 0 };
    struct bsk_sampler *sampler = NULL;
    struct child child = start_fixture(python, "states.py", NULL);
    char line[64];
    read_line(&child, line, sizeof(line));
    print_message("  %s\n", python);
    assert_int_equal(bsk_sampler_open(child.pid, NULL, &sampler, &err), BSK_OK);
    for (int i = 0; i < SAMPLES; i++) {
        const struct bsk_sample *sample;
        int holders = 0;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 + i % 7 * 100000 }, NULL);
        assert_int_equal(bsk_sampler_take(sampler, &sample, &err), BSK_OK);
        for (size_t k = 0; k < sample->thread_count; k++) {
            holders += sample->threads[k].holds_gil;
            for (size_t n = 0; n < NAMES; n++)
                if (strcmp(sample->threads[k].name, names[n]) == 0)
                    count(&seen[n], &sample->threads[k]);
        }
        assert_true(holders <= 1 || bsk_sampler_info(sampler)->free_threaded);
    }
    for (size_t n = 0; n < NAMES; n++) {
        print_message("    %-12s of %d: gil %d, runs without %d, waits %d, idle %d, in a call %d, "
                      "collects %d\n",
                      names[n], seen[n].samples, seen[n].holds, seen[n].runs_without, seen[n].waits,
                      seen[n].idle, seen[n].in_call, seen[n].collects);
        assert_true(seen[n].samples > SAMPLES / 2); /* named soon after the start */
    }
    bool free_threaded = bsk_sampler_info(sampler)->free_threaded;
    for (size_t n = 0; n < 2; n++) {
        /* The collector stops all others nearly all the time; one of the two may never be met. */
        if (free_threaded) {
            assert_true(seen[n].holds + seen[n].runs_without + seen[1 - n].holds +
                            seen[1 - n].runs_without >
                        0);
            assert_int_equal(seen[n].waits, 0);
            continue;
        }
        assert_true(seen[n].holds > SAMPLES / 100);
        assert_true(seen[n].waits > SAMPLES / 20);
        assert_true(seen[n].idle < seen[n].waits);
    }
    assert_true(seen[2].runs_without > SAMPLES / 10);
    assert_true(seen[2].holds < SAMPLES / 10);
    assert_int_equal(seen[3].idle, seen[3].samples);
    assert_int_equal(seen[3].holds, 0);
    assert_true(seen[4].collects > SAMPLES / 20);
    /* Free-threaded: threads are not read at one instant, and which of them collects is told by the
     * others' standing still. */
    for (size_t n = 0; n < 4; n++)
        assert_true(seen[n].collects <= (free_threaded ? SAMPLES / 100 : 0));
    for (size_t n = 0; n < 4; n++)
        assert_int_equal(seen[n].in_call, 0);
    assert_int_equal(seen[3].others, seen[3].samples); /* it sleeps in a call that only waits */
    assert_int_equal(seen[5].in_call, seen[5].samples);
    assert_int_equal(seen[5].reads, seen[5].samples);
    assert_int_equal(seen[6].idle, seen[6].samples);
    assert_int_equal(seen[6].others, seen[6].samples);
    bsk_sampler_close(sampler);
    stop_child(&child);
}

static void each_thread_is_in_its_state(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++)
        watch(*python);
}

/* Who works without the GIL is not idle, whenever it has let go of it. */
static void works_without_the_gil(void **state)
{
    enum { TAKES = 2000 };
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        char line[64];
        struct bsk_error err = { 0 };
        struct bsk_sampler *sampler = NULL;
        struct seen seen = { 0 };
        struct child child = start_fixture(*python, "lets_go.py", NULL);
        read_line(&child, line, sizeof(line));
        assert_int_equal(bsk_sampler_open(child.pid, NULL, &sampler, &err), BSK_OK);
        for (int i = 0; i < TAKES; i++) {
            const struct bsk_sample *sample;
            nanosleep(&(struct timespec){ .tv_nsec = 100000 + i % 7 * 10000 }, NULL);
            assert_int_equal(bsk_sampler_take(sampler, &sample, &err), BSK_OK);
            for (size_t k = 0; k < sample->thread_count; k++)
                count(&seen, &sample->threads[k]);
        }
        print_message("  %s: of %d: gil %d, runs without %d, idle %d\n",
                      bsk_sampler_info(sampler)->version, seen.samples, seen.holds,
                      seen.runs_without, seen.idle);
        assert_true(seen.runs_without > 0);
        assert_true(seen.idle * 50 < seen.samples);
        bsk_sampler_close(sampler);
        stop_child(&child);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(works_without_the_gil),
                                        cmocka_unit_test(each_thread_is_in_its_state) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
