#include "engine/python/places.h"

#include <inttypes.h>
#include <string.h>

/* A member of _Py_DebugOffsets that says the same as a row of the table. */
struct bsk_object_offset {
    int minor;
    size_t word;  /* in _Py_DebugOffsets, counted in 8 bytes */
    size_t place; /* in struct bsk_object_places */
    const char *member;
};

#include "engine/python/layouts/object_tables.h"

static int compare(struct bsk_object_places *places, const uint8_t *offsets, size_t size,
                   struct bsk_error *err)
{
    for (size_t i = 0; i < sizeof(object_offsets) / sizeof(object_offsets[0]); i++) {
        const struct bsk_object_offset *one = &object_offsets[i];
        uint64_t told;
        uint32_t *place = (uint32_t *)(void *)((uint8_t *)places + one->place);
        if (one->minor != places->minor)
            continue;
        if ((one->word + 1) * 8 > size)
            return bsk_fail(err, BSK_E_FORMAT, NULL, "_Py_DebugOffsets are cut short");
        memcpy(&told, offsets + one->word * 8, sizeof(told));
        if (place == &places->interpreter_modules && told > 0 && told < 1 << 24)
            *place = (uint32_t)told; /* this structure grows from one micro version to the next */
        else if (told != *place)
            return bsk_fail(
                err, BSK_E_FORMAT, "look for a newer Basilisk",
                "the objects of this CPython 3.%d are not as we know them: %s is %" PRIu64
                ", not %" PRIu32,
                places->minor, one->member, told, *place);
    }
    return BSK_OK;
}

int bsk_places_find(int minor, bool free_threaded, const void *offsets, size_t size,
                    struct bsk_object_places *out_places, struct bsk_error *err)
{
    for (size_t i = 0; i < sizeof(object_places) / sizeof(object_places[0]); i++) {
        struct bsk_object_places places = object_places[i];
        if (places.minor != minor || places.free_threaded != free_threaded)
            continue;
        int rc = minor >= 13 ? compare(&places, offsets, size, err) : BSK_OK;
        if (rc == BSK_OK)
            *out_places = places;
        return rc;
    }
    return bsk_fail(err, BSK_E_UNSUPPORTED, "look for a newer Basilisk",
                    "the objects of CPython 3.%d%s are not known", minor,
                    free_threaded ? " without the GIL" : "");
}
