/*
 * Where things are in one CPython, and what they mean.
 *
 * Places come from a table made out of CPython's own headers (3.8 to 3.12, layouts/generate.py) or
 * from the target's _Py_DebugOffsets (3.13 and later, checked before use). Meanings, which no
 * offset tells, are one row per minor version here. All offsets are in bytes from the start of the
 * structure; 0 where a version does not have the thing (no thing we read lies at 0, save where
 * said).
 */
#ifndef BSK_PYTHON_LAYOUT_H
#define BSK_PYTHON_LAYOUT_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bsk_line_form {
    BSK_LINES_LNOTAB,   /* 3.8, 3.9: co_lnotab */
    BSK_LINES_PEP626,   /* 3.10: co_linetable, pairs of deltas */
    BSK_LINES_LOCATION, /* 3.11 and later: the location table, varints */
};

enum bsk_frame_form {
    BSK_FRAME_OBJECTS, /* 3.8 to 3.10: PyFrameObjects on the heap, linked by f_back */
    BSK_FRAME_CFRAME,  /* 3.11, 3.12: tstate->cframe->current_frame, frames on the data stack */
    BSK_FRAME_DIRECT,  /* 3.13 and later: tstate->current_frame */
};

struct bsk_layout {
    int minor;
    bool free_threaded;
    enum bsk_line_form line_form;
    enum bsk_frame_form frame_form;
    uint32_t lasti_unit;  /* BSK_FRAME_OBJECTS: bytes that one step of f_lasti stands for */
    uint32_t shim_owners; /* bit n: a frame whose owner is n holds no code of the program */
    uint64_t tag_mask;    /* bits of a stack reference that are no address */
    uint32_t kind_shift;  /* of `kind` in the state word of a str; compact and ascii follow it */
    uint32_t wstr_bytes;  /* 3.11 and older: what a compact str has more than an ASCII one */

    struct {
        uint32_t interpreters_head, interpreters_main; /* main: 0 where unknown */
        uint32_t gil_locked, gil_holder;               /* 3.11 and older: one for all */
        uint32_t collecting;                           /* 3.8 */
    } runtime;
    struct {
        uint32_t id, next, threads_head; /* next lies at 0 in old ones */
        uint32_t code_generation;        /* 3.14 and later: how many code objects were freed */
        uint32_t gil_locked, gil_holder; /* 3.12 and later */
        uint32_t collecting;             /* 3.9 and later: an int */
    } interpreter;
    struct {
        uint32_t size, next, interp, frame, thread_id, native_thread_id;
        uint32_t needed;          /* so many of its bytes hold all that is read with a stack */
        uint32_t datastack_chunk; /* the words after it are datastack_top and datastack_limit */
        uint32_t state;           /* 3.13 and later: an int, see BSK_STATE_ATTACHED */
    } thread;
    uint32_t cframe_current_frame; /* BSK_FRAME_CFRAME; may be 0 */
    struct {
        uint32_t size, previous, code, lasti, owner, tlbc_index; /* code lies at 0 from 3.12 on */
        uint32_t calls; /* data stacks: what tells a frame that called, see bsk_layout_calls() */
    } frame;
    struct {
        uint32_t size, filename, name, qualname, linetable, firstlineno, version;
        uint32_t bytecode; /* 0 where the bytecode is an object of its own */
        uint32_t tlbc;     /* free-threaded 3.14 and later: each thread's own bytecode */
    } code;
    struct {
        uint32_t type, type_name;
        uint32_t bytes_size, bytes_data;
        uint32_t text_length, text_state, text_ascii_data; /* compact data comes after two words */
    } object;
};

/* A row of what _Py_DebugOffsets holds, in 8-byte words from its start; see layouts/tables.h. */
struct bsk_offsets_index {
    int minor;
    uint32_t words; /* how many there are in all */
    uint16_t interpreters_head;
    uint16_t interpreter_id, interpreter_next, interpreter_threads_head, code_generation;
    uint16_t gil_locked, gil_holder, gc, gc_collecting;
    uint16_t thread_size, thread_next, thread_interp, thread_current_frame, thread_id;
    uint16_t native_thread_id, datastack_chunk;
    uint16_t frame_size, frame_previous, frame_executable, frame_instr_ptr, frame_owner;
    uint16_t frame_tlbc_index;
    uint16_t code_size, code_filename, code_name, code_qualname, code_linetable;
    uint16_t code_firstlineno, code_adaptive, code_tlbc;
    uint16_t object_type, type_name, bytes_size, bytes_data;
    uint16_t text_state, text_length, text_ascii_size;
};

/* Whether a frame on the data stack, `bytes` from its start on, has called Python code that has not
 * returned yet. 3.11 to 3.13 save the stack's top in the frame for that time, and have -1 there
 * while the frame executes (C code that it called included); 3.14 and later set return_offset. */
static inline bool bsk_layout_calls(const struct bsk_layout *layout, const uint8_t *bytes)
{
    if (layout->minor >= 14)
        return (bytes[layout->frame.calls] | bytes[layout->frame.calls + 1]) != 0;
    return (bytes[layout->frame.calls + 3] & 0x80) == 0;
}

/* A thread that runs Python, or holds the GIL where one is on; 0 is detached, and from 2 on it is
 * suspended (all threads wait for one). */
enum { BSK_STATE_ATTACHED = 1, BSK_STATE_LAST = 3 };

enum {
    BSK_OLDEST_MINOR = 8,
    BSK_NEWEST_MINOR = 15,
    BSK_OFFSETS_MAX_BYTES = 2048, /* of _Py_DebugOffsets, with room for versions to come */
};

/* For 3.8 to 3.12. Fails with BSK_E_UNSUPPORTED. */
int bsk_layout_from_table(int minor, struct bsk_layout *out_layout, struct bsk_error *err);

/* For 3.13 and later, out of a copy of the target's _Py_DebugOffsets. Fails with BSK_E_FORMAT when
 * there is no cookie or a place is absurd, with BSK_E_UNSUPPORTED for a minor we do not know. */
int bsk_layout_from_offsets(const void *offsets, size_t size, struct bsk_layout *out_layout,
                            uint32_t *out_version_hex, struct bsk_error *err);

#endif
