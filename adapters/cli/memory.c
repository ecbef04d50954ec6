/* `basilisk memory`: what a running Python holds, without a debugger (CPython 3.14 and later). */
#include "adapters/cli/commands.h"
#include "adapters/cli/memory_print.h"
#include "adapters/cli/memory_progress.h"
#include "adapters/cli/memory_remote.h"
#include "engine/base/clock.h"
#include "engine/memory/growth.h"
#include "engine/memory/holders.h"
#include "engine/memory/references.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TIMEOUT_MS = 10000, DEFAULT_SECONDS = 10, DEFAULT_FRAMES = 1 };

static const struct cli_option memory_options[] = {
    { "pid", 'p', "PID", "PID", "the process: a running CPython 3.14 or later" },
    { "type", 't', "NAME", NULL,
      "references: of all objects of this type, \"Node\", \"app.Node\"" },
    { "site", 0, "PATH:LINE", NULL,
      "references: of what was allocated there since tracking began" },
    { "seconds", 'd', "SECONDS", NULL, "diff: between its snapshots; default 10" },
    { "rounds", 'n', "NUMBER", NULL, "diff: intervals; default 3" },
    { "frames", 0, "NUMBER", NULL, "stack frames for each allocation, default 1; more are costly" },
    { "timeout", 0, "SECONDS", NULL, "how long the program may take to listen; default 10" },
    { "json", 'j', NULL, NULL, "as JSON" },
    { NULL, 0, NULL, NULL, NULL },
};

struct options {
    pid_t pid;
    const char *type, *site;
    long long seconds, rounds, frames, timeout_s;
    bool json;
};

/* The first Ctrl-C ends the waiting, and what has been found by then is written; where there is
 * nothing yet, and at the second, everything ends. */
static volatile sig_atomic_t ending, holding, interrupted;
static struct cli_memory_progress *progress;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = interrupted || !holding || ending;
    ending = 1;
}

static int take_option(void *user, const struct cli_option *option, const char *value)
{
    struct options *options = user;
    const struct {
        const char *name;
        long long least, most, *number;
    } numbers[] = { { "seconds", 1, 86400, &options->seconds },
                    { "rounds", 1, 60, &options->rounds },
                    { "frames", 1, 32, &options->frames },
                    { "timeout", 1, 3600, &options->timeout_s } };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (cli_is(option, numbers[i].name))
            return cli_number(option, value, numbers[i].least, numbers[i].most, numbers[i].number);
    }
    if (cli_is(option, "pid"))
        return cli_pid(option, value, &options->pid);
    if (cli_is(option, "type"))
        options->type = value;
    if (cli_is(option, "site"))
        options->site = value;
    if (cli_is(option, "json"))
        options->json = true;
    return 0;
}

/* --- snapshots ------------------------------------------------------------------------------- */

static int start_tracking(struct cli_remote *remote, const struct options *options,
                          struct bsk_error *err)
{
    const struct bsk_memory_job_result *result;
    struct bsk_script_options script = { { 0 } };
    bsk_script_option_int(&script, "frames", options->frames);
    return cli_remote_job(remote, &bsk_script_start, &script, &result, err);
}

static int take_snapshot(struct cli_remote *remote, const struct options *options,
                         struct bsk_memory_history *history, struct bsk_error *err)
{
    const struct bsk_memory_job_result *result;
    struct bsk_memory_snapshot *snapshot = NULL;
    char root[64];
    int rc = cli_remote_job(remote, &bsk_script_snapshot, NULL, &result, err);
    if (rc == BSK_OK)
        rc = bsk_memory_snapshot_new(result, &snapshot, err);
    if (rc < 0)
        return rc;
    snprintf(root, sizeof(root), "/proc/%d/root", (int)options->pid);
    bsk_memory_snapshot_explain(snapshot, root);
    return bsk_memory_history_add(history, snapshot, err);
}

static void end_progress(void)
{
    cli_memory_progress_close(progress);
    progress = NULL;
}

