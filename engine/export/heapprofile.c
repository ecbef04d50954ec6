#include "engine/export/heapprofile.h"

#include "engine/base/json.h"
#include "engine/base/publish.h"
#include "engine/base/strings.h"
#include "engine/export/about.h"
#include "engine/profile/profile.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { NO_NODE = -1, ROOT = 0 };

struct node {
    const char *path, *function; /* path "": not a place in a file */
    uint32_t line;
    uint64_t self_bytes;
    int32_t first_child, next_sibling;
};

struct tree {
    struct node *nodes;
    int32_t count, capacity;
    bool failed;
};

/* The child that stands for this frame, made where there is none. */
static int32_t child_of(struct tree *tree, int32_t parent, const char *path, const char *function,
                        uint32_t line)
{
    if (tree->failed)
        return ROOT;
    for (int32_t at = parent == NO_NODE ? NO_NODE : tree->nodes[parent].first_child; at != NO_NODE;
         at = tree->nodes[at].next_sibling) {
        const struct node *node = &tree->nodes[at];
        if (node->line == line && strcmp(node->path, path) == 0 &&
            (path[0] || strcmp(node->function, function) == 0))
            return at;
    }
    if (tree->count == tree->capacity) {
        int32_t capacity = tree->capacity ? tree->capacity * 2 : 256;
        struct node *nodes = realloc(tree->nodes, (size_t)capacity * sizeof(*nodes));
        if (!nodes) {
            tree->failed = true;
            return ROOT;
        }
        tree->nodes = nodes;
        tree->capacity = capacity;
    }
    int32_t made = tree->count++;
    tree->nodes[made] = (struct node){ .path = path,
                                       .function = function,
                                       .line = line,
                                       .first_child = NO_NODE,
                                       .next_sibling = NO_NODE };
    if (parent != NO_NODE) {
        tree->nodes[made].next_sibling = tree->nodes[parent].first_child;
        tree->nodes[parent].first_child = made;
    }
    return made;
}

uint32_t bsk_heap_inferred_stack(const struct bsk_profile *profile, const char *path, uint32_t line,
                                 struct bsk_memory_frame *out, uint32_t max, uint64_t *out_samples)
{
    uint64_t most = 0;
    uint32_t best = BSK_NO_NODE, depth = 0;
    size_t count = profile ? bsk_profile_node_count(profile) : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        if (node->line != line || node->depth == 0 || node->samples <= most)
            continue;
        struct bsk_function function = bsk_profile_function_at(profile, node->function);
        if (strcmp(function.path, path) == 0) {
            most = node->samples;
            best = i;
        }
    }
    for (uint32_t at = best; at != BSK_NO_NODE && depth < max;) {
        const struct bsk_node *node = bsk_profile_node_at(profile, at);
        if (node->depth == 0)
            break;
        struct bsk_function function = bsk_profile_function_at(profile, node->function);
        if (function.kind == BSK_FUNCTION_PYTHON)
            out[depth++] = (struct bsk_memory_frame){ function.path, node->line, function.name };
        at = node->parent;
    }
    if (out_samples)
        *out_samples = most;
    return depth;
}

static void add_site(struct tree *tree, const struct bsk_memory_site *site,
                     const struct bsk_profile *profile)
{
    struct bsk_memory_frame inferred[BSK_MEMORY_MAX_STACK];
    const struct bsk_memory_frame *stack = site->stack;
    uint32_t depth = site->stack_count;
    if (depth < 2) {
        depth = bsk_heap_inferred_stack(profile, site->path, site->line, inferred,
                                        BSK_MEMORY_MAX_STACK, NULL);
        stack = inferred;
    }
    int32_t at = ROOT;
    for (uint32_t i = depth; i > 1; i--)
        at = child_of(tree, at, stack[i - 1].path, stack[i - 1].function, stack[i - 1].line);
    at = child_of(tree, at, site->path,
                  !site->function[0] && depth > 0 ? stack[0].function : site->function, site->line);
    if (!tree->failed)
        tree->nodes[at].self_bytes += site->bytes;
}

static void add_special(struct tree *tree, const char *name, uint64_t bytes)
{
    if (bytes == 0)
        return;
    int32_t at = child_of(tree, ROOT, "", name, 0);
    if (!tree->failed)
        tree->nodes[at].self_bytes += bytes;
}

static void build(struct tree *tree, const struct bsk_memory_snapshot *snapshot,
                  const struct bsk_profile *profile)
{
    uint64_t other = snapshot->rest_bytes;
    child_of(tree, NO_NODE, "", "(root)", 0);
    if (!snapshot->has_sites && snapshot->site_count == 0) {
        add_special(tree, "(lines not measured)", snapshot->traced_bytes);
        return;
    }
    for (size_t i = 0; i < snapshot->top_count; i++)
        add_site(tree, &snapshot->sites[i], profile);
    for (size_t i = snapshot->top_count; i < snapshot->site_count; i++)
        other += snapshot->sites[i].bytes;
    add_special(tree, "(other lines)", other);
    add_special(tree, "(debugger)", snapshot->debugger_bytes);
}

