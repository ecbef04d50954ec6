/* Amounts as people read them, the same everywhere. Pure functions; both return `out`. */
#ifndef BSK_BASE_AMOUNTS_H
#define BSK_BASE_AMOUNTS_H

#include <stddef.h>
#include <stdint.h>

/* "0 B", "950 B", "1.2 KiB", "36 MiB": units of 1024, at most three digits. 16 bytes are enough. */
const char *bsk_bytes_text(uint64_t bytes, char *out, size_t size);

/* "1,234,567". 28 bytes are enough; what does not fit is cut. */
const char *bsk_count_text(uint64_t count, char *out, size_t size);

#endif
