/*
 * imap/metadata.h - annotations of mailboxes and of the server.
 *
 * Layer: imap; inside the room only.  RFC 5464; RFC 9590 for LIST; RFC 5465
 * section 5 for NOTIFY.
 */
#ifndef IMAP_METADATA_H
#define IMAP_METADATA_H

#include "imap/session.h"
#include "store/annotation.h"

/* Names of annotations as the client wrote them: "/shared/comment". */
struct imap_entries {
    struct slice *names;
    size_t        count;
};
/* One, or some in parentheses. */
struct imap_entries imap_read_entries(struct imap_reader *r);

/* SETMETADATA's, in the arena: names as the client wrote them, no users yet. */
struct annotation *imap_read_entry_values(struct imap_reader *r, size_t *count);

/* What GETMETADATA and LIST RETURN (METADATA ...) are asked for. */
struct imap_metadata {
    struct imap_entries entries;
    unsigned depth;      /* 0, 1, UINT_MAX */
    uint64_t most_bytes; /* values with more are left out */
    uint64_t longest;    /* out: of those, or 0 */
};
/*
 * "* METADATA name (...)": `mailbox` NULL means the server.  `name` is the client's.  Nothing is
 * written when there is nothing to say.
 */
bool imap_write_metadata(struct imap_session *s, struct account *a, const struct mailbox_info *mailbox,
                         struct slice name, struct imap_metadata *m, struct fail *why);

/* From now on what others change is told (ENABLE METADATA, section 4.4.2). */
void imap_metadata_begin(struct imap_session *s);
/* "* METADATA name /shared/comment ...": what others have changed since; of the server and of the selected mailbox. */
void imap_metadata_tell(struct imap_session *s);
/*
 * The same for any mailbox (id 0: the server): what was changed after modseq *told, which moves on.
 */
bool imap_metadata_tell_of(struct imap_session *s, struct account *a, uint64_t mailbox_id, struct slice name,
                           uint64_t *told, struct fail *why);

#endif
