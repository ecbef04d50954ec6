/*
 * A finished profile goes in and bytes come out, streamed: nothing is built in memory that grows
 * with the recording. A new format is one file here and one line in the table.
 */
#ifndef BSK_EXPORT_EXPORT_H
#define BSK_EXPORT_EXPORT_H

#include "engine/base/error.h"
#include "engine/profile/profile.h"

#include <stdio.h>

struct bsk_exporter {
    const char *name;      /* what follows -f, and the key in `paths`: "speedscope" */
    const char *extension; /* of the file: ".speedscope.json" */
    int (*write)(const struct bsk_profile *profile, FILE *out, struct bsk_error *err);
};

extern const struct bsk_exporter bsk_export_speedscope;
extern const struct bsk_exporter bsk_export_cpuprofile;
extern const struct bsk_exporter bsk_export_flamegraph;
extern const struct bsk_exporter bsk_export_raw;
extern const struct bsk_exporter bsk_export_chrometrace;
extern const struct bsk_exporter bsk_export_pprof;

/* By name, or NULL. */
const struct bsk_exporter *bsk_exporter_named(const char *name);

/* All of them, from 0; NULL past the last. */
const struct bsk_exporter *bsk_exporter_at(size_t index);

/* Writes `profile` under `path` in one step (base/publish.h). */
int bsk_export_file(const struct bsk_exporter *exporter, const struct bsk_profile *profile,
                    const char *path, struct bsk_error *err);

/* NAME-YYYYMMDD-HHMMSS[-N] in `folder`, local time, such that no file of that set exists yet, and
 * no other process is given it. Makes the folder, and a .gitignore of "*" in it where the folder
 * holds nothing but profiles. Keeps the newest 50 sets, this one included, and of them what fits in
 * 500 MiB; what has no name of ours is never touched. `name` is made safe for a file name. Writes
 * the whole path without extension. */
int bsk_export_place(const char *folder, const char *name, char *out_stem, size_t out_stem_bytes,
                     struct bsk_error *err);

#endif
