/*
 * Google pprof's profile.proto (https://github.com/google/pprof/tree/main/proto), gzipped, which
 * `go tool pprof`, Grafana and others read.
 *
 * A sample is a distinct stack of one thread, columns included, its innermost frame first, with the
 * values samples and nanoseconds of the profile's clock, and where there are any, of these
 * nanoseconds those with the GIL, and wall time spent waiting for it and asleep. Labels name the
 * thread. A location is a function at a line and column (0 where it is not known); addresses there
 * are none. What a node weighs is shared out among the columns that it was seen at.
 *
 * Fields of one message may come in any order: strings, whose table is complete only at the end,
 * come last.
 */
#include "engine/export/about.h"
#include "engine/export/export.h"
#include "engine/export/names.h"
#include "engine/export/pairs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { /* field numbers of profile.proto */
       PROFILE_SAMPLE_TYPE = 1,
       PROFILE_SAMPLE = 2,
       PROFILE_MAPPING = 3,
       PROFILE_LOCATION = 4,
       PROFILE_FUNCTION = 5,
       PROFILE_STRING_TABLE = 6,
       PROFILE_TIME_NANOS = 9,
       PROFILE_DURATION_NANOS = 10,
       PROFILE_PERIOD_TYPE = 11,
       PROFILE_PERIOD = 12,
       PROFILE_COMMENT = 13,
       PROFILE_DEFAULT_SAMPLE_TYPE = 14,
       VALUE_TYPE_TYPE = 1,
       VALUE_TYPE_UNIT = 2,
       SAMPLE_LOCATION_ID = 1,
       SAMPLE_VALUE = 2,
       SAMPLE_LABEL = 3,
       LABEL_KEY = 1,
       LABEL_STR = 2,
       LABEL_NUM = 3,
       MAPPING_ID = 1,
       MAPPING_FILENAME = 5,
       MAPPING_HAS_FUNCTIONS = 7,
       MAPPING_HAS_FILENAMES = 8,
       MAPPING_HAS_LINE_NUMBERS = 9,
       LOCATION_ID = 1,
       LOCATION_MAPPING_ID = 2,
       LOCATION_LINE = 4,
       LINE_FUNCTION_ID = 1,
       LINE_LINE = 2,
       LINE_COLUMN = 3,
       FUNCTION_ID = 1,
       FUNCTION_NAME = 2,
       FUNCTION_FILENAME = 4,
       FUNCTION_START_LINE = 5,
};

enum {
    LOCATIONS_MAX = 20000000, /* in all samples together, 57 MiB before gzip: deep stacks are cut */
    DEPTH_MIN = 16,           /* but not below this */
    CHUNK_BYTES = 64 << 10,
    VALUES_MAX = 6,
    ZIP_LEVEL = 4,  /* beyond it, twice the time for a tenth of the bytes */
    GZIP = 15 + 16, /* the largest window, and gzip's header instead of zlib's */
    ZIP_MEMORY = 9,
};

struct pprof {
    const struct bsk_profile *profile;
    const struct bsk_profile_meta *meta;
    struct bsk_pairs strings;   /* by address: what is interned in a profile has one */
    struct bsk_pairs lines;     /* (function, line) */
    struct bsk_pairs locations; /* (line, column); the id is the number + 1 */
    uint32_t max_depth;
    bool gil, wait, idle, call; /* which values there are, beside samples and the clock's time */
    struct bsk_buffer message, inner, text;
    FILE *file;
    z_stream zip;
    unsigned char *chunk; /* CHUNK_BYTES */
    int io_errno;
    bool failed;
};

/* gzip */

static void deflate_all(struct pprof *p, const void *bytes, size_t size, int flush)
{
    p->zip.next_in = (Bytef *)(uintptr_t)bytes;
    p->zip.avail_in = (uInt)size;
    do {
        p->zip.next_out = p->chunk;
        p->zip.avail_out = CHUNK_BYTES;
        if (deflate(&p->zip, flush) == Z_STREAM_ERROR)
            p->failed = true;
        size_t ready = CHUNK_BYTES - p->zip.avail_out;
        if (fwrite(p->chunk, 1, ready, p->file) != ready && !p->io_errno)
            p->io_errno = errno ? errno : EIO;
    } while (p->zip.avail_out == 0 && !p->failed);
}

