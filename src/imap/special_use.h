/*
 * imap/special_use.h - names of special uses (RFC 6154 section 2).
 *
 * Layer: imap; inside the room only.
 */
#ifndef IMAP_SPECIAL_USE_H
#define IMAP_SPECIAL_USE_H

#include "store/store.h"

/* "\Sent"; NULL for USE_NONE. */
const char *imap_special_use_name(enum special_use use);

/* "\Sent" as one writes it, "" for none; false: no use that a mailbox here can have, or several. */
bool imap_special_use_read(struct slice text, enum special_use *out);

#endif
