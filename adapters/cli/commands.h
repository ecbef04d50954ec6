/* The commands of the binary, one file each. */
#ifndef BSK_CLI_COMMANDS_H
#define BSK_CLI_COMMANDS_H

#include "adapters/cli/args.h"

extern const struct cli_command cli_dap;    /* dap.c: the debug adapter proxy */
extern const struct cli_command cli_diff;   /* diff.c */
extern const struct cli_command cli_dump;   /* dump.c */
extern const struct cli_command cli_record; /* record.c */
extern const struct cli_command cli_replay; /* replay.c */

#endif
