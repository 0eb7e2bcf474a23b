/*
 * imap/copy.h - COPY and MOVE, between their files.
 *
 * Layer: imap; inside the room only.
 */
#ifndef IMAP_COPY_H
#define IMAP_COPY_H

#include "imap/target.h"

/* OK, with COPYUID if `rights` in the destination let the user know of its UIDs. */
void imap_answer_copied(struct imap_session *s, const struct copy_result *result, bool move, unsigned rights);
/* Copies by appending; a step of the command's. */
void imap_copy_across(struct imap_session *s, const struct imap_target *target, const struct imap_spans *spans,
                      bool move);

#endif
