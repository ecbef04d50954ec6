#include "adapters/cli/commands.h"

#include "proxy/session/replay.h"

#include <stdio.h>

static const struct cli_option no_options[] = { { NULL, 0, NULL, NULL, NULL } };

static int run_replay(const struct cli_command *command, int argc, char **argv)
{
    struct dap_replay_result result = { 0 };
    struct bsk_error err = { 0 };
    (void)command;
    if (argc != 1)
        return cli_usage("replay wants the name of one log");
    if (argv[0][0] == '-')
        return cli_usage("there is no option '%s'", argv[0]);
    if (dap_replay(argv[0], stdout, &result, &err) < 0) {
        fprintf(stderr, "basilisk: %s\n", err.message);
        return 2;
    }
    printf("%zu messages in %zu sessions: %zu differences\n", result.messages, result.sessions,
           result.differences);
    return result.differences ? 1 : 0;
}

const struct cli_command cli_replay = {
    "replay",   "LOG",      "play a log of `basilisk dap --log`, say what comes out differently",
    no_options, run_replay,
};
