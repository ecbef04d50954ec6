#include "engine/process/linux/core.h"

#include "engine/process/linux/held.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SEGMENTS_MAX = 1 << 21, /* twice the mappings that any distribution allows */
    NOTES_MAX = 1 << 20,    /* a thread has some ten */
};

static int by_start(const void *left, const void *right)
{
    const struct bsk_core_segment *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static void take_segment(struct bsk_core *core, const Elf64_Phdr *header)
{
    uint64_t claimed = header->p_filesz < header->p_memsz ? header->p_filesz : header->p_memsz;
    if (header->p_memsz == 0 || header->p_vaddr > INT64_MAX ||
        header->p_memsz > INT64_MAX - header->p_vaddr)
        return; /* the kernel's half (vsyscall), or garbage */
    uint64_t there = header->p_offset < core->bytes ? core->bytes - header->p_offset : 0;
    core->segments[core->segment_count++] =
        (struct bsk_core_segment){ .start = header->p_vaddr,
                                   .end = header->p_vaddr + header->p_memsz,
                                   .offset = header->p_offset,
                                   .bytes = claimed < there ? claimed : there,
                                   .claimed = claimed,
                                   .flags = header->p_flags };
}

static int read_segments(struct bsk_core *core, const Elf64_Ehdr *header, struct bsk_error *err)
{
    int rc = BSK_OK;
    uint64_t count = header->e_phnum;
    size_t notes_left = NOTES_MAX;
    Elf64_Shdr first;
    if (count == PN_XNUM) { /* too many for the field: the first section has the number */
        count = 0;
        if (header->e_shentsize == sizeof(first) &&
            bsk_read_exactly(core->fd, header->e_shoff, &first, sizeof(first)))
            count = first.sh_info;
    }
    uint64_t there =
        header->e_phoff < core->bytes ? (core->bytes - header->e_phoff) / sizeof(Elf64_Phdr) : 0;
    if (header->e_phentsize != sizeof(Elf64_Phdr) || count == 0 || there == 0 ||
        count > SEGMENTS_MAX)
        return BSK_OK; /* then no thread is found either, which is what is said */
    core->claimed_bytes = header->e_phoff + count * sizeof(Elf64_Phdr);
    count = count < there ? count : there;
    Elf64_Phdr *headers = malloc((size_t)count * sizeof(*headers));
    core->segments = calloc((size_t)count, sizeof(core->segments[0]));
    if (!headers || !core->segments) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    } else if (bsk_read_exactly(core->fd, header->e_phoff, headers,
                                (size_t)count * sizeof(*headers))) {
        for (uint64_t i = 0; i < count; i++) {
            const Elf64_Phdr *one = &headers[i];
            if (one->p_filesz <= INT64_MAX && one->p_offset <= INT64_MAX &&
                one->p_offset + one->p_filesz > core->claimed_bytes)
                core->claimed_bytes = one->p_offset + one->p_filesz;
            if (one->p_type == PT_LOAD)
                take_segment(core, one);
        }
        if (core->segment_count > 0)
            qsort(core->segments, core->segment_count, sizeof(core->segments[0]), by_start);
        for (uint64_t i = 0; i < count && rc == BSK_OK; i++) {
            const Elf64_Phdr *one = &headers[i];
            if (one->p_type != PT_NOTE || one->p_offset >= core->bytes)
                continue;
            uint64_t room = core->bytes - one->p_offset;
            rc = bsk_core_read_notes(core, one->p_offset,
                                     one->p_filesz < room ? one->p_filesz : room, &notes_left, err);
        }
    }
    free(headers);
    return rc;
}

static const char take_again[] =
    "take it again with `ulimit -c unlimited` and enough room on the disk, or with `gcore PID`";

static int no_core(const char *path, const char *what, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_FORMAT,
                    "name the file that the kernel wrote when the program ended (`cat "
                    "/proc/sys/kernel/core_pattern` tells where) or that `gcore PID` wrote",
                    "%.300s is no core file: %s", path, what);
}

