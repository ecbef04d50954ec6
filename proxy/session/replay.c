#include "proxy/session/replay.h"

#include "engine/base/room.h"
#include "proxy/session/inside.h"
#include "proxy/wire/locate.h"
#include "proxy/wire/validate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 20, SHOWN_BYTES = 300 };

#define FIRST_NS ((uint64_t)1000000000) /* so that no moment of a log is 0 */

/* ---- reading
 * --------------------------------------------------------------------------------------------- */

struct record {
    size_t line;
    uint64_t time_ns;
    unsigned session;
    enum dap_party from, to;
    bool is_host, is_note; /* of the binary's, about what is not a message */
    char *body;            /* the message or the note */
    size_t size;
};

struct recording {
    struct record *list;
    size_t count, capacity;
    unsigned sessions; /* one more than the highest number */
};

static bool field(const char *line, size_t size, const char *name, struct dap_member *out)
{
    const char *const path[] = { name, NULL };
    return dap_locate(line, size, path, out);
}

static int party_of(const char *line, size_t size, const char *name, enum dap_party *out)
{
    static const char *const names[] = { "\"editor\"", "\"adapter\"", "\"basilisk\"",
                                         "\"extension\"" };
    struct dap_member member;
    if (!field(line, size, name, &member))
        return -1;
    for (int i = 0; i < 4; i++) {
        if (member.value_bytes == strlen(names[i]) &&
            memcmp(line + member.value_at, names[i], member.value_bytes) == 0) {
            *out = (enum dap_party)i;
            return 0;
        }
    }
    return 1; /* "host" or "log" */
}

/* The text of a JSON string, with bytes that are no UTF-8 kept. */
static char *decode(const char *text, size_t size, size_t *out_size)
{
    char *out = malloc(size + 1), *to = out;
    for (size_t at = 1; out && at + 1 < size; at++) {
        char c = text[at];
        if (c == '\\') {
            c = text[++at];
            if (c == 'u' && at + 4 < size) {
                char digits[5] = { text[at + 1], text[at + 2], text[at + 3], text[at + 4], 0 };
                c = (char)strtol(digits, NULL, 16); /* the log writes only control characters so */
                at += 4;
            }
        }
        *to++ = c;
    }
    if (out) {
        *to = '\0';
        *out_size = (size_t)(to - out);
    }
    return out;
}

static int read_line(struct recording *recording, const char *line, size_t size, size_t number,
                     struct bsk_error *err)
{
    struct dap_member member, session;
    struct record record = { .line = number };
    if (!dap_is_json(line, size) || line[0] != '{' || !field(line, size, "time", &member))
        return bsk_fail(err, BSK_E_FORMAT, NULL, "line %zu is not a line of a log", number);
    record.time_ns = FIRST_NS + (uint64_t)(strtod(line + member.value_at, NULL) * 1e9 + 0.5);
    if (field(line, size, "cut", &member))
        return bsk_fail(err, BSK_E_FORMAT, "record it again, on a faster disk",
                        "the message of line %zu is not whole", number);
    bool has_session = field(line, size, "session", &session);
    int from = party_of(line, size, "from", &record.from);
    if (from == 1 && !has_session)
        return bsk_fail(err, BSK_E_FORMAT, "record it again, on a faster disk",
                        "messages are missing at line %zu", number);
    if (from < 0 || !has_session)
        return bsk_fail(err, BSK_E_FORMAT, NULL, "line %zu has no `from` or `session`", number);
    unsigned long session_number = strtoul(line + session.value_at, NULL, 10);
    if (session_number >= 100000)
        return bsk_fail(err, BSK_E_FORMAT, NULL, "line %zu: no such session", number);
    record.session = (unsigned)session_number;
    record.is_host = from == 1;
    if (field(line, size, "note", &member)) {
        record.is_note = true;
        record.body = decode(line + member.value_at, member.value_bytes, &record.size);
    } else if (party_of(line, size, "to", &record.to) != 0) {
        return bsk_fail(err, BSK_E_FORMAT, NULL, "line %zu does not say to whom", number);
    } else if (field(line, size, "message", &member)) {
        record.body = strndup(line + member.value_at, member.value_bytes);
        record.size = member.value_bytes;
    } else if (field(line, size, "text", &member)) {
        record.body = decode(line + member.value_at, member.value_bytes, &record.size);
    } else {
        return bsk_fail(err, BSK_E_FORMAT, NULL, "line %zu has no message", number);
    }
    if (!bsk_room_for_one(&recording->list, recording->count, &recording->capacity,
                          sizeof(*recording->list))) {
        free(record.body);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    recording->list[recording->count++] = record;
    if (record.session >= recording->sessions)
        recording->sessions = record.session + 1;
    return BSK_OK;
}

static int read_log(const char *path, struct recording *recording, struct bsk_error *err)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t size;
    int rc = BSK_OK;
    if (!file)
        return bsk_fail(err, BSK_E_IO, NULL, "cannot read %s: %s", path, strerror(errno));
    while (rc == BSK_OK && (size = getline(&line, &capacity, file)) > 0) {
        number++;
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
            size--;
        if (size > 0)
            rc = read_line(recording, line, (size_t)size, number, err);
    }
    if (rc == BSK_OK && recording->count == 0)
        rc = bsk_fail(err, BSK_E_FORMAT, NULL, "%s holds no message", path);
    free(line);
    fclose(file);
    return rc;
}

