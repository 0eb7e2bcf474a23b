/*
 * store/maildrop.h - a mailbox as POP3 sees it: sizes as they are sent, and unique-ids.
 *
 * Layer: store.  A message's unique-id (RFC 1939 section 7) is the one it brought along
 * from another server, or is made of its record's reference and internal date: 24
 * hexadecimal digits that neither renaming, moving, copying nor rebuilding changes.  Where
 * one mailbox has the same unique-id twice (a copy within it, or two messages that brought
 * the same one along), the later entry's is the made one with a dot and its UID behind.
 *
 * Only for INBOX, which is the maildrop, is that kept distinct.
 */
#ifndef STORE_MAILDROP_H
#define STORE_MAILDROP_H

#include "store/store.h"

enum { UIDL_MAX = 70 };

/* One to 70 octets from "!" to "~" (RFC 1939 section 7).  What is not valid, is not kept. */
bool uidl_is_valid(struct slice uidl);

struct maildrop_message {
    uint32_t uid;
    uint64_t message_id, ref;
    uint64_t size;   /* as it is kept, prefix included */
    uint64_t octets; /* with every line ending in CRLF, the last one too, as POP3 sends it (RFC 1939 section 11) */
    struct slice uidl, prefix; /* valid during the callback */
};

struct view;

/* The mailbox as it is now, and the octets of all its messages as POP3 sends them. */
bool store_maildrop_open(struct account *a, uint64_t mailbox_id, struct view **out, uint64_t *octets, struct fail *why);

/*
 * Calls `each` for the mailbox's messages with UIDs from `first` to `last`, in ascending order: those that are
 * there, and those that were and whose bodies are still kept.  Stops when it says false.  No lock is held meanwhile.
 */
bool store_maildrop_read(struct account *a, uint64_t mailbox_id, uint32_t first, uint32_t last,
                   bool (*each)(void *ctx, const struct maildrop_message *m), void *ctx, struct fail *why);

#endif
