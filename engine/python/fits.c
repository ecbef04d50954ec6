/* The fields that lead from _PyRuntime to the thread states; see fits.h. */
#include "engine/python/fits.h"

#include <string.h>

static bool is_place(uint64_t address)
{
    return address >= LOOK_PAGE_BYTES && address % 8 == 0 && address < (uint64_t)1 << 56;
}

static uint64_t word(struct bsk_fits *fits, uint64_t address)
{
    return bsk_look_word(&fits->look, address);
}

/* In every version a thread state begins with prev, next and interp; the newest has no prev. */
static bool is_newest_thread(struct bsk_fits *fits, uint64_t address)
{
    enum { LOOK_AT_WORDS = 16 };
    uint64_t words[LOOK_AT_WORDS];
    if (!is_place(address) || address == fits->runtime || address == fits->interpreter ||
        !bsk_look_bytes(&fits->look, address, words, sizeof(words)))
        return false;
    for (size_t i = 2; i < LOOK_AT_WORDS; i++)
        if (words[i] == fits->interpreter)
            return words[i - 2] == 0;
    return false;
}

/* Bytes from an interpreter's `next` and `id` to the head of its list of threads, from CPython's
 * headers: they tell apart what a lone main interpreter cannot, as both are 0 there. */
static bool lies_as_in_headers(const struct bsk_layout *layout, uint32_t place, bool is_id)
{
    static const struct {
        int32_t next, id;
    } to_threads[] = {
        [8] = { 8, -8 },   [9] = { 8, -16 },  [10] = { 8, -16 }, [11] = { 16, -32 },
        [12] = { 72, 64 }, [13] = { 80, 72 }, [14] = { 72, 64 }, [15] = { 72, 64 },
    };
    const size_t known = sizeof(to_threads) / sizeof(to_threads[0]);
    if (layout->minor < BSK_OLDEST_MINOR || (size_t)layout->minor >= known)
        return true;
    int32_t away = is_id ? to_threads[layout->minor].id : to_threads[layout->minor].next;
    return (int64_t)layout->interpreter.threads_head - place == away;
}

static bool look_at_runtime(struct bsk_fits *fits)
{
    enum { INTERPRETERS_MAX = 1 << 20 };
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t list[3] = { 1, 1, 1 }; /* head, main, next_id */
    bool read = bsk_look_bytes(&fits->look, fits->runtime + layout->runtime.interpreters_head, list,
                               sizeof(list));
    /* The number of the next interpreter is -1 or 0 until there is a first one. */
    bool early = (list[0] == 0 || is_place(list[0])) && (list[1] == 0 || is_place(list[1])) &&
                 (list[2] == 0 || list[2] == UINT64_MAX);
    if (read && ((list[0] == 0 && list[1] == 0) || early)) {
        fits->starting = true;
        return false;
    }
    if (!bsk_fit(fits, FIELD_INTERPRETERS_HEAD,
                 read && is_place(list[0]) && is_place(list[1]) && list[2] >= 1 &&
                     list[2] < INTERPRETERS_MAX))
        return false;
    if (layout->runtime.interpreters_main)
        bsk_fit(fits, FIELD_INTERPRETERS_MAIN,
                layout->runtime.interpreters_main == layout->runtime.interpreters_head + 8);
    fits->interpreter = list[1];
    return true;
}

static bool look_at_threads_head(struct bsk_fits *fits)
{
    enum { AROUND = 4, THREADS_EVER_11 = 11 };
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t at = fits->interpreter + layout->interpreter.threads_head;
    uint64_t head = word(fits, at), counted = word(fits, at - 8);
    /* From 3.11 on the number of the next thread stands before the head: no address, not even one
     * of a program that is not relocated. 3.13 has the main thread right behind the head. */
    bool ok = is_newest_thread(fits, head) &&
              (layout->minor < THREADS_EVER_11 ||
               (counted >= 1 && counted < (uint64_t)1 << 40 && !is_newest_thread(fits, counted)));
    for (int away = -AROUND; head == 0 && away <= AROUND; away++)
        if (is_newest_thread(fits, word(fits, at + 8 * (uint64_t)(int64_t)away)))
            head = at; /* there is one, but not where we look */
    if (head == 0) {
        fits->starting = true;
        return false;
    }
    if (!bsk_fit(fits, FIELD_THREADS_HEAD, ok))
        return false;
    fits->threads[0] = head;
    fits->thread_count = 1;
    return true;
}

