/* `basilisk dump`: the stack of each thread of a running Python, once. */
#include "adapters/cli/commands.h"
#include "adapters/cli/dump_collect.h"
#include "adapters/cli/dump_print.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOCALS_MAX = 4096 }; /* times 128 characters a value: half a megabyte */

static const struct cli_option dump_options[] = {
    { "pid", 'p', "PID", "PID", "the process: a running Python" },
    { "core", 'c', "FILE", "FILE", "a core file instead, of a Python that crashed or by gcore" },
    { "sysroot", 0, "DIR", "FILE", "with --core: the folder that was / to it (of its container)" },
    { "locals", 'l', NULL, NULL, "local variables of each frame; -ll, -lll: more of each value" },
    { "json", 'j', NULL, NULL, "as JSON; with -s a list of processes, else one of threads" },
    { "subprocesses", 's', NULL, NULL, "its children too, at any depth" },
    { "native", 'n', NULL, NULL, "stacks of C, C++ and Cython too: not in this build" },
    { "full-filenames", 0, NULL, NULL, "whole paths, not only from the package on" },
    { "nonblocking", 0, NULL, NULL, "do not stop the process: so it is unless --blocking" },
    { "blocking", 0, NULL, NULL,
      "stop it meanwhile, for exact values; its system calls may return EINTR" },
    { NULL, 0, NULL, NULL, NULL },
};

static int take_option(void *user, const struct cli_option *option, const char *value)
{
    struct cli_dump_options *options = user;
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        { "json", &options->json },
        { "subprocesses", &options->subprocesses },
        { "native", &options->native },
        { "full-filenames", &options->full_filenames },
        { "nonblocking", &options->nonblocking },
        { "blocking", &options->blocking },
    };
    if (cli_is(option, "pid"))
        return cli_pid(option, value, &options->pid);
    if (cli_is(option, "core"))
        options->core = value;
    else if (cli_is(option, "sysroot"))
        options->sysroot = value;
    else if (cli_is(option, "locals") && options->locals < LOCALS_MAX)
        options->locals++;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (cli_is(option, flags[i].name))
            *flags[i].flag = true;
    return 0;
}

/* What is to be shown, one process after the other. */
struct output {
    const struct cli_dump_options *options;
    struct bsk_json *json;
    size_t shown;
};

static void show(struct output *output, const struct cli_dump *dump)
{
    if (output->json && output->options->subprocesses)
        cli_dump_write_process(dump, output->options, output->json);
    else if (output->json)
        cli_dump_write_threads(dump, output->options, output->json);
    else {
        if (output->shown > 0)
            putchar('\n');
        cli_dump_print_text(dump, output->options);
    }
    output->shown++;
}

/* The children: one that has ended meanwhile is no error, one that is no Python is named as such.
 */
static void show_children(struct output *output)
{
    pid_t *pids = NULL;
    size_t count = 0;
    if (bsk_process_below(output->options->pid, &pids, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        struct cli_dump dump = { 0 };
        struct bsk_process_facts facts;
        if (bsk_process_facts(pids[i], &facts, NULL) == BSK_OK && facts.state != 'Z' &&
            cli_dump_collect(pids[i], output->options, &dump) != BSK_E_GONE) {
            dump.parent = facts.parent;
            show(output, &dump);
        }
        cli_dump_free(&dump);
    }
    free(pids);
}

static int dump_process(const struct cli_dump_options *options, struct bsk_json *json)
{
    struct output output = { options, json, 0 };
    struct cli_dump dump = { 0 };
    int rc = cli_dump_collect(options->pid, options, &dump), code = 0;
    if (rc == BSK_OK || (options->subprocesses && rc == BSK_E_FORMAT))
        show(&output, &dump);
    else
        code = cli_fail(&dump.error);
    if (code == 0 && options->subprocesses)
        show_children(&output);
    cli_dump_free(&dump);
    return code;
}

static int dump_json(const struct cli_dump_options *options)
{
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer, .file = stdout };
    struct bsk_error err = { 0 };
    bsk_json_begin(&json, '[');
    int code = dump_process(options, &json);
    bsk_json_end(&json, ']');
    if (code != 0)
        json.file = NULL; /* no half a document */
    else if (bsk_json_finish(&json, &err) < 0)
        code = cli_fail(&err);
    else
        putchar('\n');
    bsk_buffer_free(&buffer);
    return code;
}

/* What is asked for and is not there yet: 0 when nothing is. */
static int refuse(const struct cli_dump_options *options)
{
    const char *what = NULL;
    if (options->native)
        what = "--native is not in this build: it shows Python's stacks, and those of C, C++ and "
               "Cython not yet; leave -n out";
    if (!what)
        return 0;
    fprintf(stderr, "basilisk: %s\n", what);
    return 1;
}

static int run_dump(const struct cli_command *command, int argc, char **argv)
{
    struct cli_dump_options options = { 0 };
    int plain = 0, rest = argc;
    int rc = cli_parse(command, argc, argv, take_option, &options, &plain, &rest);
    if (rc != 0)
        return rc;
    if (plain > 0 || rest < argc)
        return cli_usage("dump takes no argument '%s'", plain > 0 ? argv[0] : argv[rest]);
    if (!options.pid && !options.core)
        return cli_usage("dump wants --pid PID or --core FILE");
    if (options.pid && options.core)
        return cli_usage("--pid and --core are two targets: name one");
    if (options.core && (options.subprocesses || options.blocking))
        return cli_usage("%s does not go with --core: a core file holds one process, at rest",
                         options.subprocesses ? "--subprocesses" : "--blocking");
    if (options.sysroot && !options.core)
        return cli_usage("--sysroot goes with --core alone");
    if (options.blocking && options.nonblocking)
        return cli_usage("--blocking and --nonblocking are opposites");
    rc = refuse(&options);
    if (rc == 0)
        rc = options.json ? dump_json(&options) : dump_process(&options, NULL);
    if (fflush(stdout) != 0 && rc == 0) {
        fprintf(stderr, "basilisk: cannot write: %s\n", strerror(errno));
        rc = 1;
    }
    return rc;
}

const struct cli_command cli_dump = {
    "dump",
    "(-p PID | --core FILE) [options]",
    "show what each thread of a running Python does now, or did when it crashed",
    dump_options,
    run_dump,
};
