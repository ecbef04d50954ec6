/*
 * The processes and threads of a profile that have weight, for formats that give each its place.
 *
 * Ownership: bsk_processes_make() fills what bsk_processes_free() gives back; a zeroed struct is
 * fine. Indexes are of the profile's tracks.
 */
#ifndef BSK_EXPORT_PROCESSES_H
#define BSK_EXPORT_PROCESSES_H

#include "engine/profile/profile.h"

struct bsk_process {
    uint32_t first_track; /* with weight: it names the process */
    uint32_t track_count; /* with weight */
};

struct bsk_processes {
    uint32_t *of_track;        /* the process of each track; UINT32_MAX: the track has no weight */
    struct bsk_process *items; /* by first meeting */
    uint32_t count;
};

/* A track has weight when one of its nodes has samples, CPU time, or waited or slept. False when
 * out of memory. */
bool bsk_processes_make(struct bsk_processes *processes, const struct bsk_profile *profile);
void bsk_processes_free(struct bsk_processes *processes);

#endif
