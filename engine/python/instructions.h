/*
 * What the instruction at a frame's place can have done: a witness against stacks that never were.
 *
 * A frame that stands at RETURN_VALUE calls nothing any more, and what lies above a loop's FOR_ITER
 * on the data stack was not called by it: generators run elsewhere. The interpreter changes
 * instructions while it runs, but only into others of their family; those that tools are called
 * from (INSTRUMENTED_*) may call anything, as may what we do not know.
 *
 * The numbers are those of CPython's opcode.py and opcode_ids.h, 3.11 to 3.15;
 * tests/engine/python/test_instructions.c holds them against each Python found.
 */
#ifndef BSK_PYTHON_INSTRUCTIONS_H
#define BSK_PYTHON_INSTRUCTIONS_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bsk_instruction {
    BSK_INSTRUCTION_UNKNOWN, /* nothing can be said: not read, or it stands for others */
    BSK_INSTRUCTION_CALLS,   /* it is a call, of whatever */
    BSK_INSTRUCTION_RUNS,    /* any other that may run C code, and Python by it, or a property */
    BSK_INSTRUCTION_RESUMES, /* it calls a generator or a coroutine directly, else C code */
    BSK_INSTRUCTION_DROPS,   /* it gives up an object, which may be the last to hold a generator */
    BSK_INSTRUCTION_RETURNS, /* it takes its own frame off the stack */
    BSK_INSTRUCTION_MAKES,   /* the same, and a generator of it */
};

static inline bool bsk_instruction_may_call(enum bsk_instruction instruction)
{
    return instruction == BSK_INSTRUCTION_UNKNOWN || instruction == BSK_INSTRUCTION_CALLS ||
           instruction == BSK_INSTRUCTION_RUNS || instruction == BSK_INSTRUCTION_DROPS;
}

/* Of an opcode; `minor` is 11 to 15, UNKNOWN for others. */
enum bsk_instruction bsk_instruction_of(int minor, uint8_t opcode);

enum bsk_pushes {
    BSK_PUSHES_UNKNOWN, /* tools are called from there, or nothing is known: all before 3.13 */
    BSK_PUSHES_NOT,     /* not Python's frames: C may run, and call Python in its turn */
    BSK_PUSHES,
};

/* Whether it can put the frame of a Python function on the data stack by itself. A call can, until
 * the interpreter makes it one of those that know it is C that they call. */
enum bsk_pushes bsk_instruction_pushes(int minor, uint8_t opcode);

/* Whether it is a call that was specialised for one Python function, whose version stands in its
 * third and fourth code unit. */
bool bsk_instruction_names_function(int minor, uint8_t opcode);

#endif
