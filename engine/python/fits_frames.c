/* The fields that a thread's stack shows: frames, code objects, texts and bytes; see fits.h. */
#include "engine/python/fits.h"

#include <string.h>

enum { CHUNK_DATA = 24, FRAME_WORDS = 9, LINKS_ENOUGH = 16 };

static bool is_place(uint64_t address)
{
    return address >= LOOK_PAGE_BYTES && address % 8 == 0 && address < (uint64_t)1 << 56;
}

static uint64_t word(struct bsk_fits *fits, uint64_t address)
{
    return bsk_look_word(&fits->look, address);
}

static bool is_a(struct bsk_fits *fits, uint64_t object, const char *type_name)
{
    return bsk_look_is(&fits->look, object, type_name);
}

static bool has(const struct bsk_fits *fits, enum bsk_field field)
{
    return fits->verdicts[field] == FITS;
}

/* --- frames ----------------------------------------------------------------------------------- */

/* Without relying on any place in a frame: it holds a code object, or None where that would be. */
static bool looks_like_frame(struct bsk_fits *fits, uint64_t address)
{
    uint64_t words[FRAME_WORDS];
    if (!is_place(address))
        return false;
    if (fits->look.layout->frame_form == BSK_FRAME_OBJECTS)
        return is_a(fits, address, "frame");
    if (!bsk_look_bytes(&fits->look, address, words, sizeof(words)))
        return false;
    for (size_t i = 0; i < FRAME_WORDS; i++) {
        uint64_t object = words[i] & ~fits->look.layout->tag_mask;
        if (is_a(fits, object, "code") || is_a(fits, object, "NoneType"))
            return true;
    }
    return false;
}

static uint64_t code_of(struct bsk_fits *fits, uint64_t frame)
{
    const struct bsk_layout *layout = fits->look.layout;
    return word(fits, frame + layout->frame.code) & ~layout->tag_mask;
}

/* The newest chunk of the data stack: {previous, size, top}, and beside the pointer to it the ends
 * of what is used and of the whole. */
static void look_at_chunk(struct bsk_fits *fits)
{
    enum { BIGGEST = 1 << 30 };
    uint64_t at = fits->thread + fits->look.layout->thread.datastack_chunk, words[3] = { 0 };
    fits->chunk = fits->chunk_end = 0;
    (void)bsk_look_bytes(&fits->look, at, words, sizeof(words));
    uint64_t size = is_place(words[0]) ? word(fits, words[0] + 8) : 0;
    bool ok = size > CHUNK_DATA && size < BIGGEST && words[2] == words[0] + size &&
              words[1] > words[0] && words[1] <= words[2];
    if (words[0] == 0 && words[1] == 0 && words[2] == 0)
        return; /* no Python function has run on it yet, or we look elsewhere: the stack will tell
                 */
    if (bsk_fit(fits, FIELD_DATASTACK_CHUNK, ok)) {
        fits->chunk = words[0];
        fits->chunk_end = words[2];
    }
}

/* Some frame is on the data stack, whatever the thread's top says. */
static bool has_frames(struct bsk_fits *fits)
{
    if (fits->chunk == 0)
        return false;
    uint64_t used = word(fits, fits->thread + fits->look.layout->thread.datastack_chunk + 8);
    return used > fits->chunk + CHUNK_DATA + 8;
}

uint64_t bsk_fits_running(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t top = word(fits, fits->thread + layout->thread.frame);
    return layout->frame_form == BSK_FRAME_CFRAME ? word(fits, top + layout->cframe_current_frame)
                                                  : top;
}

static bool find_top(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t top = word(fits, fits->thread + layout->thread.frame);
    if (layout->frame_form == BSK_FRAME_CFRAME) {
        uint64_t words[3];
        bool frame = false;
        if (!is_place(top) || !bsk_look_bytes(&fits->look, top, words, sizeof(words)))
            return bsk_fit(fits, FIELD_THREAD_FRAME, false);
        for (size_t i = 0; i < 3; i++)
            frame = frame || looks_like_frame(fits, words[i]);
        if (!frame && !has_frames(fits))
            return false;
        if (!bsk_fit(fits, FIELD_THREAD_FRAME, frame))
            return false;
        return bsk_fit(fits, FIELD_CFRAME_CURRENT_FRAME, looks_like_frame(fits, fits->running));
    }
    if (top == 0 && !has_frames(fits))
        return false;
    return bsk_fit(fits, FIELD_THREAD_FRAME, looks_like_frame(fits, top));
}

