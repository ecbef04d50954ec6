/*
 * A target process, read from outside: memory, mappings, symbols, threads, relatives.
 *
 * Nothing here stops the target or writes into it. A process is held by a pidfd and by an open
 * /proc/PID/mem. The latter belongs to the memory as it was at the time of opening: after an exec,
 * or once the PID belongs to a stranger, it reads nothing, which is how both are noticed.
 *
 * Ownership: what an _open() or a _read() hands out goes back through the _close() or _free() of
 * the same name; these accept NULL or an empty struct. Threads: one process is used from one thread
 * at a time; two processes do not know of each other.
 *
 * Failures everywhere: BSK_E_GONE "Process not found", BSK_E_PERMISSION "Permission denied" with
 * what was found and the one way out, BSK_E_TORN for an address that is not readable (any more),
 * BSK_E_MEMORY, BSK_E_IO.
 */
#ifndef BSK_PROCESS_PROCESS_H
#define BSK_PROCESS_PROCESS_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bsk_process;

int bsk_process_open(pid_t pid, struct bsk_process **out_process, struct bsk_error *err);
void bsk_process_close(struct bsk_process *process);
pid_t bsk_process_pid(const struct bsk_process *process);

/* --- core files ------------------------------------------------------------------------------ */

/* A process that has ended (or that gcore copied), as its core file has it: everything that takes a
 * struct bsk_process works on it as on one that stands still, and asks nothing of /proc. What the
 * core leaves out of mapped files is read from these, where they are still the same: looked for
 * below the folder `root` (what was / to the process), NULL for this machine's /. Fails with
 * BSK_E_FORMAT, BSK_E_UNSUPPORTED (32 bits, another processor), BSK_E_IO, BSK_E_PERMISSION.
 * Whoever holds a process and not a mere PID asks bsk_process_tell_*() below, since the PID of a
 * core may be somebody else's by now. */
int bsk_process_open_core(const char *path, const char *root, struct bsk_process **out_process,
                          struct bsk_error *err);

struct bsk_core_facts {
    const char *path;              /* the process's */
    int signal;                    /* that ended it; 0: none did */
    pid_t signal_tid;              /* the thread that got it */
    uint64_t bytes, claimed_bytes; /* of the file: fewer than claimed where it was cut short */
};

/* False: it is no core. `out_facts` may be NULL. */
bool bsk_process_core_facts(const struct bsk_process *process, struct bsk_core_facts *out_facts);

/* --- memory ---------------------------------------------------------------------------------- */

enum { BSK_READ_MAX_BYTES = 1 << 24 }; /* no object is larger; a bigger size is garbage */

/* All of [address, address + size), with one system call. */
int bsk_process_read(struct bsk_process *process, uint64_t address, void *dst, size_t size,
                     struct bsk_error *err);

struct bsk_piece {
    uint64_t address;
    void *dst;
    uint32_t size; /* in bytes; 0 counts as failed */
    bool ok;       /* answer: all of it was read */
};

/* Many pieces with as few system calls as can be (one for up to 1,024 readable pieces). A piece
 * that cannot be read costs itself: the others are read all the same. Fails only when the target
 * is gone or forbidden; looks at neither pidfd nor exec, so ask bsk_process_same() afterwards. */
int bsk_process_read_pieces(struct bsk_process *process, struct bsk_piece *pieces, size_t count,
                            struct bsk_error *err);

/* BSK_OK while the memory that was opened is still the one behind this PID: `address` must be
 * readable. After an exit or an exec: BSK_E_GONE. */
int bsk_process_same(struct bsk_process *process, uint64_t address, struct bsk_error *err);

/* --- mappings and symbols -------------------------------------------------------------------- */

struct bsk_mapping {
    uint64_t start, end; /* addresses in the target */
    uint64_t offset;     /* in the file, in bytes */
    uint64_t inode;      /* 0: no file */
    bool readable, writable, executable;
    const char *path; /* as /proc/PID/maps has it ("" for none), without " (deleted)" */
};

struct bsk_maps {
    struct bsk_mapping *items; /* by rising address */
    size_t count;
    char *text; /* holds the paths */
};

int bsk_maps_read(struct bsk_process *process, struct bsk_maps *out_maps, struct bsk_error *err);
void bsk_maps_free(struct bsk_maps *maps);

