/* The session object between two sides that are buffers. */
#include "engine/base/buffer.h"
#include "proxy/session/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bench {
    struct dap_session *session;
    struct bsk_buffer out[2];
    uint64_t now_ns, wake_ns;
    size_t waiting;
    bool finished, holds, ready, channel, connects;
    int endings, answers, rc;
    char answer[64], marker[128], wanted[64];
};

/* ---- the host ---- */

static void host_write(void *user, enum dap_side to, const char *bytes, size_t size)
{
    bsk_buffer_append(&((struct bench *)user)->out[to], bytes, size);
}

static size_t host_waiting(void *user, enum dap_side to)
{
    return to == DAP_EDITOR ? ((struct bench *)user)->waiting : 0;
}

static uint64_t host_now(void *user)
{
    return ((struct bench *)user)->now_ns;
}

static void host_wake_at(void *user, uint64_t at_ns)
{
    ((struct bench *)user)->wake_ns = at_ns;
}

static void host_finish(void *user, const struct bsk_error *why)
{
    (void)why;
    ((struct bench *)user)->finished = true;
}

static bool host_child_port(void *user, const char *host, uint16_t port, uint16_t *out_port)
{
    struct bench *b = user;
    snprintf(b->wanted, sizeof(b->wanted), "%s:%u", host, port);
    *out_port = 4711;
    return true;
}

static void host_reconnect(void *user, const char *host, uint16_t port)
{
    struct bench *b = user;
    snprintf(b->wanted, sizeof(b->wanted), "%s:%u", host, port);
    b->connects = true;
}

static const struct dap_host host = {
    .write = host_write,
    .waiting = host_waiting,
    .now_ns = host_now,
    .wake_at = host_wake_at,
    .finish = host_finish,
    .child_port = host_child_port,
    .reconnect = host_reconnect,
};

/* ---- the extension ---- */

static struct bench *opening;

static void *ext_open(struct dap_session *session, void *parent, void *user)
{
    (void)session;
    (void)parent;
    (void)user;
    return opening;
}

static bool ext_has(const char *name)
{
    return strcmp(name, "basilisk.status") == 0 || strncmp(name, "/status", 7) == 0;
}

static void ext_on_request(void *state, const struct dap_request *request, struct json_object *args)
{
    struct bench *b = state;
    dap_session_respond(b->session, request, json_object_get(args));
}

static void ext_on_console(void *state, const struct dap_request *request, const char *text)
{
    struct bench *b = state;
    dap_session_respond(b->session, request, json_object_new_string(text));
}

static void ext_on_ready(void *state, bool has_channel)
{
    struct bench *b = state;
    b->ready = true;
    b->channel = has_channel;
}

static bool ext_on_ending(void *state)
{
    struct bench *b = state;
    b->endings++;
    if (b->holds)
        dap_session_event(b->session, "basilisk.profile", "{}", 2, DAP_MAY_DROP);
    return b->holds;
}

static void ext_on_marker(void *state, const char *marker, const char *payload, size_t bytes)
{
    struct bench *b = state;
    snprintf(b->marker, sizeof(b->marker), "%s=%.*s", marker, (int)bytes, payload);
}

static const struct dap_extension extension = {
    .open = ext_open,
    .has_request = ext_has,
    .on_request = ext_on_request,
    .has_console = ext_has,
    .on_console = ext_on_console,
    .on_ready = ext_on_ready,
    .on_ending = ext_on_ending,
    .on_marker = ext_on_marker,
};

/* ---- helpers ---- */

static void begin(struct bench *b, const struct dap_session_options *options)
{
    *b = (struct bench){ .now_ns = 1000000000 };
    opening = b;
    b->session = dap_session_new(&host, b, options);
    assert_non_null(b->session);
}

static const struct dap_session_options with_extension = { .extension = &extension,
                                                           .adapter_is_debugpy = true,
                                                           .adapter_is_exchangeable = true };

