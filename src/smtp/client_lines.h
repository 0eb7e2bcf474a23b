/*
 * smtp/client_lines.h - a message's bytes as they go over the wire.
 *
 * Layer: smtp, private to the client.  Lines end in CRLF and in nothing else (RFC 5321 section 2.3.8): a bare CR or LF
 * becomes one, whatever stands on either side of a buffer's edge, and the last line has its end.  With `dots` a line that
 * begins with a dot gets another (section 4.5.2).
 */
#ifndef SMTP_CLIENT_LINES_H
#define SMTP_CLIENT_LINES_H

#include "base/buf.h"

struct line_writer {
    bool dots;
    bool in_line; /* something of the present line was written */
    bool cr;      /* held back: a CR */
};

void line_writer_init(struct line_writer *w, bool dots);
void line_writer_feed(struct line_writer *w, struct slice in, struct buf *out);
/* The end of the last line, and with `dots` the final dot. */
void line_writer_finish(struct line_writer *w, struct buf *out);

#endif
