/*
 * imap/qresync.h - what a client missed while it was away.
 *
 * Layer: imap; inside the room only.  RFC 7162 sections 3.2.5 and 3.2.6.
 */
#ifndef IMAP_QRESYNC_H
#define IMAP_QRESYNC_H

#include "imap/session.h"

/* The QRESYNC parameter of SELECT and EXAMINE. */
struct imap_qresync {
    bool            given;
    uint32_t        uidvalidity;
    uint64_t        modseq;
    struct imap_set known;                       /* count 0: all UIDs there have been */
    struct imap_set match_numbers, match_uids;   /* message sequence match data; count 0: none */
};

/* qresync-param after its name, from the space on. */
void imap_read_qresync(struct imap_reader *r, struct imap_qresync *q);

/* After the mailbox was opened and told: what changed since.  Answers `ok` in the end, now or in a step. */
void imap_resynchronise(struct imap_session *s, const struct imap_qresync *q, const char *ok);

/*
 * "* VANISHED (EARLIER) ..." for those of `uids` that are not in the session's view and went after
 * `since`, or whenever, where that is no longer known.  false: it has been answered.
 */
bool imap_tell_vanished(struct imap_session *s, struct imap_set uids, uint64_t since);

/* Writes "* VANISHED 1:3,7" in lines of some 8 KB (RFC 7162 section 4); begin with all zero but `s`, end with finish. */
struct imap_vanished {
    struct imap_session   *s;
    bool                   earlier;
    size_t                 began; /* where in the output the present line does */
    struct imap_set_writer w;
};
void imap_vanished_add(struct imap_vanished *v, uint32_t first, uint32_t last);
void imap_vanished_finish(struct imap_vanished *v);

#endif