static void end(struct bench *b)
{
    dap_session_free(b->session);
    bsk_buffer_free(&b->out[0]);
    bsk_buffer_free(&b->out[1]);
}

static void say(struct bench *b, enum dap_side from, const char *body)
{
    struct bsk_buffer message = { 0 };
    bsk_buffer_printf(&message, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    dap_session_feed(b->session, from, message.data, message.size);
    bsk_buffer_free(&message);
}

/* What went to one side since the last look. */
static const char *heard(struct bench *b, enum dap_side side)
{
    static char copy[1 << 16];
    snprintf(copy, sizeof(copy), "%s", bsk_buffer_text(&b->out[side]));
    bsk_buffer_clear(&b->out[side]);
    return copy;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no %s in: %s", part, text);
}

static void greet(struct bench *b)
{
    say(b, DAP_EDITOR,
        "{\"seq\":1,\"type\":\"request\",\"command\":\"initialize\",\"arguments\":{}}");
    say(b, DAP_ADAPTER,
        "{\"seq\":1,\"type\":\"event\",\"event\":\"output\",\"body\":{\"category\":"
        "\"telemetry\",\"output\":\"debugpy\",\"data\":{\"packageVersion\":\"1.8\"}}}");
    say(b, DAP_ADAPTER,
        "{\"seq\":2,\"type\":\"response\",\"request_seq\":1,\"success\":true,"
        "\"command\":\"initialize\",\"body\":{}}");
}

static void opt_in(struct bench *b)
{
    greet(b);
    say(b, DAP_EDITOR, "{\"seq\":2,\"type\":\"request\",\"command\":\"basilisk.status\"}");
    say(b, DAP_ADAPTER, "{\"seq\":3,\"type\":\"event\",\"event\":\"initialized\"}");
    heard(b, DAP_EDITOR);
    heard(b, DAP_ADAPTER);
}

static void on_answer(void *user, int rc, const char *text, size_t bytes,
                      const struct bsk_error *err)
{
    struct bench *b = user;
    b->answers++;
    b->rc = rc;
    snprintf(b->answer, sizeof(b->answer), "%.*s", (int)bytes, rc == BSK_OK ? text : err->message);
}

/* ---- what passes ---- */

static const char stream[] =
    "Content-Length: 2\r\n\r\n{}Content-Type: a\r\nContent-Length: 0\r\n\r\n"
    "Content-Length: "
    "65\r\n\r\n{\"seq\":1,\"type\":\"request\",\"command\":\"threads\",\"x\":\"\\udcff\\u0000\"}"
    "Content-Length: 9\r\n\r\nno JSON {Content-Length: "
    "41\r\n\r\n{\"command\":\"next\",\"type\":\"request\",\"a\":1}";

static void passes_every_byte_at_every_split(void **state)
{
    (void)state;
    for (size_t part = 0; part < sizeof(stream); part++) {
        for (int side = 0; side < 2; side++) {
            struct bench b;
            begin(&b, &with_extension);
            dap_session_feed(b.session, (enum dap_side)side, stream, part);
            dap_session_feed(b.session, (enum dap_side)side, stream + part,
                             sizeof(stream) - 1 - part);
            assert_int_equal(b.out[!side].size, sizeof(stream) - 1);
            assert_memory_equal(b.out[!side].data, stream, sizeof(stream) - 1);
            assert_int_equal(b.out[side].size, 0);
            end(&b);
        }
    }
}

static void passes_a_large_body_as_it_comes(void **state)
{
    (void)state;
    struct bench b;
    static const char head[] = "Content-Length: 100000000\r\n\r\n{\"seq\":1,\"type\":\"event\","
                               "\"event\":\"big\",\"body\":\"";
    begin(&b, &with_extension);
    dap_session_feed(b.session, DAP_ADAPTER, head, sizeof(head) - 1);
    assert_string_equal(heard(&b, DAP_EDITOR), head);
    dap_session_feed(b.session, DAP_ADAPTER, "xyz", 3);
    assert_string_equal(heard(&b, DAP_EDITOR), "xyz");
    end(&b);
}

static void ends_at_what_is_no_message(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, &with_extension);
    dap_session_feed(b.session, DAP_EDITOR, "POST / HTTP/1.1\r\n", 17);
    assert_true(b.finished);
    assert_string_equal(heard(&b, DAP_ADAPTER), "");
    end(&b);
}

