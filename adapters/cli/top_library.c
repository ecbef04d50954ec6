/* Whose file is it: the user's, or a library's? By its path alone. */
#include "adapters/cli/top_rows.h"

#include "engine/base/strings.h"
#include "engine/profile/origin.h"

#include <stdio.h>
#include <string.h>

static void take_package(const char *rest, char out[TOP_PACKAGE_BYTES])
{
    size_t bytes = strcspn(rest, "/");
    if (bytes > 3 && memcmp(rest + bytes - 3, ".py", 3) == 0)
        bytes -= 3;
    char name[TOP_PACKAGE_BYTES];
    snprintf(name, sizeof(name), "%.*s", (int)(bytes < sizeof(name) ? bytes : sizeof(name) - 1),
             rest);
    bsk_utf8_copy(out, TOP_PACKAGE_BYTES, name);
}

bool top_library(const char *path, char out_package[TOP_PACKAGE_BYTES], bool *out_standard)
{
    static const char frozen[] = "<frozen ";
    if (bsk_starts_with(path, frozen)) { /* "<frozen importlib._bootstrap>" */
        const char *name = path + sizeof(frozen) - 1;
        snprintf(out_package, TOP_PACKAGE_BYTES, "%.*s", (int)strcspn(name, ".>"), name);
        *out_standard = true;
        return true;
    }
    const char *rest = bsk_behind_packages(path);
    *out_standard = !rest;
    if (!rest)
        rest = bsk_behind_library(path);
    if (!rest || !*rest)
        return false;
    take_package(rest, out_package);
    return true;
}

const char *top_short_path(const char *path, const char *folder, const char *cwd)
{
    const char *rest = bsk_behind_packages(path);
    if (!rest)
        rest = bsk_behind_library(path);
    if (rest && *rest)
        return rest;
    const char *const roots[] = { folder, cwd };
    for (size_t i = 0; i < 2; i++) {
        if (roots[i] && roots[i][0] == '/' && roots[i][1] && bsk_path_below(path, roots[i]) &&
            strlen(path) > strlen(roots[i]) + 1)
            return path + strlen(roots[i]) + 1;
    }
    return path;
}
