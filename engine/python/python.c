#include "engine/python/python.h"

#include "engine/python/internal.h"
#include "engine/python/objects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int choose_layout(struct bsk_python *python, const struct bsk_found *found,
                         struct bsk_error *err)
{
    char offsets[BSK_OFFSETS_MAX_BYTES];
    uint32_t version_hex;
    if (found->minor < 13)
        return bsk_layout_from_table(found->minor, &python->layout, err);
    int rc = bsk_process_read(python->process, found->runtime, offsets, sizeof(offsets), err);
    if (rc < 0)
        return rc;
    return bsk_layout_from_offsets(offsets, sizeof(offsets), &python->layout, &version_hex, err);
}

/* The layout is right when what it leads to points back: an interpreter whose first thread state
 * names that interpreter. */
static int check_layout(struct bsk_python *python, struct bsk_error *err)
{
    const struct bsk_layout *layout = &python->layout;
    uint64_t interpreter = 0, thread = 0, back = 0;
    int rc = bsk_process_read(python->process, python->runtime + layout->runtime.interpreters_head,
                              &interpreter, sizeof(interpreter), err);
    if (rc < 0)
        return rc;
    if (interpreter == 0 ||
        bsk_process_read(python->process, interpreter + layout->interpreter.threads_head, &thread,
                         sizeof(thread), NULL) < 0 ||
        thread == 0)
        return bsk_fail(err, BSK_E_TORN, "try again in a moment",
                        "Python %s in process %d is "
                        "starting or ending",
                        python->info.version, (int)python->info.pid);
    if (bsk_process_read(python->process, thread + layout->thread.interp, &back, sizeof(back),
                         NULL) < 0 ||
        back != interpreter)
        return bsk_fail(err, BSK_E_TORN,
                        "try again; if it stays so, this build of Python has "
                        "another layout",
                        "CPython %s in process %d does not look as it should", python->info.version,
                        (int)python->info.pid);
    return BSK_OK;
}

int bsk_python_open(struct bsk_process *process, struct bsk_python **out_python,
                    struct bsk_error *err)
{
    struct bsk_found found = { .micro = -1 };
    struct bsk_python *python = calloc(1, sizeof(*python));
    if (!python)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    python->process = process;
    python->info.pid = bsk_process_pid(process);
    int rc = bsk_find_python(process, &found, err);
    if (rc < 0)
        goto out;
    python->runtime = found.runtime;
    python->info.major = found.major;
    python->info.minor = found.minor;
    python->info.micro = found.micro;
    memcpy(python->info.version, found.version, sizeof(python->info.version));
    bsk_process_exe(python->info.pid, python->info.executable, sizeof(python->info.executable));
    rc = choose_layout(python, &found, err);
    if (rc == BSK_OK)
        rc = check_layout(python, err);
    if (rc < 0)
        goto out;
    python->info.free_threaded = python->layout.free_threaded;
    python->codes = bsk_codes_new(process, &python->layout);
    if (!python->codes) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        goto out;
    }
    *out_python = python;
    python = NULL;
out:
    bsk_python_close(python);
    return rc;
}

void bsk_python_close(struct bsk_python *python)
{
    if (!python)
        return;
    for (size_t i = 0; i < python->thread_count; i++) {
        bsk_stack_memory_free(python->threads[i]->memory);
        free(python->threads[i]->name_memory);
        free(python->threads[i]);
    }
    free(python->threads);
    free(python->interpreters);
    free(python->pieces);
    free(python->kept_pieces);
    bsk_proof_free(&python->proof);
    bsk_variables_free(python);
    bsk_objects_free(python->objects);
    bsk_codes_free(python->codes);
    free(python);
}

const struct bsk_python_info *bsk_python_info(const struct bsk_python *python)
{
    return &python->info;
}

uint64_t bsk_python_anchor(const struct bsk_python *python)
{
    return python->runtime;
}