static void look_at_interpreters(struct bsk_fits *fits)
{
    enum { WALK_MAX = 4096 };
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t at = word(fits, fits->runtime + layout->runtime.interpreters_head);
    for (int i = 0; is_place(at) && at != fits->interpreter && i < WALK_MAX; i++)
        at = word(fits, at + layout->interpreter.next);
    uint64_t after = 1, id = 1;
    (void)bsk_look_bytes(&fits->look, fits->interpreter + layout->interpreter.next, &after, 8);
    (void)bsk_look_bytes(&fits->look, fits->interpreter + layout->interpreter.id, &id, 8);
    bsk_fit(fits, FIELD_INTERPRETER_NEXT,
            at == fits->interpreter && after == 0 &&
                lies_as_in_headers(layout, layout->interpreter.next, false));
    bsk_fit(fits, FIELD_INTERPRETER_ID,
            id == 0 && lies_as_in_headers(layout, layout->interpreter.id, true));
}

static bool look_at_links(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t head = fits->threads[0];
    bool ok = bsk_fit(fits, FIELD_THREAD_INTERP,
                      word(fits, head + layout->thread.interp) == fits->interpreter);
    uint64_t before = 1;
    (void)bsk_look_bytes(&fits->look, head + layout->thread.next - 8, &before, 8);
    ok = bsk_fit(fits, FIELD_THREAD_NEXT,
                 before == 0 && word(fits, head + layout->thread.next + 8) == fits->interpreter) &&
         ok;
    while (ok && fits->thread_count < FIT_THREADS_MAX) {
        uint64_t next = word(fits, fits->threads[fits->thread_count - 1] + layout->thread.next);
        if (!is_place(next) || word(fits, next + layout->thread.interp) != fits->interpreter)
            break;
        fits->threads[fits->thread_count++] = next;
    }
    return ok;
}

/* pthread_self() is the address of the C library's descriptor, whose first word (glibc, musl) is
 * its own address. */
static void look_at_thread_ids(struct bsk_fits *fits)
{
    enum { PIDS_MAX = 1 << 22 };
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t self = word(fits, fits->thread + layout->thread.thread_id);
    bsk_fit(fits, FIELD_THREAD_ID, is_place(self) && word(fits, self) == self);
    if (layout->thread.native_thread_id) {
        uint64_t native = word(fits, fits->thread + layout->thread.native_thread_id);
        bsk_fit(fits, FIELD_NATIVE_THREAD_ID, native > 0 && native <= PIDS_MAX);
    }
}

/* An int, and behind it how much recursion is left, and how much there is. */
static void look_at_state(struct bsk_fits *fits)
{
    int32_t words[3] = { -1 };
    (void)bsk_look_bytes(&fits->look, fits->thread + fits->look.layout->thread.state, words,
                         sizeof(words));
    bsk_fit(fits, FIELD_THREAD_STATE,
            words[0] >= 0 && words[0] <= BSK_STATE_LAST && words[2] > 0 && words[1] <= words[2]);
}

static bool is_text_type(struct bsk_fits *fits, uint64_t address)
{
    char name[5] = "";
    return bsk_look_bytes(&fits->look, address, name, sizeof(name)) &&
           memcmp(name, "type", sizeof(name)) == 0;
}

/* The object `type`, found from any other object; 0 when that is none. Which of its words is its
 * name is left open. */
static uint64_t type_of_types(struct bsk_fits *fits, uint64_t object)
{
    enum { WORDS = 8 };
    uint32_t at = fits->look.layout->object.type;
    uint64_t type = bsk_look_type(&fits->look, object), above;
    for (int up = 0; type != 0 && up < 3 && (above = word(fits, type + at)) != type; up++)
        type = above;
    for (uint64_t i = 0; type != 0 && i < WORDS; i++)
        if (is_text_type(fits, word(fits, type + 8 * i)))
            return type;
    return 0;
}

/* A thread state and an interpreter point to objects in many places: the first that is one shows
 * how an object says its type. */
