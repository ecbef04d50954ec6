#include "engine/process/ticks.h"

#include "engine/base/clock.h"
#include "engine/base/room.h"
#include "engine/process/linux/bpf.h"
#include "engine/process/linux/tick_program.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    STATES_MAX = 4096, /* threads that the program knows; those met longest ago are forgotten */
    CPUS_MAX = 4096,
    /* Clocks differ from the period that was asked for by up to this part of it, so that none keeps
     * step with what the program does in rhythm. A sixteenth: after 16 ticks any moment of a round
     * has been met, and the rate is still the one that was asked for. */
    JITTER = 16,
};

static const uint64_t redraw_ns = 1000000000; /* a clock's period is drawn anew this often */

struct clock { /* of one thread */
    pid_t tid, tid_inside;
    uint64_t state;
    int fd; /* -1: it has none */
    bool ignored, listed;
    bool ticked;        /* since its period was drawn */
    uint64_t period_ns; /* that it has, if the next one is to make up for it; else 0 */
    uint64_t drawn_ns;
};

struct unfinished { /* a deep stack that comes in parts */
    uint32_t tid;
    uint32_t parts;
    uint64_t time_ns;
    struct bsk_tick_frame *frames;
    size_t count, capacity;
};

struct bsk_ticks {
    struct bsk_process *process; /* borrowed */
    struct bsk_tick_recipe recipe;
    uint64_t period_ns, lot;
    bool paused, same_namespace;
    int states_fd, scratch_fd, counters_fd, ring_fd, program_fd;
    int new_program_fd; /* of the CPUs' clocks; -1: not loaded */
    int *cpu_fds;       /* their clocks; NULL: none */
    size_t cpu_count;
    uint64_t cpu_drawn_ns;
    volatile struct tick_counters *counters; /* the kernel's, mapped */
    size_t page_bytes, ring_bytes;
    _Atomic uint64_t *consumed; /* the first page of the ring: ours to write */
    uint8_t *produced;          /* the second one, and the data twice in a row */
    struct clock *clocks;
    size_t clock_count, clock_capacity;
    struct unfinished *unfinished;
    size_t unfinished_count;
    struct bsk_tick_counts counts;
};

/* --- opening -----------------------------------------------------------------------------------
 */

static int refused(const char *what, struct bsk_error *err)
{
    if (errno == EPERM || errno == EACCES)
        return bsk_fail(err, BSK_E_PERMISSION, "run with sudo, or grant CAP_BPF and CAP_PERFMON",
                        "Permission denied: %s needs CAP_BPF and CAP_PERFMON", what);
    if (errno == ENOMEM)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory for %s", what);
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "this kernel has no %s: %s", what,
                    strerror(errno));
}

/* Room for what busy threads leave in a tenth of a second; the kernel's memory, not ours. */
static size_t ring_bytes_for(uint32_t rate_hz)
{
    size_t bytes = 1 << 20;
    while (bytes < (4 << 20) && bytes / 512 < rate_hz)
        bytes *= 2;
    return bytes;
}

static int open_maps(struct bsk_ticks *ticks, uint32_t rate_hz, struct bsk_error *err)
{
    ticks->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    ticks->ring_bytes = ring_bytes_for(rate_hz);
    ticks->states_fd = bsk_bpf_map(BPF_MAP_TYPE_LRU_HASH, sizeof(uint32_t),
                                   sizeof(struct tick_state), STATES_MAX, 0);
    ticks->scratch_fd =
        bsk_bpf_map(BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), sizeof(struct tick_scratch), 1, 0);
    ticks->counters_fd = bsk_bpf_map(BPF_MAP_TYPE_ARRAY, sizeof(uint32_t),
                                     sizeof(struct tick_counters), 1, BPF_F_MMAPABLE);
    ticks->ring_fd = bsk_bpf_map(BPF_MAP_TYPE_RINGBUF, 0, 0, (uint32_t)ticks->ring_bytes, 0);
    if (ticks->states_fd < 0 || ticks->scratch_fd < 0 || ticks->counters_fd < 0 ||
        ticks->ring_fd < 0)
        return refused("eBPF", err);
    void *counters = mmap(NULL, ticks->page_bytes, PROT_READ, MAP_SHARED, ticks->counters_fd, 0);
    void *consumed =
        mmap(NULL, ticks->page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ticks->ring_fd, 0);
    void *produced = mmap(NULL, ticks->page_bytes + 2 * ticks->ring_bytes, PROT_READ, MAP_SHARED,
                          ticks->ring_fd, (off_t)ticks->page_bytes);
    ticks->counters = counters == MAP_FAILED ? NULL : counters;
    ticks->consumed = consumed == MAP_FAILED ? NULL : consumed;
    ticks->produced = produced == MAP_FAILED ? NULL : produced;
    if (!ticks->counters || !ticks->consumed || !ticks->produced)
        return refused("eBPF ring", err);
    return BSK_OK;
}

