#include "adapters/cli/commands.h"

#include "proxy/commands/commands.h"
#include "proxy/session/link.h"
#include "proxy/wire/log.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct address {
    char host[256];
    uint16_t port;
    bool given;
};

enum { PYTHONS_MAX = 8 };

struct options {
    struct address listen, connect;
    const char *python, *log;
    char **command; /* after "--", or NULL */
    char *pythons[PYTHONS_MAX + 1];
};

struct run {
    struct dap_hub *hub;
    uv_signal_t signals[3];
    bool failed, has_signals;
};

/* ---- the command line
 * -------------------------------------------------------------------------------- */

/* HOST:PORT, [V6]:PORT, :PORT or PORT; without a host loopback. */
static bool parse_address(const char *text, struct address *out)
{
    const char *colon = strrchr(text, ':');
    const char *digits = colon ? colon + 1 : text;
    size_t host = colon ? (size_t)(colon - text) : 0;
    char *end = NULL;
    long port = strtol(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || port > 65535 || host >= sizeof(out->host))
        return false;
    if (host >= 2 && text[0] == '[' && text[host - 1] == ']') {
        text++;
        host -= 2;
    }
    snprintf(out->host, sizeof(out->host), "%.*s", (int)host, host ? text : "");
    if (host == 0)
        snprintf(out->host, sizeof(out->host), "127.0.0.1");
    out->port = (uint16_t)port;
    out->given = true;
    return true;
}

static const struct cli_option dap_options[] = {
    { "listen", 0, "HOST:PORT", NULL, "serve editors over TCP instead of stdio" },
    { "connect", 0, "HOST:PORT", NULL, "go to a debug adapter that runs already" },
    { "python", 0, "PATH", "FILE", "the interpreter whose debugpy is used, and no other" },
    { "log", 0, "FILE", "FILE", "write all messages there, for `basilisk replay`" },
    { NULL, 0, NULL, NULL, NULL },
};

static int take_option(void *user, const struct cli_option *option, const char *value)
{
    struct options *options = user;
    if (!*value)
        return cli_usage("--%s wants %s", option->name, option->argument);
    if (cli_is(option, "listen")) {
        if (!parse_address(value, &options->listen))
            return cli_usage("--listen wants HOST:PORT, not '%s'", value);
    } else if (cli_is(option, "connect")) {
        if (!parse_address(value, &options->connect) || options->connect.port == 0)
            return cli_usage("--connect wants HOST:PORT, not '%s'", value);
    } else if (cli_is(option, "python")) {
        options->python = value;
    } else {
        options->log = value;
    }
    return 0;
}

static int parse_options(const struct cli_command *command, int argc, char **argv,
                         struct options *options)
{
    int plain = 0, rest = argc;
    bool has_command = false;
    for (int i = 0; i < argc && !has_command; i++)
        has_command = strcmp(argv[i], "--") == 0;
    int rc = cli_parse(command, argc, argv, take_option, options, &plain, &rest);
    if (rc != 0)
        return rc;
    if (plain > 0)
        return cli_usage("there is no option '%s'", argv[0]);
    if (has_command && rest == argc)
        return cli_usage("a command is missing after '--'");
    if (rest < argc)
        options->command = argv + rest;
    if (options->connect.given && (options->command || options->python))
        return cli_usage("--connect goes to an adapter that runs already: no --python, no command");
    return 0;
}

/* ---- which Python
 * --------------------------------------------------------------------------------------- */

static void add_python(struct options *options, const char *path)
{
    size_t count = 0;
    while (options->pythons[count]) {
        if (strcmp(options->pythons[count++], path) == 0)
            return;
    }
    if (count < PYTHONS_MAX)
        options->pythons[count] = strdup(path);
}

/* Everything of that name on PATH, in its order: the first may be one without debugpy. */
static void add_from_path(struct options *options, const char *name)
{
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/bin:/bin"; at;) {
        const char *colon = strchr(at, ':');
        size_t length = colon ? (size_t)(colon - at) : strlen(at);
        char full[PATH_MAX];
        snprintf(full, sizeof(full), "%.*s/%s", (int)length, at, name);
        if (length > 0 && access(full, X_OK) == 0)
            add_python(options, full);
        at = colon ? colon + 1 : NULL;
    }
}

