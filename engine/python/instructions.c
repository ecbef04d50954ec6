#include "engine/python/instructions.h"

#include "engine/python/memory.h"

#include <stdbool.h>
#include <stdlib.h>

struct opcodes {
    uint8_t makes, before[2];                  /* and what can stand before it */
    uint8_t returns[2], resumes[7], drops[13]; /* 0: no more */
    uint8_t executor;                          /* stands for what was compiled; 0: there is none */
    uint8_t instrumented;                      /* the first of those that tools are called from */
    uint8_t calls[10][2];                      /* from, to; 0: no more */
    uint8_t names[6];                          /* calls that name their function; 0: no more */
    uint8_t pushes[14];                        /* 3.13 and later; 0: no more */
};

enum { FIRST_MINOR = 11 };

static const struct opcodes versions[] = {
    /* In this order: RETURN_GENERATOR; COPY_FREE_VARS, MAKE_CELL; RETURN_VALUE, RETURN_CONST;
     * FOR_ITER, SEND, their forms that know what they iterate over; POP_TOP, END_FOR, POP_ITER,
     * STORE_ and DELETE_ of names of any kind; all kinds of CALL; of these, those that were
     * specialised for one Python function; of those that push: CALL,
     * CALL_KW, CALL_FUNCTION_EX, BINARY_OP_SUBSCR_GETITEM, LOAD_ATTR_PROPERTY,
     * LOAD_ATTR_GETATTRIBUTE_OVERRIDDEN, and the forms of the first three that know it is Python
     * that they call */
    { 75,
      { 149, 135 },
      { 83 },
      { 93, 123 },
      { 1, 125, 90, 97, 138, 126, 91, 98, 139, 161, 167 },
      0,
      255,
      { { 22, 24 },
        { 64, 67 },
        { 72, 73 },
        { 76, 81 },
        { 113, 113 },
        { 121, 121 },
        { 127, 127 },
        { 141, 143 },
        { 166, 166 },
        { 171, 171 } },
      { 23, 24 },
      { 0 } },
    { 75,
      { 149, 135 },
      { 83, 121 },
      { 93, 123, 65, 168 },
      { 1, 4, 125, 90, 97, 138, 126, 91, 98, 139, 154, 158 },
      230,
      237,
      { { 23, 24 }, { 28, 29 }, { 34, 34 }, { 38, 48 }, { 56, 56 }, { 142, 142 }, { 171, 171 } },
      { 23, 24, 28 },
      { 0 } },
    { 35,
      { 62, 94 },
      { 36, 103 },
      { 72, 104, 187, 208 },
      { 32, 11, 110, 111, 112, 114, 113, 109, 65, 67, 66, 64 },
      70,
      236,
      { { 53, 54 }, { 57, 57 }, { 162, 181 } },
      { 163, 164, 177, 178 },
      { 53, 57, 54, 158, 200, 192, 177, 178, 163, 164, 162 } },
    { 34,
      { 60, 97 },
      { 35 },
      { 70, 106, 171, 197 },
      { 31, 9, 30, 112, 113, 114, 116, 115, 111, 63, 65, 64, 62 },
      0,
      234,
      { { 4, 4 }, { 52, 52 }, { 55, 55 }, { 143, 165 } },
      { 144, 145, 151, 153, 161, 162 },
      { 52, 55, 4, 136, 187, 179, 161, 162, 144, 145, 153, 151, 143 } },
    { 32,
      { 58, 96 },
      { 33 },
      { 68, 105, 174, 178, 202, 203, 204 },
      { 29, 9, 28, 111, 112, 113, 115, 114, 110, 61, 63, 62, 60 },
      0,
      233,
      { { 4, 4 }, { 50, 50 }, { 53, 53 }, { 144, 168 } },
      { 145, 146, 154, 156, 164, 165 },
      { 50, 53, 4, 136, 193, 185, 164, 165, 145, 146, 156, 154, 152, 144 } },
};

static bool is_one_of(const uint8_t *list, size_t count, uint8_t opcode)
{
    for (size_t i = 0; i < count && list[i]; i++)
        if (list[i] == opcode)
            return true;
    return false;
}

enum bsk_instruction bsk_instruction_of(int minor, uint8_t opcode)
{
    size_t index = (size_t)(minor - FIRST_MINOR);
    if (minor < FIRST_MINOR || index >= sizeof(versions) / sizeof(versions[0]))
        return BSK_INSTRUCTION_UNKNOWN;
    const struct opcodes *version = &versions[index];
    if (opcode == version->makes)
        return BSK_INSTRUCTION_MAKES;
    if (is_one_of(version->returns, sizeof(version->returns), opcode))
        return BSK_INSTRUCTION_RETURNS;
    if (is_one_of(version->resumes, sizeof(version->resumes), opcode))
        return BSK_INSTRUCTION_RESUMES;
    if (is_one_of(version->drops, sizeof(version->drops), opcode))
        return BSK_INSTRUCTION_DROPS;
    if (opcode == 0 || opcode == version->executor || opcode >= version->instrumented)
        return BSK_INSTRUCTION_UNKNOWN;
    for (size_t i = 0; i < sizeof(version->calls) / sizeof(version->calls[0]); i++)
        if (opcode >= version->calls[i][0] && opcode <= version->calls[i][1])
            return BSK_INSTRUCTION_CALLS;
    return BSK_INSTRUCTION_RUNS;
}

