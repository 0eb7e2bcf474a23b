/*
 * message/transfer.c - base64 and quoted-printable (RFC 2045 section 6), piece by piece.
 *
 * Layer: message.  Both decoders are machines over single bytes, so that the
 * split of the input cannot show in the output.
 */
#include "message/decode.h"
#include "message/lex.h"

static const struct {
    const char *name;
    enum transfer_encoding encoding;
} encodings[] = {
    {"", ENCODING_7BIT},         {"7bit", ENCODING_7BIT},     {"8bit", ENCODING_8BIT},
    {"binary", ENCODING_BINARY}, {"base64", ENCODING_BASE64}, {"quoted-printable", ENCODING_QUOTED_PRINTABLE},
};

enum transfer_encoding transfer_encoding_of(struct slice name)
{
    struct slice trimmed = slice_trim(name);

    for (size_t i = 0; i < ARRAY_LEN(encodings); i++)
        if (slice_eq_nocase(trimmed, slice_of(encodings[i].name)))
            return encodings[i].encoding;
    return ENCODING_UNKNOWN;
}

void transfer_decoder_init(struct transfer_decoder *d, enum transfer_encoding e)
{
    *d = (struct transfer_decoder){.encoding = e};
}

/* The value of a base64 digit (RFC 4648 section 4); 64 for what is none. */
static const unsigned char base64_value[256] = {
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 64, 64, 63, 52, 53, 54, 55,
    56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, 64, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
    13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 64, 64, 26, 27, 28, 29, 30, 31, 32,
    33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
};

/*
 * The end of a group: `state` counts the digits in `bits`.  At most 2 bytes.
 * Bytes outside the alphabet are ignored (RFC 2045 section 6.8).  "=" ends a
 * group and what follows starts afresh, so that pieces encoded one by one and
 * then joined are read whole.
 */
static size_t base64_tail(struct transfer_decoder *d, char *text)
{
    size_t len = 0;

    if (d->state >= 2)
        text[len++] = (char)(d->bits >> (d->state * 6 - 8));
    if (d->state == 3)
        text[len++] = (char)(d->bits >> 2);
    d->state = 0;
    return len;
}

static void base64_feed(struct transfer_decoder *d, struct slice in, struct buf *out)
{
    char *text = buf_room(out, in.len / 4 * 3 + 3);
    size_t len = 0;

    if (text == NULL)
        return;
    for (size_t i = 0; i < in.len; i++) {
        unsigned value = base64_value[(unsigned char)in.ptr[i]];

        if (value < 64) {
            d->bits = d->bits << 6 | value;
            if (++d->state == 4) {
                text[len++] = (char)(d->bits >> 16);
                text[len++] = (char)(d->bits >> 8);
                text[len++] = (char)d->bits;
                d->state = 0;
            }
        } else if (in.ptr[i] == '=') {
            len += base64_tail(d, text + len);
        }
    }
    buf_grew(out, len);
}

/* Where a quoted-printable decoder stands; what it read and may have to give back is in `held`. */
enum { QP_TEXT, QP_BLANKS, QP_BLANKS_CR, QP_EQUALS, QP_EQUALS_HEX, QP_EQUALS_BLANKS, QP_EQUALS_CR };

static void qp_release(struct transfer_decoder *d, struct buf *out)
{
    buf_add(out, slice_make(d->held, d->held_len));
    d->held_len = 0;
    d->state = QP_TEXT;
}

/* More than a line's worth of blanks is text. */
static void qp_hold(struct transfer_decoder *d, char c, unsigned state, struct buf *out)
{
    if (d->held_len == sizeof(d->held))
        qp_release(d, out);
    d->held[d->held_len++] = c;
    d->state = state;
}

static void qp_byte(struct transfer_decoder *d, char c, struct buf *out)
{
    bool blank = c == ' ' || c == '\t';

    if (d->state == QP_BLANKS && blank) {
        qp_hold(d, c, QP_BLANKS, out);
    } else if (d->state == QP_BLANKS && c == '\r') {
        qp_hold(d, c, QP_BLANKS_CR, out);
    } else if (d->state == QP_BLANKS && c == '\n') { /* blanks before a line end are not the sender's */
        d->held_len = 0;
        d->state = QP_TEXT;
        buf_add_char(out, c);
    } else if (d->state == QP_BLANKS_CR && c == '\n') {
        d->held_len = 0;
        d->state = QP_TEXT;
        buf_add(out, SLICE("\r\n"));
    } else if (d->state == QP_EQUALS && lex_hex_value(c) >= 0) {
        qp_hold(d, c, QP_EQUALS_HEX, out);
    } else if (d->state == QP_EQUALS_HEX && lex_hex_value(c) >= 0) {
        buf_add_char(out, (char)(lex_hex_value(d->held[1]) << 4 | lex_hex_value(c)));
        d->held_len = 0;
        d->state = QP_TEXT;
    } else if ((d->state == QP_EQUALS || d->state == QP_EQUALS_BLANKS) && blank) {
        qp_hold(d, c, QP_EQUALS_BLANKS, out);
    } else if ((d->state == QP_EQUALS || d->state == QP_EQUALS_BLANKS) && c == '\r') {
        qp_hold(d, c, QP_EQUALS_CR, out);
    } else if ((d->state == QP_EQUALS || d->state == QP_EQUALS_BLANKS || d->state == QP_EQUALS_CR) &&
               c == '\n') {
        d->held_len = 0; /* a soft line break */
        d->state = QP_TEXT;
    } else {
        qp_release(d, out); /* not what it looked like: as written */
        if (blank)
            qp_hold(d, c, QP_BLANKS, out);
        else if (c == '=')
            qp_hold(d, c, QP_EQUALS, out);
        else
            buf_add_char(out, c);
    }
}

static void qp_feed(struct transfer_decoder *d, struct slice in, struct buf *out)
{
    for (size_t i = 0; i < in.len && !out->failed;) {
        size_t plain = i;

        while (d->state == QP_TEXT && plain < in.len && in.ptr[plain] != '=' && in.ptr[plain] != ' ' &&
               in.ptr[plain] != '\t')
            plain++;
        buf_add(out, slice_sub(in, i, plain - i));
        i = plain;
        if (i < in.len)
            qp_byte(d, in.ptr[i++], out);
    }
}

void transfer_decoder_feed(struct transfer_decoder *d, struct slice in, struct buf *out)
{
    switch (d->encoding) {
    case ENCODING_BASE64: base64_feed(d, in, out); return;
    case ENCODING_QUOTED_PRINTABLE: qp_feed(d, in, out); return;
    case ENCODING_7BIT:
    case ENCODING_8BIT:
    case ENCODING_BINARY:
    case ENCODING_UNKNOWN: buf_add(out, in); return;
    }
}

void transfer_decoder_finish(struct transfer_decoder *d, struct buf *out)
{
    char tail[2];

    if (d->encoding == ENCODING_BASE64)
        buf_add(out, slice_make(tail, base64_tail(d, tail)));
    else if (d->state == QP_BLANKS || d->state == QP_BLANKS_CR)
        d->held_len = 0; /* the end of the text is the end of a line */
    else if (d->state == QP_EQUALS_HEX)
        qp_release(d, out);
    d->held_len = 0; /* a last "=" is a soft line break */
    d->state = QP_TEXT;
}
