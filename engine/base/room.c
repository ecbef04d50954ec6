#include "engine/base/room.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool bsk_room_for_one(void *array, size_t count, size_t *capacity, size_t item_bytes)
{
    enum { FIRST = 32 };
    void *items;
    if (count < *capacity)
        return true;
    size_t bigger = *capacity ? *capacity * 2 : FIRST;
    if (bigger > SIZE_MAX / 2 / item_bytes)
        return false;
    memcpy(&items, array, sizeof(items)); /* whatever it points to */
    items = realloc(items, bigger * item_bytes);
    if (!items)
        return false;
    memcpy(array, &items, sizeof(items));
    *capacity = bigger;
    return true;
}
