/*
 * message/address.h - RFC 5322 address lists, as IMAP's ENVELOPE wants them.
 *
 * Layer: message.
 */
#ifndef MESSAGE_ADDRESS_H
#define MESSAGE_ADDRESS_H

#include "base/arena.h"

/* A mailbox; or a group's start (`mailbox` is its name) or end (nothing else set). */
struct address {
    struct slice name;    /* display name or comment, quotes and escapes taken off; may hold encoded words */
    struct slice route;   /* obsolete source route; usually empty */
    struct slice mailbox; /* local part, quotes taken off */
    struct slice host;    /* domain */
    bool is_group_start, is_group_end;
};

/*
 * Never fails: what cannot be read as an address is left out; a name without one
 * has an empty mailbox and host, a lone word is a mailbox without a host.  At most
 * `max` entries; a group that is cut is closed.
 */
size_t address_list_parse(struct arena *a, struct slice body, size_t max, struct address **out);

#endif
