/*
 * What the files of this room share: the parts of a session and how they speak to each other.
 * Nobody else includes this.
 */
#ifndef DAP_SESSION_INSIDE_H
#define DAP_SESSION_INSIDE_H

#include "engine/base/buffer.h"
#include "proxy/session/host.h"
#include "proxy/wire/header.h"
#include "proxy/wire/scan.h"

enum {
    COLLECT_MAX_BYTES = 64 << 20,   /* a message that a rule wants to see whole */
    UNDECIDED_MAX_BYTES = 64 << 10, /* held while its keys do not tell yet what it is */
    OWN_MAX_BYTES = 1 << 20,        /* events of ours that wait for the editor */
    EDITOR_BUSY_BYTES = 256 << 10,  /* our events wait while more than this waits in the stream */
    PARKED_MAX_BYTES = 32 << 20,    /* held back while the extension has its last word */
    GREETING_MESSAGES = 64,         /* by then an adapter has said what it is */
    PENDING_MAX = 1024,             /* requests of the editor's whose answers we look out for */
};

enum dap_greeting {
    GREETING_PTVSD = 1,
    GREETING_DEBUGPY = 2,
    GREETING_SOCKETS = 4,
    GREETING_WHOLE = 7
};

#define FIRST_OWN_SEQ ((int64_t)1 << 30)
#define MS ((uint64_t)1000000)

/* ---- messages and rules
 * -------------------------------------------------------------------------- */

/* A message that a rule wanted: whole, for as long as its handler runs. */
struct dap_message {
    enum dap_side from;
    const char *bytes; /* header and body */
    size_t size, header_bytes;
    const struct dap_scan *scan;
    struct json_object *json; /* message_json() */
    bool json_tried;
};

enum dap_verdict {
    DAP_FORWARD, /* the bytes that came in go on */
    DAP_TAKE,    /* it ends here */
    DAP_CHANGED, /* session->changed goes on in its place, a body without header */
};

typedef enum dap_verdict dap_handler(struct dap_session *session, struct dap_message *message);

struct dap_rule {
    enum dap_side from;
    enum dap_message_type type;
    const char
        *name; /* the command of a request, the event of an event; "basilisk." any that begins so */
    dap_handler *handle;
    dap_handler *answered; /* for requests that were forwarded: sees the response */
    bool (*applies)(const struct dap_session *session); /* NULL: always */
    size_t max_bytes;                                   /* larger ones pass; 0: COLLECT_MAX_BYTES */
};

enum dap_decision { DAP_WAIT, DAP_PASS, DAP_COLLECT, DAP_DROP };

/* What becomes of the message that `flow` reads, as far as its keys are known. */
struct dap_flow;
enum dap_decision dap_decide(struct dap_session *session, struct dap_flow *flow);

/* ---- one direction
 * -------------------------------------------------------------------------------- */

enum dap_flow_state { FLOW_HEADER, FLOW_UNDECIDED, FLOW_PASSES, FLOW_COLLECTS, FLOW_DROPS };

struct dap_flow {
    enum dap_side from, to;
    enum dap_flow_state state;
    struct bsk_buffer held; /* of the message being read: what earlier reads brought */
    size_t header_bytes;
    uint64_t body_bytes, body_seen;
    struct dap_scan scan;
    dap_handler *handle; /* of FLOW_COLLECTS */
    dap_handler *answered;
    bool broken; /* what came was no message: nothing more is read */

    /* While dap_flow_feed() runs: input[span, message) passes and is not written yet. */
    const char *input;
    size_t span, message;

    /* Bytes that passed and are held back, see dap_park(). */
    bool parked;
    struct bsk_buffer park;
};

void dap_flow_feed(struct dap_session *session, struct dap_flow *flow, const char *bytes,
                   size_t size);
void dap_flow_skip(struct dap_session *session, struct dap_flow *flow, uint64_t size);
void dap_flow_reset(struct dap_flow *flow); /* the peer was exchanged: forget half a message */
void dap_flow_free(struct dap_flow *flow);
/* What passes from now on is held back; what stands before the current message is written. */
void dap_park(struct dap_session *session, struct dap_flow *flow);
void dap_unpark(struct dap_session *session, struct dap_flow *flow);
/* May a message of ours be put on the wire behind `flow` now? */
bool dap_flow_at_boundary(const struct dap_flow *flow);

/* ---- messages of our own
 * --------------------------------------------------------------------------- */

struct dap_own {
    struct dap_own *next;
    bool droppable;    /* an event: counts against OWN_MAX_BYTES */
    char replaces[64]; /* the event's name when a newer one takes its place, else "" */
    enum dap_party by;
    size_t header_bytes, size;
    char bytes[];
};

