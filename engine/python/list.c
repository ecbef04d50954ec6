#include "engine/python/internal.h"
#include "engine/python/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A Python by the looks of its mapped files; where maps may not be read, by the program's name. */
static bool looks_like_python(pid_t pid, struct bsk_process *process, const char *exe,
                              const char *command, struct bsk_python_listing *item)
{
    struct bsk_maps maps = { 0 };
    int major, minor;
    bool hit = bsk_name_is_python(exe) || bsk_name_is_pypy(exe);
    if (bsk_name_version(exe, &major, &minor))
        snprintf(item->version, sizeof(item->version), "%d.%d", major, minor);
    if (!hit && exe[0] == '\0') { /* another user's: only its command line is public */
        char first[256];
        snprintf(first, sizeof(first), "%.*s", (int)strcspn(command, " "), command);
        hit = bsk_name_is_python(first) || bsk_name_is_pypy(first);
        if (hit && bsk_name_version(first, &major, &minor))
            snprintf(item->version, sizeof(item->version), "%d.%d", major, minor);
    }
    (void)pid;
    if (hit || !process || bsk_maps_read(process, &maps, NULL) < 0)
        return hit;
    for (size_t i = 0; i < maps.count && !hit; i++)
        hit = maps.items[i].executable &&
              (bsk_name_is_libpython(maps.items[i].path) || bsk_name_is_pypy(maps.items[i].path));
    bsk_maps_free(&maps);
    return hit;
}

/* False: no Python, as far as can be seen. */
static bool describe(pid_t pid, struct bsk_python_listing *item)
{
    char exe[4096];
    struct bsk_error why = { 0 };
    struct bsk_process *process = NULL;
    struct bsk_found found = { .micro = -1 };
    *item = (struct bsk_python_listing){ .pid = pid };
    bsk_process_exe(pid, exe, sizeof(exe));
    bsk_process_command(pid, item->command, sizeof(item->command));
    if (item->command[0] == '\0')
        return false; /* a thread of the kernel, or a process that has ended */
    int rc = bsk_process_open(pid, &process, &why);
    bool hit = rc != BSK_E_GONE && looks_like_python(pid, process, exe, item->command, item);
    if (hit && rc == BSK_OK) {
        rc = bsk_find_python(process, &found, &why);
        if (rc == BSK_OK) {
            memcpy(item->version, found.version, sizeof(item->version));
            item->can_profile = found.minor <= BSK_NEWEST_MINOR;
            if (!item->can_profile)
                (void)bsk_layout_from_table(found.minor, &(struct bsk_layout){ 0 }, &why);
        } else if (rc == BSK_E_GONE) {
            hit = false;
        }
    }
    bsk_process_close(process);
    if (!item->can_profile)
        bsk_error_sentence(&why, item->reason, sizeof(item->reason));
    return hit;
}

int bsk_python_list(struct bsk_python_listing **out_items, size_t *out_count, struct bsk_error *err)
{
    pid_t *pids = NULL;
    size_t pid_count = 0, count = 0, capacity = 0;
    struct bsk_python_listing *items = NULL;
    int rc = bsk_process_all(&pids, &pid_count, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < pid_count; i++) {
        struct bsk_python_listing item;
        if (pids[i] == getpid() || !describe(pids[i], &item))
            continue;
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            struct bsk_python_listing *grown = realloc(items, capacity * sizeof(*grown));
            if (!grown) {
                free(items);
                free(pids);
                return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
            }
            items = grown;
        }
        items[count++] = item;
    }
    free(pids);
    *out_items = items;
    *out_count = count;
    return BSK_OK;
}

static int try_pid(pid_t pid, struct bsk_error *err)
{
    struct bsk_process *process = NULL;
    struct bsk_found found = { .micro = -1 };
    int rc = bsk_process_open(pid, &process, err);
    if (rc == BSK_OK)
        rc = bsk_find_python(process, &found, err);
    if (process && rc == BSK_E_GONE)
        rc = bsk_python_tell_gone(pid, err);
    bsk_process_close(process);
    return rc;
}

int bsk_python_find_below(pid_t pid, pid_t *out_pid, struct bsk_error *err)
{
    pid_t *below = NULL;
    size_t count = 0;
    struct bsk_error first = { 0 };
    int rc = try_pid(pid, &first);
    if (rc == BSK_OK) {
        *out_pid = pid;
        return BSK_OK;
    }
    if (rc != BSK_E_GONE && bsk_process_below(pid, &below, &count, NULL) == BSK_OK) {
        for (size_t i = 0; i < count; i++) {
            if (try_pid(below[i], NULL) == BSK_OK) {
                *out_pid = below[i];
                free(below);
                return BSK_OK;
            }
        }
        free(below);
    }
    if (err)
        *err = first; /* what the process itself is says more than what its children are not */
    return rc;
}
