/* Start, snapshot, stop. */
#include "proxy/memory/inside.h"

#include "engine/export/export.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char start_script[] = "import _tracemalloc, sys, os\n"
                                   "foreign = _tracemalloc.is_tracing()\n"
                                   "if not foreign:\n"
                                   "    _tracemalloc.start(_arguments['frames'])\n"
                                   "_answer({'foreign': foreign, 'pid': os.getpid(), 'python': "
                                   "'%d.%d.%d' % sys.version_info[:3]})\n";

static const char snapshot_script[] =
    "import _tracemalloc\n"
    "sites = {}\n"
    "for trace in _tracemalloc._get_traces():\n"
    "    place = trace[2][0]\n"
    "    row = sites.setdefault(place, [0, 0])\n"
    "    row[0] += trace[1]\n"
    "    row[1] += 1\n"
    "rows = sorted(((b, n, p[0], p[1]) for p, (b, n) in sites.items()), reverse=True)[:100]\n"
    "traced, peak = _tracemalloc.get_traced_memory()\n"
    "_answer({'traced': traced, 'peak': peak, 'sites': rows})\n";

static const char stop_script[] = "import _tracemalloc\n"
                                  "if not _arguments['foreign']:\n"
                                  "    _tracemalloc.stop()\n"
                                  "_answer('')\n";

static struct json_object *parse(struct op *op)
{
    struct json_object *answer = json_tokener_parse(op->answer->text);
    if (!answer)
        dap_op_fail(op, BSK_E_FORMAT, NULL, "the debuggee's answer is not what was asked for");
    return answer;
}

static void started(struct op *op)
{
    struct tracking *tracking = op->tracking;
    struct json_object *answer = parse(op);
    if (!answer)
        return;
    tracking->foreign = json_object_get_boolean(json_object_object_get(answer, "foreign"));
    tracking->pid = json_object_get_int(json_object_object_get(answer, "pid"));
    snprintf(tracking->python, sizeof(tracking->python), "%s",
             json_object_get_string(json_object_object_get(answer, "python")));
    json_object_put(answer);
    tracking->state = TRACKING_RUNS;
    dap_op_end(op);
}

static void after_start(struct op *op)
{
    struct dap_session *session = dap_memory_audience(op->tracking);
    if (op->rc != BSK_OK)
        dap_tracking_forget(op->tracking);
    else if (session)
        op->tracking->memory->listener->changed(session, op->tracking->memory->user);
}

void dap_begin_start(struct op *op)
{
    char arguments[64];
    snprintf(arguments, sizeof(arguments), "{'frames': %u}", op->tracking->options.frames);
    op->after = after_start;
    dap_op_run(op, &(struct bsk_job){ .source = start_script, .arguments = arguments }, started);
}

static void taken(struct op *op)
{
    struct json_object *answer = parse(op);
    if (!answer)
        return;
    struct bsk_memory_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    struct json_object *rows = json_object_object_get(answer, "sites");
    size_t count = json_object_array_length(rows);
    struct bsk_memory_site *sites = calloc(count + 1, sizeof(*sites));
    for (size_t i = 0; i < count; i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        sites[i].bytes = json_object_get_uint64(json_object_array_get_idx(row, 0));
        sites[i].count = json_object_get_uint64(json_object_array_get_idx(row, 1));
        sites[i].path = strdup(json_object_get_string(json_object_array_get_idx(row, 2)));
        sites[i].line = (uint32_t)json_object_get_int(json_object_array_get_idx(row, 3));
        sites[i].function = sites[i].text = "";
    }
    snapshot->traced_bytes = json_object_get_uint64(json_object_object_get(answer, "traced"));
    snapshot->peak_bytes = json_object_get_uint64(json_object_object_get(answer, "peak"));
    snapshot->sites = sites;
    snapshot->site_count = snapshot->top_count = count;
    json_object_put(answer);
    op->snapshot = snapshot;
    op->result.snapshot = snapshot;
    struct dap_session *session = dap_memory_audience(op->tracking);
    op->tracking->memory->listener->snapshot(session, dap_op_result(op),
                                             op->tracking->memory->user);
    dap_op_end(op);
}

void dap_begin_snapshot(struct op *op)
{
    dap_op_run(op, &(struct bsk_job){ .source = snapshot_script }, taken);
}

static void stopped(struct op *op)
{
    dap_tracking_ended(op->tracking);
    dap_op_end(op);
}

void dap_begin_stop(struct op *op)
{
    char arguments[64];
    snprintf(arguments, sizeof(arguments), "{'foreign': %s}",
             op->tracking->foreign ? "True" : "False");
    dap_op_run(op, &(struct bsk_job){ .source = stop_script, .arguments = arguments }, stopped);
}
