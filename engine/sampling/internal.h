/* What the files of this folder know of a sampler. */
#ifndef BSK_SAMPLING_INTERNAL_H
#define BSK_SAMPLING_INTERNAL_H

#include "engine/process/process.h"
#include "engine/sampling/sampler.h"

struct bsk_sampler_parts {
    struct bsk_process *process;
    struct bsk_python *python;
    struct bsk_threads *os_threads;
};

struct bsk_sampler_parts bsk_sampler_parts(struct bsk_sampler *sampler);

/* Brings the list of threads up to date now. */
int bsk_sampler_refresh(struct bsk_sampler *sampler, struct bsk_error *err);

#endif
