#include "engine/python/codes_inside.h"

#include "engine/base/clock.h"
#include "engine/base/room.h"
#include "engine/python/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NAME_MAX_BYTES = 512, /* longest name kept; longer ones are cut and end in "..." */
    PATH_MAX_BYTES = BSK_CODES_PATH_BYTES,
    TABLE_MAX_BYTES = 8 << 20, /* a line table: generated files of a million lines exist */
    BYTECODE_MAX_BYTES = 1 << 28,
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
    bsk_process_tell_cwd(process, codes->cwd, sizeof(codes->cwd));
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
    if (!bsk_room_for_one(&codes->all, codes->all_count, &codes->all_capacity, sizeof(*codes->all)))
        return false;
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
    uint64_t length = bsk_word_at(header, layout->object.text_length);
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

static bool has_file(const struct bsk_codes *codes, const char *folder, const char *tail)
{
    char path[2 * PATH_MAX_BYTES], here[2 * PATH_MAX_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", folder, tail);
    bsk_process_place(codes->process, path, here, sizeof(here));
    return access(here, F_OK) == 0;
}

/* The folder that a relative file name is of: the working directory, unless the file is not there
 * but where the program was started, as is so after a chdir(). */
static const char *folder_of(struct bsk_codes *codes, const char *tail)
{
    char first[PATH_MAX_BYTES];
    if (has_file(codes, codes->cwd, tail))
        return codes->cwd;
    bsk_process_tell_first_cwd(codes->process, first, sizeof(first));
    if (first[0] == '\0' || !has_file(codes, first, tail))
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
    uint64_t size = bsk_word_at(header, layout->object.bytes_size);
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
    return words >= layout->frame.size / 8 && words < WORDS_MAX ? (uint32_t)words : 0;
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
    uint32_t size = bsk_codes_header_bytes(layout);
    if (address == 0 || address % 8 != 0 ||
        bsk_process_read(codes->process, address, header, size, NULL) < 0)
        return BSK_E_TORN;
    struct bsk_known *known = calloc(1, sizeof(*known));
    if (!known)
        return BSK_E_MEMORY;
    bsk_codes_identify(layout, header, known->identity);
    if (!bsk_codes_identify_texts(codes, known->identity)) {
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
        known->local_words = (uint32_t)bsk_word_at(header, layout->code.firstlineno + 4);
    }
    known->code.name = read_text(codes, known->identity[2], NAME_MAX_BYTES + 4);
    char *path = read_text(codes, known->identity[1], PATH_MAX_BYTES + 4);
    known->code.path = path ? absolute(codes, path) : NULL;
    known->code.qualname = layout->code.qualname
                               ? read_text(codes, known->identity[3], NAME_MAX_BYTES + 4)
                               : known->code.name;
    if (!known->code.name || !known->code.path || !known->code.qualname)
        goto torn;
    /* "_Py_InitCleanup": named __init__, in a file of that name, one and the same str. The other is
     * that of 3.12's entry frames. */
    known->is_shim =
        layout->minor >= 12 &&
        ((known->identity[1] == known->identity[2] && strcmp(known->code.name, "__init__") == 0) ||
         (strcmp(known->code.name, "<interpreter trampoline>") == 0 &&
          strcmp(known->code.path, "<shim>") == 0));
    (void)read_lines(codes, known); /* without them it has no lines, but still a name */

    bsk_codes_hash_name(codes, known);
    /* It must still be the one that the names were read for. */
    uint64_t identity[IDENTITY_WORDS];
    if (bsk_process_read(codes->process, address, header, size, NULL) < 0)
        goto torn;
    bsk_codes_identify(layout, header, identity);
    if (!bsk_codes_identify_texts(codes, identity) ||
        memcmp(identity, known->identity, sizeof(identity)) != 0)
        goto torn;
    known->fresh = true;
    bsk_codes_met(codes, known);
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
    struct bsk_known *known = bsk_codes_peek(codes, address);
    if (!known)
        return load(codes, address, out_known);
    *out_known = known;
    return BSK_OK;
}

struct bsk_known *bsk_codes_peek(struct bsk_codes *codes, uint64_t address)
{
    /* The placeholders' address may well be a word of what lies where a frame was. */
    return address % 8 == 0 ? codes->slots[slot_of(codes, address)] : NULL;
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

/* Forgets the address, not the code: samples that named it keep naming it. */
void bsk_codes_disown(struct bsk_codes *codes, struct bsk_known *known)
{
    size_t at = slot_of(codes, known->address);
    known->gone = true;
    bsk_codes_lost(codes);
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
