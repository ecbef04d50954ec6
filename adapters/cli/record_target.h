/*
 * What `basilisk record` and its like look at: the process named, or the Python that a command
 * becomes, or starts.
 */
#ifndef BSK_CLI_RECORD_TARGET_H
#define BSK_CLI_RECORD_TARGET_H

#include "adapters/cli/program.h"
#include "engine/recording/recording.h"

/* What the program is called: "app.py", "python -m pkg", "python -c", "pytest". Always terminated.
 */
void cli_target_name(pid_t pid, char *out, size_t size);

/* One look at a program that was started: BSK_OK and a recording when it is a Python now, or has
 * one below it (`sh -c`, `uv run`). BSK_E_FORMAT or BSK_E_TORN: not yet; BSK_E_GONE: it has ended;
 * others are final. `options->name` is not looked at. */
int cli_target_try(struct cli_program *program, const struct bsk_recording_options *options,
                   struct bsk_recording **out_recording, pid_t *out_pid, struct bsk_error *err);

#endif
