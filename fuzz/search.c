/*
 * fuzz/search.c - searching in text.
 *
 * In one piece or in many, the answer is what decoding everything, folding it
 * and looking for the needle says.
 */
#include "base/search_form.h"
#include "fuzz.h"
#include "message/decode.h"

static bool search(struct slice needle, enum transfer_encoding e, struct slice charset, struct slice in,
                   size_t step)
{
    struct text_folder *f = text_folder_create(e, charset, COLLATION_UNICODE_CASEMAP);
    struct buf folded;

    buf_init(&folded, SIZE_MAX / 2);
    for (size_t at = 0; at < in.len; at += step)
        text_folder_feed(f, slice_sub(in, at, step), &folded);
    text_folder_finish(f, &folded);
    text_folder_destroy(&f);
    bool found = needle.len == 0 || slice_find(buf_slice(&folded), needle) < folded.len;
    buf_finish(&folded);
    return found;
}

static bool slow_search(struct slice needle, enum transfer_encoding e, struct slice charset, struct slice in)
{
    struct transfer_decoder transfer;
    struct charset_decoder *decoder = charset_decoder_create(charset);
    struct buf bytes, text, folded;

    buf_init(&bytes, SIZE_MAX / 2);
    buf_init(&text, SIZE_MAX / 2);
    buf_init(&folded, SIZE_MAX / 2);
    transfer_decoder_init(&transfer, e);
    transfer_decoder_feed(&transfer, in, &bytes);
    transfer_decoder_finish(&transfer, &bytes);
    charset_decoder_feed(decoder, buf_slice(&bytes), &text);
    charset_decoder_finish(decoder, &text);
    charset_decoder_destroy(&decoder);
    search_form_add(&folded, buf_slice(&text));
    bool found = needle.len == 0 || slice_find(buf_slice(&folded), needle) < folded.len;
    buf_finish(&bytes);
    buf_finish(&text);
    buf_finish(&folded);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const charsets[] = {"utf-8", "iso-8859-1", "iso-2022-jp", "gb18030"};
    struct slice in = slice_make(data, size);
    enum transfer_encoding e = (enum transfer_encoding)(fuzz_take(&in) % (ENCODING_UNKNOWN + 1));
    struct slice charset = slice_of(charsets[fuzz_take(&in) % ARRAY_LEN(charsets)]);
    size_t step = fuzz_take(&in) + 1;
    struct slice raw_needle = slice_sub(in, 0, fuzz_take(&in) % 8);
    struct buf needle;

    in = slice_from(in, raw_needle.len);
    buf_init(&needle, 1000);
    search_form_add(&needle, raw_needle);
    bool want = slow_search(buf_slice(&needle), e, charset, in);
    FUZZ_CHECK(search(buf_slice(&needle), e, charset, in, in.len + 1) == want);
    FUZZ_CHECK(search(buf_slice(&needle), e, charset, in, step) == want);
    buf_finish(&needle);
    return 0;
}
