/* The commands of the binary, one file each. */
#ifndef BSK_CLI_COMMANDS_H
#define BSK_CLI_COMMANDS_H

#include "adapters/cli/args.h"

extern const struct cli_command cli_record;      /* record.c */
extern const struct cli_command cli_top;         /* top.c: a live view */
extern const struct cli_command cli_dump;        /* dump.c */
extern const struct cli_command cli_diff;        /* diff.c */
extern const struct cli_command cli_memory;      /* memory.c: without a debugger */
extern const struct cli_command cli_doctor;      /* doctor.c: what works here, and what does not */
extern const struct cli_command cli_dap;         /* dap.c: the debug adapter proxy */
extern const struct cli_command cli_replay;      /* replay.c */
extern const struct cli_command cli_completions; /* completions.c: for bash, zsh and fish */

#endif
