#include "engine/findings/source.h"

#include "engine/base/room.h"
#include "engine/base/strings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILES_MAX = 64,
    FILE_MAX_BYTES = 16 << 20,
    LINES_MAX = 1000000,
    CACHE_MAX_BYTES = 32 << 20,
};

#define NOT_UTF8 UINT32_MAX

struct bsk_source {
    char *path;
    bool readable;
    off_t size;
    struct timespec changed;
    struct bsk_columns *lines;
    size_t line_count, line_capacity;
    uint64_t used; /* when it was asked for last, by the cache's count */
};

struct bsk_source_cache {
    struct bsk_source files[FILES_MAX];
    size_t count;
    uint64_t asked;
};

struct bsk_source_cache *bsk_source_cache_new(void)
{
    return calloc(1, sizeof(struct bsk_source_cache));
}

static void forget(struct bsk_source *source)
{
    free(source->path);
    free(source->lines);
    memset(source, 0, sizeof(*source));
}

void bsk_source_cache_free(struct bsk_source_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < cache->count; i++)
        forget(&cache->files[i]);
    free(cache);
}

static bool add_line(struct bsk_source *source, struct bsk_columns columns)
{
    if (!bsk_room_for_one(&source->lines, source->line_count, &source->line_capacity,
                          sizeof(*source->lines)))
        return false;
    source->lines[source->line_count++] = columns;
    return true;
}

/* The columns of the line at `text`, and in *out_bytes how long it is without its end. */
static struct bsk_columns measure(const char *text, size_t size, size_t *out_bytes)
{
    struct bsk_columns columns = { 0 };
    uint32_t column = 0;
    bool seen = false, valid = true;
    size_t i = 0;
    while (i < size && text[i] != '\n' && text[i] != '\r') {
        unsigned char c = (unsigned char)text[i];
        size_t bytes = c < 0x80 ? 1 : bsk_utf8_length(text + i, size - i);
        if (bytes == 0) {
            valid = false;
            bytes = 1;
        }
        bool blank = c == ' ' || c == '\t' || c == '\f';
        if (!blank && !seen) {
            columns.start = column;
            seen = true;
        }
        column += bytes == 4 ? 2 : 1; /* beyond the basic plane: a pair of surrogates */
        if (!blank)
            columns.end = column;
        i += bytes;
    }
    if (!seen)
        columns.end = column; /* blanks alone: all of them */
    if (!valid)
        columns.start = columns.end = NOT_UTF8;
    *out_bytes = i;
    return columns;
}

static void index_lines(struct bsk_source *source, const char *text, size_t size)
{
    size_t at = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* editors hide a BOM */
    while (at < size && source->line_count < LINES_MAX) {
        size_t bytes;
        struct bsk_columns columns = measure(text + at, size - at, &bytes);
        if (!add_line(source, columns))
            return; /* the lines so far are worth something */
        at += bytes;
        if (at < size)
            at += text[at] == '\r' && at + 1 < size && text[at + 1] == '\n' ? 2 : 1;
    }
}

/* All of a file of `size` bytes, or as much as there still is; NULL when it cannot be read. */
static char *read_text(int fd, size_t size, size_t *out_size)
{
    char *text = malloc(size + 1);
    size_t got = 0;
    while (text && got < size) {
        ssize_t more = read(fd, text + got, size - got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0) {
            free(text);
            return NULL;
        }
        if (more == 0)
            break;
        got += (size_t)more;
    }
    *out_size = got;
    return text;
}

static void load(struct bsk_source *source)
{
    struct stat status;
    int fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= FILE_MAX_BYTES) {
        size_t size;
        char *text = read_text(fd, (size_t)status.st_size, &size);
        if (text) {
            index_lines(source, text, size);
            source->readable = true;
        }
        free(text);
    }
    close(fd);
}

static struct bsk_source *least_used(struct bsk_source_cache *cache, const struct bsk_source *but)
{
    struct bsk_source *least = NULL;
    for (size_t i = 0; i < cache->count; i++) {
        struct bsk_source *file = &cache->files[i];
        if (file != but && file->path && (!least || file->used < least->used))
            least = file;
    }
    return least;
}

static void shrink(struct bsk_source_cache *cache, const struct bsk_source *newest)
{
    for (;;) {
        size_t bytes = 0;
        for (size_t i = 0; i < cache->count; i++)
            bytes += cache->files[i].line_capacity * sizeof(struct bsk_columns);
        struct bsk_source *least = least_used(cache, newest);
        if (bytes <= CACHE_MAX_BYTES || !least)
            return;
        forget(least);
    }
}

static struct bsk_source *place_for(struct bsk_source_cache *cache, const char *path)
{
    struct bsk_source *free_place = NULL;
    for (size_t i = 0; i < cache->count; i++) {
        struct bsk_source *file = &cache->files[i];
        if (file->path && strcmp(file->path, path) == 0)
            return file;
        if (!file->path)
            free_place = file;
    }
    if (free_place)
        return free_place;
    if (cache->count < FILES_MAX)
        return &cache->files[cache->count++];
    struct bsk_source *least = least_used(cache, NULL);
    forget(least);
    return least;
}

const struct bsk_source *bsk_source_of(struct bsk_source_cache *cache, const char *path)
{
    struct stat status = { 0 };
    bool there = stat(path, &status) == 0;
    struct bsk_source *source = place_for(cache, path);
    source->used = ++cache->asked;
    if (source->path && there && source->size == status.st_size &&
        source->changed.tv_sec == status.st_mtim.tv_sec &&
        source->changed.tv_nsec == status.st_mtim.tv_nsec)
        return source->readable ? source : NULL;
    forget(source);
    source->used = cache->asked;
    source->path = there ? strdup(path) : NULL;
    if (!source->path)
        return NULL;
    /* Of before the reading: a change in between is seen the next time. */
    source->size = status.st_size;
    source->changed = status.st_mtim;
    load(source);
    shrink(cache, source);
    return source->readable ? source : NULL;
}

bool bsk_source_line(const struct bsk_source *source, uint32_t line, struct bsk_columns *out)
{
    if (line == 0 || line > source->line_count || source->lines[line - 1].end == NOT_UTF8)
        return false;
    *out = source->lines[line - 1];
    return true;
}
