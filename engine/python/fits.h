/* What calibrate.c and fits.c share: one look at a target, and what it told of each field. */
#ifndef BSK_PYTHON_FITS_H
#define BSK_PYTHON_FITS_H

#include "engine/python/look.h"

/* X(name in struct bsk_layout, name in C); in the order in which they rely on each other. */
#define BSK_LAYOUT_FIELDS(X)                                                                       \
    X(runtime.interpreters_head, INTERPRETERS_HEAD)                                                \
    X(runtime.interpreters_main, INTERPRETERS_MAIN)                                                \
    X(interpreter.threads_head, THREADS_HEAD)                                                      \
    X(interpreter.next, INTERPRETER_NEXT)                                                          \
    X(interpreter.id, INTERPRETER_ID)                                                              \
    X(thread.interp, THREAD_INTERP)                                                                \
    X(thread.next, THREAD_NEXT)                                                                    \
    X(thread.thread_id, THREAD_ID)                                                                 \
    X(thread.native_thread_id, NATIVE_THREAD_ID)                                                   \
    X(thread.state, THREAD_STATE)                                                                  \
    X(object.type, OBJECT_TYPE)                                                                    \
    X(object.type_name, TYPE_NAME)                                                                 \
    X(thread.datastack_chunk, DATASTACK_CHUNK)                                                     \
    X(thread.frame, THREAD_FRAME)                                                                  \
    X(cframe_current_frame, CFRAME_CURRENT_FRAME)                                                  \
    X(frame.code, FRAME_CODE)                                                                      \
    X(frame.previous, FRAME_PREVIOUS)                                                              \
    X(frame.owner, FRAME_OWNER)                                                                    \
    X(code.bytecode, CODE_BYTECODE)                                                                \
    X(code.size, CODE_SIZE)                                                                        \
    X(code.linetable, CODE_LINETABLE)                                                              \
    X(code.filename, CODE_FILENAME)                                                                \
    X(code.name, CODE_NAME)                                                                        \
    X(code.qualname, CODE_QUALNAME)                                                                \
    X(code.firstlineno, CODE_FIRSTLINENO)                                                          \
    X(code.version, CODE_VERSION)                                                                  \
    X(object.bytes_size, BYTES_SIZE)                                                               \
    X(object.bytes_data, BYTES_DATA)                                                               \
    X(object.text_length, TEXT_LENGTH)                                                             \
    X(object.text_state, TEXT_STATE)                                                               \
    X(object.text_ascii_data, TEXT_ASCII_DATA)                                                     \
    X(frame.size, FRAME_SIZE)                                                                      \
    X(frame.lasti, FRAME_LASTI)                                                                    \
    X(code.tlbc, CODE_TLBC)                                                                        \
    X(frame.tlbc_index, FRAME_TLBC_INDEX)                                                          \
    X(frame.calls, FRAME_CALLS)                                                                    \
    X(runtime.gil_holder, RUNTIME_GIL_HOLDER)                                                      \
    X(runtime.gil_locked, RUNTIME_GIL_LOCKED)                                                      \
    X(runtime.collecting, RUNTIME_COLLECTING)                                                      \
    X(interpreter.gil_holder, GIL_HOLDER)                                                          \
    X(interpreter.gil_locked, GIL_LOCKED)                                                          \
    X(interpreter.collecting, COLLECTING)                                                          \
    X(interpreter.code_generation, CODE_GENERATION)                                                \
    X(thread.size, THREAD_SIZE)

enum bsk_field {
#define X(field, name) FIELD_##name,
    BSK_LAYOUT_FIELDS(X)
#undef X
        FIELD_COUNT
};

enum bsk_verdict { NOT_SEEN, FITS, MISFIT };

enum {
    FIT_THREADS_MAX = 256, /* of a list that are walked */
    FIT_FRAMES_MAX = 4096, /* of a stack that are walked */
    FIT_FRAMES_KEPT = 16,  /* of these, the outermost, which stand still the longest */
};

struct bsk_fits {
    struct bsk_look look;
    uint64_t runtime;
    enum bsk_verdict verdicts[FIELD_COUNT]; /* of this look */
    bool starting;                          /* there is no interpreter or no thread yet */
    uint64_t interpreter;                   /* the main one */
    uint64_t threads[FIT_THREADS_MAX];      /* newest first */
    size_t thread_count;

    /* the stack of one thread */
    uint64_t thread, running;  /* the frame that executes, as far as the places tell */
    uint64_t chunk, chunk_end; /* of its data stack, the newest; 0: none */
    struct bsk_fit_frame {
        uint64_t address, code;
        bool is_caller;
    } frames[FIT_FRAMES_KEPT]; /* those with code, outermost last */
    size_t frame_count;
};

/* Judges a field once; what fitted in this look stays so. Returns `fits`. */
static inline bool bsk_fit(struct bsk_fits *fits, enum bsk_field field, bool ok)
{
    if (fits->verdicts[field] != FITS)
        fits->verdicts[field] = ok ? FITS : MISFIT;
    return ok;
}

/* One whole look: fills `verdicts`. */
void bsk_fits_look(struct bsk_fits *fits);
/* Whether what was looked at is still so: a picture of things that moved proves nothing. */
bool bsk_fits_still(struct bsk_fits *fits);
/* Whether this version has the field at all. */
bool bsk_fits_applies(const struct bsk_layout *layout, enum bsk_field field);
/* fits_frames.c: the fields that frames and what they point to show, of fits->thread. */
void bsk_fits_stack(struct bsk_fits *fits);
uint64_t bsk_fits_running(struct bsk_fits *fits); /* fits->thread's, now */

#endif
