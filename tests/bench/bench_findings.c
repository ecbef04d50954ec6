/* What the findings cost: totals, heat and diagnostics of 10,000 hot lines, in one file and in
 * many, and beside a source of 10 MB. Prints milliseconds; the goal is 100 for all three together.
 */
#include "engine/findings/diagnostics.h"
#include "engine/findings/heat.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 10000 };

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

struct target {
    struct bsk_source_cache *cache;
    struct bsk_buffer buffer;
};

static void diagnose(const struct bsk_hot_file *file, void *user)
{
    struct target *target = user;
    struct bsk_json json = { .out = &target->buffer };
    bsk_diagnostics_write(target->cache, file, &json);
}

static void measure(const char *what, const char *folder, uint32_t files, size_t line_bytes)
{
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 1, 1, "app.py", "MainThread");
    for (uint32_t f = 0; f < files; f++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%u.py", folder, f);
        FILE *source = fopen(path, "we");
        if (!source)
            abort();
        for (uint32_t line = 0; line < LINES / files; line++)
            fprintf(source, "    value = compute(%*u)\n", (int)line_bytes, line);
        fclose(source);
        for (uint32_t line = 1; line <= LINES / files; line++) {
            char name[32];
            snprintf(name, sizeof(name), "f%u", line / 20);
            const struct bsk_profile_frame frame = {
                bsk_profile_function(profile, name, path, line / 20 * 20 + 1, BSK_FUNCTION_PYTHON),
                line
            };
            bsk_profile_add(profile, bsk_profile_stack(profile, track, &frame, 1), 0, 0, 1000, 1);
        }
    }
    const struct bsk_thresholds low = { .line_percent = 0.001, .function_percent = 0.001 };
    struct target target = { .cache = bsk_source_cache_new() };
    for (int round = 0; round < 2; round++) {
        double start = now_ms();
        struct bsk_totals *totals = bsk_totals_new(profile);
        double summed = now_ms();
        struct bsk_heat *heat = bsk_heat_new(totals, &low);
        double heated = now_ms();
        bsk_buffer_clear(&target.buffer);
        bsk_heat_changes(NULL, heat, diagnose, &target);
        double done = now_ms();
        printf("%-34s %s  totals %5.1f  heat %5.1f  diagnostics %5.1f  all %5.1f ms  (%zu bytes)\n",
               what, round ? "again" : "first", summed - start, heated - summed, done - heated,
               done - start, target.buffer.size);
        bsk_heat_free(heat);
        bsk_totals_free(totals);
    }
    bsk_source_cache_free(target.cache);
    bsk_buffer_free(&target.buffer);
    bsk_profile_free(profile);
    for (uint32_t f = 0; f < files; f++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%u.py", folder, f);
        unlink(path);
    }
}

int main(void)
{
    char folder[] = "/tmp/bsk-bench-XXXXXX";
    if (!mkdtemp(folder))
        return 1;
    measure("10,000 lines in one file", folder, 1, 20);
    measure("10,000 lines in 100 files", folder, 100, 20);
    measure("10,000 lines in 1,000 files", folder, 1000, 20);
    measure("10,000 lines in one file of 10 MB", folder, 1, 1024);
    rmdir(folder);
    return 0;
}