/* An ELF file as it is mapped into the target: addresses are the target's. */
struct bsk_image;

/* The file behind `maps->items[index]`, whichever of its mappings that is; found through
 * /proc/PID/exe, /proc/PID/map_files or /proc/PID/root, so that other mount namespaces and deleted
 * files work. Fails with BSK_E_FORMAT when it is no 64-bit ELF file of this byte order. */
int bsk_image_open(struct bsk_process *process, const struct bsk_maps *maps, size_t index,
                   struct bsk_image **out_image, struct bsk_error *err);
void bsk_image_close(struct bsk_image *image);

struct bsk_symbol {
    const char *name;
    uint64_t address; /* answer: in the target; 0 when the file does not have it */
    uint64_t size;
};

/* Looks up all of `wanted` in one pass over the dynamic symbols, then, for those still missing,
 * over the full table where the file has one. Returns how many were found. */
size_t bsk_image_symbols(struct bsk_image *image, struct bsk_symbol *wanted, size_t count);

bool bsk_image_section(struct bsk_image *image, const char *name, uint64_t *out_address,
                       uint64_t *out_size);

/* Where in the target this file begins and ends, .bss included. */
void bsk_image_range(const struct bsk_image *image, uint64_t *out_start, uint64_t *out_end);

/* Bytes of the file itself; returns how many could be read, 0 at the end. */
size_t bsk_image_file_bytes(struct bsk_image *image, uint64_t offset, void *dst, size_t size);

/* BSK_OK where the file could be opened. Else (cores alone) the image is made of what memory has of
 * it, which is rarely symbols and never sections: why, as BSK_E_IO. */
int bsk_image_has_file(const struct bsk_image *image, struct bsk_error *err);

/* --- threads --------------------------------------------------------------------------------- */

struct bsk_thread {
    pid_t tid;        /* the name in /proc/PID/task */
    pid_t tid_inside; /* the same thread as it sees itself, in its own PID namespace */
    int schedstat_fd; /* kept open; -1 when files are short: then opened for each look */
    int stat_fd;
    bool looked;        /* `cpu_ns` and `state` are of a look, not zero */
    uint64_t turns;     /* how often it was put on a CPU, at the last look */
    uint64_t cpu_ns;    /* of the last look */
    char state;         /* of the last look that needed it: 'R', 'S', 'D', ...; 0 before */
    uint32_t listed_in; /* used by bsk_threads_refresh() */
    bool waits_for_gil; /* set by its owner */
    int32_t call;       /* set by its owner: see bsk_thread_call() */
    bool ignored;       /* its owner has no use for it; nothing here looks at this */
};

struct bsk_threads {
    struct bsk_thread *items; /* by rising tid */
    size_t count, capacity;
    uint32_t round;
};

/* Brings the list up to date with /proc/PID/task: new threads are opened, lost ones closed, the
 * others stay as they are. `threads` starts zeroed. */
int bsk_threads_refresh(struct bsk_process *process, struct bsk_threads *threads,
                        struct bsk_error *err);
void bsk_threads_free(struct bsk_threads *threads);
struct bsk_thread *bsk_threads_find(struct bsk_threads *threads, pid_t tid);

/* CPU time of the thread, and how often it was put on a CPU: while that stays the same, a thread
 * that slept still sleeps. BSK_E_GONE when the thread has ended (the process may live on). */
int bsk_thread_cpu_ns(struct bsk_process *process, struct bsk_thread *thread, uint64_t *out_ns,
                      uint64_t *out_turns);
int bsk_thread_state(struct bsk_process *process, struct bsk_thread *thread, char *out_state);

/* Numbers of system calls that are none. */
enum {
    BSK_CALL_UNKNOWN = -1, /* not in one, or that may not be known */
    BSK_CALL_FAULT = -2,   /* it waits in the kernel, but in no call: for a page */
};

/* The system call that the thread sleeps in, by its number on this machine, and its first argument
 * (for futexes the address that it waits on; else 0). One open, read and close. */
int32_t bsk_thread_call(struct bsk_process *process, const struct bsk_thread *thread,
                        uint64_t *out_argument);

/* "read"; "page fault"; "" for one that is unknown. */
const char *bsk_call_name(int32_t call);