/* protobuf */

enum { VARINT_BYTES = 10 };

static size_t put_varint(char out[VARINT_BYTES], uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        out[size++] = (char)(value | 0x80);
    out[size++] = (char)value;
    return size;
}

static void add_varint(struct bsk_buffer *out, uint64_t value)
{
    char bytes[VARINT_BYTES];
    bsk_buffer_append(out, bytes, put_varint(bytes, value));
}

static void add_field(struct bsk_buffer *out, unsigned field, uint64_t value)
{
    if (value == 0)
        return; /* the default */
    add_varint(out, (uint64_t)field << 3);
    add_varint(out, value);
}

static void add_bytes(struct bsk_buffer *out, unsigned field, const void *bytes, size_t size)
{
    add_varint(out, (uint64_t)field << 3 | 2);
    add_varint(out, size);
    bsk_buffer_append(out, bytes, size);
}

/* What is in `message` becomes a field of the profile. */
static void write_message(struct pprof *p, unsigned field)
{
    char head[2 * VARINT_BYTES];
    size_t size = put_varint(head, (uint64_t)field << 3 | 2);
    size += put_varint(head + size, p->message.size);
    p->failed |= p->message.failed;
    deflate_all(p, head, size, Z_NO_FLUSH);
    deflate_all(p, p->message.data, p->message.size, Z_NO_FLUSH);
    bsk_buffer_clear(&p->message);
}

static void write_field(struct pprof *p, unsigned field, uint64_t value)
{
    add_field(&p->message, field, value);
    deflate_all(p, p->message.data, p->message.size, Z_NO_FLUSH);
    p->failed |= p->message.failed;
    bsk_buffer_clear(&p->message);
}

/* The number of a string that lives as long as the profile; "" is 0. */
static uint64_t string_of(struct pprof *p, const char *text)
{
    uint64_t address = text[0] ? (uint64_t)(uintptr_t)text : 0;
    uint32_t number = bsk_pair(&p->strings, (uint32_t)(address >> 32), (uint32_t)address);
    p->failed |= number == UINT32_MAX;
    return number;
}

static void write_value_type(struct pprof *p, unsigned field, const char *type, const char *unit)
{
    add_field(&p->message, VALUE_TYPE_TYPE, string_of(p, type));
    add_field(&p->message, VALUE_TYPE_UNIT, string_of(p, unit));
    write_message(p, field);
}

static void find_values(struct pprof *p)
{
    for (uint32_t i = 0; i < bsk_profile_node_count(p->profile); i++) {
        const struct bsk_node *node = bsk_profile_node_at(p->profile, i);
        p->gil |= node->gil_ns > 0 && p->meta->clock != BSK_CLOCK_GIL;
        p->wait |= node->wait_ns > 0;
        p->idle |= node->idle_ns > 0;
        p->call |= node->call_ns > 0;
    }
}

static size_t values_of(const struct pprof *p, const struct bsk_node *node,
                        uint64_t out_values[VALUES_MAX])
{
    size_t count = 0;
    out_values[count++] = node->samples;
    out_values[count++] = node->self_ns;
    if (p->gil)
        out_values[count++] = node->gil_ns;
    if (p->wait)
        out_values[count++] = node->wait_ns;
    if (p->idle)
        out_values[count++] = node->idle_ns;
    if (p->call)
        out_values[count++] = node->call_ns;
    return count;
}

static bool is_sample(const struct pprof *p, const struct bsk_node *node)
{
    uint64_t values[VALUES_MAX], any = 0;
    for (size_t i = values_of(p, node, values); i-- > 0;)
        any |= values[i];
    return any != 0;
}

/* How many samples a node makes. */
static uint32_t column_count(const struct pprof *p, uint32_t index)
{
    uint32_t at = 0, column, count, columns = 0;
    while (bsk_profile_next_column(p->profile, index, &at, &column, &count))
        columns++;
    return columns ? columns : 1;
}

