#include "engine/sampling/fold.h"

#include "engine/base/strings.h"

#include <stdlib.h>
#include <string.h>

/* What a code object is to us; 0 means not looked at yet. */
enum frame_class {
    CLASS_UNKNOWN,
    CLASS_USER,
    CLASS_DEBUGGER,
    CLASS_PASSAGE, /* the debugger's, but the user's code runs through it */
    CLASS_ENTRY,   /* the debugger's, and does nothing but exec() the user's program */
    CLASS_RUNPY,   /* the standard library's way to run a program */
    CLASS_RUNPY_ENTRY,
    CLASS_THREADING, /* the standard library's way to run a thread */
};

struct bsk_fold {
    char **folders;
    size_t folder_count;
    unsigned char *classes; /* by code id */
    size_t class_count;
    struct bsk_frame *frames; /* of the last folded stack */
    size_t frame_capacity;
};

struct bsk_fold *bsk_fold_new(const char *const *folders, size_t folder_count)
{
    struct bsk_fold *fold = calloc(1, sizeof(*fold));
    if (!fold)
        return NULL;
    fold->folders = calloc(folder_count + 1, sizeof(*fold->folders));
    if (!fold->folders)
        goto fail;
    for (size_t i = 0; i < folder_count; i++) {
        fold->folders[i] = strdup(folders[i]);
        if (!fold->folders[i])
            goto fail;
        fold->folder_count++;
    }
    return fold;
fail:
    bsk_fold_free(fold);
    return NULL;
}

void bsk_fold_free(struct bsk_fold *fold)
{
    if (!fold)
        return;
    for (size_t i = 0; i < fold->folder_count; i++)
        free(fold->folders[i]);
    free(fold->folders);
    free(fold->classes);
    free(fold->frames);
    free(fold);
}

/* Functions that do nothing but exec() the user's program. */
static bool is_entry(const struct bsk_code_object *code)
{
    return strcmp(code->name, "_run_code") == 0 || strcmp(code->name, "run_code") == 0 ||
           strcmp(code->name, "execfile") == 0;
}

static enum frame_class classify(const struct bsk_fold *fold, const struct bsk_code_object *code)
{
    /* Our own scripts, in a debuggee whose memory is looked at. */
    if (strcmp(code->path, "<basilisk>") == 0 || bsk_starts_with(code->path, "<basilisk>/"))
        return CLASS_DEBUGGER;
    for (size_t i = 0; i < fold->folder_count; i++) {
        if (!bsk_path_below(code->path, fold->folders[i]))
            continue;
        if (bsk_ends_with(code->path, "/pydev_monkey.py") ||
            bsk_ends_with(code->path, "/pydev_import_hook.py") ||
            bsk_ends_with(code->path, "/pydev_import_hook/import_hook.py"))
            return CLASS_PASSAGE;
        return is_entry(code) ? CLASS_ENTRY : CLASS_DEBUGGER;
    }
    if (strcmp(code->path, "<frozen runpy>") == 0 || bsk_ends_with(code->path, "/runpy.py"))
        return is_entry(code) ? CLASS_RUNPY_ENTRY : CLASS_RUNPY;
    if (bsk_ends_with(code->path, "/threading.py") && bsk_starts_with(code->name, "_bootstrap"))
        return CLASS_THREADING;
    return CLASS_USER;
}

static enum frame_class class_of(struct bsk_fold *fold, const struct bsk_code_object *code)
{
    if (code->id >= fold->class_count) {
        size_t count = fold->class_count ? fold->class_count : 64;
        while (count <= code->id)
            count *= 2;
        unsigned char *grown = realloc(fold->classes, count);
        if (!grown)
            return classify(fold, code);
        memset(grown + fold->class_count, CLASS_UNKNOWN, count - fold->class_count);
        fold->classes = grown;
        fold->class_count = count;
    }
    if (fold->classes[code->id] == CLASS_UNKNOWN)
        fold->classes[code->id] = (unsigned char)classify(fold, code);
    return (enum frame_class)fold->classes[code->id];
}

/* The frames beneath the user's first one: returns how many of `depth` remain once they are gone.
 */
static size_t without_foundation(struct bsk_fold *fold, const struct bsk_frame *frames,
                                 size_t depth, bool main_thread, bool *out_debugger_thread)
{
    size_t remaining = depth;                /* frames[remaining - 1] is the outermost that stays */
    enum frame_class last = CLASS_USER;      /* that may hand over to the user's code */
    enum frame_class debuggers = CLASS_USER; /* the debugger's own last one */
    for (size_t i = depth; i > 0; i--) {
        enum frame_class what = class_of(fold, frames[i - 1].code);
        if (what == CLASS_USER)
            break;
        if (what != CLASS_PASSAGE)
            last = what;
        if (what == CLASS_DEBUGGER || what == CLASS_ENTRY || what == CLASS_PASSAGE)
            debuggers = what;
        if (debuggers != CLASS_USER && what != CLASS_THREADING)
            remaining = i - 1; /* runpy beneath the debugger, and between it and the user, too */
    }
    /* A thread of the debugger's starts in the debugger; one of the user's may be started by it (a
     * monkey patch), and the main thread always is. */
    *out_debugger_thread = !main_thread && debuggers == CLASS_DEBUGGER;
    /* What the debugger calls in the main thread before and after the program is its own work. */
    bool handed_over = last == CLASS_ENTRY || last == CLASS_RUNPY_ENTRY;
    return main_thread && debuggers != CLASS_USER && !handed_over ? 0 : remaining;
}

bool bsk_fold_stack(struct bsk_fold *fold, const struct bsk_frame *frames, size_t depth,
                    bool main_thread, struct bsk_folded *out_folded)
{
    bool debugger_thread = false;
    size_t remaining = without_foundation(fold, frames, depth, main_thread, &debugger_thread);
    if (remaining > fold->frame_capacity) {
        struct bsk_frame *grown = realloc(fold->frames, remaining * 2 * sizeof(*grown));
        if (!grown)
            return false;
        fold->frames = grown;
        fold->frame_capacity = remaining * 2;
    }
    /* From the outside in, until the debugger takes over; written from the back, since the
     * innermost frame comes first. */
    size_t first = remaining;
    bool debugger_leaf = depth > 0 && remaining == 0;
    for (size_t i = remaining; i > 0 && !debugger_leaf; i--) {
        enum frame_class what = class_of(fold, frames[i - 1].code);
        if (what == CLASS_DEBUGGER || what == CLASS_ENTRY)
            debugger_leaf = true;
        else if (what != CLASS_PASSAGE)
            fold->frames[--first] = frames[i - 1];
    }
    *out_folded = (struct bsk_folded){
        .frames = fold->frames ? fold->frames + first : NULL,
        .depth = remaining - first,
        .debugger_leaf = debugger_leaf,
        .debugger_thread = debugger_thread,
    };
    return true;
}