static int open_program(struct bsk_ticks *ticks, bool machine_wide, int *out_fd,
                        struct bsk_error *err)
{
    char path[64];
    struct stat namespace, ours;
    struct bsk_process_facts facts;
    pid_t pid = bsk_process_pid(ticks->process);
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
    if (stat(path, &namespace) != 0)
        return errno == ENOENT ? bsk_process_not_found(pid, err) : bsk_process_refused(pid, err);
    int rc = bsk_process_facts(pid, &facts, err);
    if (rc < 0)
        return rc;
    struct tick_program *program = calloc(1, sizeof(*program));
    if (!program) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        goto out;
    }
    program->recipe = &ticks->recipe;
    program->states_fd = ticks->states_fd;
    program->scratch_fd = ticks->scratch_fd;
    program->counters_fd = ticks->counters_fd;
    program->ring_fd = ticks->ring_fd;
    /* as the kernel writes a device number, which is not how stat() does */
    program->namespace_device =
        (uint64_t)major(namespace.st_dev) << 20 | (uint64_t)minor(namespace.st_dev);
    program->machine_wide = machine_wide;
    program->namespace_inode = namespace.st_ino;
    program->pid_inside = (uint32_t)(facts.pid_inside > 0 ? facts.pid_inside : pid);
    ticks->same_namespace = stat("/proc/self/ns/pid", &ours) == 0 &&
                            ours.st_dev == namespace.st_dev && ours.st_ino == namespace.st_ino;
    for (int round = 0; round < 2 && rc == BSK_OK && *out_fd < 0; round++) {
        program->short_walk = round == 1;
        if (!tick_program_write(program))
            rc = bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "frames too large for a tick's program");
        else
            *out_fd = bsk_bpf_load(&program->code, program->step_at);
        if (rc != BSK_OK || *out_fd >= 0 || errno == EPERM || errno == ENOMEM)
            break;
    }
    if (rc == BSK_OK && *out_fd < 0)
        rc = refused("eBPF program for clock ticks", err);
out:
    free(program);
    return rc;
}

int bsk_ticks_open(struct bsk_process *process, const struct bsk_tick_recipe *recipe,
                   uint32_t rate_hz, struct bsk_ticks **out_ticks, struct bsk_error *err)
{
    if (rate_hz == 0 || rate_hz > BSK_TICK_MAX_HZ)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "%u ticks a second: 1 to %d are possible", rate_hz,
                        BSK_TICK_MAX_HZ);
    struct bsk_ticks *ticks = calloc(1, sizeof(*ticks));
    if (!ticks)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    ticks->process = process;
    ticks->recipe = *recipe;
    ticks->period_ns = 1000000000u / rate_hz;
    ticks->lot = bsk_now_ns() | 1;
    ticks->states_fd = ticks->scratch_fd = ticks->counters_fd = -1;
    ticks->ring_fd = ticks->program_fd = ticks->new_program_fd = -1;
    int rc = open_maps(ticks, rate_hz, err);
    if (rc == BSK_OK)
        rc = open_program(ticks, false, &ticks->program_fd, err);
    if (rc == BSK_OK)
        *out_ticks = ticks;
    else
        bsk_ticks_close(ticks);
    return rc;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void close_cpu_clocks(struct bsk_ticks *ticks)
{
    for (size_t i = 0; i < ticks->cpu_count; i++)
        close_fd(ticks->cpu_fds[i]);
    free(ticks->cpu_fds);
    ticks->cpu_fds = NULL;
    ticks->cpu_count = 0;
}

void bsk_ticks_close(struct bsk_ticks *ticks)
{
    if (!ticks)
        return;
    for (size_t i = 0; i < ticks->clock_count; i++)
        close_fd(ticks->clocks[i].fd);
    if (ticks->counters)
        munmap((void *)(uintptr_t)ticks->counters, ticks->page_bytes);
    if (ticks->consumed)
        munmap(ticks->consumed, ticks->page_bytes);
    if (ticks->produced)
        munmap(ticks->produced, ticks->page_bytes + 2 * ticks->ring_bytes);
    close_cpu_clocks(ticks);
    close_fd(ticks->program_fd);
    close_fd(ticks->new_program_fd);
    close_fd(ticks->states_fd);
    close_fd(ticks->scratch_fd);
    close_fd(ticks->counters_fd);
    close_fd(ticks->ring_fd);
    for (size_t i = 0; i < ticks->unfinished_count; i++)
        free(ticks->unfinished[i].frames);
    free(ticks->unfinished);
    free(ticks->clocks);
    free(ticks);
}

