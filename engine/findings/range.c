#include "engine/findings/range.h"

enum {
    WHOLE_LINE_COLUMNS = 1000 /* clients cut a range at the line's end; 2^31 - 1 breaks some */
};

static void position(struct bsk_json *out, const char *key, uint32_t line, uint32_t character)
{
    bsk_json_key(out, key);
    bsk_json_begin(out, '{');
    bsk_json_field_uint(out, "line", line);
    bsk_json_field_uint(out, "character", character);
    bsk_json_end(out, '}');
}

void bsk_finding_range(struct bsk_json *out, const struct bsk_source *source, uint32_t line)
{
    struct bsk_columns columns = { 0, WHOLE_LINE_COLUMNS };
    if (source)
        bsk_source_line(source, line, &columns);
    uint32_t from_zero = line > 0 ? line - 1 : 0;
    bsk_json_key(out, "range");
    bsk_json_begin(out, '{');
    position(out, "start", from_zero, columns.start);
    position(out, "end", from_zero, columns.end);
    bsk_json_end(out, '}');
}