/* ---- opting in ---- */

static void cuts_our_key_and_nothing_else(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, &with_extension);
    greet(&b);
    heard(&b, DAP_ADAPTER);
    assert_false(dap_session_opted_in(b.session));
    say(&b, DAP_EDITOR,
        "{\"command\":\"launch\",\"arguments\":{\"x\": "
        "\"\\u0000/\",\"basilisk\":{\"profile\":true}},"
        "\"type\":\"request\",\"seq\":2}");
    assert_string_equal(heard(&b, DAP_ADAPTER),
                        "Content-Length: 74\r\n\r\n{\"command\":\"launch\",\"arguments\":{\"x\": "
                        "\"\\u0000/\"},\"type\":\"request\",\"seq\":2}");
    assert_true(dap_session_opted_in(b.session));
    end(&b);
}

static void refuses_us_over_tcp_before_initialize(void **state)
{
    (void)state;
    struct bench b;
    const struct dap_session_options tcp = { .extension = &extension, .over_tcp = true };
    begin(&b, &tcp);
    say(&b, DAP_EDITOR, "{\"seq\":1,\"type\":\"request\",\"command\":\"basilisk.status\"}");
    assert_has(heard(&b, DAP_EDITOR), "\"success\":false");
    assert_false(dap_session_opted_in(b.session));
    end(&b);
}

/* ---- hidden requests ---- */

static void runs_a_script_unseen(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, &with_extension);
    opt_in(&b);
    assert_true(b.ready && b.channel);
    dap_session_run(b.session, "_answer('hi')", 1000, on_answer, &b);
    const char *asked = heard(&b, DAP_ADAPTER);
    assert_has(asked, "\"seq\":1073741824,\"type\":\"request\",\"command\":\"evaluate\"");
    assert_null(strstr(asked, "frameId"));
    say(&b, DAP_ADAPTER,
        "{\"seq\":4,\"type\":\"response\",\"request_seq\":1073741824,\"success\":false,"
        "\"command\":\"evaluate\",\"message\":\"Traceback\\nException: BSK<aGk=>\"}");
    assert_int_equal(b.answers, 1);
    assert_int_equal(b.rc, BSK_OK);
    assert_string_equal(b.answer, "hi");
    assert_string_equal(heard(&b, DAP_EDITOR), "");
    end(&b);
}

static void drops_answers_that_come_too_late(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, &with_extension);
    opt_in(&b);
    dap_session_run(b.session, "x", 1000, on_answer, &b);
    assert_int_equal(b.wake_ns, b.now_ns + 1000000000);
    b.now_ns = b.wake_ns;
    b.wake_ns = 0; /* it comes once */
    dap_session_tick(b.session);
    assert_int_equal(b.answers, 1);
    assert_int_equal(b.rc, BSK_E_IO);
    say(&b, DAP_ADAPTER,
        "{\"seq\":4,\"type\":\"response\",\"request_seq\":1073741824,\"success\":false,"
        "\"command\":\"evaluate\",\"message\":\"BSK<>\"}");
    assert_int_equal(b.answers, 1);
    assert_string_equal(heard(&b, DAP_EDITOR), "");
    assert_int_equal(b.wake_ns, 0); /* nothing left to wait for */
    end(&b);
}

