#include "adapters/cli/record_output.h"

#include "engine/base/publish.h"
#include "engine/base/strings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    EARLY_RUNS = 8192, /* about a millisecond of writing */
    OLD_SECONDS = 10,  /* a draft is written in less than one */
};

static const char default_folder[] = "basilisk-profiles";

struct cli_output {
    const struct cli_record_options *options;
    char path[PATH_MAX];
    bool direct; /* no regular file */
    bool has_early;
    bool made_folder;
};

/* ---- before the recording ---------------------------------------------------------------------
 */

/* A recording that was killed while it wrote left its draft; its PID is in the name. A young one
 * may be of a container that shares the folder. */
static void remove_old_drafts(const char *path)
{
    char folder[PATH_MAX], start[NAME_MAX + 2];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    if (snprintf(start, sizeof(start), ".%s.", slash ? slash + 1 : path) >= (int)sizeof(start))
        return;
    time_t now = time(NULL);
    DIR *listing = opendir(folder);
    for (const struct dirent *entry; listing && (entry = readdir(listing));) {
        char *end;
        struct stat status;
        if (!bsk_starts_with(entry->d_name, start))
            continue;
        long pid = strtol(entry->d_name + strlen(start), &end, 10);
        if (pid > 0 && pid <= INT_MAX && strcmp(end, ".draft") == 0 && kill((pid_t)pid, 0) != 0 &&
            errno == ESRCH &&
            fstatat(dirfd(listing), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_mtim.tv_sec + OLD_SECONDS < now)
            unlinkat(dirfd(listing), entry->d_name, 0);
    }
    if (listing)
        closedir(listing);
}

static int check_writable(const char *path, struct bsk_error *err)
{
    char draft_path[PATH_MAX + 64];
    FILE *draft;
    int rc = bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, err);
    if (rc == BSK_OK)
        bsk_draft_discard(draft, draft_path);
    return rc;
}

/* A link is followed, so that it stays one; what is no regular file is written as it is. */
static int find_named(struct cli_output *output, const char *wanted, struct bsk_error *err)
{
    struct stat status;
    size_t bytes = strlen(wanted);
    if (bytes >= sizeof(output->path))
        return bsk_fail(err, BSK_E_LIMIT, NULL, "a path of %zu bytes is no file name", bytes);
    memcpy(output->path, wanted, bytes + 1);
    if (stat(wanted, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            return bsk_fail(err, BSK_E_IO, "name a file in it", "%s is a folder", wanted);
        output->direct = !S_ISREG(status.st_mode);
        if (output->direct)
            return access(wanted, W_OK) == 0 ? BSK_OK
                                             : bsk_fail(err, BSK_E_IO, NULL, "cannot write %s: %s",
                                                        wanted, strerror(errno));
        char *real = realpath(wanted, NULL);
        if (real && strlen(real) < sizeof(output->path))
            memcpy(output->path, real, strlen(real) + 1);
        free(real);
    }
    int rc = check_writable(output->path, err);
    if (rc == BSK_OK)
        remove_old_drafts(output->path);
    return rc;
}

int cli_output_open(const struct cli_record_options *options, struct cli_output **out_output,
                    struct bsk_error *err)
{
    struct cli_output *output = calloc(1, sizeof(*output));
    int rc;
    if (!output)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    output->options = options;
    if (options->output) {
        rc = find_named(output, options->output, err);
    } else {
        char probe[sizeof(default_folder) + 16];
        struct stat status;
        output->made_folder = stat(default_folder, &status) != 0;
        snprintf(probe, sizeof(probe), "%s/check", default_folder);
        rc = bsk_make_folder(default_folder, err);
        if (rc == BSK_OK)
            rc = check_writable(probe, err);
    }
    if (rc != BSK_OK) {
        cli_output_close(output);
        return rc;
    }
    *out_output = output;
    return BSK_OK;
}

void cli_output_close(struct cli_output *output)
{
    if (output && output->made_folder && !output->path[0])
        rmdir(default_folder); /* stays where something is in it */
    free(output);
}

int cli_output_name(struct cli_output *output, const char *program, struct bsk_error *err)
{
    char stem[PATH_MAX - 64];
    if (output->path[0])
        return BSK_OK;
    int rc = bsk_export_place(default_folder, program, stem, sizeof(stem), err);
    if (rc == BSK_OK)
        snprintf(output->path, sizeof(output->path), "%s%s", stem,
                 output->options->exporter->extension);
    return rc;
}

const char *cli_output_path(const struct cli_output *output)
{
    return output->options->output ? output->options->output : output->path;
}

const char *cli_output_how_to_look(const struct cli_output *output)
{
    const char *format = output->options->exporter->name;
    static const char *const ways[][2] = {
        { "flamegraph", "open it in a browser" },
        { "raw", "a line is a stack and its samples; https://www.speedscope.app draws it" },
        { "speedscope", "open it at https://www.speedscope.app" },
        { "chrometrace", "open it at https://ui.perfetto.dev" },
        { "cpuprofile", "open it in VS Code, or in the Performance panel of Chrome's DevTools" },
        { "pprof", "look at it with `go tool pprof -http=: FILE`" },
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(ways[i][0], format) == 0)
            return ways[i][1];
    }
    return "open it with a viewer of that format";
}

bool cli_output_is_file(const struct cli_output *output)
{
    return !output->direct;
}

bool cli_output_has_early(const struct cli_output *output)
{
    return output->has_early;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* The other formats have no order in time at all: there is nothing to make coarser. */
static bool shows_time(const struct bsk_exporter *exporter)
{
    static const char *const sums[] = { "flamegraph", "raw", "pprof" };
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        if (strcmp(exporter->name, sums[i]) == 0)
            return false;
    }
    return true;
}

