/* What the files of this room share: trackings, and the steps of what is asked of them. */
#ifndef DAP_MEMORY_INSIDE_H
#define DAP_MEMORY_INSIDE_H

#include "engine/findings/source.h"
#include "engine/inject/channel.h"
#include "engine/memory/evidence.h"
#include "engine/memory/holders.h"
#include "engine/memory/job.h"
#include "proxy/memory/memory.h"

struct member { /* a session of the group */
    struct member *next;
    struct dap_session *session;
    struct bsk_channel *channel; /* NULL until it is needed */
    bool is_remote;              /* by PEP 768, without a debugger */
    bool ready;
    uint64_t turns;     /* how often it has stopped or gone on: names one stop */
    bool must_release;  /* its adapter is held back until the last snapshot is there */
    struct op *waiting; /* a start that waits for the debuggee */
    struct undo *undo;  /* all is taken back, or will be; NULL: no */
    bool taken_back;    /* at the session's end: nothing may begin any more */
};

enum { LIKELY_LEAKS = 8, KEPT_GRAPHS = 4, HOLDS_MAX = 4096, VISITS_MAX = 1024 };

struct leak_look { /* at one suspect of a diff, whose path it is */
    const char *path;
    uint32_t line;
    bool seen;
    struct bsk_evidence evidence;
    uint64_t holder_id; /* 0: none */
};

struct hold_entry {
    char *path;
    uint32_t line;
    struct bsk_hold hold;
};

struct kept_graph {  /* for inspect */
    uint32_t number; /* 0: none */
    uint64_t turn;   /* of the member: where the program stood */
    bool stopped;
    struct bsk_references *references;
};

struct place_visit {
    struct dap_stop_place place;
    uint32_t number; /* the snapshot of the last visit */
};

enum tracking_state { TRACKING_STARTING, TRACKING_RUNS, TRACKING_ENDED };

struct tracking {
    struct tracking *next; /* newer ones */
    struct dap_memory *memory;
    struct member *member; /* NULL once its session has left */
    unsigned references;   /* the list, and operations */
    enum tracking_state state;
    char session_id[32], python[32];
    pid_t pid;
    struct dap_memory_options options;
    char folder[4096 + 64], name[256];
    bool foreign;
    struct bsk_memory_history *history;
    uint32_t last_number;     /* of its snapshots; the history is a worker's while an op runs */
    struct hold_entry *holds; /* by site, from diff to diff */
    size_t hold_count;
    uint32_t evidence_of; /* the snapshot whose leaks the graph was last asked about */
    struct kept_graph graphs[KEPT_GRAPHS];
    uint32_t next_graph;
    struct place_visit *visits; /* where it stopped with autopilot, and the snapshot of then */
    size_t visit_count;
    struct op *ops;     /* the first one is under way */
    uv_timer_t *census; /* NULL: none is wanted */
    bool census_due;    /* one is asked for and not answered yet */
    bool piloted;       /* a stop's snapshot is asked for and not answered yet */
    int last_fd;        /* where it leaves a last snapshot; -1 */
    bool was_stopped;   /* it has ended by memory.stop, not with the program */
    bool program_waits; /* for it to have begun: see dap_session_let_run() */
    bool leaves_last;   /* it will, unless it is killed */
    bool ending;        /* its last snapshot is asked for */
};

struct dap_memory {
    uv_loop_t *loop;
    const struct dap_memory_listener *listener;
    void *user;
    struct dap_profiling *profiling; /* there while a session is */
    struct dap_diagnostics *diagnostics;
    struct bsk_source_cache *sources; /* NULL until it is needed; a worker's while a diff runs */
    struct member *members;
    struct tracking *trackings; /* oldest first */
    unsigned references;        /* members, trackings */
    unsigned next_id;
};

/* One thing that is asked of a tracking: a chain of steps, each of which names the next. */
struct op {
    struct op *next;
    struct tracking *tracking;
    struct dap_session *session; /* who asked, for the tracking's sake; NULL: nobody */
    dap_memory_fn *done;
    void *user;
    void (*begin)(struct op *op);
    void (*after)(struct op *op); /* the last step: cleans up what `begin` made; may be NULL */

    struct dap_memory_result result;
    int rc;
    struct bsk_error err;

    /* the step under way */
    void (*next_step)(struct op *op);
    void (*work_step)(
        struct op *op); /* on a worker: touches nothing but this op and the tracking's history */
    uv_work_t work;
    struct bsk_memory_job *job; /* the last script of engine/memory */
    const struct bsk_memory_job_result *job_result;
    struct bsk_buffer said; /* what the debuggee answered to the job's last text */
    bool is_running;        /* which was that it is not done yet */
    uint32_t pause_ms;
    struct bsk_channel *channel; /* of a job without a debugger, while it runs */
    void (*after_script)(struct op *op);
    void (*on_failure)(struct op *op); /* instead of its end; op->rc and op->err say why */

