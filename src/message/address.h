/*
 * message/address.h - RFC 5322 address lists, as IMAP's ENVELOPE wants them.
 *
 * Layer: message.
 */
#ifndef MESSAGE_ADDRESS_H
#define MESSAGE_ADDRESS_H

#include "base/arena.h"

/* A mailbox, or a group's start (host NULL-like: has_host false, mailbox the name) or end (nothing set). */
struct address {
    struct slice name;    /* display name or comment as written, quotes and escapes taken off; may hold encoded words */
    struct slice route;   /* obsolete source route; usually empty */
    struct slice mailbox; /* local part, quotes taken off */
    struct slice host;    /* domain */
    bool         is_group_start, is_group_end;
};

/* Never fails: what cannot be read as an address is left out.  At most `max` entries. */
size_t address_list_parse(struct arena *a, struct slice body, size_t max, struct address **out);

#endif
