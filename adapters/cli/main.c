/* The binary: finds the command and leaves the rest to it. */
#include "adapters/cli/dap.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Basilisk " BASILISK_VERSION ": makes every Python debug session a profiling session\n"
    "\n"
    "    basilisk dap    [--listen HOST:PORT] [--connect HOST:PORT] [--python PATH] [--log FILE]\n"
    "                    [-- ADAPTER...]\n"
    "                    stand between an editor and debugpy\n"
    "    basilisk replay LOG\n"
    "                    play a log of `basilisk dap --log` and say what comes out differently\n"
    "    basilisk --version | --help\n"
    "\n"
    "Exit codes: 0, 1 failed, 2 wrong usage.\n";

int cli_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("basilisk: ", stderr);
    vfprintf(stderr, format, args); /* NOLINT(clang-analyzer-valist.Uninitialized): it is */
    fputs("; see `basilisk --help`\n", stderr);
    va_end(args);
    return 2;
}

/* Anywhere before what belongs to another program. */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = { { "dap", cli_dap }, { "replay", cli_replay } };

    if (argc < 2)
        return cli_usage("a command is missing");
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("basilisk " BASILISK_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "help") == 0 || asks_for_help(argc, argv)) {
        fputs(help, stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    }
    return cli_usage(argv[1][0] == '-' ? "there is no option '%s'" : "there is no command '%s'",
                     argv[1]);
}
