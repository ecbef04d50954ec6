#include "engine/process/pause.h"
#include "engine/process/process.h"
#include "tests/engine/fixtures/children.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

const char bsk_known_text[] = "spam, eggs and spam"; /* has a symbol in the full table */

/* A copy of this program that waits; addresses are the same in it. */
struct twin {
    pid_t pid;
    struct bsk_process *process;
};

static int start_twin(void **state)
{
    static struct twin twin;
    int ready[2];
    char letter;
    if (pipe(ready) != 0 || (twin.pid = fork()) < 0)
        return -1;
    if (twin.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* no orphan, however the test ends */
        while (write(ready[1], "R", 1) == 1)
            pause();
        _exit(0);
    }
    close(ready[1]);
    ssize_t got = read(ready[0], &letter, 1);
    close(ready[0]);
    *state = &twin;
    return got == 1 ? bsk_process_open(twin.pid, &twin.process, NULL) : -1;
}

static int stop_twin(void **state)
{
    struct twin *twin = *state;
    bsk_process_close(twin->process);
    kill(twin->pid, SIGKILL);
    return waitpid(twin->pid, NULL, 0) > 0 ? 0 : -1;
}

static void reads_exactly_what_the_child_holds(void **state)
{
    struct twin *twin = *state;
    char copy[sizeof(bsk_known_text)] = "";
    struct bsk_error err = { 0 };
    int rc = bsk_process_read(twin->process, (uintptr_t)bsk_known_text, copy, sizeof(copy), &err);
    assert_string_equal(err.message, ""); /* first, so that a failure prints the reason */
    assert_int_equal(rc, BSK_OK);
    assert_string_equal(copy, bsk_known_text);
}

