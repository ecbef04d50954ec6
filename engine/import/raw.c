/*
 * Collapsed stacks: "outer (file:line);inner (file:line) COUNT", a line for each. As py-spy and
 * engine/export write them, and flamegraph.pl's tools without files and lines.
 */
#include "engine/import/build.h"

#include <string.h>

enum { MAX_TEXT_BYTES = 64 << 10 };

static int broken(struct bsk_build *build, size_t line, const char *what)
{
    return bsk_fail(build->err, BSK_E_FORMAT, "its lines are \"outer;inner COUNT\"",
                    "%.200s: line %zu: %s", build->name, line, what);
}

static int add_frame(struct bsk_build *build, char *text)
{
    struct bsk_profile_frame frame;
    if (bsk_build_is_track(build, text))
        return BSK_OK;
    int rc = bsk_build_label(build, text, &frame);
    return rc < 0 ? rc : bsk_build_frame(build, frame.function, frame.line);
}

static int add_stack(struct bsk_build *build, char *text, uint64_t count)
{
    uint32_t node;
    bsk_build_begin_stack(build);
    for (char *at = text, *next; at; at = next) {
        next = strchr(at, ';');
        if (next)
            *next++ = '\0';
        if (at[0] == '\0')
            continue; /* py-spy writes empty stacks */
        if (at[0] == ' ' && build->tid && build->depth == 0)
            continue; /* the rest of a thread's name that had a semicolon */
        int rc = add_frame(build, at);
        if (rc < 0)
            return rc;
    }
    int rc = bsk_build_stack(build, UINT32_MAX, &node);
    if (rc == BSK_OK)
        bsk_profile_add(build->out->profile, node, 0, 0, count * 1000000,
                        count < UINT32_MAX ? (uint32_t)count : UINT32_MAX);
    return rc;
}

/* The number after the last blank; false when there is none. */
static bool split(const char *begin, const char **end, uint64_t *out_count)
{
    const char *at = *end;
    uint64_t count = 0, unit = 1;
    while (at > begin && at[-1] >= '0' && at[-1] <= '9' && unit < 1000000000000000000) {
        count += (uint64_t)(*--at - '0') * unit;
        unit *= 10;
    }
    if (at == *end || at == begin || at[-1] != ' ')
        return false;
    *end = at - 1;
    *out_count = count;
    return true;
}

int bsk_read_raw(struct bsk_build *build, const char *bytes, size_t size)
{
    const char *end = bytes + size;
    struct bsk_buffer text = { 0 };
    uint64_t total = 0;
    size_t number = 0;
    int rc = BSK_OK;
    for (const char *at = bytes, *next; at < end && rc == BSK_OK; at = next) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        bool cut = !stop;
        stop = stop ? stop : end;
        next = stop < end ? stop + 1 : end;
        number++;
        if (stop > at && stop[-1] == '\r')
            stop--;
        uint64_t count = 0;
        if (stop == at)
            continue;
        if (memchr(at, '\0', (size_t)(stop - at)))
            rc = broken(build, number, "a zero byte stands in it");
        else if (!split(at, &stop, &count))
            rc = broken(build, number,
                        cut ? "the file ends without the count" : "no count stands at its end");
        else if (count > 1000000000000 || (total += count) > 1000000000000)
            rc = broken(build, number, "the counts add up to more than 10^12");
        if (rc < 0 || count == 0)
            continue;
        bsk_buffer_clear(&text);
        if (bsk_buffer_append(&text, at, (size_t)(stop - at)) && bsk_buffer_text(&text)[0] == '\0')
            continue;
        rc = text.failed ? bsk_fail(build->err, BSK_E_MEMORY, NULL, "out of memory")
                         : add_stack(build, text.data, count);
    }
    bsk_buffer_free(&text);
    return rc;
}
