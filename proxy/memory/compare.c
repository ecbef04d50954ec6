/* A diff: what grew, and, where it can be asked, what the reference graph says to that. */
#include "proxy/memory/inside.h"

#include "engine/base/json.h"
#include "engine/findings/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUSPECTS_MAX = 32 };

static struct bsk_hold *hold_of(struct tracking *tracking, const char *path, uint32_t line)
{
    for (size_t i = 0; i < tracking->hold_count; i++) {
        struct hold_entry *entry = &tracking->holds[i];
        if (entry->line == line && strcmp(entry->path, path) == 0)
            return &entry->hold;
    }
    if (tracking->hold_count == HOLDS_MAX)
        return NULL;
    struct hold_entry *grown =
        realloc(tracking->holds, (tracking->hold_count + 1) * sizeof(*grown));
    if (!grown)
        return NULL;
    tracking->holds = grown;
    struct hold_entry *entry = &grown[tracking->hold_count];
    *entry = (struct hold_entry){ .path = strdup(path), .line = line };
    if (!entry->path)
        return NULL;
    tracking->hold_count++;
    return &entry->hold;
}

void dap_holds_free(struct tracking *tracking)
{
    for (size_t i = 0; i < tracking->hold_count; i++)
        free(tracking->holds[i].path);
    free(tracking->holds);
}

/* The leaks that the graph is asked about: those that growth alone calls medium or more. */
static size_t suspects_of(const struct bsk_memory_diff *diff,
                          struct bsk_references_site out[SUSPECTS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < diff->leak_count && count < SUSPECTS_MAX; i++) {
        if (diff->leaks[i].band >= BSK_LEAK_MEDIUM)
            out[count++] = (struct bsk_references_site){ .path = diff->leaks[i].path,
                                                         .line = diff->leaks[i].line };
    }
    return count;
}

/* ---- The end -----------------------------------------------------------------------------------
 */

static void say_diagnostics(struct op *op, struct dap_session *session)
{
    struct dap_memory *memory = op->tracking->memory;
    const char **paths = calloc(op->diff->leak_count + 1, sizeof(*paths));
    /* Only while it is tracked: afterwards nobody would take them away again. */
    if (!paths || op->tracking->state != TRACKING_RUNS || op->is_last) {
        free(paths);
        return;
    }
    if (!memory->sources)
        memory->sources = bsk_source_cache_new();
    size_t count = bsk_memory_finding_paths(op->diff, paths);
    dap_diagnostics_begin(memory->diagnostics, op->tracking);
    for (size_t i = 0; i < count; i++) {
        struct bsk_buffer list = { 0 };
        struct bsk_json json = { .out = &list };
        bsk_memory_findings_write(memory->sources, op->diff, paths[i], &json);
        if (!list.failed && paths[i][0] == '/')
            dap_diagnostics_say(memory->diagnostics, session, op->tracking, paths[i], list.data,
                                list.size);
        bsk_buffer_free(&list);
    }
    dap_diagnostics_end(memory->diagnostics, session, op->tracking);
    free(paths);
}

static void tell(struct op *op)
{
    const struct dap_memory *memory = op->tracking->memory;
    struct dap_session *session = dap_memory_audience(op->tracking);
    op->result.diff = op->diff;
    op->result.diff_note = op->diff_note;
    if (session) {
        say_diagnostics(op, session);
        memory->listener->diff(session, dap_op_result(op), memory->user);
    }
    dap_op_end(op);
}

/* On a worker. */
static void compare(struct op *op)
{
    op->rc = bsk_memory_history_diff(op->tracking->history, op->from, op->to, &op->diff, &op->err);
    if (op->rc == BSK_OK)
        dap_infer_leaks(op);
}

/* ---- The graph ---------------------------------------------------------------------------------
 */

static void look_at(const struct op *op, uint32_t group, struct leak_look *look)
{
    struct bsk_nodes objects = { 0 };
    struct bsk_hold *hold = hold_of(op->tracking, look->path, look->line);
    if (!hold || bsk_graph_of_group(op->graph, group, &objects, NULL) != BSK_OK)
        return;
    look->seen = bsk_hold_look(op->graph, &objects, hold, &look->evidence, NULL) == BSK_OK;
    if (look->seen && look->evidence.holder[0])
        look->holder_id = hold->holder_id;
    bsk_nodes_free(&objects);
}

