#include "engine/findings/diagnostics.h"

#include "engine/findings/range.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SEVERITY_WARNING = 2 };

struct finding {
    const char *code;
    uint32_t line;
    double percent;
    uint64_t samples;
    enum bsk_level level;
};

static void write_finding(struct bsk_json *out, const struct bsk_source *source,
                          const struct finding *finding, const char *message)
{
    bsk_json_begin(out, '{');
    bsk_finding_range(out, source, finding->line);
    bsk_json_field_int(out, "severity", SEVERITY_WARNING);
    bsk_json_field_text(out, "code", finding->code);
    bsk_json_field_text(out, "source", "basilisk");
    bsk_json_field_text(out, "message", message);
    bsk_json_key(out, "data");
    bsk_json_begin(out, '{');
    bsk_json_field_double(out, "percent", finding->percent, 1);
    bsk_json_field_uint(out, "samples", finding->samples);
    bsk_json_field_text(out, "level", bsk_level_name(finding->level));
    bsk_json_end(out, '}');
    bsk_json_end(out, '}');
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void bsk_diagnostics_write(struct bsk_source_cache *cache, const struct bsk_hot_file *file,
                           struct bsk_json *out)
{
    bool any = file->line_count > 0 || file->function_count > 0;
    const struct bsk_source *source = cache && any ? bsk_source_of(cache, file->path) : NULL;
    char message[1024]; /* a longer name is cut; JSON stays valid all the same */
    bsk_json_begin(out, '[');
    for (size_t i = 0; i < file->line_count; i++) {
        const struct bsk_hot_line *line = &file->lines[i];
        snprintf(message, sizeof(message),
                 "%.1f%% of CPU time on this line (%" PRIu64 " sample%s, %s)", line->percent,
                 line->samples, plural(line->samples), bsk_level_name(line->level));
        const struct finding finding = { "BSK-PROF-LINE", line->line, line->percent, line->samples,
                                         line->level };
        write_finding(out, source, &finding, message);
    }
    for (size_t i = 0; i < file->function_count; i++) {
        const struct bsk_hot_function *function = &file->functions[i];
        snprintf(message, sizeof(message),
                 "Function %.512s: %.1f%% of CPU time in itself, %.1f%% with what it calls "
                 "(%" PRIu64 " sample%s, %s)",
                 function->name, function->percent, function->total_percent, function->samples,
                 plural(function->samples), bsk_level_name(function->level));
        const struct finding finding = { "BSK-PROF-FUNC", function->line, function->percent,
                                         function->samples, function->level };
        write_finding(out, source, &finding, message);
    }
    bsk_json_end(out, ']');
}
