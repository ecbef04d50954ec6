/* What link.c, adapter.c and hub.c share. Nobody else includes this. */
#ifndef DAP_SESSION_LINK_INSIDE_H
#define DAP_SESSION_LINK_INSIDE_H

#include "engine/base/buffer.h"
#include "proxy/session/host.h"
#include "proxy/session/link.h"
#include "proxy/wire/child.h"
#include "proxy/wire/log.h"
#include "proxy/wire/stream.h"

enum {
    BUSY_BYTES = 1 << 20,         /* that much waits for one side: the other is not read */
    RESUME_BYTES = 256 << 10,     /* and is again from here on */
    ANSWERS_MAX_BYTES = 64 << 20, /* unless answers to us must come through */
    MOVE_MIN_BYTES = 64 << 10,    /* less than that is copied */
    MOVE_MAX_BYTES = 16 << 20,    /* in one turn of the loop: others want theirs */
    STDERR_TAIL_BYTES = 4096,
    RESEND_MAX_BYTES = 1 << 20, /* what the first adapter got, for the next one to try */
    /* After the editor has gone, in ms: */
    LET_GO_AFTER_MS = 1000, /* debugpy has told the debuggee to go on alone */
    TERM_AFTER_MS = 2000,
    KILL_AFTER_MS = 3800,
    GIVE_UP_AFTER_MS = 4800,
    EXIT_AFTER_EOF_MS = 500, /* the adapter has closed its output: it should exit */
};

struct dap_port { /* a port of ours where children of a session arrive */
    uv_tcp_t tcp;
    struct dap_hub *hub;
    struct dap_link *parent; /* NULL: the hub's own port */
    char host[256];          /* where the adapter of a child listens */
    uint16_t port, ours;
    struct dap_port *next;
};

/* One adapter that a link has, or has had: a process of ours, or a connection. It frees itself when
 * its streams are closed and its process is reaped. */
struct dap_adapter {
    struct dap_link *link;
    struct dap_adapter *next; /* of the link's */
    struct dap_stream *stream, *errors;
    struct dap_child child;
    uv_timer_t timer;
    unsigned open_handles; /* streams and timer */
    int status;            /* waitpid()'s, once it does not run */
    size_t python;         /* which of the hub's */
    bool is_process, runs, connecting, held;
    bool spoke, output_ended, errors_ended, gone, closing;
    struct bsk_buffer tail; /* the last 4 KiB of its stderr */
};

struct dap_link {
    struct dap_hub *hub;
    struct dap_link *next;
    struct dap_link *parent; /* of a child session, while it lives */
    unsigned number;         /* in the log */
    struct dap_session *session;
    struct dap_stream *editor;
    bool editor_ended, over_tcp;
    struct dap_port *ports;
    uv_timer_t wake, timer;
    unsigned open_timers;
    bool timers_closed;

    struct dap_adapter *adapter;  /* the one that is spoken to, or NULL */
    struct dap_adapter *adapters; /* all that are not freed */
    struct dap_adapter *awaited;  /* being connected to, to take the place of `adapter` */
    bool adapter_tried;
    struct bsk_buffer sent; /* what the adapter got until it says something, for the next to try */
    struct bsk_error first_failure;
    struct dap_processes family; /* what the adapter started, as far as seen */
    enum dap_keep keep;

    bool ending, adapter_finished;
    uint64_t ending_since_ns;
    struct bsk_error why;
    bool failed;
};

struct dap_hub {
    uv_loop_t *loop;
    const struct dap_hub_options *options;
    struct dap_link *links;
    struct dap_port *ports;
    size_t open_ports;
    unsigned next_number;
    bool stopping;
    struct bsk_error why;
};

/* link.c */
struct dap_link *link_new(struct dap_hub *hub, bool over_tcp, struct dap_link *parent,
                          struct bsk_error *err);
void link_note(struct dap_link *link, const char *from, const char *note); /* into the log */
extern const struct dap_stream_events link_editor_events;
void link_start(struct dap_link *link); /* its editor stream is there: read */
void link_begin_end(struct dap_link *link);
void link_check_end(struct dap_link *link); /* frees it when nothing is left */
void link_regulate(struct dap_link *link);
void link_move(struct dap_link *link, enum dap_side from);
void link_editor_gone(struct dap_link *link);

/* adapter.c */
void adapter_start(struct dap_link *link); /* as the hub's options say */
void adapter_connect(struct dap_link *link, const char *host, uint16_t port);
void adapter_exchange(struct dap_link *link, const char *host, uint16_t port);
void adapter_write(struct dap_link *link, const char *bytes, size_t size);
void adapter_reaped(struct dap_adapter *adapter, int status);
void adapter_look_at_family(struct dap_link *link);
void adapter_finish(struct dap_link *link); /* no more input for any of them */
void adapter_close_all(struct dap_link *link);
void adapter_kill_all(struct dap_link *link, int signal_number);
void adapter_give_up(struct dap_link *link);
void adapter_let_go(struct dap_link *link);     /* kills all but the debuggee */
bool adapter_is_through(struct dap_link *link); /* no process and no unsent byte is left */

/* hub.c */
void hub_adopt_orphans(struct dap_hub *hub, struct dap_link *heir);
void hub_link_gone(struct dap_hub *hub, struct dap_link *link);
bool hub_child_port(struct dap_link *link, const char *host, uint16_t port, uint16_t *out_port);
void hub_close_ports(struct dap_port **ports);

#endif
