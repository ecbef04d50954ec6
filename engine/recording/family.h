/*
 * The processes of one recording: those that are sampled, those that are no Python, and those of
 * which it is not known yet. Children are found here, an exec goes from one to the other here.
 * Private to this room; lives on the recording's thread.
 */
#ifndef BSK_RECORDING_FAMILY_H
#define BSK_RECORDING_FAMILY_H

#include "engine/recording/target.h"

struct bsk_other;

enum {
    BSK_FAMILY_MAX = 256,   /* processes in one profile; as many again that are no Python */
    BSK_RELATIVES_MS = 150, /* children are looked for this often: in the profile within a second */
};

/* A process that belongs to the profile and cannot be sampled now: no Python, or not one yet. */
struct bsk_candidate {
    pid_t pid;
    int watch_fd; /* a pidfd; -1: looked for by its number */
    uint64_t start_ticks;
    uint64_t next_ns;
    uint32_t wait_ms;
    bool held;     /* it stands at a breakpoint already */
    bool is_child; /* all that it has used belongs to the profile, but for: */
    uint64_t process_used_ns, first_thread_used_ns; /* told of what it was before an exec */
    struct bsk_other *other; /* once it is known to be no Python, where that is asked for */
};

/* Starts zeroed; what others write into it stands first. */
struct bsk_family {
    bool subprocesses, other_processes; /* see bsk_recording_options */
    struct bsk_target *targets[BSK_FAMILY_MAX];
    size_t target_count;
    char python[64]; /* versions, each once: "3.11.7, 3.13.0" */

    struct bsk_target_context *context; /* borrowed */
    struct bsk_candidate candidates[BSK_FAMILY_MAX];
    size_t candidate_count;
    pid_t first_pid;
    uint64_t start_ticks;  /* when it began, in the kernel's ticks since boot (10 ms each) */
    pid_t newest_at_start; /* of those born in that very tick: who was there already; 0: unknown */
    uint64_t next_relatives_ns, next_scan_ns, next_others_ns;
    pid_t newest_pid; /* when children were looked for last */
    unsigned scans_of_newest;
};

/* `pid`: the first process. */
void bsk_family_begin(struct bsk_family *family, struct bsk_target_context *context, pid_t pid);
/* Settles all accounts and closes everything. Times are of CLOCK_MONOTONIC, as below. */
void bsk_family_end(struct bsk_family *family, uint64_t now);

/* What is due: looks for children, at those that are no Python, for those that became one. To be
 * called at least every BSK_RELATIVES_MS. */
void bsk_family_look(struct bsk_family *family, uint64_t now);

/* A process that belongs to it, at the next look. One that does already is fine. */
void bsk_family_add(struct bsk_family *family, pid_t pid);
void bsk_family_hold(struct bsk_family *family, pid_t pid, bool hold);

/* The target at `index` has ended, or is another program by exec: then it comes back as that. The
 * last target takes its place. */
void bsk_family_lose(struct bsk_family *family, size_t index, uint64_t now);

/* Somebody is left of whom something is to be expected. */
bool bsk_family_is_anybody_left(const struct bsk_family *family);

struct bsk_target *bsk_family_target(struct bsk_family *family, pid_t pid); /* or NULL */
void bsk_family_note_python(struct bsk_family *family, const char *version);
/* Whether the process lives and is no zombie. */
bool bsk_family_is_alive(pid_t pid, uint64_t *out_start_ticks);

#endif
