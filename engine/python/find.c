/* Whether there is a CPython in a process, where its _PyRuntime lies, and which version it is. */
#include "engine/python/internal.h"
#include "engine/python/names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IMAGES_MAX = 512,           /* files looked into before we say that there is no Python */
    BSS_MAX_BYTES = 64 << 20,   /* of one file's writable memory that is searched for a version */
    PYPY_MAX_BYTES = 256 << 20, /* of PyPy's library that is searched for its version */
};

static int runs_no_python(pid_t pid, const char *exe, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_FORMAT, "choose a process that runs CPython 3.8 or newer",
                    "Not a Python process: %d runs %.200s", (int)pid, exe[0] ? exe : "no program");
}

int bsk_not_python(const struct bsk_process *process, struct bsk_error *err)
{
    char exe[4096];
    bool same_processor;
    pid_t pid = bsk_process_pid(process);
    struct bsk_core_facts core;
    bsk_process_tell_exe(process, exe, sizeof(exe));
    if (bsk_process_core_facts(process, &core))
        return bsk_fail(err, BSK_E_FORMAT, "choose a core file of CPython 3.8 or newer",
                        "Not a Python process: %.200s is of %.200s", core.path,
                        exe[0] ? exe : "a program that it does not name");
    int bits = bsk_process_tell_bits(process, &same_processor);
    if (bits == 32 || !same_processor)
        return bsk_fail(err, BSK_E_UNSUPPORTED, "run it with a Python of this machine's own kind",
                        "Not a Python process that we can read: %d runs %.200s, a program %s",
                        (int)pid, exe, bits == 32 ? "of 32 bits" : "for another processor");
    return runs_no_python(pid, exe, err);
}

int bsk_python_tell_gone(pid_t pid, struct bsk_error *err)
{
    struct bsk_process_facts facts = { 0 };
    char exe[8];
    if (bsk_process_facts(pid, &facts, NULL) != BSK_OK || facts.state == 'Z' || facts.state == 'X')
        return BSK_E_GONE;
    bsk_process_exe(pid, exe, sizeof(exe));
    if (exe[0] == '\0')
        return runs_no_python(pid, exe, err);
    return bsk_fail(err, BSK_E_TORN, "try again in a moment",
                    "Process %d is becoming another program", (int)pid);
}

static int unsupported(struct bsk_error *err, const char *what, const char *version)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, "run the program with CPython 3.8 or newer",
                    "Not a Python process: %s%s%.40s found; CPython 3.8 and newer only", what,
                    version[0] ? " " : "", version);
}

/* A PyPy says its version in a text of its library: "... [PyPy 7.3.11 with GCC ...". */
static void find_pypy_version(struct bsk_image *image, char *out, size_t size)
{
    enum { BLOCK = 1 << 20, OVERLAP = 64 };
    static const char key[] = "[PyPy ";
    char *block = malloc(BLOCK + OVERLAP + 1);
    out[0] = '\0';
    for (uint64_t at = 0; block && at < PYPY_MAX_BYTES; at += BLOCK) {
        size_t got = bsk_image_file_bytes(image, at, block, BLOCK + OVERLAP);
        if (got == 0)
            break;
        block[got] = '\0';
        const char *hit = memmem(block, got, key, sizeof(key) - 1);
        if (!hit)
            continue;
        hit += sizeof(key) - 1;
        size_t length = strspn(hit, "0123456789.");
        snprintf(out, size, "%.*s", (int)(length < 20 ? length : 20), hit);
        break;
    }
    free(block);
}

/* "3.8.18 (default, ...": what Py_GetVersion() wrote into static memory when Python started. */
static bool version_in(const char *text, size_t size, struct bsk_found *found)
{
    for (size_t i = 0; i + 16 < size; i++) {
        int major, minor, micro, end = 0;
        char copy[40];
        if ((text[i] != '2' && text[i] != '3') || text[i + 1] != '.' ||
            (i > 0 && text[i - 1] != '\0') || !isdigit((unsigned char)text[i + 2]))
            continue;
        snprintf(copy, sizeof(copy), "%.*s", (int)(size - i < 39 ? size - i : 39), text + i);
        if (sscanf(copy, "%d.%d.%d%n", &major, &minor, &micro, &end) != 3 || minor > 99 ||
            micro > 99)
            continue;
        size_t tail = (size_t)end + strspn(copy + end, "+abrc0123456789");
        if (strncmp(copy + tail, " (", 2) != 0)
            continue;
        found->major = major;
        found->minor = minor;
        found->micro = micro;
        snprintf(found->version, sizeof(found->version), "%.*s", (int)(tail < 31 ? tail : 31),
                 copy);
        return true;
    }
    return false;
}

/* How much of `bytes` is searched: less, in the end nothing, where a core file claims more memory
 * than any Python has. */
