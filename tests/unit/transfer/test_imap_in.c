/*
 * tests/unit/transfer/test_imap_in.c - what servers say, cut anywhere, and what is no IMAP.
 */
#include "store/store.h"
#include "tests/unit/check.h"
#include "transfer/imap_in.h"
#include "transfer/imap_source.h"

struct bytes { struct slice left; size_t step; };

static ssize_t read_bytes(void *ctx, void *out, size_t n, struct fail *why)
{
    struct bytes *b = ctx;
    struct slice  piece = slice_sub(b->left, 0, n < b->step ? n : b->step);

    (void)why;
    memcpy(out, piece.ptr, piece.len);
    b->left = slice_from(b->left, piece.len);
    return (ssize_t)piece.len;
}

static const struct { const char *note, *text; } good[] = {
    {"literal", "* 3 FETCH (UID 7 FLAGS (\\Seen work $X) INTERNALDATE \"01-Jan-1970 01:02:03 +0100\" RFC822.SIZE 5 BODY[] {5}\r\nab\r\nc)\r\n"},
    {"quoted body, body first", "* 3 FETCH (BODY[] \"ab\r\n\" UID 7)\r\n"},
    {"unknown items", "* 3 FETCH (MODSEQ (9) UID 7 X-A (a (\"b)\" {2}\r\n)) c) NIL) BODY[HEADER]<0> {1}\r\nx FLAGS (\\Seen work $X) "
                      "INTERNALDATE \"01-Jan-1970 01:02:03 +0100\" RFC822.SIZE 5 BODY[] {5}\r\nab\r\nc)\r\n"},
};

static const char *const bad[] = {
    "* 3 FETCH (UID x)\r\n", "* 3 FETCH (UID 99999999999)\r\n", "* 3 FETCH UID 7\r\n", "* 3 FETCH (BODY[] {5\r\nab)\r\n", "* 3 FETCH (BODY[] {}\r\n)\r\n",
    "* 3 FETCH (BODY[\r\n", "* 3 FETCH (X \"a\r\nb\")\r\n", "* 3 FETCH (X ((((((((((((((((((((((((((((((((((((((((((((((((((((((1)\r\n",
    "* 3 FETCH (UID 7", "* 3 FETCH (UID 7 BODY[] {10}\r\nabc", "A1 MAYBE\r\n", "garbage\r\n", "\r\n", "",
};

static void messages(void)
{
    static struct imap_in      in;
    static struct imap_fetched f;
    struct body_limits         limits = {.memory_max = 1000, .size_max = 1000, .spool_dir = "/tmp"};

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        for (size_t step = 1; step < 200; step += 7) {
            struct bytes b = {slice_of(good[i].text), step};
            struct body *body = body_create(&limits);
            imap_in_init(&in, read_bytes, &b);
            struct imap_answer a = imap_in_answer(&in);
            CHECK(good[i].note, a.kind == IMAP_DATA && a.has_number && a.number == 3 && slice_eq(a.word, SLICE("FETCH")));
            imap_in_fetched(&in, body, &f);
            struct slice text = {0};
            if (i == 1) { /* a line end in quotes is none */
                CHECK(good[i].note, in.failed);
            } else {
                CHECK(in.why.text, !in.failed && f.uid == 7 && f.has_body && body_in_memory(body, &text));
                CHECK_SLICE(good[i].note, text, SLICE("ab\r\nc"));
                CHECK(good[i].note, f.has_flags && f.flags == STORE_SEEN && f.keyword_count == 2 && slice_eq(f.keywords[1], SLICE("$X")));
                CHECK(good[i].note, f.has_date && f.date == 123 && f.zone == 60 && f.size == 5);
            }
            body_destroy(&body);
            imap_in_finish(&in);
        }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct bytes b = {slice_of(bad[i]), 5};
        struct body *body = body_create(&limits);
        imap_in_init(&in, read_bytes, &b);
        struct imap_answer a = imap_in_answer(&in);
        if (a.kind == IMAP_DATA)
            imap_in_fetched(&in, body, &f);
        CHECK(bad[i], in.failed);
        body_destroy(&body);
        imap_in_finish(&in);
    }
}

static void answers(void)
{
    static struct imap_in in;
    struct bytes b = {SLICE("* OK [UIDVALIDITY 7] valid\r\n+ go on\r\n+\r\nA12 NO [ALERT] no {x\r\n* BYE\r\n"), 3};

    imap_in_init(&in, read_bytes, &b);
    struct imap_answer a = imap_in_answer(&in);
    CHECK("status", a.kind == IMAP_STATUS && a.status == IMAP_OK && slice_eq(a.code, SLICE("UIDVALIDITY 7")) && slice_eq(a.text, SLICE("valid")));
    a = imap_in_answer(&in);
    CHECK("continue", a.kind == IMAP_CONTINUE && slice_eq(a.text, SLICE("go on")));
    a = imap_in_answer(&in);
    CHECK("continue without a text", a.kind == IMAP_CONTINUE && a.text.len == 0);
    a = imap_in_answer(&in);
    CHECK("tagged", a.kind == IMAP_TAGGED && a.status == IMAP_NO && imap_link_tag(a.tag) == 12 && slice_eq(a.code, SLICE("ALERT")));
    a = imap_in_answer(&in);
    CHECK("a word alone", a.kind == IMAP_STATUS && a.status == IMAP_BYE);
    a = imap_in_answer(&in);
    CHECK("the end", a.kind == IMAP_FAILED && in.why.kind == FAIL_TEMP);
    imap_in_finish(&in);
}

static void uidls(void)
{
    static const struct { const char *format, *want; } cases[] = {
        {"%08Xu%08Xv", "0000000A000000FF"}, {"%v.%u", "255.10"}, {"%xu", "a"}, {"UID%u-%v", "UID10-255"}, {"%g", NULL}, {"%", NULL}, {"", NULL}, {"%08", NULL},
    };
    struct buf out;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_init(&out, 200);
        bool ok = imap_uidl_write(&out, slice_of(cases[i].format), 10, 255);
        CHECK(cases[i].format, ok == (cases[i].want != NULL));
        if (cases[i].want != NULL)
            CHECK_SLICE(cases[i].format, buf_slice(&out), slice_of(cases[i].want));
        buf_finish(&out);
    }
}

int main(void)
{
    messages();
    answers();
    uidls();
    return check_done();
}
