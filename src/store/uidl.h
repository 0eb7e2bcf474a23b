/*
 * store/uidl.h - the unique-id that a message's record gives it.
 *
 * Layer: store; private to the room.
 */
#ifndef STORE_UIDL_H
#define STORE_UIDL_H

#include "store/maildrop.h"

enum { UIDL_MADE = 24 };

/* `again`: the UID of an entry that shares it with an earlier one; 0: it does not.  The result lies in `out`. */
struct slice uidl_make(uint64_t ref, int64_t internal_date, uint32_t again, char out[UIDL_MAX + 1]);

#endif
