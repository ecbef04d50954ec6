#include "engine/profile/origin.h"

#include "engine/base/strings.h"

#include <string.h>

const char *bsk_behind_packages(const char *path)
{
    static const char *const folders[] = { "/site-packages/", "/dist-packages/" };
    const char *found = NULL;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        for (const char *at = path; (at = strstr(at, folders[i])) != NULL;) {
            at += strlen(folders[i]);
            found = !found || at > found ? at : found;
        }
    }
    return found;
}

const char *bsk_behind_library(const char *path)
{
    for (const char *at = path; (at = strstr(at, "/python3")) != NULL;) {
        const char *end = at + strlen("/python3");
        bool in_lib = (at - path >= 4 && memcmp(at - 4, "/lib", 4) == 0) ||
                      (at - path >= 6 && memcmp(at - 6, "/lib64", 6) == 0);
        const char *digits_end = end + strspn(end, "0123456789");
        if (bsk_starts_with(digits_end, ".zip/"))
            return digits_end + strlen(".zip/");
        if (*end == '.')
            end += 1 + strspn(end + 1, "0123456789");
        end += *end == 't'; /* free-threaded */
        if (*end == '/' && in_lib)
            return end + 1;
        at = end;
    }
    return NULL;
}

enum bsk_code_origin bsk_code_origin(const char *path)
{
    if (!path[0])
        return BSK_ORIGIN_SPECIAL;
    if (bsk_behind_packages(path) || bsk_starts_with(path, "site-packages/") ||
        bsk_starts_with(path, "dist-packages/"))
        return BSK_ORIGIN_PACKAGE;
    if (bsk_starts_with(path, "<frozen ") || bsk_behind_library(path) ||
        (path[0] != '/' && bsk_is_library_file(path)))
        return BSK_ORIGIN_LIBRARY;
    return BSK_ORIGIN_USER;
}
