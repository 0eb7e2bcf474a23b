/*
 * imap/lasting.h - what few sessions have and outlives their commands.
 *
 * Layer: imap; inside the room only.  Kept apart so that a session that never
 * used any of it pays one pointer.  Each part belongs to its own file, which
 * brings a function that frees it (fine on NULL) for lasting.c to call.
 */
#ifndef IMAP_LASTING_H
#define IMAP_LASTING_H

#include "base/collation.h"
#include "imap/session.h"

struct imap_notify;

struct imap_lasting {
    enum collation collation; /* comparator.c */
    struct imap_notify *notify; /* NULL before the first NOTIFY (notify.c) */
    struct uid_set saved; /* "$" (saved.c) */
    struct imap_others *others; /* accounts whose mailboxes were reached (target.c) */
    struct imap_contexts *contexts; /* searches that are updated (context.c); NULL: none */
    /* metadata.c: what of it was told, by modseq */
    uint64_t server_metadata_told, mailbox_metadata_told;
    uint64_t metadata_mailbox; /* the selected one, once it was looked at */
    uint32_t limited_uid; /* the running command left messages below it alone (limit.c); 0: none */
    int64_t progress_ms; /* when the running command last told of itself, or was first asked (session.c); 0: never */
};

/* This session's, made when it has none. */
struct imap_lasting *imap_lasting(struct imap_session *s);
/* What is about the selected mailbox goes with it. */
void imap_lasting_deselect(struct imap_session *s);
/* The session ends, or its user changes (RFC 8437): all goes. */
void imap_lasting_end(struct imap_session *s);

#endif
