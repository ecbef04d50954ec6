#include "engine/import/import.h"

#include "engine/import/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { MAX_RUNS = 2000000, GZIP_WINDOW = 15 + 16, STEP_BYTES = 1 << 20 };

static const char known_formats[] =
    "diff reads what `basilisk record` writes, and flame graphs, raw and speedscope files of "
    "py-spy's";

/* Unpacks all of it; what follows the end of the gzip stream is left out, as gzip does. */
static int unpack(const char *name, const char *bytes, size_t size, struct bsk_buffer *out,
                  struct bsk_error *err)
{
    z_stream stream = { .next_in = (unsigned char *)(uintptr_t)bytes, .avail_in = (unsigned)size };
    int rc = BSK_OK, state = Z_OK;
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    out->max_bytes = BSK_IMPORT_MAX_BYTES;
    while (state == Z_OK) {
        char *room = bsk_buffer_reserve(out, STEP_BYTES);
        if (!room) {
            rc = bsk_fail(err, BSK_E_LIMIT, NULL, "%.200s: unpacks to more than %d MiB", name,
                          BSK_IMPORT_MAX_BYTES >> 20);
            break;
        }
        stream.next_out = (unsigned char *)room;
        stream.avail_out = STEP_BYTES;
        state = inflate(&stream, Z_NO_FLUSH);
        out->size += STEP_BYTES - stream.avail_out;
    }
    if (rc == BSK_OK && state != Z_STREAM_END)
        rc = bsk_fail(err, BSK_E_FORMAT, NULL, "%.200s: gzip: %s near byte %lu", name,
                      state == Z_BUF_ERROR ? "the file is cut"
                      : stream.msg         ? stream.msg
                                           : "broken data",
                      stream.total_in);
    inflateEnd(&stream);
    return rc;
}

/* The key that tells what a JSON object is; NULL: none does. */
static bsk_reader *reader_of_object(struct bsk_pull pull, const char **out_format)
{
    struct bsk_span key;
    bsk_pull_object(&pull);
    while (bsk_pull_key(&pull, &key)) {
        if (bsk_pull_is(key, "shared") || bsk_pull_is(key, "profiles")) {
            *out_format = "speedscope";
            return bsk_read_speedscope;
        }
        if (bsk_pull_is(key, "nodes")) {
            *out_format = "cpuprofile";
            return bsk_read_cpuprofile;
        }
        if (bsk_pull_is(key, "traceEvents")) {
            *out_format = "chrometrace";
            return bsk_read_chrometrace;
        }
        bsk_pull_skip(&pull);
    }
    return NULL;
}

/* A first line that ends in a number, as collapsed stacks have it. */
static bool looks_raw(const char *bytes, size_t size)
{
    const char *stop = memchr(bytes, '\n', size);
    size_t length = stop ? (size_t)(stop - bytes) : size;
    while (length > 0 && bytes[length - 1] == '\r')
        length--;
    size_t digits = 0;
    while (digits < length && bytes[length - 1 - digits] >= '0' &&
           bytes[length - 1 - digits] <= '9')
        digits++;
    return digits > 0 && digits < length && bytes[length - 1 - digits] == ' ' &&
           !memchr(bytes, '\0', length);
}

/* A protobuf whose first field may be a pprof profile's: 1 to 15, and of a kind that it has. */
static bool looks_pprof(const char *bytes, size_t size)
{
    unsigned char tag = size > 1 ? (unsigned char)bytes[0] : 0;
    return (tag & 7) == 2 && tag >> 3 >= 1 && tag >> 3 <= 6;
}

/* XML whose first element, behind whatever stands before it, is an SVG's. */
static bool looks_svg(const char *bytes, size_t size)
{
    enum { HEAD_BYTES = 64 << 10 };
    return memmem(bytes, size < HEAD_BYTES ? size : HEAD_BYTES, "<svg", 4) != NULL;
}

static int unknown(const char *name, size_t size, struct bsk_error *err)
{
    if (size == 0)
        return bsk_fail(err, BSK_E_FORMAT, NULL, "%.200s: the file is empty", name);
    return bsk_fail(err, BSK_E_FORMAT, known_formats, "%.200s: this is no profile", name);
}

