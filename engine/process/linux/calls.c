/* What system calls are called, and which of them only wait. */
#include "engine/process/process.h"

#include <sys/syscall.h>

static const struct {
    int32_t number;
    const char *name;
} names[] = {
#include "system_calls.inc" /* made by the build from the kernel's header: { __NR_read, "read" }, */
};

/* Not every machine has each of them. */
static const int32_t waits[] = {
#ifdef SYS_futex
    SYS_futex,
#endif
#ifdef SYS_futex_waitv
    SYS_futex_waitv,
#endif
#ifdef SYS_futex_wait
    SYS_futex_wait,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_ppoll
    SYS_ppoll,
#endif
#ifdef SYS_select
    SYS_select,
#endif
#ifdef SYS_pselect6
    SYS_pselect6,
#endif
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
#ifdef SYS_epoll_pwait
    SYS_epoll_pwait,
#endif
#ifdef SYS_epoll_pwait2
    SYS_epoll_pwait2,
#endif
#ifdef SYS_nanosleep
    SYS_nanosleep,
#endif
#ifdef SYS_clock_nanosleep
    SYS_clock_nanosleep,
#endif
#ifdef SYS_restart_syscall /* a sleep that goes on after it was stopped */
    SYS_restart_syscall,
#endif
#ifdef SYS_pause
    SYS_pause,
#endif
#ifdef SYS_rt_sigsuspend
    SYS_rt_sigsuspend,
#endif
#ifdef SYS_rt_sigtimedwait
    SYS_rt_sigtimedwait,
#endif
#ifdef SYS_wait4
    SYS_wait4,
#endif
#ifdef SYS_waitid
    SYS_waitid,
#endif
#ifdef SYS_accept
    SYS_accept,
#endif
#ifdef SYS_accept4
    SYS_accept4,
#endif
#ifdef SYS_io_getevents
    SYS_io_getevents,
#endif
#ifdef SYS_io_pgetevents
    SYS_io_pgetevents,
#endif
#ifdef SYS_io_uring_enter
    SYS_io_uring_enter,
#endif
#ifdef SYS_semop
    SYS_semop,
#endif
#ifdef SYS_semtimedop
    SYS_semtimedop,
#endif
#ifdef SYS_msgrcv
    SYS_msgrcv,
#endif
#ifdef SYS_mq_timedreceive
    SYS_mq_timedreceive,
#endif
};

const char *bsk_call_name(int32_t call)
{
    if (call == BSK_CALL_FAULT)
        return "page fault";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].number == call)
            return names[i].name;
    return "";
}

bool bsk_call_only_waits(int32_t call)
{
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        if (waits[i] == call)
            return true;
    return false;
}
