/* The family basilisk.profiler.*: /profile, /profsnapshot, /profstop, and the `profile` key of a
 * launch or attach configuration. */
#include "engine/base/buffer.h"
#include "engine/base/strings.h"
#include "proxy/commands/family.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_LINES = 10, TOP_FUNCTIONS = 20 };

static const struct preset {
    const char *name;
    uint32_t rate_hz;
    bool native, memory;
} presets[] = {
    { "default", 100, false, false },
    { "lightweight", 25, false, false },
    { "detailed", 200, true, false },
    { "memory", 50, false, true },
};

/* ---- What was asked ----------------------------------------------------------------------------
 */

static int refuse_native(struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, "profile without them, with the preset default",
                    "Native frames are not in this build");
}

static int apply_preset(const char *name, struct dap_profiling_options *options,
                        struct bsk_error *err)
{
    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
        if (strcmp(presets[i].name, name) != 0)
            continue;
        if (presets[i].native)
            return refuse_native(err);
        options->memory = presets[i].memory;
        options->rate_hz = presets[i].rate_hz;
        return BSK_OK;
    }
    return bsk_fail(
        err, BSK_E_FORMAT,
        "take default (100 Hz), lightweight (25 Hz), memory (50 Hz, and what it allocates), or a "
        "number of Hz",
        "There is no preset \"%.60s\"", name);
}

static int apply_rate(double rate, const char *said, struct dap_profiling_options *options,
                      struct bsk_error *err)
{
    if (!(rate >= 1 && rate <= BSK_RATE_SESSION_MAX_HZ) || rate != (double)(uint32_t)rate)
        return bsk_fail(err, BSK_E_FORMAT, "100 suits most programs",
                        "sampleRate must be a whole number of Hz from 1 to %d, not %.60s",
                        BSK_RATE_SESSION_MAX_HZ, said);
    options->rate_hz = (uint32_t)rate;
    return BSK_OK;
}

static int apply_threshold(const char *key, struct json_object *value, double *out_percent,
                           struct bsk_error *err)
{
    double percent = json_object_get_double(value);
    if (!dap_is_number(value) || !(percent > 0 && percent <= 100))
        return dap_wrong_type(key, "a percentage above 0, at most 100", value, err);
    *out_percent = percent;
    return BSK_OK;
}

/* One key of the arguments or of the configuration; BSK_E_STATE for a key that there is not. */
static int apply_key(const char *key, struct json_object *value,
                     struct dap_profiling_options *options, struct bsk_error *err)
{
    if (strcmp(key, "preset") == 0)
        return BSK_OK; /* was applied first: what is said beside it wins */
    if (strcmp(key, "sampleRate") == 0) {
        double rate = dap_is_number(value) ? json_object_get_double(value) : 0;
        return apply_rate(rate, json_object_to_json_string(value), options, err);
    }
    if (strcmp(key, "pid") == 0) {
        int64_t pid = json_object_get_int64(value);
        if (!json_object_is_type(value, json_type_int) || pid < 1 || pid > INT32_MAX)
            return dap_wrong_type(key, "the number of a process", value, err);
        options->pid = (pid_t)pid;
        return BSK_OK;
    }
    if (strcmp(key, "subprocesses") == 0)
        return dap_apply_bool(key, value, &options->subprocesses, err);
    if (strcmp(key, "includeNative") == 0) {
        bool on = false;
        int rc = dap_apply_bool(key, value, &on, err);
        return rc == BSK_OK && on ? refuse_native(err) : rc;
    }
    if (strcmp(key, "lineThreshold") == 0)
        return apply_threshold(key, value, &options->thresholds.line_percent, err);
    if (strcmp(key, "functionThreshold") == 0)
        return apply_threshold(key, value, &options->thresholds.function_percent, err);
    if (strcmp(key, "outputDirectory") == 0)
        return dap_apply_folder(key, value, options->output_folder, sizeof(options->output_folder),
                                err);
    return BSK_E_STATE;
}

/* `arguments` may be NULL. With `warn_to`, keys that there are not are warned of, and `pid` is one.
 */