static int check_header(const char *path, const unsigned char *bytes, size_t size,
                        const Elf64_Ehdr *header, struct bsk_error *err)
{
    static const struct {
        const char *magic;
        size_t length;
        const char *program;
    } packed[] = {
        { "\x28\xb5\x2f\xfd", 4, "zstd -d" },
        { "\x04\x22\x4d\x18", 4, "lz4 -d" },
        { "\xfd\x37zXZ", 6, "xz -d" },
        { "\x1f\x8b", 2, "gzip -d" },
    };
    for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
        char hint[128];
        if (size < packed[i].length || memcmp(bytes, packed[i].magic, packed[i].length) != 0)
            continue;
        snprintf(hint, sizeof(hint), "unpack it first with `%s` (or `coredumpctl dump -o FILE`)",
                 packed[i].program);
        return bsk_fail(err, BSK_E_FORMAT, hint, "%.300s is compressed", path);
    }
    if (size == 0)
        return bsk_fail(err, BSK_E_FORMAT, take_again, "%.300s is empty", path);
    if (size < EI_NIDENT || memcmp(bytes, ELFMAG, SELFMAG) != 0)
        return no_core(path, "it has no ELF header", err);
    if (header->e_ident[EI_CLASS] == ELFCLASS32)
        return bsk_fail(err, BSK_E_UNSUPPORTED, "run the program with a Python of 64 bits",
                        "%.300s is of a program of 32 bits, which we cannot read", path);
    if (size < sizeof(*header) || header->e_ident[EI_CLASS] != ELFCLASS64)
        return no_core(path, "its header is broken", err);
    Elf64_Ehdr own;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0 && bsk_read_exactly(fd, 0, &own, sizeof(own));
    if (fd >= 0)
        close(fd);
    if (header->e_ident[EI_DATA] != ELFDATA2LSB || (known && header->e_machine != own.e_machine))
        return bsk_fail(err, BSK_E_UNSUPPORTED, "look at it on a machine of its own kind",
                        "%.300s is of a program for another processor", path);
    if (header->e_type != ET_CORE)
        return no_core(path, "it is a program or a library", err);
    return BSK_OK;
}

int bsk_core_open(const char *path, const char *root, struct bsk_core **out_core,
                  struct bsk_error *err)
{
    union {
        Elf64_Ehdr header;
        unsigned char bytes[sizeof(Elf64_Ehdr)];
    } head = { .bytes = { 0 } };
    struct stat about = { 0 };
    struct bsk_core *core = calloc(1, sizeof(*core));
    if (!core)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    int rc = BSK_OK;
    core->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (core->fd < 0) {
        rc = bsk_fail(err, errno == EACCES ? BSK_E_PERMISSION : BSK_E_IO,
                      errno == EACCES ? "run Basilisk as the user it belongs to, or with sudo"
                                      : "name a core file",
                      "cannot open %.300s: %s", path, strerror(errno));
        goto out;
    }
    core->path = strdup(path);
    core->root = strdup(root ? root : "");
    if (!core->path || !core->root) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        goto out;
    }
    if (fstat(core->fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size < 0) {
        rc = no_core(path, "it is no regular file", err);
        goto out;
    }
    core->bytes = (uint64_t)about.st_size;
    size_t size = core->bytes < sizeof(head) ? (size_t)core->bytes : sizeof(head);
    if (!bsk_read_exactly(core->fd, 0, head.bytes, size)) {
        rc = bsk_fail(err, BSK_E_IO, NULL, "cannot read %.300s: %s", path, strerror(errno));
        goto out;
    }
    rc = check_header(path, head.bytes, size, &head.header, err);
    if (rc == BSK_OK)
        rc = read_segments(core, &head.header, err);
    if (rc < 0)
        goto out;
    if (core->thread_count == 0 || core->segment_count == 0) {
        rc = bsk_fail(err, BSK_E_FORMAT, take_again, "%.300s is %s: it tells of no %s", path,
                      core->claimed_bytes > core->bytes ? "cut short" : "broken",
                      core->thread_count == 0 ? "thread" : "memory");
        goto out;
    }
    if (core->pid == 0)
        core->pid = core->signal_tid;
    bsk_core_sort_threads(core);
    bsk_core_find_arguments(core);
    *out_core = core;
    core = NULL;
out:
    bsk_core_close(core);
    return rc;
}

void bsk_core_close(struct bsk_core *core)
{
    if (!core)
        return;
    for (size_t i = 0; i < core->file_count; i++)
        if (core->files[i].fd >= 0)
            close(core->files[i].fd);
    if (core->fd >= 0)
        close(core->fd);
    free(core->files);
    free(core->mappings);
    free(core->mapping_text);
    free(core->segments);
    free(core->threads);
    free(core->path);
    free(core->root);
    free(core);
}

int bsk_process_open_core(const char *path, const char *root, struct bsk_process **out_process,
                          struct bsk_error *err)
{
    struct bsk_process *process = calloc(1, sizeof(*process));
    if (!process)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    process->pid_fd = process->mem_fd = -1;
    struct bsk_core *core = NULL;
    int rc = bsk_core_open(path, root, &core, err);
    if (rc == BSK_OK && core) {
        process->core = core;
        process->pid = core->pid;
        *out_process = process;
    } else {
        bsk_process_close(process);
    }
    return rc;
}

bool bsk_process_core_facts(const struct bsk_process *process, struct bsk_core_facts *out_facts)
{
    const struct bsk_core *core = process->core;
    if (core && out_facts)
        *out_facts = (struct bsk_core_facts){ .path = core->path,
                                              .signal = core->signal,
                                              .signal_tid = core->signal_tid,
                                              .bytes = core->bytes,
                                              .claimed_bytes = core->claimed_bytes };
    return core != NULL;
}