/* ---- playing
 * ---------------------------------------------------------------------------------------------- */

struct player {
    const struct recording *recording;
    size_t at; /* the record that is played */
    size_t next_expected[2];
    size_t next_port;
    unsigned number;
    struct dap_session *session;
    struct bsk_buffer out[2];
    uint64_t now_ns, wake_ns;
    bool differs[2];
    FILE *report;
    struct dap_replay_result *result;
};

static bool is_of(const struct player *player, const struct record *record)
{
    return record->session == player->number;
}

static void differ(struct player *player, enum dap_side side, size_t line, const char *what,
                   const char *expected, size_t expected_size, const char *got, size_t got_size)
{
    player->differs[side] = true;
    if (player->result->differences++ >= SHOWN_MAX)
        return;
    fprintf(player->report, "line %zu, to the %s: %s\n", line,
            side == DAP_EDITOR ? "editor" : "adapter", what);
    if (expected)
        fprintf(player->report, "  log: %.*s\n",
                (int)(expected_size < SHOWN_BYTES ? expected_size : SHOWN_BYTES), expected);
    if (got)
        fprintf(player->report, "  now: %.*s\n",
                (int)(got_size < SHOWN_BYTES ? got_size : SHOWN_BYTES), got);
}

/* The next message that the log says went to `side`, or NULL. */
static const struct record *next_expected(struct player *player, enum dap_side side)
{
    const struct recording *recording = player->recording;
    for (size_t *at = &player->next_expected[side]; *at < recording->count; ++*at) {
        const struct record *record = &recording->list[*at];
        if (is_of(player, record) && !record->is_note && !record->is_host &&
            (int)record->to == (int)side)
            return record;
    }
    return NULL;
}

/* Holds what came out against the log, as far as it came out. */
static void compare(struct player *player, enum dap_side side)
{
    struct bsk_buffer *out = &player->out[side];
    while (out->data) {
        uint64_t body = 0;
        ssize_t header = dap_parse_header(out->data, out->size, &body, NULL);
        if (header <= 0 || !out->data || out->size < (size_t)header + body)
            return;
        char *got = out->data + header;
        size_t json_bytes = dap_is_json(got, body) ? body : 0;
        for (size_t i = 0; i < json_bytes; i++) {
            if (got[i] == '\n' || got[i] == '\r')
                got[i] = ' '; /* as the log does */
        }
        const struct record *expected = next_expected(player, side);
        size_t line =
            player->at < player->recording->count ? player->recording->list[player->at].line : 0;
        if (!expected)
            differ(player, side, line, "more than the log has", NULL, 0, got, body);
        else if (expected->size != body || memcmp(expected->body, got, body) != 0)
            differ(player, side, expected->line, "something else", expected->body, expected->size,
                   got, body);
        if (expected)
            player->next_expected[side]++;
        bsk_buffer_consume(out, (size_t)header + body);
    }
}

static void play_write(void *user, enum dap_side to, const char *bytes, size_t size)
{
    struct player *player = user;
    bsk_buffer_append(&player->out[to], bytes, size);
}

