/* The family basilisk.memory.*: /memleak, /memsnap, /memstop and the key `memory` of a launch or
 * attach configuration. */
#include "engine/base/buffer.h"
#include "proxy/commands/family.h"
#include "proxy/commands/memory_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Events ------------------------------------------------------------------------------------
 */

/* Takes over `body`. */
static void send_event(struct dap_session *session, const char *kind, struct json_object *body)
{
    size_t bytes = 0;
    json_object_object_add(body, "kind", json_object_new_string(kind));
    const char *text =
        json_object_to_json_string_length(body, JSON_C_TO_STRING_NOSLASHESCAPE, &bytes);
    if (text && dap_session_client(session)->custom_events)
        dap_session_event(session, "basilisk.memory", text, bytes, DAP_MUST_ARRIVE);
    json_object_put(body);
}

static void on_snapshot(struct dap_session *session, const struct dap_memory_result *result,
                        void *user)
{
    (void)user;
    send_event(session, "snapshot", dap_memory_snapshot_body(result));
    if (result->by_itself)
        dap_say_snapshot_table(session, result);
}

static void on_diff(struct dap_session *session, const struct dap_memory_result *result, void *user)
{
    (void)user;
    send_event(session, "diff", dap_memory_diff_body(result));
    if (result->by_itself)
        dap_say_diff_table(session, result);
}

static void on_census(struct dap_session *session, const struct dap_memory_result *result,
                      void *user)
{
    (void)user;
    send_event(session, "census", dap_memory_objects_body(result));
}

static void on_handed_in(struct dap_session *session, const struct dap_memory_result *result,
                         void *user)
{
    static const char *const kinds[] = { "snapshot", "diff", "gc", "graph", "census" };
    struct json_object *body = dap_memory_kind_body(result);
    (void)user;
    if (!body)
        return;
    send_event(session, kinds[result->kind], body);
    if (!result->by_itself)
        return;
    if (result->kind == DAP_MEMORY_SNAPSHOT)
        dap_say_snapshot_table(session, result);
    else if (result->kind == DAP_MEMORY_DIFF)
        dap_say_diff_table(session, result);
    else if (result->kind == DAP_MEMORY_OBJECTS)
        dap_say_objects_table(session, result);
}

static void on_changed(struct dap_session *session, void *user)
{
    dap_send_status(session, user);
}

const struct dap_memory_listener dap_memory_listener = { .snapshot = on_snapshot,
                                                         .diff = on_diff,
                                                         .census = on_census,
                                                         .handed_in = on_handed_in,
                                                         .changed = on_changed };

/* ---- What was asked ----------------------------------------------------------------------------
 */

static int apply_key(const char *key, struct json_object *value, struct dap_memory_options *options,
                     struct bsk_error *err)
{
    if (strcmp(key, "frames") == 0) {
        int64_t frames = json_object_get_int64(value);
        if (!json_object_is_type(value, json_type_int) || frames < 1 ||
            frames > DAP_MEMORY_FRAMES_MAX)
            return dap_wrong_type(key, "a whole number from 1 to 25", value, err);
        options->frames = (uint32_t)frames;
        return BSK_OK;
    }
    if (strcmp(key, "censusSeconds") == 0) {
        double seconds = json_object_get_double(value);
        if (!dap_is_number(value) || !(seconds == 0 || (seconds >= 0.1 && seconds <= 86400)))
            return dap_wrong_type(key, "0 or a number of seconds from 0.1 to 86400", value, err);
        options->census_s = seconds;
        return BSK_OK;
    }
    if (strcmp(key, "autopilot") == 0)
        return dap_apply_bool(key, value, &options->autopilot, err);
    if (strcmp(key, "outputDirectory") == 0)
        return dap_apply_folder(key, value, options->output_folder, sizeof(options->output_folder),
                                err);
    return BSK_E_STATE;
}

/* `arguments` may be NULL. With `warn_to`, keys that there are not are warned of. */
static int parse_options(struct json_object *arguments, struct dap_session *warn_to,
                         struct dap_memory_options *out_options, struct bsk_error *err)
{
    memset(out_options, 0, sizeof(*out_options));
    if (!arguments)
        return BSK_OK;
    if (!json_object_is_type(arguments, json_type_object))
        return dap_wrong_type("what to track", "true or an object", arguments, err);
    json_object_object_foreach(arguments, key, value)
    {
        int rc = apply_key(key, value, out_options, err);
        if (rc == BSK_E_STATE && warn_to) {
            char text[200];
            snprintf(text, sizeof(text), "basilisk.memory has no key \"%.60s\"; it was left out",
                     key);
            dap_warn(warn_to, text);
        } else if (rc != BSK_OK && rc != BSK_E_STATE) {
            return rc;
        }
    }
    return BSK_OK;
}

