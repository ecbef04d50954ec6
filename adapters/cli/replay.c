#include "adapters/cli/dap.h"

#include "proxy/session/replay.h"

#include <stdio.h>

int cli_replay(int argc, char **argv)
{
    struct dap_replay_result result = { 0 };
    struct bsk_error err = { 0 };
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
