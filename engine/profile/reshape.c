#include "engine/profile/reshape.h"

#include "engine/base/strings.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which frames stay ------------------------------------------------------------------------
 */

static bool has_glob(const char *pattern)
{
    return strpbrk(pattern, "*?[") != NULL;
}

/* Is a part of `path`, between slashes, `name`? */
static bool has_part(const char *path, const char *name, bool glob)
{
    char part[NAME_MAX + 1];
    size_t bytes = 0;
    for (const char *at = path; *at; at += bytes) {
        at += *at == '/';
        bytes = strcspn(at, "/");
        if (bytes == 0 || bytes >= sizeof(part))
            continue;
        memcpy(part, at, bytes);
        part[bytes] = '\0';
        if (glob ? fnmatch(name, part, 0) == 0 : strcmp(name, part) == 0)
            return true;
    }
    return false;
}

bool bsk_path_fits(const char *path, const char *pattern)
{
    bool glob = has_glob(pattern);
    if (!*path || !*pattern)
        return false;
    if (!strchr(pattern, '/'))
        return has_part(path, pattern, glob);
    if (glob)
        return fnmatch(pattern, path, 0) == 0;
    char folder[PATH_MAX];
    size_t bytes = strlen(pattern);
    while (bytes > 1 && pattern[bytes - 1] == '/')
        bytes--;
    if (bytes >= sizeof(folder))
        return false;
    memcpy(folder, pattern, bytes);
    folder[bytes] = '\0';
    return bytes == 1 ? path[0] == '/' : bsk_path_below(path, folder);
}

static bool fits_any(const char *path, const char *const *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bsk_path_fits(path, patterns[i]))
            return true;
    }
    return false;
}

static bool stays(const struct bsk_reshape *how, const struct bsk_function *function)
{
    if (how->only_count && !fits_any(function->path, how->only, how->only_count))
        return false;
    return !fits_any(function->path, how->exclude, how->exclude_count);
}

/* ---- the tree ---------------------------------------------------------------------------------
 */

enum { FUNCTION_UNKNOWN = 0, FUNCTION_LEFT_OUT = 1, FUNCTION_FIRST = 2 };

struct reshaping {
    const struct bsk_profile *from;
    const struct bsk_reshape *how;
    struct bsk_profile *to;
    uint32_t *functions; /* by old function: FUNCTION_FIRST + the new one */
    uint32_t *nodes;     /* by old node: the new one that has its weight */
    bool *kept;          /* by old node: a frame of its stack is still there */
    struct bsk_reshape_loss loss;
};

/* False when out of memory; `*out_function` is BSK_NO_NODE when it is left out. */
static bool function_of(struct reshaping *r, uint32_t old, uint32_t *out_function)
{
    if (r->functions[old] == FUNCTION_UNKNOWN) {
        struct bsk_function function = bsk_profile_function_at(r->from, old);
        uint32_t new = 0;
        if (stays(r->how, &function)) {
            new = bsk_profile_function(r->to, function.name, function.path, function.first_line,
                                       function.kind);
            if (new == UINT32_MAX)
                return false;
        }
        r->functions[old] = stays(r->how, &function) ? FUNCTION_FIRST + new : FUNCTION_LEFT_OUT;
    }
    *out_function =
        r->functions[old] == FUNCTION_LEFT_OUT ? BSK_NO_NODE : r->functions[old] - FUNCTION_FIRST;
    return true;
}

static uint32_t special_child(struct reshaping *r, uint32_t node, const char *name)
{
    uint32_t function = bsk_profile_function(r->to, name, "", 0, BSK_FUNCTION_SPECIAL);
    return bsk_profile_step(r->to, node, function, 0);
}

