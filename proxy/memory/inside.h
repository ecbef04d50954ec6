/* What the files of this room share: trackings, and the steps of what is asked of them. */
#ifndef DAP_MEMORY_INSIDE_H
#define DAP_MEMORY_INSIDE_H

#include "engine/inject/channel.h"
#include "proxy/memory/memory.h"

struct member { /* a session of the group */
    struct member *next;
    struct dap_session *session;
    struct bsk_channel *channel; /* NULL until it is needed */
    bool ready;
    bool stopped;
    uint64_t stops;     /* how often it has stopped or gone on: names one stop */
    bool must_release;  /* its adapter is held back until the last snapshot is there */
    struct op *waiting; /* a start that waits for the debuggee */
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
    struct op *ops; /* the first one is under way */
    bool ending;    /* its last snapshot is asked for */
};

struct dap_memory {
    uv_loop_t *loop;
    const struct dap_memory_listener *listener;
    void *user;
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
    struct bsk_answer *answer; /* of the last script; freed with the op or at the next one */

    /* what the kinds need */
    struct bsk_memory_snapshot *snapshot;
    struct bsk_memory_diff *diff;
    struct dap_memory_collected collected;
    char heapprofile[4096 + 256], warning[512];
    uint32_t from, to;
    bool by_itself, is_last;
};

/* memory.c */
struct member *dap_member_of(struct dap_memory *memory, const struct dap_session *session);
/* NULL, and `done` told, when there is none such. */
struct tracking *dap_tracking_of(struct dap_memory *memory, struct dap_session *session,
                                 const char *session_id, dap_memory_fn *done, void *user);
struct dap_session *dap_memory_audience(const struct tracking *tracking);
void dap_tracking_ended(struct tracking *tracking);
void dap_tracking_forget(struct tracking *tracking); /* it never began */
void dap_memory_fail_at_once(dap_memory_fn *done, void *user, enum bsk_code code, const char *hint,
                             const char *message);

/* steps.c */
/* NULL, and `done` told, when out of memory. It is begun when those before it have ended. */
struct op *dap_op_new(struct tracking *tracking, struct dap_session *session,
                      void (*begin)(struct op *op), dap_memory_fn *done, void *user);
void dap_op_run(struct op *op, const struct bsk_job *job, void (*next)(struct op *op));
void dap_op_work(struct op *op, void (*work)(struct op *op), void (*next)(struct op *op));
/* What has come of it so far. */
const struct dap_memory_result *dap_op_result(struct op *op);
/* Its answer goes out, and it is over. */
void dap_op_end(struct op *op);
void dap_op_fail(struct op *op, enum bsk_code code, const char *hint, const char *message);
void dap_op_begin_next(struct tracking *tracking);
void dap_tracking_release(struct tracking *tracking);

/* take.c */
void dap_begin_start(struct op *op);
void dap_begin_snapshot(struct op *op);
void dap_begin_stop(struct op *op);

#endif
