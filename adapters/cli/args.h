/*
 * What a command of the binary is, and how its arguments are read: one table of options a command,
 * from which parsing, `--help` and the shells' completions come.
 *
 * Spelling is getopt's, and so py-spy's: `--rate 50`, `--rate=50`, `-r 50`, `-r50`, `-si`; `--`
 * ends the options. What is not an option stays in its order.
 */
#ifndef BSK_CLI_ARGS_H
#define BSK_CLI_ARGS_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct cli_option {
    const char *name;     /* without the dashes: "rate" */
    char letter;          /* 'r', or 0 */
    const char *argument; /* what follows: "HZ"; NULL: nothing does */
    const char *choices;  /* space-separated, for completions; "FILE" and "PID" are known; NULL */
    const char *help;     /* one line, lower case, no full stop */
};

struct cli_command {
    const char *name;
    const char *synopsis;             /* what follows the name: "(-p PID | -- CMD...) [options]" */
    const char *summary;              /* one line */
    const struct cli_option *options; /* ends with a NULL name */
    int (*run)(const struct cli_command *command, int argc, char **argv);
};

/* Every command, in the order of `basilisk --help`; ends with NULL. */
extern const struct cli_command *const cli_commands[];

/* Called for each option as it comes; `value` is NULL where none follows. Returns 0, or 2 after it
 * has said what is wrong with the value (cli_usage()). */
typedef int cli_take_fn(void *user, const struct cli_option *option, const char *value);

/* Reads argv[0..argc). Plain arguments move to the front, and `*out_plain` counts them; what
 * follows "--" begins at argv[*out_rest] (== argc: nothing). Returns 0, or 2 when it has
 * complained. */
int cli_parse(const struct cli_command *command, int argc, char **argv, cli_take_fn *take,
              void *user, int *out_plain, int *out_rest);

/* The same for commands that start a program: the first plain argument begins it, as in py-spy, and
 * what follows it is the program's own. `--` may stand before it. `*out_rest` == argc: none. */
int cli_parse_program(const struct cli_command *command, int argc, char **argv, cli_take_fn *take,
                      void *user, int *out_rest);

/* The option of this name in `command`'s table, or NULL: for names from a file. */
const struct cli_option *cli_option_named(const struct cli_command *command, const char *name);

/* The option of this name that was given to cli_parse(), for comparing in a cli_take_fn. */
bool cli_is(const struct cli_option *option, const char *name);

/* "basilisk: ", the text, and where to look further, on stderr. Returns 2. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The command that runs, for cli_usage(): its --help is where to look further. NULL: none does, and
 * it is basilisk's own. Not copied. */
void cli_usage_command(const struct cli_command *command);

/* Where the options come from that are read now, for cli_usage(): "options.txt:3"; NULL: the
 * command line. Not copied. */
void cli_usage_place(const char *place);

/* A whole number from `least` to `most`. Returns 0, or 2 when it has complained. */
int cli_number(const struct cli_option *option, const char *value, long long least, long long most,
               long long *out_number);

/* The number of a process; 0x may stand before it, as py-spy allows. Likewise. */
int cli_pid(const struct cli_option *option, const char *value, pid_t *out_pid);

/* A failure that is not the command line's: its sentence on stderr. Returns 1. */
int cli_fail(const struct bsk_error *err);

void cli_print_help(const struct cli_command *command); /* on stdout */

#endif