static void waits_for_the_end_of_what_streams(void **state)
{
    (void)state;
    struct bench b;
    static const char half[] =
        "Content-Length: 46\r\n\r\n{\"seq\":7,\"type\":\"event\",\"event\":\"big\",\"b\":";
    begin(&b, &with_extension);
    opt_in(&b);
    dap_session_feed(b.session, DAP_ADAPTER, half, sizeof(half) - 1);
    heard(&b, DAP_EDITOR);
    dap_session_event(b.session, "basilisk.heat", "{}", 2, DAP_NEWEST);
    assert_string_equal(heard(&b, DAP_EDITOR), "");
    dap_session_feed(b.session, DAP_ADAPTER, "123}", 4);
    const char *text = heard(&b, DAP_EDITOR);
    assert_memory_equal(text, "123}Content-Length", 18);
    assert_has(text, "basilisk.heat");
    end(&b);
}

static void replaces_events_that_a_slow_editor_has_not_read(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, &with_extension);
    opt_in(&b);
    b.waiting = 1 << 20;
    for (int i = 0; i < 5; i++) {
        char body[20];
        snprintf(body, sizeof(body), "{\"n\":%d}", i);
        dap_session_event(b.session, "basilisk.heat", body, strlen(body), DAP_NEWEST);
    }
    assert_string_equal(heard(&b, DAP_EDITOR), "");
    b.waiting = 0;
    dap_session_drained(b.session);
    const char *text = heard(&b, DAP_EDITOR);
    assert_has(text, "{\"n\":4}");
    assert_null(strstr(text, "{\"n\":3}"));
    end(&b);
}

static void drops_and_counts_what_does_not_fit(void **state)
{
    (void)state;
    struct bench b;
    char *large = calloc(1, 300001);
    memset(large, 'x', 300000);
    begin(&b, &with_extension);
    opt_in(&b);
    b.waiting = 1 << 20;
    for (int i = 0; i < 5; i++)
        dap_session_output(b.session, "console", large, NULL, 0);
    assert_int_equal(dap_session_dropped(b.session), 2);
    free(large);
    end(&b);
}

/* ---- debugpy's traps ---- */

static void answers_what_would_wedge_debugpy(void **state)
{
    (void)state;
    static const char cancel[] = "{\"seq\":5,\"type\":\"request\",\"command\":\"cancel\"}";
    struct bench b;
    begin(&b, &with_extension);
    greet(&b);
    heard(&b, DAP_ADAPTER);
    heard(&b, DAP_EDITOR);
    say(&b, DAP_EDITOR, cancel);
    assert_string_equal(heard(&b, DAP_ADAPTER), "");
    assert_has(heard(&b, DAP_EDITOR), "\"request_seq\":5,\"success\":false,\"command\":\"cancel\"");
    end(&b);

    const struct dap_session_options other = { .extension = &extension };
    begin(&b, &other);
    say(&b, DAP_EDITOR, cancel);
    assert_has(heard(&b, DAP_ADAPTER), cancel);
    end(&b);
}

static void connects_itself_and_greets_once(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, &with_extension);
    greet(&b);
    heard(&b, DAP_EDITOR);
    heard(&b, DAP_ADAPTER);
    say(&b, DAP_EDITOR,
        "{\"seq\":2,\"type\":\"request\",\"command\":\"attach\",\"arguments\":{\"connect\":{"
        "\"port\":5}}}");
    say(&b, DAP_EDITOR, "{\"seq\":3,\"type\":\"request\",\"command\":\"threads\"}");
    assert_string_equal(b.wanted, "127.0.0.1:5");
    assert_string_equal(heard(&b, DAP_ADAPTER), "");
    dap_session_reconnected(b.session, NULL);
    assert_has(heard(&b, DAP_ADAPTER), "\"command\":\"initialize\"");
    say(&b, DAP_ADAPTER,
        "{\"seq\":1,\"type\":\"event\",\"event\":\"output\",\"body\":{\"category\":"
        "\"telemetry\",\"output\":\"debugpy\"}}");
    say(&b, DAP_ADAPTER,
        "{\"seq\":2,\"type\":\"response\",\"request_seq\":1,\"success\":true,"
        "\"command\":\"initialize\",\"body\":{}}");
    assert_string_equal(heard(&b, DAP_EDITOR), "");
    const char *sent = heard(&b, DAP_ADAPTER);
    assert_true(strstr(sent, "attach") < strstr(sent, "threads"));
    say(&b, DAP_ADAPTER,
        "{\"seq\":3,\"type\":\"response\",\"request_seq\":2,\"success\":true,\"command\":"
        "\"attach\"}");
    assert_has(heard(&b, DAP_EDITOR), "\"request_seq\":2,\"success\":true");
    end(&b);
}

