/*
 * The memory of a debug session: which of its processes are tracked, their snapshots, what grew
 * between them, and what holds it.
 *
 * One dap_memory serves a root session and all its children (each `joins`); it lives until the last
 * has left and nothing is under way. A *tracking* is one process from start to stop, or to its end;
 * its id ("mem-1") is the sessionId that requests name. At most 32 are kept, first in, first out:
 * what has ended can still be asked about. In one tracking one thing happens at a time, in the
 * order that it was asked for.
 *
 * What runs in the debuggee goes through a channel (evaluate.h) and takes milliseconds there; dumps
 * are understood on libuv's workers. Nothing here waits on the loop's thread.
 *
 * Threads: all calls come from the loop's thread, and results come back there.
 */
#ifndef DAP_MEMORY_MEMORY_H
#define DAP_MEMORY_MEMORY_H

#include "engine/base/error.h"
#include "engine/memory/growth.h"
#include "engine/memory/references.h"
#include "engine/memory/snapshot.h"
#include "proxy/profiling/profiling.h"
#include "proxy/session/session.h"

#include <uv.h>

enum { DAP_MEMORY_KEPT = 32, DAP_MEMORY_FRAMES_MAX = 25 };

struct dap_memory;

struct dap_memory_options {
    uint32_t frames; /* kept for each block, 1..25; 0: 1. More cost the program up to 20 times */
    double census_s; /* a census by type every so many seconds; 0: none */
    bool autopilot;  /* a snapshot and a diff at each stop */
    bool at_launch;  /* by the configuration's key: nobody waits for an answer */
    char output_folder[4096]; /* as in struct dap_profiling_options */
};

/* Where the program stopped. */
struct dap_stop_place {
    char path[4096];
    uint32_t line;
};

struct dap_memory_collected {
    uint64_t collected, uncollectable;
    int64_t freed_traced_bytes, freed_rss_bytes; /* negative: it grew meanwhile */
};

enum dap_memory_kind { /* of a payload */
                       DAP_MEMORY_SNAPSHOT,
                       DAP_MEMORY_DIFF,
                       DAP_MEMORY_COLLECTED,
                       DAP_MEMORY_REFERENCES,
                       DAP_MEMORY_OBJECTS,
};

/* What came of a request; each holds what its kind of request has, the rest is NULL or 0. Lives
 * until the callback returns. */
struct dap_memory_result {
    enum dap_memory_kind kind; /* of a payload that was handed in */
    const char *graph_json;    /* one that was handed in */
    const char *session_id;
    pid_t pid; /* as the debuggee sees itself */
    const char *python;
    uint32_t frames;
    bool foreign; /* the program had started tracemalloc itself: it is left as it is */
    const struct bsk_memory_snapshot *snapshot;
    const struct bsk_memory_snapshot *before; /* the one before it, for growth; or NULL */
    const struct bsk_memory_history *history;
    const char *heapprofile; /* the path written, or "" */
    const char *warning;     /* "" or a sentence */
    const struct dap_memory_collected *collected;
    const struct bsk_memory_diff *diff;
    const char *diff_note; /* why the reference graph was not looked at, or "" */
    const struct bsk_references *references;
    uint32_t graph;                     /* its number, for inspect */
    const char *inspected;              /* JSON text of one node */
    const struct dap_stop_place *place; /* of the stop that led to it; or NULL */
    uint32_t snapshots;                 /* taken so far */
    bool over;      /* no more can be taken: the program has ended, or tracking was stopped */
    bool by_itself; /* nobody asked: autopilot, census, the last one at the end */
    bool autopilot; /* the next stop takes a snapshot, too */
};

typedef void dap_memory_fn(void *user, int rc, const struct dap_memory_result *result,
                           const struct bsk_error *err);

/* What the editor must hear though nobody asked, and what events say. */
struct dap_memory_listener {
    /* A snapshot was taken, before whoever asked for it is answered. */
    void (*snapshot)(struct dap_session *session, const struct dap_memory_result *result,
                     void *user);
    void (*diff)(struct dap_session *session, const struct dap_memory_result *result, void *user);
    void (*census)(struct dap_session *session, const struct dap_memory_result *result, void *user);
    /* A payload was handed in or printed. */
    void (*handed_in)(struct dap_session *session, const struct dap_memory_result *result,
                      void *user);
    /* It began or ended to track. */
    void (*changed)(struct dap_session *session, void *user);
};

