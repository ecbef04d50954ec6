/* What a core file's notes tell: its threads, its command, the files that were mapped. */
#include "engine/base/room.h"
#include "engine/process/linux/core.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>

enum {
    FILE_NOTE_MAX = 16 << 20, /* bytes of the list of mapped files */
    FILES_MAX = 1 << 16,      /* the kernel lets a process have 65,530 mappings, as it comes */
    AUXV_MAX_BYTES = 1 << 12,
    THREADS_MAX = 65536,
};

/* Whether a thread slept in a system call, by its registers: the end of the process (or gcore's
 * stop) interrupted it, so that the call stands there with an answer that only the kernel sees. */
static void take_registers(struct bsk_core_thread *thread, const void *registers, size_t size)
{
    thread->state = '?';
    thread->call = BSK_CALL_UNKNOWN;
#ifdef __x86_64__
    enum { RAX = 10, RDI = 14, ORIG_RAX = 15, WORDS = 27 };
    int64_t words[WORDS];
    if (size < sizeof(words))
        return;
    memcpy(words, registers, sizeof(words));
    int64_t answer = words[RAX];
    /* ERESTARTSYS, ..NOINTR, ..NOHAND, .._RESTARTBLOCK; and one whose time was just up, as that of
     * who waits for the GIL is every 5 ms. */
    bool interrupted = answer == -EINTR || answer == -512 || answer == -513 || answer == -514 ||
                       answer == -516 || answer == -ETIMEDOUT;
    bool sleeps = interrupted && words[ORIG_RAX] >= 0 && words[ORIG_RAX] <= INT32_MAX;
    thread->state = sleeps ? 'S' : 'R';
    if (sleeps) {
        thread->call = (int32_t)words[ORIG_RAX];
        thread->argument = (uint64_t)words[RDI];
    }
#else
    (void)registers;
    (void)size;
#endif
}

static int by_tid(const void *left, const void *right)
{
    const struct bsk_core_thread *a = left, *b = right;
    return (a->tid > b->tid) - (a->tid < b->tid);
}

void bsk_core_sort_threads(struct bsk_core *core)
{
    size_t kept = 1;
    qsort(core->threads, core->thread_count, sizeof(core->threads[0]), by_tid);
    for (size_t i = 1; i < core->thread_count; i++) /* a broken core may have one twice */
        if (core->threads[kept - 1].tid != core->threads[i].tid)
            core->threads[kept++] = core->threads[i];
    core->thread_count = kept;
}

const struct bsk_core_thread *bsk_core_thread(const struct bsk_core *core, pid_t tid)
{
    struct bsk_core_thread key = { .tid = tid };
    return bsearch(&key, core->threads, core->thread_count, sizeof(key), by_tid);
}

static uint64_t ns_of(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000000U + (uint64_t)time->tv_usec * 1000U;
}

static int take_thread(struct bsk_core *core, uint64_t offset, uint64_t size, struct bsk_error *err)
{
    struct elf_prstatus status;
    if (size < sizeof(status) || core->thread_count >= THREADS_MAX ||
        !bsk_read_exactly(core->fd, offset, &status, sizeof(status)) || status.pr_pid <= 0)
        return BSK_OK;
    if (!bsk_room_for_one(&core->threads, core->thread_count, &core->thread_capacity,
                          sizeof(core->threads[0])))
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    struct bsk_core_thread *thread = &core->threads[core->thread_count++];
    *thread =
        (struct bsk_core_thread){ .tid = status.pr_pid,
                                  .cpu_ns = ns_of(&status.pr_utime) + ns_of(&status.pr_stime) };
    take_registers(thread, &status.pr_reg, sizeof(status.pr_reg));
    if (core->thread_count == 1) {
        core->signal = status.pr_cursig;
        core->signal_tid = status.pr_pid;
    }
    return BSK_OK;
}

static void take_process(struct bsk_core *core, uint64_t offset, uint64_t size)
{
    struct elf_prpsinfo info;
    if (size < sizeof(info) || !bsk_read_exactly(core->fd, offset, &info, sizeof(info)))
        return;
    core->pid = info.pr_pid > 0 ? info.pr_pid : 0;
    size_t length = strnlen(info.pr_psargs, sizeof(info.pr_psargs));
    /* A space at its end was the zero behind the last argument. */
    bool cut = length >= sizeof(info.pr_psargs) - 1 && info.pr_psargs[length - 1] != ' ';
    while (length > 0 && info.pr_psargs[length - 1] == ' ')
        length--;
    snprintf(core->command, sizeof(core->command), "%.*s%s", (int)length, info.pr_psargs,
             cut ? "..." : "");
}

