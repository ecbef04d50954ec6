/*
 * The one thing that record, top and the proxy drive: a target and its children, a sampling thread,
 * and the profile that grows.
 *
 * A recording has one thread of its own, which owns the targets, their caches and the profile; it
 * sleeps with clock_nanosleep on absolute deadlines. The calls below may come from any one other
 * thread; they never wait for a read (bsk_recording_free() joins the thread, a few milliseconds).
 *
 * Results come as immutable snapshots: the bell is called on the recording's thread, and must do no
 * more than wake the owner (uv_async_send), who then calls bsk_recording_take*().
 */
#ifndef BSK_RECORDING_RECORDING_H
#define BSK_RECORDING_RECORDING_H

#include "engine/base/error.h"
#include "engine/profile/profile.h"
#include "engine/profile/totals.h"
#include "engine/sampling/sampler.h"

struct bsk_recording;

enum {
    BSK_RATE_DEFAULT_HZ = 100,
    BSK_RATE_SESSION_MAX_HZ = 10000, /* in a debug session */
    BSK_RATE_MAX_HZ = 1000000,       /* at a terminal: as fast as can be, misses are counted */
};

/* A thread that the debug session told us about. */
struct bsk_known_thread {
    pid_t tid;
    const char *name;
    bool debugger; /* the debugger's own: not sampled */
};

enum { BSK_IDENTITY_FRAMES = 4 };

/* 16 bytes that the target showed us, and where they lie: proof that `pid` is who we mean. And how
 * one of its threads says that its own stack begins: proof that we read stacks as they are. */
struct bsk_identity {
    uint64_t address;
    unsigned char bytes[16];
    uint64_t ident; /* threading.get_ident() of that thread; 0: it said nothing */
    char frames[BSK_IDENTITY_FRAMES][64]; /* names of its outermost functions, from outside in */
    size_t frame_count;
};

struct bsk_recording_options {
    uint32_t rate_hz;                    /* 1..BSK_RATE_MAX_HZ; 0 means 100 */
    enum bsk_clock clock;                /* what weighs: CPU time unless said otherwise */
    bool idle_stacks;                    /* read sleepers' stacks too: for BSK_CLOCK_WALL, `top` */
    bool no_ticks;                       /* do without eBPF where it could be had */
    bool blocking;                       /* stop threads that run for their sample: pause.h */
    uint64_t totals_ms;                  /* totals are published this often; 0: only when asked */
    bool subprocesses;                   /* children, at any depth, join the profile */
    bool other_processes;                /* those that are no Python too, with their CPU time */
    const char *name;                    /* of the program; NULL: from the command line */
    const char *const *debugger_folders; /* frames of files below these are the debugger's */
    size_t debugger_folder_count;
    const struct bsk_known_thread *threads; /* of the first process */
    size_t thread_count;
    const struct bsk_identity *identity; /* NULL: not asked for */
    void (*bell)(void *user);            /* something to take; on the recording's thread */
    void *user;
};

struct bsk_recording_status {
    uint64_t samples, errors, torn, missed;
    uint64_t duration_ns;
    uint64_t cpu_ns; /* that the profile holds */
    uint32_t rate_hz;
    uint32_t processes; /* alive now */
    bool ended;         /* the thread has done its work; the last profile can be taken */
    char reason[128];   /* why, once ended: "stopped", "the program ended" */
};

/* Opens the target, proves its identity where asked, and starts sampling. Waits up to half a second
 * for a Python that is only just starting. Fails as bsk_sampler_open(), and with BSK_E_STATE when
 * the identity does not fit. */
int bsk_recording_start(pid_t pid, const struct bsk_recording_options *options,
                        struct bsk_recording **out_recording, struct bsk_error *err);

/* A further process for the same profile (a child session's). One that is in it already is fine. */
void bsk_recording_add_process(struct bsk_recording *recording, pid_t pid);

/* While held, a process is not sampled and what it uses is not counted: it stands at a breakpoint.
 */
void bsk_recording_hold(struct bsk_recording *recording, pid_t pid, bool hold);

/* Asks for a clone of the whole profile; the bell rings when it can be taken. */
void bsk_recording_ask(struct bsk_recording *recording);

/* Asks to end; the bell rings when the last profile can be taken. `reason` goes into it
 * ("stopped"). Ends by itself ("the program ended") when the first process and all others are gone.
 */
void bsk_recording_stop(struct bsk_recording *recording, const char *reason);

/* The newest since the last take, or NULL. The caller owns what it gets. */
struct bsk_totals *bsk_recording_take_totals(struct bsk_recording *recording);
struct bsk_profile *bsk_recording_take_profile(struct bsk_recording *recording);

void bsk_recording_status(struct bsk_recording *recording, struct bsk_recording_status *out_status);

/* The version of the first process's Python: "3.13.0". */
void bsk_recording_python(struct bsk_recording *recording, char *out, size_t size);

/* Ends it where it is, joins its thread, frees everything. Accepts NULL. */
void bsk_recording_free(struct bsk_recording *recording);

#endif
