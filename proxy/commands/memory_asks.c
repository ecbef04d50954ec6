/* The family basilisk.memory.*: /memdiff, /memrefs, /memgc, /memobjects. */
#include "engine/base/amounts.h"
#include "proxy/commands/family.h"
#include "proxy/commands/memory_words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Arguments ---------------------------------------------------------------------------------
 */

/* False, and refused, when it is there and no whole number from 1 to `most`. 0 when it is not
 * there. */
static bool number_of(struct dap_question *question, struct json_object *arguments, const char *key,
                      uint64_t most, uint64_t *out_number)
{
    struct json_object *value = NULL;
    *out_number = 0;
    if (!arguments || !json_object_object_get_ex(arguments, key, &value))
        return true;
    int64_t number = json_object_get_int64(value);
    if (json_object_is_type(value, json_type_int) && number > 0 && (uint64_t)number <= most) {
        *out_number = (uint64_t)number;
        return true;
    }
    char message[200];
    snprintf(message, sizeof(message), "%s must be a whole number above 0, not %.60s", key,
             json_object_to_json_string(value));
    dap_question_refuse_with(question, BSK_E_FORMAT, NULL, message);
    return false;
}

/* False, and refused, when it is there and no text. NULL when it is not there. */
static bool text_of(struct dap_question *question, struct json_object *arguments, const char *key,
                    const char **out_text)
{
    struct json_object *value = NULL;
    *out_text = NULL;
    if (!arguments || !json_object_object_get_ex(arguments, key, &value))
        return true;
    if (json_object_is_type(value, json_type_string) && json_object_get_string_len(value) > 0) {
        *out_text = json_object_get_string(value);
        return true;
    }
    char message[200];
    snprintf(message, sizeof(message), "%s must be text, not %.60s", key,
             json_object_to_json_string(value));
    dap_question_refuse_with(question, BSK_E_FORMAT, NULL, message);
    return false;
}

/* Answers with `body`, which may be NULL when there was no memory for it. */
static void answer(struct dap_question *question, struct json_object *body, const char *words)
{
    if (body)
        dap_question_answer(question, body, words);
    else
        dap_question_refuse_with(question, BSK_E_MEMORY, NULL, "out of memory");
}

/* ---- Diff --------------------------------------------------------------------------------------
 */

static void compared(void *user, int rc, const struct dap_memory_result *result,
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
        dap_say_diff_table(session, result);
    snprintf(words, sizeof(words), "Snapshot %" PRIu32 " against %" PRIu32, result->diff->to,
             result->diff->from);
    answer(question, dap_memory_diff_body(result), words);
}

void dap_ask_memory_diff(struct dap_question *question, struct json_object *arguments)
{
    const char *id;
    uint64_t from, to;
    if (dap_memory_session_of(question, arguments, &id) &&
        number_of(question, arguments, "from", UINT32_MAX, &from) &&
        number_of(question, arguments, "to", UINT32_MAX, &to))
        dap_memory_diff(question->commands->memory, question->commands->session, id, (uint32_t)from,
                        (uint32_t)to, compared, question);
}

void dap_say_memory_diff(struct dap_question *question, const char *rest)
{
    unsigned long numbers[2] = { 0, 0 };
    int count = 0;
    const char *at = rest;
    while (count < 2) {
        char *end = NULL;
        errno = 0;
        unsigned long number = strtoul(at, &end, 10);
        if (end == at || errno || number == 0 || number > UINT32_MAX)
            break;
        numbers[count++] = number;
        at = end;
    }
    if (at[strspn(at, " \t\r\n")] != '\0') {
        dap_question_refuse_with(
            question, BSK_E_FORMAT,
            "/memdiff, /memdiff A or /memdiff A B, with the numbers of snapshots",
            "These are no numbers of snapshots");
        return;
    }
    dap_memory_diff(question->commands->memory, question->commands->session, NULL,
                    (uint32_t)numbers[0], (uint32_t)numbers[1], compared, question);
}

/* ---- References --------------------------------------------------------------------------------
 */

static void held(void *user, int rc, const struct dap_memory_result *result,
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
        dap_say_references_tree(session, result);
    snprintf(words, sizeof(words), "Graph %" PRIu32, result->graph);
    answer(question, dap_memory_references_body(result), words);
}

