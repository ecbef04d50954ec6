#include "engine/process/linux/core.h"
#include "engine/process/linux/held.h"
#include "engine/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAPS_MAX_BYTES = 64 << 20 }; /* 65,530 mappings (the kernel's default) with long paths */

ssize_t bsk_proc_text(const char *path, size_t max_bytes, char **out_text)
{
    size_t size = 0, capacity = 0;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (;;) {
        if (capacity - size < 4096) {
            capacity = capacity ? capacity * 2 : 16384;
            char *grown = realloc(text, capacity);
            if (!grown) {
                errno = ENOMEM;
                goto failed;
            }
            text = grown;
        }
        ssize_t got = read(fd, text + size, capacity - size - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            goto failed;
        if (got == 0)
            break;
        size += (size_t)got;
        if (size > max_bytes) {
            errno = EFBIG;
            goto failed;
        }
    }
    close(fd);
    text[size] = '\0';
    *out_text = text;
    return (ssize_t)size;
failed:;
    int saved = errno;
    close(fd);
    free(text);
    errno = saved;
    return -1;
}

/* "7f00-7f01 r-xp 00001000 fe:01 1234   /usr/bin/x (deleted)"; false: no such line. */
static bool parse_line(char *line, struct bsk_mapping *out)
{
    char flags[5] = "";
    int path_at = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*x:%*x %" SCNu64 " %n", &out->start,
               &out->end, flags, &out->offset, &out->inode, &path_at) < 5 ||
        path_at == 0)
        return false;
    out->readable = flags[0] == 'r';
    out->writable = flags[1] == 'w';
    out->executable = flags[2] == 'x';
    out->path = line + path_at;
    size_t length = strlen(out->path);
    static const char deleted[] = " (deleted)";
    if (length >= sizeof(deleted) - 1 &&
        strcmp(out->path + length - (sizeof(deleted) - 1), deleted) == 0)
        line[(size_t)path_at + length - (sizeof(deleted) - 1)] = '\0';
    return true;
}

int bsk_maps_read(struct bsk_process *process, struct bsk_maps *out_maps, struct bsk_error *err)
{
    char path[64];
    struct bsk_maps maps = { 0 };
    if (process->core)
        return bsk_core_maps(process->core, out_maps, err);
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)process->pid);
    ssize_t size = bsk_proc_text(path, MAPS_MAX_BYTES, &maps.text);
    if (size < 0) {
        if (errno == EACCES || errno == EPERM)
            return bsk_process_refused(process->pid, err);
        if (errno == ENOENT || errno == ESRCH)
            return bsk_process_not_found(process->pid, err);
        return bsk_fail(err, BSK_E_IO, NULL, "%s: %s", path, strerror(errno));
    }
    if (size == 0) { /* a zombie has no memory left */
        free(maps.text);
        return bsk_process_not_found(process->pid, err);
    }
    size_t lines = 0;
    for (ssize_t i = 0; i < size; i++)
        lines += maps.text[i] == '\n';
    maps.items = calloc(lines + 1, sizeof(maps.items[0]));
    if (!maps.items) {
        free(maps.text);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    char *rest = NULL;
    for (char *line = strtok_r(maps.text, "\n", &rest); line && maps.count < lines;
         line = strtok_r(NULL, "\n", &rest))
        if (parse_line(line, &maps.items[maps.count]))
            maps.count++;
    *out_maps = maps;
    return BSK_OK;
}

void bsk_maps_free(struct bsk_maps *maps)
{
    free(maps->items);
    free(maps->text);
    *maps = (struct bsk_maps){ 0 };
}