/* A call that does nothing but wait, for time, a lock, a signal, a child or a client: who sleeps in
 * it has nothing to do. All others work on something: a file, a pipe, a connection, memory. */
bool bsk_call_only_waits(int32_t call);

/* --- what /proc says of any process, held or not ---------------------------------------------- */

struct bsk_process_facts {
    pid_t pid, parent;
    pid_t pid_inside;     /* in its own PID namespace */
    uid_t uid;            /* effective */
    char state;           /* 'Z': ended and not yet waited for */
    uint64_t start_ticks; /* since boot: with the PID it names one process for good */
};

int bsk_process_facts(pid_t pid, struct bsk_process_facts *out_facts, struct bsk_error *err);

/* Text of /proc/PID/exe, /proc/PID/cwd; "" when it could not be read. Always terminated. */
void bsk_process_exe(pid_t pid, char *out, size_t size);
void bsk_process_cwd(pid_t pid, char *out, size_t size);
/* The folder that it was started in, as its environment tells (PWD, which shells and programs that
 * start others set); "" where it does not. */
void bsk_process_first_cwd(pid_t pid, char *out, size_t size);
/* What the running program's file was built for: 64 or 32 bits, 0 when it cannot be told, and
 * whether it is for the kind of processor that we run on ourselves. */
int bsk_process_bits(pid_t pid, bool *out_same_processor);
/* The command line, arguments separated by single spaces, cut with "..." to fit. */
void bsk_process_command(pid_t pid, char *out, size_t size);

/* What the kernel calls it: 15 bytes at most, "?" when it has ended. Control characters show as
 * '?'.
 */
void bsk_process_name(pid_t pid, char *out, size_t size);
/* CPU time of all its threads, those that ended too; moves with each nanosecond that one of them
 * runs. Works until its parent has waited for it;
 * false then. May be asked of any process. */
bool bsk_process_cpu_ns(pid_t pid, uint64_t *out_ns);
/* CPU time of its first thread alone; 0 when that is not known. */
uint64_t bsk_process_first_thread_ns(pid_t pid);
/* Tells programs apart: another number after an exec of another file. 0: it may not be known. */
uint64_t bsk_process_program(pid_t pid);
/* Whether two processes have one memory: a child between vfork and exec. False where the kernel
 * does not tell. */
bool bsk_process_share_memory(pid_t pid, pid_t other);
/* A descriptor that can be polled: readable once the process has ended; -1 where there is none. */
int bsk_process_watch(pid_t pid);

/* The same of a process that is held: of one that lives what /proc says, of a core what that says,
 * as far as it does: a core's working directory is the one that it was started in; it has no facts
 * (BSK_E_GONE) and no clock (false). */
void bsk_process_tell_exe(const struct bsk_process *process, char *out, size_t size);
void bsk_process_tell_command(const struct bsk_process *process, char *out, size_t size);
void bsk_process_tell_cwd(const struct bsk_process *process, char *out, size_t size);
void bsk_process_tell_first_cwd(const struct bsk_process *process, char *out, size_t size);
int bsk_process_tell_facts(const struct bsk_process *process, struct bsk_process_facts *out_facts,
                           struct bsk_error *err);
int bsk_process_tell_bits(const struct bsk_process *process, bool *out_same_processor);
bool bsk_process_tell_cpu_ns(const struct bsk_process *process, uint64_t *out_ns);
/* Where on this machine to look for what is `path` to the process; cut where it does not fit. */
void bsk_process_place(const struct bsk_process *process, const char *path, char *out, size_t size);

/* All PIDs that /proc shows, rising. The caller frees `*out_pids`. */
int bsk_process_all(pid_t **out_pids, size_t *out_count, struct bsk_error *err);

/* Descendants of `pid` at any depth, nearest first, `pid` itself left out. The caller frees. */
int bsk_process_below(pid_t pid, pid_t **out_pids, size_t *out_count, struct bsk_error *err);

/* The number that the kernel gave out last: while it stays the same no process and no thread was
 * born, and one small read has told so. 0 when it is not known. */
pid_t bsk_process_newest(void);

/* The errors every room words alike; both return the code. */
int bsk_process_not_found(pid_t pid, struct bsk_error *err);
int bsk_process_refused(pid_t pid, struct bsk_error *err);

#endif
