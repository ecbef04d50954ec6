/*
 * One debug session: an editor on one side, a debug adapter on the other, and Basilisk between
 * them.
 *
 * A session is a pure machine over bytes: what an editor or an adapter sent goes in through
 * dap_session_feed(), what is to be written comes out through the host's functions. It does no I/O,
 * knows no event loop and reads no clock but the host's; the binary drives it from libuv streams
 * (proxy/session/link.h), the fuzzer and `basilisk replay` from memory. It knows DAP alone: what
 * Basilisk can do for the user hangs on it as an extension (proxy/commands).
 *
 * What no rule wants passes as the bytes that came in, as they arrive, uncollected. Until the
 * session has opted in (a `basilisk` key, a basilisk.* request, a console command of ours) the
 * editor sees exactly what the adapter said; the exceptions are listed in docs/session.md.
 *
 * Threads: all calls come from the loop's thread; no function here blocks.
 */
#ifndef DAP_SESSION_SESSION_H
#define DAP_SESSION_SESSION_H

#include "engine/base/error.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct dap_session;

/* ---- What hangs on a session -------------------------------------------------------------------
 */

/* A request of the editor's that an extension answers, now or later, by dap_session_respond(). */
struct dap_request {
    int64_t seq;
    char command[64];
};

/*
 * What Basilisk adds to every session. `state` is the extension's own, one for each session. Any
 * function may be NULL. JSON objects that are handed in live until the function returns; take a
 * reference (json_object_get) of what must live longer.
 */
struct dap_extension {
    /* `parent` is the state of the session that this one is a child of, or NULL. */
    void *(*open)(struct dap_session *session, void *parent, void *user);
    /* The session is going away: no call on it afterwards. */
    void (*close)(void *state);

    /* Is `basilisk.x` in the table? One that is not goes on to the adapter like any other. */
    bool (*has_request)(const char *command);
    void (*on_request)(void *state, const struct dap_request *request,
                       struct json_object *arguments); /* may be NULL */

    /* Is the console text's first word one of ours, or nearly? Asked for `evaluate` with context
     * "repl" only. */
    bool (*has_console)(const char *text);
    void (*on_console)(void *state, const struct dap_request *request, const char *text);

    /* Adds to `targets` (a JSON array of CompletionItem) what could follow `text` (the line up to
     * the cursor). Asked in sessions that opted in, when `text` starts with '/'; true: these are
     * all. */
    bool (*on_completions)(void *state, const char *text, struct json_object *targets);

    /* The `basilisk` key of a launch or attach configuration; `arguments` is the whole of it. */
    void (*on_configuration)(void *state, struct json_object *key, struct json_object *arguments);

    /* The debuggee is there: hidden requests can be sent (after `initialized`), or, with noDebug,
     * there is no channel and the PID of the `process` event is all that is known. */
    void (*on_ready)(void *state, bool has_channel);
    /* The program is about to run its first line (configurationDone). True: it waits for
     * dap_session_let_run(), at most 2 s. */
    bool (*on_starting)(void *state);
    void (*on_stopped)(void *state);   /* all threads stand at a breakpoint */
    void (*on_continued)(void *state); /* and go on */

    /* The program printed a payload marker (`__BASILISK_MEM__` and so on) with `payload` behind it;
     * its line was taken out of the output. Only in sessions that opted in. */
    void (*on_marker)(void *state, const char *marker, const char *payload, size_t bytes);

    /* The debuggee has ended (`exited` or `terminated`), or the editor is about to end it
     * (terminate, disconnect), or the adapter is gone. Comes at most once. True: keep the adapter's
     * bytes back until dap_session_release() (at most 3 s), so that what must be said is said
     * before `terminated`. */
    bool (*on_ending)(void *state);
};

/* ---- What an extension may ask of its session --------------------------------------------------
 */

/* What the client said of itself in `initialize`, and what follows from it. */
struct dap_client {
    char id[64];   /* clientID, "" when it gave none */
    bool ansi;     /* supportsANSIStyling */
    bool progress; /* supportsProgressReporting */
    bool variable_type;
    bool lines_start_at_1; /* default true */
    bool columns_start_at_1;
    bool custom_events; /* has sent a basilisk.* request, its configuration has a `basilisk` key, or
                           its initialize has `supportsBasiliskEvents` */
};
const struct dap_client *dap_session_client(const struct dap_session *session);

