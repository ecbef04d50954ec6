/* What `basilisk memory` prints on stdout: tables for people, or the JSON of docs/protocol. */
#ifndef BSK_CLI_MEMORY_PRINT_H
#define BSK_CLI_MEMORY_PRINT_H

#include "engine/memory/evidence.h"
#include "engine/memory/references.h"

void cli_memory_print_snapshot(const struct bsk_memory_snapshot *snapshot, bool json);
void cli_memory_print_diff(const struct bsk_memory_diff *diff, bool json);
void cli_memory_print_references(const struct bsk_references *refs, bool json);

#endif
