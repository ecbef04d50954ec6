#include "adapters/cli/record_options.h"

#include "engine/recording/recording.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct cli_option cli_record_options_table[] = {
    { "pid", 'p', "PID", "PID", "the running program, in decimal or hex" },
    { "output", 'o', "FILE", "FILE", "where the profile goes; else basilisk-profiles/NAME-TIME" },
    { "format", 'f', "FORMAT", "flamegraph raw speedscope chrometrace cpuprofile pprof",
      "flamegraph (the default), raw, speedscope, chrometrace, cpuprofile, pprof" },
    { "duration", 'd', "SECONDS", "unlimited", "how long; unlimited unless said otherwise" },
    { "rate", 'r', "HZ", NULL, "samples a second; 100 unless said otherwise" },
    { "subprocesses", 's', NULL, NULL, "Python children too, at any depth" },
    { "function", 'F', NULL, NULL, "sum by function, at the line where it begins" },
    { "nolineno", 0, NULL, NULL, "without line numbers" },
    { "threads", 't', NULL, NULL, "each thread's stacks below a frame with its id and name" },
    { "gil", 'g', NULL, NULL, "only time in which a thread holds the GIL" },
    { "idle", 'i', NULL, NULL, "time that passes, asleep or not, instead of CPU time" },
    { "native", 'n', NULL, NULL, "stacks of C, C++ and Cython too: not in this build" },
    { "nonblocking", 0, NULL, NULL, "never stop the program: so it is unless --blocking" },
    { "blocking", 0, NULL, NULL,
      "stop what runs for each sample: exact, but its system calls may return EINTR" },
    { "no-ticks", 0, NULL, NULL, "read from outside even where eBPF could sample exactly" },
    { "full-filenames", 0, NULL, NULL, "whole paths where they would be shortened" },
    { "only", 0, "PATH", "FILE", "only frames of this file, folder or pattern; may be repeated" },
    { "exclude", 0, "PATH", "FILE", "without frames of this file, folder or pattern; repeated" },
    { "every", 0, "SECONDS", NULL, "also a file for each such stretch of time" },
    { "hide-progress", 0, NULL, NULL, "no progress on the terminal" },
    { "hideprogress", 0, NULL, NULL, "py-spy's spelling of it" },
    { "capture", 0, NULL, NULL, "keep CMD's output back, show it only if CMD fails" },
    { "config", 0, "FILE", "FILE", "options from a file, a line each: name = value" },
    { NULL, 0, NULL, NULL, NULL },
};

static int take_seconds(const struct cli_option *option, const char *value, double *out_seconds)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end || !isfinite(seconds) || seconds <= 0 || seconds > 1e9)
        return cli_usage("--%s is a number of seconds, not \"%s\"", option->name, value);
    *out_seconds = seconds;
    return 0;
}

static int take_pattern(const struct cli_option *option, const char *value,
                        struct cli_patterns *patterns)
{
    char here[PATH_MAX], *text = NULL;
    if (!*value)
        return cli_usage("--%s wants %s", option->name, option->argument);
    if (patterns->count == CLI_PATTERNS_MAX)
        return cli_usage("--%s can be given %d times", option->name, CLI_PATTERNS_MAX);
    if (strchr(value, '/') && value[0] != '/' && value[0] != '<') {
        if (value[0] == '.' && value[1] == '/')
            value += 2;
        if (!getcwd(here, sizeof(here)) || asprintf(&text, "%s/%s", here, value) < 0)
            text = NULL;
    } else if (strcmp(value, ".") == 0 && getcwd(here, sizeof(here))) {
        text = strdup(here);
    } else {
        text = strdup(value);
    }
    if (!text)
        return cli_usage("--%s: %s", option->name, strerror(errno));
    patterns->items[patterns->count++] = text;
    return 0;
}

/* What cannot be had together. */
static const char *const opposites[][2] = {
    { "function", "nolineno" },
    { "blocking", "nonblocking" },
};

static bool *flag_named(struct cli_record_options *options, const char *name)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        { "subprocesses", &options->subprocesses },
        { "function", &options->by_function },
        { "nolineno", &options->no_lines },
        { "threads", &options->threads },
        { "gil", &options->gil },
        { "idle", &options->idle },
        { "native", &options->native },
        { "nonblocking", &options->nonblocking },
        { "blocking", &options->blocking },
        { "no-ticks", &options->no_ticks },
        { "full-filenames", &options->full_filenames },
        { "hide-progress", &options->hide_progress },
        { "hideprogress", &options->hide_progress },
        { "capture", &options->capture },
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(flags[i].name, name) == 0)
            return flags[i].flag;
    }
    return NULL;
}

