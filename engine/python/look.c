#include "engine/python/look.h"

#include <stdlib.h>
#include <string.h>

bool bsk_look_begin(struct bsk_look *look, struct bsk_process *process,
                    const struct bsk_layout *layout)
{
    *look = (struct bsk_look){ .process = process, .layout = layout };
    look->bytes = malloc((size_t)LOOK_PAGES * LOOK_PAGE_BYTES);
    return look->bytes != NULL;
}

void bsk_look_end(struct bsk_look *look)
{
    free(look->bytes);
    look->bytes = NULL;
}

void bsk_look_again(struct bsk_look *look)
{
    memset(look->pages, 0, sizeof(look->pages));
}

static const uint8_t *page_of(struct bsk_look *look, uint64_t number)
{
    size_t at = (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 32) % LOOK_PAGES;
    uint8_t *bytes = look->bytes + at * LOOK_PAGE_BYTES;
    if (look->pages[at].number != number) {
        look->pages[at].number = number;
        look->pages[at].readable =
            number != 0 && bsk_process_read(look->process, number * LOOK_PAGE_BYTES, bytes,
                                            LOOK_PAGE_BYTES, NULL) == BSK_OK;
    }
    return look->pages[at].readable ? bytes : NULL;
}

bool bsk_look_bytes(struct bsk_look *look, uint64_t address, void *dst, size_t size)
{
    if (address > INT64_MAX - size)
        return false;
    for (size_t done = 0; done < size;) {
        uint64_t at = address + done;
        size_t within = (size_t)(at % LOOK_PAGE_BYTES), part = LOOK_PAGE_BYTES - within;
        const uint8_t *page = page_of(look, at / LOOK_PAGE_BYTES);
        if (!page)
            return false;
        part = part < size - done ? part : size - done;
        memcpy((char *)dst + done, page + within, part);
        done += part;
    }
    return true;
}

uint64_t bsk_look_word(struct bsk_look *look, uint64_t address)
{
    uint64_t value = 0;
    return bsk_look_bytes(look, address, &value, sizeof(value)) ? value : 0;
}

int32_t bsk_look_int(struct bsk_look *look, uint64_t address)
{
    int32_t value = 0;
    return bsk_look_bytes(look, address, &value, sizeof(value)) ? value : 0;
}

static bool is_place(uint64_t address)
{
    return address >= LOOK_PAGE_BYTES && address % 8 == 0;
}

uint64_t bsk_look_type(struct bsk_look *look, uint64_t object)
{
    uint32_t type_at = look->layout->object.type;
    if (!is_place(object))
        return 0;
    uint64_t type = bsk_look_word(look, object + type_at);
    /* An empty list points to itself too. */
    uint64_t meta = is_place(type) && type != object ? bsk_look_word(look, type + type_at) : 0;
    /* A metaclass of the program's own has `type` for its type, so two steps up are enough. */
    for (int up = 0; up < 2 && is_place(meta); up++) {
        uint64_t above = bsk_look_word(look, meta + type_at);
        if (above == meta)
            return type;
        meta = above;
    }
    return 0;
}

bool bsk_look_is(struct bsk_look *look, uint64_t object, const char *type_name)
{
    char name[16];
    size_t size = strlen(type_name) + 1;
    uint64_t type = bsk_look_type(look, object);
    return type != 0 && size <= sizeof(name) &&
           bsk_look_bytes(look, bsk_look_word(look, type + look->layout->object.type_name), name,
                          size) &&
           memcmp(name, type_name, size) == 0;
}

uint64_t bsk_look_basic_size(struct bsk_look *look, uint64_t object)
{
    uint64_t type = bsk_look_type(look, object);
    return type ? bsk_look_word(look, type + look->layout->object.type_name + 8) : 0;
}