static size_t play_waiting(void *user, enum dap_side to)
{
    (void)user;
    (void)to;
    return 0;
}

static uint64_t play_now(void *user)
{
    return ((struct player *)user)->now_ns;
}

static void play_wake_at(void *user, uint64_t at_ns)
{
    ((struct player *)user)->wake_ns = at_ns;
}

static void play_finish(void *user, const struct bsk_error *why)
{
    (void)user;
    (void)why;
}

/* The port that it was then. */
static bool play_child_port(void *user, const char *host, uint16_t port, uint16_t *out_port)
{
    static const char note[] = "child port ";
    struct player *player = user;
    (void)host;
    (void)port;
    for (; player->next_port < player->recording->count; player->next_port++) {
        const struct record *record = &player->recording->list[player->next_port];
        if (!is_of(player, record) || !record->is_host ||
            strncmp(record->body, note, sizeof(note) - 1) != 0)
            continue;
        *out_port = (uint16_t)strtoul(record->body + sizeof(note) - 1, NULL, 10);
        player->next_port++;
        return true;
    }
    return false;
}

static void play_reconnect(void *user, const char *host, uint16_t port)
{
    (void)user; /* the outcome is in the log */
    (void)host;
    (void)port;
}

static const struct dap_host player_host = {
    .write = play_write,
    .waiting = play_waiting,
    .now_ns = play_now,
    .wake_at = play_wake_at,
    .finish = play_finish,
    .child_port = play_child_port,
    .reconnect = play_reconnect,
};

/* The extension of then: a message of the editor's is for it when it was so in the log. */
static struct player *current;

static bool was_ours(void)
{
    const struct record *record = &current->recording->list[current->at];
    return record->from == DAP_PARTY_EDITOR && record->to == DAP_PARTY_SESSION;
}

static bool play_has(const char *name)
{
    (void)name;
    return was_ours();
}

static void play_request(void *state, const struct dap_request *request,
                         struct json_object *arguments)
{
    (void)state;
    (void)request;
    (void)arguments;
}

static void play_console(void *state, const struct dap_request *request, const char *text)
{
    (void)state;
    (void)request;
    (void)text;
}

/* The answer is the session's own work, so its targets are copied from the log. */
static bool play_completions(void *state, const char *text, struct json_object *targets)
{
    (void)state;
    (void)text;
    for (size_t i = current->at; was_ours() && i < current->recording->count; i++) {
        const struct record *record = &current->recording->list[i];
        if (!is_of(current, record) || record->from != DAP_PARTY_SESSION ||
            record->to != DAP_PARTY_EDITOR)
            continue;
        struct json_object *answer = json_tokener_parse(record->body);
        struct json_object *list = json_member(json_member(answer, "body"), "targets");
        size_t count =
            list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
        for (size_t j = 0; j < count; j++)
            json_object_array_add(targets, json_object_get(json_object_array_get_idx(list, j)));
        json_object_put(answer);
        break;
    }
    return was_ours();
}

static const struct dap_extension player_extension = {
    .has_request = play_has,
    .on_request = play_request,
    .has_console = play_has,
    .on_console = play_console,
    .on_completions = play_completions,
};

static void ignore_answer(void *user, int rc, const char *text, size_t bytes,
                          const struct bsk_error *err)
{
    (void)user;
    (void)rc;
    (void)text;
    (void)bytes;
    (void)err;
}

/* Does what the extension did: a hidden request is asked again, so that its answer is taken out. */
static void act(struct player *player, const struct record *record)
{
    struct dap_session *session = player->session;
    struct dap_member command, arguments;
    char name[64];
    dap_enter(session);
    if (record->to == DAP_PARTY_ADAPTER && field(record->body, record->size, "command", &command) &&
        command.value_bytes > 2 && command.value_bytes < sizeof(name)) {
        bool any = field(record->body, record->size, "arguments", &arguments);
        char *text = any ? strndup(record->body + arguments.value_at, arguments.value_bytes) : NULL;
        snprintf(name, sizeof(name), "%.*s", (int)command.value_bytes - 2,
                 record->body + command.value_at + 1);
        dap_session_ask(session, name, text, 3600000, ignore_answer, NULL);
        free(text);
    } else if (record->to == DAP_PARTY_EDITOR) {
        session->next_editor_seq++;
        dap_own_send(session, DAP_EDITOR, record->body, record->size, "", false);
    }
    dap_leave(session);
}

