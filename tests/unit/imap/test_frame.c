/*
 * tests/unit/imap/test_frame.c - where commands end, however the bytes are split.
 */
#include "imap/frame.h"

#include "base/buf.h"
#include "tests/unit/check.h"

enum { LIMIT = 64 };

/*
 * What a session would do: 'c' a command, 'i' an invitation, 'm' an announced message, 't' too large,
 * 'o' overrun; each with its bytes in brackets, '!' behind a message that waits to be invited.
 */
static void frames_of(struct slice input, size_t step, struct buf *out)
{
    struct frame f = {0};
    size_t begun = 0, shown = 0;

    buf_reset(out);
    for (;;) {
        struct frame_found found;
        struct slice seen = slice_sub(input, begun, shown - begun);
        switch (frame_next(&f, seen, LIMIT, &found)) {
        case FRAME_PARTIAL:
            if (shown == input.len)
                return;
            shown = shown + step < input.len ? shown + step : input.len;
            continue;
        case FRAME_INVITE: buf_add(out, SLICE("i")); continue;
        case FRAME_COMMAND: buf_add(out, SLICE("c[")); break;
        case FRAME_MESSAGE:
            buf_addf(out, "m%llu%s[", (unsigned long long)found.octets, found.synchronising ? "!" : "");
            break;
        case FRAME_TOO_LARGE: buf_add(out, SLICE("t[")); break;
        case FRAME_OVERRUN: buf_add(out, SLICE("o")); return;
        }
        buf_add(out, slice_sub(seen, 0, found.length));
        buf_add(out, SLICE("]"));
        begun += found.length;
    }
}

/* What follows a message. */
static void check_going_on(void)
{
    struct slice text = SLICE(" URL {2}\r\n/x ~{9+}\r\n123456789)\r\n");
    struct frame f = {0};
    struct frame_found found;

    CHECK("a URL waits", frame_go_on(&f, text, LIMIT, &found) == FRAME_INVITE);
    CHECK("a message", frame_go_on(&f, text, LIMIT, &found) == FRAME_MESSAGE);
    CHECK("of 9", found.octets == 9 && found.binary && !found.synchronising);
    CHECK("where", slice_starts(slice_from(text, found.announced), SLICE("~{9+}")));
    text = slice_from(text, found.length + 9);
    CHECK("the end", frame_go_on(&f, text, LIMIT, &found) == FRAME_COMMAND && found.length == text.len);
}

