/* Arrays that grow as they fill. */
#ifndef BSK_BASE_ROOM_H
#define BSK_BASE_ROOM_H

#include <stdbool.h>
#include <stddef.h>

/* Makes room for one more than `count` items of `item_bytes` in the array that `*array` points to
 * (`array` is the address of that pointer; NULL is an empty array). It may move; capacity doubles,
 * from 32. False when out of memory: then nothing has changed. */
bool bsk_room_for_one(void *array, size_t count, size_t *capacity, size_t item_bytes);

#endif