static void tells_torn_and_too_large_apart(void **state)
{
    struct twin *twin = *state;
    const struct {
        const char *why;
        uint64_t address;
        size_t size;
        enum bsk_code expected;
    } cases[] = {
        { "page zero is never mapped", 8, 8, BSK_E_TORN },
        { "the kernel's half is not ours", UINT64_MAX - 4, 8, BSK_E_TORN },
        { "nor is what the processor cannot address", UINT64_C(1) << 62, 8, BSK_E_TORN },
        { "a wild size is refused", (uintptr_t)bsk_known_text, SIZE_MAX / 2, BSK_E_LIMIT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char bytes[8];
        print_message("  %s\n", cases[i].why);
        assert_int_equal(
            bsk_process_read(twin->process, cases[i].address, bytes, cases[i].size, NULL),
            cases[i].expected);
    }
}

static void a_bad_piece_costs_itself_alone(void **state)
{
    enum { COUNT = 3000 };
    struct twin *twin = *state;
    static struct bsk_piece pieces[COUNT];
    static char copies[COUNT][5];
    static const uint64_t bad[] = { 0, 8, UINT64_MAX, UINT64_C(1) << 62, INT64_MAX };
    for (size_t i = 0; i < COUNT; i++) {
        bool good = i % 7 != 3 && i != 1023 && i != 1024 && i != COUNT - 1;
        pieces[i] = (struct bsk_piece){ .address = good ? (uintptr_t)bsk_known_text : bad[i % 5],
                                        .dst = copies[i],
                                        .size = 4 };
    }
    pieces[5].size = 0;
    pieces[6].size = UINT32_MAX;
    assert_int_equal(bsk_process_read_pieces(twin->process, pieces, COUNT, NULL), BSK_OK);
    for (size_t i = 0; i < COUNT; i++) {
        bool good = i % 7 != 3 && i != 1023 && i != 1024 && i != COUNT - 1 && i != 5 && i != 6;
        assert_int_equal(pieces[i].ok, good);
        assert_string_equal(copies[i], good ? "spam" : "");
    }
    assert_int_equal(bsk_process_read_pieces(twin->process, pieces, 0, NULL), BSK_OK);
}

static void finds_symbols_sections_and_mappings(void **state)
{
    struct twin *twin = *state;
    struct bsk_maps maps = { 0 };
    struct bsk_image *image = NULL;
    struct bsk_error err = { 0 };
    char exe[4096];
    bsk_process_exe(twin->pid, exe, sizeof(exe));
    assert_int_equal(bsk_maps_read(twin->process, &maps, &err), BSK_OK);
    size_t index = 0;
    while (index < maps.count && strcmp(maps.items[index].path, exe) != 0)
        index++;
    assert_true(index < maps.count);
    for (; index < maps.count && strcmp(maps.items[index].path, exe) == 0; index++) {
        uint64_t address = 0, size = 0, start, end;
        struct bsk_symbol symbols[] = { { .name = "bsk_known_text" }, { .name = "no_such_name" } };
        assert_int_equal(bsk_image_open(twin->process, &maps, index, &image, &err), BSK_OK);
        assert_int_equal(bsk_image_symbols(image, symbols, 2), 1);
        assert_int_equal(symbols[0].address, (uintptr_t)bsk_known_text);
        assert_int_equal(symbols[0].size, sizeof(bsk_known_text));
        assert_true(bsk_image_section(image, ".text", &address, &size));
        assert_true((uintptr_t)start_twin - address < size);
        assert_false(bsk_image_section(image, ".no_such_section", &address, &size));
        bsk_image_range(image, &start, &end);
        assert_true(start <= address && address + size <= end);
        bsk_image_close(image);
    }
    bsk_maps_free(&maps);
}

static void *wait_in_thread(void *user)
{
    char letter;
    int *pipes = user;
    while (write(pipes[1], "R", 1) == 1 && read(pipes[2], &letter, 1) == 1)
        break;
    return NULL;
}

static void knows_threads_and_what_they_do(void **state)
{
    (void)state;
    struct bsk_process *self = NULL;
    struct bsk_threads threads = { 0 };
    struct bsk_thread *mine;
    int ready[2], go[2];
    char letter;
    uint64_t before = 0, after = 0, turns;
    assert_int_equal(pipe(ready) | pipe(go), 0);
    int pipes[] = { ready[0], ready[1], go[0] };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_in_thread, pipes), 0);
    assert_int_equal(read(ready[0], &letter, 1), 1);

    assert_int_equal(bsk_process_open(getpid(), &self, NULL), BSK_OK);
    assert_int_equal(bsk_threads_refresh(self, &threads, NULL), BSK_OK);
    assert_int_equal(threads.count, 2);
    mine = bsk_threads_find(&threads, gettid());
    assert_non_null(mine);
    assert_int_equal(mine->tid_inside, gettid());
    assert_int_equal(bsk_thread_state(self, mine, &letter), BSK_OK);
    assert_int_equal(letter, 'R');
    assert_int_equal(bsk_thread_cpu_ns(self, mine, &before, &turns), BSK_OK);
    while (bsk_thread_cpu_ns(self, mine, &after, &turns) == BSK_OK && after == before)
        continue; /* the counter moves once a tick */
    assert_true(after > before);
    struct bsk_thread other = threads.items[threads.items[0].tid == gettid() ? 1 : 0];
    assert_int_equal(write(go[1], "G", 1), 1);
    pthread_join(thread, NULL);
    while (bsk_threads_refresh(self, &threads, NULL) == BSK_OK && threads.count == 2)
        continue; /* join returns a moment before the kernel has taken it off the list */
    assert_int_equal(threads.count, 1);
    assert_null(bsk_threads_find(&threads, other.tid));
    other.schedstat_fd = other.stat_fd = -1;
    assert_int_equal(bsk_thread_cpu_ns(self, &other, &after, &turns), BSK_E_GONE);
    bsk_threads_free(&threads);
    bsk_process_close(self);
    close(ready[0]), close(ready[1]), close(go[0]), close(go[1]);
}