/* NULL when there is none; false, and refused, when it is no text. */
bool dap_memory_session_of(struct dap_question *question, struct json_object *arguments,
                           const char **out_id)
{
    struct json_object *id = NULL;
    *out_id = NULL;
    if (!arguments || !json_object_object_get_ex(arguments, "sessionId", &id))
        return true;
    if (json_object_is_type(id, json_type_string)) {
        *out_id = json_object_get_string(id);
        return true;
    }
    char message[200];
    snprintf(message, sizeof(message), "Unknown session %.80s", json_object_to_json_string(id));
    dap_question_refuse_with(question, BSK_E_STATE,
                             "basilisk.memory.start answers with its sessionId", message);
    return false;
}

void dap_memory_ask(struct dap_question *question, struct json_object *arguments,
                    dap_memory_ask_fn *ask, dap_memory_fn *done)
{
    const char *id;
    if (dap_memory_session_of(question, arguments, &id))
        ask(question->commands->memory, question->commands->session, id, done, question);
}

/* ---- Answers -----------------------------------------------------------------------------------
 */

static void started(void *user, int rc, const struct dap_memory_result *result,
                    const struct bsk_error *err)
{
    struct dap_question *question = user;
    char words[300];
    if (rc != BSK_OK) {
        dap_question_refuse(question, err);
        return;
    }
    snprintf(words, sizeof(words), "Tracking the memory of process %d (Python %s)%s. %s",
             (int)result->pid, result->python,
             result->foreign ? ", with the tracemalloc that it has started itself" : "",
             "/memsnap takes a snapshot, /memdiff compares, /memstop ends it.");
    dap_question_answer(question, dap_memory_start_body(result), words);
}

static void taken(void *user, int rc, const struct dap_memory_result *result,
                  const struct bsk_error *err)
{
    struct dap_question *question = user;
    struct dap_session *session = question->commands->session;
    char words[100];
    if (rc != BSK_OK) {
        dap_question_refuse(question, err);
        return;
    }
    if (session && question->from_console)
        dap_say_snapshot_table(session, result);
    snprintf(words, sizeof(words), "Snapshot %u", result->snapshot->number);
    dap_question_answer(question, dap_memory_snapshot_body(result), words);
}

static void stopped(void *user, int rc, const struct dap_memory_result *result,
                    const struct bsk_error *err)
{
    struct dap_question *question = user;
    if (rc != BSK_OK) {
        dap_question_refuse(question, err);
        return;
    }
    struct json_object *body = json_object_new_object();
    dap_add_text(body, "sessionId", result->session_id);
    dap_question_answer(question, body, "Memory is not tracked any more");
}

/* ---- Requests and console commands -------------------------------------------------------------
 */

void dap_ask_memory_start(struct dap_question *question, struct json_object *arguments)
{
    struct dap_memory_options options;
    struct bsk_error err = { 0 };
    if (parse_options(arguments, NULL, &options, &err) != BSK_OK)
        dap_question_refuse(question, &err);
    else
        dap_memory_start(question->commands->memory, question->commands->session, &options, started,
                         question);
}

void dap_say_memory_start(struct dap_question *question, const char *rest)
{
    struct json_object *arguments = json_object_new_object();
    if (*rest) {
        char *end = NULL;
        long frames = strtol(rest, &end, 10);
        json_object_object_add(arguments, "frames",
                               *end && !strchr(" \t\r\n", *end) ? json_object_new_string(rest)
                                                                : json_object_new_int64(frames));
    }
    dap_ask_memory_start(question, arguments);
    json_object_put(arguments);
}

void dap_ask_memory_snapshot(struct dap_question *question, struct json_object *arguments)
{
    dap_memory_ask(question, arguments, dap_memory_snapshot, taken);
}

void dap_ask_memory_stop(struct dap_question *question, struct json_object *arguments)
{
    dap_memory_ask(question, arguments, dap_memory_stop, stopped);
}

/* ---- The configuration's key -------------------------------------------------------------------
 */

static void configured(void *user, int rc, const struct dap_memory_result *result,
                       const struct bsk_error *err)
{
    (void)result;
    dap_question_close(user, rc, err);
}

void dap_configure_memory(struct dap_commands *commands, struct json_object *value)
{
    static const struct dap_request nobody_asked = { 0 };
    struct dap_memory_options options;
    struct bsk_error err = { 0 };
    bool is_flag = json_object_is_type(value, json_type_boolean);
    if (!value || (is_flag && !json_object_get_boolean(value)))
        return;
    if (parse_options(is_flag ? NULL : value, commands->session, &options, &err) != BSK_OK) {
        char sentence[1100];
        bsk_error_sentence(&err, sentence, sizeof(sentence));
        dap_warn(commands->session, sentence);
        return;
    }
    options.at_launch = true;
    struct dap_question *question = dap_question_new(commands, &nobody_asked, false);
    if (question)
        dap_memory_start(commands->memory, commands->session, &options, configured, question);
}

void dap_track_memory_too(struct dap_commands *commands)
{
    struct dap_memory_result facts;
    struct json_object *on = json_object_new_boolean(1);
    if (!dap_memory_running(commands->memory, commands->session, &facts))
        dap_configure_memory(commands, on);
    json_object_put(on);
}
