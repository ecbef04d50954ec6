/*
 * Whose code a path is: the user's, the standard library's or a package's. By the path alone.
 */
#ifndef BSK_PROFILE_ORIGIN_H
#define BSK_PROFILE_ORIGIN_H

#include <stdbool.h>

enum bsk_code_origin {
    BSK_ORIGIN_USER,
    BSK_ORIGIN_LIBRARY, /* the standard library */
    BSK_ORIGIN_PACKAGE, /* below site-packages or dist-packages */
    BSK_ORIGIN_SPECIAL, /* "(debugger)" and the like: no path */
};

/* Relative paths, as py-spy shortens them, are the user's unless their name says otherwise. */
enum bsk_code_origin bsk_code_origin(const char *path);

/* What follows the last "/site-packages/" or "/dist-packages/", or NULL. */
const char *bsk_behind_packages(const char *path);
/* What follows "/lib/python3.N/" (lib64, python3, 3.Nt) or "/python3N.zip/", or NULL. */
const char *bsk_behind_library(const char *path);

/* Whether a relative path is one of the standard library's: "json/decoder.py", "abc.py". */
bool bsk_is_library_file(const char *path);

#endif
