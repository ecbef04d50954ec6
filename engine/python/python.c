#include "engine/python/python.h"

#include "engine/python/calibrate.h"
#include "engine/python/internal.h"
#include "engine/python/objects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bsk_layout_choose(struct bsk_process *process, const struct bsk_found *found,
                      struct bsk_layout *out_layout, struct bsk_error *err)
{
    char offsets[BSK_OFFSETS_MAX_BYTES];
    uint32_t version_hex;
    if (found->minor < 13)
        return bsk_layout_from_table(found->minor, out_layout, err);
    int rc = bsk_process_read(process, found->runtime, offsets, sizeof(offsets), err);
    if (rc < 0)
        return rc;
    return bsk_layout_from_offsets(offsets, sizeof(offsets), out_layout, &version_hex, err);
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
    bsk_process_tell_exe(process, python->info.executable, sizeof(python->info.executable));
    rc = bsk_layout_choose(process, &found, &python->layout, err);
    if (rc == BSK_OK)
        rc = bsk_calibrate(process, &python->layout, python->runtime, python->info.version,
                           &python->calibrated, err);
    if (rc < 0 && found.missing.code == BSK_E_IO && bsk_process_core_facts(process, NULL)) {
        rc = found.missing.code; /* what does not fit is what could not be read */
        if (err)
            *err = found.missing;
    }
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
    bsk_bridges_free(&python->bridges);
    bsk_variables_free(python);
    bsk_objects_free(python->objects);
    bsk_codes_free(python->codes);
    free(python);
}

const struct bsk_python_info *bsk_python_info(const struct bsk_python *python)
{
    return &python->info;
}

size_t bsk_python_look_for_jit(struct bsk_python *python)
{
    return bsk_codes_look_for_jit(python->codes);
}

uint64_t bsk_python_anchor(const struct bsk_python *python)
{
    return python->runtime;
}
