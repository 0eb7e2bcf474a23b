/*
 * transfer/from_line.h - the line that begins a message in an mbox: "From ann@example.org Sun Nov 22 10:51:07 2026".
 *
 * Layer: transfer.  RFC 4155 appendix A names one shape; mailers wrote many.
 */
#ifndef TRANSFER_FROM_LINE_H
#define TRANSFER_FROM_LINE_H

#include "base/buf.h"

enum { FROM_LINE_MAX = 1000 }; /* longer ones are text that happens to begin so */

struct from_line {
    struct slice sender; /* as written; may be empty */
    int64_t      date;   /* seconds since 1970; without a zone it is UTC (RFC 4155) */
    int          zone;   /* minutes east of UTC */
};

/*
 * `line` with or without its end.  Reads the C library's form with and without seconds, the zone before or behind
 * the year, as a number or a name, "remote from HOST" behind it, and the date of RFC 5322; the sender may
 * hold blanks or be missing.  false: no such line.
 */
bool from_line_read(struct slice line, struct from_line *out);

/* Ends in LF.  A sender that is empty or holds blanks becomes MAILER-DAEMON; the zone is written unless it is UTC. */
void from_line_write(struct buf *out, struct slice sender, int64_t date, int zone);

#endif
