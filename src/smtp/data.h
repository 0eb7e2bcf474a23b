/*
 * smtp/data.h - where does a message end, and is it clean?
 *
 * Layer: smtp.  The bytes after DATA or BDAT, scanned as they come: a state
 * machine whose answers do not depend on how the input is split.  Knows nothing
 * of sessions, so that it can be fuzzed alone.
 *
 * DATA: lines end in CRLF and in nothing else, only CRLF.CRLF ends the message
 * (RFC 5321 sections 2.3.8 and 4.1.1.4), dots doubled by the sender are undone
 * (section 4.5.2).  A bare CR or LF never ends anything; it is noted, and the
 * session refuses the message at its real end, so that two servers cannot
 * disagree about where that is.
 *
 * BDAT: the chunk sizes say where it ends (RFC 3030); no dots.
 */
#ifndef SMTP_DATA_H
#define SMTP_DATA_H

#include "base/slice.h"

enum data_state {
    DATA_LINE_START,
    DATA_IN_LINE,
    DATA_CR,     /* held back: a CR */
    DATA_DOT,    /* held back: a dot that begins a line */
    DATA_DOT_CR, /* held back: such a dot and a CR */
};

struct data_scanner {
    bool dots;    /* DATA: a final dot ends it; false for BDAT */
    bool mend_lf; /* a bare LF becomes CRLF and is no fault */

    bool done;                  /* the final dot's line has been read */
    bool bare_cr, bare_lf, nul; /* faults seen so far */
    bool in_header;             /* true until the first empty line is over */
    uint64_t size;              /* bytes given out */
    uint64_t header_bytes;      /* of them, in the header */
    unsigned received_fields;   /* "Received:" in the header */

    enum data_state state;
    bool after_crlf; /* this line began after CRLF: only such a line can be the final dot */
    bool line_empty;
    unsigned matched; /* letters of "received:" that this line has shown */
};

void data_scanner_init(struct data_scanner *s, bool dots, bool mend_lf);

/*
 * Takes some of `in` (not empty, scanner not done) and says how many bytes; *piece
 * is what they add to the message: a part of `in`, a constant, or nothing.  Call
 * again with the rest.  Takes nothing only when it gives something.  A piece never
 * reaches over the end of the header.  Once `done`, what was not taken is no part
 * of the message.
 */
size_t data_scan(struct data_scanner *s, struct slice in, struct slice *piece);

/* After the last chunk of BDAT: what was held back. */
struct slice data_scan_finish(struct data_scanner *s);

#endif
