/* What happens without being asked for each time: at every stop a snapshot and what grew, and what
 * grew since the program last stopped there; a census every so many seconds. */
#include "proxy/memory/inside.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE_MS = 3000 };

/* ---- At a stop ---------------------------------------------------------------------------------
 */

/* The snapshot of the last stop at this place, or 0; now it is `number`. */
static uint32_t visit(struct tracking *tracking, const struct dap_stop_place *place,
                      uint32_t number)
{
    for (size_t i = 0; i < tracking->visit_count; i++) {
        struct place_visit *one = &tracking->visits[i];
        if (one->place.line != place->line || strcmp(one->place.path, place->path) != 0)
            continue;
        uint32_t before = one->number;
        one->number = number;
        return before;
    }
    struct place_visit *grown = NULL;
    if (tracking->visit_count < VISITS_MAX)
        grown = realloc(tracking->visits, (tracking->visit_count + 1) * sizeof(*grown));
    if (grown) {
        tracking->visits = grown;
        grown[tracking->visit_count++] = (struct place_visit){ *place, number };
    }
    return 0;
}

static void compare(struct tracking *tracking, uint32_t from, const struct dap_stop_place *place)
{
    struct op *op = dap_op_new(tracking, NULL, dap_begin_diff, NULL, NULL);
    if (!op)
        return;
    op->by_itself = true;
    op->from = from;
    if (place) {
        op->place = *place;
        op->result.place = &op->place;
    }
    dap_op_submit(op);
}

static void after_stop(struct op *op)
{
    struct tracking *tracking = op->tracking;
    uint32_t number = tracking->last_number;
    tracking->piloted = false;
    if (op->rc != BSK_OK || tracking->state != TRACKING_RUNS || number < 2)
        return;
    uint32_t before = op->place.path[0] ? visit(tracking, &op->place, number) : 0;
    if (before > 0)
        compare(tracking, before, &op->place);
    else
        compare(tracking, 0, NULL);
}

static void taken(struct op *op)
{
    dap_tell_snapshot(op);
    if (op->tracking->last_number == 1 && op->place.path[0])
        visit(op->tracking, &op->place, 1);
    dap_op_end(op);
}

static void on_place(void *user, int rc, const char *text, size_t bytes,
                     const struct bsk_error *err)
{
    (void)err;
    struct op *op = user;
    struct json_object *message = NULL, *body = NULL, *frames = NULL, *source = NULL, *value = NULL;
    struct json_tokener *tokener = json_tokener_new();
    if (rc == BSK_OK && tokener && bytes < 1 << 24)
        message = json_tokener_parse_ex(tokener, text, (int)bytes);
    json_tokener_free(tokener);
    if (message && json_object_object_get_ex(message, "body", &body) &&
        json_object_object_get_ex(body, "stackFrames", &frames) &&
        json_object_is_type(frames, json_type_array) && json_object_array_length(frames) > 0) {
        struct json_object *frame = json_object_array_get_idx(frames, 0);
        if (json_object_object_get_ex(frame, "line", &value))
            op->place.line = (uint32_t)json_object_get_int64(value);
        if (json_object_object_get_ex(frame, "source", &source) &&
            json_object_object_get_ex(source, "path", &value) &&
            json_object_is_type(value, json_type_string))
            snprintf(op->place.path, sizeof(op->place.path), "%s", json_object_get_string(value));
    }
    json_object_put(message);
    dap_take_snapshot(op, taken);
}

static void begin_stop(struct op *op)
{
    struct member *member = op->tracking->member;
    char arguments[120];
    if (!member || !dap_session_debuggee(member->session)->stopped) {
        dap_op_fail(op, BSK_E_STATE, NULL, "The program has gone on");
        return;
    }
    snprintf(arguments, sizeof(arguments),
             "{\"threadId\":%" PRId64 ",\"startFrame\":0,\"levels\":1}",
             dap_session_debuggee(member->session)->stopped_thread);
    dap_session_ask(member->session, "stackTrace", arguments, PLACE_MS, on_place, op);
}

void dap_autopilot(struct tracking *tracking)
{
    if (!tracking->options.autopilot || tracking->state != TRACKING_RUNS || tracking->piloted)
        return; /* steps that come faster than snapshots share one */
    struct op *op = dap_op_new(tracking, NULL, begin_stop, NULL, NULL);
    if (!op)
        return;
    tracking->piloted = true;
    op->by_itself = true;
    op->after = after_stop;
    dap_op_submit(op);
}

/* ---- Census ------------------------------------------------------------------------------------
 */

static void after_census(struct op *op)
{
    op->tracking->census_due = false;
}

static void on_census(uv_timer_t *timer)
{
    struct tracking *tracking = timer->data;
    if (tracking->census_due || tracking->state != TRACKING_RUNS)
        return;
    struct op *op = dap_op_new(tracking, NULL, dap_begin_objects, NULL, NULL);
    if (!op)
        return;
    tracking->census_due = true;
    op->by_itself = true;
    op->after = after_census;
    dap_op_submit(op);
}

void dap_census_begin(struct tracking *tracking)
{
    uint64_t every_ms = (uint64_t)(tracking->options.census_s * 1000);
    if (every_ms == 0 || tracking->census)
        return;
    uv_timer_t *timer = malloc(sizeof(*timer));
    if (!timer || uv_timer_init(tracking->memory->loop, timer) != 0) {
        free(timer);
        return;
    }
    timer->data = tracking;
    tracking->census = timer;
    uv_timer_start(timer, on_census, every_ms, every_ms);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void dap_census_end(struct tracking *tracking)
{
    if (tracking->census)
        uv_close((uv_handle_t *)tracking->census, on_closed);
    tracking->census = NULL;
}
