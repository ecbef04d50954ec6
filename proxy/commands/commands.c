#include "proxy/commands/commands.h"

#include "engine/base/strings.h"
#include "proxy/commands/family.h"
#include "proxy/commands/near.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct dap_command dap_command_table[] = {
    { "basilisk.profiler.start", "/profile", "/profile [preset or Hz]",
      "profile the program (and its children)", dap_ask_start, dap_say_start },
    { "basilisk.profiler.snapshot", "/profsnapshot", "/profsnapshot",
      "write the profile so far, go on", dap_ask_snapshot, NULL },
    { "basilisk.profiler.stop", "/profstop", "/profstop", "stop, write, show", dap_ask_stop, NULL },
    { "basilisk.profiler.compare", "/profdiff", "/profdiff [A B]",
      "compare two profiles, by number or file; alone: the last two", dap_ask_compare,
      dap_say_compare },
    { "basilisk.memory.start", "/memleak", "/memleak [frames]",
      "track the program's memory, from now on", dap_ask_memory_start, dap_say_memory_start },
    { "basilisk.memory.snapshot", "/memsnap", "/memsnap", "take a numbered snapshot of it",
      dap_ask_memory_snapshot, NULL },
    { "basilisk.memory.diff", "/memdiff", "/memdiff [A B]",
      "what grew between two snapshots, and how likely it leaks", dap_ask_memory_diff,
      dap_say_memory_diff },
    { "basilisk.memory.references", "/memrefs", "/memrefs [type or expression]",
      "what holds it alive; alone: the likeliest leak", dap_ask_memory_references,
      dap_say_memory_references },
    { "basilisk.memory.inspect", NULL, NULL, "one node of a reference graph, at the same stop",
      dap_ask_memory_inspect, NULL },
    { "basilisk.memory.gcCollect", "/memgc", "/memgc", "collect garbage, say what was freed",
      dap_ask_memory_collect, NULL },
    { "basilisk.memory.objects", "/memobjects", "/memobjects", "live objects by type",
      dap_ask_memory_objects, NULL },
    { "basilisk.memory.ingest", NULL, NULL, "hand in a marked payload that a program printed",
      dap_ask_memory_ingest, NULL },
    { "basilisk.memory.stop", "/memstop", "/memstop", "stop tracking memory", dap_ask_memory_stop,
      NULL },
    { "basilisk.processes", "/processes", "/processes",
      "Python processes that could be profiled, and why where not", dap_ask_processes, NULL },
    { "basilisk.status", "/basilisk", "/basilisk", "what runs, and this help", dap_ask_status,
      NULL },
};
const size_t dap_command_count = sizeof(dap_command_table) / sizeof(dap_command_table[0]);

static const struct dap_command *command_of_request(const char *request)
{
    for (size_t i = 0; i < dap_command_count; i++) {
        if (strcmp(dap_command_table[i].request, request) == 0)
            return &dap_command_table[i];
    }
    return NULL;
}

/* By the text's first word; `*out_rest` is what follows it. */
static const struct dap_command *command_of_text(const char *text, const char **out_rest)
{
    static const char spaces[] = " \t\r\n";
    text += strspn(text, spaces);
    size_t bytes = strcspn(text, spaces);
    for (size_t i = 0; i < dap_command_count; i++) {
        const char *console = dap_command_table[i].console;
        if (console && strlen(console) == bytes && strncmp(console, text, bytes) == 0) {
            *out_rest = text + bytes + strspn(text + bytes, spaces);
            return &dap_command_table[i];
        }
    }
    return NULL;
}

void dap_add_text(struct json_object *object, const char *key, const char *text)
{
    size_t size = 3 * strlen(text) + 1; /* at worst each byte becomes U+FFFD */
    char *safe = malloc(size);
    if (safe)
        bsk_utf8_copy(safe, size, text);
    json_object_object_add(object, key, json_object_new_string(safe ? safe : ""));
    free(safe);
}

void dap_warn(struct dap_session *session, const char *text)
{
    char line[1200];
    snprintf(line, sizeof(line), "Basilisk: %s\n", text);
    dap_session_output(session, "console", line, NULL, 0);
}

const char *dap_short_path(struct dap_session *session, const char *path)
{
    const char *cwd = dap_session_debuggee(session)->cwd;
    size_t bytes = strlen(cwd);
    if (bytes > 1 && bsk_path_below(path, cwd) && path[bytes] == '/')
        return path + bytes + 1;
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* ---- Arguments ---------------------------------------------------------------------------------
 */

int dap_wrong_type(const char *key, const char *wanted, struct json_object *value,
                   struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_FORMAT, NULL, "%s must be %s, not %.60s", key, wanted,
                    json_object_to_json_string(value));
}