struct walk {
    uint64_t last;                   /* the outermost */
    size_t calls, shims, odd_owners; /* links that led to a frame; owners that cannot be */
    bool ended, broken;              /* at a frame without `previous`; at what is no frame */
};

static void keep_frame(struct bsk_fits *fits, uint64_t address, uint64_t code, bool is_caller)
{
    if (fits->frame_count == FIT_FRAMES_KEPT) {
        memmove(fits->frames, fits->frames + 1, (FIT_FRAMES_KEPT - 1) * sizeof(fits->frames[0]));
        fits->frame_count--;
    }
    fits->frames[fits->frame_count++] = (struct bsk_fit_frame){ address, code, is_caller };
}

static struct walk walk_frames(struct bsk_fits *fits, uint64_t top)
{
    const struct bsk_layout *layout = fits->look.layout;
    struct walk walk = { .last = top };
    bool is_caller = false;
    fits->frame_count = 0;
    for (size_t i = 0; i < FIT_FRAMES_MAX; i++) {
        uint64_t code = code_of(fits, walk.last), previous = 0;
        uint8_t owner = 0;
        bool has_code = is_a(fits, code, "code");
        if (layout->frame.owner)
            (void)bsk_look_bytes(&fits->look, walk.last + layout->frame.owner, &owner, 1);
        bool shim = owner < 32 && (layout->shim_owners & 1u << owner);
        bool on_stack = walk.last > fits->chunk && walk.last < fits->chunk_end;
        walk.shims += shim;
        /* On the data stack only functions' frames live; objects and the C stack have the rest. */
        walk.odd_owners += owner > 4 || (on_stack && owner != 0);
        if (has_code && !shim)
            keep_frame(fits, walk.last, code, is_caller);
        is_caller = !shim;
        if (!bsk_look_bytes(&fits->look, walk.last + layout->frame.previous, &previous, 8)) {
            walk.broken = true;
            break;
        }
        if (previous == 0) {
            walk.ended = true;
            break;
        }
        if (!looks_like_frame(fits, previous)) {
            walk.broken = true;
            break;
        }
        walk.calls++;
        walk.last = previous;
    }
    return walk;
}

static bool look_at_frames(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    if (layout->thread.datastack_chunk)
        look_at_chunk(fits);
    uint64_t top = fits->running = bsk_fits_running(fits);
    if (!find_top(fits))
        return false;
    /* The top frame may be one of the interpreter's own, which has None for a code. */
    uint64_t code = code_of(fits, top);
    if (!is_a(fits, code, "NoneType") && !bsk_fit(fits, FIELD_FRAME_CODE, is_a(fits, code, "code")))
        return false;
    struct walk walk = walk_frames(fits, top);
    if (walk.calls == 0 && walk.ended && fits->frame_count == 0 && has_frames(fits)) {
        fits->verdicts[FIELD_THREAD_FRAME] = MISFIT; /* 3.15 keeps the base frame beside the top */
        return false;
    }
    /* Where a data stack lies below, its first frame is where a whole chain comes by; from 3.12 on
     * a frame of the interpreter's own lies below each that C code entered. */
    bool alone = walk.calls == 0 && walk.ended;
    if (layout->thread.datastack_chunk && fits->frame_count > 0 && fits->chunk == 0)
        bsk_fit(fits, FIELD_DATASTACK_CHUNK, false);
    if (alone && layout->frame_form == BSK_FRAME_OBJECTS)
        bsk_fit(fits, FIELD_FRAME_CODE, is_a(fits, code, "code"));
    else if (alone && layout->shim_owners == 0 && top == fits->chunk + CHUNK_DATA + 8)
        ; /* the only frame there is */
    else
        /* One that runs may break off a walk, but not lead it from frame to frame by chance. */
        bsk_fit(fits, FIELD_FRAME_PREVIOUS, !alone && (!walk.broken || walk.calls >= LINKS_ENOUGH));
    if (layout->frame.owner && walk.ended && has(fits, FIELD_FRAME_PREVIOUS)) {
        uint8_t entry = 0;
        (void)bsk_look_bytes(&fits->look, walk.last + layout->frame.owner - 1, &entry, 1);
        bsk_fit(fits, FIELD_FRAME_OWNER,
                walk.odd_owners == 0 && (layout->shim_owners ? walk.shims > 0 : entry == 1));
    }
    return fits->frame_count > 0;
}