/* --- the threads' clocks -----------------------------------------------------------------------
 */

static uint64_t draw_period(struct bsk_ticks *ticks)
{
    uint64_t x = ticks->lot; /* xorshift64: no secret hangs on it */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    ticks->lot = x;
    uint64_t spread = ticks->period_ns / JITTER;
    return ticks->period_ns - spread + x % (2 * spread + 1);
}

/* A clock of the thread `tid`, or of the CPU `cpu` (the other one is -1). */
static int open_clock(struct bsk_ticks *ticks, pid_t tid, int cpu, uint64_t period_ns,
                      int program_fd)
{
    struct perf_event_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.type = PERF_TYPE_SOFTWARE;
    attr.size = sizeof(attr);
    attr.config = PERF_COUNT_SW_CPU_CLOCK;
    attr.sample_period = period_ns;
    attr.disabled = 1;
    attr.exclude_idle = 1;
    attr.remove_on_exec = cpu < 0;
    int fd = (int)syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0 && errno == EINVAL) { /* before 5.13; the program looks at what it finds anyway */
        attr.remove_on_exec = 0;
        fd = (int)syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    }
    if (fd >= 0 && (ioctl(fd, PERF_EVENT_IOC_SET_BPF, program_fd) != 0 ||
                    (!ticks->paused && ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) != 0))) {
        int reason = errno;
        close(fd);
        errno = reason;
        fd = -1;
    }
    return fd;
}

/* As long on the other side of what was asked for, every second time: the rate is held. */
static uint64_t other_period(struct bsk_ticks *ticks, uint64_t *period_ns)
{
    uint64_t before_ns = *period_ns;
    *period_ns = before_ns ? 0 : draw_period(ticks);
    return before_ns ? 2 * ticks->period_ns - before_ns : *period_ns;
}

static int start_clock(struct bsk_ticks *ticks, struct clock *clock)
{
    clock->fd = open_clock(ticks, clock->tid, -1, other_period(ticks, &clock->period_ns),
                           ticks->program_fd);
    clock->drawn_ns = bsk_now_ns();
    return clock->fd < 0 ? -1 : 0;
}

static void tell_program(struct bsk_ticks *ticks, const struct bsk_tick_thread *thread)
{
    uint32_t key = (uint32_t)thread->tid_inside;
    struct tick_state state = { .state = thread->state,
                                .owner = thread->owner,
                                .flags = TICK_OF_OWN_CLOCK };
    if (thread->ignored)
        state.flags |= TICK_OF_NO_ONE;
    if (bsk_process_read(ticks->process, thread->state + ticks->recipe.state_number, &state.number,
                         sizeof(state.number), NULL) == BSK_OK)
        (void)bsk_bpf_set(ticks->states_fd, &key, &state); /* full: it searches instead */
}

static struct clock *clock_of(struct bsk_ticks *ticks, pid_t tid)
{
    for (size_t i = 0; i < ticks->clock_count; i++)
        if (ticks->clocks[i].tid == tid)
            return &ticks->clocks[i];
    return NULL;
}

static struct clock *new_clock(struct bsk_ticks *ticks)
{
    if (!bsk_room_for_one(&ticks->clocks, ticks->clock_count, &ticks->clock_capacity,
                          sizeof(*ticks->clocks)))
        return NULL;
    struct clock *clock = &ticks->clocks[ticks->clock_count++];
    *clock = (struct clock){ .fd = -1 };
    return clock;
}

int bsk_ticks_follow(struct bsk_ticks *ticks, const struct bsk_tick_thread *threads, size_t count,
                     struct bsk_error *err)
{
    size_t running = 0, wanted = 0;
    int reason = 0;
    for (size_t i = 0; i < ticks->clock_count; i++)
        ticks->clocks[i].listed = false;
    for (size_t i = 0; i < count; i++) {
        const struct bsk_tick_thread *thread = &threads[i];
        struct clock *clock = clock_of(ticks, thread->tid);
        bool is_new = !clock;
        if (is_new && !(clock = new_clock(ticks)))
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        if (is_new || clock->state != thread->state || clock->ignored != thread->ignored) {
            clock->tid = thread->tid;
            clock->tid_inside = thread->tid_inside;
            clock->state = thread->state;
            clock->ignored = thread->ignored;
            tell_program(ticks, thread);
        }
        clock->listed = true;
        if (clock->ignored) {
            close_fd(clock->fd);
            clock->fd = -1;
            continue;
        }
        wanted++;
        if (clock->fd < 0 && start_clock(ticks, clock) != 0)
            reason = errno;
        running += clock->fd >= 0;
    }
    size_t kept = 0;
    for (size_t i = 0; i < ticks->clock_count; i++) {
        struct clock *clock = &ticks->clocks[i];
        if (clock->listed) {
            ticks->clocks[kept++] = *clock;
            continue;
        }
        uint32_t key = (uint32_t)clock->tid_inside;
        (void)bsk_bpf_delete(ticks->states_fd, &key);
        close_fd(clock->fd);
    }
    ticks->clock_count = kept;
    if (wanted > 0 && running == 0 && reason != ESRCH) {
        errno = reason;
        return refused("perf clock", err);
    }
    return BSK_OK;
}

