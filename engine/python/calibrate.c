#include "engine/python/calibrate.h"

#include "engine/python/fits.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

static const struct bsk_layout_field fields[FIELD_COUNT] = {
#define X(field, name) [FIELD_##name] = { #field, offsetof(struct bsk_layout, field) },
    BSK_LAYOUT_FIELDS(X)
#undef X
};

size_t bsk_layout_field_count(void)
{
    return FIELD_COUNT;
}

const struct bsk_layout_field *bsk_layout_field(size_t index)
{
    return &fields[index];
}

static uint32_t place_of(const struct bsk_layout *layout, size_t field)
{
    uint32_t place;
    memcpy(&place, (const char *)layout + fields[field].at, sizeof(place));
    return place;
}

/* Larger than any structure; a place that was shifted below 0 is far above. */
static uint32_t limit_of(size_t field)
{
    enum { BIG = 1 << 24, THREAD = 1 << 14, SMALL = 1 << 10 };
    const char *name = fields[field].name;
    if (strncmp(name, "runtime.", 8) == 0 || strncmp(name, "interpreter.", 12) == 0)
        return BIG;
    return strncmp(name, "thread.", 7) == 0 ? THREAD : SMALL;
}

static int refuse(const char *version, size_t field, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED,
                    "this build of Python is laid out in a way that we do not know: tell us how it "
                    "was built, or run the program with a usual build",
                    "CPython %s: %s does not fit", version, fields[field].name);
}

/* What the eye sees without the target. */
static size_t absurd(const struct bsk_layout *layout)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (place_of(layout, i) >= limit_of(i))
            return i;
    return FIELD_COUNT;
}

static void wait_a_little(int try)
{
    struct timespec pause = { .tv_nsec = try < 8 ? 20000 : 500000 };
    nanosleep(&pause, NULL);
}

int bsk_calibrate(struct bsk_process *process, const struct bsk_layout *layout, uint64_t runtime,
                  const char *version, bool *out_complete, struct bsk_error *err)
{
    enum { TRIES_MAX = 200, PROOFS = 6 }; /* 100 ms; as many pictures in a row as must say no */
    struct bsk_fits fits = { .runtime = runtime };
    bool seen[FIELD_COUNT] = { false };
    size_t wrong = absurd(layout), proofs = 0, last = FIELD_COUNT;
    int rc = BSK_OK;
    *out_complete = false;
    if (wrong < FIELD_COUNT)
        return refuse(version, wrong, err);
    if (!bsk_look_begin(&fits.look, process, layout))
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    for (int try = 0; try < TRIES_MAX; try++) {
        if (try > 0)
            wait_a_little(try);
        bsk_fits_look(&fits);
        wrong = FIELD_COUNT;
        for (size_t i = FIELD_COUNT; i-- > 0;) {
            seen[i] = seen[i] || fits.verdicts[i] == FITS;
            if (!seen[i] && fits.verdicts[i] == MISFIT)
                wrong = i;
        }
        if (wrong == FIELD_COUNT)
            break;
        rc = bsk_process_same(process, runtime, err);
        if (rc < 0)
            goto out;
        proofs = wrong == last && bsk_fits_still(&fits) ? proofs + 1 : 0;
        last = wrong;
        if (proofs == PROOFS) {
            rc = refuse(version, wrong, err);
            goto out;
        }
    }
    if (wrong < FIELD_COUNT) {
        rc = bsk_fail(err, BSK_E_TORN, "try again in a moment",
                      "CPython %s in process %d does not stand still enough to check %s", version,
                      (int)bsk_process_pid(process), fields[wrong].name);
        goto out;
    }
    if (fits.starting) {
        rc = bsk_process_same(process, runtime, err);
        if (rc == BSK_OK)
            rc = bsk_fail(err, BSK_E_TORN, "try again in a moment",
                          "Python %s in process %d is starting or ending", version,
                          (int)bsk_process_pid(process));
        goto out;
    }
    *out_complete = true;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        *out_complete = *out_complete && (seen[i] || !bsk_fits_applies(layout, i));
out:
    bsk_look_end(&fits.look);
    return rc;
}
