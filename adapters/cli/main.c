/* The binary: finds the command and leaves the rest to it. */
#include "adapters/cli/commands.h"

#include <stdio.h>
#include <string.h>

const struct cli_command *const cli_commands[] = {
    &cli_record, &cli_top, &cli_dump,   &cli_diff,        &cli_memory,
    &cli_doctor, &cli_dap, &cli_replay, &cli_completions, NULL,
};

static void print_help(void)
{
    puts("Basilisk " BASILISK_VERSION ": makes every Python debug session a profiling session\n");
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        printf("    basilisk %-11s %s\n", (*c)->name, (*c)->summary);
    puts("    basilisk --version\n"
         "\n"
         "`basilisk COMMAND --help` tells a command's options.\n"
         "Exit codes: 0, 1 failed, 2 wrong usage.");
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
    if (argc < 2)
        return cli_usage("a command is missing");
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("basilisk " BASILISK_VERSION);
        return 0;
    }
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        if (strcmp(argv[1], (*c)->name) != 0)
            continue;
        cli_usage_command(*c);
        if (!asks_for_help(argc, argv))
            return (*c)->run(*c, argc - 2, argv + 2);
        cli_print_help(*c);
        return 0;
    }
    if (strcmp(argv[1], "help") == 0 || asks_for_help(argc, argv)) {
        print_help();
        return 0;
    }
    return cli_usage(argv[1][0] == '-' ? "there is no option '%s'" : "there is no command '%s'",
                     argv[1]);
}