static void call_frame(struct bsk_json *json, const struct node *node, struct bsk_buffer *text)
{
    bsk_buffer_clear(text);
    if (node->path[0] == '/')
        bsk_file_url(text, node->path);
    else
        bsk_buffer_text_append(text, node->path);
    bsk_json_key(json, "callFrame");
    bsk_json_begin(json, '{');
    bsk_json_key(json, "functionName");
    if (node->function[0]) {
        bsk_json_text(json, node->function);
    } else {
        char name[300];
        const char *slash = strrchr(node->path, '/');
        snprintf(name, sizeof(name), "%.256s:%" PRIu32, slash ? slash + 1 : node->path, node->line);
        bsk_json_text(json, name);
    }
    bsk_json_field_text(json, "scriptId", "0");
    bsk_json_key(json, "url");
    bsk_json_text_n(json, text->data, text->size);
    bsk_json_field_int(json, "lineNumber",
                       node->path[0] && node->line ? (int64_t)node->line - 1 : -1);
    bsk_json_field_int(json, "columnNumber", node->path[0] ? 0 : -1);
    bsk_json_end(json, '}');
}

/* At most BSK_MEMORY_MAX_STACK + 1 deep. NOLINTNEXTLINE(misc-no-recursion) */
static void write_node(struct bsk_json *json, const struct tree *tree, int32_t index,
                       struct bsk_buffer *text)
{
    const struct node *node = &tree->nodes[index];
    bsk_json_begin(json, '{');
    call_frame(json, node, text);
    bsk_json_field_uint(json, "selfSize", node->self_bytes);
    bsk_json_field_int(json, "id", index + 1);
    bsk_json_key(json, "children");
    bsk_json_begin(json, '[');
    for (int32_t at = node->first_child; at != NO_NODE; at = tree->nodes[at].next_sibling)
        write_node(json, tree, at, text);
    bsk_json_end(json, ']');
    bsk_json_end(json, '}');
}

static void write_samples(struct bsk_json *json, const struct tree *tree)
{
    uint64_t ordinal = 0;
    bsk_json_key(json, "samples");
    bsk_json_begin(json, '[');
    for (int32_t i = 0; i < tree->count; i++) {
        if (tree->nodes[i].self_bytes == 0)
            continue;
        bsk_json_begin(json, '{');
        bsk_json_field_uint(json, "size", tree->nodes[i].self_bytes);
        bsk_json_field_int(json, "nodeId", i + 1);
        bsk_json_field_uint(json, "ordinal", ++ordinal);
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
}

static void write_about(struct bsk_json *json, const struct bsk_memory_snapshot *snapshot)
{
    bsk_json_key(json, "basilisk");
    bsk_json_begin(json, '{');
    bsk_json_field_text(json, "exporter", bsk_export_maker);
    bsk_json_field_uint(json, "snapshot", snapshot->number);
    bsk_json_field_int(json, "pid", snapshot->pid);
    bsk_json_field_int(json, "takenUnixMs", snapshot->unix_ns / 1000000);
    bsk_json_field_uint(json, "tracedBytes", snapshot->traced_bytes);
    bsk_json_field_uint(json, "peakBytes", snapshot->peak_bytes);
    bsk_json_field_uint(json, "rssBytes", snapshot->rss_bytes);
    bsk_json_field_uint(json, "trackerBytes", snapshot->tracker_bytes);
    bsk_json_field_uint(json, "frames", snapshot->frames);
    bsk_json_field_double(json, "stoppedSeconds", snapshot->stopped_s, 4);
    if (snapshot->missing[0])
        bsk_json_field_text(json, "missing", snapshot->missing);
    bsk_json_end(json, '}');
}

int bsk_heapprofile_write(const struct bsk_memory_snapshot *snapshot,
                          const struct bsk_profile *profile, FILE *out, struct bsk_error *err)
{
    struct tree tree = { 0 };
    struct bsk_buffer buffer = { 0 }, text = { 0 };
    struct bsk_json json = { .out = &buffer, .file = out };
    build(&tree, snapshot, profile);
    int rc = tree.failed ? BSK_E_MEMORY : BSK_OK;
    if (rc == BSK_OK) {
        bsk_json_begin(&json, '{');
        bsk_json_key(&json, "head");
        write_node(&json, &tree, ROOT, &text);
        write_samples(&json, &tree);
        write_about(&json, snapshot);
        bsk_json_end(&json, '}');
        bsk_buffer_append(&buffer, "\n", 1);
        rc = text.failed ? BSK_E_MEMORY : bsk_json_finish(&json, err);
    }
    if (rc == BSK_E_MEMORY)
        bsk_fail(err, rc, NULL, "out of memory while writing a heapprofile");
    free(tree.nodes);
    bsk_buffer_free(&buffer);
    bsk_buffer_free(&text);
    return rc;
}

int bsk_heapprofile_file(const struct bsk_memory_snapshot *snapshot,
                         const struct bsk_profile *profile, const char *path, struct bsk_error *err)
{
    char draft_path[PATH_MAX];
    FILE *draft = NULL;
    int rc = bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, err);
    if (rc < 0)
        return rc;
    rc = bsk_heapprofile_write(snapshot, profile, draft, err);
    if (rc < 0) {
        bsk_draft_discard(draft, draft_path);
        return rc;
    }
    return bsk_publish(draft, draft_path, path, err);
}