static void limit_depth(struct pprof *p)
{
    for (p->max_depth = UINT32_MAX; p->max_depth > DEPTH_MIN;) {
        uint64_t locations = 0;
        uint32_t deepest = 0;
        for (uint32_t i = 0; i < bsk_profile_node_count(p->profile); i++) {
            const struct bsk_node *node = bsk_profile_node_at(p->profile, i);
            if (!is_sample(p, node))
                continue;
            deepest = node->depth > deepest ? node->depth : deepest;
            locations += (uint64_t)column_count(p, i) *
                         (node->depth < p->max_depth ? node->depth : p->max_depth);
        }
        if (locations <= LOCATIONS_MAX)
            break;
        p->max_depth = (p->max_depth < deepest ? p->max_depth : deepest) / 2;
    }
}

static uint32_t location_of(struct pprof *p, uint32_t function, uint32_t line, uint32_t column)
{
    uint32_t number = bsk_pair(&p->lines, function, line);
    if (number != UINT32_MAX)
        number = bsk_pair(&p->locations, number, column);
    p->failed |= number == UINT32_MAX;
    return number + 1;
}

static void add_label(struct pprof *p, const char *key, const char *text, uint64_t number)
{
    bsk_buffer_clear(&p->inner);
    add_field(&p->inner, LABEL_KEY, string_of(p, key));
    if (text)
        add_field(&p->inner, LABEL_STR, string_of(p, text));
    else
        add_field(&p->inner, LABEL_NUM, number);
    add_bytes(&p->message, SAMPLE_LABEL, p->inner.data, p->inner.size);
    p->failed |= p->inner.failed;
}

/* The function that stands for frames left out is one past the profile's own. `column` is of the
 * innermost frame. */
static void write_sample(struct pprof *p, uint32_t index, uint32_t column, const uint64_t *values,
                         size_t count)
{
    const struct bsk_node *node = bsk_profile_node_at(p->profile, index);
    struct bsk_track track =
        bsk_profile_track_at(p->profile, bsk_profile_track_of(p->profile, index));
    uint32_t none = (uint32_t)bsk_profile_function_count(p->profile);
    uint32_t outer = node->depth, inner = 0;
    if (node->depth > p->max_depth) {
        outer = p->max_depth / 2;
        inner = node->depth - p->max_depth / 2;
    }
    bsk_buffer_clear(&p->inner);
    for (uint32_t at = index; bsk_profile_node_at(p->profile, at)->depth > 0;) {
        const struct bsk_node *frame = bsk_profile_node_at(p->profile, at);
        if (frame->depth <= outer || frame->depth > inner)
            add_varint(&p->inner, location_of(p, frame->function, frame->line, column));
        else if (frame->depth == inner)
            add_varint(&p->inner, location_of(p, none + 1, 0, 0));
        column = bsk_profile_call_column(p->profile, at);
        at = frame->parent;
    }
    if (node->depth == 0)
        add_varint(&p->inner, location_of(p, none, 0, 0));
    add_bytes(&p->message, SAMPLE_LOCATION_ID, p->inner.data, p->inner.size);
    bsk_buffer_clear(&p->inner);
    for (size_t i = 0; i < count; i++)
        add_varint(&p->inner, values[i]);
    add_bytes(&p->message, SAMPLE_VALUE, p->inner.data, p->inner.size);
    p->failed |= p->inner.failed;
    add_label(p, "process", track.process, 0);
    add_label(p, "thread", track.thread, 0);
    add_label(p, "pid", NULL, (uint64_t)track.pid);
    add_label(p, "tid", NULL, (uint64_t)track.tid);
    write_message(p, PROFILE_SAMPLE);
}

/* One sample for each column that the node was seen at. What each gets of a value is its share of
 * the times it was seen, so that together they get all of it. */
static void write_samples(struct pprof *p, uint32_t index)
{
    uint64_t values[VALUES_MAX], part[VALUES_MAX], given[VALUES_MAX] = { 0 }, seen = 0, all = 0;
    size_t values_count = values_of(p, bsk_profile_node_at(p->profile, index), values);
    uint32_t at = 0, column = 0, count = 0;
    while (bsk_profile_next_column(p->profile, index, &at, &column, &count))
        all += count;
    if (all == 0)
        write_sample(p, index, 0, values, values_count);
    for (at = 0; all > 0 && bsk_profile_next_column(p->profile, index, &at, &column, &count);) {
        uint64_t any = 0;
        seen += count;
        for (size_t i = 0; i < values_count; i++) {
            uint64_t until = seen == all
                                 ? values[i]
                                 : (uint64_t)((double)values[i] * ((double)seen / (double)all));
            part[i] = until - given[i];
            given[i] = until;
            any |= part[i];
        }
        if (any)
            write_sample(p, index, column, part, values_count);
    }
}

