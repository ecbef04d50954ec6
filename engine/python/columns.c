/* The columns of frames, filled in behind path.c, which gives them their lines: the place that was
 * asked for last is remembered by its code, so that to ask for it again is nearly free. */
#include "engine/python/memory.h"

static struct bsk_line_step place_of(struct bsk_python *python, const struct raw *raw)
{
    struct bsk_line_step step = { 0 };
    /* as in bsk_path_resolve(): what is gone, or filled in without a place, stands nowhere */
    if ((raw->address || raw->lasti) && raw->known->address == raw->code)
        (void)bsk_codes_place(python->codes, raw->known, raw->lasti, raw->tlbc_index, &step);
    return step;
}

void bsk_python_columns(struct bsk_python *python, struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    if (!thread->has_stack || !memory || memory->columns_answer == thread->answers)
        return;
    bool next = memory->columns_answer + 1 == thread->answers;
    size_t kept = next && !memory->had_shims ? thread->kept : 0;
    struct bsk_frame *end = memory->frames + memory->frame_capacity;
    memory->columns_answer = thread->answers;
    size_t shims = 0;
    for (size_t depth = kept; depth < thread->depth && depth + shims < memory->path_count;) {
        const struct raw *raw = &memory->path[depth + shims].raw;
        if (raw->known->is_shim) {
            shims++;
            continue;
        }
        struct bsk_frame *frame = end - 1 - depth++;
        struct bsk_line_step step = place_of(python, raw);
        if (step.line != frame->line) /* it was given another line: no column fits that */
            step = (struct bsk_line_step){ 0 };
        frame->column = step.column;
        frame->end_column = step.end_column;
        frame->end_line = step.column ? step.end_line : frame->line;
    }
}