static int run_snapshot(struct cli_remote *remote, const struct options *options,
                        struct bsk_error *err)
{
    struct bsk_memory_history *history = bsk_memory_history_new();
    if (!history)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory");
    cli_memory_progress_say(progress, 0, "snapshot of process %d", (int)options->pid);
    int rc = start_tracking(remote, options, err);
    if (rc == BSK_OK)
        rc = take_snapshot(remote, options, history, err);
    end_progress();
    if (rc == BSK_OK)
        cli_memory_print_snapshot(bsk_memory_history_get(history, 0), options->json);
    bsk_memory_history_free(history);
    return rc;
}

/* Looks at the graph for the sites that may be leaks, as a debug session does. */
struct looked {
    char path[1024];
    uint32_t line;
    struct bsk_hold hold;
};

/* The names of holders; without them each is told by its type and its module. */
static void name_holders(struct cli_remote *remote, const struct bsk_graph *graph,
                         struct looked *const of[], struct bsk_evidence *evidence, size_t count)
{
    uint64_t ids[BSK_HOLDERS_MAX];
    size_t id_count = 0;
    const struct bsk_memory_job_result *result;
    struct bsk_script_options script = { { 0 } };
    struct bsk_references *refs = NULL;
    for (size_t i = 0; i < count && id_count < BSK_HOLDERS_MAX; i++)
        if (evidence[i].holder[0])
            ids[id_count++] = of[i]->hold.holder_id;
    if (id_count == 0 || bsk_holders_make(graph, ids, id_count, &refs, NULL) != BSK_OK)
        return;
    if (bsk_holders_options(refs, &script, NULL) == BSK_OK &&
        cli_remote_job(remote, &bsk_script_references, &script, &result, NULL) == BSK_OK &&
        bsk_references_label(refs, result->value, NULL) == BSK_OK) {
        for (size_t i = 0; i < count; i++)
            if (evidence[i].holder[0])
                bsk_holder_name(refs, of[i]->hold.holder_id, evidence[i].holder,
                                BSK_HOLDER_NAME_BYTES);
    }
    bsk_references_free(refs);
}

static int look_at_graph(struct cli_remote *remote, struct bsk_memory_history *history,
                         struct looked *looked, size_t *looked_count, size_t most,
                         struct bsk_error *err)
{
    struct bsk_memory_diff *diff = NULL;
    struct bsk_references_site sites[16];
    struct looked *of[16];
    struct bsk_evidence evidence[16] = { { 0 } };
    size_t count = 0;
    int rc = bsk_memory_history_diff(history, 0, 0, &diff, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < diff->leak_count && count < 16; i++) {
        const struct bsk_leak *leak = &diff->leaks[i];
        struct looked *found = NULL;
        if (leak->growth_bytes <= 0 || strlen(leak->path) >= sizeof(found->path))
            continue;
        for (size_t j = 0; j < *looked_count; j++)
            if (looked[j].line == leak->line && strcmp(looked[j].path, leak->path) == 0)
                found = &looked[j];
        if (!found && *looked_count < most) {
            found = &looked[(*looked_count)++];
            snprintf(found->path, sizeof(found->path), "%s", leak->path);
            found->line = leak->line;
        }
        if (!found)
            continue;
        of[count] = found;
        sites[count++] = (struct bsk_references_site){ found->path, found->line };
    }
    bsk_memory_diff_free(diff);
    if (count == 0)
        return BSK_OK;
    const struct bsk_references_wish wish = { .sites = sites, .site_count = count };
    const struct bsk_memory_job_result *result;
    struct bsk_script_options script = { { 0 } };
    struct bsk_graph *graph = NULL;
    rc = bsk_references_options(&wish, &script, err);
    if (rc == BSK_OK)
        rc = cli_remote_job(remote, &bsk_script_references, &script, &result, err);
    if (rc == BSK_OK)
        rc = bsk_graph_read(result->dump, result->dump_bytes, &graph, err);
    for (size_t i = 0; rc == BSK_OK && i < count; i++) {
        struct bsk_nodes objects = { NULL, 0 };
        rc = bsk_graph_of_group(graph, (uint32_t)i, &objects, err);
        if (rc == BSK_OK)
            rc = bsk_hold_look(graph, &objects, &of[i]->hold, &evidence[i], err);
        bsk_nodes_free(&objects);
    }
    if (rc == BSK_OK)
        name_holders(remote, graph, of, evidence, count);
    for (size_t i = 0; rc == BSK_OK && i < count; i++)
        bsk_memory_history_evidence(history, of[i]->path, of[i]->line, &evidence[i], NULL);
    bsk_graph_free(graph);
    return rc;
}

