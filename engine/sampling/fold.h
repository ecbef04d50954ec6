/*
 * Takes the debugger out of a stack: its own threads are not the user's, the frames that it put
 * beneath the user's first one go, and what it does in between is one frame, "(debugger)", that
 * still weighs.
 *
 * A frame is the debugger's when its file lies below one of the folders that the target told us;
 * two of its files stand aside, because the user's code runs through them (import hook and monkey
 * patches).
 *
 * Ownership: bsk_fold_new() gives the fold to the caller; bsk_fold_free() takes it back and accepts
 * NULL. What a fold hands out lives until the next call on it. One fold serves one sampler, since
 * it remembers what each code id is.
 */
#ifndef BSK_SAMPLING_FOLD_H
#define BSK_SAMPLING_FOLD_H

#include "engine/sampling/sampler.h"

struct bsk_fold;

struct bsk_folded {
    const struct bsk_frame *frames; /* the user's, innermost first */
    size_t depth;
    bool debugger_leaf;   /* the debugger runs on top of them: "(debugger)" has the sample */
    bool debugger_thread; /* not a thread of the user's at all */
};

/* Folders are copied; absolute, without a final slash. Returns NULL when out of memory. */
struct bsk_fold *bsk_fold_new(const char *const *folders, size_t folder_count);
void bsk_fold_free(struct bsk_fold *fold);

/* `main_thread`: its TID is the PID. Returns false when out of memory. */
bool bsk_fold_stack(struct bsk_fold *fold, const struct bsk_frame *frames, size_t depth,
                    bool main_thread, struct bsk_folded *out_folded);

#endif
