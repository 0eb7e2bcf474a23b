/*
 * base/utf7.c - modified UTF-7, the names of IMAP4rev1 mailboxes on the wire.
 *
 * Layer: base.  RFC 3501 section 5.1.3: printable ASCII stands for itself, "&-" for
 * "&", and everything else is UTF-16 in base64 with "," for "/" and no padding
 * between "&" and "-".  A name has exactly one proper encoding; nothing else is
 * accepted, or two names could mean one mailbox.
 */
#include "base/fail.h"
#include "base/unicode.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static bool stands_for_itself(uint32_t c)
{
    return c >= 0x20 && c <= 0x7e;
}

/* ---- encoding ---- */

/* Bits not yet written: at most 4 are left over between two units of 16. */
struct encoder {
    struct buf *out;
    uint32_t    bits;
    unsigned    count;
    bool        shifted; /* between "&" and "-" */
};

static void encode_unit(struct encoder *e, uint32_t unit)
{
    if (!e->shifted)
        buf_add_char(e->out, '&');
    e->shifted = true;
    e->bits = e->bits << 16 | unit;
    e->count += 16;
    while (e->count >= 6) {
        e->count -= 6;
        buf_add_char(e->out, alphabet[e->bits >> e->count & 63]);
    }
}

static void encode_unshift(struct encoder *e)
{
    if (!e->shifted)
        return;
    if (e->count > 0)
        buf_add_char(e->out, alphabet[e->bits << (6 - e->count) & 63]);
    buf_add_char(e->out, '-');
    *e = (struct encoder){.out = e->out};
}

void utf7_encode(struct buf *out, struct slice utf8)
{
    struct encoder e = {.out = out};

    for (size_t at = 0; at < utf8.len;) {
        uint32_t c = utf8_next(utf8, &at);

        if (stands_for_itself(c)) {
            encode_unshift(&e);
            buf_add_char(out, (char)c);
            if (c == '&')
                buf_add_char(out, '-');
        } else if (c < 0x10000) {
            encode_unit(&e, c);
        } else {
            encode_unit(&e, 0xd800 + ((c - 0x10000) >> 10));
            encode_unit(&e, 0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }
    encode_unshift(&e);
}

/* ---- decoding ---- */

/* The base64 between "&" and "-" as code points. */
static bool decode_shifted(struct buf *out, struct slice digits)
{
    uint32_t bits = 0, lead = 0; /* lead: a high surrogate waiting for its other half */
    unsigned count = 0;

    for (size_t i = 0; i < digits.len; i++) {
        const char *hit = digits.ptr[i] != '\0' ? strchr(alphabet, digits.ptr[i]) : NULL;
        if (hit == NULL)
            return false;
        bits = bits << 6 | (uint32_t)(hit - alphabet);
        count += 6;
        if (count < 16)
            continue;
        count -= 16;
        uint32_t unit = bits >> count & 0xffff;
        bool     high = unit >= 0xd800 && unit < 0xdc00, low = unit >= 0xdc00 && unit < 0xe000;
        if (low != (lead != 0) || stands_for_itself(unit))
            return false;
        if (low)
            utf8_add(out, 0x10000 + ((lead - 0xd800) << 10) + (unit - 0xdc00));
        else if (!high)
            utf8_add(out, unit);
        lead = high ? unit : 0;
    }
    return lead == 0;
}

bool utf7_decode(struct arena *a, struct slice encoded, struct slice *utf8)
{
    struct buf   out, again;
    struct slice rest = encoded;
    bool         ok = true;

    buf_init(&out, encoded.len <= SIZE_MAX / 2 ? encoded.len * 2 : encoded.len);
    buf_init(&again, encoded.len);
    while (ok && rest.len > 0) {
        char c = rest.ptr[0];

        rest = slice_from(rest, 1);
        if (c != '&') {
            ok = stands_for_itself((unsigned char)c);
            buf_add_char(&out, c);
            continue;
        }
        ok = slice_find_char(rest, '-') < rest.len;
        struct slice digits = slice_cut(&rest, '-');
        if (digits.len == 0)
            buf_add_char(&out, '&');
        else
            ok = ok && decode_shifted(&out, digits);
    }
    /*
     * Exactly one encoding is proper: ours.  That refuses left-over bits, "&-&-" runs
     * split in two and all the other forms that decode to the same text.
     */
    if (ok && !out.failed) {
        utf7_encode(&again, buf_slice(&out));
        ok = !again.failed && slice_eq(buf_slice(&again), encoded);
    }
    if (ok)
        *utf8 = arena_keep(a, buf_slice(&out));
    ok = ok && !out.failed && !a->failed;
    buf_finish(&out);
    buf_finish(&again);
    return ok;
}