/* The new node that stands for a track: its root, or the thread's frame on it. */
static uint32_t track_node(struct reshaping *r, uint32_t old_track)
{
    char name[512], unnamed[32];
    struct bsk_track track = bsk_profile_track_at(r->from, old_track);
    uint32_t new = bsk_profile_track(r->to, track.pid, track.tid, track.process, track.thread);
    if (new == UINT32_MAX)
        return BSK_NO_NODE;
    uint32_t node = bsk_profile_track_root(r->to, new);
    if (r->how->process_frames) {
        snprintf(name, sizeof(name), "process %d:\"%s\"", (int)track.pid, track.process);
        node = special_child(r, node, name);
    }
    if (r->how->thread_frames) {
        snprintf(unnamed, sizeof(unnamed), "Thread %d", (int)track.tid);
        bool named = *track.thread && strcmp(track.thread, unnamed) != 0;
        snprintf(name, sizeof(name), "thread (%d)%s%s", (int)track.tid, named ? ": " : "",
                 named ? track.thread : "");
        node = special_child(r, node, name);
    }
    return node;
}

/* Parents come before their children, so one pass is enough. */
static bool map_nodes(struct reshaping *r)
{
    uint32_t count = (uint32_t)bsk_profile_node_count(r->from);
    for (uint32_t i = 0; i < count; i++) {
        const struct bsk_node *node = bsk_profile_node_at(r->from, i);
        if (node->parent == BSK_NO_NODE) {
            r->nodes[i] = track_node(r, node->function);
            r->kept[i] = r->how->only_count == 0; /* a thread without frames fits no path */
        } else {
            uint32_t function = 0;
            if (!function_of(r, node->function, &function))
                return false;
            bool outermost = bsk_profile_node_at(r->from, node->parent)->parent == BSK_NO_NODE;
            r->nodes[i] = r->nodes[node->parent];
            r->kept[i] = r->kept[node->parent] && !outermost;
            if (function != BSK_NO_NODE) {
                struct bsk_function now = bsk_profile_function_at(r->to, function);
                uint32_t line = r->how->no_lines                            ? 0
                                : r->how->by_function && now.first_line > 0 ? now.first_line
                                                                            : node->line;
                r->nodes[i] = bsk_profile_step(r->to, r->nodes[i], function, line);
                r->kept[i] = true;
            }
        }
        if (r->nodes[i] == BSK_NO_NODE)
            return false;
    }
    return true;
}

/* ---- the weights ------------------------------------------------------------------------------
 */

static uint64_t less(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

/* Columns of frames that are left out go with them; those of before a window cannot be told from
 * those in it. */
static void carry_columns(struct reshaping *r, uint32_t from)
{
    uint32_t at = 0, column, count;
    uint32_t parent = bsk_profile_node_at(r->from, from)->parent;
    if (r->how->no_lines || r->how->by_function || parent == BSK_NO_NODE ||
        r->nodes[from] == r->nodes[parent])
        return;
    uint32_t above = bsk_profile_node_at(r->from, parent)->parent;
    if (above != BSK_NO_NODE && r->nodes[parent] != r->nodes[above]) /* the caller is still there */
        bsk_profile_called_from(r->to, r->nodes[from], bsk_profile_call_column(r->from, from));
    while (bsk_profile_next_column(r->from, from, &at, &column, &count))
        bsk_profile_saw_column(r->to, r->nodes[from], column, count);
}

static void carry_nodes(struct reshaping *r)
{
    const struct bsk_profile *since = r->how->since;
    size_t count = bsk_profile_node_count(r->from);
    size_t before = since ? bsk_profile_node_count(since) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct bsk_node node = *bsk_profile_node_at(r->from, i);
        if (i < before) {
            const struct bsk_node *was = bsk_profile_node_at(since, i);
            node.self_ns = less(node.self_ns, was->self_ns);
            node.samples = less(node.samples, was->samples);
            node.gil_ns = less(node.gil_ns, was->gil_ns);
            node.wait_ns = less(node.wait_ns, was->wait_ns);
            node.idle_ns = less(node.idle_ns, was->idle_ns);
            node.call_ns = less(node.call_ns, was->call_ns);
        }
        if (r->kept[i] && bsk_profile_has_columns(r->from))
            carry_columns(r, i);
        if (!r->kept[i]) {
            r->loss.samples += node.samples;
            r->loss.cpu_ns += node.self_ns;
            continue;
        }
        while (node.samples > UINT32_MAX) { /* what one call can take */
            bsk_profile_add(r->to, r->nodes[i], 0, 0, 0, UINT32_MAX);
            node.samples -= UINT32_MAX;
        }
        if (node.self_ns || node.samples)
            bsk_profile_add(r->to, r->nodes[i], 0, 0, node.self_ns, (uint32_t)node.samples);
        bsk_profile_add_states(r->to, r->nodes[i], node.gil_ns, node.wait_ns, node.idle_ns);
        bsk_profile_add_call_time(r->to, r->nodes[i], node.call_ns);
    }
}

