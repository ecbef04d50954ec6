/*
 * Whether a layout fits the Python that it is to be used on: each place in it is held against what
 * must be true of the structures in the live target. A layout that does not fit is refused with the
 * name of the field, so that a build nobody knew of gives an error and no wrong profile.
 *
 * What a target does meanwhile is no reason to refuse it: only what is wrong in a picture that
 * stood still counts, and only when it is wrong again and again.
 */
#ifndef BSK_PYTHON_CALIBRATE_H
#define BSK_PYTHON_CALIBRATE_H

#include "engine/process/process.h"
#include "engine/python/layout.h"

/* The places of struct bsk_layout that are checked, in the order in which they are relied on. */
struct bsk_layout_field {
    const char *name; /* "thread.interp" */
    uint32_t at;      /* where in struct bsk_layout its uint32_t lies, in bytes */
};

size_t bsk_layout_field_count(void);
const struct bsk_layout_field *bsk_layout_field(size_t index);

/* `runtime` is the address of _PyRuntime, `version` is for the message. `*out_complete` is false
 * when some places could not be checked yet (no Python function runs): then ask again later.
 * BSK_E_UNSUPPORTED: a place does not fit; BSK_E_TORN: it starts or ends, or would not stand still;
 * BSK_E_GONE, BSK_E_PERMISSION. Takes less than a millisecond where all fits. */
int bsk_calibrate(struct bsk_process *process, const struct bsk_layout *layout, uint64_t runtime,
                  const char *version, bool *out_complete, struct bsk_error *err);

#endif