/* `listener` must outlive it; `profiling`, which the same sessions join, is not used once the last
 * of them has left. NULL when out of memory. */
struct dap_memory *dap_memory_new(uv_loop_t *loop, const struct dap_memory_listener *listener,
                                  struct dap_profiling *profiling, void *user);
void dap_memory_join(struct dap_memory *memory, struct dap_session *session);
void dap_memory_leave(struct dap_memory *memory, struct dap_session *session);

/* Each calls `done` exactly once, maybe before it returns. `session_id` NULL: the one that tracks
 * `session`'s debuggee, else the last that did; unknown: BSK_E_STATE "Unknown session". */
void dap_memory_start(struct dap_memory *memory, struct dap_session *session,
                      const struct dap_memory_options *options, dap_memory_fn *done, void *user);
void dap_memory_snapshot(struct dap_memory *memory, struct dap_session *session,
                         const char *session_id, dap_memory_fn *done, void *user);
/* `from` and `to`: numbers of snapshots; 0: the last, and the one before it. */
void dap_memory_diff(struct dap_memory *memory, struct dap_session *session, const char *session_id,
                     uint32_t from, uint32_t to, dap_memory_fn *done, void *user);

/* What holds it: the objects of a type, those allocated on a line, or what an expression is worth
 * where the program stands. All NULL: the likeliest leak of the last diff. */
struct dap_memory_wish {
    const char *type, *expression, *path;
    uint32_t line;
    const char *either; /* a type if there is one of that name, else an expression */
};
void dap_memory_references(struct dap_memory *memory, struct dap_session *session,
                           const char *session_id, const struct dap_memory_wish *wish,
                           dap_memory_fn *done, void *user);
/* One node of a graph that references() made, while the program still stands there. */
void dap_memory_inspect(struct dap_memory *memory, struct dap_session *session,
                        const char *session_id, uint32_t graph, uint64_t id, dap_memory_fn *done,
                        void *user);
void dap_memory_collect(struct dap_memory *memory, struct dap_session *session,
                        const char *session_id, dap_memory_fn *done, void *user);
/* Works without tracking, too. */
void dap_memory_objects(struct dap_memory *memory, struct dap_session *session,
                        const char *session_id, dap_memory_fn *done, void *user);
/*
 * Text with a marker and its payload in it ("__BASILISK_MEM__{...}"), as if the request whose
 * marker it is had had that answer. Without a tracking one is made that holds nothing else. Fails
 * with BSK_E_FORMAT "No marker in payload", or when the payload is not what its marker promises;
 * with BSK_E_LIMIT when it is over 1 MiB. Nothing has changed then.
 */
enum { DAP_PAYLOAD_MAX_BYTES = 1 << 20 };
void dap_memory_ingest(struct dap_memory *memory, struct dap_session *session,
                       const char *session_id, const char *output, size_t bytes, bool by_itself,
                       dap_memory_fn *done, void *user);

void dap_memory_stop(struct dap_memory *memory, struct dap_session *session, const char *session_id,
                     dap_memory_fn *done, void *user);

/* What the session hears of the debuggee; see struct dap_extension. */
/* Is tracking being started, so that the program should wait? dap_session_let_run() is called then.
 */
bool dap_memory_on_starting(struct dap_memory *memory, struct dap_session *session);
void dap_memory_on_ready(struct dap_memory *memory, struct dap_session *session);
void dap_memory_on_stopped(struct dap_memory *memory, struct dap_session *session);
void dap_memory_on_continued(struct dap_memory *memory, struct dap_session *session);
bool dap_memory_on_ending(struct dap_memory *memory, struct dap_session *session);

/* Is `session`'s debuggee tracked now? */
bool dap_memory_running(const struct dap_memory *memory, const struct dap_session *session,
                        struct dap_memory_result *out_facts);

#endif