struct dap_own_queue {
    struct dap_own *first, **last;
    size_t droppable_bytes;
};

/* Queues a whole message and writes it as soon as that side stands between two messages. */
void dap_own_send(struct dap_session *session, enum dap_side to, const char *body, size_t size,
                  const char *replaces, bool droppable);
/* Writes what waits for `to`, if it may be written. */
void dap_own_flush(struct dap_session *session, enum dap_side to);
void dap_own_free(struct dap_own_queue *queue);

/* A response of ours: `body` may be NULL and is not consumed; `message` NULL means success. */
void dap_answer(struct dap_session *session, int64_t request_seq, const char *command,
                struct json_object *body, const struct bsk_error *failure);

/* An event of a rule's, and a script of a rule's: as dap_session_event() and dap_session_run(),
 * which are for extensions. */
void dap_event(struct dap_session *session, const char *event, const char *body, size_t body_bytes,
               enum dap_urgency urgency);
void dap_run(struct dap_session *session, const char *source, uint32_t timeout_ms,
             dap_answer_fn *done, void *user);

/* ---- requests whose answers are awaited
 * -------------------------------------------------------------- */

struct dap_pending { /* the editor's */
    int64_t seq;
    dap_handler *answered;
    char command[40];
};

struct dap_hidden { /* ours */
    int64_t seq;
    uint64_t deadline_ns;
    dap_answer_fn *done;
    void *user;
    bool is_run; /* the answer is a text in an exception, see hidden.c */
};

struct dap_pending *dap_pending_find(struct dap_session *session, int64_t seq);
void dap_pending_add(struct dap_session *session, int64_t seq, const char *command,
                     dap_handler *answered);
void dap_pending_remove(struct dap_session *session, int64_t seq);

bool dap_hidden_is_ours(const struct dap_session *session, int64_t request_seq);
bool dap_hidden_is_awaited(const struct dap_session *session, int64_t request_seq);
void dap_hidden_too_large(struct dap_session *session, int64_t request_seq);
dap_handler dap_on_hidden_answer;
void dap_hidden_fail_all(struct dap_session *session, enum bsk_code code, const char *reason);
void dap_hidden_tick(struct dap_session *session, uint64_t now_ns);
uint64_t dap_hidden_next(const struct dap_session *session); /* deadline, or UINT64_MAX */

/* ---- the session
 * ------------------------------------------------------------------------------------- */

enum { MARKER_CATEGORIES = 4 };

struct dap_marker_capture { /* of one output category */
    char category[32];
    struct bsk_buffer
        tail; /* text that may begin a marker, or an open capture, as JSON writes it */
    bool capturing;
    uint64_t deadline_ns;
};

struct dap_session {
    const struct dap_host *host;
    void *host_user;
    struct dap_session_options options;
    const struct dap_extension *ext; /* never NULL: `none` when there is none */
    void *ext_state;
    bool ext_is_open;

    struct dap_flow flows[2]; /* by the side that they come from */
    struct dap_own_queue own[2];
    struct bsk_buffer changed;
    struct json_tokener *tokener;
    unsigned depth;       /* of calls into us: own messages wait until a handler is done */
    bool in_extension;    /* who speaks, for the trace */
    uint64_t woken_at_ns; /* what host->wake_at() was last told */
    uint64_t dropped;

    struct dap_pending *pending;
    size_t pending_count, pending_capacity;
    struct dap_hidden *hidden;
    size_t hidden_count, hidden_capacity;
    int64_t first_own_seq, next_own_seq; /* our requests since the editor last came near them */
    int64_t next_editor_seq;             /* of our messages to the editor */

    struct dap_client client;
    struct dap_debuggee debuggee;
    struct json_object *capabilities; /* the adapter's, or NULL */
    struct bsk_buffer initialize; /* the editor's bytes, header included, for a second greeting */
    int64_t initialize_seq;
    bool initialize_seen, initialize_answered;
    bool is_debugpy;
    bool opted_in, capabilities_sent;
    bool ready_told, stopped_told;

    /* ends (ending.c) */
    bool ending_told;     /* on_ending() was called */
    bool terminated_sent; /* the editor has, or gets next, a `terminated` */
    bool disconnect_answered;
    bool waits_to_run; /* configurationDone is held back: on_starting() said true */
    uint64_t run_deadline_ns;
    bool letting_go;        /* the debuggee is to go on without us: it is being prepared */
    bool waits_for_release; /* on_ending() said true */
    unsigned more_releases; /* dap_session_hold(): that many more than one are awaited */
    uint64_t release_deadline_ns;
    bool adapter_gone, editor_gone, death_told, finished;
    uint64_t linger_deadline_ns; /* after the adapter's death: wait for a disconnect till then */
    struct bsk_error death;      /* why the adapter is gone */