static int choose(const char *name, const char *bytes, size_t size, bsk_reader **out_reader,
                  const char **out_format, struct bsk_error *err)
{
    size_t blank = 0;
    while (blank < size && strchr(" \t\r\n", bytes[blank]) && bytes[blank])
        blank++;
    char first = blank < size ? bytes[blank] : '\0';
    *out_reader = NULL;
    if (first == '{') {
        struct bsk_pull pull = { .start = bytes, .at = bytes, .end = bytes + size, .name = name };
        *out_reader = reader_of_object(pull, out_format);
        if (!*out_reader) { /* broken JSON, or other JSON? */
            struct bsk_error why = { 0 };
            pull.err = &why;
            if (!bsk_pull_skip(&pull)) {
                *err = why;
                return err->code;
            }
            return bsk_fail(err, BSK_E_FORMAT, known_formats,
                            "%.200s: JSON, but no profile: it has neither \"shared\", \"nodes\" "
                            "nor \"traceEvents\"",
                            name);
        }
    } else if (first == '[') {
        *out_format = "chrometrace";
        *out_reader = bsk_read_chrometrace;
    } else if (first == '<' && looks_svg(bytes + blank, size - blank)) {
        *out_format = "flamegraph";
        *out_reader = bsk_read_svg;
    } else if (looks_raw(bytes, size)) {
        *out_format = "raw";
        *out_reader = bsk_read_raw;
    } else if (looks_pprof(bytes, size)) {
        *out_format = "pprof";
        *out_reader = bsk_read_pprof;
    }
    return *out_reader ? BSK_OK : unknown(name, size, err);
}

int bsk_import_bytes(const char *name, const void *bytes, size_t size, struct bsk_imported *out,
                     struct bsk_error *err)
{
    struct bsk_error ignored;
    struct bsk_buffer unpacked = { 0 };
    struct bsk_build build = { .name = name, .out = out, .err = err ? err : &ignored };
    bsk_reader *reader = NULL;
    const unsigned char *magic = bytes;
    int rc = BSK_OK;
    *out = (struct bsk_imported){ .format = "" };
    if (size > BSK_IMPORT_MAX_BYTES)
        return bsk_fail(build.err, BSK_E_LIMIT, NULL, "%.200s: larger than %d MiB", name,
                        BSK_IMPORT_MAX_BYTES >> 20);
    if (size > 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
        rc = unpack(name, bytes, size, &unpacked, build.err);
        bytes = unpacked.data;
        size = unpacked.size;
    }
    if (rc == BSK_OK)
        rc = choose(name, bytes, size, &reader, &out->format, build.err);
    if (rc == BSK_OK && reader) {
        out->profile = bsk_profile_new(MAX_RUNS);
        rc = out->profile ? reader(&build, bytes, size)
                          : bsk_fail(build.err, BSK_E_MEMORY, NULL, "out of memory");
    }
    if (rc == BSK_OK && bsk_profile_cpu_ns(out->profile) == 0)
        rc = bsk_fail(build.err, BSK_E_FORMAT, NULL, "%.200s: No samples: the profile is empty",
                      name);
    if (rc == BSK_OK) {
        struct bsk_profile_meta *meta = bsk_profile_meta(out->profile);
        meta->samples = bsk_profile_samples(out->profile);
    } else {
        bsk_profile_free(out->profile);
        out->profile = NULL;
    }
    free(build.frames);
    bsk_buffer_free(&unpacked);
    return rc;
}

/* All of a file; it may be a pipe. */
static int read_all(int fd, const char *path, struct bsk_buffer *out, struct bsk_error *err)
{
    out->max_bytes = (size_t)BSK_IMPORT_MAX_BYTES + STEP_BYTES;
    struct stat status = { 0 };
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
        return bsk_fail(err, BSK_E_IO, NULL, "%.200s: is a folder", path);
    if (S_ISREG(status.st_mode) && status.st_size > BSK_IMPORT_MAX_BYTES)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "%.200s: larger than %d MiB", path,
                        BSK_IMPORT_MAX_BYTES >> 20);
    for (;;) {
        char *room = bsk_buffer_reserve(out, STEP_BYTES);
        if (!room)
            return out->size > BSK_IMPORT_MAX_BYTES
                       ? bsk_fail(err, BSK_E_LIMIT, NULL, "%.200s: larger than %d MiB", path,
                                  BSK_IMPORT_MAX_BYTES >> 20)
                       : bsk_fail(err, BSK_E_MEMORY, NULL, "%.200s: out of memory", path);
        ssize_t got = read(fd, room, STEP_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return bsk_fail(err, BSK_E_IO, NULL, "%.200s: %s", path, strerror(errno));
        if (got == 0)
            return BSK_OK;
        out->size += (size_t)got;
    }
}

int bsk_import_file(const char *path, struct bsk_imported *out, struct bsk_error *err)
{
    struct bsk_buffer bytes = { 0 };
    *out = (struct bsk_imported){ .format = "" };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return bsk_fail(err, BSK_E_IO, NULL, "%.200s: %s", path, strerror(errno));
    int rc = read_all(fd, path, &bytes, err);
    close(fd);
    if (rc == BSK_OK)
        rc = bsk_import_bytes(path, bytes.data, bytes.size, out, err);
    bsk_buffer_free(&bytes);
    return rc;
}
