/*
 * What `threading` calls the threads: sys.modules["threading"]._active is a dict from ident
 * (pthread_self()) to Thread, whose `_name` is the name. The way there is looked up anew each time,
 * by remembered places: about a dozen small reads, and four for each thread that wants a name.
 */
#include "engine/base/clock.h"
#include "engine/python/internal.h"
#include "engine/python/objects.h"

#include <stdlib.h>
#include <string.h>

enum {
    NAME_BYTES = 512,
    ACTIVE_MAX = 65536, /* threads that one interpreter may have */
};

static const uint64_t first_wait_ns = 1000000, longest_wait_ns = 1000000000;

static bool set_name(struct bsk_python_thread *thread, const char *name)
{
    if (thread->name && strcmp(thread->name, name) == 0)
        return true;
    char *copy = strdup(name);
    if (!copy)
        return false;
    free(thread->name_memory);
    thread->name_memory = copy;
    thread->name = copy;
    return true;
}

static void take_name(struct bsk_python *python, struct bsk_objects *objects,
                      struct bsk_python_thread *thread, uint64_t object)
{
    struct bsk_dict attributes;
    char name[NAME_BYTES];
    if (!bsk_dict_of_instance(objects, object, &attributes))
        return;
    uint64_t text = bsk_dict_get(objects, &attributes, "_name", &python->names.name);
    if (text != 0 && bsk_objects_utf8(objects, text, name, sizeof(name)))
        set_name(thread, name);
}

static bool is_due(const struct bsk_python_thread *thread, bool again, uint64_t now)
{
    if (again)
        return true;
    return thread->name[0] == '\0' && now - thread->name_tried_ns >= thread->name_wait_ns;
}

/* The dict `_active` of an interpreter. */
static bool find_active(struct bsk_python *python, struct bsk_objects *objects,
                        uint64_t interpreter, struct bsk_dict *out_active)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    struct bsk_dict dict;
    uint64_t address;
    if (!bsk_objects_word(objects, interpreter + at->interpreter_modules, &address) ||
        !bsk_dict_open(objects, address, &dict))
        return false;
    uint64_t module = bsk_dict_get(objects, &dict, "threading", &python->names.threading);
    if (module == 0 || !bsk_objects_word(objects, module + at->module_dict, &address) ||
        !bsk_dict_open(objects, address, &dict))
        return false;
    address = bsk_dict_get(objects, &dict, "_active", &python->names.active);
    return address != 0 && bsk_dict_open(objects, address, out_active);
}

static void name_those_of(struct bsk_python *python, struct bsk_objects *objects,
                          uint64_t interpreter, bool again, uint64_t now)
{
    struct bsk_dict active;
    struct bsk_item items[64];
    if (!find_active(python, objects, interpreter, &active))
        return;
    for (uint64_t at = 0; at < active.count && at < ACTIVE_MAX;) {
        size_t count = bsk_dict_items(objects, &active, &at, items, 64);
        for (size_t i = 0; i < count; i++) {
            uint64_t ident;
            if (!bsk_objects_unsigned(objects, items[i].key, &ident))
                continue;
            for (size_t k = 0; k < python->thread_count; k++) {
                struct bsk_python_thread *thread = python->threads[k];
                if (thread->ident == ident && thread->interpreter == interpreter &&
                    is_due(thread, again, now))
                    take_name(python, objects, thread, items[i].value);
            }
        }
    }
}

int bsk_python_name_threads(struct bsk_python *python, bool again, struct bsk_error *err)
{
    struct bsk_objects *objects;
    uint64_t now = bsk_now_ns();
    bool due = false;
    for (size_t i = 0; i < python->thread_count && !due; i++)
        due = is_due(python->threads[i], again, now);
    if (!due)
        return BSK_OK;
    int rc = bsk_objects_of(python, &objects, err);
    if (rc < 0)
        return rc;
    bsk_objects_forget_old(objects);
    for (size_t i = 0; i < python->interpreter_count; i++)
        name_those_of(python, objects, python->interpreters[i].address, again, now);
    for (size_t i = 0; i < python->thread_count; i++) {
        struct bsk_python_thread *thread = python->threads[i];
        if (thread->name[0] != '\0' || !is_due(thread, false, now))
            continue;
        uint64_t wait = thread->name_wait_ns ? 2 * thread->name_wait_ns : first_wait_ns;
        thread->name_wait_ns = wait < longest_wait_ns ? wait : longest_wait_ns;
        thread->name_tried_ns = now;
    }
    return BSK_OK;
}