static uint64_t room_to_search(struct bsk_found *found, uint64_t bytes)
{
    const uint64_t left = (UINT64_C(1) << 30) - found->searched_bytes;
    bytes = bytes < BSS_MAX_BYTES ? bytes : BSS_MAX_BYTES;
    bytes = bytes < left ? bytes : left;
    found->searched_bytes += bytes;
    return bytes;
}

/* Searches the writable memory that belongs to this file, .bss included. */
static bool find_version_text(struct bsk_process *process, const struct bsk_maps *maps,
                              const struct bsk_image *image, struct bsk_found *found)
{
    uint64_t start, end;
    bool hit = false;
    bsk_image_range(image, &start, &end);
    for (size_t i = 0; i < maps->count && !hit; i++) {
        const struct bsk_mapping *mapping = &maps->items[i];
        if (!mapping->writable || mapping->end <= start || mapping->start >= end)
            continue;
        uint64_t size = mapping->end - mapping->start;
        size = room_to_search(found, size);
        char *copy = size > 0 ? malloc((size_t)size) : NULL;
        for (uint64_t at = 0; copy && at < size; at += BSK_READ_MAX_BYTES) {
            uint64_t part = size - at < BSK_READ_MAX_BYTES ? size - at : BSK_READ_MAX_BYTES;
            if (bsk_process_read(process, mapping->start + at, copy + at, (size_t)part, NULL) < 0)
                size = at;
        }
        hit = copy && version_in(copy, (size_t)size, found);
        free(copy);
    }
    return hit;
}

static void set_version(struct bsk_found *found, uint32_t hex)
{
    static const char *const levels[16] = { [0xa] = "a", [0xb] = "b", [0xc] = "rc" };
    const char *level = levels[hex >> 4 & 15];
    found->major = (int)(hex >> 24 & 255);
    found->minor = (int)(hex >> 16 & 255);
    found->micro = (int)(hex >> 8 & 255);
    if (level)
        snprintf(found->version, sizeof(found->version), "%d.%d.%d%s%d", found->major, found->minor,
                 found->micro, level, (int)(hex & 15));
    else
        snprintf(found->version, sizeof(found->version), "%d.%d.%d", found->major, found->minor,
                 found->micro);
}

/* _PyRuntime of 3.13 and later begins with a mark, so that it is found without its name: for a core
 * whose mapped files are gone. 0: it is not there. */
static uint64_t find_cookie(struct bsk_process *process, const struct bsk_maps *maps,
                            const struct bsk_image *image, struct bsk_found *found)
{
    enum { BLOCK = 1 << 20 };
    uint64_t start, end, hit = 0;
    char *block = malloc(BLOCK);
    bsk_image_range(image, &start, &end);
    for (size_t i = 0; block && i < maps->count && hit == 0; i++) {
        const struct bsk_mapping *mapping = &maps->items[i];
        if (!mapping->writable || mapping->end <= start || mapping->start >= end)
            continue;
        uint64_t size = mapping->end - mapping->start;
        size = room_to_search(found, size);
        for (uint64_t at = 0; at < size && hit == 0; at += BLOCK) {
            size_t part = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
            if (bsk_process_read(process, mapping->start + at, block, part, NULL) < 0)
                break;
            for (size_t k = 0; k + 16 <= part && hit == 0; k += 8)
                if (memcmp(block + k, "xdebugpy", 8) == 0 && block[k + 11] == 3)
                    hit = mapping->start + at + k;
        }
    }
    free(block);
    return hit;
}

/* BSK_OK: this file is a CPython (found); BSK_E_FORMAT: it is not. `missing`: why it cannot be told
 * for want of the file. */
