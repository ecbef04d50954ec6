/*
 * What the middleware costs, as ratios of one run: the same client talks to the same adapter
 * directly, through a plain byte forwarder, and through `basilisk dap`, in turn.
 *
 *     bench_dap BASILISK [--idle SECONDS] [--quick]
 *     bench_dap adapter            an adapter that answers at once (the tests use it too)
 *     bench_dap forward CMD...     copies bytes both ways between its stdio and CMD's
 *
 * The adapter answers every request; `flood` with {"events": N} makes it send N output events
 * before the answer, `big` with {"bytes": N} one output event of that size.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, ROUNDS = 5, FLOOD_EVENTS = 100000 };

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_dap: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            exit(0); /* the other side has gone: so do we */
        bytes += put;
        size -= (size_t)put;
    }
}

static void send_message(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void send_message(int fd, const char *format, ...)
{
    char body[4096], message[4200];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(body, sizeof(body), format, args);
    va_end(args);
    int whole = snprintf(message, sizeof(message), "Content-Length: %d\r\n\r\n%s", bytes, body);
    write_all(fd, message, (size_t)whole);
}

/* ---- Reading messages --------------------------------------------------------------------------
 */

struct reader {
    int fd;
    char buffer[READ_BYTES];
    size_t at, end;
};

static bool fill(struct reader *reader)
{
    ssize_t got = read(reader->fd, reader->buffer, sizeof(reader->buffer));
    reader->at = 0;
    reader->end = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* The next message: its first `size` - 1 bytes go to `head`; returns its length, -1 at the end. */
static ssize_t next_message(struct reader *reader, char *head, size_t size)
{
    char line[128];
    size_t length = 0, body = 0;
    for (;;) { /* header lines */
        if (reader->at == reader->end && !fill(reader))
            return -1;
        char c = reader->buffer[reader->at++];
        if (c != '\n') {
            if (length + 1 < sizeof(line))
                line[length++] = c;
            continue;
        }
        line[length] = '\0';
        if (length <= 1)
            break;
        if (strncmp(line, "Content-Length:", 15) == 0)
            body = strtoul(line + 15, NULL, 10);
        length = 0;
    }
    size_t kept = 0, left = body;
    while (left > 0) {
        if (reader->at == reader->end && !fill(reader))
            return -1;
        size_t part = reader->end - reader->at < left ? reader->end - reader->at : left;
        size_t keep = size - 1 - kept < part ? size - 1 - kept : part;
        memcpy(head + kept, reader->buffer + reader->at, keep);
        kept += keep;
        reader->at += part;
        left -= part;
    }
    head[kept] = '\0';
    return (ssize_t)body;
}

static long number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

/* ---- The adapter -------------------------------------------------------------------------------
 */

static void send_big(size_t bytes)
{
    static char filler[READ_BYTES];
    static const char before[] =
        "{\"seq\":1,\"type\":\"event\",\"event\":\"output\",\"body\":{\"output\":\"";
    char header[64];
    memset(filler, 'x', sizeof(filler));
    int length = snprintf(header, sizeof(header), "Content-Length: %zu\r\n\r\n",
                          sizeof(before) - 1 + bytes + 3);
    write_all(1, header, (size_t)length);
    write_all(1, before, sizeof(before) - 1);
    while (bytes > 0) {
        size_t part = bytes < sizeof(filler) ? bytes : sizeof(filler);
        write_all(1, filler, part);
        bytes -= part;
    }
    write_all(1, "\"}}", 3);
}

static int run_adapter(void)
{
    static struct reader reader = { .fd = 0 };
    char head[4096];
    while (next_message(&reader, head, sizeof(head)) >= 0) {
        long seq = number_after(head, "\"seq\":"), events = number_after(head, "\"events\":"),
             bytes = number_after(head, "\"bytes\":");
        for (long i = 0; i < events; i++)
            send_message(1,
                         "{\"seq\":%ld,\"type\":\"event\",\"event\":\"output\",\"body\":{"
                         "\"category\":\"stdout\",\"output\":\"line %ld of the program\\n\"}}",
                         i + 1, i);
        if (bytes > 0)
            send_big((size_t)bytes);
        send_message(1,
                     "{\"seq\":1,\"type\":\"response\",\"request_seq\":%ld,\"success\":true,"
                     "\"command\":\"threads\",\"body\":{\"threads\":[]}}",
                     seq);
        if (strstr(head, "\"disconnect\""))
            return 0;
    }
    return 0;
}

/* ---- Processes ---------------------------------------------------------------------------------
 */

struct peer {
    pid_t pid;
    int in; /* we write */
    struct reader out;
};

static void start(struct peer *peer, char *const argv[])
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        die("pipe");
    peer->pid = fork();
    if (peer->pid < 0)
        die("fork");
    if (peer->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execv(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    peer->in = in[1];
    peer->out.fd = out[0];
    peer->out.at = peer->out.end = 0;
}

static void finish(struct peer *peer)
{
    close(peer->in);
    close(peer->out.fd);
    waitpid(peer->pid, NULL, 0);
}

static int run_forwarder(char *const argv[])
{
    static struct peer peer;
    static char buffer[READ_BYTES];
    start(&peer, argv);
    struct pollfd fds[2] = { { .fd = 0, .events = POLLIN },
                             { .fd = peer.out.fd, .events = POLLIN } };
    const int to[2] = { peer.in, 1 };
    while (poll(fds, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            if (!fds[i].revents)
                continue;
            ssize_t got = read(fds[i].fd, buffer, sizeof(buffer));
            if (got <= 0) {
                finish(&peer);
                return 0;
            }
            write_all(to[i], buffer, (size_t)got);
        }
    }
    return 1;
}

/* ---- The measurements --------------------------------------------------------------------------
 */

/* A field of /proc/PID/status, of all threads together; kB or counts. */
static long status_sum(pid_t pid, const char *key)
{
    char command[256], line[64];
    snprintf(command, sizeof(command),
             "cat /proc/%d/task/*/status | awk '/^%s/ { n += $2 } END { print n + 0 }'", (int)pid,
             key);
    FILE *pipe = popen(command, "r");
    long value = pipe && fgets(line, sizeof(line), pipe) ? strtol(line, NULL, 10) : -1;
    if (pipe)
        pclose(pipe);
    return value;
}

static long peak_kb(pid_t pid)
{
    char path[64], line[128];
    long value = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            value = strtol(line + 6, NULL, 10);
    }
    if (file)
        fclose(file);
    return value;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct way {
    const char *name;
    char *argv[8];
    uint64_t *trips;
    size_t trip_count;
    double flood_s, big_s[2]; /* the best of the rounds */
    long peak_kb;
    bool in_order;
};

static void greet(struct peer *peer)
{
    char head[256];
    send_message(peer->in, "{\"seq\":1,\"type\":\"request\",\"command\":\"initialize\","
                           "\"arguments\":{\"adapterID\":\"x\"}}");
    next_message(&peer->out, head, sizeof(head));
}

static void measure_trips(struct way *way, size_t trips)
{
    static struct peer peer;
    char head[256];
    start(&peer, way->argv);
    greet(&peer);
    for (size_t i = 0; i < trips; i++) {
        uint64_t before = now_ns();
        send_message(peer.in, "{\"seq\":%zu,\"type\":\"request\",\"command\":\"threads\"}", i + 2);
        next_message(&peer.out, head, sizeof(head));
        way->trips[way->trip_count++] = now_ns() - before;
    }
    finish(&peer);
}

static void measure_flood(struct way *way)
{
    static struct peer peer;
    char head[256];
    start(&peer, way->argv);
    greet(&peer);
    uint64_t before = now_ns();
    send_message(peer.in,
                 "{\"seq\":1,\"type\":\"request\",\"command\":\"flood\",\"arguments\":{"
                 "\"events\":%d}}",
                 FLOOD_EVENTS);
    long expected = 0;
    while (next_message(&peer.out, head, sizeof(head)) >= 0 && strstr(head, "\"event\"")) {
        if (number_after(head, "\"output\":\"line ") != expected++)
            way->in_order = false;
    }
    way->in_order = way->in_order && expected == FLOOD_EVENTS;
    double seconds = (double)(now_ns() - before) / 1e9;
    if (way->flood_s == 0 || seconds < way->flood_s)
        way->flood_s = seconds;
    finish(&peer);
}

static void measure_big(struct way *way, int index, size_t bytes)
{
    static struct peer peer;
    char head[256];
    start(&peer, way->argv);
    greet(&peer);
    uint64_t before = now_ns();
    send_message(peer.in,
                 "{\"seq\":1,\"type\":\"request\",\"command\":\"big\",\"arguments\":{"
                 "\"bytes\":%zu}}",
                 bytes);
    if (next_message(&peer.out, head, sizeof(head)) < (ssize_t)bytes)
        way->in_order = false;
    double seconds = (double)(now_ns() - before) / 1e9;
    if (way->big_s[index] == 0 || seconds < way->big_s[index])
        way->big_s[index] = seconds;
    long kb = peak_kb(peer.pid);
    if (kb > way->peak_kb)
        way->peak_kb = kb;
    finish(&peer);
}

static int count_fds(pid_t pid)
{
    char command[64], line[32];
    snprintf(command, sizeof(command), "ls /proc/%d/fd | wc -l", (int)pid);
    FILE *pipe = popen(command, "r");
    int value = pipe && fgets(line, sizeof(line), pipe) ? atoi(line) : -1;
    if (pipe)
        pclose(pipe);
    return value;
}

static void measure_idle(struct way *way, unsigned seconds)
{
    static struct peer peer;
    start(&peer, way->argv);
    greet(&peer);
    sleep(1); /* what followed the greeting has settled; a measurement, not a test */
    long switches = -status_sum(peer.pid, "voluntary_ctxt_switches") -
                    status_sum(peer.pid, "nonvoluntary_ctxt_switches");
    int fds = count_fds(peer.pid);
    sleep(seconds);
    switches += status_sum(peer.pid, "voluntary_ctxt_switches") +
                status_sum(peer.pid, "nonvoluntary_ctxt_switches");
    printf("idle for %u s: %ld context switches, %ld kB resident, descriptors %d -> %d\n", seconds,
           switches, status_sum(peer.pid, "VmRSS"), fds, count_fds(peer.pid));
    finish(&peer);
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "adapter") == 0)
        return run_adapter();
    if (argc >= 3 && strcmp(argv[1], "forward") == 0)
        return run_forwarder(argv + 2);
    if (argc < 2) {
        fprintf(stderr, "usage: bench_dap BASILISK [--idle SECONDS] [--quick]\n");
        return 2;
    }
    unsigned idle_s = 60;
    bool quick = false;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            quick = true;
        else if (strcmp(argv[i], "--idle") == 0 && i + 1 < argc)
            idle_s = (unsigned)atoi(argv[++i]);
    }
    signal(SIGPIPE, SIG_IGN);
    char self[4096];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[bytes > 0 ? bytes : 0] = '\0';
    char mode[] = "adapter", forward[] = "forward", dap[] = "dap", dashes[] = "--";
    struct way ways[] = {
        { .name = "direct", .argv = { self, mode } },
        { .name = "forwarder", .argv = { self, forward, self, mode } },
        { .name = "basilisk", .argv = { argv[1], dap, dashes, self, mode } },
    };
    enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
    const size_t big[2] = { 32U << 20, quick ? 64U << 20 : 500U << 20 };
    size_t trips = quick ? 2000 : 10000;
    for (int i = 0; i < WAYS; i++) {
        ways[i].trips = calloc(trips * ROUNDS, sizeof(uint64_t));
        ways[i].in_order = true;
        if (!ways[i].trips)
            die("calloc");
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < WAYS; i++) {
            measure_trips(&ways[i], trips);
            measure_flood(&ways[i]);
            measure_big(&ways[i], 0, big[0]);
            if (round < 2)
                measure_big(&ways[i], 1, big[1]);
        }
    }
    printf("%-10s %12s %12s %14s %7s %9s %9s %9s\n", "", "median us", "p99 us", "events/s", "order",
           "32 MiB ms", quick ? "64 MiB ms" : "500MiB ms", "peak kB");
    for (int i = 0; i < WAYS; i++) {
        struct way *way = &ways[i];
        qsort(way->trips, way->trip_count, sizeof(uint64_t), compare);
        printf("%-10s %12.1f %12.1f %14.0f %7s %9.1f %9.1f %9ld\n", way->name,
               (double)way->trips[way->trip_count / 2] / 1e3,
               (double)way->trips[way->trip_count * 99 / 100] / 1e3, FLOOD_EVENTS / way->flood_s,
               way->in_order ? "yes" : "NO", way->big_s[0] * 1e3, way->big_s[1] * 1e3,
               way->peak_kb);
    }
    struct way *direct = &ways[0], *forwarder = &ways[1], *basilisk = &ways[2];
    size_t middle = basilisk->trip_count / 2, p99 = basilisk->trip_count * 99 / 100;
    printf("median over the forwarder's: %+.1f us (goal 10)\n",
           ((double)basilisk->trips[middle] - (double)forwarder->trips[middle]) / 1e3);
    printf("p99 to direct: %.2f (goal 2)\n",
           (double)basilisk->trips[p99] / (double)direct->trips[p99]);
    printf("events to direct: %.2f (goal 0.8)\n", direct->flood_s / basilisk->flood_s);
    printf("32 MiB to direct: %.2f, the large one: %.2f (goal 1.2)\n",
           basilisk->big_s[0] / direct->big_s[0], basilisk->big_s[1] / direct->big_s[1]);
    if (idle_s > 0)
        measure_idle(basilisk, idle_s);
    return 0;
}
