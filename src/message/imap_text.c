/*
 * message/imap_text.c - strings as IMAP writes them.
 *
 * Layer: message.
 */
#include "message/imap_text.h"

#include "base/unicode.h"

enum { PLAIN, ESCAPED, LITERAL };

/* What each byte asks of the string it stands in. */
static int form_of(struct slice s)
{
    int form = PLAIN;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c >= 0x80 || c == '\r' || c == '\n')
            return LITERAL;
        if (c == '"' || c == '\\' || c == '\0')
            form = ESCAPED;
    }
    return form;
}

/* literal = "{" number "}" CRLF *CHAR8 */
static void add_literal(struct buf *out, struct slice s)
{
    buf_addf(out, "{%zu}\r\n", s.len);
    for (struct slice rest = s; rest.len > 0;) {
        size_t nul = slice_find_char(rest, '\0');

        buf_add(out, slice_sub(rest, 0, nul));
        if (nul < rest.len)
            buf_add_char(out, '?');
        rest = slice_from(rest, nul + 1);
    }
}

static void add_escaped(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, s.ptr[i] != '\0' ? s.ptr[i] : '?');
    }
}

void imap_text_string(struct buf *out, struct slice s)
{
    int form = form_of(s);

    if (form == LITERAL) {
        add_literal(out, s);
        return;
    }
    if (form == PLAIN) {
        char *room = buf_room(out, s.len + 2);
        if (room == NULL)
            return;
        room[0] = '"';
        if (s.len > 0)
            memcpy(room + 1, s.ptr, s.len);
        room[s.len + 1] = '"';
        buf_grew(out, s.len + 2);
        return;
    }
    buf_add_char(out, '"');
    add_escaped(out, s);
    buf_add_char(out, '"');
}

void imap_text_utf8(struct buf *out, struct slice s)
{
    bool lines = slice_find_char(s, '\r') < s.len || slice_find_char(s, '\n') < s.len;

    if (lines || !utf8_valid(s)) {
        imap_text_string(out, s);
        return;
    }
    buf_add_char(out, '"');
    add_escaped(out, s);
    buf_add_char(out, '"');
}

void imap_text_nstring(struct buf *out, struct slice s)
{
    if (s.len == 0)
        buf_add(out, SLICE("NIL"));
    else
        imap_text_string(out, s);
}
