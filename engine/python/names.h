/* What the name of a mapped file says of the Python in it. Pure functions. */
#ifndef BSK_PYTHON_NAMES_H
#define BSK_PYTHON_NAMES_H

#include "engine/process/process.h"

#include <stdbool.h>
#include <sys/types.h>

bool bsk_name_is_libpython(const char *path); /* "/usr/lib/libpython3.11.so.1.0" */
bool bsk_name_is_pypy(const char *path);      /* "/opt/pypy/bin/libpypy3.9-c.so", ".../pypy3" */
bool bsk_name_is_python(const char *path);    /* "/usr/bin/python3.11", not "python3-config" */

/* 3 and 11 out of "libpython3.11.so.1.0" or "python3.11"; false where no version is in it. */
bool bsk_name_version(const char *path, int *out_major, int *out_minor);

/* "Not a Python process", with what it runs (find.c). */
int bsk_not_python(const struct bsk_process *process, struct bsk_error *err);

#endif
