/*
 * A bounded reader of 64-bit ELF files: sections and symbols, no more. Every number in the file is
 * a claim; sizes are held against ceilings and reads that fall short are failures.
 */
#include "engine/process/linux/core.h"
#include "engine/process/linux/held.h"
#include "engine/process/process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SECTIONS_MAX = 4096,
    SEGMENTS_MAX = 256,
    NAMES_MAX_BYTES = 256 << 20, /* string and symbol tables of a debug build of a big program */
};

struct bsk_image {
    int fd; /* -1: there is no file, but what a core's memory has of its beginning: */
    struct bsk_core *core;              /* this one's, */
    uint64_t head_at, head_bytes;       /* from here on */
    uint64_t dynamic_at, dynamic_bytes; /* in the target: what the dynamic linker goes by */
    struct bsk_error missing;           /* why there is no file */
    uint64_t bias; /* what to add to an address of the file to get the target's */
    uint64_t start, end;
    Elf64_Shdr *sections;
    size_t section_count;
    char *section_names;
    size_t section_names_bytes;
};

static bool image_bytes(const struct bsk_image *image, uint64_t offset, void *dst, size_t size)
{
    if (image->fd >= 0)
        return bsk_read_exactly(image->fd, offset, dst, size);
    return offset <= image->head_bytes && size <= image->head_bytes - offset &&
           bsk_core_read(image->core, image->head_at + offset, dst, size);
}

/* A freshly allocated copy of a part of the file, one zero byte after it; NULL when it is not
 * there, or larger than `max_bytes`. */
static void *part(const struct bsk_image *image, uint64_t offset, uint64_t size, size_t max_bytes)
{
    if (size == 0 || size > max_bytes)
        return NULL;
    char *copy = malloc((size_t)size + 1);
    if (copy && !image_bytes(image, offset, copy, (size_t)size)) {
        free(copy);
        return NULL;
    }
    if (copy)
        copy[size] = '\0';
    return copy;
}

static bool same_file(int fd, const struct bsk_mapping *mapping)
{
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_ino == mapping->inode;
}

/* map_files is exact but needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; exe is exact; the path is
 * looked up in the target's own root. Where inodes differ (an overlay shows others in maps) a file
 * found by path is taken as the last choice: what is read from it is proven against memory. */
static int open_file(const struct bsk_process *process, const struct bsk_mapping *mapping)
{
    char path[4200];
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)process->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && same_file(fd, mapping))
        return fd;
    if (fd >= 0)
        close(fd);
    snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)process->pid,
             mapping->start, mapping->end);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (mapping->path[0] != '/')
        return -1;
    snprintf(path, sizeof(path), "/proc/%d/root%s", (int)process->pid, mapping->path);
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

/* The file that a core's process had mapped; where that is gone the image is what memory has of the
 * file's beginning. */
static bool open_of_core(struct bsk_image *image, struct bsk_core *core,
                         const struct bsk_maps *maps, size_t index)
{
    const struct bsk_mapping *mapping = &maps->items[index];
    int fd = bsk_core_mapped_file(core, mapping->start, &image->missing);
    image->core = core;
    image->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1; /* the first one is the core's */
    if (fd >= 0 && image->fd < 0)
        bsk_fail(&image->missing, BSK_E_IO, NULL, "cannot open %.300s again: %s", mapping->path,
                 strerror(errno));
    for (size_t i = 0; image->fd < 0 && i < maps->count; i++) {
        if (maps->items[i].offset != 0 || strcmp(maps->items[i].path, mapping->path) != 0)
            continue;
        image->head_at = maps->items[i].start;
        image->head_bytes = maps->items[i].end - maps->items[i].start;
        return true;
    }
    return image->fd >= 0;
}

/* The bias follows from one mapping and the segment that its file offset belongs to. */
static bool find_place(struct bsk_image *image, const Elf64_Ehdr *header,
                       const struct bsk_maps *maps, size_t index)
{
    enum { PAGE = 4096 };
    bool found = false;
    const char *path = maps->items[index].path;
    if (header->e_phnum > SEGMENTS_MAX || header->e_phentsize != sizeof(Elf64_Phdr))
        return false;
    Elf64_Phdr *segments =
        part(image, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr),
             SEGMENTS_MAX * sizeof(Elf64_Phdr));
    if (!segments)
        return false;
    for (size_t m = 0; m < maps->count && !found; m++) {
        const struct bsk_mapping *mapping = &maps->items[m];
        if (mapping->inode != maps->items[index].inode || strcmp(mapping->path, path) != 0)
            continue;
        for (size_t i = 0; i < header->e_phnum && !found; i++) {
            const Elf64_Phdr *segment = &segments[i];
            uint64_t from = segment->p_offset & ~(uint64_t)(PAGE - 1);
            if (segment->p_type != PT_LOAD || from != mapping->offset)
                continue;
            image->bias = mapping->start - (segment->p_vaddr - (segment->p_offset - from));
            found = true;
        }
    }
    image->start = UINT64_MAX;
    for (size_t i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_DYNAMIC) {
            image->dynamic_at = segments[i].p_vaddr + image->bias;
            image->dynamic_bytes = segments[i].p_memsz;
        }
        if (segments[i].p_type != PT_LOAD)
            continue;
        uint64_t start = segments[i].p_vaddr + image->bias, end = start + segments[i].p_memsz;
        image->start = start < image->start ? start : image->start;
        image->end = end > image->end ? end : image->end;
    }
    free(segments);
    return found;
}

