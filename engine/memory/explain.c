/* What a line of source says, and which function it stands in: read from the file, since a heap's
 * records have file and line alone. */
#include "engine/base/strings.h"
#include "engine/memory/arena.h"
#include "engine/memory/snapshot.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE_BYTES = 16 << 20, MAX_LINES = 1000000, TEXT_BYTES = 240, NAME_BYTES = 200 };

struct source {
    char *bytes; /* terminated */
    size_t size;
    const char **lines; /* where each begins */
    size_t line_count;
};

static void close_source(struct source *source)
{
    free(source->bytes);
    free((void *)source->lines);
    *source = (struct source){ 0 };
}

static bool read_all(const char *path, struct source *source)
{
    struct stat is;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    bool whole = false;
    if (fstat(fd, &is) == 0 && S_ISREG(is.st_mode) && is.st_size > 0 &&
        is.st_size <= MAX_FILE_BYTES && (source->bytes = malloc((size_t)is.st_size + 1))) {
        while (source->size < (size_t)is.st_size) {
            ssize_t got = read(fd, source->bytes + source->size, (size_t)is.st_size - source->size);
            if (got <= 0)
                break;
            source->size += (size_t)got;
        }
        source->bytes[source->size] = '\0';
        whole = source->size > 0;
    }
    close(fd);
    return whole;
}

static bool open_source(const char *root, const char *path, struct source *source)
{
    char full[PATH_MAX];
    size_t capacity = 0;
    *source = (struct source){ 0 };
    if (path[0] != '/' ||
        snprintf(full, sizeof(full), "%s%s", root ? root : "", path) >= (int)sizeof(full))
        return false;
    if (!read_all(full, source)) {
        close_source(source);
        return false;
    }
    for (const char *at = source->bytes, *end = at + source->size;
         at < end && source->line_count < MAX_LINES;) {
        if (source->line_count == capacity) {
            capacity = capacity ? capacity * 2 : 1024;
            const char **grown = realloc((void *)source->lines, capacity * sizeof(const char *));
            if (!grown) {
                close_source(source);
                return false;
            }
            source->lines = grown;
        }
        source->lines[source->line_count++] = at;
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline ? newline + 1 : end;
    }
    return true;
}

static size_t line_bytes(const struct source *source, size_t index)
{
    const char *end =
        index + 1 < source->line_count ? source->lines[index + 1] : source->bytes + source->size;
    return (size_t)(end - source->lines[index]);
}

/* Columns of blanks before the text, a tab to the next eighth; SIZE_MAX: blank or a comment. */
static size_t indent_of(const struct source *source, size_t index, const char **out_text,
                        size_t *out_bytes)
{
    const char *at = source->lines[index], *end = at + line_bytes(source, index);
    size_t columns = 0;
    for (; at < end && (*at == ' ' || *at == '\t' || *at == '\f'); at++)
        columns = *at == '\t' ? (columns / 8 + 1) * 8 : columns + 1;
    *out_text = at;
    *out_bytes = (size_t)(end - at);
    bool blank = at == end || *at == '\n' || *at == '\r' || *at == '#';
    return blank ? SIZE_MAX : columns;
}

/* The name behind `word` and a blank, cut to fit; false when the text does not begin so. */
static bool named_by(const char *text, size_t bytes, const char *word, char name[NAME_BYTES])
{
    size_t size = strlen(word), kept = 0;
    if (bytes <= size || memcmp(text, word, size) != 0 || (text[size] != ' ' && text[size] != '\t'))
        return false;
    for (text += size, bytes -= size; bytes > 0 && (*text == ' ' || *text == '\t'); bytes--)
        text++;
    for (; bytes > 0 && kept < NAME_BYTES - 1; text++, bytes--) {
        unsigned char c = (unsigned char)*text;
        bool in_name = c == '_' || c >= 128 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z');
        if (!in_name)
            break;
        name[kept++] = *text;
    }
    name[kept] = '\0';
    return kept > 0;
}

/* The function around a line by indentation: the nearest `def` or `class` above that is indented
 * less, with the classes around it. Good for code as it is written; text in triple quotes at the
 * margin can fool it. */
