/*
 * queue/dsn_text.h - the words of a notification, for people.
 *
 * Layer: queue, private to dsn*.c.
 */
#ifndef QUEUE_DSN_TEXT_H
#define QUEUE_DSN_TEXT_H

#include "queue/dsn.h"

enum { STATUS_TEXT_MAX = 12 };

/* The enhanced status code that a recipient's part of the notification carries, NUL-terminated; never empty. */
void dsn_status(const struct dsn_recipient *r, char out[STATUS_TEXT_MAX]);

/*
 * `text` without line ends and control characters, blanks made one; `utf8`: valid UTF-8 stays, else each
 * character above ASCII becomes "?".  At most `max` bytes of it.
 */
void dsn_add_clean(struct buf *out, struct slice text, bool utf8, size_t max);

/* Clean words, `first` in front of the first line and `rest` of further ones; no line is much wider than 76 columns. */
void dsn_add_wrapped(struct buf *out, const char *first, const char *rest, struct slice words);

/* The first part of the report.  `subject`: the original's, decoded, may be empty; `whole`: it is enclosed whole. */
void dsn_write_text(struct buf *out, const struct dsn_request *r, struct slice subject, bool whole);

/* The line behind "Subject:", ASCII. */
void dsn_write_subject(struct buf *out, const struct dsn_request *r, struct slice subject);

#endif