static bool look_at_types(struct bsk_fits *fits)
{
    enum { THREAD_WORDS = 40, INTERPRETER_WORDS = 1024 };
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t type = 0;
    for (uint64_t i = 0; type == 0 && i < THREAD_WORDS; i++)
        type = type_of_types(fits, word(fits, fits->thread + 8 * i));
    uint64_t from = fits->interpreter + layout->interpreter.threads_head;
    for (uint64_t i = 0; type == 0 && i < INTERPRETER_WORDS; i++)
        type = type_of_types(fits, word(fits, from + 8 * i));
    return bsk_fit(fits, FIELD_OBJECT_TYPE, type != 0) &&
           bsk_fit(fits, FIELD_TYPE_NAME,
                   is_text_type(fits, word(fits, type + layout->object.type_name)));
}

/* The codecs' list and dict follow it. */
static void look_at_generation(struct bsk_fits *fits)
{
    uint64_t at = fits->interpreter + fits->look.layout->interpreter.code_generation;
    if (fits->look.layout->interpreter.code_generation)
        bsk_fit(fits, FIELD_CODE_GENERATION,
                bsk_look_is(&fits->look, word(fits, at + 8), "list") &&
                    bsk_look_is(&fits->look, word(fits, at + 16), "dict"));
}

/* {switch interval in microseconds, last holder, locked, ...}, in every version so far */
static void look_at_gil(struct bsk_fits *fits, uint64_t base, uint32_t holder_at,
                        uint32_t locked_at, enum bsk_field holder, enum bsk_field locked)
{
    enum { INTERVAL_MAX = 1000000000, LOWEST = 1 << 20 };
    uint64_t interval = word(fits, base + holder_at - 8), last = 1;
    int32_t state = 2;
    (void)bsk_look_bytes(&fits->look, base + holder_at, &last, 8);
    (void)bsk_look_bytes(&fits->look, base + locked_at, &state, 4);
    for (size_t i = 0; i < fits->thread_count; i++)
        if (interval == fits->threads[i])
            interval = 0; /* that is the holder: in a program that is not relocated it is small */
    if (bsk_fit(fits, holder,
                interval > 0 && interval <= INTERVAL_MAX &&
                    (last == 0 || (is_place(last) && last > LOWEST))))
        bsk_fit(fits, locked, locked_at == holder_at + 8 && state >= -1 && state <= 1);
}

/* An int, and after it the lists `garbage` and `callbacks`; 3.15 has the frame first. Old ones make
 * the lists at need; there the permanent generation, nearly always empty, comes before three sets
 * of statistics and points to itself. */
static void look_at_collecting(struct bsk_fits *fits, uint64_t at, enum bsk_field field)
{
    int32_t state = 2;
    uint64_t lists = at + (fits->look.layout->minor >= 15 ? 16 : 8), permanent = at - 24 - 3 * 24;
    bool empty = fits->look.layout->minor <= 13 && word(fits, permanent) == permanent &&
                 word(fits, permanent + 8) == permanent;
    (void)bsk_look_bytes(&fits->look, at, &state, 4);
    bsk_fit(fits, field,
            (state == 0 || state == 1) &&
                (empty || (bsk_look_is(&fits->look, word(fits, lists), "list") &&
                           bsk_look_is(&fits->look, word(fits, lists + 8), "list"))));
}

static void look_at_gil_and_gc(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    if (bsk_fits_applies(layout, FIELD_RUNTIME_GIL_HOLDER))
        look_at_gil(fits, fits->runtime, layout->runtime.gil_holder, layout->runtime.gil_locked,
                    FIELD_RUNTIME_GIL_HOLDER, FIELD_RUNTIME_GIL_LOCKED);
    if (bsk_fits_applies(layout, FIELD_GIL_HOLDER))
        look_at_gil(fits, fits->interpreter, layout->interpreter.gil_holder,
                    layout->interpreter.gil_locked, FIELD_GIL_HOLDER, FIELD_GIL_LOCKED);
    if (layout->runtime.collecting)
        look_at_collecting(fits, fits->runtime + layout->runtime.collecting,
                           FIELD_RUNTIME_COLLECTING);
    if (layout->interpreter.collecting)
        look_at_collecting(fits, fits->interpreter + layout->interpreter.collecting,
                           FIELD_COLLECTING);
}