static void function_of(const struct source *source, size_t index, char out[NAME_BYTES])
{
    const char *text;
    size_t bytes, least = indent_of(source, index, &text, &bytes);
    char found[NAME_BYTES] = "", name[NAME_BYTES], joined[2 * NAME_BYTES];
    for (size_t i = index; i > 0 && least > 0; i--) {
        size_t indent = indent_of(source, i - 1, &text, &bytes);
        if (indent >= least) /* blank lines too */
            continue;
        bool is_class = named_by(text, bytes, "class", name);
        bool is_def = named_by(text, bytes, "def", name);
        if (!is_class && !is_def && bytes > 6 && memcmp(text, "async ", 6) == 0)
            is_def = named_by(text + 6, bytes - 6, "def", name);
        least = indent;
        if (!is_class && !is_def)
            continue;
        if (!found[0])
            snprintf(found, sizeof(found), "%s", name);
        else if (is_class) {
            snprintf(joined, sizeof(joined), "%s.%s", name, found);
            snprintf(found, sizeof(found), "%.*s", NAME_BYTES - 1, joined);
        } else {
            break; /* a function within a function is called by its own name */
        }
    }
    snprintf(out, NAME_BYTES, "%s", found[0] ? found : "<module>");
}

static const char *text_of(struct bsk_arena *arena, const struct source *source, size_t index)
{
    const char *text;
    size_t bytes;
    char raw[TEXT_BYTES], plain[TEXT_BYTES];
    indent_of(source, index, &text, &bytes);
    while (bytes > 0 && (unsigned char)text[bytes - 1] <= ' ')
        bytes--;
    bytes = bytes < sizeof(raw) - 1 ? bytes : sizeof(raw) - 1;
    memcpy(raw, text, bytes);
    raw[bytes] = '\0';
    bsk_utf8_copy(plain, sizeof(plain), raw);
    return bsk_arena_text(arena, plain);
}

static const char *name_of(struct bsk_arena *arena, const struct source *source, size_t index)
{
    char raw[NAME_BYTES], plain[NAME_BYTES];
    function_of(source, index, raw);
    bsk_utf8_copy(plain, sizeof(plain), raw);
    return bsk_arena_text(arena, plain);
}

/* Everything of the top sites that lies in the file at `path`. */
static void explain_file(struct bsk_memory_snapshot *snapshot, const struct source *source,
                         const char *path)
{
    struct bsk_arena *arena = snapshot->memory;
    struct bsk_memory_site *sites = (struct bsk_memory_site *)snapshot->sites;
    for (size_t i = 0; i < snapshot->top_count; i++) {
        struct bsk_memory_site *site = &sites[i];
        struct bsk_memory_frame *stack = (struct bsk_memory_frame *)site->stack;
        if (site->path == path && site->line > 0 && site->line <= source->line_count) {
            const char *text = text_of(arena, source, site->line - 1);
            const char *name = name_of(arena, source, site->line - 1);
            site->text = text ? text : site->text;
            site->function = name ? name : site->function;
        }
        for (uint32_t f = 0; f < site->stack_count; f++) {
            if (stack[f].path != path || stack[f].line == 0 || stack[f].line > source->line_count)
                continue;
            const char *name = name_of(arena, source, stack[f].line - 1);
            stack[f].function = name ? name : stack[f].function;
        }
    }
}

/* Equal paths of one snapshot are one pointer. */
static bool was_before(const struct bsk_memory_snapshot *snapshot, size_t site, uint32_t frame,
                       const char *path)
{
    for (size_t i = 0; i <= site; i++) {
        const struct bsk_memory_site *at = &snapshot->sites[i];
        if ((i < site || frame > 0) && at->path == path)
            return true;
        uint32_t frames = i < site ? at->stack_count : frame > 0 ? frame - 1 : 0;
        for (uint32_t f = 0; f < frames; f++) {
            if (at->stack[f].path == path)
                return true;
        }
    }
    return false;
}

void bsk_memory_snapshot_explain(struct bsk_memory_snapshot *snapshot, const char *root)
{
    for (size_t i = 0; i < snapshot->top_count; i++) {
        const struct bsk_memory_site *site = &snapshot->sites[i];
        /* Frame 0 stands for the site itself, the others for its stack. */
        for (uint32_t f = 0; f <= site->stack_count; f++) {
            const char *path = f == 0 ? site->path : site->stack[f - 1].path;
            struct source source;
            if (was_before(snapshot, i, f, path) || !open_source(root, path, &source))
                continue;
            explain_file(snapshot, &source, path);
            close_source(&source);
        }
    }
}