static void says_who_descends_from_whom(void **state)
{
    (void)state;
    char line[64];
    const char *const arguments[] = { "sh", "-c", "sh -c 'echo $$; read x; :'; :", NULL };
    struct child child = start_child(arguments);
    read_line(&child, line, sizeof(line));
    pid_t grandchild = atoi(line), *below = NULL;
    size_t count = 0;
    struct bsk_process_facts facts = { 0 };
    assert_int_equal(bsk_process_facts(grandchild, &facts, NULL), BSK_OK);
    assert_int_equal(facts.parent, child.pid);
    assert_int_equal(facts.uid, geteuid());
    assert_true(facts.start_ticks > 0);
    assert_int_equal(bsk_process_below(getpid(), &below, &count, NULL), BSK_OK);
    size_t at_child = SIZE_MAX, at_grandchild = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        at_child = below[i] == child.pid ? i : at_child;
        at_grandchild = below[i] == grandchild ? i : at_grandchild;
        assert_int_not_equal(below[i], getpid());
    }
    assert_true(at_child < at_grandchild && at_grandchild < count);
    free(below);
    char command[12], cwd[4096], own[4096];
    bsk_process_command(child.pid, command, sizeof(command));
    assert_string_equal(command, "sh -c sh...");
    bsk_process_cwd(child.pid, cwd, sizeof(cwd));
    assert_string_equal(cwd, getcwd(own, sizeof(own)));
    close(child.input);
    child.input = -1;
    stop_child(&child);
}

static void notices_the_end_and_an_exec(void **state)
{
    (void)state;
    char line[16];
    struct bsk_error err = { 0 };
    struct bsk_process *process = NULL;
    struct bsk_maps maps = { 0 };
    const char *const arguments[] = { "sh", "-c", "echo a; read x; exec sh -c 'echo b; read y'",
                                      NULL };
    struct child child = start_child(arguments);
    read_line(&child, line, sizeof(line));
    assert_int_equal(bsk_process_open(child.pid, &process, &err), BSK_OK);
    assert_int_equal(bsk_maps_read(process, &maps, &err), BSK_OK);
    uint64_t address = maps.items[0].start;
    bsk_maps_free(&maps);
    assert_int_equal(bsk_process_same(process, address, &err), BSK_OK);
    assert_int_equal(write(child.input, "\n", 1), 1);
    read_line(&child, line, sizeof(line));
    assert_int_equal(bsk_process_same(process, address, &err), BSK_E_GONE);
    assert_non_null(strstr(err.message, "another program"));
    bsk_process_close(process);

    assert_int_equal(bsk_process_open(child.pid, &process, &err), BSK_OK);
    pid_t pid = child.pid;
    stop_child(&child);
    char byte;
    assert_int_equal(bsk_process_same(process, address, &err), BSK_E_GONE);
    assert_int_equal(bsk_process_read(process, address, &byte, 1, &err), BSK_E_GONE);
    struct bsk_piece piece = { .address = address, .dst = &byte, .size = 1 };
    assert_int_equal(bsk_process_read_pieces(process, &piece, 1, &err), BSK_E_GONE);
    bsk_process_close(process);
    assert_int_equal(bsk_process_open(pid, &process, &err), BSK_E_GONE);
    assert_int_equal(bsk_process_open(-1, &process, &err), BSK_E_GONE);
    assert_int_equal(bsk_process_open(INT_MAX, &process, &err), BSK_E_GONE);
    assert_ptr_equal(strstr(err.message, "Process not found"), err.message);
}

