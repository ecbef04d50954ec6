/* write_samples FOLDER: every sample profile in every format, and beside each what it must add up
 * to, for validate.py. */
#include "engine/base/json.h"
#include "engine/export/export.h"
#include "engine/profile/totals.h"
#include "tests/engine/export/samples.h"

#include <stdio.h>
#include <stdlib.h>

static void write_facts(const struct bsk_profile *profile, FILE *file)
{
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer, .file = file };
    struct bsk_totals *totals = bsk_totals_new(profile);
    if (!totals)
        abort();
    bsk_json_begin(&json, '{');
    bsk_json_field_uint(&json, "cpuNs", bsk_profile_cpu_ns(profile));
    bsk_json_field_uint(&json, "samples", bsk_profile_samples(profile));
    bsk_json_field_double(&json, "rateHz", bsk_profile_meta_const(profile)->rate_hz, 1);
    bsk_json_field_uint(&json, "clock", bsk_profile_meta_const(profile)->clock);
    bsk_json_field_uint(&json, "windowNs", bsk_profile_window_ns(profile));
    bsk_json_field_uint(&json, "durationNs", bsk_profile_meta_const(profile)->duration_ns);
    bsk_json_key(&json, "tracks");
    bsk_json_begin(&json, '[');
    for (uint32_t t = 0; t < bsk_profile_track_count(profile); t++) {
        uint64_t cpu_ns = 0;
        for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++)
            cpu_ns += bsk_profile_track_of(profile, i) == t
                          ? bsk_profile_node_at(profile, i)->self_ns
                          : 0;
        bsk_json_uint(&json, cpu_ns);
    }
    bsk_json_end(&json, ']');
    bsk_json_key(&json, "lines");
    bsk_json_begin(&json, '[');
    for (size_t i = 0; i < totals->line_count; i++) {
        bsk_json_begin(&json, '[');
        bsk_json_text(&json, totals->lines[i].path);
        bsk_json_uint(&json, totals->lines[i].line);
        bsk_json_uint(&json, totals->lines[i].samples);
        bsk_json_uint(&json, totals->lines[i].self_ns);
        bsk_json_end(&json, ']');
    }
    bsk_json_end(&json, ']');
    bsk_json_end(&json, '}');
    if (bsk_json_finish(&json, NULL) < 0)
        abort();
    bsk_totals_free(totals);
    bsk_buffer_free(&buffer);
}

static int write_profile(const struct bsk_profile *profile, const char *folder, const char *name)
{
    char path[4096];
    for (size_t e = 0; bsk_exporter_at(e); e++) {
        const struct bsk_exporter *exporter = bsk_exporter_at(e);
        struct bsk_error err = { 0 };
        snprintf(path, sizeof(path), "%s/%s%s", folder, name, exporter->extension);
        if (bsk_export_file(exporter, profile, path, &err) < 0) {
            fprintf(stderr, "%s: %s\n", path, err.message);
            return 1;
        }
    }
    snprintf(path, sizeof(path), "%s/%s.facts", folder, name);
    FILE *facts = fopen(path, "we");
    if (!facts)
        return 1;
    write_facts(profile, facts);
    fclose(facts);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: write_samples FOLDER [RANDOM PROFILES]\n");
        return 2;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sample_profile_count; i++) {
        struct bsk_profile *profile = sample_profiles[i].make();
        rc = write_profile(profile, argv[1], sample_profiles[i].name);
        bsk_profile_free(profile);
    }
    uint32_t count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    for (uint32_t seed = 1; rc == 0 && seed <= count; seed++) {
        char name[32];
        struct bsk_profile *profile = random_profile(seed);
        snprintf(name, sizeof(name), "random-%u", seed);
        rc = write_profile(profile, argv[1], name);
        bsk_profile_free(profile);
    }
    return rc;
}
