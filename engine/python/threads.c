/*
 * Which thread states there are, and which thread of the system each belongs to.
 *
 * From 3.11 on a thread state names its thread by the number that the thread has in its own PID
 * namespace. Older ones know only pthread_self(), the address of the C library's descriptor, which
 * holds that number as well: where in it is found out by looking. The same way helps where the name
 * is stale (3.11 after a fork).
 */
#include "engine/python/calibrate.h"
#include "engine/python/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    INTERPRETERS_MAX = 4096,
    THREADS_MAX = 65536,
    DESCRIPTOR_BYTES = 1024, /* glibc keeps `tid` at 720 of 2,304, musl at 48 to 64 */
};

static int read_interpreters(struct bsk_python *python, struct bsk_error *err)
{
    const struct bsk_layout *layout = &python->layout;
    size_t count = 0;
    uint64_t head;
    int rc = bsk_process_read(python->process, python->runtime + layout->runtime.interpreters_head,
                              &head, sizeof(head), err);
    if (rc < 0)
        return rc;
    for (uint64_t address = head; address != 0 && count < INTERPRETERS_MAX;) {
        struct bsk_interpreter interpreter = { .address = address };
        struct bsk_piece pieces[] = {
            { address + layout->interpreter.next, &interpreter.next, 8, false },
            { address + layout->interpreter.threads_head, &interpreter.threads_head, 8, false },
            { address + layout->interpreter.id, &interpreter.id, 8, false },
        };
        rc = bsk_process_read_pieces(python->process, pieces, 3, err);
        if (rc < 0)
            return rc;
        if (!pieces[0].ok || !pieces[1].ok)
            break; /* it is going away: the others are as good as before */
        struct bsk_interpreter *grown = realloc(python->interpreters, (count + 1) * sizeof(*grown));
        if (!grown)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        python->interpreters = grown;
        grown[count++] = interpreter;
        address = interpreter.next;
    }
    python->interpreters_head = head;
    python->interpreter_count = count;
    return BSK_OK;
}

static pid_t tid_of_inside(const struct bsk_threads *os_threads, uint64_t inside)
{
    for (size_t i = 0; i < os_threads->count; i++)
        if ((uint64_t)os_threads->items[i].tid_inside == inside)
            return os_threads->items[i].tid;
    return 0;
}

static bool read_descriptor(struct bsk_python *python, uint64_t address,
                            int32_t words[DESCRIPTOR_BYTES / 4])
{
    return address != 0 && address % 8 == 0 &&
           bsk_process_read(python->process, address, words, DESCRIPTOR_BYTES, NULL) == BSK_OK;
}

/* The place where the descriptors of all these threads hold the numbers of threads that exist,
 * each another one. */
static uint32_t find_tid_offset(struct bsk_python *python, const uint64_t *descriptors,
                                size_t count, const struct bsk_threads *os_threads)
{
    enum { LOOK_AT = 8 };
    int32_t words[LOOK_AT][DESCRIPTOR_BYTES / 4];
    size_t readable = 0;
    for (size_t i = 0; i < count && readable < LOOK_AT; i++) {
        bool again = false; /* a subinterpreter has the thread that made it */
        for (size_t k = 0; k < i && !again; k++)
            again = descriptors[k] == descriptors[i];
        if (!again)
            readable += read_descriptor(python, descriptors[i], words[readable]);
    }
    for (uint32_t at = 0; readable > 0 && at < DESCRIPTOR_BYTES / 4; at++) {
        bool fits = true;
        for (size_t i = 0; i < readable && fits; i++) {
            fits = words[i][at] > 0 && tid_of_inside(os_threads, (uint32_t)words[i][at]) != 0;
            for (size_t k = 0; k < i && fits; k++)
                fits = words[i][at] != words[k][at];
        }
        if (fits)
            return at * 4;
    }
    return 0;
}

struct listed {
    uint64_t address, interpreter, pthread, native;
};

static bool read_listed(struct bsk_python *python, struct listed *listed, uint64_t *out_next)
{
    const struct bsk_layout *layout = &python->layout;
    uint64_t interpreter = 0;
    bool has_native = layout->thread.native_thread_id != 0;
    struct bsk_piece pieces[] = {
        { listed->address + layout->thread.next, out_next, 8, false },
        { listed->address + layout->thread.interp, &interpreter, 8, false },
        { listed->address + layout->thread.thread_id, &listed->pthread, 8, false },
        { listed->address + layout->thread.native_thread_id, &listed->native, 8, false },
    };
    size_t count = has_native ? 4 : 3;
    if (bsk_process_read_pieces(python->process, pieces, count, NULL) < 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!pieces[i].ok)
            return false;
    return interpreter == listed->interpreter;
}

static struct bsk_python_thread *take_known(struct bsk_python *python, uint64_t address, pid_t tid)
{
    for (size_t i = 0; i < python->thread_count; i++) {
        struct bsk_python_thread *thread = python->threads[i];
        if (thread && thread->address == address && thread->tid == tid) {
            python->threads[i] = NULL;
            return thread;
        }
    }
    return NULL;
}

static void free_thread(struct bsk_python_thread *thread)
{
    if (!thread)
        return;
    bsk_stack_memory_free(thread->memory);
    free(thread->name_memory);
    free(thread);
}

