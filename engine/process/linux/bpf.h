/*
 * The bpf(2) system call, as much of it as ticks.c needs: no libbpf, since a program that we write
 * ourselves needs neither its ELF reading nor its relocations, and the ring is two pages and a
 * mask. All return a file descriptor or -1 with errno.
 */
#ifndef BSK_PROCESS_LINUX_BPF_H
#define BSK_PROCESS_LINUX_BPF_H

#include "engine/process/linux/bytecode.h"

int bsk_bpf_map(uint32_t type, uint32_t key_bytes, uint32_t value_bytes, uint32_t entries,
                uint32_t flags);
int bsk_bpf_set(int map_fd, const void *key, const void *value);
int bsk_bpf_delete(int map_fd, const void *key);

/* Loads the program for perf events. `function_at` is where its second function begins. */
int bsk_bpf_load(const struct bsk_bytecode *code, uint32_t function_at);

#endif
