#include "engine/python/layout.h"

#include "engine/python/layouts/tables.h"

#include <string.h>

/* Owners of frames, by minor version: what `owner` says of a frame that runs no code of the
 * program. 3.11 has no such frames; 3.12 and 3.13 call theirs "C stack". */
enum {
    OWNER_CSTACK_312 = 3,
    OWNER_INTERPRETER_314 = 3, /* 3.14 and later; 4 is 3.14's C stack */
    OWNER_CSTACK_314 = 4,
};

static void add_meanings(struct bsk_layout *layout)
{
    int minor = layout->minor;
    layout->line_form = minor <= 9    ? BSK_LINES_LNOTAB
                        : minor == 10 ? BSK_LINES_PEP626
                                      : BSK_LINES_LOCATION;
    layout->frame_form = minor <= 10   ? BSK_FRAME_OBJECTS
                         : minor <= 12 ? BSK_FRAME_CFRAME
                                       : BSK_FRAME_DIRECT;
    layout->lasti_unit = minor == 10 ? 2 : 1; /* 3.10 counts instructions, the older ones bytes */
    if (minor >= 14)
        layout->shim_owners = 1u << OWNER_INTERPRETER_314 | 1u << OWNER_CSTACK_314;
    else if (minor >= 12)
        layout->shim_owners = 1u << OWNER_CSTACK_312;
    /* From 3.14 on `executable` is a stack reference whose lowest bits are counted or deferred. */
    layout->tag_mask = minor >= 14 ? 3 : 0;
    /* Both lie between the place of execution and the owner, in every version so far. */
    if (layout->frame_form != BSK_FRAME_OBJECTS)
        layout->frame.calls = minor >= 14 ? layout->frame.owner - 2 : layout->frame.lasti + 8;
    /* Behind `interp` come eval_breaker, the bits of _status, which grew, and _whence. */
    if (minor >= 13)
        layout->thread.state = layout->thread.interp + (minor >= 15 ? 32 : minor == 14 ? 28 : 24);
    uint32_t needed = layout->thread.frame > layout->thread.interp ? layout->thread.frame + 8
                                                                   : layout->thread.interp + 8;
    if (layout->thread.datastack_chunk + 24 > needed)
        needed = layout->thread.datastack_chunk + 24;
    if (layout->thread.state + 4 > needed)
        needed = layout->thread.state + 4;
    layout->thread.needed = needed;
    /* From 3.12 on the first line is followed by five more ints and the version. */
    if (minor >= 12)
        layout->code.version = layout->code.firstlineno + 24;
    layout->kind_shift = minor >= 14 && layout->free_threaded ? 8 : 2;
    layout->wstr_bytes = minor <= 11 ? 8 : 0;
}

int bsk_layout_from_table(int minor, struct bsk_layout *out_layout, struct bsk_error *err)
{
    for (size_t i = 0; i < sizeof(legacy) / sizeof(legacy[0]); i++) {
        if (legacy[i].minor != minor)
            continue;
        *out_layout = legacy[i];
        add_meanings(out_layout);
        return BSK_OK;
    }
    return bsk_fail(err, BSK_E_UNSUPPORTED, "use CPython 3.8 or newer",
                    "Not a Python process: CPython 3.%d found; Basilisk reads 3.%d to 3.%d", minor,
                    BSK_OLDEST_MINOR, BSK_NEWEST_MINOR);
}

static uint64_t word(const void *bytes, size_t index)
{
    uint64_t value;
    memcpy(&value, (const char *)bytes + index * sizeof(value), sizeof(value));
    return value;
}

static const struct bsk_offsets_index *find_index(int minor)
{
    for (size_t i = 0; i < sizeof(debug_offsets) / sizeof(debug_offsets[0]); i++)
        if (debug_offsets[i].minor == minor)
            return &debug_offsets[i];
    return NULL;
}

/* Takes word `index` for a place in a structure of `limit` bytes; an absurd one clears *ok. */
static uint32_t place(const void *offsets, size_t index, uint64_t limit, bool *ok)
{
    uint64_t value = index == 0 ? 0 : word(offsets, index);
    if (value >= limit)
        *ok = false;
    return *ok ? (uint32_t)value : 0;
}

