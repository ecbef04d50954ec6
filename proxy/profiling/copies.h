/*
 * Who waits for a copy of what the running profile holds: each is called back exactly once, with
 * one, or with NULL when none came in time. profiling.c asks the recording for them.
 *
 * Threads: the loop's.
 */
#ifndef DAP_PROFILING_COPIES_H
#define DAP_PROFILING_COPIES_H

#include "proxy/profiling/profiling.h"

struct dap_copies { /* zeroed: nobody waits */
    struct dap_copy *first;
};

/* False when out of memory: then `done` was not called, and will not be. */
bool dap_copies_add(struct dap_copies *copies, uv_loop_t *loop, uint32_t within_ms,
                    dap_copy_fn *done, void *user);
bool dap_copies_wanted(const struct dap_copies *copies);
/* Takes `profile` over, and gives it to who has waited longest; frees it when nobody waits. */
void dap_copies_give(struct dap_copies *copies, struct bsk_profile *profile);
/* Each of them a copy of it. */
void dap_copies_give_all(struct dap_copies *copies, const struct bsk_profile *profile);
/* There will be none: all get NULL. */
void dap_copies_end(struct dap_copies *copies);

#endif
