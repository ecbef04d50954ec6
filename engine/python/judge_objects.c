/* What one reading is worth where frames are objects on the heap (3.8 to 3.10): only what stood
 * still, and what is rare or of a program that moves much only when it stood more than once. */
#include "engine/python/memory.h"

/*
 * No data stack tells the first frame. A chain that was cut (a frame that has just ended has no
 * f_back) looks like a short stack. The code that a thread's stacks end in is nearly always one and
 * the same: a shorter stack that ends elsewhere is cut, a deeper one shows that we were wrong, and
 * many in a row show that the program really went on to something else.
 */
static bool reaches_base(struct bsk_stack_memory *memory)
{
    enum { MISSES_MAX = 100 * TRIES, LOOKS_FIRST = TRIES }; /* a second at 100 Hz */
    if (memory->path_count == 0)
        return true;
    uint64_t outermost = memory->path[0].raw.code;
    bool looking = memory->base_looks < LOOKS_FIRST; /* the deepest of these begins */
    memory->base_looks += looking;
    if (memory->base_code != outermost && memory->path_count <= memory->base_depth &&
        (looking || ++memory->base_misses < MISSES_MAX))
        return false;
    if (memory->base_code != outermost || memory->path_count > memory->base_depth)
        memory->base_depth = memory->path_count;
    memory->base_code = outermost;
    memory->base_misses = 0;
    return memory->base_looks == LOOKS_FIRST;
}

/* Whether one more reading finds the same stack. */
static bool stands_again(struct bsk_python *python, const struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    for (size_t i = 0; i < memory->path_count; i++)
        memory->path[i].raw.stood = false;
    memory->raw_count = 0;
    bsk_stack_prove(python, thread);
    bool still = !memory->moved && !memory->unproven && memory->raw_count == memory->path_count;
    for (size_t i = 0; still && i < memory->path_count; i++)
        still = memory->path[i].raw.stood;
    return still;
}

enum bsk_stack_outcome bsk_judge_objects(struct bsk_python *python,
                                         struct bsk_python_thread *thread)
{
    enum { LOOKS = 1, LOOKS_RARE = 3, MOVES_OF = 64 };
    struct bsk_stack_memory *memory = thread->memory;
    uint64_t datastack_top;
    if (!bsk_stack_collect(python, thread, &datastack_top))
        return BSK_STACK_GARBAGE;
    if (memory->top == 0) {
        memory->path_valid = memory->path_same = memory->path_count = 0;
        thread->depth = 0;
        return BSK_STACK_READ;
    }
    bool whole = bsk_stack_walk(python, memory, memory->top, 0, &thread->truncated);
    bsk_stack_remember_met(memory, bsk_frame_bytes(&python->layout));
    if (!whole || !bsk_path_from_raw(python, memory) ||
        (!thread->truncated && !reaches_base(memory)))
        return BSK_STACK_GARBAGE;
    bool still = !memory->moved;
    if (still && memory->unproven) /* it is new, or has grown */
        still = stands_again(python, thread);
    memory->moves += still ? 0 : (MOVES_ALL - memory->moves) / MOVES_OF;
    memory->moves -= still ? memory->moves / MOVES_OF : 0;
    /* Frames on the heap are read one by one, over a microsecond: two wrong readings agree too
     * often for a proof to be lent to stacks that moved. */
    if (!still)
        return BSK_STACK_MOVED;
    bsk_path_learn(python, memory);
    if (!bsk_path_likely(python, memory))
        return BSK_STACK_MOVED;
    /* Where many readings move, those that agree do so by chance. What lasts agrees again. */
    bool rare = memory->moves >= MOVES_ALL / 4 && bsk_path_is_rare(python, memory);
    int looks = rare ? LOOKS_RARE : memory->moves >= MOVES_ALL / 2 ? LOOKS : 0;
    for (int i = 0; i < looks; i++)
        if (!stands_again(python, thread))
            return BSK_STACK_MOVED;
    return bsk_path_resolve(python, thread) ? BSK_STACK_READ : BSK_STACK_GARBAGE;
}
