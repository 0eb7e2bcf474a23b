/*
 * fuzz/smtp_data.c - the scanner of DATA and BDAT.
 *
 * The first byte chooses the mode and where the rest is cut.  However it is cut,
 * the message, its end and its faults are the same; and what comes out of a clean
 * message, stuffed and scanned again, is that message.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "smtp/data.h"

struct result { struct buf text; size_t taken; struct data_scanner scanner; };

static void scan(struct slice in, size_t step, bool dots, bool mend, struct result *r)
{
    data_scanner_init(&r->scanner, dots, mend);
    buf_init(&r->text, 1 << 24);
    for (size_t at = 0; at < in.len && !r->scanner.done;) {
        size_t end = at + step < in.len ? at + step : in.len;
        while (at < end && !r->scanner.done) {
            struct slice piece;
            size_t       taken = data_scan(&r->scanner, slice_sub(in, at, end - at), &piece);
            FUZZ_CHECK(taken > 0 || piece.len > 0);
            buf_add(&r->text, piece);
            at += taken;
        }
        r->taken = at;
    }
    if (!dots)
        buf_add(&r->text, data_scan_finish(&r->scanner));
    FUZZ_CHECK(r->scanner.size == r->text.len);
}

static void compare(const struct result *a, const struct result *b)
{
    FUZZ_CHECK(slice_eq(buf_slice(&a->text), buf_slice(&b->text)) && a->taken == b->taken);
    FUZZ_CHECK(a->scanner.done == b->scanner.done && a->scanner.nul == b->scanner.nul);
    FUZZ_CHECK(a->scanner.bare_cr == b->scanner.bare_cr && a->scanner.bare_lf == b->scanner.bare_lf);
    FUZZ_CHECK(a->scanner.header_bytes == b->scanner.header_bytes);
    FUZZ_CHECK(a->scanner.received_fields == b->scanner.received_fields);
}

/* What a sender does: RFC 5321 section 4.5.2. */
static void stuff(struct buf *out, struct slice text)
{
    bool line_start = true;

    for (size_t i = 0; i < text.len; i++) {
        if (line_start && text.ptr[i] == '.')
            buf_add_char(out, '.');
        buf_add_char(out, text.ptr[i]);
        line_start = text.ptr[i] == '\n';
    }
    buf_add(out, SLICE(".\r\n"));
}

static void check_round_trip(const struct result *r)
{
    struct result again = {0};
    struct buf    stuffed;

    buf_init(&stuffed, 1 << 25);
    stuff(&stuffed, buf_slice(&r->text));
    scan(buf_slice(&stuffed), 4096, true, false, &again);
    FUZZ_CHECK(again.scanner.done && slice_eq(buf_slice(&again.text), buf_slice(&r->text)));
    buf_finish(&again.text);
    buf_finish(&stuffed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct result whole = {0}, cut = {0};

    if (size < 2)
        return 0;
    const bool   dots = (data[0] & 1) != 0, mend = (data[0] & 2) != 0;
    struct slice in = slice_make(data + 1, size - 1);

    scan(in, in.len, dots, mend, &whole);
    scan(in, 1 + (data[0] >> 2), dots, mend, &cut);
    compare(&whole, &cut);
    if (whole.scanner.done && !whole.scanner.bare_cr && !whole.scanner.bare_lf)
        check_round_trip(&whole);
    buf_finish(&whole.text);
    buf_finish(&cut.text);
    return 0;
}