int bsk_ticks_catch_new(struct bsk_ticks *ticks, bool on, struct bsk_error *err)
{
    if (on == (ticks->cpu_fds != NULL))
        return BSK_OK;
    if (!on) {
        close_cpu_clocks(ticks);
        return BSK_OK;
    }
    int rc = BSK_OK;
    if (ticks->new_program_fd < 0)
        rc = open_program(ticks, true, &ticks->new_program_fd, err);
    if (rc < 0)
        return rc;
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    size_t count = cpus < 1 ? 1 : cpus > CPUS_MAX ? CPUS_MAX : (size_t)cpus;
    ticks->cpu_fds = calloc(count, sizeof(ticks->cpu_fds[0]));
    if (!ticks->cpu_fds)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    ticks->cpu_count = count;
    size_t running = 0;
    for (size_t i = 0; i < count; i++) { /* one that is offline has none */
        ticks->cpu_fds[i] =
            open_clock(ticks, -1, (int)i, draw_period(ticks), ticks->new_program_fd);
        running += ticks->cpu_fds[i] >= 0;
    }
    if (running > 0)
        return BSK_OK;
    rc = refused("perf clock of a CPU", err);
    close_cpu_clocks(ticks);
    return rc;
}

bool bsk_ticks_catches_new(const struct bsk_ticks *ticks)
{
    return ticks->cpu_fds != NULL;
}

/* A clock that has ticked gets another period now and then. (It begins a period anew by that, so
 * not one that takes long to tick: it never would.) */
static void redraw_periods(struct bsk_ticks *ticks)
{
    uint64_t now = bsk_now_ns();
    for (size_t i = 0; i < ticks->clock_count; i++) {
        struct clock *clock = &ticks->clocks[i];
        if (clock->fd < 0 || !clock->ticked || now - clock->drawn_ns < redraw_ns)
            continue;
        uint64_t period = other_period(ticks, &clock->period_ns);
        (void)ioctl(clock->fd, PERF_EVENT_IOC_PERIOD, &period);
        clock->ticked = false;
        clock->drawn_ns = now;
    }
    for (size_t i = 0; i < ticks->cpu_count && now - ticks->cpu_drawn_ns >= redraw_ns; i++) {
        uint64_t period = draw_period(ticks);
        (void)ioctl(ticks->cpu_fds[i], PERF_EVENT_IOC_PERIOD, &period);
    }
    if (now - ticks->cpu_drawn_ns >= redraw_ns)
        ticks->cpu_drawn_ns = now;
}

