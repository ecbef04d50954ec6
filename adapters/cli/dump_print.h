/* Prints what dump_collect.h found, on stdout. */
#ifndef BSK_CLI_DUMP_PRINT_H
#define BSK_CLI_DUMP_PRINT_H

#include "adapters/cli/dump_collect.h"
#include "engine/base/json.h"

/* As py-spy dump does. Control characters in names show as \xNN, so that a line stays a line. */
void cli_dump_print_text(const struct cli_dump *dump, const struct cli_dump_options *options);

/* A thread an object, keys as py-spy's, written into the array that is open. */
void cli_dump_write_threads(const struct cli_dump *dump, const struct cli_dump_options *options,
                            struct bsk_json *json);
/* The process as an object: pid, command line, Python, and `threads`. */
void cli_dump_write_process(const struct cli_dump *dump, const struct cli_dump_options *options,
                            struct bsk_json *json);

#endif