/* What is known of the debuggee. Strings live as long as the session; "" when not known. */
struct dap_debuggee {
    pid_t hint_pid;   /* of the `process` event, or 0: may be a wrapper's */
    pid_t pid;        /* by pydevdSystemInfo or by ancestry, or 0 */
    bool has_channel; /* evaluate without a frame works */
    bool no_debug;
    bool attached; /* by attach, not launch */
    bool ended;
    bool started;             /* launch or attach was sent */
    bool stopped;             /* all its threads stand, and this one is why: */
    int64_t stopped_thread;   /* as the protocol numbers them */
    char adapter_version[32]; /* debugpy's, of its telemetry */
    char program[4096]; /* the configuration's program or module, or the process event's name */
    char cwd[4096];     /* the configuration's cwd */
};
const struct dap_debuggee *dap_session_debuggee(const struct dap_session *session);

/* Answers a request of the editor's. `body` is consumed (json_object_put) and may be NULL. */
void dap_session_respond(struct dap_session *session, const struct dap_request *request,
                         struct json_object *body);
/* The failure of the same: `message`, and body.error with id, format and showUser true. */
void dap_session_refuse(struct dap_session *session, const struct dap_request *request,
                        const struct bsk_error *err);

/* What becomes of an event of ours that a slow editor has not taken yet. */
enum dap_urgency {
    DAP_MAY_DROP, /* it waits its turn, and is dropped and counted when our queue (1 MiB) is full */
    DAP_NEWEST,   /* the same, and takes the place of one of its name that still waits */
    DAP_MUST_ARRIVE, /* it is kept in memory as long as the session lives: the caller sees to it
                        that there are few */
};

/* An event of ours. `body` is JSON text. */
void dap_session_event(struct dap_session *session, const char *event, const char *body,
                       size_t body_bytes, enum dap_urgency urgency);

/* Bytes that the editor has not taken yet: above 0, a push that could wait should. */
size_t dap_session_waiting_bytes(const struct dap_session *session);

/* An `output` event of ours; `path` NULL: without source. `line` from 1. */
void dap_session_output(struct dap_session *session, const char *category, const char *text,
                        const char *path, uint32_t line);

/*
 * Runs a script inside the debuggee, hidden, while the program runs. `source` is Python (3.8 to
 * 3.15) that calls `_answer(text)` with its result (str or bytes) and finds the module sys as
 * `_sys`; what it raises, SystemExit included, is caught. It runs on debugpy's own thread, which
 * answers nothing else meanwhile: milliseconds. What takes longer is a job of a channel
 * (engine/inject/channel.h).
 * `done` is called exactly once: BSK_OK with the text that was answered (it lives until `done`
 * returns), or an error: BSK_E_STATE (no channel), BSK_E_GONE (the session ends), BSK_E_IO (timed
 * out), BSK_E_FORMAT (the script failed: the message has its traceback's last line).
 */
typedef void dap_answer_fn(void *user, int rc, const char *text, size_t bytes,
                           const struct bsk_error *err);
void dap_session_run(struct dap_session *session, const char *source, uint32_t timeout_ms,
                     dap_answer_fn *done, void *user);

/* Any hidden request; `arguments` is JSON text. The answer's text is the whole response message. A
 * response with success false is still BSK_OK. */
void dap_session_ask(struct dap_session *session, const char *command, const char *arguments,
                     uint32_t timeout_ms, dap_answer_fn *done, void *user);

/* Finds the debuggee's PID as well as can be without a proof: pydevdSystemInfo where there is a
 * channel, else the hint. The answer is dap_session_debuggee()->pid; done(rc BSK_OK) or
 * BSK_E_STATE. */
void dap_session_find_pid(struct dap_session *session, dap_answer_fn *done, void *user);

/* Its connection has ended: nobody hears what is said. */
bool dap_session_editor_gone(const struct dap_session *session);

/* Lets the program run after on_starting() returned true. */
void dap_session_let_run(struct dap_session *session);

/* Lets the adapter's bytes go on after on_ending() returned true. Inside on_ending(), hold() asks
 * for one more release before they do. */
void dap_session_hold(struct dap_session *session);
void dap_session_release(struct dap_session *session);

/* The session has opted in: from now on we may speak. Done by the session itself for the three ways
 * that there are. */
bool dap_session_opted_in(const struct dap_session *session);

#endif
