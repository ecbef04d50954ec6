/*
 * The truth to hold other ways of sampling against: samples a process by its threads' clock ticks
 * and prints each stack with the number of its ticks, "outer;inner 123", innermost last.
 *
 *     tick_truth PID [-d SECONDS] [-r HZ] [-l] [-t] [-n]
 *
 * -l: with lines; -t: one root per thread; -n: threads that live shortly too
 *
 * On stderr at the end: ticks, lost, torn, reused, cut, and what it cost. Needs root.
 */
#include "engine/process/process.h"
#include "engine/python/ticks.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct stack {
    char *text;
    uint64_t ticks;
} * stacks;
static size_t stack_slots = 1024, stack_count;
static uint64_t torn, cut, with_gil, collecting;
static bool with_lines, with_threads;
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    stop = signal;
}

static size_t slot_of(const char *text)
{
    uint64_t hash = 5381;
    for (const char *c = text; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    size_t at = (size_t)hash & (stack_slots - 1);
    while (stacks[at].text && strcmp(stacks[at].text, text) != 0)
        at = (at + 1) & (stack_slots - 1);
    return at;
}

static void grow(void)
{
    struct stack *old = stacks;
    size_t slots = stack_slots;
    stack_slots *= 2;
    stacks = calloc(stack_slots, sizeof(*stacks));
    if (!stacks)
        abort();
    for (size_t i = 0; i < slots; i++)
        if (old[i].text)
            stacks[slot_of(old[i].text)] = old[i];
    free(old);
}

static void on_tick(const struct bsk_python_tick *tick, void *user)
{
    (void)user;
    static char text[1 << 20];
    size_t at = 0;
    torn += tick->torn;
    cut += tick->truncated;
    if (!tick->has_stack)
        return;
    with_gil += tick->holds_gil;
    collecting += tick->collects;
    text[0] = '\0';
    if (with_threads)
        at += (size_t)snprintf(text, sizeof(text), "thread %d%s", (int)tick->tid,
                               tick->depth ? ";" : "");
    if (tick->depth == 0)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "(no Python frame)");
    for (size_t i = tick->depth; i-- > 0 && at + 2048 < sizeof(text);) {
        const struct bsk_frame *frame = &tick->frames[i];
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", frame->code->qualname);
        if (with_lines)
            at += (size_t)snprintf(text + at, sizeof(text) - at, ":%u", frame->line);
        if (i > 0)
            text[at++] = ';';
        text[at] = '\0';
    }
    struct stack *stack = &stacks[slot_of(text)];
    if (!stack->text) {
        stack->text = strdup(text);
        stack_count++;
    }
    stack->ticks++;
    if (2 * stack_count > stack_slots)
        grow();
}

static int by_ticks(const void *left, const void *right)
{
    const struct stack *a = left, *b = right;
    return (a->ticks < b->ticks) - (a->ticks > b->ticks);
}

int main(int argc, char **argv)
{
    double seconds = 0;
    uint32_t rate_hz = 1000;
    int option;
    bool catch_new = false;
    while ((option = getopt(argc, argv, "d:r:ltn")) != -1) {
        if (option == 'd')
            seconds = strtod(optarg, NULL);
        else if (option == 'r')
            rate_hz = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'l')
            with_lines = true;
        else if (option == 't')
            with_threads = true;
        else if (option == 'n')
            catch_new = true;
        else
            return 2;
    }
    if (optind >= argc)
        return 2;
    pid_t pid = (pid_t)strtol(argv[optind], NULL, 10);
    struct bsk_error err = { 0 };
    struct bsk_process *process = NULL;
    struct bsk_python *python = NULL;
    struct bsk_python_ticks *ticks = NULL;
    struct bsk_threads threads = { 0 };
    stacks = calloc(stack_slots, sizeof(*stacks));
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    int rc = stacks ? bsk_process_open(pid, &process, &err) : BSK_E_MEMORY;
    if (rc == BSK_OK)
        rc = bsk_python_open(process, &python, &err);
    if (rc == BSK_OK)
        rc = bsk_python_ticks_open(python, &threads, rate_hz, &ticks, &err);
    if (rc == BSK_OK && catch_new)
        rc = bsk_python_ticks_catch_new(ticks, true, &err);
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (uint32_t round = 0; rc == BSK_OK && !stop; round++) {
        if (round % 4 == 0 && bsk_python_refresh(python, &threads, NULL) != BSK_OK)
            break; /* it has ended */
        if (round % 4 == 0)
            rc = bsk_python_ticks_follow(ticks, &threads, &err);
        nanosleep(&(struct timespec){ .tv_nsec = 25000000 }, NULL);
        bsk_python_ticks_read(ticks, on_tick, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (bsk_process_same(process, bsk_python_anchor(python), NULL) != BSK_OK ||
            (seconds > 0 &&
             (double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9 >=
                 seconds))
            break;
    }
    if (rc == BSK_OK) {
        struct bsk_python_tick_counts counts;
        struct rusage used;
        bsk_python_ticks_counts(ticks, &counts);
        qsort(stacks, stack_slots, sizeof(*stacks), by_ticks);
        for (size_t i = 0; i < stack_slots && stacks[i].text; i++)
            printf("%s %llu\n", stacks[i].text, (unsigned long long)stacks[i].ticks);
        getrusage(RUSAGE_SELF, &used);
        double cpu_us = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
                        (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
        fprintf(
            stderr,
            "ticks: %llu  with GIL: %llu  collecting: %llu  lost: %llu  torn: %llu  reused: %llu  "
            "cut: %llu  unknown: %llu  "
            "CPU: %.1f us a tick  resident: %ld KiB\n",
            (unsigned long long)counts.kernel.ticks, (unsigned long long)with_gil,
            (unsigned long long)collecting, (unsigned long long)counts.kernel.lost,
            (unsigned long long)torn, (unsigned long long)counts.reused, (unsigned long long)cut,
            (unsigned long long)counts.kernel.unknown,
            counts.kernel.ticks ? cpu_us / (double)counts.kernel.ticks : 0.0, used.ru_maxrss);
    } else {
        fprintf(stderr, "%s\n%s\n", err.message, err.hint);
    }
    bsk_python_ticks_close(ticks);
    bsk_python_close(python);
    bsk_threads_free(&threads);
    bsk_process_close(process);
    for (size_t i = 0; i < stack_slots; i++)
        free(stacks[i].text);
    free(stacks);
    return rc == BSK_OK ? 0 : 1;
}
