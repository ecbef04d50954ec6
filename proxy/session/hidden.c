/*
 * Requests of our own to the adapter, whose answers the editor never sees; and the channel that
 * runs scripts in the debuggee by means of one of them.
 */
#include "engine/base/room.h"
#include "proxy/session/inside.h"

#include "engine/base/json.h"
#include "engine/inject/channel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- keeping track
 * --------------------------------------------------------------------------------- */

bool dap_hidden_is_ours(const struct dap_session *session, int64_t request_seq)
{
    return request_seq >= session->first_own_seq && request_seq < session->next_own_seq &&
           !dap_pending_find((struct dap_session *)session, request_seq);
}

static struct dap_hidden *find(const struct dap_session *session, int64_t seq)
{
    for (size_t i = 0; i < session->hidden_count; i++) {
        if (session->hidden[i].seq == seq)
            return &session->hidden[i];
    }
    return NULL;
}

bool dap_hidden_is_awaited(const struct dap_session *session, int64_t request_seq)
{
    return find(session, request_seq) != NULL;
}

/* Takes one out of the list first: its callback may ask again at once. */
static struct dap_hidden take(struct dap_session *session, struct dap_hidden *hidden)
{
    struct dap_hidden taken = *hidden;
    *hidden = session->hidden[--session->hidden_count];
    return taken;
}

static void tell(struct dap_session *session, const struct dap_hidden *hidden, int rc,
                 const char *text, size_t bytes, const struct bsk_error *err)
{
    bool outer = session->in_extension;
    session->in_extension = true;
    hidden->done(hidden->user, rc, text, bytes, err);
    session->in_extension = outer;
}

static void fail(struct dap_session *session, struct dap_hidden hidden, enum bsk_code code,
                 const char *reason)
{
    struct bsk_error err = { 0 };
    bsk_fail(&err, code, NULL, "%s", reason);
    tell(session, &hidden, code, NULL, 0, &err);
}

void dap_hidden_fail_all(struct dap_session *session, enum bsk_code code, const char *reason)
{
    /* Only those that are there now: a callback may ask again, and is then told by its own failure.
     */
    for (size_t left = session->hidden_count; left > 0 && session->hidden_count > 0; left--)
        fail(session, take(session, &session->hidden[0]), code, reason);
}

void dap_hidden_too_large(struct dap_session *session, int64_t request_seq)
{
    struct dap_hidden *hidden = find(session, request_seq);
    if (hidden)
        fail(session, take(session, hidden), BSK_E_LIMIT, "the debuggee's answer is over 64 MiB");
}

void dap_hidden_tick(struct dap_session *session, uint64_t now_ns)
{
    for (size_t i = 0; i < session->hidden_count;) {
        if (session->hidden[i].deadline_ns > now_ns) {
            i++;
            continue;
        }
        fail(session, take(session, &session->hidden[i]), BSK_E_IO,
             "the debuggee did not answer in time");
        i = 0; /* the callback may have changed the list */
    }
}

uint64_t dap_hidden_next(const struct dap_session *session)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < session->hidden_count; i++) {
        if (session->hidden[i].deadline_ns < next)
            next = session->hidden[i].deadline_ns;
    }
    return next;
}

/* ---- asking
 * ------------------------------------------------------------------------------------------ */

static void ask(struct dap_session *session, const char *command, const char *arguments,
                size_t arguments_bytes, uint32_t timeout_ms, dap_answer_fn *done, void *user,
                bool is_run)
{
    struct bsk_error err = { 0 };
    if (session->adapter_gone || session->finished || !session->initialize_answered) {
        bool gone = session->adapter_gone || session->finished;
        int rc = bsk_fail(&err, gone ? BSK_E_GONE : BSK_E_STATE, NULL,
                          gone ? "the debug session has ended" : "No debug session");
        done(user, rc, NULL, 0, &err);
        return;
    }
    if (!bsk_room_for_one(&session->hidden, session->hidden_count, &session->hidden_capacity,
                          sizeof(*session->hidden))) {
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory");
        done(user, BSK_E_MEMORY, NULL, 0, &err);
        return;
    }
    int64_t seq = session->next_own_seq++;
    session->hidden[session->hidden_count++] = (struct dap_hidden){
        .seq = seq,
        .deadline_ns = session_now(session) + timeout_ms * MS,
        .done = done,
        .user = user,
        .is_run = is_run,
    };
    struct bsk_buffer out = { 0 };
    struct bsk_json json = { .out = &out };
    bsk_json_begin(&json, '{');
    bsk_json_field_int(&json, "seq", seq);
    bsk_json_field_text(&json, "type", "request");
    bsk_json_field_text(&json, "command", command);
    if (arguments) {
        bsk_json_key(&json, "arguments");
        bsk_json_raw(&json, arguments, arguments_bytes);
    }
    bsk_json_end(&json, '}');
    if (!out.failed)
        dap_own_send(session, DAP_ADAPTER, out.data, out.size, "", false);
    bsk_buffer_free(&out);
}

