#include "engine/findings/memory.h"

#include "engine/findings/range.h"
#include "engine/memory/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SEVERITY_WARNING = 2 };

static bool is_finding(const struct bsk_leak *leak)
{
    return leak->band >= BSK_LEAK_MEDIUM && leak->user_line > 0 && leak->user_line <= INT32_MAX &&
           leak->user_path[0] == '/';
}

size_t bsk_memory_finding_paths(const struct bsk_memory_diff *diff, const char **paths)
{
    size_t count = 0;
    for (size_t i = 0; i < diff->leak_count; i++) {
        if (!is_finding(&diff->leaks[i]))
            continue;
        size_t at = 0;
        while (at < count && strcmp(paths[at], diff->leaks[i].user_path) != 0)
            at++;
        if (at == count)
            paths[count++] = diff->leaks[i].user_path;
    }
    return count;
}

static void say(const struct bsk_leak *leak, bool elsewhere, char *out, size_t size)
{
    char bytes[32], where[300] = "";
    bsk_bytes_text(leak->growth_bytes > 0 ? (uint64_t)leak->growth_bytes : leak->bytes, bytes,
                   sizeof(bytes));
    if (elsewhere)
        snprintf(where, sizeof(where), " at %.240s:%" PRIu32 "%s", leak->path, leak->line,
                 leak->stack_samples > 0 ? ", as far as the sampler saw," : "");
    snprintf(out, size, "%s allocated here%s and not freed (leak confidence %d, %s): %s", bytes,
             where, leak->confidence, bsk_leak_band_name(leak->band), leak->reasons[0]);
}

static void write_finding(const struct bsk_source *source, const struct bsk_leak *leak,
                          struct bsk_json *out)
{
    char message[700];
    bool elsewhere = leak->line != leak->user_line || strcmp(leak->path, leak->user_path) != 0;
    say(leak, elsewhere, message, sizeof(message));
    bsk_json_begin(out, '{');
    bsk_finding_range(out, source, leak->user_line);
    bsk_json_field_int(out, "severity", SEVERITY_WARNING);
    bsk_json_field_text(out, "code", "BSK-PROF-MEM");
    bsk_json_field_text(out, "source", "basilisk");
    bsk_json_field_text(out, "message", message);
    bsk_json_key(out, "data");
    bsk_json_begin(out, '{');
    bsk_json_field_int(out, "growthBytes", leak->growth_bytes);
    bsk_json_field_int(out, "confidence", leak->confidence);
    bsk_json_field_text(out, "band", bsk_leak_band_name(leak->band));
    if (elsewhere) {
        bsk_json_field_text(out, "path", leak->path);
        bsk_json_field_uint(out, "line", leak->line);
    }
    bsk_json_end(out, '}');
    bsk_json_end(out, '}');
}

void bsk_memory_findings_write(struct bsk_source_cache *cache, const struct bsk_memory_diff *diff,
                               const char *path, struct bsk_json *out)
{
    const struct bsk_source *source = cache ? bsk_source_of(cache, path) : NULL;
    bsk_json_begin(out, '[');
    for (size_t i = 0; i < diff->leak_count; i++) {
        if (is_finding(&diff->leaks[i]) && strcmp(diff->leaks[i].user_path, path) == 0)
            write_finding(source, &diff->leaks[i], out);
    }
    bsk_json_end(out, ']');
}
