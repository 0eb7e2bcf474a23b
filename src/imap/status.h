/*
 * imap/status.h - STATUS items, as STATUS and LIST RETURN (STATUS ...) use them.
 *
 * Layer: imap; inside the room only.
 */
#ifndef IMAP_STATUS_H
#define IMAP_STATUS_H

#include "imap/session.h"

enum status_item {
    STATUS_MESSAGES = 1,
    STATUS_RECENT = 2,
    STATUS_UIDNEXT = 4,
    STATUS_UIDVALIDITY = 8,
    STATUS_UNSEEN = 16,
    STATUS_HIGHESTMODSEQ = 32,
    STATUS_SIZE = 64,
    STATUS_APPENDLIMIT = 128,
    STATUS_DELETED = 256,
    STATUS_MAILBOXID = 512,
    STATUS_DELETED_STORAGE = 1024, /* RFC 9208 section 4.1.4 */
};

/* status_item bits. */
unsigned imap_read_status_items(struct imap_reader *r);
/* "* STATUS name (...)"; false with *why if the mailbox cannot be read now. */
bool imap_write_status(struct imap_session *s, struct account *a, const struct mailbox_info *info,
                       unsigned items, struct fail *why);

#endif
