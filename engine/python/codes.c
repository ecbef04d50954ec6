#include "engine/python/codes.h"

#include "engine/base/clock.h"
#include "engine/python/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_MAX_BYTES = 512,      /* longest name kept; longer ones are cut and end in "..." */
    PATH_MAX_BYTES = 4096,     /* the same for file names */
    TABLE_MAX_BYTES = 8 << 20, /* a line table: generated files of a million lines exist */
    HEADER_MAX_BYTES = 512,    /* of a code object, without its bytecode */
    BYTECODE_MAX_BYTES = 1 << 28,
    CHECK_BATCH = 256,
    IDENTITY_HEADER = 8,  /* words of an identity that come from the code object itself */
    IDENTITY_WORDS = 12,  /* with length and digest of name and file name */
    TEXT_HEADER_MAX = 64, /* of a str, from its length to its characters */
    TEXT_COMPARED = 128,
};

struct bsk_codes {
    struct bsk_process *process;
    const struct bsk_layout *layout;
    uint64_t code_type; /* address of PyCode_Type, learnt from the first code object */
    uint32_t next_id;
    struct bsk_known **slots; /* open addressing by address; a power of two */
    size_t slot_count, used;
    struct bsk_known **all; /* everything ever met, for bsk_codes_free() */
    size_t all_count, all_capacity;
    char cwd[PATH_MAX_BYTES], first_cwd[PATH_MAX_BYTES];
    struct bsk_known *reused, *unread;  /* see bsk_codes_reused(), bsk_codes_unread() */
    uint64_t last_met_ns, last_lost_ns; /* CLOCK_MONOTONIC */
};

struct bsk_codes *bsk_codes_new(struct bsk_process *process, const struct bsk_layout *layout)
{
    struct bsk_codes *codes = calloc(1, sizeof(*codes));
    if (!codes)
        return NULL;
    codes->process = process;
    codes->layout = layout;
    codes->slot_count = 1024;
    codes->slots = calloc(codes->slot_count, sizeof(codes->slots[0]));
    if (!codes->slots) {
        free(codes);
        return NULL;
    }
    bsk_process_cwd(bsk_process_pid(process), codes->cwd, sizeof(codes->cwd));
    return codes;
}

static void free_known(struct bsk_known *known)
{
    if (known->code.qualname != known->code.name)
        free((char *)known->code.qualname);
    free((char *)known->code.name);
    free((char *)known->code.path);
    free(known->steps);
    free(known->instructions);
    free(known);
}

void bsk_codes_free(struct bsk_codes *codes)
{
    if (!codes)
        return;
    for (size_t i = 0; i < codes->all_count; i++)
        free_known(codes->all[i]);
    free(codes->all);
    free(codes->slots);
    free(codes);
}

