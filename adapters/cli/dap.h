/* `basilisk dap`: the debug adapter proxy. Returns the exit code. `argv` begins after the command's
 * name. */
#ifndef CLI_DAP_H
#define CLI_DAP_H

int cli_dap(int argc, char **argv);
int cli_replay(int argc, char **argv);

/* Says on stderr what is wrong with the command line, and returns 2. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
