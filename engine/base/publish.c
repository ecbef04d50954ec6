#include "engine/base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int bsk_draft_open(const char *path, char *draft_path, size_t draft_path_bytes, FILE **out_draft,
                   struct bsk_error *err)
{
    const char *slash = strrchr(path, '/');
    int folder_bytes = slash ? (int)(slash - path) + 1 : 0;
    int needed = snprintf(draft_path, draft_path_bytes, "%.*s.%s.%d.draft", folder_bytes, path,
                          path + folder_bytes, (int)getpid());
    if (needed < 0 || (size_t)needed >= draft_path_bytes)
        return bsk_fail(err, BSK_E_LIMIT, "choose a shorter output directory",
                        "the path %.200s… is too long", path);
    int fd = open(draft_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *draft = fd < 0 ? NULL : fdopen(fd, "w");
    if (!draft) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        return bsk_fail(err, BSK_E_IO, "choose another one, or make it writable",
                        "Output directory not writable: %.*s (%s)", folder_bytes ? folder_bytes : 1,
                        folder_bytes ? path : ".", strerror(reason));
    }
    *out_draft = draft;
    return BSK_OK;
}

static int publish(FILE *draft, const char *draft_path, const char *path, bool sync,
                   struct bsk_error *err)
{
    int rc = BSK_OK;
    if (fflush(draft) != 0 || ferror(draft) || (sync && fsync(fileno(draft)) != 0)) {
        rc = bsk_fail(err, BSK_E_IO, "is the disk full?", "cannot write %s: %s", path,
                      strerror(errno));
        goto out;
    }
    if (rename(draft_path, path) != 0)
        rc = bsk_fail(err, BSK_E_IO, NULL, "cannot write %s: %s", path, strerror(errno));
out:
    fclose(draft);
    if (rc < 0)
        unlink(draft_path);
    return rc;
}

int bsk_publish(FILE *draft, const char *draft_path, const char *path, struct bsk_error *err)
{
    return publish(draft, draft_path, path, true, err);
}

int bsk_publish_unsynced(FILE *draft, const char *draft_path, const char *path,
                         struct bsk_error *err)
{
    return publish(draft, draft_path, path, false, err);
}

void bsk_draft_discard(FILE *draft, const char *draft_path)
{
    fclose(draft);
    unlink(draft_path);
}

int bsk_make_folder(const char *path, struct bsk_error *err)
{
    char part[PATH_MAX];
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof(part))
        return bsk_fail(err, BSK_E_LIMIT, "choose a shorter output directory",
                        "a path of %zu bytes is no folder name", bytes);
    memcpy(part, path, bytes + 1);
    for (char *at = part + 1;; at++) {
        char was = *at;
        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return bsk_fail(err, BSK_E_IO, "choose another one, or make it writable",
                            "Output directory not writable: %s (%s)", path, strerror(errno));
        *at = was;
        if (was == '\0')
            break;
    }
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
        return bsk_fail(err, BSK_E_IO, "choose another one, or remove the file of that name",
                        "Output directory not writable: %s is not a folder", path);
    return BSK_OK;
}
