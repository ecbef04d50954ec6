/* Who descends from whom, by /proc; part of child.h. */
#include "engine/base/room.h"
#include "proxy/wire/child.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stat_line {
    pid_t parent, session;
    char state;
    unsigned long long started;
};

static bool read_stat(pid_t pid, struct stat_line *out)
{
    char path[64], line[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t size = fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    line[size] = '\0';
    const char *after_name = strrchr(line, ')'); /* the name may hold anything */
    int parent = 0, session = 0;
    return after_name &&
           sscanf(after_name,
                  ") %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                  "%*d %*d %llu",
                  &out->state, &parent, &session, &out->started) == 4 &&
           ((out->parent = parent), (out->session = session), true);
}

bool dap_processes_contain(const struct dap_processes *processes, pid_t pid)
{
    for (size_t i = 0; i < processes->count; i++) {
        if (processes->list[i].pid == pid)
            return true;
    }
    return false;
}

static void add(struct dap_processes *processes, pid_t pid, unsigned long long started)
{
    if (!bsk_room_for_one(&processes->list, processes->count, &processes->capacity,
                          sizeof(*processes->list)))
        return;
    processes->list[processes->count++] = (struct dap_process){ pid, started };
}

void dap_processes_add(struct dap_processes *processes, pid_t pid)
{
    struct stat_line stat;
    if (!dap_processes_contain(processes, pid) && read_stat(pid, &stat))
        add(processes, pid, stat.started);
}

/* One look at all of /proc for children of `parent`, or with `deep` of what is listed already. (The
 * kernel's own list of children is not built into every kernel.) */
static void look(struct dap_processes *processes, pid_t parent, bool deep)
{
    pid_t our_session = getsid(0);
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        struct stat_line stat;
        if (pid <= 0 || pid == parent || dap_processes_contain(processes, pid) ||
            !read_stat(pid, &stat) || stat.state == 'Z' || stat.session != our_session)
            continue;
        if (stat.parent == parent || (deep && dap_processes_contain(processes, stat.parent)))
            add(processes, pid, stat.started);
    }
    if (proc)
        closedir(proc);
}

void dap_processes_add_children(struct dap_processes *processes, pid_t parent)
{
    look(processes, parent, false);
}

void dap_processes_add_below(struct dap_processes *processes, pid_t root)
{
    size_t before;
    do {
        before = processes->count;
        look(processes, root, true);
    } while (processes->count > before);
}

size_t dap_processes_prune(struct dap_processes *processes)
{
    size_t kept = 0;
    for (size_t i = 0; i < processes->count; i++) {
        struct stat_line stat;
        if (read_stat(processes->list[i].pid, &stat) && stat.state != 'Z' &&
            stat.started == processes->list[i].started)
            processes->list[kept++] = processes->list[i];
    }
    processes->count = kept;
    return kept;
}

void dap_processes_kill(const struct dap_processes *processes, int signal_number)
{
    for (size_t i = 0; i < processes->count; i++)
        kill(processes->list[i].pid, signal_number);
}

void dap_processes_free(struct dap_processes *processes)
{
    free(processes->list);
    *processes = (struct dap_processes){ 0 };
}
