/* A recording by clock ticks: chosen by itself where the kernel lets us, adds up to the CPU time
 * that was used, knows holds and children. Skipped with the reason where the kernel does not. */
#include "engine/recording/recording.h"
#include "engine/sampling/ticks.h"
#include "tests/engine/fixtures/children.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct child program;
static int bell;

static uint64_t cpu_ns_of(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &used), 0);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void ring(void *user)
{
    const uint64_t one = 1;
    if (write(*(int *)user, &one, sizeof(one)) != sizeof(one))
        abort();
}

static struct bsk_recording *start(bool no_ticks)
{
    struct bsk_recording *recording = NULL;
    struct bsk_error err = { 0 };
    const struct bsk_recording_options options = {
        .rate_hz = 200, .no_ticks = no_ticks, .totals_ms = 50, .bell = ring, .user = &bell
    };
    (void)bsk_recording_start(program.pid, &options, &recording, &err);
    assert_string_equal(err.message, "");
    return recording;
}

static void wait_for_samples(struct bsk_recording *recording, uint64_t samples)
{
    struct bsk_recording_status status = { 0 };
    uint64_t count;
    while (status.samples < samples) {
        assert_int_equal(read(bell, &count, sizeof(count)), sizeof(count));
        bsk_recording_status(recording, &status);
    }
}

static struct bsk_profile *stop(struct bsk_recording *recording)
{
    struct bsk_recording_status status = { 0 };
    uint64_t count;
    bsk_recording_stop(recording, "stopped");
    while (!status.ended) {
        assert_int_equal(read(bell, &count, sizeof(count)), sizeof(count));
        bsk_recording_status(recording, &status);
    }
    struct bsk_profile *profile = bsk_recording_take_profile(recording);
    bsk_recording_free(recording);
    return profile;
}

static void it_is_chosen_by_itself_unless_forbidden(void **state)
{
    (void)state;
    for (int forbidden = 0; forbidden < 2; forbidden++) {
        struct bsk_recording *recording = start(forbidden);
        wait_for_samples(recording, 20);
        struct bsk_profile *profile = stop(recording);
        const struct bsk_profile_meta *meta = bsk_profile_meta_const(profile);
        assert_int_equal(meta->method, forbidden ? BSK_METHOD_READ : BSK_METHOD_TICK);
        if (!forbidden) {
            assert_int_equal(meta->torn, 0);
            assert_int_equal(meta->errors, 0);
            assert_int_equal(meta->missed, 0);
        }
        bsk_profile_free(profile);
    }
}

static void it_adds_up_to_the_time_that_was_used(void **state)
{
    (void)state;
    struct bsk_recording *recording = start(false);
    wait_for_samples(recording, 1); /* it runs */
    uint64_t before_ns = cpu_ns_of(program.pid);
    struct bsk_recording_status early, late;
    bsk_recording_status(recording, &early);
    wait_for_samples(recording, early.samples + 400);
    uint64_t used_ns = cpu_ns_of(program.pid) - before_ns;
    bsk_recording_status(recording, &late);
    struct bsk_profile *profile = stop(recording);
    double share = (double)(late.cpu_ns - early.cpu_ns) / (double)used_ns;
    print_message("  %.3f s of %.3f s\n", (double)(late.cpu_ns - early.cpu_ns) / 1e9,
                  (double)used_ns / 1e9);
    assert_true(share > 0.75 && share < 1.25); /* read every 50 ms, of some 2,000 */
    bsk_profile_free(profile);
}

static void while_held_nothing_is_counted(void **state)
{
    (void)state;
    struct bsk_recording *recording = start(false);
    struct bsk_recording_status held, later;
    uint64_t count;
    wait_for_samples(recording, 20);
    bsk_recording_hold(recording, program.pid, true);
    do { /* until totals have come after the hold was obeyed */
        bsk_recording_status(recording, &held);
        for (int i = 0; i < 2; i++)
            assert_int_equal(read(bell, &count, sizeof(count)), sizeof(count));
        bsk_recording_status(recording, &later);
    } while (later.samples != held.samples);
    for (int i = 0; i < 3; i++)
        assert_int_equal(read(bell, &count, sizeof(count)), sizeof(count));
    uint64_t used_ns = cpu_ns_of(program.pid);
    bsk_recording_status(recording, &later);
    assert_int_equal(later.samples, held.samples);
    assert_int_equal(later.cpu_ns, held.cpu_ns);
    bsk_recording_hold(recording, program.pid, false);
    wait_for_samples(recording, held.samples + 20);
    struct bsk_profile *profile = stop(recording);
    used_ns = cpu_ns_of(program.pid) - used_ns;
    print_message("  %.3f s when held, %.3f s more of %.3f s\n", (double)held.cpu_ns / 1e9,
                  (double)(bsk_profile_cpu_ns(profile) - held.cpu_ns) / 1e9, (double)used_ns / 1e9);
    assert_true(bsk_profile_cpu_ns(profile) > held.cpu_ns);
    assert_true(bsk_profile_cpu_ns(profile) - held.cpu_ns < used_ns + 100000000);
    bsk_profile_free(profile);
}

static int begin(void **state)
{
    (void)state;
    char line[64];
    struct bsk_error err = { 0 };
    struct bsk_sampler *sampler = NULL;
    struct bsk_sampler_ticks *ticks = NULL;
    program = start_fixture(all_pythons()[0], "brief.py", NULL);
    read_line(&program, line, sizeof(line));
    bell = eventfd(0, EFD_CLOEXEC);
    int rc = bsk_sampler_open(program.pid, NULL, &sampler, &err);
    if (rc == BSK_OK)
        rc = bsk_sampler_ticks_start(sampler, 100, &ticks, &err);
    bsk_sampler_ticks_stop(ticks);
    bsk_sampler_close(sampler);
    if (rc != BSK_E_PERMISSION && rc != BSK_E_UNSUPPORTED)
        return 0;
    printf("SKIPPED: %s\n", err.message);
    stop_child(&program);
    exit(0);
}

static int end(void **state)
{
    (void)state;
    stop_child(&program);
    close(bell);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_chosen_by_itself_unless_forbidden),
        cmocka_unit_test(it_adds_up_to_the_time_that_was_used),
        cmocka_unit_test(while_held_nothing_is_counted),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