static void hear_note(struct player *player, const struct record *record)
{
    static const char failure[] = "cannot connect";
    struct bsk_error err = { 0 };
    bsk_fail(&err, BSK_E_GONE, NULL, "%s", record->body);
    if (record->is_host && strcmp(record->body, "connected") == 0) {
        dap_session_reconnected(player->session, NULL);
    } else if (record->is_host && strncmp(record->body, failure, sizeof(failure) - 1) == 0) {
        err.code = BSK_E_IO; /* as it was */
        dap_session_reconnected(player->session, &err);
    } else if (!record->is_host) {
        bool orderly = strcmp(record->body, "has ended") == 0;
        dap_session_eof(player->session, (enum dap_side)record->from, orderly ? NULL : &err);
    }
}

static void play_record(struct player *player, const struct record *record)
{
    char header[40];
    while (player->wake_ns && player->wake_ns <= record->time_ns) {
        player->now_ns = player->wake_ns;
        player->wake_ns = 0;
        dap_session_tick(player->session);
    }
    player->now_ns = record->time_ns;
    if (record->is_note) {
        hear_note(player, record);
    } else if (record->from == DAP_PARTY_EDITOR || record->from == DAP_PARTY_ADAPTER) {
        enum dap_side from = (enum dap_side)record->from;
        int size = snprintf(header, sizeof(header), "Content-Length: %zu\r\n\r\n", record->size);
        dap_session_feed(player->session, from, header, (size_t)size);
        dap_session_feed(player->session, from, record->body, record->size);
        player->result->messages++;
    } else if (record->from == DAP_PARTY_EXTENSION) {
        act(player, record);
    }
    compare(player, DAP_EDITOR);
    compare(player, DAP_ADAPTER);
}

static bool option_is_set(const struct record *record, const char *name)
{
    return strstr(record->body, name) != NULL;
}

static int play_session(struct player *player, struct bsk_error *err)
{
    const struct recording *recording = player->recording;
    struct dap_session_options options = { .extension = &player_extension };
    size_t first = 0;
    while (first < recording->count && !is_of(player, &recording->list[first]))
        first++;
    if (first == recording->count)
        return BSK_OK;
    const struct record *start = &recording->list[first];
    if (start->is_host && strncmp(start->body, "options", 7) == 0) {
        options.over_tcp = option_is_set(start, "tcp");
        options.adapter_is_debugpy = option_is_set(start, "debugpy");
        options.adapter_is_exchangeable = option_is_set(start, "exchangeable");
        options.opted_in = option_is_set(start, "opted-in");
    }
    player->result->sessions++;
    current = player;
    player->session = dap_session_new(&player_host, player, &options);
    if (!player->session)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    for (player->at = first; player->at < recording->count; player->at++) {
        if (is_of(player, &recording->list[player->at]))
            play_record(player, &recording->list[player->at]);
    }
    for (int side = 0; side < 2; side++) {
        const struct record *missing = next_expected(player, (enum dap_side)side);
        if (missing)
            differ(player, (enum dap_side)side, missing->line, "nothing came", missing->body,
                   missing->size, NULL, 0);
    }
    dap_session_free(player->session);
    bsk_buffer_free(&player->out[0]);
    bsk_buffer_free(&player->out[1]);
    return BSK_OK;
}

int dap_replay(const char *path, FILE *report, struct dap_replay_result *out, struct bsk_error *err)
{
    struct recording recording = { 0 };
    struct dap_replay_result result = { 0 };
    int rc = read_log(path, &recording, err);
    for (unsigned number = 0; rc == BSK_OK && number < recording.sessions; number++) {
        struct player player = {
            .recording = &recording,
            .number = number,
            .report = report,
            .result = &result,
        };
        rc = play_session(&player, err);
    }
    if (rc == BSK_OK)
        *out = result;
    for (size_t i = 0; i < recording.count; i++)
        free(recording.list[i].body);
    free(recording.list);
    return rc;
}
