/*
 * Shares a thread's CPU time among its samples.
 *
 * The kernel's counter of a thread moves only at its tick or at a switch (4 ms at 250 Hz), so a
 * sample cannot be weighed when it is taken: samples of a running thread wait until the counter
 * moves and share equally what it moved by. What was used while no sample saw the thread run is
 * carried to the next one that does. So a thread's weights add up to the CPU time that it really
 * used, on a loaded machine too.
 *
 * One account serves one thread. A zeroed struct is a new account.
 */
#ifndef BSK_RECORDING_ACCOUNT_H
#define BSK_RECORDING_ACCOUNT_H

#include "engine/profile/profile.h"

#include <stdbool.h>
#include <stdint.h>

enum { BSK_ACCOUNT_PENDING = 64 }; /* at 10 kHz a tick of 4 ms spans 40 samples */

struct bsk_account {
    bool has_baseline;
    uint64_t cpu_ns;  /* the counter when it was last looked at */
    uint64_t owed_ns; /* used while no sample saw it run */
    uint64_t seen_ns; /* when it was last sampled, in the profile's time */
    bool was_seen;
    uint32_t last_node; /* where it last was, once `was_seen` */
    uint32_t pending_count;
    struct {
        uint32_t node;
        uint64_t start_ns, wall_ns;
    } pending[BSK_ACCOUNT_PENDING];
};

/* What the counter shows now is no longer the profile's concern (before the start, after a hold).
 */
void bsk_account_rebase(struct bsk_account *account, uint64_t cpu_ns, uint64_t now_ns);

/* One look at the thread at `now_ns`: its counter, the node of its stack (BSK_NO_NODE when that is
 * not known), and whether it runs there or sleeps. Returns the number of samples that were given
 * weight. */
uint32_t bsk_account_look(struct bsk_account *account, struct bsk_profile *profile, uint64_t now_ns,
                          uint64_t cpu_ns, uint32_t node, bool runs);

/* The thread or the recording has ended: what is still owed goes to where it was last seen. */
void bsk_account_close(struct bsk_account *account, struct bsk_profile *profile, uint64_t now_ns);

#endif