void dap_ask_memory_references(struct dap_question *question, struct json_object *arguments)
{
    const char *id;
    struct dap_memory_wish wish = { 0 };
    uint64_t line;
    if (!dap_memory_session_of(question, arguments, &id) ||
        !text_of(question, arguments, "type", &wish.type) ||
        !text_of(question, arguments, "expression", &wish.expression) ||
        !text_of(question, arguments, "path", &wish.path) ||
        !number_of(question, arguments, "line", UINT32_MAX, &line))
        return;
    wish.line = (uint32_t)line;
    if ((wish.type != NULL) + (wish.expression != NULL) + (wish.path != NULL) > 1)
        dap_question_refuse_with(question, BSK_E_FORMAT, NULL,
                                 "Give one of type, expression, and path with line");
    else if (!wish.path != !line)
        dap_question_refuse_with(question, BSK_E_FORMAT, NULL, "path and line go together");
    else
        dap_memory_references(question->commands->memory, question->commands->session, id, &wish,
                              held, question);
}

/* The file of "app.py" as tables show it: below the launch cwd, or beside the program. */
static void find_file(struct dap_session *session, const char *name, char *out, size_t room)
{
    const struct dap_debuggee *debuggee = dap_session_debuggee(session);
    const char *slash = strrchr(debuggee->program, '/');
    snprintf(out, room, "%s%s%s", name[0] == '/' ? "" : debuggee->cwd, name[0] == '/' ? "" : "/",
             name);
    if (name[0] != '/' && slash && access(out, F_OK) != 0)
        snprintf(out, room, "%.*s/%s", (int)(slash - debuggee->program), debuggee->program, name);
}

void dap_say_memory_references(struct dap_question *question, const char *rest)
{
    char word[1000], path[8192];
    size_t length = strlen(rest);
    while (length > 0 && strchr(" \t\r\n", rest[length - 1]))
        length--;
    if (length >= sizeof(word)) {
        dap_question_refuse_with(question, BSK_E_LIMIT, "give it a name in the program first",
                                 "The expression is too long");
        return;
    }
    snprintf(word, sizeof(word), "%.*s", (int)length, rest);
    bool is_name =
        strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") == length;
    struct dap_memory_wish wish = { .either = word[0] && is_name ? word : NULL,
                                    .expression = word[0] && !is_name ? word : NULL };
    char *colon = strrchr(word, ':');
    bool is_place = colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
                    (word[0] == '/' || (colon - word > 3 && strncmp(colon - 3, ".py", 3) == 0 &&
                                        !strpbrk(word, "()[]{}'\" ")));
    if (is_place) {
        *colon = '\0';
        find_file(question->commands->session, word, path, sizeof(path));
        wish = (struct dap_memory_wish){ .path = path,
                                         .line = (uint32_t)strtoul(colon + 1, NULL, 10) };
    }
    dap_memory_references(question->commands->memory, question->commands->session, NULL, &wish,
                          held, question);
}

/* "0x7fce78cd9bc0", as references has it. False, and refused, when it is none. */
static bool node_of(struct dap_question *question, struct json_object *arguments, uint64_t *out_id)
{
    struct json_object *value = NULL;
    *out_id = 0;
    if (arguments && json_object_object_get_ex(arguments, "id", &value) &&
        json_object_is_type(value, json_type_string)) {
        const char *text = json_object_get_string(value);
        char *end = NULL;
        errno = 0;
        *out_id = strncmp(text, "0x", 2) == 0 ? strtoull(text, &end, 16) : 0;
        if (*out_id && !errno && *end == '\0')
            return true;
    }
    dap_question_refuse_with(question, BSK_E_FORMAT,
                             "it is in the answer to basilisk.memory.references, such as "
                             "\"0x7fce78cd9bc0\"",
                             "id must be that of a node");
    return false;
}

static void inspected(void *user, int rc, const struct dap_memory_result *result,
                      const struct bsk_error *err)
{
    struct dap_question *question = user;
    if (rc != BSK_OK)
        dap_question_refuse(question, err);
    else
        answer(question, dap_memory_inspect_body(result), "");
}

