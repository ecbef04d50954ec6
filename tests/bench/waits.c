/*
 * C callers that wait in the kernel and count how often a wait is interrupted (EINTR), as libraries
 * do that a Python program loads. waits.py calls it; nobody sends this process a signal, so every
 * EINTR is a sampler's doing.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_NS = 300000, SPIN_TURNS = 2000 };

/* The order is waits.py's. Each fills *calls and *interrupted for ever. */
void wait_for_ever(int kind, volatile uint64_t *calls, volatile uint64_t *interrupted);

static const struct timespec wait_time = { .tv_nsec = WAIT_NS };

static int in_epoll(int epoll)
{
    struct epoll_event event;
    return epoll_wait(epoll, &event, 1, 1);
}

static int in_sigtimedwait(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &wait_time);
}

static int in_select(void)
{
    struct timeval time = { .tv_usec = WAIT_NS / 1000 };
    return select(0, NULL, NULL, NULL, &time);
}

static int in_futex(void)
{
    static uint32_t word;
    return (int)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &wait_time, NULL, 0);
}

static int in_nanosleep(void)
{
    return nanosleep(&wait_time, NULL);
}

static int in_read(int timer)
{
    uint64_t expirations;
    return (int)read(timer, &expirations, sizeof(expirations));
}

void wait_for_ever(int kind, volatile uint64_t *calls, volatile uint64_t *interrupted)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const struct itimerspec period = { .it_interval = { .tv_nsec = WAIT_NS },
                                       .it_value = { .tv_nsec = WAIT_NS } };
    timerfd_settime(timer, 0, &period, NULL);
    for (;;) {
        int rc = 0;
        errno = 0;
        switch (kind) {
        case 0:
            rc = in_epoll(epoll);
            break;
        case 1:
            rc = in_sigtimedwait();
            break;
        case 2:
            rc = poll(NULL, 0, 1);
            break;
        case 3:
            rc = in_select();
            break;
        case 4:
            rc = in_nanosleep();
            break;
        case 5:
            rc = in_futex();
            break;
        default:
            rc = in_read(timer);
            break;
        }
        *interrupted += rc < 0 && errno == EINTR;
        *calls += 1;
        for (volatile int i = 0; i < SPIN_TURNS; i++) /* it also runs, and is met while it does */
            continue;
    }
}
