#include "engine/python/calibrate.h"

#include "engine/base/clock.h"
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

/* Soon again at first, then more and more rarely. */
static void wait_a_little(uint64_t waited_ns)
{
    struct timespec pause = { .tv_nsec = 20000 + (long)(waited_ns / 16) };
    nanosleep(&pause, NULL);
}

/* A Python that starts is never asleep before it is whole, so what sleeps is as it is. One that
 * runs, or would if it had a CPU, is given time: its own, for on a loaded machine a second of ours
 * may hold little of it. */
static bool may_be_starting(struct bsk_process *process, uint64_t cpu_ns_at_first)
{
    enum { PATIENCE_NS = 1000000000 };
    struct bsk_process_facts facts = { 0 };
    uint64_t cpu_ns;
    if (!bsk_process_tell_cpu_ns(process, &cpu_ns) || cpu_ns - cpu_ns_at_first >= PATIENCE_NS)
        return false;
    return bsk_process_tell_facts(process, &facts, NULL) != BSK_OK || facts.state != 'S';
}

struct found {
    bool seen[FIELD_COUNT];
    size_t wrong; /* FIELD_COUNT: nothing */
};

/* The first field in the order of reliance that is wrong in this look and never was right. */
static void note(const struct bsk_fits *fits, struct found *found)
{
    found->wrong = FIELD_COUNT;
    for (size_t i = FIELD_COUNT; i-- > 0;) {
        found->seen[i] = found->seen[i] || fits->verdicts[i] == FITS;
        if (!found->seen[i] && fits->verdicts[i] == MISFIT)
            found->wrong = i;
    }
}

/* Looks until all that can be seen fits, or the same place was wrong in many pictures in a row. */
static int look_often(struct bsk_fits *fits, struct found *found, const char *version,
                      struct bsk_error *err)
{
    enum { DEADLINE_NS = 2000000000, PROOFS = 8 };
    struct bsk_process *process = fits->look.process;
    uint64_t start = bsk_now_ns(), waited = 0, cpu_ns = 0;
    bsk_process_tell_cpu_ns(process, &cpu_ns);
    size_t proofs = 0, last = FIELD_COUNT;
    for (; waited < DEADLINE_NS; waited = bsk_now_ns() - start) {
        bsk_fits_look(fits);
        note(fits, found);
        if (found->wrong == FIELD_COUNT)
            return BSK_OK;
        int rc = bsk_process_same(process, fits->runtime, err);
        if (rc < 0)
            return rc;
        proofs = found->wrong == last && bsk_fits_still(fits) ? proofs + 1 : 0;
        last = found->wrong;
        if (proofs >= PROOFS && !may_be_starting(process, cpu_ns))
            return refuse(version, found->wrong, err);
        wait_a_little(waited);
    }
    return bsk_fail(err, BSK_E_TORN, "try again in a moment",
                    "CPython %s in process %d does not stand still enough to check %s", version,
                    (int)bsk_process_pid(process), fields[found->wrong].name);
}

int bsk_calibrate(struct bsk_process *process, const struct bsk_layout *layout, uint64_t runtime,
                  const char *version, bool *out_complete, struct bsk_error *err)
{
    struct bsk_fits fits = { .runtime = runtime };
    struct found found = { .wrong = absurd(layout) };
    *out_complete = false;
    if (found.wrong < FIELD_COUNT)
        return refuse(version, found.wrong, err);
    if (!bsk_look_begin(&fits.look, process, layout))
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    int rc = look_often(&fits, &found, version, err);
    bsk_look_end(&fits.look);
    if (rc == BSK_OK && fits.starting) {
        rc = bsk_process_same(process, runtime, err);
        if (rc == BSK_OK)
            rc = bsk_fail(err, BSK_E_TORN, "try again in a moment",
                          "Python %s in process %d is starting or ending", version,
                          (int)bsk_process_pid(process));
    }
    if (rc < 0)
        return rc;
    *out_complete = true;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        *out_complete = *out_complete && (found.seen[i] || !bsk_fits_applies(layout, i));
    return BSK_OK;
}