int bsk_image_open(struct bsk_process *process, const struct bsk_maps *maps, size_t index,
                   struct bsk_image **out_image, struct bsk_error *err)
{
    int rc = BSK_OK;
    Elf64_Ehdr header;
    const char *path = maps->items[index].path;
    struct bsk_image *image = calloc(1, sizeof(*image));
    if (!image)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    image->fd = -1;
    if (process->core && !open_of_core(image, process->core, maps, index)) {
        if (err)
            *err = image->missing;
        rc = image->missing.code;
        goto out;
    }
    if (!process->core)
        image->fd = open_file(process, &maps->items[index]);
    if (!process->core && image->fd < 0) {
        rc = bsk_fail(err, BSK_E_IO, NULL, "cannot open %.300s of process %d", path,
                      (int)process->pid);
        goto out;
    }
    if (!image_bytes(image, 0, &header, sizeof(header)) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || !find_place(image, &header, maps, index)) {
        rc = bsk_fail(err, BSK_E_FORMAT, NULL, "%.300s is no 64-bit ELF file", path);
        if (image->missing.code != BSK_OK && err)
            *err = image->missing;
        rc = image->missing.code != BSK_OK ? image->missing.code : rc;
        goto out;
    }
    /* Section headers are a luxury: a file without them has no names to find, and that is all. */
    if (header.e_shentsize == sizeof(Elf64_Shdr) && header.e_shnum <= SECTIONS_MAX)
        image->sections = part(image, header.e_shoff, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr),
                               SECTIONS_MAX * sizeof(Elf64_Shdr));
    if (image->sections && header.e_shstrndx < header.e_shnum) {
        const Elf64_Shdr *names = &image->sections[header.e_shstrndx];
        image->section_count = header.e_shnum;
        image->section_names = part(image, names->sh_offset, names->sh_size, 1 << 20);
        image->section_names_bytes = image->section_names ? (size_t)names->sh_size : 0;
    }
    *out_image = image;
    image = NULL;
out:
    bsk_image_close(image);
    return rc;
}

void bsk_image_close(struct bsk_image *image)
{
    if (!image)
        return;
    if (image->fd >= 0)
        close(image->fd);
    free(image->sections);
    free(image->section_names);
    free(image);
}

void bsk_image_range(const struct bsk_image *image, uint64_t *out_start, uint64_t *out_end)
{
    *out_start = image->start;
    *out_end = image->end;
}

size_t bsk_image_file_bytes(struct bsk_image *image, uint64_t offset, void *dst, size_t size)
{
    ssize_t got = image->fd >= 0 ? pread(image->fd, dst, size, (off_t)offset) : 0;
    return got > 0 ? (size_t)got : 0;
}

int bsk_image_has_file(const struct bsk_image *image, struct bsk_error *err)
{
    if (err && image->fd < 0)
        *err = image->missing;
    return image->fd < 0 ? image->missing.code : BSK_OK;
}

bool bsk_image_section(struct bsk_image *image, const char *name, uint64_t *out_address,
                       uint64_t *out_size)
{
    for (size_t i = 0; i < image->section_count; i++) {
        const Elf64_Shdr *section = &image->sections[i];
        if (section->sh_name >= image->section_names_bytes ||
            strcmp(image->section_names + section->sh_name, name) != 0 || section->sh_addr == 0)
            continue;
        *out_address = section->sh_addr + image->bias;
        *out_size = section->sh_size;
        return true;
    }
    return false;
}

static size_t search_symbols(const struct bsk_image *image, const Elf64_Sym *symbols, size_t total,
                             const char *names, uint64_t names_bytes, struct bsk_symbol *wanted,
                             size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < total; i++) {
        const Elf64_Sym *symbol = &symbols[i];
        if (symbol->st_name == 0 || symbol->st_name >= names_bytes || symbol->st_shndx == SHN_UNDEF)
            continue;
        const char *name = names + symbol->st_name;
        for (size_t w = 0; w < count; w++) {
            if (wanted[w].address != 0 || strcmp(name, wanted[w].name) != 0)
                continue;
            wanted[w].address = symbol->st_value + image->bias;
            wanted[w].size = symbol->st_size;
            found++;
        }
    }
    return found;
}

