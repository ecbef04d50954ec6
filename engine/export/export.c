#include "engine/export/export.h"

#include "engine/base/publish.h"

#include <limits.h>
#include <string.h>

static const struct bsk_exporter *const exporters[] = {
    &bsk_export_speedscope, &bsk_export_cpuprofile,  &bsk_export_flamegraph,
    &bsk_export_raw,        &bsk_export_chrometrace, &bsk_export_pprof,
};

const struct bsk_exporter *bsk_exporter_named(const char *name)
{
    for (size_t i = 0; i < sizeof(exporters) / sizeof(exporters[0]); i++) {
        if (strcmp(exporters[i]->name, name) == 0)
            return exporters[i];
    }
    return NULL;
}

const struct bsk_exporter *bsk_exporter_at(size_t index)
{
    return index < sizeof(exporters) / sizeof(exporters[0]) ? exporters[index] : NULL;
}

int bsk_export_file(const struct bsk_exporter *exporter, const struct bsk_profile *profile,
                    const char *path, struct bsk_error *err)
{
    char draft_path[PATH_MAX + 64];
    FILE *draft;
    int rc = bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, err);
    if (rc < 0)
        return rc;
    rc = exporter->write(profile, draft, err);
    if (rc < 0) {
        bsk_draft_discard(draft, draft_path);
        return rc;
    }
    return bsk_publish(draft, draft_path, path, err);
}