static int parse_options(struct json_object *arguments, struct dap_session *warn_to,
                         struct dap_profiling_options *out_options, struct bsk_error *err)
{
    struct dap_profiling_options options = { .subprocesses = true };
    struct json_object *preset = NULL;
    if (arguments && !json_object_is_type(arguments, json_type_object))
        return dap_wrong_type("what to profile", "true, a preset or an object", arguments, err);
    if (arguments && json_object_object_get_ex(arguments, "preset", &preset)) {
        if (!json_object_is_type(preset, json_type_string))
            return dap_wrong_type("preset", "a name", preset, err);
        int rc = apply_preset(json_object_get_string(preset), &options, err);
        if (rc != BSK_OK)
            return rc;
    }
    if (arguments) {
        json_object_object_foreach(arguments, key, value)
        {
            bool known = !(warn_to && strcmp(key, "pid") == 0);
            int rc = known ? apply_key(key, value, &options, err) : BSK_E_STATE;
            if (rc == BSK_E_STATE && warn_to) {
                char text[200];
                snprintf(text, sizeof(text),
                         "basilisk.profile has no key \"%.60s\"; it was left out", key);
                dap_warn(warn_to, text);
            } else if (rc != BSK_OK && rc != BSK_E_STATE) {
                return rc;
            }
        }
    }
    *out_options = options;
    return BSK_OK;
}

/* ---- In words ----------------------------------------------------------------------------------
 */

static void say_lines(struct dap_session *session, const struct bsk_totals *totals)
{
    for (size_t i = 0; i < totals->line_count && i < SHOWN_LINES; i++) {
        const struct bsk_line_total *line = &totals->lines[i];
        if (line->self_percent < 0.05)
            break; /* sorted: the rest would all be shown as 0.0 */
        enum bsk_level level = bsk_level_of_samples(line->self_percent, line->samples);
        char text[800];
        snprintf(text, sizeof(text), "%6.1f %%  %-8s  %s  (%.200s:%" PRIu32 ")\n",
                 line->self_percent, level == BSK_LEVEL_NONE ? "" : bsk_level_name(level),
                 line->function, dap_short_path(session, line->path), line->line);
        dap_session_output(session, "console", text, line->path[0] == '/' ? line->path : NULL,
                           line->line);
    }
}

static const char *why_no_samples(const struct dap_profiling_result *result)
{
    if (result->held)
        return "the program stood at a breakpoint all the time";
    if (result->status->duration_ns < 100 * 1000 * 1000)
        return "it was profiled for less than a tenth of a second";
    if (result->status->errors > 10)
        return "its stacks could not be read";
    return "the program used no CPU time while it was profiled (it slept, waited, or stood at a "
           "breakpoint)";
}

static void say_summary(struct dap_session *session, const struct dap_profiling_result *result)
{
    struct bsk_buffer text = { 0 };
    const struct bsk_recording_status *status = result->status;
    double seconds = (double)status->duration_ns / 1e9;
    if (result->totals->samples == 0) {
        bsk_buffer_printf(&text, "No samples: %s\n", why_no_samples(result));
    } else {
        bsk_buffer_printf(&text, "Hottest lines, percent of %.2f s CPU time:\n",
                          (double)result->totals->cpu_ns / 1e9);
        dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
        bsk_buffer_clear(&text);
        say_lines(session, result->totals);
    }
    bsk_buffer_printf(&text,
                      "samples: %" PRIu64 "  errors: %" PRIu64 "  torn: %" PRIu64 "  rate: %" PRIu32
                      " Hz  seconds: %.1f\n",
                      result->totals->samples, status->errors, status->torn, result->rate_hz,
                      seconds);
    if (status->missed > 0)
        bsk_buffer_printf(&text, "%" PRIu64 " samples came too late and were left out\n",
                          status->missed);
    for (size_t i = 0; i < result->paths->count; i++)
        bsk_buffer_printf(&text, "wrote: %s\n", result->paths->items[i].path);
    if (result->warning[0])
        bsk_buffer_printf(&text, "%s\n", result->warning);
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}

/* ---- Bodies ------------------------------------------------------------------------------------
 */

static void add_number(struct json_object *object, const char *key, double value)
{
    char text[64];
    snprintf(text, sizeof(text), "%.2f", value);
    json_object_object_add(object, key, json_object_new_double_s(value, text));
}

static void add_count(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_int64((int64_t)value));
}

static struct json_object *start_body(const struct dap_profiling_result *result)
{
    struct json_object *body = json_object_new_object();
    dap_add_text(body, "sessionId", result->session_id);
    add_count(body, "pid", (uint64_t)result->pid);
    add_count(body, "sampleRate", result->rate_hz);
    dap_add_text(body, "python", result->python);
    return body;
}

