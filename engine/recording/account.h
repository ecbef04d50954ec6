/*
 * Shares a thread's CPU time among its samples.
 *
 * The kernel's counter of a thread moves only now and then (at its tick, 4 ms at 250 Hz, at a
 * switch, when the program asks for its own CPU time), and is not even looked at with each sample;
 * so a sample cannot be weighed when it is taken. What the counter moves by between two looks
 * belongs to the samples between them: a whole share to each that stood in between, half a share to
 * the one at either end. (With whole shares at one end, code that makes the counter move, or runs
 * just after, had up to a fifth too much or too little.) What was used while no sample saw the
 * thread run is carried to the next one that does. So a thread's weights add up to the CPU time
 * that it really used, on a loaded machine too.
 *
 * With BSK_CLOCK_WALL each sample weighs the time since the one before, whatever the thread did;
 * with BSK_CLOCK_GIL only samples that held the GIL keep their share.
 *
 * One account serves one thread. A zeroed struct is a new account that counts CPU time; `clock` may
 * be set then. bsk_account_free() gives its memory back.
 */
#ifndef BSK_RECORDING_ACCOUNT_H
#define BSK_RECORDING_ACCOUNT_H

#include "engine/profile/profile.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    BSK_ACCOUNT_PENDING_MAX = 16384
}; /* a look is due long before at 300,000 samples a second */

/* What one sample says of the thread. */
struct bsk_sight {
    uint64_t now_ns; /* in the profile's time */
    uint32_t node;   /* of its stack; BSK_NO_NODE when that is not known */
    bool runs;       /* there, on a CPU or ready for one; else it sleeps */
    bool gil;        /* and holds the GIL */
    bool gil_wait;   /* it sleeps until it gets the GIL */
    bool in_call;    /* it sleeps in a system call that works on something */
    bool counted;    /* `cpu_ns` is of this moment */
    uint64_t cpu_ns; /* the counter */
};

struct bsk_account {
    enum bsk_clock clock;
    bool has_baseline;
    uint64_t cpu_ns;  /* the counter when it was last looked at */
    uint64_t owed_ns; /* used while no sample saw it run */
    uint64_t seen_ns; /* when it was last sampled, in the profile's time */
    bool was_seen, ran;
    uint32_t last_node; /* where it last ran, else where it last was */
    uint32_t pending_count, pending_capacity;
    struct bsk_pending {
        uint32_t node;
        uint32_t samples;
        uint32_t halves; /* shares still to come, in halves */
        bool gil;
        uint64_t start_ns, wall_ns;
        uint64_t cpu_ns; /* its share so far */
    } * pending;         /* equal neighbours are one */
};

/* What the counter shows now is no longer the profile's concern (before the start, after a hold).
 * What was shared out already stays. */
void bsk_account_rebase(struct bsk_account *account, struct bsk_profile *profile, uint64_t cpu_ns,
                        uint64_t now_ns);

/* One look at the thread. Returns the number of samples that went into the profile. */
uint32_t bsk_account_look(struct bsk_account *account, struct bsk_profile *profile,
                          const struct bsk_sight *sight);

/* The thread or the recording has ended: what is still owed goes to where it last ran. Returns as
 * bsk_account_look(). */
uint32_t bsk_account_close(struct bsk_account *account, struct bsk_profile *profile,
                           uint64_t now_ns);
void bsk_account_free(struct bsk_account *account);

#endif