enum bsk_pushes bsk_instruction_pushes(int minor, uint8_t opcode)
{
    size_t index = (size_t)(minor - FIRST_MINOR);
    if (bsk_instruction_of(minor, opcode) == BSK_INSTRUCTION_UNKNOWN ||
        versions[index].pushes[0] == 0)
        return BSK_PUSHES_UNKNOWN;
    return is_one_of(versions[index].pushes, sizeof(versions[index].pushes), opcode)
               ? BSK_PUSHES
               : BSK_PUSHES_NOT;
}

bool bsk_instruction_names_function(int minor, uint8_t opcode)
{
    size_t index = (size_t)(minor - FIRST_MINOR);
    return minor >= FIRST_MINOR && index < sizeof(versions) / sizeof(versions[0]) &&
           is_one_of(versions[index].names, sizeof(versions[index].names), opcode);
}

/* One byte for each code unit of `known`; NULL where it cannot be read. */
static uint8_t *read_instructions(struct bsk_python *python, const struct bsk_known *known)
{
    enum { BYTES_MAX = 1 << 20 };
    uint32_t bytes = known->bytecode_bytes;
    uint64_t address = known->address + python->layout.code.bytecode;
    if (bytes == 0 || bytes > BYTES_MAX)
        return NULL;
    uint8_t *units = malloc(bytes);
    if (units && bsk_process_read(python->process, address, units, bytes, NULL) < 0) {
        free(units);
        return NULL;
    }
    const struct opcodes *version = &versions[python->layout.minor - FIRST_MINOR];
    bool first = true; /* what looks like RETURN_GENERATOR elsewhere is an inline cache */
    for (uint32_t i = 0; units && i + 1 < bytes; i += 2) {
        uint8_t opcode = units[i];
        enum bsk_instruction instruction = bsk_instruction_of(python->layout.minor, opcode);
        if (instruction == BSK_INSTRUCTION_MAKES && !first)
            instruction = BSK_INSTRUCTION_UNKNOWN;
        first = first && is_one_of(version->before, sizeof(version->before), opcode);
        units[i / 2] = (uint8_t)instruction;
    }
    return units;
}

enum bsk_instruction bsk_instruction_at(struct bsk_python *python, const struct raw *raw)
{
    struct bsk_known *known = raw->known;
    uint64_t offset = raw->place - python->layout.code.bytecode;
    if (python->layout.minor < FIRST_MINOR || raw->tlbc_index != 0 ||
        raw->place < python->layout.code.bytecode || offset >= known->bytecode_bytes)
        return BSK_INSTRUCTION_UNKNOWN;
    if (!known->instructions && !known->no_instructions) {
        known->instructions = read_instructions(python, known);
        known->no_instructions = !known->instructions;
    }
    return known->instructions ? (enum bsk_instruction)known->instructions[offset / 2]
                               : BSK_INSTRUCTION_UNKNOWN;
}

bool bsk_instruction_may_close(struct bsk_python *python, const struct raw *caller)
{
    switch (bsk_instruction_at(python, caller)) {
    case BSK_INSTRUCTION_UNKNOWN:
    case BSK_INSTRUCTION_CALLS:
    case BSK_INSTRUCTION_RESUMES:
        return false;
    case BSK_INSTRUCTION_RUNS:
    case BSK_INSTRUCTION_DROPS:
    case BSK_INSTRUCTION_RETURNS:
    case BSK_INSTRUCTION_MAKES:
        break;
    }
    return true;
}

enum bsk_pushes bsk_instruction_pushes_now(struct bsk_python *python, const struct raw *raw)
{
    uint8_t opcode;
    if (python->layout.minor <= 12)
        return BSK_PUSHES;
    if (raw->tlbc_index != 0 || bsk_process_read(python->process, raw->lasti, &opcode, 1, NULL) < 0)
        return BSK_PUSHES_UNKNOWN;
    return bsk_instruction_pushes(python->layout.minor, opcode);
}

bool bsk_instruction_made(struct bsk_python *python, const struct raw *raw)
{
    struct raw before = *raw;
    if (python->layout.minor <= 12)
        return raw->calls && bsk_instruction_at(python, raw) == BSK_INSTRUCTION_MAKES;
    before.place -= 2;
    return bsk_instruction_at(python, &before) == BSK_INSTRUCTION_MAKES;
}