static void switch_clock(int fd, bool on)
{
    if (fd >= 0)
        (void)ioctl(fd, on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
}

void bsk_ticks_pause(struct bsk_ticks *ticks, bool pause)
{
    if (pause == ticks->paused)
        return;
    for (size_t i = 0; i < ticks->clock_count; i++)
        switch_clock(ticks->clocks[i].fd, !pause);
    for (size_t i = 0; i < ticks->cpu_count; i++)
        switch_clock(ticks->cpu_fds[i], !pause);
    ticks->paused = pause;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static void deliver(struct bsk_ticks *ticks, const struct tick_head *head,
                    const struct bsk_tick_frame *frames, size_t count, bsk_tick_fn *fn, void *user)
{
    struct bsk_tick tick = {
        .tid_inside = (pid_t)head->tid,
        .time_ns = head->time_ns,
        .period_ns = head->period_ns,
        .state = head->state,
        .owner = head->owner,
        .holds_lock = head->flags & TICK_HOLDS,
        .busy = head->flags & TICK_BUSY,
        .cut = head->flags & TICK_CUT && !(head->flags & (TICK_FAULT | TICK_GARBAGE)),
        .unread = head->flags & (TICK_FAULT | TICK_GARBAGE),
        .frames = frames,
        .count = count,
    };
    for (size_t i = 0; i < ticks->clock_count && !tick.listed; i++) {
        struct clock *clock = &ticks->clocks[i];
        if (clock->tid_inside == tick.tid_inside) {
            tick.tid = clock->tid;
            tick.listed = true;
            clock->ticked = true;
            if (clock->ignored)
                return;
        }
    }
    if (!tick.listed && ticks->same_namespace)
        tick.tid = tick.tid_inside;
    ticks->counts.ticks++;
    ticks->counts.cut += tick.cut;
    ticks->counts.unread += tick.unread;
    fn(&tick, user);
}

static struct unfinished *unfinished_of(struct bsk_ticks *ticks, uint32_t tid)
{
    for (size_t i = 0; i < ticks->unfinished_count; i++)
        if (ticks->unfinished[i].tid == tid)
            return &ticks->unfinished[i];
    struct unfinished *grown =
        realloc(ticks->unfinished, (ticks->unfinished_count + 1) * sizeof(*grown));
    if (!grown)
        return NULL;
    ticks->unfinished = grown;
    grown[ticks->unfinished_count] = (struct unfinished){ .tid = tid };
    return &grown[ticks->unfinished_count++];
}

/* One part of a deep stack; true when it is whole now. A gap loses the stack. */
static bool join(struct bsk_ticks *ticks, struct unfinished *stack, const struct tick_head *head,
                 const struct bsk_tick_frame *frames)
{
    if (head->part == 0) {
        ticks->counts.lost += stack->parts > 0;
        stack->count = 0;
        stack->parts = 0;
        stack->time_ns = head->time_ns;
    }
    if (stack->parts != head->part || stack->time_ns != head->time_ns ||
        stack->count + head->count > BSK_TICK_MAX_DEPTH) {
        ticks->counts.lost += head->flags & TICK_LAST;
        stack->parts = 0;
        return false;
    }
    if (!stack->frames || stack->count + head->count > stack->capacity) {
        size_t capacity = 2 * (stack->count + head->count) + 1;
        struct bsk_tick_frame *grown = realloc(stack->frames, capacity * sizeof(*grown));
        if (!grown)
            return false;
        stack->frames = grown;
        stack->capacity = capacity;
    }
    if (head->count > 0)
        memcpy(stack->frames + stack->count, frames, head->count * sizeof(*frames));
    stack->count += head->count;
    stack->parts++;
    return head->flags & TICK_LAST;
}

static void take(struct bsk_ticks *ticks, const uint8_t *record, size_t size, bsk_tick_fn *fn,
                 void *user)
{
    struct tick_head head;
    if (size < sizeof(head))
        return;
    memcpy(&head, record, sizeof(head));
    const struct bsk_tick_frame *frames = (const void *)(record + sizeof(head));
    if (head.count > (size - sizeof(head)) / sizeof(frames[0]))
        return;
    if (head.part == 0 && head.flags & TICK_LAST) {
        deliver(ticks, &head, frames, head.count, fn, user);
        return;
    }
    struct unfinished *stack = unfinished_of(ticks, head.tid);
    if (stack && join(ticks, stack, &head, frames)) {
        deliver(ticks, &head, stack->frames, stack->count, fn, user);
        stack->parts = 0;
    }
}

void bsk_ticks_read(struct bsk_ticks *ticks, bsk_tick_fn *fn, void *user)
{
    _Atomic uint64_t *produced = (_Atomic uint64_t *)(void *)ticks->produced;
    const uint8_t *data = ticks->produced + ticks->page_bytes;
    uint64_t at = atomic_load_explicit(ticks->consumed, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(produced, memory_order_acquire);
    while (at < end) {
        const uint8_t *record = data + (at & (ticks->ring_bytes - 1));
        uint32_t length =
            atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)record, memory_order_acquire);
        if (length & BPF_RINGBUF_BUSY_BIT)
            break; /* another CPU is writing it */
        uint32_t size = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
        if (!(length & BPF_RINGBUF_DISCARD_BIT))
            take(ticks, record + BPF_RINGBUF_HDR_SZ, size, fn, user);
        at += (size + BPF_RINGBUF_HDR_SZ + 7) & ~(uint64_t)7;
        atomic_store_explicit(ticks->consumed, at, memory_order_release);
    }
    redraw_periods(ticks);
}

void bsk_ticks_counts(const struct bsk_ticks *ticks, struct bsk_tick_counts *out_counts)
{
    *out_counts = ticks->counts;
    out_counts->lost += ticks->counters->lost;
    out_counts->unknown = ticks->counters->unknown;
}