static size_t search_table(struct bsk_image *image, const Elf64_Shdr *table,
                           struct bsk_symbol *wanted, size_t count)
{
    size_t found = 0;
    if (table->sh_link >= image->section_count || table->sh_entsize != sizeof(Elf64_Sym))
        return 0;
    const Elf64_Shdr *strings = &image->sections[table->sh_link];
    Elf64_Sym *symbols = part(image, table->sh_offset, table->sh_size, NAMES_MAX_BYTES);
    char *names =
        symbols ? part(image, strings->sh_offset, strings->sh_size, NAMES_MAX_BYTES) : NULL;
    if (names)
        found = search_symbols(image, symbols, table->sh_size / sizeof(Elf64_Sym), names,
                               strings->sh_size, wanted, count);
    free(names);
    free(symbols);
    return found;
}

/* The dynamic symbols as they lie in a core's memory, where the file is gone: there when the core
 * was told to keep what is mapped from files. The table has no length; as every linker has it, the
 * names begin where it ends. */
static size_t search_memory(struct bsk_image *image, struct bsk_symbol *wanted, size_t count)
{
    enum { ENTRIES_MAX = 256, MEMORY_MAX_BYTES = BSK_READ_MAX_BYTES };
    Elf64_Dyn entries[ENTRIES_MAX];
    uint64_t table = 0, names_at = 0, names_bytes = 0;
    size_t found = 0, total = (size_t)(image->dynamic_bytes / sizeof(entries[0]));
    total = total < ENTRIES_MAX ? total : ENTRIES_MAX;
    if (total == 0 ||
        !bsk_core_read(image->core, image->dynamic_at, entries, total * sizeof(entries[0])))
        return 0;
    for (size_t i = 0; i < total && entries[i].d_tag != DT_NULL; i++) {
        uint64_t value = entries[i].d_un.d_val;
        if (entries[i].d_tag == DT_STRSZ)
            names_bytes = value;
        if (entries[i].d_tag != DT_SYMTAB && entries[i].d_tag != DT_STRTAB)
            continue;
        value += value < image->start ? image->bias : 0; /* glibc has relocated them, musl not */
        *(entries[i].d_tag == DT_SYMTAB ? &table : &names_at) = value;
    }
    if (table == 0 || names_at <= table || names_at - table > MEMORY_MAX_BYTES ||
        names_bytes == 0 || names_bytes > MEMORY_MAX_BYTES)
        return 0;
    total = (size_t)((names_at - table) / sizeof(Elf64_Sym));
    Elf64_Sym *symbols = malloc(total * sizeof(*symbols) + 1);
    char *names = malloc((size_t)names_bytes + 1);
    if (symbols && names && bsk_core_read(image->core, table, symbols, total * sizeof(*symbols)) &&
        bsk_core_read(image->core, names_at, names, (size_t)names_bytes)) {
        names[names_bytes] = '\0';
        found = search_symbols(image, symbols, total, names, names_bytes, wanted, count);
    }
    free(names);
    free(symbols);
    return found;
}

size_t bsk_image_symbols(struct bsk_image *image, struct bsk_symbol *wanted, size_t count)
{
    static const uint32_t order[] = { SHT_DYNSYM, SHT_SYMTAB };
    size_t found = 0;
    for (size_t w = 0; w < count; w++)
        wanted[w].address = wanted[w].size = 0;
    if (image->fd < 0)
        return search_memory(image, wanted, count);
    /* The full table is read only when the first one wanted, the one that matters, is missing. */
    for (size_t o = 0; o < 2 && (count > 0 && wanted[0].address == 0); o++)
        for (size_t i = 0; i < image->section_count; i++)
            if (image->sections[i].sh_type == order[o])
                found += search_table(image, &image->sections[i], wanted, count);
    return found;
}

int bsk_process_bits(pid_t pid, bool *out_same_processor)
{
    char path[64];
    Elf64_Ehdr header, own; /* both kinds of file have these fields at the same places */
    *out_same_processor = true;
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC),
        own_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && own_fd >= 0 && bsk_read_exactly(fd, 0, &header, sizeof(Elf32_Ehdr)) &&
              bsk_read_exactly(own_fd, 0, &own, sizeof(Elf32_Ehdr)) &&
              memcmp(header.e_ident, ELFMAG, SELFMAG) == 0;
    if (fd >= 0)
        close(fd);
    if (own_fd >= 0)
        close(own_fd);
    if (!ok)
        return 0;
    *out_same_processor = header.e_machine == own.e_machine;
    return header.e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32;
}