/* A word or half of one between the place and the owner; see bsk_layout_calls(). */
static void look_at_calls(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    if (layout->minor >= 14) {
        if (has(fits, FIELD_FRAME_OWNER)) /* a deep stack may not have told it yet */
            bsk_fit(fits, FIELD_FRAME_CALLS, layout->frame.calls + 2 == layout->frame.owner);
    } else if (layout->frame_form != BSK_FRAME_OBJECTS && has(fits, FIELD_FRAME_LASTI))
        bsk_fit(fits, FIELD_FRAME_CALLS, layout->frame.calls == layout->frame.lasti + 8);
}

/* --- code objects ------------------------------------------------------------------------------
 */

/* How the fields of a code object follow each other, in CPython's headers: what can be told in
 * the target is where one of them is, and the texts look alike. */
static uint32_t first_line_to_lines(int minor)
{
    return minor <= 10 ? 80 : minor == 11 ? 64 : 68;
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

/* Whether all texts so far are what a str is. */
struct texts {
    size_t count;
    bool lengths, states, ends;
};

static void look_at_text(struct bsk_fits *fits, uint64_t object, struct texts *texts)
{
    enum { LENGTH_MAX = 1 << 20, INTERNED = 3, READY = 1 << 7 };
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t length = word(fits, object + layout->object.text_length);
    uint32_t whole = (uint32_t)bsk_look_int(&fits->look, object + layout->object.text_state);
    uint32_t state = whole >> layout->kind_shift; /* what lies above may never have been set */
    unsigned kind = state & 7;
    bool compact = state & 8, ascii = state & 16, old = layout->minor <= 11;
    texts->count++;
    texts->lengths = texts->lengths && length > 0 && length < LENGTH_MAX;
    texts->states = texts->states && (kind == 1 || kind == 2 || kind == 4) && (compact || old) &&
                    (!ascii || kind == 1) &&
                    (!old || ((whole & INTERNED) != INTERNED && (whole & READY)));
    if (!ascii || !compact || !texts->lengths)
        return;
    /* ASCII, as many characters as said, and a 0 behind them */
    char characters[256];
    size_t part = length < sizeof(characters) ? (size_t)length + 1 : sizeof(characters);
    texts->ends =
        texts->ends &&
        bsk_look_bytes(&fits->look, object + layout->object.text_ascii_data, characters, part);
    for (size_t i = 0; texts->ends && i < part; i++)
        texts->ends = i == length ? characters[i] == '\0' : characters[i] > 0;
}

/* One text may look right by chance, so all must. */
static void look_at_texts(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    struct texts texts = { .lengths = true, .states = true, .ends = true };
    uint64_t name = 0;
    for (size_t i = 0; i < fits->frame_count; i++) {
        name = word(fits, fits->frames[i].code + layout->code.name);
        look_at_text(fits, word(fits, fits->frames[i].code + layout->code.filename), &texts);
        look_at_text(fits, name, &texts);
    }
    if (texts.count == 0 || !bsk_fit(fits, FIELD_TEXT_LENGTH, texts.lengths))
        return;
    /* A str with everything it may have: the ASCII part, UTF-8 and its length, data, 3.11's wstr */
    bool basic = bsk_look_basic_size(&fits->look, name) ==
                 layout->object.text_ascii_data + 24 + layout->wstr_bytes;
    if (bsk_fit(fits, FIELD_TEXT_STATE, texts.states))
        bsk_fit(fits, FIELD_TEXT_ASCII_DATA, basic && texts.ends);
}

static void look_at_bytes(struct bsk_fits *fits, uint64_t code)
{
    enum { TABLE_MAX = 8 << 20 };
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t table = word(fits, code + layout->code.linetable), size = UINT64_MAX;
    char end = 1;
    (void)bsk_look_bytes(&fits->look, table + layout->object.bytes_size, &size, 8);
    bool sized = size < TABLE_MAX;
    /* As long as the table says; a code object says its own length in the same place. */
    if (sized && layout->code.bytecode) {
        uint64_t units = word(fits, code + layout->object.bytes_size);
        sized = units > 0 && units < 1 << 28;
    }
    if (!bsk_fit(fits, FIELD_BYTES_SIZE, sized))
        return;
    bsk_fit(fits, FIELD_BYTES_DATA,
            bsk_look_bytes(&fits->look, table + layout->object.bytes_data + size, &end, 1) &&
                end == '\0' &&
                bsk_look_basic_size(&fits->look, table) == layout->object.bytes_data + 1u);
}

static void look_at_code(struct bsk_fits *fits, uint64_t code)
{
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t basic = bsk_look_basic_size(&fits->look, code);
    if (layout->code.bytecode) {
        if (bsk_fit(fits, FIELD_CODE_BYTECODE, layout->code.bytecode == basic))
            bsk_fit(fits, FIELD_CODE_SIZE, layout->code.size == round_up(basic + 1));
    } else {
        bsk_fit(fits, FIELD_CODE_SIZE, layout->code.size == basic);
    }
    if (!bsk_fit(fits, FIELD_CODE_LINETABLE,
                 is_a(fits, word(fits, code + layout->code.linetable), "bytes")))
        return;
    uint32_t lines = layout->code.linetable, words = layout->code.qualname ? 3 : 2;
    bsk_fit(fits, FIELD_CODE_FILENAME,
            is_a(fits, word(fits, code + layout->code.filename), "str") &&
                layout->code.filename + 8 * words == lines);
    bsk_fit(fits, FIELD_CODE_NAME,
            is_a(fits, word(fits, code + layout->code.name), "str") &&
                layout->code.name + 8 * (words - 1) == lines);
    if (layout->code.qualname)
        bsk_fit(fits, FIELD_CODE_QUALNAME,
                is_a(fits, word(fits, code + layout->code.qualname), "str") &&
                    layout->code.qualname + 8 == lines);
    int32_t first = bsk_look_int(&fits->look, code + layout->code.firstlineno);
    bool first_ok = first >= 0 &&
                    layout->code.firstlineno + first_line_to_lines(layout->minor) == lines &&
                    bsk_look_int(&fits->look, code + layout->code.firstlineno - 4) >= 0;
    if (layout->minor <= 10) /* co_code follows */
        first_ok = first_ok && is_a(fits, word(fits, code + layout->code.firstlineno + 8), "bytes");
    bsk_fit(fits, FIELD_CODE_FIRSTLINENO, first_ok);
    if (layout->code.version) /* co_localsplusnames follows */
        bsk_fit(fits, FIELD_CODE_VERSION,
                is_a(fits, word(fits, code + layout->code.version + 4), "tuple"));
    look_at_bytes(fits, code);
}

/* --- where frames stand -------------------------------------------------------------------------
 */

static void look_at_frame_size(struct bsk_fits *fits, const struct bsk_fit_frame *frame)
{
    const struct bsk_layout *layout = fits->look.layout;
    uint32_t size = layout->frame.size;
    uint64_t ints = frame->code + layout->code.firstlineno;
    if (layout->minor <= 10)
        bsk_fit(fits, FIELD_FRAME_SIZE,
                bsk_look_basic_size(&fits->look, frame->address) == size + 8u);
    else if (layout->minor == 11)
        bsk_fit(fits, FIELD_FRAME_SIZE, size == round_up(layout->frame.owner + 1));
    else if (has(fits, FIELD_CODE_FIRSTLINENO)) /* stack size, first line, locals, all of it */
        bsk_fit(fits, FIELD_FRAME_SIZE,
                8 * ((int64_t)bsk_look_int(&fits->look, ints + 8) -
                     bsk_look_int(&fits->look, ints + 4) - bsk_look_int(&fits->look, ints - 4)) ==
                    (int64_t)size);
}

/* 3.8 to 3.10: a frame that called stands behind the first instruction of its bytecode. */
static void look_at_lasti(struct bsk_fits *fits, const struct bsk_fit_frame *frame, bool *ok,
                          bool *seen)
{
    const struct bsk_layout *layout = fits->look.layout;
    if (!frame->is_caller || !has(fits, FIELD_CODE_FIRSTLINENO) || !has(fits, FIELD_BYTES_SIZE))
        return;
    uint64_t bytecode = word(fits, frame->code + layout->code.firstlineno + 8);
    int64_t size = (int64_t)word(fits, bytecode + layout->object.bytes_size);
    int64_t at = (int64_t)bsk_look_int(&fits->look, frame->address + layout->frame.lasti) *
                 layout->lasti_unit;
    *seen = true;
    *ok = *ok && at > 0 && at < size && at % 2 == 0;
}

static bool stands_in(uint64_t place, uint64_t bytecode, uint64_t units)
{
    return place + 2 >= bytecode && place < bytecode + 2 * units && (place - bytecode) % 2 == 0;
}

/* 3.11 and later: the place is an address in the bytecode, which free-threaded builds may have in
 * a copy for each thread: {count, copies...}, the first being the code object's own. */
static void look_at_place(struct bsk_fits *fits, const struct bsk_fit_frame *frame)
{
    const struct bsk_layout *layout = fits->look.layout;
    uint64_t place = word(fits, frame->address + layout->frame.lasti);
    uint64_t own = frame->code + layout->code.bytecode;
    uint64_t units = word(fits, frame->code + layout->object.bytes_size);
    int32_t index = 0;
    uint64_t start = own;
    if (!has(fits, FIELD_CODE_BYTECODE) || !has(fits, FIELD_BYTES_SIZE))
        return;
    if (layout->code.tlbc) {
        uint64_t array = word(fits, frame->code + layout->code.tlbc);
        if (!bsk_fit(fits, FIELD_CODE_TLBC, is_place(array) && word(fits, array + 8) == own))
            return;
        index = bsk_look_int(&fits->look, frame->address + layout->frame.tlbc_index);
        bool lies = layout->frame.tlbc_index + 6 == layout->frame.owner && index >= 0 &&
                    (uint64_t)index < word(fits, array);
        if (!bsk_fit(fits, FIELD_FRAME_TLBC_INDEX, lies))
            return;
        start = word(fits, array + 8 + 8 * (uint64_t)index);
    }
    bsk_fit(fits, FIELD_FRAME_LASTI, stands_in(place, start, units));
}

void bsk_fits_stack(struct bsk_fits *fits)
{
    const struct bsk_layout *layout = fits->look.layout;
    bool lasti_ok = true, lasti_seen = false;
    if (!look_at_frames(fits) || !has(fits, FIELD_FRAME_CODE))
        return;
    for (size_t i = fits->frame_count; i-- > 0;) {
        const struct bsk_fit_frame *frame = &fits->frames[i];
        look_at_code(fits, frame->code);
        look_at_frame_size(fits, frame);
        if (layout->frame_form == BSK_FRAME_OBJECTS)
            look_at_lasti(fits, frame, &lasti_ok, &lasti_seen);
        else
            look_at_place(fits, frame);
    }
    if (lasti_seen)
        bsk_fit(fits, FIELD_FRAME_LASTI, lasti_ok);
    look_at_calls(fits);
    if (has(fits, FIELD_CODE_FILENAME) && has(fits, FIELD_CODE_NAME))
        look_at_texts(fits);
}