static void carry_runs(struct reshaping *r)
{
    uint64_t from_ns = r->how->since ? bsk_profile_meta_const(r->how->since)->duration_ns : 0;
    struct bsk_run run;
    for (size_t at = 0; bsk_profile_next_run(r->from, &at, &run);) {
        uint64_t end_ns = run.start_ns + run.wall_ns;
        if (!r->kept[run.node] || end_ns <= from_ns)
            continue;
        if (run.start_ns < from_ns) { /* began before: its share of what came after */
            double share = (double)(end_ns - from_ns) / (double)run.wall_ns;
            run.cpu_ns = (uint64_t)((double)run.cpu_ns * share);
            run.samples = (uint32_t)((double)run.samples * share + 0.5);
            run.wall_ns = end_ns - from_ns;
            run.start_ns = from_ns;
        }
        bsk_profile_add_run(r->to, r->nodes[run.node], run.start_ns - from_ns, run.wall_ns,
                            run.cpu_ns, run.samples);
    }
}

static void carry_meta(struct reshaping *r)
{
    struct bsk_profile_meta *meta = bsk_profile_meta(r->to);
    if (r->how->since) {
        const struct bsk_profile_meta *was = bsk_profile_meta_const(r->how->since);
        meta->started_unix_ns += (int64_t)was->duration_ns;
        meta->duration_ns = less(meta->duration_ns, was->duration_ns);
        meta->samples = less(meta->samples, was->samples);
        meta->sweeps = less(meta->sweeps, was->sweeps);
        meta->errors = less(meta->errors, was->errors);
        meta->torn = less(meta->torn, was->torn);
        meta->filled = less(meta->filled, was->filled);
        meta->unread = less(meta->unread, was->unread);
        meta->stopped = less(meta->stopped, was->stopped);
        meta->stopped_ns = less(meta->stopped_ns, was->stopped_ns);
        meta->missed = less(meta->missed, was->missed);
    }
    uint64_t all = meta->samples;
    meta->samples = less(all, r->loss.samples);
    if (all == 0)
        return;
    /* Which of them were taken out is not known: as many as of any. */
    double kept = (double)meta->samples / (double)all;
    meta->filled = (uint64_t)((double)meta->filled * kept + 0.5);
    meta->unread = (uint64_t)((double)meta->unread * kept + 0.5);
}

struct bsk_profile *bsk_profile_reshape(const struct bsk_profile *profile,
                                        const struct bsk_reshape *how,
                                        struct bsk_reshape_loss *out_loss)
{
    size_t functions = bsk_profile_function_count(profile), nodes = bsk_profile_node_count(profile);
    struct reshaping r = {
        .from = profile,
        .how = how,
        .to = bsk_profile_like(profile),
        .functions = calloc(functions + 1, sizeof(*r.functions)),
        .nodes = calloc(nodes + 1, sizeof(*r.nodes)),
        .kept = calloc(nodes + 1, sizeof(*r.kept)),
    };
    bool done = r.to && r.functions && r.nodes && r.kept && map_nodes(&r);
    if (done) {
        carry_nodes(&r);
        carry_runs(&r);
        carry_meta(&r);
        if (out_loss)
            *out_loss = r.loss;
    } else {
        bsk_profile_free(r.to);
        r.to = NULL;
    }
    free(r.functions);
    free(r.nodes);
    free(r.kept);
    return r.to;
}