static int64_t id_of(const struct bsk_python *python, uint64_t interpreter)
{
    for (size_t i = 0; i < python->interpreter_count; i++)
        if (python->interpreters[i].address == interpreter)
            return python->interpreters[i].id;
    return 0;
}

/* Puts the threads of `listed` in the place of those known; what is still there stays as it is. */
static int replace_threads(struct bsk_python *python, const struct listed *listed,
                           const pid_t *tids, size_t count, struct bsk_error *err)
{
    int rc = BSK_OK;
    size_t kept = 0;
    struct bsk_python_thread **threads = calloc(count + 1, sizeof(*threads));
    if (!threads)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < count && rc == BSK_OK; i++) {
        if (tids[i] == 0)
            continue; /* not bound to a thread yet, or its thread has ended */
        struct bsk_python_thread *thread = take_known(python, listed[i].address, tids[i]);
        if (!thread && (thread = calloc(1, sizeof(*thread))) != NULL) {
            thread->address = listed[i].address;
            thread->tid = tids[i];
            thread->name = "";
        }
        if (!thread) {
            rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
            break;
        }
        thread->interpreter = listed[i].interpreter;
        thread->interpreter_id = id_of(python, listed[i].interpreter);
        thread->ident = listed[i].pthread;
        threads[kept++] = thread;
    }
    for (size_t i = 0; i < python->thread_count; i++)
        free_thread(python->threads[i]);
    free(python->threads);
    python->threads = threads;
    python->thread_count = kept;
    return rc;
}

/*
 * Up to 3.12 the first thread state of a subinterpreter names the thread that made it, whichever
 * thread runs it. It would hide that thread's own stack, so it is left out: what runs in it counts
 * for the function that entered it, which stands in the running thread's own stack. Threads that a
 * subinterpreter starts, and all of 3.13 and later, have states of their own.
 */
static void leave_out_borrowed(const struct bsk_python *python, const struct listed *listed,
                               pid_t *tids, size_t count)
{
    enum { OWN_STATES_SINCE = 13 };
    if (python->layout.minor >= OWN_STATES_SINCE || python->interpreter_count < 2)
        return;
    uint64_t first = python->interpreters[python->interpreter_count - 1].address;
    for (size_t i = 0; i < count; i++) /* the main interpreter is the oldest, and listed last */
        for (size_t k = 0; k < count && tids[i] != 0 && listed[i].interpreter != first; k++)
            if (k != i && listed[k].interpreter == first && listed[k].pthread == listed[i].pthread)
                tids[i] = 0;
}

int bsk_python_refresh(struct bsk_python *python, struct bsk_threads *os_threads,
                       struct bsk_error *err)
{
    struct listed *listed = NULL;
    pid_t *tids = NULL;
    uint64_t *descriptors = NULL;
    size_t count = 0, capacity = 0, unknown = 0;
    int rc = bsk_threads_refresh(python->process, os_threads, err);
    if (rc == BSK_OK && !python->calibrated) {
        rc = bsk_calibrate(python->process, &python->layout, python->runtime, python->info.version,
                           &python->calibrated, err);
        if (rc == BSK_E_TORN) /* it was good enough to be opened */
            rc = BSK_OK;
    }
    if (rc == BSK_OK)
        rc = read_interpreters(python, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < python->interpreter_count; i++) {
        uint64_t next = 0;
        for (uint64_t address = python->interpreters[i].threads_head;
             address != 0 && count < THREADS_MAX; address = next) {
            if (count == capacity) {
                capacity = capacity ? capacity * 2 : 16;
                struct listed *grown = realloc(listed, capacity * sizeof(*grown));
                if (!grown) {
                    rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
                    goto out;
                }
                listed = grown;
            }
            listed[count] = (struct listed){ .address = address,
                                             .interpreter = python->interpreters[i].address };
            if (!read_listed(python, &listed[count], &next))
                break; /* the list moved: the rest comes with the next refresh */
            count++;
        }
    }
    tids = calloc(count + 1, sizeof(*tids));
    descriptors = calloc(count + 1, sizeof(*descriptors));
    if (!tids || !descriptors) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        tids[i] = listed[i].native ? tid_of_inside(os_threads, listed[i].native) : 0;
        if (tids[i] == 0)
            descriptors[unknown++] = listed[i].pthread;
    }
    if (unknown > 0 && python->pthread_tid_offset == 0)
        python->pthread_tid_offset = find_tid_offset(python, descriptors, unknown, os_threads);
    for (size_t i = 0; i < count && python->pthread_tid_offset != 0; i++) {
        int32_t inside;
        if (tids[i] == 0 &&
            bsk_process_read(python->process, listed[i].pthread + python->pthread_tid_offset,
                             &inside, sizeof(inside), NULL) == BSK_OK)
            tids[i] = inside > 0 ? tid_of_inside(os_threads, (uint32_t)inside) : 0;
    }
    leave_out_borrowed(python, listed, tids, count);
    rc = replace_threads(python, listed, tids, count, err);
out:
    free(listed);
    free(tids);
    free(descriptors);
    return rc;
}

size_t bsk_python_thread_count(const struct bsk_python *python)
{
    return python->thread_count;
}

struct bsk_python_thread *bsk_python_thread(struct bsk_python *python, size_t index)
{
    return python->threads[index];
}
