/* What an export costs: 10^6 samples of 10,000 distinct stacks, 20 deep, with the timeline at its
 * ceiling. Prints milliseconds without fsync, and bytes; the goal is 200 ms each. With a folder as
 * its argument it leaves the files there. */
#include "engine/export/export.h"
#include "engine/profile/totals.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { STACKS = 10000, DEPTH = 20, SAMPLES = 1000000, FUNCTIONS = 800 };

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    static struct bsk_profile_frame stacks[STACKS][DEPTH];
    static uint32_t functions[FUNCTIONS];
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t tracks[4], seed = 1;
    for (uint32_t t = 0; t < 4; t++)
        tracks[t] = bsk_profile_track(profile, 1, (pid_t)t + 1, "app.py", "Thread");
    for (uint32_t f = 0; f < FUNCTIONS; f++) {
        char name[32], path[64];
        snprintf(name, sizeof(name), "Class%u.method_%u", f % 60, f);
        snprintf(path, sizeof(path), "/srv/app/package/module_%u.py", f % 50);
        functions[f] = bsk_profile_function(profile, name, path, f + 1, BSK_FUNCTION_PYTHON);
    }
    /* as calls are: a stack shares its beginning with the one before */
    for (uint32_t s = 0; s < STACKS; s++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t shared = s ? 8 + (seed >> 16) % (DEPTH - 8) : 0;
        for (uint32_t d = 0; d < DEPTH; d++) {
            seed = seed * 1664525 + 1013904223;
            uint32_t f = (seed >> 16) % FUNCTIONS;
            stacks[s][d] = d < shared
                               ? stacks[s - 1][d]
                               : (struct bsk_profile_frame){ functions[f], f + 1 + seed % 3 };
        }
    }
    double start = now_ms();
    for (uint32_t i = 0; i < SAMPLES; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t node =
            bsk_profile_stack(profile, tracks[i % 4], stacks[(seed >> 8) % STACKS], DEPTH);
        bsk_profile_add(profile, node, (uint64_t)(i / 4) * 1000000, 1000000, 900000 + seed % 99999,
                        1);
    }
    printf("adding      %7.1f ms  (%.0f ns a sample, stacks looked up)  %zu nodes  %.1f MB\n",
           now_ms() - start, (now_ms() - start) * 1e6 / SAMPLES, bsk_profile_node_count(profile),
           (double)bsk_profile_bytes(profile) / 1e6);
    struct bsk_run run;
    size_t runs = 0;
    for (size_t at = 0; bsk_profile_next_run(profile, &at, &run);)
        runs++;
    start = now_ms();
    struct bsk_profile *clone = bsk_profile_clone(profile);
    printf("cloning     %7.1f ms  %zu runs\n", now_ms() - start, runs);
    start = now_ms();
    struct bsk_totals *totals = bsk_totals_new(clone);
    printf("totals      %7.1f ms\n", now_ms() - start);
    bsk_totals_free(totals);
    for (size_t i = 0; bsk_exporter_at(i); i++) {
        const struct bsk_exporter *exporter = bsk_exporter_at(i);
        char path[4096] = "";
        if (argc > 1)
            snprintf(path, sizeof(path), "%s/bench%s", argv[1], exporter->extension);
        FILE *file = argc > 1 ? fopen(path, "w+e") : tmpfile();
        if (!file)
            return 1;
        start = now_ms();
        clock_t cpu = clock();
        int rc = exporter->write(clone, file, NULL);
        fflush(file);
        printf("%-11s %7.1f ms  %7.1f ms CPU  %.1f MB  (%d)\n", exporter->name, now_ms() - start,
               (double)(clock() - cpu) * 1e3 / CLOCKS_PER_SEC, (double)ftell(file) / 1e6, rc);
        fclose(file);
    }
    bsk_profile_free(clone);
    bsk_profile_free(profile);
    return 0;
}
