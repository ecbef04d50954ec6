/*
 * What a dump may cost the debuggee, told before it is asked for.
 *
 * A stop of at most 2 s of its CPU time and 256 MiB of its memory, less where its cgroup, or the
 * file system that holds the dump, has less than twice that left. The script holds its own estimate
 * (tracemalloc's memory tells the number of blocks) against it, and answers less when it is over.
 */
#ifndef BSK_MEMORY_BUDGET_H
#define BSK_MEMORY_BUDGET_H

#include <stdint.h>
#include <sys/types.h>

enum { BSK_BUDGET_MS = 2000, BSK_BUDGET_BYTES = 256 << 20 };

struct bsk_memory_budget {
    uint32_t ms;
    uint64_t bytes;
};

/* `asked` may be NULL or hold zeroes: the defaults. `pid` 0: not on this machine, nothing to look
 * at (the script looks at its own file system all the same). */
struct bsk_memory_budget bsk_memory_budget_for(pid_t pid, const struct bsk_memory_budget *asked);

/* Bytes that the groups of a process (`membership`: its /proc/PID/cgroup) may still take, by the
 * tightest limit on the way up from each; `groups`: where the hierarchy is mounted. UINT64_MAX: no
 * limit. */
uint64_t bsk_memory_left_in_groups(const char *membership, const char *groups);

#endif