static void sends_children_to_a_port_of_ours(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, &with_extension);
    greet(&b);
    heard(&b, DAP_EDITOR);
    static const char event[] =
        "{\"type\":\"event\",\"event\":\"debugpyAttach\",\"body\":{\"connect\":"
        "{\"host\":\"::1\", \"port\": 99},\"x\":1}}";
    say(&b, DAP_ADAPTER, event);
    assert_has(heard(&b, DAP_EDITOR), event); /* not opted in: as it is */
    opt_in(&b);
    say(&b, DAP_ADAPTER, event);
    assert_has(heard(&b, DAP_EDITOR), "{\"host\":\"127.0.0.1\", \"port\": 4711},\"x\":1}");
    assert_string_equal(b.wanted, "::1:99");
    end(&b);
}

/* ---- markers ---- */

static void output(struct bench *b, const char *text)
{
    char body[500];
    snprintf(body, sizeof(body),
             "{\"type\":\"event\",\"event\":\"output\",\"body\":{\"category\":\"stdout\","
             "\"output\":\"%s\"}}",
             text);
    say(b, DAP_ADAPTER, body);
}

static void takes_markers_out_of_output_however_it_is_cut(void **state)
{
    (void)state;
    static const char line[] = "before\\n__BASILISK_GC__ {\\\"a\\\":1}\\nafter_";
    for (size_t part = 1; part < sizeof(line) - 1; part++) {
        struct bench b;
        char first[100], all[400] = "";
        if (line[part - 1] == '\\')
            continue; /* no JSON is cut there */
        begin(&b, &with_extension);
        opt_in(&b);
        snprintf(first, sizeof(first), "%.*s", (int)part, line);
        output(&b, first);
        output(&b, line + part);
        b.now_ns = b.wake_ns ? b.wake_ns : b.now_ns;
        dap_session_tick(b.session); /* a tail that begins no marker after all */
        assert_string_equal(b.marker, "__BASILISK_GC__={\"a\":1}");
        const char *text = heard(&b, DAP_EDITOR);
        for (const char *at = text; (at = strstr(at, "\"output\":\"")); at++) {
            const char *from = at + 10;
            snprintf(all + strlen(all), sizeof(all) - strlen(all), "%.*s",
                     (int)(strchr(from, '"') - from), from);
        }
        assert_string_equal(all, "before\\nafter_");
        end(&b);
    }
}

static void leaves_other_output_alone(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, &with_extension);
    opt_in(&b);
    output(&b, "see __BASILISK_MEM__ for more, __BASIL");
    assert_has(heard(&b, DAP_EDITOR), "see __BASILISK_MEM__ for more, \"");
    output(&b, "__ and __BASILISK_GC__x");
    assert_has(heard(&b, DAP_EDITOR), "\"__BASIL__ and __BASILISK_GC__x\"");
    assert_string_equal(b.marker, "");
    end(&b);
}

/* ---- ends ---- */