/* On a worker: what each suspect hangs on, and the way there, which has no names yet. */
static void weigh(struct op *op)
{
    struct bsk_error err = { 0 };
    struct bsk_references_site sites[SUSPECTS_MAX];
    uint64_t holders[SUSPECTS_MAX];
    size_t count = suspects_of(op->diff, sites), holder_count = 0;
    int rc = bsk_graph_read(op->job_result->dump, op->job_result->dump_bytes, &op->graph, &err);
    if (rc == BSK_OK && !(op->looks_at = calloc(count, sizeof(*op->looks_at))))
        rc = bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory");
    for (size_t i = 0; rc == BSK_OK && op->looks_at && i < count; i++) {
        struct leak_look *look = &op->looks_at[op->look_count++];
        *look = (struct leak_look){ .path = sites[i].path, .line = sites[i].line };
        look_at(op, (uint32_t)i, look); /* one that fails is without evidence */
        if (look->holder_id)
            holders[holder_count++] = look->holder_id;
    }
    if (holder_count > 0)
        bsk_holders_make(op->graph, holders, holder_count, &op->references, NULL);
    bsk_graph_free(op->graph);
    op->graph = NULL;
    if (rc != BSK_OK)
        snprintf(op->diff_note, sizeof(op->diff_note), "what holds it is not known: %.400s",
                 err.message);
}

/* On a worker: the history hears of it, and the diff is made anew. */
static void conclude(struct op *op)
{
    for (size_t i = 0; i < op->look_count; i++) {
        struct leak_look *look = &op->looks_at[i];
        if (op->references && look->holder_id)
            bsk_holder_name(op->references, look->holder_id, look->evidence.holder,
                            BSK_HOLDER_NAME_BYTES);
        if (look->seen)
            bsk_memory_history_evidence(op->tracking->history, look->path, look->line,
                                        &look->evidence, NULL);
    }
    bsk_memory_diff_free(op->diff);
    op->diff = NULL;
    compare(op);
}

static void name_and_conclude(struct op *op)
{
    bsk_references_label(op->references, op->job_result->value, NULL); /* else: unnamed */
    conclude(op);
}

static void have_names(struct op *op)
{
    dap_op_work(op, name_and_conclude, tell);
}

/* A holder is then told by its type and its module alone. */
static void no_names(struct op *op)
{
    op->rc = BSK_OK;
    op->on_failure = NULL;
    dap_op_work(op, conclude, tell);
}

static void ask_names(struct op *op)
{
    struct bsk_script_options options = { 0 };
    if (op->look_count == 0) {
        tell(op);
        return;
    }
    if (!op->references || !op->tracking->member || op->tracking->state != TRACKING_RUNS ||
        bsk_holders_options(op->references, &options, NULL) != BSK_OK) {
        bsk_buffer_free(&options.text);
        no_names(op);
        return;
    }
    op->on_failure = no_names;
    dap_op_script(op, &bsk_script_references, &options, have_names);
}

static void have_graph(struct op *op)
{
    dap_op_work(op, weigh, ask_names);
}

/* The diff stands without it. */
static void no_graph(struct op *op)
{
    snprintf(op->diff_note, sizeof(op->diff_note), "what holds it is not known: %.400s",
             op->err.message);
    op->rc = BSK_OK;
    op->on_failure = NULL;
    tell(op);
}

static void ask_graph(struct op *op)
{
    struct tracking *tracking = op->tracking;
    struct bsk_references_site sites[SUSPECTS_MAX];
    struct bsk_references_wish wish = { .sites = sites };
    struct bsk_script_options options = { 0 };
    wish.site_count = suspects_of(op->diff, sites);
    /* It can only speak of now: of the newest snapshot, once. */
    if (wish.site_count == 0 || op->is_last || !tracking->member ||
        tracking->state != TRACKING_RUNS || op->diff->to != tracking->last_number ||
        tracking->evidence_of == tracking->last_number ||
        bsk_references_options(&wish, &options, NULL) != BSK_OK) {
        bsk_buffer_free(&options.text);
        tell(op);
        return;
    }
    tracking->evidence_of = tracking->last_number;
    op->on_failure = no_graph;
    dap_op_script(op, &bsk_script_references, &options, have_graph);
}

/* ---- Growth ------------------------------------------------------------------------------------
 */

static void have_profile(struct op *op)
{
    dap_op_work(op, compare, ask_graph);
}

void dap_begin_diff(struct op *op)
{
    dap_op_profile(op, have_profile);
}