static struct json_object *profile_body(const struct dap_profiling_result *result)
{
    struct json_object *body = start_body(result);
    if (result->number > 0)
        add_count(body, "number", result->number);
    add_count(body, "samples", result->totals->samples);
    add_count(body, "errors", result->status->errors);
    add_count(body, "torn", result->status->torn);
    add_count(body, "missed", result->status->missed);
    add_number(body, "seconds", (double)result->status->duration_ns / 1e9);
    add_number(body, "cpuSeconds", (double)result->totals->cpu_ns / 1e9);
    dap_add_text(body, "reason", result->reason);
    if (result->warning[0])
        dap_add_text(body, "warning", result->warning);
    struct json_object *paths = json_object_new_object();
    for (size_t i = 0; i < result->paths->count; i++)
        dap_add_text(paths, result->paths->items[i].format, result->paths->items[i].path);
    json_object_object_add(body, "paths", paths);
    struct json_object *top = json_object_new_array();
    for (size_t i = 0, shown = 0; i < result->totals->function_count && shown < TOP_FUNCTIONS;
         i++) {
        const struct bsk_function_total *function = &result->totals->functions[i];
        if (function->kind != BSK_FUNCTION_PYTHON)
            continue; /* "(debugger)" has no line to go to */
        shown++;
        struct json_object *row = json_object_new_object();
        dap_add_text(row, "function", function->name);
        dap_add_text(row, "path", function->path);
        add_count(row, "line", function->first_line);
        add_number(row, "selfPercent", function->self_percent);
        add_number(row, "totalPercent", function->total_percent);
        json_object_array_add(top, row);
    }
    json_object_object_add(body, "top", top);
    return body;
}

static void send_profile(struct dap_session *session, const struct dap_profiling_result *result)
{
    if (!dap_session_client(session)->custom_events)
        return;
    struct json_object *body = profile_body(result);
    size_t bytes = 0;
    const char *text =
        json_object_to_json_string_length(body, JSON_C_TO_STRING_NOSLASHESCAPE, &bytes);
    if (text)
        dap_session_event(session, "basilisk.profile", text, bytes, DAP_MUST_ARRIVE);
    json_object_put(body);
}

static void on_ended(struct dap_session *session, const struct dap_profiling_result *result,
                     void *user)
{
    (void)user;
    say_summary(session, result);
    send_profile(session, result);
}

static void on_changed(struct dap_profiling *profiling, struct dap_session *session, void *user)
{
    (void)profiling;
    dap_send_status(session, user);
}

const struct dap_profiling_listener dap_profiler_listener = { .ended = on_ended,
                                                              .changed = on_changed };

/* ---- Requests ----------------------------------------------------------------------------------
 */

static void started(void *user, int rc, const struct dap_profiling_result *result,
                    const struct bsk_error *err)
{
    struct dap_question *question = user;
    if (rc != BSK_OK) {
        dap_question_refuse(question, err);
        return;
    }
    char words[200];
    snprintf(words, sizeof(words),
             "Profiling process %d (Python %s) at %" PRIu32 " Hz. /profstop ends the profile.",
             (int)result->pid, result->python, result->rate_hz);
    dap_question_answer(question, start_body(result), words);
}

static void written(void *user, int rc, const struct dap_profiling_result *result,
                    const struct bsk_error *err)
{
    struct dap_question *question = user;
    if (rc != BSK_OK) {
        dap_question_refuse(question, err);
        return;
    }
    char words[200];
    int used = 0;
    if (result->number > 0)
        used = snprintf(words, sizeof(words), "Profile %u: ", result->number);
    used += snprintf(words + used, sizeof(words) - (size_t)used, "%" PRIu64 " samples in %.1f s",
                     result->totals->samples, (double)result->status->duration_ns / 1e9);
    const struct dap_profiling *profiling = question->commands->profiling;
    const struct dap_written *before =
        profiling ? dap_profiling_written(profiling, result->number - 1) : NULL;
    if (before && before->has_samples && result->totals->samples > 0)
        snprintf(words + used, sizeof(words) - (size_t)used,
                 ". /profdiff %u %u compares it with the one before", result->number - 1,
                 result->number);
    dap_question_answer(question, profile_body(result), words);
}

static void snapshot_written(void *user, int rc, const struct dap_profiling_result *result,
                             const struct bsk_error *err)
{
    struct dap_question *question = user;
    struct dap_session *session = question->commands->session;
    if (rc == BSK_OK && session && question->from_console)
        say_summary(session, result);
    if (rc == BSK_OK && session && strcmp(result->reason, "snapshot") == 0)
        send_profile(session, result);
    written(user, rc, result, err);
}

static void start(struct dap_question *question, const struct dap_profiling_options *options)
{
    if (options->memory)
        dap_track_memory_too(question->commands);
    dap_profiling_start(question->commands->profiling, question->commands->session, options,
                        started, question);
}