    /* attach by connect (attach.c) */
    bool reconnecting, swallowing_greeting, had_no_adapter, attach_refused;
    unsigned adapter_messages; /* how many came, up to GREETING_MESSAGES */
    unsigned greeting_seen;    /* parts of a greeting that the editor has */
    unsigned greeting_left;    /* parts of the second greeting that are still to come */
    struct bsk_buffer attach;  /* the message that goes to the adapter that we connect to */
    struct dap_request attach_request;

    /* attach by process id (attach.c) */
    bool injecting;
    uint64_t inject_deadline_ns;
    struct bsk_buffer inject_output;

    struct dap_marker_capture captures[MARKER_CATEGORIES];
};

/* For handlers. NULL when json-c refuses the message: then it must pass. */
struct json_object *message_json(struct dap_session *session, struct dap_message *message);
struct json_object *json_parse(struct dap_session *session, const char *text, size_t size);
struct json_object *json_member(struct json_object *object, const char *key); /* or NULL */
const char *json_text(struct json_object *object, const char *key);           /* "" when none */
bool json_flag(struct json_object *object, const char *key, bool otherwise);
const char *message_body(const struct dap_message *message, size_t *out_bytes);

/* Puts the body into session->changed, from where dap_splice() changes it. */
bool dap_change_begin(struct dap_session *session, const struct dap_message *message);
bool dap_splice(struct dap_session *session, size_t at, size_t cut_bytes, const char *insert);
/* `out` becomes the header of `message` with the length of session->changed, and that. */
void dap_compose(struct dap_session *session, const struct dap_message *message,
                 struct bsk_buffer *out);

struct dap_request request_of(const struct dap_message *message);
uint64_t session_now(struct dap_session *session);
void dap_opt_in(struct dap_session *session);
void dap_opt_in_says_so(struct dap_session *session); /* the capabilities event, when it is time */
void dap_trace(struct dap_session *session, enum dap_party from, enum dap_party to,
               const char *bytes, size_t size, unsigned flags);

void dap_trace_whole(struct dap_session *session, enum dap_party from, enum dap_party to,
                     const struct bsk_buffer *message); /* one with its header */

/* Brackets around every public entry: messages of ours wait until the outermost is left. */
void dap_enter(struct dap_session *session);
void dap_leave(struct dap_session *session);

/* handlers, by file */
dap_handler on_initialize, on_initialize_answer, on_greeting;             /* start.c */
dap_handler on_launch, on_attach, on_configuration_done;                  /* start.c */
dap_handler on_initialized, on_process, on_stopped, on_continued;         /* start.c */
dap_handler on_debugpy_sockets;                                           /* start.c */
dap_handler on_basilisk_request, on_evaluate, on_completions, on_wedging; /* requests.c */
dap_handler on_ended, on_disconnect, on_terminate, on_disconnect_answer;  /* ending.c */
dap_handler on_request_without_adapter;                                   /* ending.c */
dap_handler on_output;                                                    /* output.c */
dap_handler on_debugpy_attach, on_start_debugging;                        /* children.c */
dap_handler on_second_greeting, on_attach_answer;                         /* attach.c */

bool attach_starts_connecting(struct dap_session *session, struct dap_message *message,
                              struct json_object *arguments, bool changed); /* attach.c */
void attach_watches_injection(struct dap_session *session, struct dap_message *message,
                              struct json_object *arguments);
bool attach_swallows(struct dap_session *session, struct dap_message *message);
void attach_hears_output(struct dap_session *session, const char *category, const char *text);
void attach_tick(struct dap_session *session, uint64_t now_ns);

void output_tick(struct dap_session *session, uint64_t now_ns); /* output.c */
uint64_t output_next(const struct dap_session *session);
void output_flush(struct dap_session *session);
void output_free(struct dap_session *session);

void start_tick(struct dap_session *session, uint64_t now_ns);  /* start.c */
void ending_tick(struct dap_session *session, uint64_t now_ns); /* ending.c */
void ending_adapter_is_gone(struct dap_session *session);
void ending_stream_is_broken(struct dap_session *session, enum dap_side from,
                             const struct bsk_error *err);
void session_finish(struct dap_session *session, const struct bsk_error *why);

#endif