/* It is only a ceiling of what is read: all that we read of a thread state must lie below it. */
static void look_at_thread_size(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    const uint32_t places[] = { layout->thread.next,
                                layout->thread.interp,
                                layout->thread.frame,
                                layout->thread.thread_id,
                                layout->thread.native_thread_id,
                                layout->thread.datastack_chunk + 16,
                                layout->thread.needed - 8 };
    bool ok = layout->thread.size % 8 == 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        ok = ok && places[i] + 8 <= layout->thread.size;
    bsk_fit(fits, FIELD_THREAD_SIZE, ok);
}

void bsk_fits_look(struct bsk_fits *fits)
{
    enum { THREADS_LOOKED_AT = 8 };
    const struct bsk_layout *layout = fits->look.layout;
    bsk_look_again(&fits->look);
    memset(fits->verdicts, 0, sizeof(fits->verdicts));
    fits->starting = false;
    fits->thread_count = 0;
    fits->thread = fits->running = 0;
    if (!look_at_runtime(fits) || !look_at_threads_head(fits))
        return;
    look_at_interpreters(fits);
    if (!look_at_links(fits))
        return;
    /* The oldest thread first: it is the main one, and stands still where others come and go. */
    for (size_t i = 0; i < fits->thread_count && i < THREADS_LOOKED_AT; i++) {
        fits->thread = fits->threads[fits->thread_count - 1 - i];
        look_at_thread_ids(fits);
        if (bsk_fits_applies(layout, FIELD_THREAD_STATE))
            look_at_state(fits);
        if (!look_at_types(fits))
            return;
        look_at_gil_and_gc(fits);
        look_at_generation(fits);
        bsk_fits_stack(fits);
        bool all = true;
        for (enum bsk_field f = 0; f < FIELD_THREAD_SIZE; f++)
            all = all && (fits->verdicts[f] == FITS || !bsk_fits_applies(layout, f));
        if (all)
            break;
    }
    look_at_thread_size(fits);
}

bool bsk_fits_still(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    bsk_look_again(&fits->look);
    if (fits->thread_count == 0)
        return true;
    if (word(fits, fits->interpreter + layout->interpreter.threads_head) != fits->threads[0])
        return false;
    if (fits->verdicts[FIELD_THREAD_FRAME] != FITS)
        return true;
    return fits->thread == 0 || bsk_fits_running(fits) == fits->running;
}

bool bsk_fits_applies(const struct bsk_layout *layout, enum bsk_field field)
{
    bool stack_on_heap = layout->frame_form == BSK_FRAME_OBJECTS;
    switch (field) {
    case FIELD_INTERPRETERS_MAIN:
        return layout->runtime.interpreters_main != 0;
    case FIELD_NATIVE_THREAD_ID:
        return layout->thread.native_thread_id != 0;
    case FIELD_THREAD_STATE:
        return layout->thread.state != 0;
    case FIELD_DATASTACK_CHUNK:
    case FIELD_FRAME_OWNER:
    case FIELD_FRAME_CALLS:
    case FIELD_CODE_BYTECODE:
    case FIELD_CODE_QUALNAME:
        return !stack_on_heap;
    case FIELD_CFRAME_CURRENT_FRAME:
        return layout->frame_form == BSK_FRAME_CFRAME;
    case FIELD_CODE_VERSION:
        return layout->code.version != 0;
    case FIELD_CODE_GENERATION:
        return layout->interpreter.code_generation != 0;
    case FIELD_RUNTIME_GIL_HOLDER:
    case FIELD_RUNTIME_GIL_LOCKED:
        return layout->runtime.gil_holder != 0;
    case FIELD_RUNTIME_COLLECTING:
        return layout->runtime.collecting != 0;
    case FIELD_GIL_HOLDER:
    case FIELD_GIL_LOCKED:
        return layout->interpreter.gil_holder != 0 && !layout->free_threaded;
    case FIELD_COLLECTING:
        return layout->interpreter.collecting != 0;
    case FIELD_CODE_TLBC:
        return layout->code.tlbc != 0;
    case FIELD_FRAME_TLBC_INDEX:
        return layout->frame.tlbc_index != 0;
    default:
        return true;
    }
}
