/* The clock that everything here is timed by. */
#ifndef BSK_BASE_CLOCK_H
#define BSK_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC, in nanoseconds. Some 25 ns: no system call. */
static inline uint64_t bsk_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
