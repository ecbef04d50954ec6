/* Code objects that live for microseconds, at addresses that are used again and again. */
#include "engine/sampling/sampler.h"
#include "tests/engine/fixtures/children.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The target shares its CPU, so that it is held up now and then while it runs what lives for
 * microseconds: of one that runs on hardly any is seen. */
static struct child run_beside(pid_t target)
{
    static const char *const spin[] = { "sh", "-c", "while :; do :; done", NULL };
    struct child spinner = start_child(spin);
    cpu_set_t first, second;
    CPU_ZERO(&first);
    CPU_ZERO(&second);
    CPU_SET(0, &first);
    CPU_SET(1, &second);
    if (sched_setaffinity(target, sizeof(first), &first) == 0 &&
        sched_setaffinity(spinner.pid, sizeof(first), &first) == 0)
        (void)sched_setaffinity(0, sizeof(second), &second);
    return spinner;
}

/* The number of the function that lives in the target, in memory that both have. */
static _Atomic uint64_t *share_number(void)
{
    char number[16];
    int fd = memfd_create("short-lived", 0); /* it is for the target */
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(uint64_t)), 0);
    void *memory = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    snprintf(number, sizeof(number), "%d", fd);
    setenv("SHORT_LIVED_FD", number, 1);
    return memory;
}

struct counts {
    int stacks, torn, named, reused, untold, wrong;
    long first, last; /* that may have lived during this sample */
};

static void count_stack(const struct bsk_thread_sample *thread, struct counts *counts)
{
    counts->untold += thread->unread || thread->filled;
    for (size_t f = 0; f < thread->depth; f++) {
        const char *name = thread->frames[f].code->name;
        int parent, caller;
        long number;
        counts->reused += strcmp(name, "(reused code)") == 0;
        if (sscanf(name, "made_%d_%ld", &parent, &number) != 2)
            continue;
        counts->named++;
        bool right = number >= counts->first && number <= counts->last && f + 1 < thread->depth &&
                     sscanf(thread->frames[f + 1].code->name, "parent_%d", &caller) == 1 &&
                     caller == parent;
        /* what it calls: leaf, or nothing yet */
        if (f > 0 && strcmp(thread->frames[f - 1].code->name, "leaf") != 0)
            right = false;
        if (!right && counts->wrong++ < 3) {
            print_message("      between %ld and %ld:\n", counts->first, counts->last);
            for (size_t k = 0; k < thread->depth; k++)
                print_message("      %s:%u\n", thread->frames[k].code->name,
                              thread->frames[k].line);
        }
    }
}

static void never_takes_one_for_another(void **state)
{
    (void)state;
    static const char *const hows[] = { "exec", "lambda", "replace" };
    int wrong = 0;
    _Atomic uint64_t *lives = share_number();
    for (const char *const *python = all_pythons(); *python; python++) {
        for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
            char line[64];
            struct bsk_error err = { 0 };
            struct bsk_sampler *sampler = NULL;
            struct counts counts = { 0 };
            struct child child = start_fixture(*python, "short_lived.py", hows[i]);
            read_line(&child, line, sizeof(line));
            struct child spinner = run_beside(child.pid);
            assert_int_equal(
                bsk_sampler_open(child.pid, &(struct bsk_sampler_options){ 0 }, &sampler, &err),
                BSK_OK);
            struct pollfd many = { .fd = fileno(child.output), .events = POLLIN };
            while (poll(&many, 1, 0) == 0) {
                const struct bsk_sample *sample;
                counts.first = (long)atomic_load(lives);
                int rc = bsk_sampler_take(sampler, &sample, &err);
                counts.last = (long)atomic_load(lives);
                assert_string_equal(err.message, "");
                assert_int_equal(rc, BSK_OK);
                for (size_t t = 0; t < sample->thread_count; t++) {
                    counts.torn += sample->threads[t].torn;
                    counts.stacks += sample->threads[t].has_stack;
                    if (sample->threads[t].has_stack)
                        count_stack(&sample->threads[t], &counts);
                }
            }
            print_message("  %s %s: %d stacks, %d torn, %d named, %d reused, %d untold, %d wrong\n",
                          bsk_sampler_info(sampler)->version, hows[i], counts.stacks, counts.torn,
                          counts.named, counts.reused, counts.untold, counts.wrong);
            wrong += counts.wrong;
            assert_true(counts.named + counts.reused + counts.untold + counts.torn > 0);
            bsk_sampler_close(sampler);
            stop_child(&spinner);
            stop_child(&child);
        }
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(never_takes_one_for_another) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