void dap_ask_start(struct dap_question *question, struct json_object *arguments)
{
    struct dap_profiling_options options;
    struct bsk_error err = { 0 };
    if (parse_options(arguments, NULL, &options, &err) != BSK_OK)
        dap_question_refuse(question, &err);
    else
        start(question, &options);
}

void dap_say_start(struct dap_question *question, const char *rest)
{
    struct dap_profiling_options options = { .subprocesses = true };
    struct bsk_error err = { 0 };
    char word[64];
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(rest, " \t\r\n"), rest);
    char *end = NULL;
    double rate = strtod(word, &end);
    int rc = BSK_OK;
    if (word[0] && *end == '\0')
        rc = apply_rate(rate, word, &options, &err);
    else if (word[0])
        rc = apply_preset(word, &options, &err);
    if (rc != BSK_OK)
        dap_question_refuse(question, &err);
    else
        start(question, &options);
}

/* False, and answered, when `arguments` name a profile that is not the one that runs. */
static bool session_fits(struct dap_question *question, struct json_object *arguments)
{
    struct json_object *id = NULL;
    const char *running = NULL;
    if (!arguments || !json_object_object_get_ex(arguments, "sessionId", &id) ||
        !dap_profiling_running(question->commands->profiling, NULL, NULL, &running) ||
        strcmp(json_object_get_string(id) ? json_object_get_string(id) : "", running) == 0)
        return true;
    char message[200];
    snprintf(message, sizeof(message), "Unknown session %.80s", json_object_to_json_string(id));
    dap_question_refuse_with(question, BSK_E_STATE, "basilisk.status tells which one runs",
                             message);
    return false;
}

void dap_ask_snapshot(struct dap_question *question, struct json_object *arguments)
{
    if (session_fits(question, arguments))
        dap_profiling_snapshot(question->commands->profiling, question->commands->session,
                               snapshot_written, question);
}

void dap_ask_stop(struct dap_question *question, struct json_object *arguments)
{
    if (session_fits(question, arguments))
        dap_profiling_stop(question->commands->profiling, question->commands->session, written,
                           question);
}

/* ---- The configuration's key -------------------------------------------------------------------
 */

/* By configuration there is no request to answer: what goes wrong is said in the console. */
static void configured(void *user, int rc, const struct dap_profiling_result *result,
                       const struct bsk_error *err)
{
    (void)result;
    dap_question_close(user, rc, err);
}

static int parse_profile(struct json_object *profile, struct dap_session *session,
                         struct dap_profiling_options *out_options, struct bsk_error *err)
{
    *out_options = (struct dap_profiling_options){ .subprocesses = true };
    if (json_object_is_type(profile, json_type_boolean))
        return BSK_OK;
    if (json_object_is_type(profile, json_type_string))
        return apply_preset(json_object_get_string(profile), out_options, err);
    return parse_options(profile, session, out_options, err);
}

void dap_configure(struct dap_commands *commands, struct json_object *key)
{
    struct bsk_error err = { 0 };
    struct json_object *profile = NULL;
    bool memory = false;
    if (!json_object_is_type(key, json_type_object)) {
        dap_warn(commands->session, "the key \"basilisk\" must be an object, such as "
                                    "{\"profile\": true}");
        return;
    }
    json_object_object_foreach(key, name, value)
    {
        char text[200];
        if (strcmp(name, "profile") == 0) {
            profile = value;
        } else if (strcmp(name, "memory") == 0) {
            memory =
                !json_object_is_type(value, json_type_boolean) || json_object_get_boolean(value);
            dap_configure_memory(commands, value);
        } else {
            snprintf(text, sizeof(text), "there is no key \"%.60s\"; known: profile, memory", name);
            dap_warn(commands->session, text);
        }
    }
    if (!profile ||
        (json_object_is_type(profile, json_type_boolean) && !json_object_get_boolean(profile)))
        return;
    struct dap_profiling_options options;
    struct dap_question *question = NULL;
    if (parse_profile(profile, commands->session, &options, &err) != BSK_OK) {
        char sentence[1100];
        bsk_error_sentence(&err, sentence, sizeof(sentence));
        dap_warn(commands->session, sentence);
        return;
    }
    static const struct dap_request nobody_asked = { 0 };
    question = dap_question_new(commands, &nobody_asked, false);
    if (options.memory && !memory)
        dap_track_memory_too(commands);
    if (question)
        dap_profiling_start(commands->profiling, commands->session, &options, configured, question);
}