    /* what the kinds need */
    struct bsk_memory_snapshot *snapshot; /* until the history has it */
    struct bsk_memory_diff *diff;
    struct bsk_graph *graph;
    struct bsk_profile *profile; /* a copy of what was sampled so far; NULL: nothing was */
    void (*after_profile)(struct op *op);
    struct bsk_references *references;
    struct leak_look *looks_at; /* what the graph said to a diff */
    size_t look_count;
    struct bsk_buffer text; /* of an inspected node */
    char diff_note[512];
    char *type, *expression, *path, *either;
    struct bsk_references_site
        leaks[LIKELY_LEAKS]; /* when nothing is named; their paths are owned */
    size_t leak_count;
    uint32_t line, graph_number;
    uint64_t id, turn;
    bool has_repr;
    struct dap_stop_place place;
    const char *marker;
    unsigned looks;
    void (*after_snapshot)(struct op *op);
    struct dap_memory_collected collected;
    char heapprofile[4096 + 256], warning[512];
    uint32_t from, to;
    bool by_itself, is_last;
};

/* memory.c */
void dap_memory_release(struct dap_memory *memory);
struct member *dap_member_of(struct dap_memory *memory, const struct dap_session *session);
/* NULL, and `done` told, when there is none such. */
struct tracking *dap_tracking_of(struct dap_memory *memory, struct dap_session *session,
                                 const char *session_id, dap_memory_fn *done, void *user);
/* The one that would be asked, or a new one that nothing runs in. */
struct tracking *dap_tracking_for_payloads(struct dap_memory *memory, struct dap_session *session,
                                           bool *out_is_new);
struct dap_session *dap_memory_audience(const struct tracking *tracking);
void dap_tracking_ended(struct tracking *tracking);
void dap_tracking_forget(struct tracking *tracking); /* it never began */
void dap_memory_fail_at_once(dap_memory_fn *done, void *user, enum bsk_code code, const char *hint,
                             const char *message);

/* steps.c */
/* NULL, and `done` told, when out of memory. It is begun when those before it have ended. */
struct op *dap_op_new(struct tracking *tracking, struct dap_session *session,
                      void (*begin)(struct op *op), dap_memory_fn *done, void *user);
/* A script of engine/memory; `options` is freed. op->job_result is what came of it. A failure ends
 * the operation, unless it has `on_failure`. */
void dap_op_script(struct op *op, const struct bsk_script *script,
                   struct bsk_script_options *options, void (*next)(struct op *op));
/* What the program answered is that it is still at it. */
bool dap_says_running(const char *text, size_t bytes);
/* `after_ms` later, on the loop. */
void dap_op_wait(struct op *op, uint32_t after_ms, void (*next)(struct op *op));
void dap_op_work(struct op *op, void (*work)(struct op *op), void (*next)(struct op *op));
/* What has come of it so far. */
const struct dap_memory_result *dap_op_result(struct op *op);
/* Its answer goes out, and it is over. */
void dap_op_end(struct op *op);
void dap_op_fail(struct op *op, enum bsk_code code, const char *hint, const char *message);
void dap_op_begin_next(struct tracking *tracking);
void dap_op_submit(struct op *op); /* begins it when it is the first; NULL is fine */
void dap_tracking_release(struct tracking *tracking);

/* take.c */
void dap_begin_start(struct op *op);
void dap_after_start(struct op *op);
void dap_begin_snapshot(struct op *op);
void dap_begin_stop(struct op *op);
void dap_begin_collect(struct op *op);
void dap_begin_objects(struct op *op);
/* A snapshot: goes into the history and out as a file, then `next`. */
void dap_take_snapshot(struct op *op, void (*next)(struct op *op));
void dap_tell_snapshot(struct op *op);

/* On a worker: what came of the snapshot script goes into the history and out as a file. */
void dap_understand_snapshot(struct op *op, const struct bsk_memory_job_result *result);
void dap_snapshot_options(const struct tracking *tracking, struct bsk_script_options *options);

/* by_itself.c */
void dap_autopilot(struct tracking *tracking);
void dap_census_begin(struct tracking *tracking);
void dap_census_end(struct tracking *tracking);

/* Never fails: op->warning says why there is none. */
void dap_write_heapprofile(struct op *op, const struct bsk_memory_snapshot *snapshot);

/* last.c */
void dap_last_open(struct tracking *tracking);
void dap_last_close(struct tracking *tracking);
void dap_last_options(const struct tracking *tracking, struct bsk_script_options *options);
void dap_begin_last(struct op *op);

/* stacks.c */
/* Sets op->profile, for the next step on a worker. */
void dap_op_profile(struct op *op, void (*next)(struct op *op));
/* On a worker: stacks out of op->profile, where there is one and the sampler saw some. */
void dap_infer_sites(const struct op *op, struct bsk_memory_snapshot *snapshot);
void dap_infer_leaks(const struct op *op);

/* compare.c */
void dap_begin_diff(struct op *op);
void dap_holds_free(struct tracking *tracking);

/* late.c */
/* Takes back all that was begun, or is begun later by what was said before. Does nothing while that
 * is under way already. */
void dap_undo_start(struct dap_memory *memory, struct member *member);
/* The same at the session's end, after so long, sooner where the editor is gone: nothing begins
 * behind it, and then the session ends that waits for it (`must_release`). */
void dap_undo_at_end(struct dap_memory *memory, struct member *member, uint32_t within_ms);
void dap_undo_cancel(struct member *member); /* unless it was said already */
void dap_undo_leave(struct undo *undo); /* before the member's channel is closed; accepts NULL */

/* hold.c */
void dap_begin_references(struct op *op);
void dap_begin_inspect(struct op *op);

#endif
