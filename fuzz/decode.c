/*
 * fuzz/decode.c - transfer encodings, charsets and previews.
 *
 * The split of the input never shows; whatever the charset, what comes out is
 * valid UTF-8.
 */
#include "message/decode.h"
#include "base/unicode.h"
#include "fuzz.h"
#include "message/envelope.h"

static const char *const charsets[] = {"utf-8",  "us-ascii",     "iso-8859-1", "iso-2022-jp", "iso-2022-kr",
                                       "big5",   "gb18030",      "euc-jp",     "euc-kr",      "euc-tw",
                                       "utf-7",  "utf-16",       "shift_jis",  "johab",       "tcvn",
                                       "viscii", "windows-1258", "x-nowhere",  "utf-32",      "iso-8859-8"};

static void transfer(struct buf *out, enum transfer_encoding e, struct slice in, size_t step)
{
    struct transfer_decoder d;

    transfer_decoder_init(&d, e);
    for (size_t at = 0; at < in.len; at += step)
        transfer_decoder_feed(&d, slice_sub(in, at, step), out);
    transfer_decoder_finish(&d, out);
}

static void charset(struct buf *out, struct slice name, struct slice in, size_t step)
{
    struct charset_decoder *d = charset_decoder_create(name);

    for (size_t at = 0; at < in.len; at += step)
        charset_decoder_feed(d, slice_sub(in, at, step), out);
    charset_decoder_finish(d, out);
    charset_decoder_destroy(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    enum transfer_encoding e = (enum transfer_encoding)(fuzz_take(&in) % (ENCODING_UNKNOWN + 1));
    struct slice name = slice_of(charsets[fuzz_take(&in) % ARRAY_LEN(charsets)]);
    size_t step = fuzz_take(&in) + 1;
    struct buf whole, pieces;

    buf_init(&whole, SIZE_MAX / 2);
    buf_init(&pieces, SIZE_MAX / 2);
    transfer(&whole, e, in, in.len + 1);
    transfer(&pieces, e, in, step);
    FUZZ_CHECK(slice_eq(buf_slice(&whole), buf_slice(&pieces)));

    buf_reset(&whole);
    buf_reset(&pieces);
    charset(&whole, name, in, in.len + 1);
    charset(&pieces, name, in, step);
    FUZZ_CHECK(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    FUZZ_CHECK(utf8_valid(buf_slice(&whole)));

    struct mime_parameter parameter = {SLICE("charset"), name};
    struct mime_part part = {.type = SLICE("text"),
                             .subtype = step % 2 == 0 ? SLICE("html") : SLICE("plain"),
                             .encoding = e == ENCODING_BASE64 ? SLICE("base64") : SLICE("quoted-printable"),
                             .parameters = &parameter,
                             .parameter_count = 1};
    buf_reset(&whole);
    preview_write(&whole, &part, in);
    FUZZ_CHECK(!whole.failed && utf8_valid(buf_slice(&whole)) && whole.len <= 800);
    buf_finish(&whole);
    buf_finish(&pieces);
    return 0;
}