/* Until it is time, or a signal asks for an end. */
static void wait_for_round(long long seconds)
{
    enum { SLICE_MS = 100 }; /* a signal that comes just before poll() is seen after it */
    uint64_t end = bsk_now_ns() + (uint64_t)seconds * 1000000000;
    while (!ending && bsk_now_ns() < end) {
        uint64_t left_ms = (end - bsk_now_ns()) / 1000000;
        poll(NULL, 0, left_ms < SLICE_MS ? (int)left_ms + 1 : SLICE_MS);
    }
}

static int run_diff(struct cli_remote *remote, const struct options *options, struct bsk_error *err)
{
    enum { MOST = 64 };
    struct bsk_memory_history *history = bsk_memory_history_new();
    struct looked *looked = calloc(MOST, sizeof(*looked));
    struct bsk_memory_diff *diff = NULL;
    size_t looked_count = 0;
    int rc = history && looked ? BSK_OK : bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory");
    cli_memory_progress_say(progress, 0, "snapshot 1 of %lld", options->rounds + 1);
    if (rc == BSK_OK)
        rc = start_tracking(remote, options, err);
    if (rc == BSK_OK)
        rc = take_snapshot(remote, options, history, err);
    holding = rc == BSK_OK;
    for (long long round = 0; rc == BSK_OK && !(round > 0 && ending) && round < options->rounds;
         round++) {
        cli_memory_progress_say(progress, (double)options->seconds, "snapshot %lld of %lld",
                                round + 2, options->rounds + 1);
        wait_for_round(options->seconds);
        cli_memory_progress_say(progress, 0, "snapshot %lld of %lld", round + 2,
                                options->rounds + 1);
        rc = take_snapshot(remote, options, history, err);
        if (rc == BSK_OK)
            rc = look_at_graph(remote, history, looked, &looked_count, MOST, err);
    }
    end_progress();
    /* What was found before something failed is worth as much. */
    const struct bsk_memory_snapshot *last = holding ? bsk_memory_history_get(history, 0) : NULL;
    struct bsk_error *diff_err = rc == BSK_OK ? err : NULL;
    if (last && last->number > 1) {
        int diff_rc = bsk_memory_history_diff(history, 1, 0, &diff, diff_err);
        if (diff_rc == BSK_OK)
            cli_memory_print_diff(diff, options->json);
        rc = rc == BSK_OK ? diff_rc : rc;
    }
    bsk_memory_diff_free(diff);
    free(looked);
    bsk_memory_history_free(history);
    return rc;
}

/* --- references ------------------------------------------------------------------------------ */

static int label(struct cli_remote *remote, struct bsk_references *refs, struct bsk_error *err)
{
    const struct bsk_memory_job_result *result;
    struct bsk_script_options script = { { 0 } };
    int rc = bsk_references_label_options(refs, false, &script, err);
    if (rc == BSK_OK)
        rc = cli_remote_job(remote, &bsk_script_references, &script, &result, err);
    return rc == BSK_OK ? bsk_references_label(refs, result->value, err) : rc;
}

