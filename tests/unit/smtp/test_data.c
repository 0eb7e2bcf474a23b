/*
 * test_data.c - the scanner of DATA and BDAT: cases by name, then every split of
 * random inputs against a reference that looks at one byte at a time.
 */
#include <stdlib.h>

#include "check.h"
#include "smtp/data.h"

struct result {
    char     text[512];
    size_t   len, consumed;
    bool     done, bare_cr, bare_lf, nul, in_header;
    uint64_t header_bytes;
    unsigned received_fields;
};

static void give(struct result *r, struct slice piece)
{
    if (piece.len > sizeof r->text - r->len)
        abort();
    if (piece.len > 0)
        memcpy(r->text + r->len, piece.ptr, piece.len);
    r->len += piece.len;
}

/* Feeds `in` in pieces of `step` bytes, each in memory of its own size. */
static struct result scan(struct slice in, size_t step, bool dots, bool mend)
{
    struct data_scanner s;
    struct result       r = {0};
    struct slice        piece;

    data_scanner_init(&s, dots, mend);
    for (size_t from = 0; from < in.len && !s.done; from += step) {
        size_t n = in.len - from < step ? in.len - from : step;
        char  *copy = malloc(n);
        if (copy == NULL)
            abort();
        memcpy(copy, in.ptr + from, n);
        for (size_t used = 0; used < n && !s.done;) {
            size_t taken = data_scan(&s, slice_make(copy + used, n - used), &piece);
            if (taken == 0 && piece.len == 0)
                abort(); /* no progress */
            give(&r, piece);
            used += taken;
            r.consumed += taken;
        }
        free(copy);
    }
    if (!dots)
        give(&r, data_scan_finish(&s));
    CHECK("size is what was given", s.size == r.len);
    r.done = s.done;
    r.bare_cr = s.bare_cr;
    r.bare_lf = s.bare_lf;
    r.nul = s.nul;
    r.in_header = s.in_header;
    r.header_bytes = s.header_bytes;
    r.received_fields = s.received_fields;
    return r;
}

enum { CR = 1, LF = 2, NUL = 4, OPEN = 8 };

static const struct {
    const char *note;
    struct slice in, out;
    size_t       rest; /* bytes behind the end */
    unsigned     faults; /* OPEN: the end has not come */
} cases[] = {
    {"empty message", SLICE(".\r\n"), SLICE(""), 0, 0},
    {"one line", SLICE("a\r\n.\r\n"), SLICE("a\r\n"), 0, 0},
    {"commands behind", SLICE("a\r\n.\r\nQUIT\r\n"), SLICE("a\r\n"), 6, 0},
    {"doubled dot", SLICE("..\r\n.\r\n"), SLICE(".\r\n"), 0, 0},
    {"doubled dot, text", SLICE("..a\r\n.b\r\n.\r\n"), SLICE(".a\r\nb\r\n"), 0, 0},
    {"dot inside a line", SLICE("a.\r\n.\r\n"), SLICE("a.\r\n"), 0, 0},
    {"LF.LF is no end", SLICE("a\n.\nMAIL\r\n.\r\n"), SLICE("a\n.\nMAIL\r\n"), 0, LF},
    {"LF.CRLF is no end", SLICE("a\n.\r\nMAIL\r\n.\r\n"), SLICE("a\n.\r\nMAIL\r\n"), 0, LF},
    {"CRLF.LF is no end", SLICE("a\r\n.\nMAIL\r\n.\r\n"), SLICE("a\r\n.\nMAIL\r\n"), 0, LF},
    {"CR.CR is no end", SLICE("a\r.\rMAIL\r\n.\r\n"), SLICE("a\r.\rMAIL\r\n"), 0, CR},
    {"CRLF.CR is no end", SLICE("a\r\n.\rMAIL\r\n.\r\n"), SLICE("a\r\n\rMAIL\r\n"), 0, CR},
    {"CR.CRLF is no end", SLICE("a\r.\r\nMAIL\r\n.\r\n"), SLICE("a\r.\r\nMAIL\r\n"), 0, CR},
    {"CRLF.CRCRLF is no end", SLICE("a\r\n.\r\r\nM\r\n.\r\n"), SLICE("a\r\n\r\r\nM\r\n"), 0, CR},
    {"CRCRLF", SLICE("a\r\r\n.\r\n"), SLICE("a\r\r\n"), 0, CR},
    {"LFCR", SLICE("a\n\rb\r\n.\r\n"), SLICE("a\n\rb\r\n"), 0, CR | LF},
    {"NUL", SLICE("a\0b\r\n.\r\n"), SLICE("a\0b\r\n"), 0, NUL},
    {"no end", SLICE("a\r\n.\r"), SLICE("a\r\n"), 0, OPEN},
    {"8-bit", SLICE("\xff\xfe\r\n.\r\n"), SLICE("\xff\xfe\r\n"), 0, 0},
};

static const struct {
    const char  *note;
    struct slice in, out;
} mended[] = {
    {"bare LF becomes CRLF", SLICE("a\nb\n\nc\r\n.\r\n"), SLICE("a\r\nb\r\n\r\nc\r\n")},
    {"LF.CRLF is still no end", SLICE("a\n.\r\nb\r\n.\r\n"), SLICE("a\r\n.\r\nb\r\n")},
    {"CRLF.LF is still no end", SLICE("a\r\n.\nb\r\n.\r\n"), SLICE("a\r\n.\r\nb\r\n")},
    {"dots are undone after LF too", SLICE("a\n..b\n.\r\n.\r\n"), SLICE("a\r\n.b\r\n.\r\n")},
};

