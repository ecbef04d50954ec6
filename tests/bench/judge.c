#include "tests/bench/judge.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct bench_share *share_of(struct bench_verdict *verdict, const char *name)
{
    for (size_t i = 0; i < verdict->share_count; i++) {
        if (strncmp(verdict->shares[i].name, name, sizeof(verdict->shares[i].name) - 1) == 0)
            return &verdict->shares[i];
    }
    if (verdict->share_count == BENCH_NAMES)
        return &verdict->shares[BENCH_NAMES - 1];
    struct bench_share *share = &verdict->shares[verdict->share_count++];
    snprintf(share->name, sizeof(share->name), "%s", name);
    return share;
}

static void note_offender(struct bench_verdict *verdict, const struct bsk_thread_sample *thread)
{
    struct bench_offender *last = &verdict->offenders[verdict->offender_count];
    char text[sizeof(last->text)];
    size_t size = 0;
    size_t shown = thread->depth > 30 ? 30 : thread->depth; /* the innermost */
    for (size_t i = shown; i > 0 && size < sizeof(text) - 1; i--)
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s:%u", i == shown ? "" : " ",
                                 thread->frames[i - 1].code->name, thread->frames[i - 1].line);
    if (thread->filled && size < sizeof(text) - 1)
        snprintf(text + size, sizeof(text) - size, " (filled in)");
    for (size_t i = 0; i < verdict->offender_count; i++) {
        if (strcmp(verdict->offenders[i].text, text) == 0) {
            verdict->offenders[i].count++;
            return;
        }
    }
    if (verdict->offender_count == BENCH_OFFENDERS)
        return;
    memcpy(last->text, text, sizeof(text));
    last->count = 1;
    verdict->offender_count++;
}

/* By code, so that the hot loop compares no names. */
struct tally {
    uint64_t *leaf, *inclusive, *met; /* by code; `met`: the stack that counted it last */
    uint64_t unread, stack;
    bool was_torn; /* what came just before */
};

static void count_shares(struct tally *tally, struct bench_legal *legal,
                         const struct bsk_thread_sample *thread)
{
    tally->stack++;
    for (size_t i = 0; i < thread->depth; i++) {
        int code = bench_legal_code(legal, thread->frames[i].code);
        if (code < 0)
            continue;
        if (i == 0 && !thread->unread)
            tally->leaf[code]++;
        if (tally->met[code] != tally->stack) {
            tally->met[code] = tally->stack;
            tally->inclusive[code]++;
        }
    }
    tally->unread += thread->unread;
}

static void look(struct bench_verdict *verdict, struct tally *tally, struct bench_legal *legal,
                 const struct bsk_thread_sample *thread)
{
    bool runs = thread->state == BSK_THREAD_RUNNING;
    verdict->torn += thread->torn;
    verdict->torn_moments += thread->torn && !tally->was_torn;
    tally->was_torn = thread->torn;
    if (!thread->has_stack || thread->depth == 0) {
        verdict->empty += runs && !thread->torn;
        return;
    }
    verdict->accepted++;
    verdict->filled += thread->filled;
    verdict->unread += thread->unread;
    verdict->truncated += thread->truncated;
    bool no_line = false;
    for (size_t i = 0; i < thread->depth; i++)
        no_line = no_line || (thread->frames[i].line == 0 && thread->frames[i].code->path[0]);
    verdict->no_line += no_line;
    switch (bench_legal_judge(legal, thread)) {
    case BENCH_LEGAL:
        break;
    case BENCH_BARE:
        verdict->bare++;
        break;
    case BENCH_IMPOSSIBLE:
        verdict->impossible++;
        note_offender(verdict, thread);
        break;
    }
    if (runs) {
        verdict->running++;
        count_shares(tally, legal, thread);
    }
}

static uint64_t draw(uint64_t *lot)
{
    uint64_t x = *lot; /* xorshift64 */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *lot = x;
}

