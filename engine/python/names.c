#include "engine/python/names.h"

#include "engine/base/strings.h"

#include <stdio.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool bsk_name_is_libpython(const char *path)
{
    const char *name = base_name(path);
    return bsk_starts_with(name, "libpython") && strstr(name, ".so") != NULL;
}

bool bsk_name_is_pypy(const char *path)
{
    const char *name = base_name(path);
    return bsk_starts_with(name, "libpypy") ||
           (bsk_starts_with(name, "pypy") && name[4 + strspn(name + 4, "0123456789.")] == '\0');
}

bool bsk_name_is_python(const char *path)
{
    const char *name = base_name(path);
    if (!bsk_starts_with(name, "python"))
        return false;
    name += 6 + strspn(name + 6, "0123456789.");
    while (*name == 't' || *name == 'd' || *name == 'm') /* free-threaded, debug, 3.7's malloc */
        name++;
    return *name == '\0';
}

bool bsk_name_version(const char *path, int *out_major, int *out_minor)
{
    const char *at = strstr(base_name(path), "python");
    int major, minor;
    if (!at || sscanf(at, "python%d.%d", &major, &minor) != 2 || minor < 0 || minor > 99)
        return false;
    *out_major = major;
    *out_minor = minor;
    return true;
}