static size_t slot_of(const struct bsk_codes *codes, uint64_t address)
{
    uint64_t mixed = (address >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(mixed >> 32) & (codes->slot_count - 1);
    while (codes->slots[at] && codes->slots[at]->address != address)
        at = (at + 1) & (codes->slot_count - 1);
    return at;
}

/* Takes over `known`, in the place of what had its address before. */
static bool remember(struct bsk_codes *codes, struct bsk_known *known)
{
    if (codes->all_count == codes->all_capacity) {
        size_t capacity = codes->all_capacity ? codes->all_capacity * 2 : 256;
        struct bsk_known **grown = realloc(codes->all, capacity * sizeof(*grown));
        if (!grown)
            return false;
        codes->all = grown;
        codes->all_capacity = capacity;
    }
    if (2 * (codes->used + 1) > codes->slot_count) {
        struct bsk_known **old = codes->slots;
        size_t old_count = codes->slot_count;
        struct bsk_known **grown = calloc(old_count * 2, sizeof(*grown));
        if (!grown)
            return false;
        codes->slots = grown;
        codes->slot_count = old_count * 2;
        for (size_t i = 0; i < old_count; i++)
            if (old[i])
                codes->slots[slot_of(codes, old[i]->address)] = old[i];
        free(old);
    }
    size_t at = slot_of(codes, known->address);
    codes->used += codes->slots[at] == NULL;
    codes->slots[at] = known;
    codes->all[codes->all_count++] = known;
    return true;
}

static uint64_t word_at(const uint8_t *bytes, size_t offset)
{
    uint64_t value;
    memcpy(&value, bytes + offset, sizeof(value));
    return value;
}

static uint32_t header_bytes(const struct bsk_layout *layout)
{
    uint32_t size = layout->code.bytecode ? layout->code.bytecode : layout->code.size;
    return size > HEADER_MAX_BYTES ? HEADER_MAX_BYTES : size;
}

/* Never the reference count, the bytecode or what the interpreter changes while it runs. */
static void identify(const struct bsk_layout *layout, const uint8_t *header,
                     uint64_t identity[IDENTITY_HEADER])
{
    identity[0] = word_at(header, layout->object.type);
    identity[1] = word_at(header, layout->code.filename);
    identity[2] = word_at(header, layout->code.name);
    identity[3] = layout->code.qualname ? word_at(header, layout->code.qualname) : 0;
    identity[4] = word_at(header, layout->code.linetable);
    identity[5] = word_at(header, layout->code.firstlineno) & UINT32_MAX;
    identity[6] = layout->code.bytecode ? word_at(header, layout->object.bytes_size) : 0;
    identity[7] = layout->code.version ? word_at(header, layout->code.version) & UINT32_MAX : 0;
}

/* Where the text that is a name or a file name lies, and how much of it is compared. */
static struct bsk_piece text_piece(const struct bsk_layout *layout, uint64_t text, uint64_t length,
                                   void *dst)
{
    uint32_t header = layout->object.text_ascii_data - layout->object.text_length;
    uint64_t part = length < TEXT_COMPARED ? length : TEXT_COMPARED;
    return (struct bsk_piece){ text + layout->object.text_length, dst, header + (uint32_t)part,
                               false };
}

/* Of its length and its characters, as far as compared; not of the hash, which is set when it is
 * first asked for. FNV-1a. */
static uint64_t digest(const struct bsk_layout *layout, const struct bsk_piece *piece)
{
    const uint8_t *bytes = piece->dst;
    uint32_t header = layout->object.text_ascii_data - layout->object.text_length;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < piece->size; i++)
        if (i < 8 || i >= header)
            sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* Texts are freed and made again at the same address as well; where code has a version it says
 * enough. `identity` gets length and digest of name and file name. */
static bool identify_texts(struct bsk_codes *codes, uint64_t identity[IDENTITY_WORDS])
{
    const struct bsk_layout *layout = codes->layout;
    const uint64_t texts[] = { identity[2], identity[1] };
    memset(identity + IDENTITY_HEADER, 0, (IDENTITY_WORDS - IDENTITY_HEADER) * 8);
    for (size_t i = 0; i < 2 && layout->code.version == 0; i++) {
        uint64_t *of = identity + IDENTITY_HEADER + 2 * i;
        uint8_t bytes[TEXT_HEADER_MAX + TEXT_COMPARED];
        if (bsk_process_read(codes->process, texts[i] + layout->object.text_length, &of[0], 8,
                             NULL) < 0)
            return false;
        struct bsk_piece piece = text_piece(layout, texts[i], of[0], bytes);
        if (bsk_process_read(codes->process, piece.address, bytes, piece.size, NULL) < 0)
            return false;
        of[1] = digest(layout, &piece);
    }
    return true;
}

static bool is_code_type(struct bsk_codes *codes, uint64_t type)
{
    char name[5];
    uint64_t name_at;
    if (codes->code_type != 0)
        return type == codes->code_type;
    if (bsk_process_read(codes->process, type + codes->layout->object.type_name, &name_at,
                         sizeof(name_at), NULL) < 0 ||
        bsk_process_read(codes->process, name_at, name, sizeof(name), NULL) < 0 ||
        memcmp(name, "code", sizeof(name)) != 0)
        return false;
    codes->code_type = type;
    return true;
}

/* A str of the target as UTF-8, freshly allocated; NULL when there is none at `address`. */
static char *read_text(struct bsk_codes *codes, uint64_t address, size_t max_bytes)
{
    enum { HEADER_MAX = 128 };
    const struct bsk_layout *layout = codes->layout;
    uint32_t compact_data = layout->object.text_ascii_data + 16 + layout->wstr_bytes;
    uint8_t header[HEADER_MAX];
    if (compact_data + 8 > sizeof(header) || layout->object.text_state + 4 > compact_data ||
        bsk_process_read(codes->process, address, header, compact_data, NULL) < 0)
        return NULL;
    uint64_t length = word_at(header, layout->object.text_length);
    uint32_t state;
    memcpy(&state, header + layout->object.text_state, sizeof(state));
    state >>= layout->kind_shift;
    unsigned kind = state & 7;
    bool compact = state & 8, ascii = state & 16;
    if ((kind != 1 && kind != 2 && kind != 4) || length > INT32_MAX || (ascii && kind != 1))
        return NULL;
    uint64_t data = address + (ascii ? layout->object.text_ascii_data : compact_data);
    if (!compact &&
        bsk_process_read(codes->process, address + compact_data, &data, sizeof(data), NULL) < 0)
        return NULL;
    size_t kept = length < max_bytes ? (size_t)length : max_bytes;
    size_t room = kept * (kind == 1 ? (ascii ? 1 : 2) : kind == 2 ? 3 : 4) + 4;
    room = room < max_bytes ? room : max_bytes;
    char *characters = malloc(kept * kind + 1), *text = malloc(room);
    if (!characters || !text ||
        bsk_process_read(codes->process, data, characters, kept * kind, NULL) < 0) {
        free(characters);
        free(text);
        return NULL;
    }
    bsk_text_utf8(characters, kept, kind, kept < length, text, room);
    free(characters);
    return text;
}

/* The folder that a relative file name is of: the working directory, unless the file is not there
 * but where the program was started, as is so after a chdir(). */
static const char *folder_of(struct bsk_codes *codes, const char *tail)
{
    char first[PATH_MAX_BYTES], path[2 * PATH_MAX_BYTES + 64];
    int pid = (int)bsk_process_pid(codes->process);
    snprintf(path, sizeof(path), "/proc/%d/root%s/%s", pid, codes->cwd, tail);
    if (access(path, F_OK) == 0)
        return codes->cwd;
    bsk_process_first_cwd(pid, first, sizeof(first));
    snprintf(path, sizeof(path), "/proc/%d/root%s/%s", pid, first, tail);
    if (first[0] == '\0' || access(path, F_OK) != 0)
        return codes->cwd;
    snprintf(codes->first_cwd, sizeof(codes->first_cwd), "%s", first);
    return codes->first_cwd;
}

/* "app.py" means a file in the target's working directory; "<string>" means none. Takes `path`. */
static char *absolute(struct bsk_codes *codes, char *path)
{
    if (path[0] == '/' || path[0] == '<' || path[0] == '\0' || codes->cwd[0] != '/')
        return path;
    const char *tail = path;
    while (tail[0] == '.' && tail[1] == '/')
        tail += 2;
    const char *folder = folder_of(codes, tail);
    size_t size = strlen(folder) + strlen(tail) + 2;
    char *whole = malloc(size);
    if (!whole)
        return path;
    snprintf(whole, size, "%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", tail);
    free(path);
    return whole;
}

static bool read_lines(struct bsk_codes *codes, struct bsk_known *known)
{
    const struct bsk_layout *layout = codes->layout;
    uint8_t header[64];
    bool ok = false;
    uint64_t table_at = known->identity[4];
    if (layout->object.bytes_data > sizeof(header) ||
        layout->object.bytes_size + 8 > sizeof(header) ||
        bsk_process_read(codes->process, table_at, header, sizeof(header), NULL) < 0)
        return false;
    uint64_t size = word_at(header, layout->object.bytes_size);
    if (size > TABLE_MAX_BYTES)
        return false;
    uint8_t *table = malloc((size_t)size + 1);
    struct bsk_line_step *steps = malloc(((size_t)size + 1) * sizeof(*steps));
    if (table && steps &&
        bsk_process_read(codes->process, table_at + layout->object.bytes_data, table, (size_t)size,
                         NULL) == BSK_OK) {
        known->step_count = bsk_lines_decode(layout->line_form, table, (size_t)size,
                                             known->code.first_line, steps, (size_t)size + 1);
        struct bsk_line_step *fitted = realloc(steps, (known->step_count + 1) * sizeof(*steps));
        known->steps = fitted ? fitted : steps;
        steps = NULL;
        ok = true;
    }
    free(table);
    free(steps);
    return ok;
}

/* These ints stand side by side in 3.11 and later: stack size, first line, locals and, from 3.12
 * on, the size of a frame. It is only used where the frames that it leads to prove it right. */
static uint32_t frame_words(const struct bsk_layout *layout, const uint8_t *header)
{
    enum { WORDS_MAX = 1 << 20 };
    int32_t around[4];
    memcpy(around, header + layout->code.firstlineno - 4, sizeof(around));
    int64_t words =
        layout->minor >= 12 ? around[3] : (int64_t)around[0] + around[2] + layout->frame.size / 8;
    return words > 0 && words < WORDS_MAX ? (uint32_t)words : 0;
}

void bsk_codes_hash_name(struct bsk_codes *codes, struct bsk_known *known)
{
    uint64_t at = known->identity[2] + codes->layout->object.text_length + 8;
    if (bsk_process_read(codes->process, at, &known->name_hash, 8, NULL) < 0)
        known->name_hash = 0;
}

static int load(struct bsk_codes *codes, uint64_t address, struct bsk_known **out_known)
{
    const struct bsk_layout *layout = codes->layout;
    uint8_t header[HEADER_MAX_BYTES + 8];
    uint32_t size = header_bytes(layout);
    if (address == 0 || address % 8 != 0 ||
        bsk_process_read(codes->process, address, header, size, NULL) < 0)
        return BSK_E_TORN;
    struct bsk_known *known = calloc(1, sizeof(*known));
    if (!known)
        return BSK_E_MEMORY;
    identify(layout, header, known->identity);
    if (!identify_texts(codes, known->identity)) {
        free(known);
        return BSK_E_TORN;
    }
    known->address = address;
    known->code.first_line = (uint32_t)known->identity[5];
    if (known->code.first_line > INT32_MAX)
        known->code.first_line = 0;
    if (!is_code_type(codes, known->identity[0]))
        goto torn;
    if (layout->code.bytecode) {
        uint64_t bytes = known->identity[6] * 2;
        if (known->identity[6] == 0 || bytes > BYTECODE_MAX_BYTES)
            goto torn;
        known->bytecode_bytes = (uint32_t)bytes;
        known->frame_words = frame_words(layout, header);
        known->local_words = (uint32_t)word_at(header, layout->code.firstlineno + 4);
    }
    known->code.name = read_text(codes, known->identity[2], NAME_MAX_BYTES + 4);
    char *path = read_text(codes, known->identity[1], PATH_MAX_BYTES + 4);
    known->code.path = path ? absolute(codes, path) : NULL;
    known->code.qualname = layout->code.qualname
                               ? read_text(codes, known->identity[3], NAME_MAX_BYTES + 4)
                               : known->code.name;
    if (!known->code.name || !known->code.path || !known->code.qualname)
        goto torn;
    /* "_Py_InitCleanup": named __init__, in a file of that name, one and the same str. */
    known->is_shim = layout->minor >= 12 && known->identity[1] == known->identity[2] &&
                     strcmp(known->code.name, "__init__") == 0;
    (void)read_lines(codes, known); /* without them it has no lines, but still a name */

    bsk_codes_hash_name(codes, known);
    /* It must still be the one that the names were read for. */
    uint64_t identity[IDENTITY_WORDS];
    if (bsk_process_read(codes->process, address, header, size, NULL) < 0)
        goto torn;
    identify(layout, header, identity);
    if (!identify_texts(codes, identity) ||
        memcmp(identity, known->identity, sizeof(identity)) != 0)
        goto torn;
    known->fresh = true;
    codes->last_met_ns = bsk_now_ns();
    known->code.id = codes->next_id;
    if (!remember(codes, known)) {
        free_known(known);
        return BSK_E_MEMORY;
    }
    codes->next_id++;
    *out_known = known;
    return BSK_OK;
torn:
    free_known(known);
    return BSK_E_TORN;
}

int bsk_codes_get(struct bsk_codes *codes, uint64_t address, struct bsk_known **out_known)
{
    struct bsk_known *known = codes->slots[slot_of(codes, address)];
    if (!known)
        return load(codes, address, out_known);
    *out_known = known;
    return BSK_OK;
}

struct bsk_known *bsk_codes_peek(struct bsk_codes *codes, uint64_t address)
{
    return codes->slots[slot_of(codes, address)];
}

struct bsk_known *bsk_codes_by_id(struct bsk_codes *codes, uint32_t id)
{
    return id < codes->all_count ? codes->all[id] : NULL; /* ids are given out in this order */
}

size_t bsk_codes_count(const struct bsk_codes *codes)
{
    return codes->all_count;
}

/* One that stands for code that cannot be told. */
static struct bsk_known *placeholder(struct bsk_codes *codes, struct bsk_known **place,
                                     const char *name, const char *path)
{
    if (*place)
        return *place;
    struct bsk_known *known = calloc(1, sizeof(*known));
    if (!known)
        return NULL;
    known->code.id = codes->next_id;
    known->code.name = strdup(name);
    known->code.qualname = known->code.name;
    known->code.path = strdup(path);
    known->address = 1; /* where no code object is */
    if (!known->code.name || !known->code.path || !remember(codes, known)) {
        free_known(known);
        return NULL;
    }
    codes->next_id++;
    return *place = known;
}

struct bsk_known *bsk_codes_reused(struct bsk_codes *codes)
{
    return placeholder(codes, &codes->reused, "(reused code)", "<unknown>");
}

struct bsk_known *bsk_codes_unread(struct bsk_codes *codes)
{
    return placeholder(codes, &codes->unread, "(unread)", "");
}

bool bsk_codes_churn(const struct bsk_codes *codes, uint64_t at_ns)
{
    enum { LASTS_NS = 1000000000 };
    return codes->last_lost_ns != 0 && at_ns - codes->last_lost_ns < LASTS_NS;
}

/* Forgets the address, not the code: samples that named it keep naming it. */
static void disown(struct bsk_codes *codes, struct bsk_known *known)
{
    size_t at = slot_of(codes, known->address);
    known->gone = true;
    codes->last_lost_ns = bsk_now_ns();
    if (codes->slots[at] != known)
        return;
    codes->slots[at] = NULL;
    codes->used--;
    for (size_t next = (at + 1) & (codes->slot_count - 1); codes->slots[next];
         next = (next + 1) & (codes->slot_count - 1)) {
        struct bsk_known *moved = codes->slots[next];
        codes->slots[next] = NULL;
        codes->slots[slot_of(codes, moved->address)] = moved;
    }
}

static bool check_batch(struct bsk_codes *codes, struct bsk_known *const *known, size_t count)
{
    enum { PIECES_EACH = 3, TEXT_BYTES = TEXT_HEADER_MAX + TEXT_COMPARED };
    const struct bsk_layout *layout = codes->layout;
    uint32_t size = header_bytes(layout), each = layout->code.version ? 1 : PIECES_EACH;
    uint32_t stride = size + 2 * TEXT_BYTES;
    struct bsk_piece pieces[CHECK_BATCH * PIECES_EACH];
    uint8_t *bytes = malloc((size_t)stride * count);
    bool same = true;
    if (!bytes)
        return true;
    for (size_t i = 0; i < count; i++) {
        struct bsk_piece *piece = &pieces[i * each];
        const uint64_t *identity = known[i]->identity;
        uint8_t *dst = bytes + i * (size_t)stride;
        piece[0] = (struct bsk_piece){ known[i]->address, dst, size, false };
        if (each == 1)
            continue;
        piece[1] = text_piece(layout, identity[2], identity[IDENTITY_HEADER], dst + size);
        piece[2] =
            text_piece(layout, identity[1], identity[IDENTITY_HEADER + 2], dst + size + TEXT_BYTES);
    }
    if (bsk_process_read_pieces(codes->process, pieces, count * each, NULL) == BSK_OK) {
        for (size_t i = 0; i < count; i++) {
            const struct bsk_piece *piece = &pieces[i * each];
            uint64_t identity[IDENTITY_WORDS];
            bool ok = piece[0].ok && (each == 1 || (piece[1].ok && piece[2].ok));
            if (ok) {
                memcpy(identity, known[i]->identity, sizeof(identity));
                identify(layout, piece[0].dst, identity);
                for (uint32_t k = 1; k < each; k++)
                    identity[IDENTITY_HEADER + 2 * (k - 1) + 1] = digest(layout, &piece[k]);
            }
            if (ok && memcmp(identity, known[i]->identity, sizeof(identity)) == 0)
                continue;
            disown(codes, known[i]);
            same = false;
        }
    }
    free(bytes);
    return same;
}

bool bsk_codes_look(struct bsk_codes *codes, struct bsk_known *const *known, size_t count)
{
    bool same = true;
    for (size_t i = 0; i < count; i += CHECK_BATCH)
        same = check_batch(codes, known + i, count - i < CHECK_BATCH ? count - i : CHECK_BATCH) &&
               same;
    return same;
}

bool bsk_codes_check(struct bsk_codes *codes, struct bsk_known *const *known, size_t count,
                     uint64_t at_ns, uint64_t epoch)
{
    enum { WATCHED_NS = 1000000000 };
    struct bsk_known *due[CHECK_BATCH];
    size_t due_count = 0;
    bool same = true;
    bool watched = at_ns - codes->last_met_ns < WATCHED_NS || bsk_codes_churn(codes, at_ns);
    uint64_t believed_ns = watched ? 0 : BSK_CODES_BELIEVED_NS;
    for (size_t i = 0; i < count; i++) {
        bool believed = epoch != 0 ? known[i]->epoch == epoch
                                   : at_ns - known[i]->checked_ns < believed_ns ||
                                         known[i]->checked_ns == at_ns;
        if (believed || known[i]->gone || known[i]->address == 1)
            continue;
        known[i]->checked_ns = at_ns; /* once, however often it is on the stack */
        known[i]->epoch = epoch;
        due[due_count++] = known[i];
        if (due_count == CHECK_BATCH) {
            same = check_batch(codes, due, due_count) && same;
            due_count = 0;
        }
    }
    if (due_count > 0)
        same = check_batch(codes, due, due_count) && same;
    return same;
}

/* Free-threaded 3.14 and later: each thread may run its own copy of the bytecode. Copies of threads
 * that have ended are thrown away, and made again elsewhere: `again` forgets what was known. */
static uint64_t bytecode_copy(struct bsk_codes *codes, struct bsk_known *known, int32_t index,
                              bool again)
{
    enum { COPIES = sizeof(known->copies) / sizeof(known->copies[0]) };
    uint64_t array, count, start;
    if (index <= 0)
        return 0;
    uint32_t at = (uint32_t)index % COPIES;
    if (known->copies[at].index == index && !again)
        return known->copies[at].bytecode;
    if (bsk_process_read(codes->process, known->address + codes->layout->code.tlbc, &array,
                         sizeof(array), NULL) < 0 ||
        bsk_process_read(codes->process, array, &count, sizeof(count), NULL) < 0 ||
        (uint64_t)index >= count ||
        bsk_process_read(codes->process, array + 8 + 8 * (uint64_t)index, &start, sizeof(start),
                         NULL) < 0)
        return 0;
    known->copies[at].index = index;
    known->copies[at].bytecode = start;
    return start;
}

/* Where in the bytecode that begins at `start` the place is, in bytes; false: it is not in it. */
static bool offset_in(const struct bsk_known *known, uint64_t place, uint64_t start, int64_t *out)
{
    *out = (int64_t)(place - start);
    return *out >= -2 && *out < (int64_t)known->bytecode_bytes && *out % 2 == 0;
}

bool bsk_codes_place(struct bsk_codes *codes, struct bsk_known *known, uint64_t lasti,
                     int32_t tlbc_index, struct bsk_line_step *out_step)
{
    const struct bsk_layout *layout = codes->layout;
    int64_t offset;
    if (known->has_last && known->last_lasti == lasti && known->last_index == tlbc_index) {
        *out_step = known->last_step;
        return true;
    }
    if (layout->frame_form == BSK_FRAME_OBJECTS) {
        offset = (int64_t)(int32_t)lasti * layout->lasti_unit;
    } else if (layout->code.tlbc && tlbc_index != 0) {
        if (!offset_in(known, lasti, bytecode_copy(codes, known, tlbc_index, false), &offset) &&
            !offset_in(known, lasti, bytecode_copy(codes, known, tlbc_index, true), &offset))
            return false;
    } else if (!offset_in(known, lasti, known->address + layout->code.bytecode, &offset)) {
        return false;
    }
    const struct bsk_line_step *step = bsk_lines_step(known->steps, known->step_count, offset);
    struct bsk_line_step place = { .line = known->code.first_line,
                                   .end_line = known->code.first_line };
    if (step && step->line) {
        place = *step;
    } else if (step) {
        /* Instructions of no line (a function's prologue, the end of a handler) go with what came
         * before them: that is where a reader would look. */
        while (step > known->steps && step->line == 0)
            step--;
        if (step->line)
            place = (struct bsk_line_step){ .line = step->line, .end_line = step->line };
    }
    known->last_step = place;
    known->last_lasti = lasti;
    known->last_index = tlbc_index;
    known->has_last = true;
    *out_step = place;
    return true;
}

bool bsk_codes_line(struct bsk_codes *codes, struct bsk_known *known, uint64_t lasti,
                    int32_t tlbc_index, uint32_t *out_line)
{
    struct bsk_line_step step;
    if (!bsk_codes_place(codes, known, lasti, tlbc_index, &step))
        return false;
    *out_line = step.line;
    return true;
}
