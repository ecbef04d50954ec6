/* The difference as JSON: docs/diff.schema.json says what is in it. */
#include "adapters/cli/diff_show.h"

#include "engine/base/json.h"

static void write_side(const struct cli_diff *shown, size_t at, struct bsk_json *json)
{
    static const char *const clocks[] = {
        [BSK_CLOCK_CPU] = "cpu", [BSK_CLOCK_WALL] = "wall", [BSK_CLOCK_GIL] = "gil"
    };
    const struct bsk_imported *side = &shown->sides[at];
    const struct bsk_diff_side *noise = at ? &shown->diff->after : &shown->diff->before;
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(side->profile);
    bsk_json_begin(json, '{');
    bsk_json_field_text(json, "file", shown->paths[at]);
    bsk_json_field_text(json, "format", side->format);
    bsk_json_field_text(json, "maker", side->maker);
    bsk_json_field_text(json, "name", meta->name);
    bsk_json_field_text(json, "command", meta->command);
    bsk_json_field_text(json, "python", meta->python);
    bsk_json_field_text(json, "commit", side->commit);
    bsk_json_field_text(json, "clock", side->clock_known ? clocks[meta->clock] : "");
    bsk_json_field_double(json, "sampleRate", meta->rate_hz, 3);
    bsk_json_field_uint(json, "samples", bsk_profile_samples(side->profile));
    bsk_json_field_double(json, "independentSamples", (double)noise->samples / noise->inflation, 0);
    bsk_json_field_double(json, "seconds", (double)meta->duration_ns / 1e9, 3);
    bsk_json_field_double(json, "weightSeconds",
                          side->has_time ? (double)bsk_profile_cpu_ns(side->profile) / 1e9 : 0, 3);
    bsk_json_field_bool(json, "ordered", noise->from_order);
    bsk_json_field_bool(json, "busy", noise->busy);
    bsk_json_end(json, '}');
}

static void write_function(const struct bsk_diff_function *f, struct bsk_json *json)
{
    static const char *const origins[] = { [BSK_ORIGIN_USER] = "user",
                                           [BSK_ORIGIN_LIBRARY] = "library",
                                           [BSK_ORIGIN_PACKAGE] = "package",
                                           [BSK_ORIGIN_SPECIAL] = "special" };
    bsk_json_begin(json, '{');
    bsk_json_field_text(json, "function", f->name);
    bsk_json_field_text(json, "path", f->path);
    bsk_json_field_text(json, "origin", origins[f->origin]);
    bsk_json_field_double(json, "selfBefore", f->self.before, 4);
    bsk_json_field_double(json, "selfAfter", f->self.after, 4);
    bsk_json_field_double(json, "delta", f->self.delta, 4);
    bsk_json_field_bool(json, "significant", f->self.significant);
    bsk_json_field_double(json, "noise", f->self.noise, 4);
    bsk_json_field_double(json, "totalBefore", f->total.before, 4);
    bsk_json_field_double(json, "totalAfter", f->total.after, 4);
    bsk_json_field_double(json, "totalDelta", f->total.delta, 4);
    bsk_json_field_bool(json, "totalSignificant", f->total.significant);
    bsk_json_field_double(json, "totalNoise", f->total.noise, 4);
    bsk_json_field_bool(json, "inBefore", f->in_before);
    bsk_json_field_bool(json, "inAfter", f->in_after);
    bsk_json_end(json, '}');
}

int cli_diff_json(const struct cli_diff *shown, FILE *out, struct bsk_error *err)
{
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer, .file = out };
    bsk_json_begin(&json, '{');
    bsk_json_key(&json, "before");
    write_side(shown, 0, &json);
    bsk_json_key(&json, "after");
    write_side(shown, 1, &json);
    bsk_json_field_double(&json, "leastPoints", shown->diff->least_points, 4);
    bsk_json_field_double(&json, "visiblePoints", shown->diff->visible_points, 4);
    bsk_json_field_uint(&json, "significantFunctions", shown->diff->significant);
    bsk_json_key(&json, "warnings");
    bsk_json_begin(&json, '[');
    for (size_t i = 0; i < shown->warning_count; i++)
        bsk_json_text(&json, shown->warnings[i]);
    bsk_json_end(&json, ']');
    bsk_json_key(&json, "functions");
    bsk_json_begin(&json, '[');
    for (size_t i = 0; i < shown->diff->count; i++)
        write_function(&shown->diff->functions[i], &json);
    bsk_json_end(&json, ']');
    if (shown->fail_on >= 0) {
        bsk_json_key(&json, "failed");
        bsk_json_begin(&json, '[');
        for (size_t i = 0; i < shown->diff->count; i++) {
            const struct bsk_diff_function *f = &shown->diff->functions[i];
            if (!cli_diff_grew(shown, &f->self) && !cli_diff_grew(shown, &f->total))
                continue;
            bsk_json_uint(&json, i);
        }
        bsk_json_end(&json, ']');
    }
    bsk_json_end(&json, '}');
    bsk_buffer_append(&buffer, "\n", 1);
    int rc = bsk_json_finish(&json, err);
    bsk_buffer_free(&buffer);
    return rc;
}
