#include "engine/export/names.h"

#include "engine/base/strings.h"
#include "engine/profile/origin.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum bsk_code_kind bsk_code_kind(const struct bsk_function *function)
{
    static const char *const native[] = { ".c",  ".cc", ".cpp", ".cxx",   ".h",
                                          ".rs", ".so", ".pyx", ".dylib", ".pxd" };
    const char *path = function->path;
    if (function->kind == BSK_FUNCTION_SPECIAL)
        return BSK_CODE_SPECIAL;
    for (size_t i = 0; i < sizeof(native) / sizeof(native[0]); i++) {
        if (bsk_ends_with(path, native[i]))
            return BSK_CODE_NATIVE;
    }
    if (strstr(path, ".so."))
        return BSK_CODE_NATIVE;
    switch (bsk_code_origin(path)) {
    case BSK_ORIGIN_PACKAGE:
        return BSK_CODE_PACKAGE;
    case BSK_ORIGIN_LIBRARY:
        return BSK_CODE_LIBRARY;
    default:
        return BSK_CODE_USER;
    }
}

bool bsk_names_init(struct bsk_names *names, const struct bsk_profile *profile)
{
    const char *first = NULL;
    size_t bytes = 0;
    *names = (struct bsk_names){ .whole = bsk_profile_meta_const(profile)->full_filenames };
    for (uint32_t i = 0; i < bsk_profile_function_count(profile) && !names->whole; i++) {
        struct bsk_function function = bsk_profile_function_at(profile, i);
        if (function.path[0] != '/' || bsk_code_kind(&function) != BSK_CODE_USER)
            continue;
        const char *slash = strrchr(function.path, '/');
        size_t folder = (size_t)(slash - function.path) + 1;
        if (!first) {
            first = function.path;
            bytes = folder;
        }
        size_t same = 0;
        while (same < bytes && same < folder && function.path[same] == first[same])
            same++;
        while (same > 0 && first[same - 1] != '/')
            same--;
        bytes = same;
    }
    if (bytes <= 1) /* "/" is no folder that says anything */
        return true;
    names->root = strndup(first, bytes);
    names->root_bytes = bytes;
    return names->root != NULL;
}

void bsk_names_free(struct bsk_names *names)
{
    free(names->root);
    *names = (struct bsk_names){ 0 };
}

const char *bsk_names_short(const struct bsk_names *names, const char *path)
{
    if (names->whole || path[0] != '/')
        return path;
    const char *end = bsk_behind_packages(path);
    if (!end)
        end = bsk_behind_library(path);
    if (!end && names->root && strncmp(path, names->root, names->root_bytes) == 0)
        end = path + names->root_bytes;
    return end && *end ? end : path;
}

/* Invisible, or makes what follows look like something else: bidirectional marks, line and
 * paragraph separators, the C1 controls, and the two characters that XML does not allow. */
static bool is_unwanted(const unsigned char *c, size_t length)
{
    if (length == 2)
        return c[0] == 0xc2 && c[1] < 0xa0;
    if (length != 3)
        return false;
    uint32_t point = (c[0] & 0x0fU) << 12 | (c[1] & 0x3fU) << 6 | (c[2] & 0x3fU);
    return (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) ||
           point >= 0xfffe;
}

void bsk_append_plain(struct bsk_buffer *out, const char *text)
{
    size_t left = strlen(text), plain = 0;
    while (plain < left) {
        const unsigned char *c = (const unsigned char *)text + plain;
        size_t length = *c < 0x80 ? 1 : bsk_utf8_length(text + plain, left - plain);
        if (length > 0 && (length > 1 ? !is_unwanted(c, length) : *c >= 0x20 && *c != 0x7f)) {
            plain += length;
            continue;
        }
        bsk_buffer_append(out, text, plain);
        if (length == 1) {
            const char picture[3] = { '\xe2', '\x90', (char)(*c == 0x7f ? 0xa1 : 0x80 + *c) };
            bsk_buffer_append(out, picture, 3);
        } else {
            bsk_buffer_append(out, "\xef\xbf\xbd", 3);
        }
        plain += length ? length : 1;
        text += plain;
        left -= plain;
        plain = 0;
    }
    bsk_buffer_append(out, text, plain);
}

void bsk_append_frame(struct bsk_buffer *out, const struct bsk_names *names,
                      const struct bsk_function *function, uint32_t line)
{
    bsk_append_plain(out, function->name);
    if (!function->path[0])
        return;
    bsk_buffer_append(out, " (", 2);
    bsk_append_plain(out, bsk_names_short(names, function->path));
    if (line > 0)
        bsk_buffer_printf(out, ":%u", line);
    bsk_buffer_append(out, ")", 1);
}

const char *bsk_clock_name(enum bsk_clock clock)
{
    return clock == BSK_CLOCK_WALL ? "wall" : clock == BSK_CLOCK_GIL ? "GIL" : "CPU";
}

const char *bsk_clock_word(enum bsk_clock clock)
{
    return clock == BSK_CLOCK_WALL ? "wall" : clock == BSK_CLOCK_GIL ? "gil" : "cpu";
}

void bsk_jit_phrase(const struct bsk_profile_meta *meta, char *out, size_t size)
{
    out[0] = '\0';
    if (meta->jit_functions > 0)
        snprintf(
            out, size,
            "%llu function%s compiled by Python's JIT: a line of %s may stand for one that ran "
            "shortly after it",
            (unsigned long long)meta->jit_functions, meta->jit_functions == 1 ? "" : "s",
            meta->jit_functions == 1 ? "it" : "them");
}

const char *bsk_method_word(enum bsk_method method)
{
    return method == BSK_METHOD_TICK ? "tick" : method == BSK_METHOD_STOP ? "stop" : "read";
}

const char *bsk_method_phrase(enum bsk_method method)
{
    switch (method) {
    case BSK_METHOD_TICK:
        return "read at each thread's clock tick (eBPF)";
    case BSK_METHOD_STOP:
        return "threads stopped for each sample";
    case BSK_METHOD_READ:
        break;
    }
    return "read from outside, nothing stopped";
}