static void take_auxv(struct bsk_core *core, uint64_t offset, uint64_t size)
{
    Elf64_auxv_t words[AUXV_MAX_BYTES / sizeof(Elf64_auxv_t)];
    size = size < sizeof(words) ? size : sizeof(words);
    size_t count = (size_t)size / sizeof(words[0]);
    if (!bsk_read_exactly(core->fd, offset, words, count * sizeof(words[0])))
        return;
    core->has_auxv = count * sizeof(words[0]) >= sizeof(core->auxv_begins);
    if (core->has_auxv)
        memcpy(core->auxv_begins, words, sizeof(core->auxv_begins));
    for (size_t i = 0; i < count && words[i].a_type != AT_NULL; i++) {
        if (words[i].a_type == AT_PHDR)
            core->phdrs_at = words[i].a_un.a_val;
        if (words[i].a_type == AT_RANDOM)
            core->random_at = words[i].a_un.a_val;
    }
}

static int by_start_of_mapping(const void *left, const void *right)
{
    const struct bsk_core_mapping *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

/* The list of mapped files: a count, the size of a page, (start, end, page of the file) each, and
 * as many names. A list that is broken ends where it breaks. */
static int take_files(struct bsk_core *core, uint64_t offset, uint64_t size, struct bsk_error *err)
{
    static const char deleted[] = " (deleted)";
    uint64_t head[2], entry[3];
    if (core->mapping_text || size < sizeof(head) || size > FILE_NOTE_MAX)
        return BSK_OK;
    char *text = malloc((size_t)size + 1);
    if (!text)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    if (!bsk_read_exactly(core->fd, offset, text, (size_t)size)) {
        free(text);
        return BSK_OK;
    }
    text[size] = '\0';
    memcpy(head, text, sizeof(head));
    uint64_t page = head[1], count = (size - sizeof(head)) / sizeof(entry);
    count = head[0] < count ? head[0] : count;
    core->mapping_text = text;
    size_t most = count < FILES_MAX ? (size_t)count : FILES_MAX;
    core->mappings = calloc(most + 1, sizeof(core->mappings[0]));
    core->files = calloc(most + 1, sizeof(core->files[0]));
    if (!core->mappings || !core->files)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    char *name = text + sizeof(head) + count * sizeof(entry), *end = text + size;
    for (size_t i = 0; i < most && name < end; i++) {
        struct bsk_core_mapping *mapping = &core->mappings[core->mapping_count];
        size_t length = strlen(name);
        memcpy(entry, text + sizeof(head) + i * sizeof(entry), sizeof(entry));
        *mapping = (struct bsk_core_mapping){ .start = entry[0], .end = entry[1], .path = name };
        bool good = entry[0] < entry[1] && entry[1] <= INT64_MAX && page > 0 &&
                    entry[2] <= INT64_MAX / page;
        mapping->offset = good ? entry[2] * page : 0;
        core->mapping_count += good && mapping->offset <= INT64_MAX - (entry[1] - entry[0]);
        char *tail = length >= sizeof(deleted) - 1 ? name + length - (sizeof(deleted) - 1) : NULL;
        name += length + 1;
        if (tail && strcmp(tail, deleted) == 0)
            *tail = '\0';
    }
    if (core->mapping_count > 0)
        qsort(core->mappings, core->mapping_count, sizeof(core->mappings[0]), by_start_of_mapping);
    const char *before = NULL;
    for (size_t i = 0; i < core->mapping_count; i++) {
        struct bsk_core_mapping *mapping = &core->mappings[i];
        if (!before || strcmp(before, mapping->path) != 0)
            core->files[core->file_count++] =
                (struct bsk_core_file){ .path = mapping->path, .first = i, .fd = -1 };
        before = mapping->path;
        mapping->file = core->file_count - 1;
        core->files[mapping->file].count++;
    }
    return BSK_OK;
}

static int take_note(struct bsk_core *core, uint32_t type, uint64_t offset, uint64_t size,
                     struct bsk_error *err)
{
    if (type == NT_PRSTATUS)
        return take_thread(core, offset, size, err);
    if (type == NT_FILE)
        return take_files(core, offset, size, err);
    if (type == NT_PRPSINFO)
        take_process(core, offset, size);
    else if (type == NT_AUXV)
        take_auxv(core, offset, size);
    return BSK_OK;
}

int bsk_core_read_notes(struct bsk_core *core, uint64_t at, uint64_t size, size_t *left,
                        struct bsk_error *err)
{
    int rc = BSK_OK;
    uint64_t end = at + size; /* within the file */
    while (rc == BSK_OK && *left > 0 && end - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        char name[8] = "";
        if (!bsk_read_exactly(core->fd, at, &note, sizeof(note)))
            break;
        --*left;
        at += sizeof(note);
        uint64_t name_bytes = ((uint64_t)note.n_namesz + 3) & ~3ULL;
        uint64_t bytes = ((uint64_t)note.n_descsz + 3) & ~3ULL;
        if (name_bytes > end - at || note.n_descsz > end - at - name_bytes)
            break; /* cut, or garbage: there is no way to go on */
        bool ours = note.n_namesz == sizeof("CORE") &&
                    bsk_read_exactly(core->fd, at, name, sizeof("CORE")) &&
                    strcmp(name, "CORE") == 0;
        if (ours)
            rc = take_note(core, note.n_type, at + name_bytes, note.n_descsz, err);
        at += name_bytes;
        at += bytes < end - at ? bytes : end - at;
    }
    return rc;
}