static const struct {
    const char *note, *input, *frames;
} cases[] = {
    {"one command", "a NOOP\r\n", "c[a NOOP\r\n]"},
    {"two at once", "a NOOP\r\nb NOOP\r\n", "c[a NOOP\r\n]c[b NOOP\r\n]"},
    {"lone LF ends a line too", "a NOOP\nb NOOP\r\n", "c[a NOOP\n]c[b NOOP\r\n]"},
    {"empty line", "\r\n", "c[\r\n]"},
    {"half a command", "a NOO", ""},
    {"literal, invited", "a LOGIN {2}\r\nab {2}\r\ncd\r\n", "iic[a LOGIN {2}\r\nab {2}\r\ncd\r\n]"},
    {"literal, not waiting", "a LOGIN {2+}\r\nab {2+}\r\ncd\r\n", "c[a LOGIN {2+}\r\nab {2+}\r\ncd\r\n]"},
    {"empty literal", "a LOGIN {0+}\r\n \"\"\r\n", "c[a LOGIN {0+}\r\n \"\"\r\n]"},
    {"line ends inside a literal", "a LOGIN {4+}\r\n\r\n\r\n x\r\n", "c[a LOGIN {4+}\r\n\r\n\r\n x\r\n]"},
    {"an announcement inside a literal", "a X {5+}\r\n{9}\r\n y\r\n", "c[a X {5+}\r\n{9}\r\n y\r\n]"},
    {"literal header with LF alone", "a X {1+}\ny\r\n", "c[a X {1+}\ny\r\n]"},
    {"braces that announce nothing", "a X {}\r\na X {+}\r\na X {a}\r\na X 1}\r\na X {1} \r\n",
     "c[a X {}\r\n]c[a X {+}\r\n]c[a X {a}\r\n]c[a X 1}\r\n]c[a X {1} \r\n]"},
    {"only a brace", "}\r\n+}\r\n1}\r\n", "c[}\r\n]c[+}\r\n]c[1}\r\n]"},
    {"APPEND", "a APPEND x {300}\r\n", "m300![a APPEND x {300}\r\n]"},
    {"APPEND, not waiting", "a append x (\\Seen) {3+}\r\n", "m3[a append x (\\Seen) {3+}\r\n]"},
    {"APPEND, mailbox as literal", "a APPEND {1}\r\nx {300}\r\n", "im300![a APPEND {1}\r\nx {300}\r\n]"},
    {"APPEND, both not waiting", "a APPEND {1+}\r\nx {300+}\r\n", "m300[a APPEND {1+}\r\nx {300+}\r\n]"},
    {"APPEND of more than can be counted", "a APPEND x {99999999999999999999999}\r\n",
     "m18446744073709551615![a APPEND x {99999999999999999999999}\r\n]"},
    {"literal8", "a APPEND x ~{3+}\r\n", "m3[a APPEND x ~{3+}\r\n]"},
    {"UTF8", "a APPEND x UTF8 (~{3}\r\n", "m3![a APPEND x UTF8 (~{3}\r\n]"},
    {"REPLACE", "a REPLACE 4 x {3}\r\n", "m3![a REPLACE 4 x {3}\r\n]"},
    {"UID REPLACE, mailbox as literal", "a uid replace 4 {1}\r\nx {3+}\r\n", "im3[a uid replace 4 {1}\r\nx {3+}\r\n]"},
    {"UID APPEND is none", "a UID APPEND {1+}\r\nx\r\n", "c[a UID APPEND {1+}\r\nx\r\n]"},
    {"CATENATE, text", "a APPEND x CATENATE (TEXT {300}\r\n", "m300![a APPEND x CATENATE (TEXT {300}\r\n]"},
    {"CATENATE, a URL is no message", "a APPEND x CATENATE (URL {2}\r\n/x text {3}\r\n",
     "im3![a APPEND x CATENATE (URL {2}\r\n/x text {3}\r\n]"},
    {"a mailbox called URL", "a APPEND URL {3}\r\n", "m3![a APPEND URL {3}\r\n]"},
    {"APPEND as an argument is no APPEND", "a X APPEND {1+}\r\ny\r\n", "c[a X APPEND {1+}\r\ny\r\n]"},
    {"too large, invited: refused", "a X {100}\r\nb NOOP\r\n", "t[a X {100}\r\n]c[b NOOP\r\n]"},
    {"too large, already coming", "a X {100+}\r\n", "o"},
    {"more than can be counted", "a X {99999999999999999999}\r\n", "t[a X {99999999999999999999}\r\n]"},
    {"exactly the limit", "a 345678901234567890123456789012345678901234567890123456789012\r\n",
     "c[a 345678901234567890123456789012345678901234567890123456789012\r\n]"},
    {"one above", "a 3456789012345678901234567890123456789012345678901234567890123\r\n", "o"},
    {"a line without end", "a 345678901234567890123456789012345678901234567890123456789012345", "o"},
    {"a line without end, as long as may be",
     "a 34567890123456789012345678901234567890123456789012345678901234", ""},
    {"a literal up to the limit", "a X {54}\r\n", "i"},
    {"one octet above", "a X {55}\r\n", "t[a X {55}\r\n]"},
    {"literals add up to the limit", "a X {20+}\r\n12345678901234567890 {30+}\r\n", "o"},
};

int main(void)
{
    struct buf got;

    buf_init(&got, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice input = slice_of(cases[i].input);
        for (size_t step = 1; step <= input.len; step++) {
            frames_of(input, step, &got);
            CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].frames));
        }
    }
    buf_finish(&got);
    check_going_on();
    return check_done();
}