static void test_cases(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step <= cases[i].in.len; step++) {
            struct result r = scan(cases[i].in, step, true, false);
            CHECK_SLICE(cases[i].note, slice_make(r.text, r.len), cases[i].out);
            CHECK(cases[i].note, r.done == ((cases[i].faults & OPEN) == 0));
            CHECK(cases[i].note, r.consumed + cases[i].rest == cases[i].in.len);
            CHECK(cases[i].note, r.bare_cr == ((cases[i].faults & CR) != 0));
            CHECK(cases[i].note, r.bare_lf == ((cases[i].faults & LF) != 0));
            CHECK(cases[i].note, r.nul == ((cases[i].faults & NUL) != 0));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(mended); i++) {
        for (size_t step = 1; step <= mended[i].in.len; step++) {
            struct result r = scan(mended[i].in, step, true, true);
            CHECK_SLICE(mended[i].note, slice_make(r.text, r.len), mended[i].out);
            CHECK(mended[i].note, r.done && !r.bare_lf && r.consumed == mended[i].in.len);
        }
    }
}

static void test_header(void)
{
    static const struct {
        const char  *note;
        struct slice in;
        uint64_t     header_bytes;
        unsigned     received;
        bool         in_header;
    } headers[] = {
        {"two trace fields", SLICE("Received: a\r\nreCEIVED: b\r\n\r\nReceived: body\r\n.\r\n"), 28, 2, false},
        {"folded is one", SLICE("Received: a\r\n Received: b\r\n\r\n.\r\n"), 29, 1, false},
        {"another name", SLICE("X-Received: a\r\nReceived-SPF: b\r\n\r\n.\r\n"), 34, 0, false},
        {"no empty line", SLICE("Received: a\r\n.\r\n"), 13, 1, true},
        {"empty header", SLICE("\r\nReceived: a\r\n.\r\n"), 2, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        for (size_t step = 1; step <= headers[i].in.len; step++) {
            struct result r = scan(headers[i].in, step, true, false);
            CHECK(headers[i].note, r.header_bytes == headers[i].header_bytes);
            CHECK(headers[i].note, r.received_fields == headers[i].received);
            CHECK(headers[i].note, r.in_header == headers[i].in_header);
        }
    }
}

static void test_chunks(void)
{
    struct result r = scan(SLICE(".\r\n..\r\nend"), 3, false, false);
    CHECK_SLICE("dots are text", slice_make(r.text, r.len), SLICE(".\r\n..\r\nend"));
    CHECK("no fault", !r.bare_cr && !r.bare_lf && !r.done);
    r = scan(SLICE("a\r"), 1, false, false);
    CHECK_SLICE("CR at the end is kept", slice_make(r.text, r.len), SLICE("a\r"));
    CHECK("and is a fault", r.bare_cr);
    r = scan(SLICE("a\nb"), 2, false, false);
    CHECK("bare LF is a fault", r.bare_lf);
}

/*
 * The reference: cuts the whole input into lines at LF.  A line is the end if it
 * is "." and CRLF, after CRLF or at the start.
 */
static struct result reference(struct slice in, bool mend)
{
    struct result r = {.in_header = true};
    bool          after_crlf = true;

    for (size_t at = 0; at < in.len;) {
        size_t lf = at;
        while (lf < in.len && in.ptr[lf] != '\n')
            lf++;
        bool         has_lf = lf < in.len;
        bool         crlf = has_lf && lf > at && in.ptr[lf - 1] == '\r';
        struct slice text = slice_sub(in, at, lf - at - crlf);

        if (text.len > 0 && text.ptr[0] == '.' && text.len == 1 && crlf && after_crlf) {
            r.done = true;
            r.consumed = lf + 1;
            return r;
        }
        if (text.len > 1 && text.ptr[0] == '.')
            text = slice_from(text, 1);
        give(&r, text);
        for (size_t i = 0; i < text.len; i++) {
            r.bare_cr = r.bare_cr || text.ptr[i] == '\r';
            r.nul = r.nul || text.ptr[i] == '\0';
        }
        if (has_lf) {
            give(&r, crlf || mend ? SLICE("\r\n") : SLICE("\n"));
            r.bare_lf = r.bare_lf || (!crlf && !mend);
        }
        after_crlf = crlf;
        at = lf + 1;
    }
    return r;
}

static void test_random(void)
{
    static const char alphabet[] = {'\r', '\n', '.', 'a', '\0', '\r', '\n', '.'};
    unsigned          seed = 12345;

    for (unsigned round = 0; round < 60000; round++) {
        char   text[40];
        size_t n = 0;
        seed = seed * 1103515245u + 12345u;
        size_t len = 1 + (seed >> 16) % (sizeof text - 8);
        while (n < len) {
            seed = seed * 1103515245u + 12345u;
            text[n++] = alphabet[(seed >> 16) % sizeof alphabet];
        }
        memcpy(text + n, "\r\n.\r\n", 5);
        struct slice in = slice_make(text, n + 5);

        for (int mend = 0; mend <= 1; mend++) {
            struct result want = reference(in, mend != 0);
            struct result got = scan(in, 1 + round % 7, true, mend != 0);
            CHECK_SLICE("as the reference", slice_make(got.text, got.len), slice_make(want.text, want.len));
            CHECK("same end", got.done == want.done && got.consumed == want.consumed);
            CHECK("same faults", got.bare_cr == want.bare_cr && got.bare_lf == want.bare_lf && got.nul == want.nul);
        }
    }
}

int main(void)
{
    test_cases();
    test_header();
    test_chunks();
    test_random();
    return check_done();
}
