/*
 * What a debug session profiles: one recording for a session and its child sessions, the clock's
 * stops at breakpoints, the pushes of heat and diagnostics while it runs (the events basilisk.heat
 * and basilisk.diagnostics), the files at the end.
 *
 * One dap_profiling serves a root session and all its children (each `joins`); it lives until the
 * last has left and nothing is under way. At most one profile runs at a time.
 *
 * Threads: all calls come from the loop's thread. Opening a target and writing files happen on
 * libuv's workers; results come back on the loop.
 */
#ifndef DAP_PROFILING_PROFILING_H
#define DAP_PROFILING_PROFILING_H

#include "engine/findings/heat.h"
#include "engine/profile/totals.h"
#include "engine/recording/recording.h"
#include "proxy/profiling/diagnostics.h"
#include "proxy/session/session.h"

#include <uv.h>

struct dap_profiling;

struct dap_profiling_options {
    pid_t pid;         /* 0: the session's debuggee */
    uint32_t rate_hz;  /* 0: the default */
    bool subprocesses; /* Python children join the profile */
    bool memory;       /* its memory is tracked as well; for the caller, who sees to it */
    struct bsk_thresholds thresholds;
    char output_folder[4096]; /* "" : "basilisk-profiles"; a relative one lies in the launch cwd,
                                 else in the program's folder */
};

enum { DAP_PATHS_MAX = 6 };

struct dap_profile_paths {
    size_t count;
    struct {
        const char *format; /* "speedscope" */
        char path[4096 + 256];
    } items[DAP_PATHS_MAX];
};

/* What start, snapshot and stop come back with; lives until the callback returns. */
struct dap_profiling_result {
    const char *session_id;
    pid_t pid;
    uint32_t rate_hz;
    const char *python;              /* "3.13.0" */
    const struct bsk_totals *totals; /* NULL after start */
    const struct dap_profile_paths *paths;
    const struct bsk_recording_status *status;
    unsigned number;     /* of the written profile: dap_profiling_written(); 0: none is */
    const char *reason;  /* why it ended, or "snapshot" */
    const char *warning; /* "" or a sentence, such as that the files lie elsewhere than asked */
    bool held;           /* the program stands at a breakpoint */
};

typedef void dap_profiling_fn(void *user, int rc, const struct dap_profiling_result *result,
                              const struct bsk_error *err);

/* What the user must be told in words; called for the session that started the profile, or for
 * another of the group when that one has left. */
struct dap_profiling_listener {
    /* It ended, by stop or by itself: before the answer to stop, if there is one to be given. */
    void (*ended)(struct dap_session *session, const struct dap_profiling_result *result,
                  void *user);
    /* It runs, or does so no more. */
    void (*changed)(struct dap_profiling *profiling, struct dap_session *session, void *user);
};

/* `listener` must outlive it. Returns NULL when out of memory. */
struct dap_profiling *dap_profiling_new(uv_loop_t *loop,
                                        const struct dap_profiling_listener *listener, void *user);
void dap_profiling_free(struct dap_profiling *profiling); /* one that nobody has joined; or NULL */
void dap_profiling_join(struct dap_profiling *profiling, struct dap_session *session);
/* `session` is not used afterwards; what it waits for comes back as BSK_E_GONE, or with its result
 * once its files are written. When the last one leaves, a running profile is ended and written,
 * then everything is freed. */
void dap_profiling_leave(struct dap_profiling *profiling, struct dap_session *session);

/* Each calls `done` exactly once, maybe before it returns. */
void dap_profiling_start(struct dap_profiling *profiling, struct dap_session *session,
                         const struct dap_profiling_options *options, dap_profiling_fn *done,
                         void *user);
void dap_profiling_snapshot(struct dap_profiling *profiling, struct dap_session *session,
                            dap_profiling_fn *done, void *user);
void dap_profiling_stop(struct dap_profiling *profiling, struct dap_session *session,
                        dap_profiling_fn *done, void *user);

/*
 * A copy of what the running profile of the session's processes holds so far, for who wants to read
 * it on a worker: `done` is called exactly once, within `within_ms`, maybe before this returns. It
 * owns `profile`; NULL: none runs, it is of some other process, or it could not be had in time. The
 * one that is being ended can be had until its files are written.
 */
typedef void dap_copy_fn(void *user, struct bsk_profile *profile);
void dap_profiling_copy(struct dap_profiling *profiling, uint32_t within_ms, dap_copy_fn *done,
                        void *user);

/* What the session hears of the debuggee; see struct dap_extension. */
void dap_profiling_on_ready(struct dap_profiling *profiling, struct dap_session *session);
void dap_profiling_on_stopped(struct dap_profiling *profiling, struct dap_session *session);
void dap_profiling_on_continued(struct dap_profiling *profiling, struct dap_session *session);
bool dap_profiling_on_ending(struct dap_profiling *profiling, struct dap_session *session);

/* The folder of the profile that runs or ran last; "" before the first. */
const char *dap_profiling_folder(const struct dap_profiling *profiling);

/* The profiles that the group has written, snapshots and whole ones, have numbers from 1 on; the
 * newest DAP_WRITTEN_MAX are remembered. */
enum { DAP_WRITTEN_MAX = 32 };

struct dap_written {
    char *path; /* its speedscope file */
    bool has_samples;
};

unsigned dap_profiling_newest(const struct dap_profiling *profiling); /* its number; 0: none yet */
/* NULL: there is none of this number, or it is forgotten. Lives until the next is written. */
const struct dap_written *dap_profiling_written(const struct dap_profiling *profiling,
                                                unsigned number);

/* Where all of the group say their diagnostics; lives as long as `profiling`. */
struct dap_diagnostics *dap_profiling_diagnostics(struct dap_profiling *profiling);

/* Running now? `out_status` may be NULL. */
bool dap_profiling_running(const struct dap_profiling *profiling,
                           struct bsk_recording_status *out_status, pid_t *out_pid,
                           const char **out_session_id);

#endif
