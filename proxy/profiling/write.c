#include "proxy/profiling/write.h"

#include "engine/base/publish.h"
#include "engine/export/export.h"
#include "engine/export/summary.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(const struct bsk_profile *profile, const struct bsk_totals *totals,
                     const char *folder, const char *name, struct dap_profile_paths *out_paths,
                     struct bsk_error *err)
{
    static const struct bsk_exporter *const exporters[] = { &bsk_export_speedscope,
                                                            &bsk_export_cpuprofile,
                                                            &bsk_export_flamegraph };
    char stem[4096 + 200];
    out_paths->count = 0;
    int rc = bsk_export_place(folder, name, stem, sizeof(stem), err);
    for (size_t i = 0; rc == BSK_OK && i < sizeof(exporters) / sizeof(exporters[0]); i++) {
        char *path = out_paths->items[out_paths->count].path;
        snprintf(path, sizeof(out_paths->items[0].path), "%s%s", stem, exporters[i]->extension);
        rc = bsk_export_file(exporters[i], profile, path, err);
        if (rc == BSK_OK)
            out_paths->items[out_paths->count++].format = exporters[i]->name;
    }
    if (rc == BSK_OK) {
        const char *slash = strrchr(stem, '/');
        char *path = out_paths->items[out_paths->count].path;
        snprintf(path, sizeof(out_paths->items[0].path), "%s.md", stem);
        rc = bsk_summary_file(profile, totals, slash ? slash + 1 : stem, path, err);
        if (rc == BSK_OK)
            out_paths->items[out_paths->count++].format = "markdown";
    }
    return rc;
}

/* A folder of this user's alone below the temporary one: /tmp belongs to all. */
static int spare_folder(char *out, size_t out_bytes)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(out, out_bytes, "%s/basilisk-profiles-%u",
             temporary && temporary[0] == '/' ? temporary : "/tmp", (unsigned)geteuid());
    struct stat status;
    if (mkdir(out, 0700) == 0)
        return 0;
    return lstat(out, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() ? 0
                                                                                             : -1;
}

int dap_write_profile(const struct bsk_profile *profile, const struct bsk_totals *totals,
                      const char *folder, const char *name, struct dap_profile_paths *out_paths,
                      char *out_warning, size_t out_warning_bytes, struct bsk_error *err)
{
    struct bsk_error first = { 0 };
    out_warning[0] = '\0';
    if (write_all(profile, totals, folder, name, out_paths, &first) == BSK_OK)
        return BSK_OK;
    char spare[PATH_MAX];
    if (spare_folder(spare, sizeof(spare)) == 0 &&
        write_all(profile, totals, spare, name, out_paths, NULL) == BSK_OK) {
        snprintf(out_warning, out_warning_bytes, "%s. The files were written to %s instead",
                 first.message, spare);
        return BSK_OK;
    }
    return bsk_fail(err, first.code, first.hint, "%s", first.message);
}

int dap_check_folder(const char *folder, struct bsk_error *err)
{
    char path[PATH_MAX], draft_path[PATH_MAX + 64];
    FILE *draft = NULL;
    int rc = bsk_make_folder(folder, err);
    if (rc != BSK_OK)
        return rc;
    if (snprintf(path, sizeof(path), "%s/check", folder) >= (int)sizeof(path))
        return bsk_fail(err, BSK_E_LIMIT, "choose a shorter output directory",
                        "Output directory not writable: its name is too long");
    rc = bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, err);
    if (rc == BSK_OK)
        bsk_draft_discard(draft, draft_path);
    return rc;
}

/* "" when it is no absolute folder that is there. */
static bool is_folder(const char *path)
{
    struct stat status;
    return path[0] == '/' && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

void dap_place_folder(const char *wanted, const struct dap_debuggee *debuggee, pid_t pid, char *out,
                      size_t out_bytes)
{
    char base[PATH_MAX] = "";
    if (!wanted[0])
        wanted = "basilisk-profiles";
    if (wanted[0] == '/') {
        snprintf(out, out_bytes, "%s", wanted);
        return;
    }
    snprintf(base, sizeof(base), "%s", debuggee->cwd);
    if (!is_folder(base)) {
        const char *slash = strrchr(debuggee->program, '/');
        snprintf(base, sizeof(base), "%.*s", slash ? (int)(slash - debuggee->program) : 0,
                 debuggee->program);
    }
    if (!is_folder(base) && pid > 0) {
        char link[64];
        snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
        ssize_t bytes = readlink(link, base, sizeof(base) - 1);
        base[bytes > 0 ? bytes : 0] = '\0';
    }
    if (!is_folder(base) && !getcwd(base, sizeof(base)))
        snprintf(base, sizeof(base), "/tmp");
    snprintf(out, out_bytes, "%s/%s", base, wanted);
}