bool dap_is_number(struct json_object *value)
{
    return json_object_is_type(value, json_type_int) ||
           json_object_is_type(value, json_type_double);
}

int dap_apply_bool(const char *key, struct json_object *value, bool *out, struct bsk_error *err)
{
    if (!json_object_is_type(value, json_type_boolean))
        return dap_wrong_type(key, "true or false", value, err);
    *out = json_object_get_boolean(value);
    return BSK_OK;
}

int dap_apply_folder(const char *key, struct json_object *value, char *out, size_t room,
                     struct bsk_error *err)
{
    if (!json_object_is_type(value, json_type_string) ||
        (size_t)json_object_get_string_len(value) >= room)
        return dap_wrong_type(key, "the path of a folder", value, err);
    snprintf(out, room, "%s", json_object_get_string(value));
    return BSK_OK;
}

/* ---- Questions and their answers ---------------------------------------------------------------
 */

static void release(struct dap_commands *commands)
{
    if (--commands->references == 0)
        free(commands);
}

struct dap_question *dap_question_new(struct dap_commands *commands,
                                      const struct dap_request *request, bool from_console)
{
    struct dap_question *question = calloc(1, sizeof(*question));
    if (!question)
        return NULL;
    question->commands = commands;
    question->request = *request;
    question->from_console = from_console;
    commands->references++;
    return question;
}

void dap_question_drop(struct dap_question *question)
{
    release(question->commands);
    free(question);
}

void dap_question_answer(struct dap_question *question, struct json_object *body, const char *words)
{
    struct dap_session *session = question->commands->session;
    if (session && question->from_console) {
        json_object_put(body);
        body = json_object_new_object();
        dap_add_text(body, "result", words);
        json_object_object_add(body, "variablesReference", json_object_new_int(0));
    }
    if (session)
        dap_session_respond(session, &question->request, body);
    else
        json_object_put(body);
    dap_question_drop(question);
}

void dap_question_refuse(struct dap_question *question, const struct bsk_error *err)
{
    if (question->commands->session)
        dap_session_refuse(question->commands->session, &question->request, err);
    dap_question_drop(question);
}

void dap_question_refuse_with(struct dap_question *question, enum bsk_code code, const char *hint,
                              const char *message)
{
    struct bsk_error err = { 0 };
    bsk_fail(&err, code, hint, "%s", message);
    dap_question_refuse(question, &err);
}

void dap_question_close(struct dap_question *question, int rc, const struct bsk_error *err)
{
    if (rc != BSK_OK && question->commands->session) {
        char sentence[1100];
        bsk_error_sentence(err, sentence, sizeof(sentence));
        dap_warn(question->commands->session, sentence);
    }
    dap_question_drop(question);
}

/* Asked while there was no memory left. */
static void refuse_at_once(const struct dap_commands *commands, const struct dap_request *request)
{
    struct bsk_error err = { 0 };
    bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory");
    dap_session_refuse(commands->session, request, &err);
}

/* ---- The extension -----------------------------------------------------------------------------
 */

static struct dap_group *new_group(uv_loop_t *loop)
{
    struct dap_group *group = calloc(1, sizeof(*group));
    if (!group)
        return NULL;
    group->profiling = dap_profiling_new(loop, &dap_profiler_listener, group);
    group->memory = group->profiling
                        ? dap_memory_new(loop, &dap_memory_listener, group->profiling, group)
                        : NULL;
    if (group->memory)
        return group;
    dap_profiling_free(group->profiling);
    free(group);
    return NULL;
}

static void *on_open(struct dap_session *session, void *parent, void *user)
{
    struct dap_commands *commands = calloc(1, sizeof(*commands));
    if (!commands)
        return NULL;
    const struct dap_commands *elder = parent;
    commands->loop = user;
    commands->group = elder && elder->group ? elder->group : new_group(commands->loop);
    if (!commands->group) {
        free(commands);
        return NULL;
    }
    commands->group->sessions++;
    commands->profiling = commands->group->profiling;
    commands->memory = commands->group->memory;
    commands->session = session;
    commands->references = 1;
    dap_profiling_join(commands->profiling, session);
    dap_memory_join(commands->memory, session);
    return commands;
}

static void on_close(void *state)
{
    struct dap_commands *commands = state;
    if (!commands)
        return;
    struct dap_session *session = commands->session;
    struct dap_group *group = commands->group;
    commands->session = NULL;
    dap_memory_leave(commands->memory, session);
    dap_profiling_leave(commands->profiling, session);
    commands->profiling = NULL;
    commands->memory = NULL;
    commands->group = NULL;
    if (--group->sessions == 0)
        free(group);
    release(commands);
}

