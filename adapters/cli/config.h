/*
 * A file of options for a command: `name = value` lines with the long names of its table.
 *
 *     # what we always want
 *     rate = 250
 *     subprocesses = true
 *     exclude = "site-packages"
 *
 * An option that takes no value is set by `true`, left alone by `false`. '#' begins a comment; a
 * value may stand in double quotes (with no escapes inside). Options of the command line come
 * after, and win, also over their opposites; those that may be repeated add up.
 */
#ifndef BSK_CLI_CONFIG_H
#define BSK_CLI_CONFIG_H

#include "adapters/cli/args.h"

enum { CLI_CONFIG_MAX_BYTES = 64 * 1024 };

struct cli_config; /* the text that values point into */

/* Gives each option of the file at `path` to `take`. Returns 0; 1 when it cannot be read; 2 when a
 * line is wrong. Says what is wrong on stderr itself, with file and line. The caller frees
 * `*out_config` once nothing points into the values any more, also after a failure. */
int cli_config_read(const struct cli_command *command, const char *path, cli_take_fn *take,
                    void *user, struct cli_config **out_config);
void cli_config_free(struct cli_config *config); /* accepts NULL */

#endif