static int run_references(struct cli_remote *remote, const struct options *options,
                          struct bsk_error *err)
{
    char path[4096] = "";
    const struct bsk_memory_job_result *result;
    struct bsk_script_options script = { { 0 } };
    struct bsk_references_site site = { path, 0 };
    struct bsk_references_wish wish = { 0 };
    if (options->site) {
        const char *colon = strrchr(options->site, ':');
        snprintf(path, sizeof(path), "%.*s", (int)(colon - options->site), options->site);
        site.line = (uint32_t)strtoul(colon + 1, NULL, 10);
        wish = (struct bsk_references_wish){ .sites = &site, .site_count = 1 };
    }
    struct bsk_graph *graph = NULL;
    struct bsk_references *refs = NULL;
    struct bsk_nodes targets = { NULL, 0 };
    cli_memory_progress_say(progress, 0, "what holds what in process %d", (int)options->pid);
    int rc = bsk_references_options(&wish, &script, err);
    if (rc == BSK_OK)
        rc = cli_remote_job(remote, &bsk_script_references, &script, &result, err);
    if (rc == BSK_OK)
        rc = bsk_graph_read(result->dump, result->dump_bytes, &graph, err);
    if (rc == BSK_OK)
        rc = options->site ? bsk_graph_of_group(graph, 0, &targets, err)
                           : bsk_graph_of_type(graph, options->type, &targets, err);
    if (rc == BSK_OK)
        rc = bsk_references_make(graph, &targets, options->site ? options->site : options->type, 0,
                                 &refs, err);
    if (rc == BSK_OK)
        rc = label(remote, refs, err);
    end_progress();
    if (rc == BSK_OK)
        cli_memory_print_references(refs, options->json);
    bsk_nodes_free(&targets);
    bsk_references_free(refs);
    bsk_graph_free(graph);
    return rc;
}

static int run_stop(struct cli_remote *remote, struct bsk_error *err)
{
    const struct bsk_memory_job_result *result;
    int rc = cli_remote_job(remote, &bsk_script_stop, NULL, &result, err);
    end_progress();
    if (rc == BSK_OK)
        puts(bsk_value_is_true(result->value, "stopped")
                 ? "Memory tracking has stopped."
                 : "Memory was not tracked by Basilisk: nothing was stopped.");
    return rc;
}

/* --- the command ----------------------------------------------------------------------------- */

static bool is_site(const char *site)
{
    const char *colon = strrchr(site, ':');
    return colon && colon > site && colon[1] >= '1' && colon[1] <= '9' &&
           strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct options options = { .seconds = DEFAULT_SECONDS,
                               .rounds = 3,
                               .frames = DEFAULT_FRAMES,
                               .timeout_s = DEFAULT_TIMEOUT_MS / 1000 };
    static const char *const verbs[] = { "snapshot", "diff", "references", "stop" };
    int plain = 0, rest = 0, verb = -1;
    int rc = cli_parse(command, argc, argv, take_option, &options, &plain, &rest);
    if (rc != 0)
        return rc;
    for (int i = 0; plain == 1 && i < 4; i++)
        if (strcmp(argv[0], verbs[i]) == 0)
            verb = i;
    if (verb < 0 || rest < argc)
        return cli_usage("memory needs one of: snapshot, diff, references, stop");
    if (options.pid == 0)
        return cli_usage("memory needs --pid");
    if (verb == 2 && (options.type != NULL) == (options.site != NULL))
        return cli_usage("references needs --type or --site");
    if (options.site && !is_site(options.site))
        return cli_usage("--site is PATH:LINE, not \"%s\"", options.site);

    const struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct bsk_error err = { 0 };
    struct cli_remote *remote = NULL;
    progress = cli_memory_progress_open();
    bool at_terminal = progress != NULL;
    cli_memory_progress_say(progress, 0, "waiting for process %d to listen", (int)options.pid);
    rc = cli_remote_open(options.pid, (uint32_t)options.timeout_s * 1000, &interrupted, &remote,
                         &err);
    if (rc == BSK_OK)
        rc = verb == 0   ? run_snapshot(remote, &options, &err)
             : verb == 1 ? run_diff(remote, &options, &err)
             : verb == 2 ? run_references(remote, &options, &err)
                         : run_stop(remote, &err);
    end_progress();
    bool tracked = remote && verb < 2;
    cli_remote_close(remote, verb < 2);
    if (at_terminal && tracked && rc == BSK_OK)
        fprintf(stderr, "Its memory is tracked on: `basilisk memory stop -p %d` ends that.\n",
                (int)options.pid);
    return rc == BSK_OK ? 0 : cli_fail(&err);
}

const struct cli_command cli_memory = {
    "memory",
    "(snapshot | diff | references | stop) -p PID [options]",
    "what a running Python (3.14 and later) holds, what grows, what holds it",
    memory_options,
    run,
};
