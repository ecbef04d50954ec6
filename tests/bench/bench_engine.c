/*
 * What the engine does with known programs. Each command prints lines of a word and its figures;
 * tests/bench/run makes the table of them.
 *
 *   bench_engine impossible --python PATH --program f [--samples N] [--rate HZ] [--seconds S]
 *       judges N stacks (default 1,000,000) by their names and lines, and tells the shares
 *   bench_engine rate --program a       CPU a sample as fast as can be: the sampler with a profile,
 *                                       and a whole recording with its file
 *                                       (--idle: sleepers too; --samples N: the sampler alone, so
 *                                       many times)
 *   bench_engine sleep --rate 1000      CPU of a loop that only sleeps
 *   bench_engine first                  from nothing to the first stack, in this process, and again
 *   bench_engine hold --rate HZ         least and most samples of each second, resident memory;
 *                                       until --samples N where that is given
 *   bench_engine programs
 *
 * --pid PID: that program as it runs already.  --cores TARGET,SAMPLER: which each is kept to (0,1;
 * -1: any).
 */
#include "tests/bench/bench_engine.h"

#include "tests/bench/judge.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static int impossible(const struct bench_options *options)
{
    static struct bench_verdict v;
    char reason[512];
    const struct bench_judge_options judge = { .pid = options->pid,
                                               .stacks =
                                                   options->samples ? options->samples : 1000000,
                                               .seconds = options->seconds,
                                               .rate_hz = options->rate_hz,
                                               .target_core = options->target_core,
                                               .sampler_core = options->sampler_core };
    if (!bench_judge_run(options->program, options->python, &judge, &v, reason)) {
        fprintf(stderr, "bench_engine: %s\n", reason);
        return 1;
    }
    uint64_t all = v.accepted + v.torn;
    printf("program     %s  %s\n", options->program->letter, options->program->what);
    printf("python      %s\n", v.version);
    printf("accepted    %llu\n", (unsigned long long)v.accepted);
    printf("impossible  %llu\n", (unsigned long long)v.impossible);
    for (size_t i = 0; i < v.offender_count; i++)
        printf("offender    %llu  %s\n", (unsigned long long)v.offenders[i].count,
               v.offenders[i].text);
    printf("bare        %llu\n", (unsigned long long)v.bare);
    printf("no_line     %llu\n", (unsigned long long)v.no_line);
    printf("filled      %llu  %.3f %%\n", (unsigned long long)v.filled, percent(v.filled, all));
    printf("unread      %llu  %.3f %%\n", (unsigned long long)v.unread, percent(v.unread, all));
    printf("torn        %llu  %.3f %%\n", (unsigned long long)v.torn, percent(v.torn, all));
    printf("truncated   %llu\n", (unsigned long long)v.truncated);
    printf("empty       %llu\n", (unsigned long long)v.empty);
    printf("takes       %llu  failed %llu  seconds %.3f  cpu_us %.3f\n",
           (unsigned long long)v.takes, (unsigned long long)v.failed_takes, v.seconds,
           v.cpu_us_per_take);
    for (size_t i = 0; i < v.share_count; i++)
        printf("share       %s  leaf %.3f  inclusive %.3f\n", v.shares[i].name,
               percent(v.shares[i].leaf, v.running), percent(v.shares[i].inclusive, v.running));
    return 0;
}

static int list_programs(const struct bench_options *options)
{
    (void)options;
    for (const struct bench_program *p = bench_programs; p->letter; p++)
        printf("%s\t%s%s%s%s%s\t%s\n", p->letter, p->file, p->arguments[0] ? " " : "",
               p->arguments[0] ? p->arguments[0] : "", p->arguments[1] ? " " : "",
               p->arguments[1] ? p->arguments[1] : "", p->what);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const struct bench_options *options);
    bool needs_program;
} commands[] = {
    { "impossible", impossible, true }, { "rate", bench_rate, true },
    { "sleep", bench_sleep, false },    { "first", bench_first, true },
    { "hold", bench_hold, true },       { "programs", list_programs, false },
};

static int usage(const char *text)
{
    fprintf(stderr, "bench_engine: %s\n", text);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "python", required_argument, NULL, 'y' },
        { "program", required_argument, NULL, 'g' },
        { "pid", required_argument, NULL, 'p' },
        { "samples", required_argument, NULL, 'n' },
        { "idle", no_argument, NULL, 'i' },
        { "rate", required_argument, NULL, 'r' },
        { "seconds", required_argument, NULL, 's' },
        { "cores", required_argument, NULL, 'c' },
        { NULL, 0, NULL, 0 },
    };
    struct bench_options options = { .python = "python3", .target_core = 0, .sampler_core = 1 };
    int letter;
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (letter) {
        case 'y':
            options.python = optarg;
            break;
        case 'g':
            options.program = bench_program_named(optarg);
            if (!options.program)
                return usage("there is no such program; `bench_engine programs` lists them");
            break;
        case 'p':
            options.pid = (pid_t)atoi(optarg);
            break;
        case 'i':
            options.idle = true;
            break;
        case 'n':
            options.samples = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            options.rate_hz = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'c':
            if (sscanf(optarg, "%d,%d", &options.target_core, &options.sampler_core) != 2)
                return usage("--cores wants TARGET,SAMPLER (-1: any)");
            break;
        default:
            return 2;
        }
    }
    for (size_t i = 0; optind < argc && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[optind], commands[i].name) != 0)
            continue;
        if (commands[i].needs_program && !options.program)
            return usage("--program is missing");
        return commands[i].run(&options);
    }
    return usage("which command?");
}
