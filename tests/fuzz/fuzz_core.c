/*
 * Whatever a core file holds: it is refused with a sentence, or read as a process that stands
 * still, down to the search for a Python in it.
 *
 * The input is a plan, as a core would hardly ever be found by chance: headers of segments and
 * notes whose numbers are the input's, around the input's own bytes. One that begins with 0 is a
 * whole file.
 */
#include "engine/python/python.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENTS = 4, FILE_MAX_BYTES = 1 << 16 };

struct plan {
    const uint8_t *data;
    size_t size;
};

static uint8_t take(struct plan *plan)
{
    if (plan->size == 0)
        return 0;
    plan->size--;
    return *plan->data++;
}

/* Small, around a page, and far beyond everything. */
static uint64_t take_number(struct plan *plan)
{
    uint8_t dice = take(plan), value = take(plan);
    if (dice < 100)
        return value;
    if (dice < 220)
        return (uint64_t)value * 256 + take(plan);
    return (dice % 2 ? UINT64_MAX : INT64_MAX) - value;
}

static size_t make(struct plan *plan, uint8_t *file)
{
    static const uint32_t kinds[] = { NT_PRSTATUS, NT_PRPSINFO, NT_FILE, NT_AUXV, 0x4e554d41 };
    size_t at = sizeof(Elf64_Ehdr) + SEGMENTS * sizeof(Elf64_Phdr);
    Elf64_Ehdr header = { .e_ident = ELFMAG,
                          .e_type = ET_CORE,
                          .e_machine = EM_X86_64,
                          .e_phoff = sizeof(header),
                          .e_phentsize = sizeof(Elf64_Phdr),
                          .e_phnum = SEGMENTS };
    Elf64_Phdr segments[SEGMENTS] = { { .p_type = PT_NOTE, .p_offset = at } };
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    for (size_t i = 1; i < SEGMENTS; i++)
        segments[i] = (Elf64_Phdr){ .p_type = PT_LOAD,
                                    .p_flags = take(plan) % 8,
                                    .p_vaddr = take_number(plan),
                                    .p_offset = take_number(plan),
                                    .p_filesz = take_number(plan),
                                    .p_memsz = take_number(plan) };
    while (plan->size > 0 && at < FILE_MAX_BYTES / 2) {
        uint8_t kind = take(plan) % 8;
        size_t bytes = kind == 0 ? 336 : kind == 1 ? 136 : (size_t)take(plan) * 2;
        Elf64_Nhdr note = { .n_namesz = 5,
                            .n_descsz = kind == 7 ? (uint32_t)take_number(plan) : (uint32_t)bytes,
                            .n_type = kinds[kind % 5] };
        memcpy(file + at, &note, sizeof(note));
        memcpy(file + at + sizeof(note), "CORE\0\0\0", 8);
        at += sizeof(note) + 8;
        for (size_t i = 0; i < bytes; i++)
            file[at + i] = plan->size > 0 ? take(plan) : (uint8_t)i;
        at += (bytes + 3) / 4 * 4;
    }
    segments[0].p_filesz = at - segments[0].p_offset;
    memcpy(file, &header, sizeof(header));
    memcpy(file + sizeof(header), segments, sizeof(segments));
    return at;
}

static void read_all(struct bsk_process *process)
{
    struct bsk_maps maps = { 0 };
    struct bsk_threads threads = { 0 };
    struct bsk_python *python = NULL;
    char text[4096], bytes[64];
    bsk_process_tell_exe(process, text, sizeof(text));
    bsk_process_tell_command(process, text, sizeof(text));
    bsk_process_tell_cwd(process, text, sizeof(text));
    if (bsk_threads_refresh(process, &threads, NULL) == BSK_OK)
        for (size_t i = 0; i < threads.count; i++) {
            uint64_t argument;
            (void)bsk_thread_call(process, &threads.items[i], &argument);
        }
    bsk_threads_free(&threads);
    if (bsk_maps_read(process, &maps, NULL) == BSK_OK)
        for (size_t i = 0; i < maps.count; i++) {
            struct bsk_image *image = NULL;
            struct bsk_symbol symbol = { .name = "_PyRuntime" };
            (void)bsk_process_read(process, maps.items[i].start, bytes, sizeof(bytes), NULL);
            (void)bsk_process_read(process, maps.items[i].end - 8, bytes, sizeof(bytes), NULL);
            if (bsk_image_open(process, &maps, i, &image, NULL) == BSK_OK)
                (void)bsk_image_symbols(image, &symbol, 1);
            bsk_image_close(image);
        }
    bsk_maps_free(&maps);
    if (bsk_python_open(process, &python, NULL) == BSK_OK)
        bsk_python_close(python);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plan plan = { data, size };
    struct bsk_process *process = NULL;
    struct bsk_error err = { 0 };
    char path[64];
    uint8_t *file = calloc(1, FILE_MAX_BYTES);
    int fd = memfd_create("core", MFD_CLOEXEC);
    if (!file || fd < 0 || size > FILE_MAX_BYTES / 2)
        goto out;
    size_t bytes;
    if (take(&plan) == 0) {
        memcpy(file, plan.data, plan.size);
        bytes = plan.size;
    } else {
        bytes = make(&plan, file);
    }
    if (write(fd, file, bytes) != (ssize_t)bytes)
        goto out;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (bsk_process_open_core(path, "/nowhere", &process, &err) == BSK_OK)
        read_all(process);
    else if (err.message[0] == '\0' || err.code == BSK_OK)
        abort();
    bsk_process_close(process);
out:
    if (fd >= 0)
        close(fd);
    free(file);
    return 0;
}
