#include "engine/memory/budget.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number at the start of a small file; false when there is none ("max"). */
static bool read_number(const char *folder, const char *below, const char *name, uint64_t *out)
{
    char path[PATH_MAX], text[64] = "", *end = text;
    if (snprintf(path, sizeof(path), "%s%s/%s", folder, below, name) >= (int)sizeof(path))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool got = fgets(text, sizeof(text), file) != NULL;
    fclose(file);
    if (got)
        *out = strtoull(text, &end, 10);
    return got && end != text;
}

/* The number behind `key` in a file of "key number" lines. */
static bool read_field(const char *path, const char *key, uint64_t *out)
{
    char line[256];
    size_t size = strlen(key);
    bool found = false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, size) == 0 && (line[size] == ' ' || line[size] == ':')) {
            *out = strtoull(line + size + 1, NULL, 10);
            found = true;
        }
    }
    fclose(file);
    return found;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What one group has left: its limit, less what it uses and could not give back. */
static uint64_t left_in(const char *folder, const char *group, bool is_v2)
{
    uint64_t limit = 0, used = 0, cached = 0;
    char path[PATH_MAX];
    if (!read_number(folder, group, is_v2 ? "memory.max" : "memory.limit_in_bytes", &limit) ||
        !read_number(folder, group, is_v2 ? "memory.current" : "memory.usage_in_bytes", &used))
        return UINT64_MAX;
    if (snprintf(path, sizeof(path), "%s%s/memory.stat", folder, group) < (int)sizeof(path) &&
        read_field(path, is_v2 ? "inactive_file" : "total_inactive_file", &cached))
        used -= least(used, cached);
    return limit > used ? limit - used : 0;
}

/* The tightest of a group and those above it. */
static uint64_t left_above(const char *folder, char *group, bool is_v2)
{
    uint64_t left = UINT64_MAX;
    for (;;) {
        left = least(left, left_in(folder, group, is_v2));
        char *slash = strrchr(group, '/');
        if (!slash)
            return left;
        *slash = '\0';
    }
}

uint64_t bsk_memory_left_in_groups(const char *membership, const char *groups)
{
    char line[PATH_MAX], folder[PATH_MAX];
    uint64_t left = UINT64_MAX;
    FILE *file = fopen(membership, "re");
    if (!file)
        return left;
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        controllers++;
        if (group[0] == '/' && group[1] == '\0')
            group[0] = '\0';
        if (controllers[0] == '\0') {
            left = least(left, left_above(groups, group, true));
        } else if (strcmp(controllers, "memory") == 0 &&
                   snprintf(folder, sizeof(folder), "%s/memory", groups) < (int)sizeof(folder)) {
            left = least(left, left_above(folder, group, false));
        }
    }
    fclose(file);
    return left;
}

struct bsk_memory_budget bsk_memory_budget_for(pid_t pid, const struct bsk_memory_budget *asked)
{
    struct bsk_memory_budget budget = { BSK_BUDGET_MS, BSK_BUDGET_BYTES };
    char path[64];
    uint64_t available_kb = 0;
    if (asked && asked->ms)
        budget.ms = asked->ms;
    if (asked && asked->bytes)
        budget.bytes = asked->bytes;
    if (pid <= 0)
        return budget;
    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    budget.bytes = least(budget.bytes, bsk_memory_left_in_groups(path, "/sys/fs/cgroup") / 2);
    if (read_field("/proc/meminfo", "MemAvailable", &available_kb))
        budget.bytes = least(budget.bytes, available_kb * 1024 / 2);
    return budget;
}