/* As it was asked for: `profile` itself where nothing changes it, else a new one; see release(). */
static struct bsk_profile *reshaped(const struct cli_output *output, struct bsk_profile *profile,
                                    const struct bsk_profile *since,
                                    struct bsk_reshape_loss *out_loss)
{
    const struct cli_record_options *options = output->options;
    bsk_profile_meta(profile)->full_filenames = options->full_filenames;
    if (!since && !options->by_function && !options->no_lines && !options->threads &&
        !options->only.count && !options->exclude.count)
        return profile;
    const struct bsk_reshape how = {
        .by_function = options->by_function,
        .no_lines = options->no_lines,
        .thread_frames = options->threads,
        .only = (const char *const *)options->only.items,
        .only_count = options->only.count,
        .exclude = (const char *const *)options->exclude.items,
        .exclude_count = options->exclude.count,
        .since = since,
    };
    return bsk_profile_reshape(profile, &how, out_loss);
}

static void release(struct bsk_profile *shape, const struct bsk_profile *profile)
{
    if (shape != profile)
        bsk_profile_free(shape);
}

static int write_file(const struct cli_output *output, const struct bsk_profile *profile,
                      const char *path, bool sync, struct bsk_error *err)
{
    char draft_path[PATH_MAX + 64];
    FILE *draft;
    int rc = bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, err);
    if (rc < 0)
        return rc;
    rc = output->options->exporter->write(profile, draft, err);
    if (rc < 0) {
        bsk_draft_discard(draft, draft_path);
        return rc;
    }
    return sync ? bsk_publish(draft, draft_path, path, err)
                : bsk_publish_unsynced(draft, draft_path, path, err);
}

static int write_direct(const struct cli_output *output, const struct bsk_profile *profile,
                        struct bsk_error *err)
{
    FILE *file = fopen(output->path, "we");
    if (!file)
        return bsk_fail(err, BSK_E_IO, NULL, "cannot write %s: %s", output->path, strerror(errno));
    int rc = output->options->exporter->write(profile, file, err);
    if (fclose(file) != 0 && rc == BSK_OK)
        rc = bsk_fail(err, BSK_E_IO, "is the disk full?", "cannot write %s: %s", output->path,
                      strerror(errno));
    return rc;
}

int cli_output_early(struct cli_output *output, struct bsk_profile *profile, struct bsk_error *err)
{
    if (output->direct || bsk_profile_samples(profile) == 0)
        return BSK_OK;
    if (shows_time(output->options->exporter))
        bsk_profile_coarsen(profile, EARLY_RUNS);
    struct bsk_profile *other = reshaped(output, profile, NULL, NULL);
    if (!other)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    int rc = BSK_OK;
    if (bsk_profile_samples(other) > 0) {
        rc = write_file(output, other, output->path, false, err);
        output->has_early |= rc == BSK_OK;
    }
    release(other, profile);
    return rc;
}

/* "out.svg" has "out-1.svg" beside it. */
static bool stretch_path(const struct cli_output *output, unsigned number, char *out, size_t size)
{
    const char *path = output->path, *extension = output->options->exporter->extension;
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t bytes = strlen(path);
    if (bsk_ends_with(path, extension) && bytes > strlen(extension))
        bytes -= strlen(extension);
    else if (dot && dot > (slash ? slash + 1 : path))
        bytes = (size_t)(dot - path);
    int needed = snprintf(out, size, "%.*s-%u%s", (int)bytes, path, number, path + bytes);
    return needed > 0 && (size_t)needed < size;
}

int cli_output_stretch(struct cli_output *output, struct bsk_profile *profile,
                       const struct bsk_profile *since, unsigned number, struct bsk_error *err)
{
    char path[PATH_MAX];
    if (!stretch_path(output, number, path, sizeof(path)))
        return bsk_fail(err, BSK_E_LIMIT, NULL, "the path %.200s… is too long", output->path);
    struct bsk_profile *other = reshaped(output, profile, since, NULL);
    if (!other)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    int rc = bsk_profile_samples(other) > 0 ? write_file(output, other, path, false, err) : BSK_OK;
    release(other, profile);
    return rc;
}

static int no_samples(const struct cli_output *output, const struct bsk_profile *profile,
                      const struct bsk_reshape_loss *loss, struct bsk_error *err)
{
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(profile);
    double seconds = (double)meta->duration_ns / 1e9;
    unsigned long long failed = meta->errors + meta->torn;
    if (loss->samples)
        return bsk_fail(err, BSK_E_STATE, "ask for other paths",
                        "No samples: --only and --exclude leave out all %llu",
                        (unsigned long long)loss->samples);
    if (failed > 0)
        return bsk_fail(err, BSK_E_STATE, NULL, "No samples: none of %llu stacks could be read",
                        failed);
    if (output->options->gil)
        return bsk_fail(err, BSK_E_STATE, "without --gil all of its CPU time counts",
                        "No samples: it did not run with the GIL held in %.1f s", seconds);
    if (output->options->idle)
        return bsk_fail(err, BSK_E_STATE, "record for longer, or at a higher rate",
                        "No samples: it ended %.3f s after it could be read", seconds);
    return bsk_fail(err, BSK_E_STATE, "--idle shows where it waits",
                    "No samples: it used no CPU time that could be seen in %.1f s", seconds);
}

int cli_output_final(struct cli_output *output, struct bsk_profile *profile,
                     struct bsk_reshape_loss *out_loss, struct bsk_error *err)
{
    struct bsk_profile *other = reshaped(output, profile, NULL, out_loss);
    if (!other)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    int rc = bsk_profile_samples(other) == 0 ? no_samples(output, profile, out_loss, err)
             : output->direct                ? write_direct(output, other, err)
                                             : write_file(output, other, output->path, true, err);
    release(other, profile);
    return rc;
}