static int look_into(struct bsk_process *process, const struct bsk_maps *maps, size_t index,
                     struct bsk_found *found, struct bsk_error *missing, struct bsk_error *err)
{
    struct bsk_symbol symbols[] = { { .name = "_PyRuntime" },
                                    { .name = "Py_Version" },
                                    { .name = "Py_GetVersion" } };
    struct bsk_image *image = NULL;
    uint64_t size;
    uint32_t hex = 0;
    struct {
        char cookie[8];
        uint64_t version;
    } head = { 0 };
    if (bsk_image_open(process, maps, index, &image, missing) < 0)
        return BSK_E_FORMAT;
    bool has_file = bsk_image_has_file(image, missing) == BSK_OK;
    bool pypy = bsk_name_is_pypy(maps->items[index].path);
    if (pypy) { /* the version is in its library, which is larger than the program */
        char version[24];
        find_pypy_version(image, version, sizeof(version));
        bsk_image_close(image);
        for (size_t i = 0; i < maps->count && version[0] == '\0'; i++) {
            if (maps->items[i].inode == 0 || !bsk_name_is_pypy(maps->items[i].path) ||
                bsk_image_open(process, maps, i, &image, NULL) < 0)
                continue;
            find_pypy_version(image, version, sizeof(version));
            bsk_image_close(image);
        }
        return unsupported(err, "PyPy", version);
    }
    (void)bsk_image_symbols(image, symbols, sizeof(symbols) / sizeof(symbols[0]));
    found->runtime = symbols[0].address;
    if (found->runtime == 0 && !bsk_image_section(image, ".PyRuntime", &found->runtime, &size))
        found->runtime = has_file ? 0 : find_cookie(process, maps, image, found);
    if (found->runtime != 0 &&
        bsk_process_read(process, found->runtime, &head, sizeof(head), NULL) == BSK_OK &&
        memcmp(head.cookie, "xdebugpy", 8) == 0)
        set_version(found, (uint32_t)head.version);
    else if (symbols[1].address != 0 &&
             bsk_process_read(process, symbols[1].address, &hex, sizeof(hex), NULL) == BSK_OK &&
             hex >> 24 == 3)
        set_version(found, hex);
    else if ((found->runtime != 0 || symbols[2].address != 0) &&
             !find_version_text(process, maps, image, found))
        bsk_name_version(maps->items[index].path, &found->major, &found->minor);
    bsk_image_close(image);
    if (found->runtime == 0 && (symbols[2].address == 0 || found->major == 0))
        return BSK_E_FORMAT;
    if (found->major == 0)
        return bsk_fail(err, BSK_E_TORN, "try again in a moment", "Python is starting");
    if (found->version[0] == '\0')
        snprintf(found->version, sizeof(found->version), "%d.%d", found->major, found->minor);
    if (found->major != 3 || found->minor < BSK_OLDEST_MINOR)
        return unsupported(err, "CPython", found->version);
    return found->runtime != 0 ? BSK_OK : BSK_E_FORMAT;
}

/* Likely files first: 0 libpython, 1 the program, 2 anything else with code in it. */
static int rank(const struct bsk_mapping *mapping, const char *exe)
{
    if (mapping->inode == 0 || mapping->path[0] != '/')
        return -1;
    if (bsk_name_is_libpython(mapping->path) || bsk_name_is_pypy(mapping->path))
        return 0;
    if (strcmp(mapping->path, exe) == 0)
        return 1;
    return mapping->executable ? 2 : -1;
}

/* After an exec, before the dynamic linker has brought the library: few mappings, and not asleep.
 */
static bool is_starting(const struct bsk_process *process, const char *exe, size_t mappings)
{
    enum { FEW_MAPPINGS = 20 };
    struct bsk_process_facts facts = { 0 };
    return bsk_name_is_python(exe) && mappings < FEW_MAPPINGS &&
           bsk_process_tell_facts(process, &facts, NULL) == BSK_OK &&
           (facts.state == 'R' || facts.state == 'D');
}

int bsk_find_python(struct bsk_process *process, struct bsk_found *out_found, struct bsk_error *err)
{
    struct bsk_maps maps = { 0 };
    struct bsk_error missing = { 0 };
    char exe[4096];
    int rc = bsk_maps_read(process, &maps, err);
    bsk_process_tell_exe(process, exe, sizeof(exe));
    if (rc < 0)
        return rc;
    rc = BSK_E_FORMAT;
    size_t looked = 0;
    uint64_t searched_bytes = 0;
    for (int wanted = 0; wanted <= 2 && rc == BSK_E_FORMAT; wanted++) {
        const char *before = "";
        for (size_t i = 0; i < maps.count && rc == BSK_E_FORMAT && looked < IMAGES_MAX; i++) {
            if (rank(&maps.items[i], exe) != wanted || strcmp(maps.items[i].path, before) == 0)
                continue;
            struct bsk_found found = { .micro = -1, .searched_bytes = searched_bytes };
            before = maps.items[i].path;
            looked++;
            bool counts = wanted < 2 && missing.code != BSK_E_IO; /* the first of the likely ones */
            rc = look_into(process, &maps, i, &found, counts ? &missing : NULL, err);
            found.missing = missing;
            searched_bytes = found.searched_bytes;
            if (rc == BSK_OK)
                *out_found = found;
        }
    }
    bool starts = rc == BSK_E_FORMAT && is_starting(process, exe, maps.count);
    bsk_maps_free(&maps);
    if (starts)
        return bsk_fail(err, BSK_E_TORN, "try again in a moment", "Python is starting");
    if (rc == BSK_E_FORMAT && missing.code == BSK_E_IO && bsk_process_core_facts(process, NULL)) {
        if (err)
            *err = missing;
        return missing.code;
    }
    return rc == BSK_E_FORMAT ? bsk_not_python(process, err) : rc;
}