static void has_the_last_word_before_terminated(void **state)
{
    (void)state;
    static const char terminated[] = "{\"seq\":9,\"type\":\"event\",\"event\":\"terminated\"}";
    struct bench b;
    begin(&b, &with_extension);
    opt_in(&b);
    b.holds = true;
    say(&b, DAP_ADAPTER, terminated);
    assert_null(strstr(heard(&b, DAP_EDITOR), "terminated"));
    dap_session_event(b.session, "basilisk.diagnostics", "{}", 2, DAP_MAY_DROP);
    assert_has(heard(&b, DAP_EDITOR), "basilisk.diagnostics");
    dap_session_release(b.session);
    assert_has(heard(&b, DAP_EDITOR), terminated);
    assert_int_equal(b.endings, 1);
    end(&b);

    begin(&b, &with_extension);
    opt_in(&b);
    b.holds = true;
    say(&b, DAP_ADAPTER, terminated);
    b.now_ns += 3000000000u; /* it never releases */
    dap_session_tick(b.session);
    assert_has(heard(&b, DAP_EDITOR), terminated);
    end(&b);
}

static void fails_what_waits_when_the_adapter_dies(void **state)
{
    (void)state;
    struct bench b;
    struct bsk_error err = { 0 };
    bsk_fail(&err, BSK_E_GONE, "mend it so", "it died");
    begin(&b, &with_extension);
    greet(&b);
    say(&b, DAP_EDITOR, "{\"seq\":2,\"type\":\"request\",\"command\":\"launch\",\"arguments\":{}}");
    heard(&b, DAP_EDITOR);
    dap_session_eof(b.session, DAP_ADAPTER, &err);
    const char *text = heard(&b, DAP_EDITOR);
    assert_has(text, "\"request_seq\":2,\"success\":false,\"command\":\"launch\",\"message\":\"it "
                     "died: mend it so\"");
    assert_has(text, "\"showUser\":true");
    assert_has(text, "\"event\":\"terminated\"");
    say(&b, DAP_EDITOR, "{\"seq\":3,\"type\":\"request\",\"command\":\"disconnect\"}");
    assert_has(heard(&b, DAP_EDITOR), "\"request_seq\":3,\"success\":true");
    dap_session_tick(b.session);
    assert_true(b.finished);
    end(&b);
}

static void answers_initialize_when_there_is_no_adapter(void **state)
{
    (void)state;
    struct bench b;
    struct bsk_error err = { 0 };
    bsk_fail(&err, BSK_E_GONE, "run `python -m pip install debugpy`", "No module named debugpy");
    begin(&b, &with_extension);
    dap_session_eof(b.session, DAP_ADAPTER, &err);
    say(&b, DAP_EDITOR,
        "{\"seq\":1,\"type\":\"request\",\"command\":\"initialize\",\"arguments\":{}}");
    assert_has(heard(&b, DAP_EDITOR),
               "\"request_seq\":1,\"success\":true,\"command\":\"initialize\"");
    say(&b, DAP_EDITOR, "{\"seq\":2,\"type\":\"request\",\"command\":\"launch\",\"arguments\":{}}");
    assert_has(heard(&b, DAP_EDITOR), "pip install debugpy");
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_every_byte_at_every_split),
        cmocka_unit_test(passes_a_large_body_as_it_comes),
        cmocka_unit_test(ends_at_what_is_no_message),
        cmocka_unit_test(cuts_our_key_and_nothing_else),
        cmocka_unit_test(refuses_us_over_tcp_before_initialize),
        cmocka_unit_test(runs_a_script_unseen),
        cmocka_unit_test(drops_answers_that_come_too_late),
        cmocka_unit_test(waits_for_the_end_of_what_streams),
        cmocka_unit_test(replaces_events_that_a_slow_editor_has_not_read),
        cmocka_unit_test(drops_and_counts_what_does_not_fit),
        cmocka_unit_test(answers_what_would_wedge_debugpy),
        cmocka_unit_test(connects_itself_and_greets_once),
        cmocka_unit_test(sends_children_to_a_port_of_ours),
        cmocka_unit_test(takes_markers_out_of_output_however_it_is_cut),
        cmocka_unit_test(leaves_other_output_alone),
        cmocka_unit_test(has_the_last_word_before_terminated),
        cmocka_unit_test(fails_what_waits_when_the_adapter_dies),
        cmocka_unit_test(answers_initialize_when_there_is_no_adapter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
