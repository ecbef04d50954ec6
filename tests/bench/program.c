#include "tests/bench/program.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const struct bench_program bench_programs[] = {
    { "a", "deep.py", { "22" }, "depth 22, four functions with 60, 25, 10 and 5 percent" },
    { "b", "deep.py", { "202" }, "the same, depth 202" },
    { "c", "many.py", { "16", "2" }, "16 threads, 2 of them busy" },
    { "d", "tasks.py", { "50" }, "asyncio, 50 tasks" },
    { "f", "flutter.py", { NULL }, "short calls in turn" },
    { "g", "generators.py", { NULL }, "generators" },
    { "h", "unequal.py", { NULL }, "unequal short calls" },
    { "k", "two_calls.py", { NULL }, "generators with two calls each" },
    { "p", "one_site.py", { NULL }, "one call site, Python and C functions of 20 to 100 ns" },
    { "r", "deep.py", { "10000" }, "as a, depth 10,000" },
    { "u", "no_names.py", { NULL }, "generators, calls that name nobody" },
    { "s", "churn.py", { "4" }, "threads that start and end" },
    { NULL, NULL, { NULL }, NULL },
};

const struct bench_program *bench_program_named(const char *letter)
{
    for (const struct bench_program *p = bench_programs; p->letter; p++) {
        if (strcmp(p->letter, letter) == 0)
            return p;
    }
    return NULL;
}

void bench_keep_to(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

static void become(const struct bench_program *program, const char *python, const char *mode,
                   int core, int output, int count_fd)
{
    char path[4096], counter[64];
    const char *arguments[8] = { python, "-S", path };
    size_t count = 3;
    snprintf(path, sizeof(path), "%s/tests/bench/programs/%s", BENCH_SOURCE_FOLDER, program->file);
    for (size_t i = 0; i < 2 && program->arguments[i]; i++)
        arguments[count++] = program->arguments[i];
    arguments[count] = mode;
    if (core >= 0)
        bench_keep_to(core);
    dup2(output, 1);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    unsetenv("BENCH_COUNTER");
    if (count_fd >= 0) {
        fcntl(count_fd, F_SETFD, 0); /* it opens it by its number */
        snprintf(counter, sizeof(counter), "/proc/self/fd/%d", count_fd);
        setenv("BENCH_COUNTER", counter, 1);
    }
    execvp(python, (char *const *)arguments);
    perror(python);
    _exit(127);
}

static bool start(const struct bench_program *program, const char *python, const char *mode,
                  int core, struct bench_child *out_child)
{
    int out[2];
    struct bench_child child = { .count_fd = -1 };
    if (!mode) {
        child.count_fd = memfd_create("bench-count", MFD_CLOEXEC);
        if (child.count_fd < 0 || ftruncate(child.count_fd, 8) != 0)
            goto fail;
        void *count = mmap(NULL, 8, PROT_READ, MAP_SHARED, child.count_fd, 0);
        if (count == MAP_FAILED)
            goto fail;
        child.count = count;
    }
    if (pipe2(out, O_CLOEXEC) != 0)
        goto fail;
    pid_t parent = getpid();
    child.pid = fork();
    if (child.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* no orphan, however we end */
        if (getppid() != parent)
            _exit(127);
        become(program, python, mode, core, out[1], child.count_fd);
    }
    close(out[1]);
    child.output = fdopen(out[0], "r");
    if (child.pid < 0 || !child.output)
        goto fail;
    *out_child = child;
    return true;
fail:
    bench_stop(&child);
    return false;
}

bool bench_start(const struct bench_program *program, const char *python, int core,
                 struct bench_child *out_child)
{
    char line[64];
    if (!start(program, python, NULL, core, out_child))
        return false;
    if (fgets(line, sizeof(line), out_child->output) && strncmp(line, "ready", 5) == 0)
        return true;
    bench_stop(out_child);
    return false;
}

struct bench_child bench_borrow(pid_t pid)
{
    return (struct bench_child){ .pid = pid, .borrowed = true, .count_fd = -1 };
}

bool bench_start_legal(const struct bench_program *program, const char *python,
                       struct bench_child *out_child)
{
    return start(program, python, "legal", -1, out_child);
}

void bench_stop(struct bench_child *child)
{
    if (child->pid > 0 && !child->borrowed) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    child->pid = 0;
    if (child->output)
        fclose(child->output);
    child->output = NULL;
    if (child->count)
        munmap((void *)(uintptr_t)child->count, 8);
    child->count = NULL;
    if (child->count_fd >= 0)
        close(child->count_fd);
    child->count_fd = -1;
}