void dap_session_ask(struct dap_session *session, const char *command, const char *arguments,
                     uint32_t timeout_ms, dap_answer_fn *done, void *user)
{
    bool outer = session->in_extension;
    dap_enter(session);
    session->in_extension = true;
    ask(session, command, arguments, arguments ? strlen(arguments) : 0, timeout_ms, done, user,
        false);
    session->in_extension = outer;
    dap_leave(session);
}

/* ---- running scripts
 * ---------------------------------------------------------------------------------- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* False when [text, text + size) is not base64. */
static bool base64_decode(struct bsk_buffer *out, const char *text, size_t size)
{
    signed char value[256];
    memset(value, -1, sizeof(value));
    for (int i = 0; i < 64; i++)
        value[(unsigned char)base64_digits[i]] = (signed char)i;
    while (size > 0 && text[size - 1] == '=')
        size--;
    char *to = bsk_buffer_reserve(out, size / 4 * 3 + 4);
    unsigned bits = 0, have = 0;
    for (size_t at = 0; to && at < size; at++) {
        signed char digit = value[(unsigned char)text[at]];
        if (digit < 0)
            return false;
        bits = (bits << 6 | (unsigned)digit) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            *to++ = (char)(bits >> have & 0xff);
            out->size++;
        }
    }
    return to != NULL;
}

/*
 * The answer is the text of an exception, since that comes back whole and unprinted from every
 * debugpy (facts: an expression's value is printed into the user's output before 1.8.21). It must
 * not be a SystemExit, which debugpy never answers, so nothing of the script's own gets out.
 * Everything lives in the dictionary of this one exec; the exception has no class of ours, which
 * would be garbage. An `import` or `open` that the program has put in the place of the real one is
 * not called.
 */
static const char wrapper[] =
    "def _run(source, modules):\n"
    "    names = dict(modules['builtins'].__dict__)\n"
    "    if type(names['__import__']) is not type(len):\n"
    "        names['__import__'] = modules['_frozen_importlib'].__import__\n"
    "    names['open'] = modules['_io'].open\n"
    "    got = []\n"
    "    def _answer(text=''):\n"
    "        got[:] = [text]\n"
    "    kind = 'BSK'\n"
    "    try:\n"
    "        exec(compile(source, '<basilisk>', 'exec'), {'__name__': '__basilisk__',\n"
    "             '__builtins__': names, '_answer': _answer, '_sys': modules['sys']})\n"
    "    except BaseException as e:\n"
    "        if not got:\n"
    "            kind = 'BSKERR'\n"
    "            got.append('%s: %s' % (type(e).__name__, e))\n"
    "    data = got[0] if got else ''\n"
    "    if not isinstance(data, (bytes, bytearray, memoryview)):\n"
    "        data = str(data).encode('utf-8', 'surrogatepass')\n"
    "    binascii = modules.get('binascii') or names['__import__']('binascii')\n"
    "    return kind + '<' + binascii.b2a_base64(data, newline=False).decode('ascii') + '>'\n"
    "raise Exception(globals().pop('_run')(globals().pop('_source'), _sys.modules))\n";

void dap_run(struct dap_session *session, const char *source, uint32_t timeout_ms,
             dap_answer_fn *done, void *user)
{
    dap_enter(session);
    if (!session->debuggee.has_channel && !session->adapter_gone) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_STATE, NULL,
                 session->debuggee.no_debug ? "No debugger in this session" : "No debug session");
        done(user, BSK_E_STATE, NULL, 0, &err);
        dap_leave(session);
        return;
    }
    /* debugpy evaluates in a module of its own that has `sys`. */
    struct bsk_buffer expression = { 0 }, out = { 0 };
    bsk_buffer_text_append(&expression, "exec(compile(");
    bsk_python_literal(&expression, wrapper);
    bsk_buffer_text_append(&expression, ",'<basilisk>','exec'),{'_sys':globals().get('sys')or "
                                        "__import__('sys'),'_source':");
    bsk_python_literal(&expression, source);
    bsk_buffer_text_append(&expression, "})");
    struct bsk_json json = { .out = &out };
    bsk_json_begin(&json, '{');
    bsk_json_field_text(&json, "context", "hover");
    bsk_json_field_text(&json, "expression", bsk_buffer_text(&expression));
    bsk_json_end(&json, '}');
    out.failed |= expression.failed;
    bsk_buffer_free(&expression);
    if (out.failed) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory");
        done(user, BSK_E_MEMORY, NULL, 0, &err);
    } else {
        ask(session, "evaluate", out.data, out.size, timeout_ms, done, user, true);
    }
    bsk_buffer_free(&out);
    dap_leave(session);
}

