/* Where in its code a frame stands. */
#include "engine/python/codes_inside.h"

/* Free-threaded 3.14 and later: each thread may run its own copy of the bytecode. Copies of threads
 * that have ended are thrown away, and made again elsewhere: `again` forgets what was known. */
static uint64_t bytecode_copy(struct bsk_codes *codes, struct bsk_known *known, int32_t index,
                              bool again)
{
    enum { COPIES = sizeof(known->copies) / sizeof(known->copies[0]) };
    uint64_t array, count, start;
    if (index <= 0)
        return 0;
    uint32_t at = (uint32_t)index % COPIES;
    if (known->copies[at].index == index && !again)
        return known->copies[at].bytecode;
    if (bsk_process_read(codes->process, known->address + codes->layout->code.tlbc, &array,
                         sizeof(array), NULL) < 0 ||
        bsk_process_read(codes->process, array, &count, sizeof(count), NULL) < 0 ||
        (uint64_t)index >= count ||
        bsk_process_read(codes->process, array + 8 + 8 * (uint64_t)index, &start, sizeof(start),
                         NULL) < 0)
        return 0;
    known->copies[at].index = index;
    known->copies[at].bytecode = start;
    return start;
}

/* Where in the bytecode that begins at `start` the place is, in bytes; false: it is not in it. */
static bool offset_in(const struct bsk_known *known, uint64_t place, uint64_t start, int64_t *out)
{
    *out = (int64_t)(place - start);
    return *out >= -2 && *out < (int64_t)known->bytecode_bytes && *out % 2 == 0;
}

bool bsk_codes_place(struct bsk_codes *codes, struct bsk_known *known, uint64_t lasti,
                     int32_t tlbc_index, struct bsk_line_step *out_step)
{
    const struct bsk_layout *layout = codes->layout;
    int64_t offset;
    if (known->has_last && known->last_lasti == lasti && known->last_index == tlbc_index) {
        *out_step = known->last_step;
        return true;
    }
    if (layout->frame_form == BSK_FRAME_OBJECTS) {
        offset = (int64_t)(int32_t)lasti * layout->lasti_unit;
    } else if (layout->code.tlbc && tlbc_index != 0) {
        if (!offset_in(known, lasti, bytecode_copy(codes, known, tlbc_index, false), &offset) &&
            !offset_in(known, lasti, bytecode_copy(codes, known, tlbc_index, true), &offset))
            return false;
    } else if (!offset_in(known, lasti, known->address + layout->code.bytecode, &offset)) {
        return false;
    }
    const struct bsk_line_step *step = bsk_lines_step(known->steps, known->step_count, offset);
    struct bsk_line_step place = { .line = known->code.first_line,
                                   .end_line = known->code.first_line };
    if (step && step->line) {
        place = *step;
    } else if (step) {
        /* Instructions of no line (a function's prologue, the end of a handler) go with what came
         * before them: that is where a reader would look. */
        while (step > known->steps && step->line == 0)
            step--;
        if (step->line)
            place = (struct bsk_line_step){ .line = step->line, .end_line = step->line };
    }
    known->last_step = place;
    known->last_lasti = lasti;
    known->last_index = tlbc_index;
    known->has_last = true;
    *out_step = place;
    return true;
}

/* An array of executors begins with how many it holds and how many it could. */
static bool is_compiled(struct bsk_codes *codes, struct bsk_known *known, uint64_t executors)
{
    enum { EXECUTORS_MAX = 4096 };
    int32_t sizes[2];
    return executors != 0 && bsk_codes_look(codes, &known, 1) && /* it may have been freed */
           bsk_process_read(codes->process, executors, sizes, sizeof(sizes), NULL) == BSK_OK &&
           sizes[0] > 0 && sizes[0] <= sizes[1] && sizes[1] <= EXECUTORS_MAX;
}

size_t bsk_codes_look_for_jit(struct bsk_codes *codes)
{
    enum { AT_ONCE = 256, LEAST_MINOR = 13, AFTER_LINETABLE = 16 };
    struct bsk_known *looked_at[AT_ONCE];
    struct bsk_piece pieces[AT_ONCE];
    uint64_t executors[AT_ONCE];
    size_t count = 0, found = 0;
    if (codes->layout->minor < LEAST_MINOR)
        return 0;
    for (size_t i = 0; i < codes->all_count && count < AT_ONCE; i++) {
        struct bsk_known *known = codes->all[codes->jit_next++ % codes->all_count];
        if (known->gone || known->jitted || known == codes->reused || known == codes->unread)
            continue;
        pieces[count] =
            (struct bsk_piece){ known->address + codes->layout->code.linetable + AFTER_LINETABLE,
                                &executors[count], sizeof(executors[0]), false };
        looked_at[count++] = known;
    }
    if (count == 0 || bsk_process_read_pieces(codes->process, pieces, count, NULL) != BSK_OK)
        return 0;
    for (size_t i = 0; i < count; i++) {
        looked_at[i]->jitted = pieces[i].ok && is_compiled(codes, looked_at[i], executors[i]);
        found += looked_at[i]->jitted;
    }
    return found;
}

bool bsk_codes_line(struct bsk_codes *codes, struct bsk_known *known, uint64_t lasti,
                    int32_t tlbc_index, uint32_t *out_line)
{
    struct bsk_line_step step;
    if (!bsk_codes_place(codes, known, lasti, tlbc_index, &step))
        return false;
    *out_line = step.line;
    return true;
}
