/*
 * store/sort_order.h - numbers put in order, in linear time.
 *
 * Layer: store; private to sort*.c and thread*.c.
 */
#ifndef STORE_SORT_ORDER_H
#define STORE_SORT_ORDER_H

#include <stddef.h>
#include <stdint.h>

struct sort_item {
    uint64_t key;
    uint32_t index;
};

/*
 * By key; equal ones stay as they stand.  A radix sort: as many passes as the keys' range has
 * digits of eleven bits.  `spare` is as long as `items`.
 */
void sort_items(struct sort_item *items, struct sort_item *spare, size_t count);

/* Signed numbers keep their order as keys. */
static inline uint64_t sort_key_signed(int64_t n)
{
    return (uint64_t)n ^ UINT64_C(0x8000000000000000);
}

#endif