int bsk_layout_from_offsets(const void *offsets, size_t size, struct bsk_layout *out_layout,
                            uint32_t *out_version_hex, struct bsk_error *err)
{
    enum { RUNTIME = 1 << 24, INTERPRETER = 1 << 24, THREAD = 1 << 14, OBJECT = 1 << 10 };
    if (size < 3 * sizeof(uint64_t) || memcmp(offsets, "xdebugpy", 8) != 0)
        return bsk_fail(err, BSK_E_FORMAT, NULL, "no _Py_DebugOffsets where they should be");
    uint32_t version = (uint32_t)word(offsets, 1);
    int minor = (int)(version >> 16 & 0xff);
    const struct bsk_offsets_index *at = version >> 24 == 3 ? find_index(minor) : NULL;
    *out_version_hex = version;
    if (!at)
        return bsk_fail(err, BSK_E_UNSUPPORTED, "look for a newer Basilisk",
                        "Not a Python process that we know: CPython %u.%d found; Basilisk reads "
                        "3.%d to 3.%d",
                        version >> 24, minor, BSK_OLDEST_MINOR, BSK_NEWEST_MINOR);
    if (size < at->words * sizeof(uint64_t))
        return bsk_fail(err, BSK_E_FORMAT, NULL, "_Py_DebugOffsets are cut short");

    bool ok = true;
    struct bsk_layout layout = { .minor = minor, .free_threaded = word(offsets, 2) != 0 };
    layout.runtime.interpreters_head = place(offsets, at->interpreters_head, RUNTIME, &ok);
    layout.interpreter.id = place(offsets, at->interpreter_id, INTERPRETER, &ok);
    layout.interpreter.next = place(offsets, at->interpreter_next, INTERPRETER, &ok);
    layout.interpreter.threads_head =
        place(offsets, at->interpreter_threads_head, INTERPRETER, &ok);
    layout.interpreter.code_generation = place(offsets, at->code_generation, INTERPRETER, &ok);
    layout.interpreter.gil_locked = place(offsets, at->gil_locked, INTERPRETER, &ok);
    layout.interpreter.gil_holder = place(offsets, at->gil_holder, INTERPRETER, &ok);
    layout.interpreter.collecting = place(offsets, at->gc, INTERPRETER, &ok) +
                                    place(offsets, at->gc_collecting, INTERPRETER, &ok);
    layout.thread.size = place(offsets, at->thread_size, THREAD, &ok);
    layout.thread.next = place(offsets, at->thread_next, THREAD, &ok);
    layout.thread.interp = place(offsets, at->thread_interp, THREAD, &ok);
    layout.thread.frame = place(offsets, at->thread_current_frame, THREAD, &ok);
    layout.thread.thread_id = place(offsets, at->thread_id, THREAD, &ok);
    layout.thread.native_thread_id = place(offsets, at->native_thread_id, THREAD, &ok);
    layout.thread.datastack_chunk = place(offsets, at->datastack_chunk, THREAD, &ok);
    layout.frame.size = place(offsets, at->frame_size, OBJECT, &ok);
    layout.frame.previous = place(offsets, at->frame_previous, OBJECT, &ok);
    layout.frame.code = place(offsets, at->frame_executable, OBJECT, &ok);
    layout.frame.lasti = place(offsets, at->frame_instr_ptr, OBJECT, &ok);
    layout.frame.owner = place(offsets, at->frame_owner, OBJECT, &ok);
    layout.code.size = place(offsets, at->code_size, OBJECT, &ok);
    layout.code.filename = place(offsets, at->code_filename, OBJECT, &ok);
    layout.code.name = place(offsets, at->code_name, OBJECT, &ok);
    layout.code.qualname = place(offsets, at->code_qualname, OBJECT, &ok);
    layout.code.linetable = place(offsets, at->code_linetable, OBJECT, &ok);
    layout.code.firstlineno = place(offsets, at->code_firstlineno, OBJECT, &ok);
    layout.code.bytecode = place(offsets, at->code_adaptive, OBJECT, &ok);
    if (layout.free_threaded) {
        layout.frame.tlbc_index = place(offsets, at->frame_tlbc_index, OBJECT, &ok);
        layout.code.tlbc = place(offsets, at->code_tlbc, OBJECT, &ok);
    }
    layout.object.type = place(offsets, at->object_type, OBJECT, &ok);
    layout.object.type_name = place(offsets, at->type_name, OBJECT, &ok);
    layout.object.bytes_size = place(offsets, at->bytes_size, OBJECT, &ok);
    layout.object.bytes_data = place(offsets, at->bytes_data, OBJECT, &ok);
    layout.object.text_state = place(offsets, at->text_state, OBJECT, &ok);
    layout.object.text_length = place(offsets, at->text_length, OBJECT, &ok);
    layout.object.text_ascii_data = place(offsets, at->text_ascii_size, OBJECT, &ok);
    /* The frame ends where its owner and its previous do at the latest; what we read must hold
     * them. 0 in any of these would read another field in its stead. */
    const uint32_t needed[] = { layout.runtime.interpreters_head,
                                layout.interpreter.threads_head,
                                layout.thread.next,
                                layout.thread.interp,
                                layout.thread.frame,
                                layout.thread.thread_id,
                                layout.frame.previous,
                                layout.frame.lasti,
                                layout.frame.owner,
                                layout.code.filename,
                                layout.code.name,
                                layout.code.linetable,
                                layout.code.bytecode,
                                layout.object.type,
                                layout.object.bytes_data,
                                layout.object.text_length,
                                layout.object.text_ascii_data };
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        ok = ok && needed[i] != 0;
    ok = ok && layout.frame.owner < layout.frame.size && layout.frame.lasti < layout.frame.size &&
         layout.frame.previous < layout.frame.size && layout.thread.frame < layout.thread.size;
    if (!ok)
        return bsk_fail(err, BSK_E_FORMAT, NULL, "_Py_DebugOffsets of 3.%d are absurd", minor);
    add_meanings(&layout);
    *out_layout = layout;
    return BSK_OK;
}
