/* What is told of a process that is held: by /proc of one that lives, else by its core file. */
#include "engine/process/linux/core.h"
#include "engine/process/linux/held.h"

#include <stdio.h>
#include <string.h>

void bsk_process_tell_exe(const struct bsk_process *process, char *out, size_t size)
{
    if (process->core)
        snprintf(out, size, "%s", bsk_core_exe(process->core));
    else
        bsk_process_exe(process->pid, out, size);
}

void bsk_process_tell_command(const struct bsk_process *process, char *out, size_t size)
{
    if (process->core)
        bsk_core_command(process->core, out, size);
    else
        bsk_process_command(process->pid, out, size);
}

void bsk_process_tell_cwd(const struct bsk_process *process, char *out, size_t size)
{
    if (process->core)
        bsk_core_first_cwd(process->core, out, size);
    else
        bsk_process_cwd(process->pid, out, size);
}

void bsk_process_tell_first_cwd(const struct bsk_process *process, char *out, size_t size)
{
    if (process->core)
        bsk_core_first_cwd(process->core, out, size);
    else
        bsk_process_first_cwd(process->pid, out, size);
}

int bsk_process_tell_facts(const struct bsk_process *process, struct bsk_process_facts *out_facts,
                           struct bsk_error *err)
{
    if (process->core)
        return bsk_process_not_found(process->pid, err);
    return bsk_process_facts(process->pid, out_facts, err);
}

int bsk_process_tell_bits(const struct bsk_process *process, bool *out_same_processor)
{
    if (!process->core)
        return bsk_process_bits(process->pid, out_same_processor);
    *out_same_processor = true; /* others are not opened */
    return 64;
}

bool bsk_process_tell_cpu_ns(const struct bsk_process *process, uint64_t *out_ns)
{
    return !process->core && bsk_process_cpu_ns(process->pid, out_ns);
}

void bsk_process_place(const struct bsk_process *process, const char *path, char *out, size_t size)
{
    if (process->core)
        snprintf(out, size, "%s%s", process->core->root, path);
    else
        snprintf(out, size, "/proc/%d/root%s", (int)process->pid, path);
}