static void find_pythons(struct options *options)
{
    const char *environment = getenv("VIRTUAL_ENV");
    if (options
            ->python) { /* who names one means that one: another in its place would be a surprise */
        add_python(options, options->python);
        return;
    }
    if (environment && *environment) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/bin/python", environment);
        if (access(path, X_OK) == 0)
            add_python(options, path);
    }
    add_from_path(options, "python3");
    add_from_path(options, "python");
}

/* ---- running
 * -----------------------------------------------------------------------------------------------
 */

static void on_signal(uv_signal_t *handle, int number)
{
    struct run *run = handle->data;
    (void)number;
    dap_hub_stop(run->hub);
}

static void on_idle(void *user, const struct bsk_error *why)
{
    struct run *run = user;
    run->failed |= why != NULL;
    for (size_t i = 0; run->has_signals && i < 3; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
    run->has_signals = false;
}

static void watch_signals(uv_loop_t *loop, struct run *run)
{
    static const int numbers[3] = { SIGTERM, SIGINT, SIGHUP };
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(loop, &run->signals[i]);
        run->signals[i].data = run;
        uv_signal_start(&run->signals[i], on_signal, numbers[i]);
    }
    run->has_signals = true;
}

static int serve(struct run *run, const struct options *options, struct bsk_error *err)
{
    uint16_t port = 0;
    if (!options->listen.given) /* duplicates, so that closing leaves no hole at 0 and 1 */
        return dap_hub_serve(run->hub, dup(STDIN_FILENO), dup(STDOUT_FILENO), err);
    int rc = dap_hub_listen(run->hub, options->listen.host, options->listen.port, &port, err);
    if (rc == BSK_OK)
        fprintf(stderr, "Basilisk listens on %s:%u\n", options->listen.host, port);
    return rc;
}

static int run_hub(const struct options *options, struct dap_log *log)
{
    struct bsk_error err = { 0 };
    struct run run = { 0 };
    uv_loop_t loop;
    const struct dap_hub_options hub_options = {
        .extension = &dap_basilisk,
        .extension_user = &loop,
        .connect_host = options->connect.given ? options->connect.host : NULL,
        .connect_port = options->connect.port,
        .command = options->command,
        .pythons = (char **)options->pythons,
        .log = log,
        .on_idle = on_idle,
        .user = &run,
    };
    uv_loop_init(&loop);
    int rc = dap_hub_open(&loop, &hub_options, &run.hub, &err);
    if (rc == BSK_OK) {
        watch_signals(&loop, &run);
        rc = serve(&run, options, &err);
        if (rc < 0) {
            fprintf(stderr, "basilisk: %s\n", err.message);
            on_idle(&run, &err);
        }
        uv_run(&loop, UV_RUN_DEFAULT);
        dap_hub_close(run.hub);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&loop);
    return rc < 0 || run.failed ? 1 : 0;
}

static int run_dap(const struct cli_command *command, int argc, char **argv)
{
    struct options options = { 0 };
    struct bsk_error err = { 0 };
    struct dap_log *log = NULL;
    int rc = parse_options(command, argc, argv, &options);
    if (rc != 0)
        return rc;
    if (!options.log)
        options.log = getenv("BASILISK_LOG");
    if (options.log && *options.log && dap_log_open(options.log, &log, &err) < 0) {
        fprintf(stderr, "basilisk: %s\n", err.message);
        return 1;
    }
    if (!options.command && !options.connect.given)
        find_pythons(&options);
    rc = run_hub(&options, log);
    dap_log_close(log);
    for (size_t i = 0; i < PYTHONS_MAX; i++)
        free(options.pythons[i]);
    return rc;
}

const struct cli_command cli_dap = {
    "dap",
    "[--listen HOST:PORT] [--connect HOST:PORT] [--python PATH] [--log FILE] [-- ADAPTER...]",
    "stand between an editor and debugpy",
    dap_options,
    run_dap,
};
