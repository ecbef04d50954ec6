/* Whose file is it: the user's, or a library's? By its path alone. */
#include "adapters/cli/top_rows.h"

#include "engine/base/strings.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* What follows "/lib/python3.N/", "/lib64/python3.Nt/" or "/lib/python3/", or NULL. */
static const char *behind_library(const char *path)
{
    for (const char *at = strstr(path, "/python3"); at; at = strstr(at + 1, "/python3")) {
        const char *end = at + strlen("/python3");
        if (*end == '.')
            for (end++; isdigit((unsigned char)*end);)
                end++;
        end += *end == 't'; /* free-threaded */
        bool in_lib = (at - path >= 4 && memcmp(at - 4, "/lib", 4) == 0) ||
                      (at - path >= 6 && memcmp(at - 6, "/lib64", 6) == 0);
        if (in_lib && *end == '/')
            return end + 1;
    }
    return NULL;
}

static const char *behind_packages(const char *path)
{
    static const char *const folders[] = { "/site-packages/", "/dist-packages/" };
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        const char *at = strstr(path, folders[i]);
        if (at)
            return at + strlen(folders[i]);
    }
    return NULL;
}

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
    const char *rest = behind_packages(path);
    *out_standard = !rest;
    if (!rest)
        rest = behind_library(path);
    if (!rest || !*rest)
        return false;
    take_package(rest, out_package);
    return true;
}

const char *top_short_path(const char *path, const char *folder, const char *cwd)
{
    const char *rest = behind_packages(path);
    if (!rest)
        rest = behind_library(path);
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
