/* What the files of this room share: the state of a profile, and its steps from one stage to the
 * next. profiling.c has its life, start.c its begin, running.c and hold.c what happens while it
 * runs, end.c its files and its end. */
#ifndef DAP_PROFILING_INSIDE_H
#define DAP_PROFILING_INSIDE_H

#include "engine/findings/diagnostics.h"
#include "proxy/profiling/copies.h"
#include "proxy/profiling/identify.h"
#include "proxy/profiling/profiling.h"

enum stage {
    STAGE_IDLE,
    STAGE_WAITING,     /* for the debuggee to be there */
    STAGE_IDENTIFYING, /* it was asked who it is */
    STAGE_OPENING,     /* a worker opens it */
    STAGE_RUNNING,
    STAGE_STOPPING, /* the recording was asked to end */
    STAGE_WRITING,  /* a worker writes the files */
};

struct member {
    struct member *next;
    struct dap_session *session;
    pid_t pid; /* of its debuggee, once we know it; 0 */
    bool ready;
    bool stopped;
    bool must_release; /* its adapter is held back until the files are written */
};

struct waiter {
    struct waiter *next;
    struct dap_session *session; /* NULL: it has left, and was told */
    dap_profiling_fn *done;
    void *user;
};

struct dap_profiling {
    uv_loop_t *loop;
    const struct dap_profiling_listener *listener;
    void *user;
    struct member *members;
    unsigned references; /* members, workers, hidden requests, the bell's handle */

    enum stage stage;
    struct dap_session *owner; /* who started it; NULL once it has left */
    struct dap_profiling_options options;
    bool is_debuggee; /* the owner's own debuggee, not some other PID */
    struct waiter *starting, *snapshotting, *stopping;
    struct dap_copies copies; /* dap_profiling_copy() */

    unsigned next_id;
    char session_id[32];
    char folder[4096 + 64], name[256], python[32];
    pid_t pid;
    struct bsk_recording *recording;
    uv_async_t *bell; /* lives as long as the recording */
    struct bsk_source_cache *sources;
    struct bsk_heat *heat; /* as it was last sent */
    struct dap_diagnostics *diagnostics;
    uint32_t heat_version;
    const struct bsk_profile *last; /* while it is written, by a worker who only reads it */
    struct dap_written written[DAP_WRITTEN_MAX]; /* number n at (n - 1) % DAP_WRITTEN_MAX */
    unsigned newest;
    bool stop_wanted; /* as soon as it runs: asked while it was being opened */
};

/* profiling.c */
void dap_profiling_release(struct dap_profiling *profiling); /* one of its references */
struct member *dap_profiling_member(struct dap_profiling *profiling,
                                    const struct dap_session *session); /* or NULL */
/* The session that hears of the profile: who started it, else any that is still there; or NULL. */
struct dap_session *dap_profiling_audience(const struct dap_profiling *profiling);
void dap_profiling_tell_changed(struct dap_profiling *profiling);
/* NULL, and `done` told, when out of memory. */
struct waiter *dap_profiling_wait(struct waiter **list, struct dap_session *session,
                                  dap_profiling_fn *done, void *user);
/* Tells and frees all of the list. */
void dap_profiling_answer(struct waiter **list, int rc, const struct dap_profiling_result *result,
                          const struct bsk_error *err);
void dap_profiling_fail_at_once(dap_profiling_fn *done, void *user, enum bsk_code code,
                                const char *hint, const char *message);
/* Lives as long as `status`, which it fills in. */
struct dap_profiling_result dap_profiling_result_of(const struct dap_profiling *profiling,
                                                    struct bsk_recording_status *status);
/* Everything of the last profile is gone; sessions that waited for its end go on. */
void dap_profiling_become_idle(struct dap_profiling *profiling);
void dap_profiling_fail_start(struct dap_profiling *profiling, const struct bsk_error *err);

/* start.c */
/* The debuggee is there: asks it who it is, and goes on from there. */
void dap_profiling_identify(struct dap_profiling *profiling);
/* Only asks. */
void dap_profiling_run_identify(struct dap_session *session, dap_answer_fn *done, void *user);

/* running.c */
void dap_profiling_on_bell(uv_async_t *bell);
void dap_profiling_ring(void *user); /* on the recording's thread; `user` is the bell */
/* Unless `always`, it is left out while the editor has not read what it was sent. */
void dap_profiling_push(struct dap_profiling *profiling, const struct bsk_totals *totals,
                        bool always);

/* hold.c */
void dap_profiling_hold_members(struct dap_profiling *profiling);

/* end.c */
extern const char dap_profiling_asked_reason[];                            /* it was asked for */
const char *dap_profiling_ended_reason(const struct dap_session *session); /* it came by itself */
void dap_profiling_begin_stop(struct dap_profiling *profiling, const char *reason);
/* Takes `profile` over, which may be NULL (out of memory); writes it on a worker, then answers. */
void dap_profiling_write(struct dap_profiling *profiling, struct bsk_profile *profile,
                         bool is_last);

#endif