void dap_ask_memory_inspect(struct dap_question *question, struct json_object *arguments)
{
    const char *id;
    uint64_t graph, node;
    if (!dap_memory_session_of(question, arguments, &id) ||
        !number_of(question, arguments, "graph", UINT32_MAX, &graph) ||
        !node_of(question, arguments, &node))
        return;
    if (!graph)
        dap_question_refuse_with(question, BSK_E_FORMAT,
                                 "it is in the answer to basilisk.memory.references",
                                 "graph is needed");
    else
        dap_memory_inspect(question->commands->memory, question->commands->session, id,
                           (uint32_t)graph, node, inspected, question);
}

/* ---- Collect and objects -----------------------------------------------------------------------
 */

static void collected(void *user, int rc, const struct dap_memory_result *result,
                      const struct bsk_error *err)
{
    struct dap_question *question = user;
    char words[300], count[32], traced[32], rss[32];
    if (rc != BSK_OK) {
        dap_question_refuse(question, err);
        return;
    }
    const struct dap_memory_collected *one = result->collected;
    bsk_count_text(one->collected, count, sizeof(count));
    dap_size_text(traced, sizeof(traced), one->freed_traced_bytes, false);
    dap_size_text(rss, sizeof(rss), one->freed_rss_bytes, false);
    snprintf(words, sizeof(words),
             "%s objects collected, %" PRIu64 " uncollectable; freed: %s traced, %s of the process",
             count, one->uncollectable, traced, rss);
    answer(question, dap_memory_collect_body(result), words);
}

void dap_ask_memory_collect(struct dap_question *question, struct json_object *arguments)
{
    dap_memory_ask(question, arguments, dap_memory_collect, collected);
}

static void counted(void *user, int rc, const struct dap_memory_result *result,
                    const struct bsk_error *err)
{
    struct dap_question *question = user;
    struct dap_session *session = question->commands->session;
    char words[100], count[32];
    if (rc != BSK_OK) {
        dap_question_refuse(question, err);
        return;
    }
    if (session && question->from_console)
        dap_say_objects_table(session, result);
    bsk_count_text(result->snapshot->object_count, count, sizeof(count));
    snprintf(words, sizeof(words), "%s objects", count);
    answer(question, dap_memory_objects_body(result), words);
}

void dap_ask_memory_objects(struct dap_question *question, struct json_object *arguments)
{
    dap_memory_ask(question, arguments, dap_memory_objects, counted);
}

/* ---- Payloads ----------------------------------------------------------------------------------
 */

static void handed_in(void *user, int rc, const struct dap_memory_result *result,
                      const struct bsk_error *err)
{
    struct dap_question *question = user;
    if (rc != BSK_OK)
        dap_question_refuse(question, err);
    else
        answer(question, dap_memory_kind_body(result), "");
}

void dap_ask_memory_ingest(struct dap_question *question, struct json_object *arguments)
{
    const char *id;
    struct json_object *output = NULL;
    if (!dap_memory_session_of(question, arguments, &id))
        return;
    if (!arguments || !json_object_object_get_ex(arguments, "output", &output) ||
        !json_object_is_type(output, json_type_string)) {
        dap_question_refuse_with(question, BSK_E_FORMAT, "it is the text of an output event",
                                 "No marker in payload: `output` must be text");
        return;
    }
    dap_memory_ingest(question->commands->memory, question->commands->session, id,
                      json_object_get_string(output), (size_t)json_object_get_string_len(output),
                      false, handed_in, question);
}

/* Printed by the program: there is nobody to answer. */
static void printed(void *user, int rc, const struct dap_memory_result *result,
                    const struct bsk_error *err)
{
    (void)result;
    dap_question_close(user, rc, err);
}

void dap_hear_marker(struct dap_commands *commands, const char *marker, const char *payload,
                     size_t bytes)
{
    static const struct dap_request nobody_asked = { 0 };
    struct bsk_buffer output = { 0 };
    struct dap_question *question = dap_question_new(commands, &nobody_asked, false);
    bsk_buffer_text_append(&output, marker);
    bsk_buffer_append(&output, payload, bytes);
    if (question && !output.failed)
        dap_memory_ingest(commands->memory, commands->session, NULL, output.data, output.size, true,
                          printed, question);
    else if (question)
        dap_question_drop(question);
    bsk_buffer_free(&output);
}