/* The command line drops what the file has against it; two opposites in one place are a mistake. */
static int take_flag(struct cli_record_options *options, const struct cli_option *option)
{
    bool *flag = flag_named(options, option->name);
    if (!flag)
        return 0;
    _Static_assert(sizeof(opposites) / sizeof(opposites[0]) ==
                       sizeof(options->of_file) / sizeof(options->of_file[0]),
                   "one for each");
    for (size_t i = 0; i < sizeof(opposites) / sizeof(opposites[0]); i++) {
        bool second = cli_is(option, opposites[i][1]);
        if (!second && !cli_is(option, opposites[i][0]))
            continue;
        bool *other = flag_named(options, opposites[i][second ? 0 : 1]);
        if (*other && options->of_file[i] == options->reads_file)
            return cli_usage("--%s and --%s cannot be used together", opposites[i][0],
                             opposites[i][1]);
        *other = false;
        options->of_file[i] = options->reads_file;
    }
    *flag = true;
    return 0;
}

static int take_option(void *user, const struct cli_option *option, const char *value)
{
    struct cli_record_options *options = user;
    long long number = 0;
    if (!value)
        return take_flag(options, option);
    if (cli_is(option, "pid")) {
        options->pid_of_file = options->reads_file;
        return cli_pid(option, value, &options->pid);
    }
    if (cli_is(option, "rate")) {
        int rc = cli_number(option, value, 1, BSK_RATE_MAX_HZ, &number);
        options->rate_hz = (uint32_t)number;
        return rc;
    }
    if (cli_is(option, "duration")) {
        options->seconds = 0;
        return strcmp(value, "unlimited") == 0 ? 0 : take_seconds(option, value, &options->seconds);
    }
    if (cli_is(option, "every"))
        return take_seconds(option, value, &options->every_seconds);
    if (cli_is(option, "only"))
        return take_pattern(option, value, &options->only);
    if (cli_is(option, "exclude"))
        return take_pattern(option, value, &options->exclude);
    if (!*value)
        return cli_usage("--%s wants %s", option->name, option->argument);
    if (cli_is(option, "output"))
        options->output = value;
    else if (cli_is(option, "format"))
        options->format = value;
    return 0; /* "config" was read before */
}

/* The file of options comes first, so that the command line wins. */
static int find_config(void *user, const struct cli_option *option, const char *value)
{
    struct cli_record_options *options = user;
    if (cli_is(option, "config"))
        options->config_path = value;
    return 0;
}

static int unknown_format(const char *format)
{
    char names[256] = "";
    for (size_t i = 0; bsk_exporter_at(i); i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
                 bsk_exporter_at(i)->name);
    }
    return cli_usage("there is no format \"%s\", but %s", format, names);
}

static int check(struct cli_record_options *options)
{
    if (!options->format)
        options->format = "flamegraph";
    options->exporter = bsk_exporter_named(options->format);
    if (!options->exporter)
        return unknown_format(options->format);
    if (options->command && options->pid_of_file)
        options->pid = 0; /* a command is always of the command line */
    if (options->pid && options->command)
        return cli_usage("record wants --pid or a command, not both");
    if (!options->pid && !options->command)
        return cli_usage("record wants --pid PID, or a command to run");
    return 0;
}

int cli_record_options_read(const struct cli_command *command, int argc, char **argv,
                            struct cli_record_options *out)
{
    int rest = argc;
    out->rate_hz = BSK_RATE_DEFAULT_HZ;
    int rc = cli_parse_program(command, argc, argv, find_config, out, &rest);
    if (rc == 0 && out->config_path) {
        out->reads_file = true;
        rc = cli_config_read(command, out->config_path, take_option, out, &out->config);
        out->reads_file = false;
    }
    if (rc == 0)
        rc = cli_parse_program(command, argc, argv, take_option, out, &rest);
    if (rc != 0)
        return rc;
    out->command = rest < argc ? argv + rest : NULL;
    return check(out);
}

void cli_record_options_free(struct cli_record_options *options)
{
    for (size_t i = 0; i < options->only.count; i++)
        free(options->only.items[i]);
    for (size_t i = 0; i < options->exclude.count; i++)
        free(options->exclude.items[i]);
    cli_config_free(options->config);
}
