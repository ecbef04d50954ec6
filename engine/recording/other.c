#include "engine/recording/other.h"

#include "engine/process/process.h"

#include <stdio.h>
#include <stdlib.h>

struct bsk_other {
    struct bsk_target_context *context; /* borrowed */
    pid_t pid;
    uint64_t program; /* see bsk_process_program() */
    uint32_t node;
    uint64_t cpu_ns;   /* of it, as far as it was told */
    uint64_t seen_ns;  /* in the profile's time */
    uint64_t spare_ns; /* less than a sample's worth, that the next look begins with */
};

struct bsk_other *bsk_other_open(struct bsk_target_context *context, pid_t pid, bool unreadable,
                                 uint64_t used_ns, uint64_t now_ns)
{
    char name[64], frame[96];
    uint64_t cpu_ns;
    struct bsk_other *other = NULL;
    if (bsk_process_cpu_ns(pid, &cpu_ns) && (other = calloc(1, sizeof(*other))) != NULL) {
        bsk_process_name(pid, name, sizeof(name));
        snprintf(frame, sizeof(frame), "(%s: %s)", unreadable ? "unreadable" : "not Python", name);
        uint32_t track =
            bsk_profile_track(context->profile, pid, pid, name,
                              unreadable ? BSK_THREAD_UNREADABLE : BSK_THREAD_NOT_PYTHON);
        uint32_t function =
            bsk_profile_function(context->profile, frame, "", 0, BSK_FUNCTION_SPECIAL);
        const struct bsk_profile_frame frames[] = { { function, 0 } };
        *other = (struct bsk_other){
            .context = context,
            .pid = pid,
            .program = bsk_process_program(pid),
            .node = bsk_profile_stack(context->profile, track, frames, 1),
            .cpu_ns = used_ns < cpu_ns ? used_ns : cpu_ns,
            .seen_ns = now_ns > context->start_ns ? now_ns - context->start_ns : 0,
        };
    }
    return other;
}

void bsk_other_look(struct bsk_other *other, uint64_t now_ns)
{
    struct bsk_target_context *context = other->context;
    uint64_t at_ns = now_ns > context->start_ns ? now_ns - context->start_ns : 0, cpu_ns;
    if (!bsk_process_cpu_ns(other->pid, &cpu_ns) || at_ns <= other->seen_ns)
        return;
    uint64_t used_ns = cpu_ns > other->cpu_ns ? cpu_ns - other->cpu_ns : 0;
    uint64_t wall_ns = at_ns - other->seen_ns;
    uint64_t start_ns = other->seen_ns;
    other->cpu_ns += used_ns;
    other->seen_ns = at_ns;
    if (context->clock == BSK_CLOCK_GIL)
        return;
    uint64_t weight_ns = context->clock == BSK_CLOCK_WALL ? wall_ns : used_ns;
    other->spare_ns += weight_ns;
    uint32_t samples = (uint32_t)(other->spare_ns / context->period_ns);
    other->spare_ns -= samples * context->period_ns;
    if (weight_ns > 0)
        bsk_profile_add(context->profile, other->node, start_ns, wall_ns, weight_ns, samples);
    if (wall_ns > used_ns) /* as if it had one thread */
        bsk_profile_add_states(context->profile, other->node, 0, 0, wall_ns - used_ns);
    context->samples += samples;
}

bool bsk_other_is_another(const struct bsk_other *other)
{
    uint64_t program = bsk_process_program(other->pid);
    return program != 0 && other->program != 0 && program != other->program;
}

void bsk_other_close(struct bsk_other *other, uint64_t now_ns)
{
    if (!other)
        return;
    bsk_other_look(other, now_ns);
    free(other);
}
