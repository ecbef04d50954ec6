#include "engine/export/about.h"

#include "engine/export/names.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const char bsk_export_maker[] = "basilisk " BASILISK_VERSION;

const char *bsk_export_name(const struct bsk_profile *profile)
{
    const char *name = bsk_profile_meta_const(profile)->name;
    return name[0] ? name : "profile";
}

void bsk_export_track_name(struct bsk_track track, char *out, size_t size)
{
    snprintf(out, size, "%s%s(PID %d) %s", track.process, track.process[0] ? " " : "",
             (int)track.pid, track.thread);
}

/* The first outermost Python frame with a file: the program's own `<module>`, as a rule. */
static void script_of(const struct bsk_profile *profile, char *out, size_t size)
{
    out[0] = '\0';
    for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        if (node->depth != 1)
            continue;
        struct bsk_function function = bsk_profile_function_at(profile, node->function);
        if (function.path[0] == '/' && strlen(function.path) < size) {
            snprintf(out, size, "%s", function.path);
            return;
        }
    }
}

/* What threads did beside running, as far as it was looked at. */
static void write_states(const struct bsk_profile *profile, struct bsk_json *json)
{
    uint64_t gil_ns = 0, wait_ns = 0, idle_ns = 0, call_ns = 0;
    for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        gil_ns += node->gil_ns;
        wait_ns += node->wait_ns;
        idle_ns += node->idle_ns;
        call_ns += node->call_ns;
    }
    if (gil_ns > 0 && bsk_profile_meta_const(profile)->clock != BSK_CLOCK_GIL)
        bsk_json_field_double(json, "gilSeconds", (double)gil_ns / 1e9, 3);
    if (wait_ns > 0)
        bsk_json_field_double(json, "gilWaitSeconds", (double)wait_ns / 1e9, 3);
    if (idle_ns > 0)
        bsk_json_field_double(json, "idleSeconds", (double)idle_ns / 1e9, 3);
    if (call_ns > 0)
        bsk_json_field_double(json, "systemCallSeconds", (double)call_ns / 1e9, 3);
}

void bsk_export_about(const struct bsk_profile *profile, struct bsk_json *json)
{
    /* "seconds" is how long the recording was; this is what the weights add up to */
    static const char *const weight_keys[] = { [BSK_CLOCK_CPU] = "cpuSeconds",
                                               [BSK_CLOCK_WALL] = "wallSeconds",
                                               [BSK_CLOCK_GIL] = "gilSeconds" };
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(profile);
    char script[PATH_MAX], commit[BSK_COMMIT_BYTES], started[32] = "";
    time_t seconds = (time_t)(meta->started_unix_ns / 1000000000);
    struct tm parts;
    if (meta->started_unix_ns > 0 && gmtime_r(&seconds, &parts))
        strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &parts);
    script_of(profile, script, sizeof(script));
    bsk_git_commit(script, commit);

    bsk_json_key(json, "basilisk");
    bsk_json_begin(json, '{');
    bsk_json_field_text(json, "version", BASILISK_VERSION);
    bsk_json_field_text(json, "name", meta->name);
    bsk_json_field_text(json, "command", meta->command);
    bsk_json_field_text(json, "python", meta->python);
    bsk_json_field_text(json, "started", started);
    bsk_json_field_double(json, "seconds", (double)meta->duration_ns / 1e9, 3);
    bsk_json_field_double(json, weight_keys[meta->clock], (double)bsk_profile_cpu_ns(profile) / 1e9,
                          3);
    write_states(profile, json);
    bsk_json_field_double(json, "sampleRate", meta->rate_hz, 1);
    bsk_json_field_uint(json, "samples", bsk_profile_samples(profile));
    bsk_json_field_uint(json, "sweeps", meta->sweeps);
    bsk_json_field_uint(json, "errors", meta->errors);
    bsk_json_field_uint(json, "torn", meta->torn);
    bsk_json_field_uint(json, "filled", meta->filled);
    bsk_json_field_uint(json, "unread", meta->unread);
    if (meta->jit_functions > 0)
        bsk_json_field_uint(json, "jitFunctions", meta->jit_functions);
    bsk_json_field_uint(json, "stopped", meta->stopped);
    if (meta->method == BSK_METHOD_STOP) {
        bsk_json_field_double(json, "stoppedSeconds", (double)meta->stopped_ns / 1e9, 6);
        bsk_json_field_double(json, "longestStopSeconds", (double)meta->longest_stop_ns / 1e9, 6);
    }
    bsk_json_field_uint(json, "missed", meta->missed);
    bsk_json_field_uint(json, "lost", bsk_profile_lost(profile));
    bsk_json_field_double(json, "timelineWindowSeconds",
                          (double)bsk_profile_window_ns(profile) / 1e9, 3);
    bsk_json_field_text(json, "clock", bsk_clock_word(meta->clock));
    bsk_json_field_text(json, "method", bsk_method_word(meta->method));
    bsk_json_field_text(json, "reason", meta->reason);
    if (commit[0])
        bsk_json_field_text(json, "commit", commit);
}
