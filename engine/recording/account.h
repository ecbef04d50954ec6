/*
 * Shares a thread's CPU time among its samples.
 *
 * The kernel's counter of a thread moves only now and then (at its tick, 4 ms at 250 Hz, at a
 * switch, when the program asks for its own CPU time), so a sample cannot be weighed when it is
 * taken. What the counter moves by between two looks belongs to the samples between them: a whole
 * share to each that stood in between, half a share to the one at either end. (With whole shares at
 * one end, code that makes the counter move, or runs just after, had up to a fifth too much or too
 * little.) What was used while no sample saw the thread run is carried to the next one that does.
 * So a thread's weights add up to the CPU time that it really used, on a loaded machine too.
 *
 * One account serves one thread. A zeroed struct is a new account.
 */
#ifndef BSK_RECORDING_ACCOUNT_H
#define BSK_RECORDING_ACCOUNT_H

#include "engine/profile/profile.h"

#include <stdbool.h>
#include <stdint.h>

enum { BSK_ACCOUNT_PENDING = 96 }; /* at 10 kHz a tick of 4 ms spans 40 samples */

struct bsk_account {
    bool has_baseline;
    uint64_t cpu_ns;  /* the counter when it was last looked at */
    uint64_t owed_ns; /* used while no sample saw it run */
    uint64_t seen_ns; /* when it was last sampled, in the profile's time */
    bool was_seen, ran;
    uint32_t last_node; /* where it last ran, else where it last was */
    uint32_t pending_count;
    struct bsk_pending {
        uint32_t node;
        uint64_t start_ns, wall_ns;
        uint64_t cpu_ns;            /* its share so far */
    } pending[BSK_ACCOUNT_PENDING]; /* the first may have had its first half */
};

/* What the counter shows now is no longer the profile's concern (before the start, after a hold).
 * What was shared out already stays. */
void bsk_account_rebase(struct bsk_account *account, struct bsk_profile *profile, uint64_t cpu_ns,
                        uint64_t now_ns);

/* One look at the thread at `now_ns`: its counter, the node of its stack (BSK_NO_NODE when that is
 * not known), and whether it runs there or sleeps. Returns the number of samples that went into the
 * profile. */
uint32_t bsk_account_look(struct bsk_account *account, struct bsk_profile *profile, uint64_t now_ns,
                          uint64_t cpu_ns, uint32_t node, bool runs);

/* The thread or the recording has ended: what is still owed goes to where it last ran. Returns as
 * bsk_account_look(). */
uint32_t bsk_account_close(struct bsk_account *account, struct bsk_profile *profile,
                           uint64_t now_ns);

#endif
