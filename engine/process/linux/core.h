/*
 * A core file, read as a process that stands still for good. For the files of this folder alone;
 * others hold one through bsk_process_open_core().
 *
 * Every number in the file is a claim: it is held against the file's size or a ceiling before it is
 * used. What the file does not have (the kernel leaves out what it can find again: code, constants)
 * comes from the files that were mapped, where they are still what they were.
 */
#ifndef BSK_PROCESS_LINUX_CORE_H
#define BSK_PROCESS_LINUX_CORE_H

#include "engine/process/process.h"

#include <elf.h>

struct bsk_core_segment { /* PT_LOAD */
    uint64_t start, end;  /* in the process */
    uint64_t offset;      /* in the core file */
    uint64_t bytes;       /* so many of them are there */
    uint64_t claimed;     /* so many should be: more where the file was cut */
    uint32_t flags;       /* PF_R and so on */
};

struct bsk_core_mapping { /* a range of NT_FILE */
    uint64_t start, end;
    uint64_t offset; /* in the mapped file, in bytes */
    const char *path;
    size_t file; /* index into `files` */
};

struct bsk_core_file {
    const char *path;
    size_t first, count; /* its mappings */
    bool tried;
    int fd; /* -1: not opened (yet), or `missing` tells why not */
    struct bsk_error missing;
};

struct bsk_core_thread {
    pid_t tid;
    char state;   /* 'S' asleep in `call`, 'R' not, '?' its registers do not say */
    int32_t call; /* or BSK_CALL_UNKNOWN */
    uint64_t argument;
    uint64_t cpu_ns;
};

struct bsk_core {
    int fd;
    char *path, *root; /* root: where mapped files are looked for, "" for / */
    uint64_t bytes, claimed_bytes;
    struct bsk_core_segment *segments; /* by rising start */
    size_t segment_count;
    struct bsk_core_mapping *mappings; /* by rising start */
    size_t mapping_count;
    char *mapping_text;
    struct bsk_core_file *files;
    size_t file_count;
    struct bsk_core_thread *threads; /* by rising tid, each once */
    size_t thread_count, thread_capacity;
    pid_t pid;
    int signal;        /* that ended it; 0: none, somebody asked for the core */
    pid_t signal_tid;  /* the thread that got it: the first one in the core */
    char command[96];  /* its beginning: the note keeps 79 bytes */
    uint64_t phdrs_at; /* of the program itself; 0: unknown */
    /* Where the stack of its first thread has what it was started with; 0: not found. */
    char auxv_begins[2 * sizeof(Elf64_auxv_t)];
    bool has_auxv;
    uint64_t random_at; /* lies right behind the vectors */
    uint64_t first_argument, last_argument;
    uint64_t environment; /* the vector of pointers */
    size_t environment_count;
};

int bsk_core_open(const char *path, const char *root, struct bsk_core **out_core,
                  struct bsk_error *err);
void bsk_core_close(struct bsk_core *core);

/* All of [offset, offset + size) of a file. */
bool bsk_read_exactly(int fd, uint64_t offset, void *dst, size_t size);

/* Takes what `size` bytes of notes, all of them in the file, tell. `left` counts the notes that may
 * still come, over all segments. Fails with BSK_E_MEMORY; broken notes end where they break. */
int bsk_core_read_notes(struct bsk_core *core, uint64_t at, uint64_t size, size_t *left,
                        struct bsk_error *err);
void bsk_core_sort_threads(struct bsk_core *core); /* there is one at least */

const struct bsk_core_thread *bsk_core_thread(const struct bsk_core *core, pid_t tid); /* or NULL */

/* All or nothing. */
bool bsk_core_read(struct bsk_core *core, uint64_t address, void *dst, size_t size);

int bsk_core_maps(const struct bsk_core *core, struct bsk_maps *out_maps, struct bsk_error *err);

/* The file that was mapped at `address`, where it is still the same one; it belongs to the core.
 * -1, and why, where it is not. */
int bsk_core_mapped_file(struct bsk_core *core, uint64_t address, struct bsk_error *err);

void bsk_core_find_arguments(struct bsk_core *core); /* when it is opened */
/* As bsk_process_tell_command() and bsk_process_tell_first_cwd() have them. */
void bsk_core_command(struct bsk_core *core, char *out, size_t size);
void bsk_core_first_cwd(struct bsk_core *core, char *out, size_t size);

/* The path of the program; "" when the core does not tell. */
const char *bsk_core_exe(const struct bsk_core *core);

#endif
