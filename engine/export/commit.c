#include "engine/export/about.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The first line of a small file without its end; false when there is none. */
static bool first_line(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool done = fgets(out, (int)size, file) != NULL;
    fclose(file);
    if (done)
        out[strcspn(out, "\r\n")] = '\0';
    return done;
}

static bool take_commit(const char *text, char out[BSK_COMMIT_BYTES])
{
    size_t bytes = strlen(text);
    if ((bytes != 40 && bytes != 64) || strspn(text, "0123456789abcdef") != bytes)
        return false;
    memcpy(out, text, bytes + 1);
    return true;
}

static bool packed_commit(const char *folder, const char *ref, char out[BSK_COMMIT_BYTES])
{
    char path[PATH_MAX], line[PATH_MAX + 80];
    if (snprintf(path, sizeof(path), "%s/packed-refs", folder) >= (int)sizeof(path))
        return false;
    FILE *file = fopen(path, "re");
    bool found = false;
    while (file && !found && fgets(line, sizeof(line), file)) {
        char *space = strchr(line, ' ');
        line[strcspn(line, "\r\n")] = '\0';
        if (!space || strcmp(space + 1, ref) != 0)
            continue;
        *space = '\0';
        found = take_commit(line, out);
    }
    if (file)
        fclose(file);
    return found;
}

/* What `folder`, a .git, has checked out. In a worktree the refs lie in the folder that it names.
 */
static bool head_commit(const char *folder, char out[BSK_COMMIT_BYTES])
{
    char path[PATH_MAX + 16], line[PATH_MAX], common[PATH_MAX * 2];
    snprintf(path, sizeof(path), "%s/HEAD", folder);
    if (!first_line(path, line, sizeof(line)))
        return false;
    if (strncmp(line, "ref: ", 5) != 0)
        return take_commit(line, out);
    const char *ref = line + 5;
    char value[PATH_MAX];
    snprintf(path, sizeof(path), "%s/commondir", folder);
    if (!first_line(path, value, sizeof(value)))
        snprintf(common, sizeof(common), "%s", folder);
    else if (value[0] == '/')
        snprintf(common, sizeof(common), "%s", value);
    else
        snprintf(common, sizeof(common), "%s/%s", folder, value);
    char file[PATH_MAX * 3];
    snprintf(file, sizeof(file), "%s/%s", common, ref);
    return (first_line(file, value, sizeof(value)) && take_commit(value, out)) ||
           packed_commit(common, ref, out);
}

void bsk_git_commit(const char *path, char out[BSK_COMMIT_BYTES])
{
    char at[PATH_MAX], git[PATH_MAX + 8], line[PATH_MAX];
    out[0] = '\0';
    if (path[0] != '/' || snprintf(at, sizeof(at), "%s", path) >= (int)sizeof(at))
        return;
    for (char *slash = strrchr(at, '/'); slash; slash = strrchr(at, '/')) {
        struct stat status;
        *slash = '\0';
        snprintf(git, sizeof(git), "%s/.git", at);
        if (stat(git, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode)) {
            head_commit(git, out);
            return;
        }
        /* a worktree or a submodule: a file that names the folder */
        if (!first_line(git, line, sizeof(line)) || strncmp(line, "gitdir: ", 8) != 0)
            return;
        if (line[8] == '/')
            snprintf(git, sizeof(git), "%s", line + 8);
        else if (snprintf(git, sizeof(git), "%s/%s", at, line + 8) >= (int)sizeof(git))
            return;
        head_commit(git, out);
        return;
    }
}