/* Without a system_name: where it is the name, pprof takes it for C++ and cuts "<module>" away. */
static void write_function(struct pprof *p, uint32_t index)
{
    uint32_t none = (uint32_t)bsk_profile_function_count(p->profile);
    struct bsk_function function = { .path = "",
                                     .name = index == none ? "(no Python frame)"
                                                           : "(frames left out)" };
    if (index < none)
        function = bsk_profile_function_at(p->profile, index);
    add_field(&p->message, FUNCTION_ID, (uint64_t)index + 1);
    add_field(&p->message, FUNCTION_NAME, string_of(p, function.name));
    add_field(&p->message, FUNCTION_FILENAME, string_of(p, function.path));
    add_field(&p->message, FUNCTION_START_LINE, function.first_line);
    write_message(p, PROFILE_FUNCTION);
}

static void write_location(struct pprof *p, uint32_t number)
{
    uint64_t location = p->locations.keys[number], key = p->lines.keys[location >> 32];
    bsk_buffer_clear(&p->inner);
    add_field(&p->inner, LINE_FUNCTION_ID, (key >> 32) + 1);
    add_field(&p->inner, LINE_LINE, (uint32_t)key);
    if ((uint32_t)key > 0)
        add_field(&p->inner, LINE_COLUMN, (uint32_t)location);
    p->failed |= p->inner.failed;
    add_field(&p->message, LOCATION_ID, (uint64_t)number + 1);
    add_field(&p->message, LOCATION_MAPPING_ID, 1);
    add_bytes(&p->message, LOCATION_LINE, p->inner.data, p->inner.size);
    write_message(p, PROFILE_LOCATION);
}

static void write_mapping(struct pprof *p)
{
    add_field(&p->message, MAPPING_ID, 1);
    add_field(&p->message, MAPPING_FILENAME, string_of(p, bsk_export_name(p->profile)));
    add_field(&p->message, MAPPING_HAS_FUNCTIONS, 1);
    add_field(&p->message, MAPPING_HAS_FILENAMES, 1);
    add_field(&p->message, MAPPING_HAS_LINE_NUMBERS, 1);
    write_message(p, PROFILE_MAPPING);
}

static void write_header(struct pprof *p)
{
    const struct bsk_profile_meta *meta = p->meta;
    string_of(p, "");
    write_value_type(p, PROFILE_SAMPLE_TYPE, "samples", "count");
    write_value_type(p, PROFILE_SAMPLE_TYPE, bsk_clock_word(p->meta->clock), "nanoseconds");
    if (p->gil)
        write_value_type(p, PROFILE_SAMPLE_TYPE, "gil", "nanoseconds");
    if (p->wait)
        write_value_type(p, PROFILE_SAMPLE_TYPE, "gil_wait", "nanoseconds");
    if (p->idle)
        write_value_type(p, PROFILE_SAMPLE_TYPE, "idle", "nanoseconds");
    if (p->call)
        write_value_type(p, PROFILE_SAMPLE_TYPE, "system_call", "nanoseconds");
    write_field(p, PROFILE_DEFAULT_SAMPLE_TYPE, string_of(p, bsk_clock_word(p->meta->clock)));
    write_field(p, PROFILE_TIME_NANOS,
                meta->started_unix_ns > 0 ? (uint64_t)meta->started_unix_ns : 0);
    write_field(p, PROFILE_DURATION_NANOS, meta->duration_ns);
    write_value_type(p, PROFILE_PERIOD_TYPE, bsk_clock_word(p->meta->clock), "nanoseconds");
    write_field(p, PROFILE_PERIOD, meta->rate_hz > 0 ? (uint64_t)(1e9 / meta->rate_hz + 0.5) : 0);
    write_mapping(p);
}

