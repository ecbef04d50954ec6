/*
 * What drives a session: bytes go in here and come out through the host's functions.
 *
 * Ownership: dap_session_new() gives the session to the caller, dap_session_free() takes it back
 * and accepts NULL; it must not be called from inside a function of the host or of the extension.
 * Threads: the loop's alone. The session keeps no clock and does no I/O.
 */
#ifndef DAP_SESSION_HOST_H
#define DAP_SESSION_HOST_H

#include "proxy/session/session.h"

enum dap_side { DAP_EDITOR, DAP_ADAPTER };

/* Who a traced message came from and where it went; the first two are the sides. */
enum dap_party {
    DAP_PARTY_EDITOR,
    DAP_PARTY_ADAPTER,
    DAP_PARTY_SESSION,   /* the rules of this room */
    DAP_PARTY_EXTENSION, /* what hangs on the session */
};

enum dap_trace { DAP_TRACE_FIRST = 1, DAP_TRACE_LAST = 2 };

enum dap_keep {
    DAP_KEEP_NOTHING,
    DAP_KEEP_DEBUGGEE, /* and what it started; not the adapter, not its launcher */
    DAP_KEEP_ALL,      /* the debuggee would not survive the launcher that reads its output */
};

struct dap_host {
    /* Writes to one side, in order. Never fails for the caller: what cannot be written is dropped,
     * and the session hears of it by dap_session_eof(). */
    void (*write)(void *user, enum dap_side to, const char *bytes, size_t size);
    /* How much of what was written still waits in memory for a slow reader, in bytes. */
    size_t (*waiting)(void *user, enum dap_side to);
    uint64_t (*now_ns)(void *user);
    /* dap_session_tick() is due at `at_ns`; 0: not at all. One time only, the last one given. */
    void (*wake_at)(void *user, uint64_t at_ns);
    /* The session is over: write out what waits, then end both sides. `why` is NULL for an orderly
     * end. Comes at most once. */
    void (*finish)(void *user, const struct bsk_error *why);

    /* The rest may be NULL. */

    /* Opens a port on loopback where a connection becomes a session that is a child of this one,
     * with host:port as its adapter. False: the editor is sent to host:port itself. */
    bool (*child_port)(void *user, const char *host, uint16_t port, uint16_t *out_port);
    /* Exchanges the adapter for the one that listens on host:port; the outcome comes by
     * dap_session_reconnected(), not before this returns. */
    void (*reconnect)(void *user, const char *host, uint16_t port);
    /* The last of what the adapter wrote to its stderr, or "". */
    const char *(*adapter_errors)(void *user);
    /* Does a process that the adapter has started still run? */
    bool (*injector_runs)(void *user);
    /* What the editor's disconnect has asked to be left when the session ends. */
    void (*keep)(void *user, enum dap_keep keep);
    /* One message, in pieces of its body (the header is not traced). `flags` of enum dap_trace. */
    void (*trace)(void *user, enum dap_party from, enum dap_party to, const char *bytes,
                  size_t size, unsigned flags);
};

struct dap_session_options {
    const struct dap_extension *extension; /* may be NULL */
    void *extension_user;
    void *parent_state;      /* the state of the session that this one is a child of, or NULL */
    bool opted_in;           /* the parent has */
    bool over_tcp;           /* anyone may have connected: nothing is obeyed before `initialize` */
    bool adapter_is_debugpy; /* known before it says so; else its greeting tells */
    bool adapter_is_exchangeable; /* it was started for this session, so `attach` with `connect` may
                                     replace it by host->reconnect() */
};

/* Returns NULL when out of memory. `host` and the extension must outlive the session. */
struct dap_session *dap_session_new(const struct dap_host *host, void *host_user,
                                    const struct dap_session_options *options);
void dap_session_free(struct dap_session *session);

/* Bytes that came from one side. */
void dap_session_feed(struct dap_session *session, enum dap_side from, const char *bytes,
                      size_t size);

/* How many bytes that come next from one side belong to a message that passes and need not be
 * looked at: instead of being fed they may be moved on unseen (dap_stream_splice), and told by
 * dap_session_passed(). */
uint64_t dap_session_passing(const struct dap_session *session, enum dap_side from);
void dap_session_passed(struct dap_session *session, enum dap_side from, uint64_t size);

/* One side has ended. For the adapter `err` says why, with a hint that mends it, or is NULL when
 * there is nothing to say: it ended as a program ends. */
void dap_session_eof(struct dap_session *session, enum dap_side from, const struct bsk_error *err);

void dap_session_tick(struct dap_session *session);

/* What was written to the editor has gone out: events of ours that waited may follow. */
void dap_session_drained(struct dap_session *session);

/* The outcome of host->reconnect(); NULL: the adapter side is a fresh connection now. */
void dap_session_reconnected(struct dap_session *session, const struct bsk_error *err);

/* Does a hidden request wait for the adapter? Then it is read even when the editor is not reading.
 */
bool dap_session_must_read_adapter(const struct dap_session *session);

/* For host->child_port(): what the child is handed as parent_state. */
void *dap_session_extension_state(const struct dap_session *session);

/* Has `terminated` been sent or the disconnect answered: is the end of the adapter no surprise? */
bool dap_session_has_ended(const struct dap_session *session);

/* How many messages of ours were dropped because the editor did not read. */
uint64_t dap_session_dropped(const struct dap_session *session);

#endif