/* One that this version does not have is ours to refuse as well: the adapter would only wonder. */
static bool has_request(const char *command)
{
    return bsk_starts_with(command, "basilisk.");
}

static void on_request(void *state, const struct dap_request *request,
                       struct json_object *arguments)
{
    const struct dap_command *command = command_of_request(request->command);
    struct dap_question *question = dap_question_new(state, request, false);
    if (!question) {
        refuse_at_once(state, request);
    } else if (!command) {
        char message[128];
        snprintf(message, sizeof(message), "%s is not in this build", request->command);
        dap_question_refuse_with(question, BSK_E_UNSUPPORTED,
                                 "basilisk.status lists what is, under `commands`", message);
    } else {
        command->on_request(question, arguments);
    }
}

static bool has_console(const char *text)
{
    const char *rest;
    return command_of_text(text, &rest) != NULL || dap_near_find(text, NULL) > 0;
}

static void refuse_near(struct dap_question *question, const char *text)
{
    struct dap_near near;
    struct bsk_error err = { .code = BSK_E_UNSUPPORTED };
    dap_near_find(text, &near);
    dap_near_sentence(&near, err.message, sizeof(err.message));
    dap_question_refuse(question, &err);
}

static void on_console(void *state, const struct dap_request *request, const char *text)
{
    const char *rest = "";
    const struct dap_command *command = command_of_text(text, &rest);
    struct dap_question *question = dap_question_new(state, request, true);
    if (question && !command)
        refuse_near(question, text);
    else if (question && command->on_console)
        command->on_console(question, rest);
    else if (question)
        command->on_request(question, NULL);
    else
        refuse_at_once(state, request);
}

static bool on_completions(void *state, const char *text, struct json_object *targets)
{
    const struct dap_commands *commands = state;
    bool from_1 = dap_session_client(commands->session)->columns_start_at_1;
    size_t typed = strlen(text);
    bool any = false;
    for (size_t i = 0; i < dap_command_count; i++) {
        const struct dap_command *command = &dap_command_table[i];
        if (!command->console || !bsk_starts_with(command->console, text))
            continue;
        struct json_object *target = json_object_new_object();
        json_object_object_add(target, "label", json_object_new_string(command->console));
        json_object_object_add(target, "text", json_object_new_string(command->console));
        json_object_object_add(target, "detail", json_object_new_string(command->does));
        json_object_object_add(target, "type", json_object_new_string("function"));
        json_object_object_add(target, "start", json_object_new_int(from_1 ? 1 : 0));
        json_object_object_add(target, "length", json_object_new_int((int)typed));
        json_object_array_add(targets, target);
        any = true;
    }
    return any;
}

static void on_configuration(void *state, struct json_object *key, struct json_object *arguments)
{
    (void)arguments;
    dap_configure(state, key);
}

static void on_ready(void *state, bool has_channel)
{
    (void)has_channel;
    struct dap_commands *commands = state;
    dap_profiling_on_ready(commands->profiling, commands->session);
    dap_memory_on_ready(commands->memory, commands->session);
}

static bool on_starting(void *state)
{
    struct dap_commands *commands = state;
    return dap_memory_on_starting(commands->memory, commands->session);
}

static void on_stopped(void *state)
{
    struct dap_commands *commands = state;
    dap_profiling_on_stopped(commands->profiling, commands->session);
    dap_memory_on_stopped(commands->memory, commands->session);
}

static void on_continued(void *state)
{
    struct dap_commands *commands = state;
    dap_profiling_on_continued(commands->profiling, commands->session);
    dap_memory_on_continued(commands->memory, commands->session);
}

static void on_marker(void *state, const char *marker, const char *payload, size_t bytes)
{
    dap_hear_marker(state, marker, payload, bytes);
}

static bool on_ending(void *state)
{
    struct dap_commands *commands = state;
    bool profile = dap_profiling_on_ending(commands->profiling, commands->session);
    bool memory = dap_memory_on_ending(commands->memory, commands->session);
    if (profile && memory)
        dap_session_hold(commands->session);
    return profile || memory;
}

const struct dap_extension dap_basilisk = {
    .open = on_open,
    .close = on_close,
    .has_request = has_request,
    .on_request = on_request,
    .has_console = has_console,
    .on_console = on_console,
    .on_completions = on_completions,
    .on_configuration = on_configuration,
    .on_ready = on_ready,
    .on_starting = on_starting,
    .on_stopped = on_stopped,
    .on_continued = on_continued,
    .on_marker = on_marker,
    .on_ending = on_ending,
};
