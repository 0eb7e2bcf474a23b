/*
 * smtp/data.c - where does a message end, and is it clean?
 *
 * Layer: smtp.  Whole runs of lines are handed on in one piece; memchr does the
 * looking.  A run is cut where bytes must go or come: at a leading dot, at a bare
 * LF to be mended, at a CR with which the input ends, and at the end of the header.
 */
#include "smtp/data.h"

static const struct slice received_name = {"received:", 9};
enum { NO_MATCH = 255 };

static void line_begins(struct data_scanner *s, bool after_crlf)
{
    s->state = DATA_LINE_START;
    s->after_crlf = after_crlf;
    s->line_empty = true;
    s->matched = 0;
}

void data_scanner_init(struct data_scanner *s, bool dots, bool mend_lf)
{
    *s = (struct data_scanner){.dots = dots, .mend_lf = mend_lf, .in_header = true};
    line_begins(s, true); /* the CRLF of the DATA command */
}

/* Some text of a line in the header: is it a trace field? */
static void note_header_text(struct data_scanner *s, struct slice text)
{
    for (size_t i = 0; i < text.len && s->matched < received_name.len; i++) {
        if (ascii_lower(text.ptr[i]) != received_name.ptr[s->matched])
            s->matched = NO_MATCH;
        else if (++s->matched == received_name.len)
            s->received_fields++;
    }
}

/* Text between two line ends, or a part of it. */
static void note_text(struct data_scanner *s, struct slice text)
{
    if (text.len == 0)
        return;
    s->line_empty = false;
    s->state = DATA_IN_LINE;
    if (memchr(text.ptr, '\r', text.len) != NULL)
        s->bare_cr = true;
    if (s->in_header)
        note_header_text(s, text);
}

static void line_ends(struct data_scanner *s, bool crlf)
{
    if (!crlf && !s->mend_lf)
        s->bare_lf = true;
    if (s->line_empty)
        s->in_header = false;
    line_begins(s, crlf);
}

/*
 * Lines from the start of `in`; gives how far it came.  Stops before a dot that
 * begins a line, an LF to be mended, a CR that ends the input; after the header.
 */
static size_t scan_run(struct data_scanner *s, struct slice in)
{
    const char *at = in.ptr, *end = in.ptr + in.len;
    const bool began_in_header = s->in_header;

    while (at < end && s->in_header == began_in_header) {
        if (s->state == DATA_LINE_START && s->dots && *at == '.')
            break;
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf != NULL ? lf : end;
        const bool cr = stop > at && stop[-1] == '\r';

        note_text(s, slice_make(at, (size_t)(stop - at) - cr));
        if (lf == NULL || (!cr && s->mend_lf)) {
            at = lf == NULL ? stop - cr : lf;
            break;
        }
        line_ends(s, cr);
        at = lf + 1;
    }
    return (size_t)(at - in.ptr);
}

/* The one byte at which scan_run stopped. */
static void scan_stop(struct data_scanner *s, char c, struct slice *piece)
{
    if (c == '\n') {
        *piece = SLICE("\r\n");
        line_ends(s, false);
    } else {
        s->state = c == '.' ? DATA_DOT : DATA_CR;
    }
}

/* A line of one dot that is not the end of the message: the dot stays. */
static struct slice lone_dot(struct data_scanner *s)
{
    note_text(s, SLICE("."));
    return SLICE(".");
}

/* `c` follows what was held back; is it taken too? */
static bool scan_held(struct data_scanner *s, char c, struct slice *piece)
{
    switch (s->state) {
    case DATA_DOT:
        if (c == '\r') {
            s->state = DATA_DOT_CR;
            return true;
        }
        if (c == '\n')
            *piece = lone_dot(s);
        s->state = DATA_IN_LINE;
        return false;
    case DATA_DOT_CR:
        if (c == '\n' && s->after_crlf) {
            s->done = true;
            return true;
        }
        if (c == '\n')
            *piece = lone_dot(s);
        s->state = DATA_CR;
        return false;
    case DATA_CR:
        if (c == '\n') {
            *piece = SLICE("\r\n");
            line_ends(s, true);
            return true;
        }
        *piece = SLICE("\r");
        note_text(s, *piece);
        return false;
    case DATA_LINE_START:
    case DATA_IN_LINE: break; /* nothing is held */
    }
    return false;
}

static size_t scan_some(struct data_scanner *s, struct slice in, struct slice *piece)
{
    while (s->state == DATA_CR || s->state == DATA_DOT || s->state == DATA_DOT_CR) {
        bool taken = scan_held(s, in.ptr[0], piece);
        if (taken || piece->len > 0)
            return taken;
    }
    size_t run = scan_run(s, in);
    if (run == 0) {
        scan_stop(s, in.ptr[0], piece);
        return 1;
    }
    *piece = slice_make(in.ptr, run);
    if (memchr(in.ptr, '\0', run) != NULL)
        s->nul = true;
    return run;
}

size_t data_scan(struct data_scanner *s, struct slice in, struct slice *piece)
{
    const bool in_header = s->in_header;

    *piece = (struct slice){NULL, 0};
    size_t taken = scan_some(s, in, piece);
    s->size += piece->len;
    if (in_header)
        s->header_bytes += piece->len;
    return taken;
}

struct slice data_scan_finish(struct data_scanner *s)
{
    if (s->state != DATA_CR)
        return (struct slice){NULL, 0};
    s->bare_cr = true;
    s->state = DATA_IN_LINE;
    s->size++;
    return SLICE("\r");
}
