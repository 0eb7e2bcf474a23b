/*
 * pop3/stuff.h: cases by name, then every cut of random messages against a reference
 * that looks at one octet at a time.
 */
#include <stdlib.h>

#include "pop3/stuff.h"
#include "tests/unit/check.h"

static void check_stuff(const char *note, const char *in, const char *want)
{
    struct slice text = slice_of(in);

    for (size_t step = 1; step <= text.len + 1; step++) {
        struct buf out;
        uint64_t extra = 0;
        char last = '\n', counted = '\n';
        buf_init(&out, 10000);
        for (size_t at = 0; at < text.len; at += step) {
            stuff_write(&out, &last, slice_sub(text, at, step));
            extra += stuff_extra(&counted, slice_sub(text, at, step));
        }
        CHECK_SLICE(note, buf_slice(&out), slice_of(want));
        CHECK(note, text.len + extra == out.len && last == counted);
        buf_finish(&out);
    }
}

static void test_cases(void)
{
    check_stuff("nothing", "", "");
    check_stuff("as it is", "a\r\nb\r\n", "a\r\nb\r\n");
    check_stuff("a dot at the very beginning", ".a\r\n", "..a\r\n");
    check_stuff("only a dot", ".", "..");
    check_stuff("a line of one dot", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n");
    check_stuff("dots elsewhere", "a.\r\n b.c..\r\n", "a.\r\n b.c..\r\n");
    check_stuff("two dots", "..\r\n", "...\r\n");
    check_stuff("bare line feeds", "a\nb\n", "a\r\nb\r\n");
    check_stuff("bare line feeds and dots", "\n.\n.\r\n", "\r\n..\r\n..\r\n");
    check_stuff("a carriage return alone stays", "a\r.\rb\r\r\n", "a\r.\rb\r\r\n");
    check_stuff("no end", "a\r\n.b", "a\r\n..b");
    check_stuff("an end in the middle of it", "a\r", "a\r");
}

static void reference(struct buf *out, struct slice text)
{
    char last = '\n';

    for (size_t i = 0; i < text.len; last = text.ptr[i++]) {
        if (text.ptr[i] == '.' && last == '\n')
            buf_add_char(out, '.');
        if (text.ptr[i] == '\n' && last != '\r')
            buf_add_char(out, '\r');
        buf_add_char(out, text.ptr[i]);
    }
}

static void test_random(void)
{
    static const char letters[] = {'\r', '\n', '.', 'a'};
    char text[24], want_text[64];

    srand(7);
    for (unsigned round = 0; round < 3000; round++) {
        size_t len = (size_t)rand() % sizeof text;
        struct buf want;
        for (size_t i = 0; i < len; i++)
            text[i] = letters[rand() % 4];
        buf_init(&want, sizeof want_text - 1);
        reference(&want, slice_make(text, len));
        for (size_t cut = 0; cut <= len; cut++) {
            struct buf out;
            char last = '\n', counted = '\n';
            buf_init(&out, 1000);
            stuff_write(&out, &last, slice_make(text, cut));
            stuff_write(&out, &last, slice_make(text + cut, len - cut));
            uint64_t extra = stuff_extra(&counted, slice_make(text, cut));
            extra += stuff_extra(&counted, slice_make(text + cut, len - cut));
            CHECK_SLICE("however it is cut", buf_slice(&out), buf_slice(&want));
            CHECK("and counted", len + extra == want.len);
            buf_finish(&out);
        }
        buf_finish(&want);
    }
}

static void check_top(const char *note, uint64_t lines, const char *in, size_t want, bool ends)
{
    struct slice text = slice_of(in);

    for (size_t step = 1; step <= text.len + 1; step++) {
        struct stuff_top t = {.lines = lines};
        bool end = false;
        size_t got = 0;
        for (size_t at = 0; at < text.len && !end; at += step)
            got += stuff_top(&t, slice_sub(text, at, step), &end);
        CHECK(note, got == want && end == ends);
    }
}

static void test_top(void)
{
    check_top("the header and the empty line", 0, "A: b\r\n\r\nc\r\n", 8, true);
    check_top("one line", 1, "A: b\r\n\r\nc\r\nd\r\n", 11, true);
    check_top("all there is", 3, "A: b\r\n\r\nc\r\nd\r\n", 14, false);
    check_top("exactly all", 2, "A: b\r\n\r\nc\r\nd\r\n", 14, true);
    check_top("empty lines count", 2, "A: b\r\n\r\n\r\nd\r\ne\r\n", 13, true);
    check_top("bare line feeds", 1, "A: b\n\nc\nd\n", 8, true);
    check_top("no body", 5, "A: b\r\n", 6, false);
    check_top("no header", 1, "\r\na\r\nb\r\n", 5, true);
    check_top("a line without an end", 2, "A:\r\n\r\nc\r\nd", 10, false);
    check_top("very many", UINT64_MAX, "A:\r\n\r\nc\r\nd", 10, false);
    check_top("a blank is text", 0, "A: b\r\n \r\n\r\nc\r\n", 11, true);
}

int main(void)
{
    test_cases();
    test_random();
    test_top();
    return check_done();
}
