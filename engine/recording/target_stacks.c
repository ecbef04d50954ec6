/* From a stack that was read to its node in the profile. */
#include "engine/recording/target_inside.h"

#include <stdlib.h>
#include <string.h>

static uint32_t function_of(struct bsk_target *target, const struct bsk_code_object *code)
{
    if (code->id >= target->function_capacity) {
        size_t capacity = target->function_capacity ? target->function_capacity : 256;
        while (capacity <= code->id)
            capacity *= 2;
        uint32_t *grown = realloc(target->functions, capacity * sizeof(*grown));
        if (!grown)
            return UINT32_MAX;
        memset(grown + target->function_capacity, 0,
               (capacity - target->function_capacity) * sizeof(*grown));
        target->functions = grown;
        target->function_capacity = capacity;
    }
    if (target->functions[code->id] == 0) {
        /* Only "(unread)" in the middle of a stack has no path: it is no code of the program. */
        uint32_t function =
            code->path[0] == '\0'
                ? target->unread_function
                : bsk_profile_function(target->context->profile, code->qualname, code->path,
                                       code->first_line, BSK_FUNCTION_PYTHON);
        if (function == UINT32_MAX)
            return function;
        target->functions[code->id] = function + 1;
    }
    return target->functions[code->id] - 1;
}

/* Where there is no debugger to fold away, only what has changed since the stack before is looked
 * up: the outer frames are mostly the same. */
static uint32_t walk_nodes(struct bsk_target *target, struct member *member,
                           const struct bsk_thread_sample *thread)
{
    struct bsk_profile *profile = target->context->profile;
    size_t at = member->stack != 0 && thread->stack == member->stack + 1 ? thread->kept : 0;
    if (at > member->node_count)
        at = member->node_count;
    if (thread->depth > member->node_capacity) {
        size_t capacity = thread->depth * 2;
        uint32_t *grown = realloc(member->nodes, capacity * sizeof(*grown));
        if (!grown)
            return BSK_NO_NODE;
        member->nodes = grown;
        member->node_capacity = capacity;
    }
    for (; at < thread->depth; at++) {
        const struct bsk_frame *frame = &thread->frames[thread->depth - 1 - at];
        uint32_t parent =
            at > 0 ? member->nodes[at - 1] : bsk_profile_track_root(profile, member->track);
        member->nodes[at] =
            bsk_profile_step(profile, parent, function_of(target, frame->code), frame->line);
        if (at > 0)
            bsk_profile_called_from(profile, member->nodes[at], frame[1].column);
    }
    member->node_count = thread->depth;
    member->stack = thread->stack;
    return thread->depth > 0 ? member->nodes[thread->depth - 1] : BSK_NO_NODE;
}

/* The same with the debugger's frames folded away: `*out_is_debuggers` when nothing of the user's
 * is in it (the program has not begun yet, or is over). */
static uint32_t fold_nodes(struct bsk_target *target, struct member *member,
                           const struct bsk_thread_sample *thread, bool *out_is_debuggers,
                           uint32_t *out_column)
{
    struct bsk_folded folded = { 0 };
    if (!bsk_fold_stack(target->fold, thread->frames, thread->depth, thread->tid == target->pid,
                        &folded))
        return BSK_NO_NODE;
    /* A thread that is the debugger's by its stack may be one of the user's that it only just
     * starts. */
    *out_is_debuggers = folded.debugger_thread || (folded.depth == 0 && folded.debugger_leaf);
    if (*out_is_debuggers)
        return BSK_NO_NODE;
    struct bsk_profile *profile = target->context->profile;
    uint32_t node = bsk_profile_track_root(profile, member->track), column = 0;
    for (size_t i = folded.depth; i > 0; i--) {
        const struct bsk_frame *frame = &folded.frames[i - 1];
        uint32_t function = function_of(target, frame->code);
        if (function == UINT32_MAX)
            continue;
        node = bsk_profile_step(profile, node, function, frame->line);
        bsk_profile_called_from(profile, node, column);
        column = frame->column;
    }
    if (folded.debugger_leaf || folded.depth == 0) {
        node = bsk_profile_step(
            profile, node,
            folded.debugger_leaf ? target->debugger_function : target->native_function, 0);
        bsk_profile_called_from(profile, node, column);
        column = 0;
    }
    *out_column = column;
    return node;
}

/* The node of what the thread does, or BSK_NO_NODE. */
uint32_t bsk_target_node_of(struct bsk_target *target, struct member *member,
                            const struct bsk_thread_sample *thread, bool *out_is_debuggers)
{
    struct bsk_profile *profile = target->context->profile;
    uint32_t column = thread->depth > 0 ? thread->frames[0].column : 0;
    uint32_t node = target->context->folder_count == 0
                        ? walk_nodes(target, member, thread)
                        : fold_nodes(target, member, thread, out_is_debuggers, &column);
    if (thread->unread || thread->collects) {
        if (thread->unread)
            node = bsk_profile_step(profile, node, target->unread_function, 0);
        if (thread->collects)
            node = bsk_profile_step(profile, node, target->collector_function, 0);
        bsk_profile_called_from(profile, node, thread->unread && thread->collects ? 0 : column);
    } else if (thread->state != BSK_THREAD_IDLE || target->context->clock == BSK_CLOCK_WALL) {
        bsk_profile_saw_column(profile, node, column, 1);
    }
    return node;
}

uint32_t bsk_target_node(struct bsk_target *target, uint32_t track,
                         const struct bsk_thread_sample *thread, bool *out_is_debuggers)
{
    target->ticking.track = track;
    target->ticking.stack = 0; /* no stack has anything to do with the one before */
    uint32_t node = bsk_target_node_of(target, &target->ticking, thread, out_is_debuggers);
    if (node == BSK_NO_NODE && thread->depth == 0 && !*out_is_debuggers)
        node = bsk_profile_step(target->context->profile,
                                bsk_profile_track_root(target->context->profile, track),
                                target->native_function, 0);
    return node;
}
