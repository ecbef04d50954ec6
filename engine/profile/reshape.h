/*
 * A finished profile in another shape: frames merged, left out, or put below others; or only what a
 * later profile has more than an earlier one.
 *
 * Weights stay what they are, whatever happens to the frames: a frame that is left out gives its
 * own to its caller. Only a stack of which every frame is left out goes, and that is counted.
 *
 * Ownership: bsk_profile_reshape() reads `profile` and gives a new one to the caller; they share
 * nothing. What `how` points at need live only for the call.
 */
#ifndef BSK_PROFILE_RESHAPE_H
#define BSK_PROFILE_RESHAPE_H

#include "engine/profile/profile.h"

/*
 * A pattern is a path ("/srv/app": this file, or all below this folder), a name without a slash
 * ("site-packages", "app.py": a file or folder of that name anywhere), or either with '*', '?' or
 * "[a-z]" in it, which is held against the whole path or the name ('*' stands for slashes too).
 * Paths of the profile are absolute, but for names such as "<string>".
 */
struct bsk_reshape {
    bool by_function;        /* each frame at the line where its function begins */
    bool no_lines;           /* frames have no line: those of one function are one */
    bool thread_frames;      /* outermost is the thread: "thread (4711): worker" */
    bool process_frames;     /* outside of all the process: "process 4710:\"app.py\"" */
    const char *const *only; /* patterns: frames of other files are left out, special ones too */
    size_t only_count;
    const char *const *exclude; /* patterns: frames of these files are left out */
    size_t exclude_count;
    /* An earlier clone of the same recording's profile: the result is what came after it. NULL */
    const struct bsk_profile *since;
};

struct bsk_reshape_loss { /* stacks of which every frame was left out */
    uint64_t samples, cpu_ns;
};

/* `out_loss` may be NULL. NULL: out of memory. */
struct bsk_profile *bsk_profile_reshape(const struct bsk_profile *profile,
                                        const struct bsk_reshape *how,
                                        struct bsk_reshape_loss *out_loss);

/* Does `path` fit `pattern`, as above? A pure function. */
bool bsk_path_fits(const char *path, const char *pattern);

#endif