static void says_who_may_not_read(void **state)
{
    struct twin *twin = *state;
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (child == 0) {
        struct bsk_process *process;
        struct bsk_error err = { 0 };
        bool right = setuid(65534) == 0 &&
                     bsk_process_open(twin->pid, &process, &err) == BSK_E_PERMISSION &&
                     strncmp(err.message, "Permission denied", 17) == 0 &&
                     strstr(err.message, "ptrace_scope") && err.hint[0];
        print_message("  %s: %s\n", err.message, err.hint);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void names_system_calls_and_tells_which_only_wait(void **state)
{
    (void)state;
    const struct {
        int32_t call;
        const char *name;
        bool waits;
    } cases[] = {
        { SYS_read, "read", false },
        { SYS_openat, "openat", false },
        { SYS_fsync, "fsync", false },
        { SYS_futex, "futex", true },
        { SYS_epoll_pwait, "epoll_pwait", true },
        { SYS_clock_nanosleep, "clock_nanosleep", true },
        { SYS_wait4, "wait4", true },
        { SYS_restart_syscall, "restart_syscall", true },
        { BSK_CALL_FAULT, "page fault", false },
        { BSK_CALL_UNKNOWN, "", false },
        { INT32_MAX, "", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(bsk_call_name(cases[i].call), cases[i].name);
        assert_int_equal(bsk_call_only_waits(cases[i].call), cases[i].waits);
    }
}

/* The exit of a child of ours, held or not, is for who waits for it. */
static void a_pause_leaves_how_a_child_ended_to_who_waits(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct bsk_pause *pause = NULL;
        int status = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* no orphan, however the test ends */
            for (;;)
                continue;
        }
        assert_int_equal(bsk_process_pause(pid, &pause, NULL), BSK_OK);
        assert_true(bsk_pause_holds(pause, pid));
        kill(pid, SIGKILL);
        while (bsk_pause_holds(pause, pid))
            (void)bsk_pause_let_go(pause);
        bsk_process_resume(pause);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
}

static void who_is_paused_goes_on_and_costs_are_counted(void **state)
{
    (void)state;
    struct bsk_pause *pause = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            continue;
    }
    assert_int_equal(bsk_pause_open(pid, &pause, NULL), BSK_OK);
    for (int i = 0; i < 50; i++) {
        uint64_t before, after;
        assert_int_equal(bsk_pause_ask(pause, pid, NULL), BSK_OK);
        while (!bsk_pause_wait(pause, 1000000))
            continue;
        /* It stands still: a hundred looks in a row see the same. Its last time may be counted some
         * microseconds after the stop is told. */
        assert_true(bsk_process_cpu_ns(pid, &before));
        for (int same = 0, looks = 0; same < 100; looks++) {
            assert_true(looks < 1000000);
            assert_true(bsk_process_cpu_ns(pid, &after));
            same = after == before ? same + 1 : 0;
            before = after;
        }
        assert_true(bsk_pause_let_go(pause));
        do
            assert_true(bsk_process_cpu_ns(pid, &after));
        while (after == before); /* and goes on */
    }
    const struct bsk_pause_cost cost = bsk_pause_cost(pause);
    assert_int_equal(cost.stops, 50);
    assert_true(cost.longest_ns > 0 && cost.longest_ns <= cost.stopped_ns);
    assert_true(cost.stopped_ns <= 50 * cost.longest_ns);
    bsk_process_resume(pause);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_system_calls_and_tells_which_only_wait),
        cmocka_unit_test(a_pause_leaves_how_a_child_ended_to_who_waits),
        cmocka_unit_test(who_is_paused_goes_on_and_costs_are_counted),
        cmocka_unit_test(reads_exactly_what_the_child_holds),
        cmocka_unit_test(tells_torn_and_too_large_apart),
        cmocka_unit_test(a_bad_piece_costs_itself_alone),
        cmocka_unit_test(finds_symbols_sections_and_mappings),
        cmocka_unit_test(knows_threads_and_what_they_do),
        cmocka_unit_test(says_who_descends_from_whom),
        cmocka_unit_test(notices_the_end_and_an_exec),
        cmocka_unit_test(says_who_may_not_read),
    };
    return cmocka_run_group_tests(tests, start_twin, stop_twin);
}
