#include "engine/export/processes.h"

#include "engine/export/pairs.h"

#include <stdlib.h>
#include <string.h>

static bool has_weight(const struct bsk_node *node)
{
    return node->samples > 0 || node->self_ns > 0 || node->wait_ns > 0 || node->idle_ns > 0 ||
           node->call_ns > 0;
}

bool bsk_processes_make(struct bsk_processes *processes, const struct bsk_profile *profile)
{
    size_t tracks = bsk_profile_track_count(profile);
    struct bsk_pairs pids = { 0 };
    memset(processes, 0, sizeof(*processes));
    processes->of_track = calloc(tracks + 1, sizeof(*processes->of_track));
    processes->items = calloc(tracks + 1, sizeof(*processes->items));
    bool done = processes->of_track && processes->items;
    for (uint32_t i = 0; done && i < bsk_profile_node_count(profile); i++) {
        if (has_weight(bsk_profile_node_at(profile, i)))
            processes->of_track[bsk_profile_track_of(profile, i)] = 1;
    }
    for (uint32_t t = 0; done && t < tracks; t++) {
        if (!processes->of_track[t]) {
            processes->of_track[t] = UINT32_MAX;
            continue;
        }
        uint32_t process = bsk_pair(&pids, (uint32_t)bsk_profile_track_at(profile, t).pid, 0);
        processes->of_track[t] = process;
        done = process != UINT32_MAX;
        if (done && process == processes->count)
            processes->items[processes->count++].first_track = t;
        if (done)
            processes->items[process].track_count++;
    }
    bsk_pairs_free(&pids);
    if (!done)
        bsk_processes_free(processes);
    return done;
}

void bsk_processes_free(struct bsk_processes *processes)
{
    free(processes->of_track);
    free(processes->items);
    memset(processes, 0, sizeof(*processes));
}