/* What the table of strings holds is UTF-8, as protobuf demands. */
static void write_strings(struct pprof *p)
{
    for (uint32_t i = 0; i < p->strings.count; i++) {
        bsk_buffer_clear(&p->text);
        if (p->strings.keys[i] != 0)
            bsk_append_plain(&p->text, (const char *)(uintptr_t)p->strings.keys[i]);
        bsk_buffer_append(&p->message, p->text.data, p->text.size);
        p->failed |= p->text.failed;
        write_message(p, PROFILE_STRING_TABLE);
    }
}

/* What made the profile, in three lines that pprof shows above its tables. `said` is by line. */
static void say(const struct pprof *p, struct bsk_buffer said[3])
{
    const struct bsk_profile_meta *meta = p->meta;
    bsk_buffer_printf(&said[0], "%s: ", bsk_export_maker);
    bsk_append_plain(&said[0], meta->command[0] ? meta->command : bsk_export_name(p->profile));
    bsk_buffer_printf(&said[1], "python: %s  rate: %g Hz  clock: %s  method: %s  reason: %s",
                      meta->python, meta->rate_hz, bsk_clock_word(meta->clock),
                      bsk_method_word(meta->method), meta->reason);
    bsk_buffer_printf(
        &said[2],
        "samples: %llu  errors: %llu  torn: %llu  filled: %llu  unread: %llu  stopped: %llu  "
        "missed: %llu  lost: %llu",
        (unsigned long long)bsk_profile_samples(p->profile), (unsigned long long)meta->errors,
        (unsigned long long)meta->torn, (unsigned long long)meta->filled,
        (unsigned long long)meta->unread, (unsigned long long)meta->stopped,
        (unsigned long long)meta->missed, (unsigned long long)bsk_profile_lost(p->profile));
    char jit[BSK_JIT_PHRASE_BYTES];
    bsk_jit_phrase(meta, jit, sizeof(jit));
    bsk_buffer_printf(&said[2], "%s%s", jit[0] ? "  " : "", jit);
}

static void write_all(struct pprof *p, struct bsk_buffer said[3])
{
    uint32_t none = (uint32_t)bsk_profile_function_count(p->profile);
    write_header(p);
    for (int i = 0; i < 3; i++)
        write_field(p, PROFILE_COMMENT, string_of(p, bsk_buffer_text(&said[i])));
    for (uint32_t i = 0; i < bsk_profile_node_count(p->profile) && !p->failed; i++) {
        if (is_sample(p, bsk_profile_node_at(p->profile, i)))
            write_samples(p, i);
    }
    for (uint32_t i = 0; i < p->locations.count && !p->failed; i++)
        write_location(p, i);
    for (uint32_t i = 0; i < none + 2 && !p->failed; i++)
        write_function(p, i);
    if (!p->failed)
        write_strings(p);
    deflate_all(p, "", 0, Z_FINISH);
}

static int write_pprof(const struct bsk_profile *profile, FILE *out, struct bsk_error *err)
{
    struct pprof p = { .profile = profile,
                       .meta = bsk_profile_meta_const(profile),
                       .file = out,
                       .chunk = malloc(CHUNK_BYTES) };
    struct bsk_buffer said[3] = { { 0 }, { 0 }, { 0 } };
    bool zip = p.chunk && deflateInit2(&p.zip, ZIP_LEVEL, Z_DEFLATED, GZIP, ZIP_MEMORY,
                                       Z_DEFAULT_STRATEGY) == Z_OK;
    say(&p, said);
    p.failed = !zip || said[0].failed || said[1].failed || said[2].failed;
    if (!p.failed) {
        find_values(&p);
        limit_depth(&p);
        write_all(&p, said);
    }
    int rc = BSK_OK;
    if (p.failed)
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing a pprof file");
    else if (p.io_errno)
        rc = bsk_fail(err, BSK_E_IO, "is the disk full?", "cannot write: %s", strerror(p.io_errno));
    if (zip)
        deflateEnd(&p.zip);
    free(p.chunk);
    bsk_pairs_free(&p.strings);
    bsk_pairs_free(&p.lines);
    bsk_pairs_free(&p.locations);
    bsk_buffer_free(&p.message);
    bsk_buffer_free(&p.inner);
    bsk_buffer_free(&p.text);
    for (int i = 0; i < 3; i++)
        bsk_buffer_free(&said[i]);
    return rc;
}

const struct bsk_exporter bsk_export_pprof = { "pprof", ".pb.gz", write_pprof };
