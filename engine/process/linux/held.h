/* What a process is made of, for the files of this folder alone. */
#ifndef BSK_PROCESS_LINUX_HELD_H
#define BSK_PROCESS_LINUX_HELD_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct bsk_core;

struct bsk_process {
    pid_t pid;                  /* as the core has it: then never looked for in /proc */
    struct bsk_core *core;      /* core.h; NULL: it lives, and what follows is its own */
    int pid_fd;                 /* -1 where the kernel has none: then only `mem_fd` tells the end */
    int mem_fd;                 /* /proc/PID/mem */
    struct iovec *pieces_local; /* room for one call of bsk_process_read_pieces(), made at need */
};

/* Reads a whole /proc file (they have no size); *out_text ends in '\0' and is the caller's to free.
 * Returns its bytes, or -1 with errno. Stops with EFBIG at `max_bytes`. */
ssize_t bsk_proc_text(const char *path, size_t max_bytes, char **out_text);

#endif
