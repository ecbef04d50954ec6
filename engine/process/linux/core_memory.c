/* The memory of a core file's process, its mappings, and the files that these are of. */
#include "engine/process/linux/core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAME_BYTES = 4096 }; /* of a file's beginning, where its build ID stands */

bool bsk_read_exactly(int fd, uint64_t offset, void *dst, size_t size)
{
    for (size_t done = 0; done < size;) {
        if (offset > INT64_MAX - size)
            return false;
        ssize_t got = pread(fd, (char *)dst + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* --- mapped files ---------------------------------------------------------------------------- */

static const struct bsk_core_segment *segment_at(const struct bsk_core *core, uint64_t address,
                                                 uint64_t *out_next)
{
    size_t low = 0, high = core->segment_count; /* the first one that begins behind it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (core->segments[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    *out_next = low < core->segment_count ? core->segments[low].start : UINT64_MAX;
    if (low == 0 || core->segments[low - 1].end <= address)
        return NULL;
    return &core->segments[low - 1];
}

static const struct bsk_core_mapping *mapping_at(const struct bsk_core *core, uint64_t address)
{
    size_t low = 0, high = core->mapping_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (core->mappings[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || core->mappings[low - 1].end <= address)
        return NULL;
    return &core->mappings[low - 1];
}

/* Whether a file is the one that was mapped: as long as it has to be, and with the beginning that
 * the core has kept of it (the kernel keeps that page of each ELF file for its build ID). An ELF
 * file of which nothing was kept cannot be told from a newer one. */
static bool is_same(const struct bsk_core *core, const struct bsk_core_file *file, uint64_t bytes,
                    int fd)
{
    char magic[SELFMAG] = "";
    bool told =
        !bsk_read_exactly(fd, 0, magic, sizeof(magic)) || memcmp(magic, ELFMAG, sizeof(magic)) != 0;
    for (size_t i = file->first; i < file->first + file->count; i++) {
        const struct bsk_core_mapping *mapping = &core->mappings[i];
        char kept[SAME_BYTES], now[SAME_BYTES];
        uint64_t next;
        const struct bsk_core_segment *segment = segment_at(core, mapping->start, &next);
        if (mapping->offset >= bytes)
            return false;
        if (mapping->offset != 0 || !segment || segment->start != mapping->start ||
            (segment->flags & PF_W))
            continue;
        size_t size = segment->bytes < SAME_BYTES ? (size_t)segment->bytes : SAME_BYTES;
        size = bytes < size ? (size_t)bytes : size;
        if (!bsk_read_exactly(core->fd, segment->offset, kept, size) ||
            !bsk_read_exactly(fd, 0, now, size) || memcmp(kept, now, size) != 0)
            return false;
        told = told || size > 0;
    }
    return told;
}

static void try_file(const struct bsk_core *core, struct bsk_core_file *file)
{
    static const char hint[] = "put it where it was, or name the folder that was / to the process "
                               "with --sysroot DIR";
    char path[4096 + 256];
    struct stat about = { 0 };
    file->tried = true;
    file->fd = -1;
    if (file->path[0] != '/') {
        bsk_fail(&file->missing, BSK_E_IO, NULL, "%.300s was no file", file->path);
        return;
    }
    bool fits = snprintf(path, sizeof(path), "%s%s", core->root, file->path) < (int)sizeof(path);
    /* No mapped file has such a path; and to open a device may do something. */
    bool odd =
        fits && (strstr(path, "/../") || (stat(path, &about) == 0 && !S_ISREG(about.st_mode)));
    if (!fits)
        errno = ENAMETOOLONG;
    else if (!odd)
        file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file->fd < 0 && !odd) {
        bsk_fail(&file->missing, BSK_E_IO, hint,
                 "cannot open %.300s, which the process of the core file had mapped: %s", path,
                 strerror(errno));
        return;
    }
    if (file->fd >= 0 && fstat(file->fd, &about) == 0 && S_ISREG(about.st_mode) &&
        about.st_size > 0 && is_same(core, file, (uint64_t)about.st_size, file->fd))
        return;
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    bsk_fail(&file->missing, BSK_E_IO, hint,
             "%.300s is not the file that the process of the core file had mapped", path);
}

static int file_of(struct bsk_core *core, const struct bsk_core_mapping *mapping)
{
    struct bsk_core_file *file = &core->files[mapping->file];
    if (!file->tried)
        try_file(core, file);
    return file->fd;
}

int bsk_core_mapped_file(struct bsk_core *core, uint64_t address, struct bsk_error *err)
{
    const struct bsk_core_mapping *mapping = mapping_at(core, address);
    if (!mapping) {
        bsk_fail(err, BSK_E_IO, NULL, "no file was mapped at 0x%" PRIx64, address);
        return -1;
    }
    int fd = file_of(core, mapping);
    if (fd < 0 && err)
        *err = core->files[mapping->file].missing;
    return fd;
}

/* --- memory ---------------------------------------------------------------------------------- */

/* As much of [address, address + size) as one source has; 0: none has it. */
static size_t read_some(struct bsk_core *core, uint64_t address, void *dst, size_t size)
{
    uint64_t next;
    const struct bsk_core_segment *segment = segment_at(core, address, &next);
    if (segment) {
        uint64_t at = address - segment->start;
        if (at < segment->bytes) {
            uint64_t room = segment->bytes - at;
            size = room < size ? (size_t)room : size;
            return bsk_read_exactly(core->fd, segment->offset + at, dst, size) ? size : 0;
        }
        if (at < segment->claimed) /* it was cut off: the mapped file may have something else */
            return 0;
        next = segment->end < next ? segment->end : next;
    }
    const struct bsk_core_mapping *mapping = mapping_at(core, address);
    if (!mapping)
        return 0;
    uint64_t room = (mapping->end < next ? mapping->end : next) - address;
    size = room < size ? (size_t)room : size;
    int fd = file_of(core, mapping);
    return fd >= 0 && bsk_read_exactly(fd, mapping->offset + (address - mapping->start), dst, size)
               ? size
               : 0;
}

bool bsk_core_read(struct bsk_core *core, uint64_t address, void *dst, size_t size)
{
    if (address > INT64_MAX - (uint64_t)BSK_READ_MAX_BYTES || size > BSK_READ_MAX_BYTES)
        return false;
    for (size_t done = 0; done < size;) {
        size_t got = read_some(core, address + done, (char *)dst + done, size - done);
        if (got == 0)
            return false;
        done += got;
    }
    return true;
}

/* --- what it tells --------------------------------------------------------------------------- */

const char *bsk_core_exe(const struct bsk_core *core)
{
    const struct bsk_core_mapping *mapping = mapping_at(core, core->phdrs_at);
    for (size_t i = 0; !mapping && i < core->mapping_count; i++)
        if (core->mappings[i].offset == 0) /* a program lies below its libraries, as a rule */
            mapping = &core->mappings[i];
    return mapping ? mapping->path : "";
}

static int by_address(const void *left, const void *right)
{
    const struct bsk_mapping *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

int bsk_core_maps(const struct bsk_core *core, struct bsk_maps *out_maps, struct bsk_error *err)
{
    struct bsk_maps maps = { .items = calloc(core->segment_count + core->mapping_count + 1,
                                             sizeof(maps.items[0])) };
    if (!maps.items)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < core->segment_count; i++) {
        const struct bsk_core_segment *segment = &core->segments[i];
        const struct bsk_core_mapping *mapping = mapping_at(core, segment->start);
        maps.items[maps.count++] = (struct bsk_mapping){
            .start = segment->start,
            .end = segment->end,
            .offset = mapping ? mapping->offset + (segment->start - mapping->start) : 0,
            .inode = mapping != NULL,
            .readable = (segment->flags & PF_R) != 0,
            .writable = (segment->flags & PF_W) != 0,
            .executable = (segment->flags & PF_X) != 0,
            .path = mapping ? mapping->path : "", /* the core's, which outlives the list */
        };
    }
    for (size_t i = 0; i < core->mapping_count; i++) { /* gcore leaves out what it need not keep */
        const struct bsk_core_mapping *mapping = &core->mappings[i];
        uint64_t next;
        if (segment_at(core, mapping->start, &next))
            continue;
        maps.items[maps.count++] = (struct bsk_mapping){ .start = mapping->start,
                                                         .end = mapping->end,
                                                         .offset = mapping->offset,
                                                         .inode = 1,
                                                         .readable = true,
                                                         .executable = true,
                                                         .path = mapping->path };
    }
    if (maps.count > 0)
        qsort(maps.items, maps.count, sizeof(maps.items[0]), by_address);
    *out_maps = maps;
    return BSK_OK;
}