void dap_session_run(struct dap_session *session, const char *source, uint32_t timeout_ms,
                     dap_answer_fn *done, void *user)
{
    bool outer = session->in_extension;
    session->in_extension = true;
    dap_run(session, source, timeout_ms, done, user);
    session->in_extension = outer;
}

/* The last `mark` in the bytes, or NULL. */
static const char *last_of(const char *bytes, size_t size, const char *mark)
{
    size_t length = strlen(mark);
    const char *last = NULL;
    while (size >= length) {
        const char *next = memmem(bytes, size, mark, length);
        if (!next)
            break;
        last = next;
        size -= (size_t)(next + 1 - bytes);
        bytes = next + 1;
    }
    return last;
}

static const char *end_of_payload(const char *payload, const char *end)
{
    return payload ? memchr(payload, '>', (size_t)(end - payload)) : NULL;
}

static void tell_of_run(struct dap_session *session, const struct dap_hidden *hidden,
                        const struct dap_message *message)
{
    size_t size = 0;
    const char *body = message_body(message, &size), *end = body + size;
    const char *answer = last_of(body, size, "BSK<"), *failure = last_of(body, size, "BSKERR<");
    const char *payload = answer ? answer + 4 : failure ? failure + 7 : NULL;
    const char *payload_end = end_of_payload(payload, end);
    struct bsk_buffer text = { 0 };
    struct bsk_error err = { 0 };
    int rc = BSK_OK;

    if (!payload_end || !base64_decode(&text, payload, (size_t)(payload_end - payload)))
        rc = bsk_fail(&err, BSK_E_FORMAT, NULL, "the debugger did not run the script: %.300s",
                      json_text(message_json(session, (struct dap_message *)message), "message"));
    else if (!answer)
        rc = bsk_fail(&err, BSK_E_FORMAT, NULL, "%.400s", bsk_buffer_text(&text));
    const char *plain = bsk_buffer_text(&text);
    tell(session, hidden, rc, rc == BSK_OK ? plain : NULL, rc == BSK_OK ? text.size : 0,
         rc == BSK_OK ? NULL : &err);
    bsk_buffer_free(&text);
}

enum dap_verdict dap_on_hidden_answer(struct dap_session *session, struct dap_message *message)
{
    struct dap_hidden *found = find(session, message->scan->request_seq);
    if (!found)
        return DAP_TAKE; /* timed out while its answer was on the way */
    struct dap_hidden hidden = take(session, found);
    if (hidden.is_run) {
        tell_of_run(session, &hidden, message);
    } else {
        size_t size = 0;
        const char *body = message_body(message, &size);
        tell(session, &hidden, BSK_OK, body, size, NULL);
    }
    return DAP_TAKE;
}

/* ---- the debuggee's PID
 * ---------------------------------------------------------------------------------- */

struct pid_question {
    struct dap_session *session;
    dap_answer_fn *done;
    void *user;
};

static void on_system_info(void *user, int rc, const char *text, size_t bytes,
                           const struct bsk_error *err)
{
    struct pid_question *question = user;
    struct dap_session *session = question->session;
    struct json_object *message = NULL;
    if (rc == BSK_OK) {
        message = json_parse(session, text, bytes);
        struct json_object *process = json_member(json_member(message, "body"), "process");
        int64_t pid = json_object_get_int64(json_member(process, "pid"));
        if (pid > 0 && pid <= INT32_MAX)
            session->debuggee.pid = (pid_t)pid;
    }
    json_object_put(message);
    if (session->debuggee.pid == 0)
        session->debuggee.pid = session->debuggee.hint_pid;
    struct bsk_error none = { 0 };
    if (session->debuggee.pid > 0) {
        question->done(question->user, BSK_OK, "", 0, NULL);
    } else {
        int code = rc < 0 ? rc : bsk_fail(&none, BSK_E_STATE, NULL, "No debug session");
        question->done(question->user, code, NULL, 0, rc < 0 ? err : &none);
    }
    free(question);
}

void dap_session_find_pid(struct dap_session *session, dap_answer_fn *done, void *user)
{
    struct pid_question *question = NULL;
    bool outer = session->in_extension;
    dap_enter(session);
    session->in_extension = true;
    if (session->debuggee.has_channel && (question = malloc(sizeof(*question)))) {
        *question = (struct pid_question){ session, done, user };
        ask(session, "pydevdSystemInfo", "{}", 2, 5000, on_system_info, question, false);
    } else if (session->debuggee.pid > 0 || session->debuggee.hint_pid > 0) {
        if (session->debuggee.pid == 0)
            session->debuggee.pid = session->debuggee.hint_pid;
        done(user, BSK_OK, "", 0, NULL);
    } else {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_STATE, NULL, "No debug session");
        done(user, BSK_E_STATE, NULL, 0, &err);
    }
    session->in_extension = outer;
    dap_leave(session);
}