static void wait_for_turn(uint32_t rate_hz, double begun, uint64_t turn, uint64_t *lot)
{
    double when = begun + ((double)turn + (double)(draw(lot) % 1000000) / 1e6) / rate_hz;
    struct timespec until = { .tv_sec = (time_t)when,
                              .tv_nsec = (long)((when - (double)(time_t)when) * 1e9) };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void sum_up(struct bench_verdict *verdict, const struct tally *tally,
                   const struct bench_legal *legal)
{
    for (size_t i = 0; i < bench_legal_code_count(legal); i++) {
        if (tally->inclusive[i] == 0)
            continue;
        struct bench_share *share = share_of(verdict, bench_legal_code_name(legal, i));
        share->leaf += tally->leaf[i];
        share->inclusive += tally->inclusive[i];
    }
    if (tally->unread)
        share_of(verdict, "(unread)")->leaf = tally->unread;
}

static bool sample(struct bsk_sampler *sampler, struct bench_legal *legal,
                   const struct bench_judge_options *options, struct bench_verdict *verdict)
{
    size_t codes = bench_legal_code_count(legal);
    struct tally tally = { .leaf = calloc(codes, sizeof(uint64_t)),
                           .inclusive = calloc(codes, sizeof(uint64_t)),
                           .met = calloc(codes, sizeof(uint64_t)) };
    bool good = tally.leaf && tally.inclusive && tally.met;
    double begun = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    double end = begun + (options->seconds > 0 ? options->seconds : 60);
    uint64_t lot = 88172645463325252U;
    while (good && verdict->accepted < options->stacks) {
        const struct bsk_sample *taken = NULL;
        if (options->rate_hz)
            wait_for_turn(options->rate_hz, begun, verdict->takes, &lot);
        int rc = bsk_sampler_take(sampler, &taken, NULL);
        verdict->takes++;
        if (rc == BSK_E_GONE)
            good = false;
        else if (rc != BSK_OK)
            verdict->failed_takes++;
        else
            for (size_t i = 0; i < taken->thread_count; i++)
                look(verdict, &tally, legal, &taken->threads[i]);
        if (seconds_of(CLOCK_MONOTONIC) > end)
            break;
    }
    verdict->seconds = seconds_of(CLOCK_MONOTONIC) - begun;
    verdict->cpu_us_per_take = (seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu) * 1e6 /
                               (double)(verdict->takes ? verdict->takes : 1);
    if (good)
        sum_up(verdict, &tally, legal);
    free(tally.leaf);
    free(tally.inclusive);
    free(tally.met);
    return good;
}

bool bench_judge_run(const struct bench_program *program, const char *python,
                     const struct bench_judge_options *options, struct bench_verdict *out_verdict,
                     char reason[512])
{
    struct bench_child child = { .count_fd = -1 };
    struct bsk_sampler *sampler = NULL;
    struct bsk_error err = { 0 };
    bool good = false;
    memset(out_verdict, 0, sizeof(*out_verdict));
    snprintf(reason, 512, "the program does not start with %s", python);
    if (!bench_start_legal(program, python, &child))
        return false;
    struct bench_legal *legal = bench_legal_read(child.output);
    bench_stop(&child);
    if (!legal) {
        snprintf(reason, 512, "%s did not write down its legal stacks", program->file);
        return false;
    }
    if (options->pid)
        child = bench_borrow(options->pid);
    else if (!bench_start(program, python, options->target_core, &child))
        goto out;
    if (options->sampler_core >= 0)
        bench_keep_to(options->sampler_core);
    const struct bsk_sampler_options how = { .stop_threads = options->stop };
    int rc = bsk_sampler_open(child.pid, &how, &sampler, &err);
    snprintf(reason, 512, "%s", err.message);
    if (rc == BSK_OK) {
        snprintf(out_verdict->version, sizeof(out_verdict->version), "%s",
                 bsk_sampler_info(sampler)->version);
        good = sample(sampler, legal, options, out_verdict);
        out_verdict->stops = bsk_sampler_stop_cost(sampler).stops;
        out_verdict->longest_stop_ns = bsk_sampler_stop_cost(sampler).longest_ns;
        if (!good)
            snprintf(reason, 512, "%s ended while it was sampled", program->file);
    }
out:
    bsk_sampler_close(sampler);
    bench_stop(&child);
    bench_legal_free(legal);
    return good;
}
