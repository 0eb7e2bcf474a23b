/*
 * tests/unit/transfer/test_from_line.c - From_ lines of many mailers, and what is none.
 */
#include "tests/unit/check.h"
#include "transfer/from_line.h"

static const struct { const char *note, *line, *sender; int64_t date; int zone; } good[] = {
    {"RFC 4155", "From ann@example.org Thu Jan  1 01:02:03 1970\n", "ann@example.org", 3723, 0},
    {"CRLF", "From ann@example.org Thu Jan  1 01:02:03 1970\r\n", "ann@example.org", 3723, 0},
    {"no line end", "From ann@example.org Thu Jan  1 01:02:03 1970", "ann@example.org", 3723, 0},
    {"no seconds", "From ann Thu Jan  1 01:02 1970\n", "ann", 3720, 0},
    {"day with nought", "From ann Thu Jan 01 01:02:03 1970", "ann", 3723, 0},
    {"zone before the year", "From 123@xxx Thu Jan 01 01:02:03 +0100 1970", "123@xxx", 123, 60},
    {"zone behind the year", "From ann Thu Jan  1 01:02:03 1970 -0130", "ann", 9123, -90},
    {"named zone", "From ann Thu Jan  1 01:02:03 EST 1970", "ann", 21723, -300},
    {"two words of zone", "From ann Thu Jan  1 01:02:03 MET DST 1970", "ann", -3477, 120},
    {"unknown zone", "From ann Thu Jan  1 01:02:03 XYZ 1970", "ann", 3723, 0},
    {"remote from", "From uucp Thu Jan  1 01:02:03 1970 remote from decvax", "uucp", 3723, 0},
    {"zone and remote from", "From uucp Thu Jan  1 01:02:03 1970 GMT remote from decvax", "uucp", 3723, 0},
    {"Thunderbird", "From - Sun Nov 22 10:51:07 2026", "-", 1795344667, 0},
    {"Eudora", "From ???@??? Sun Nov 22 10:51:07 2026", "???@???", 1795344667, 0},
    {"sender with blanks", "From \"Ann B\"@example.org Thu Jan  1 01:02:03 1970", "\"Ann B\"@example.org", 3723, 0},
    {"sender like a day", "From sun Thu Jan  1 01:02:03 1970", "sun", 3723, 0},
    {"no sender", "From Thu Jan  1 01:02:03 1970", "", 3723, 0},
    {"two digits of year", "From ann Thu Jan  1 01:02:03 70", "ann", 3723, 0},
    {"RFC 5322", "From ann@example.org Thu, 01 Jan 1970 01:02:03 +0000", "ann@example.org", 3723, 0},
};

static const struct { const char *note, *line; } bad[] = {
    {"prose", "From now on all is well\n"},
    {"prose with a day", "From Mon to Fri we are open\n"},
    {"no date", "From ann@example.org\n"},
    {"month missing", "From ann Thu 1 01:02:03 1970\n"},
    {"hour 24", "From ann Thu Jan  1 24:02:03 1970\n"},
    {"day 32", "From ann Thu Jan 32 01:02:03 1970\n"},
    {"text behind", "From ann Thu Jan  1 01:02:03 1970 and so on\n"},
    {"colon", "From: ann@example.org Thu Jan  1 01:02:03 1970\n"},
    {"lower case", "from ann Thu Jan  1 01:02:03 1970\n"},
    {"quoted", ">From ann Thu Jan  1 01:02:03 1970\n"},
    {"empty", ""},
};

int main(void)
{
    struct from_line got;
    struct buf       out;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        bool ok = from_line_read(slice_of(good[i].line), &got);
        CHECK(good[i].note, ok);
        if (!ok)
            continue;
        CHECK_SLICE(good[i].note, got.sender, slice_of(good[i].sender));
        CHECK(good[i].note, got.date == good[i].date);
        CHECK(good[i].note, got.zone == good[i].zone);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(bad[i].note, !from_line_read(slice_of(bad[i].line), &got));

    buf_init(&out, 2000);
    from_line_write(&out, SLICE("ann@example.org"), 1795344667, 0);
    CHECK_SLICE("written", buf_slice(&out), SLICE("From ann@example.org Sun Nov 22 10:51:07 2026\n"));
    buf_reset(&out);
    from_line_write(&out, SLICE("\"a b\"@example.org"), 3723 - 3600, 60);
    CHECK_SLICE("with a zone, for a sender that cannot stand there", buf_slice(&out),
                SLICE("From MAILER-DAEMON Thu Jan  1 01:02:03 1970 +0100\n"));
    buf_reset(&out);
    from_line_write(&out, SLICE("a"), INT64_MAX / 2, 0);
    CHECK("a date beyond all years", from_line_read(buf_slice(&out), &got) && got.date == 0);
    buf_finish(&out);
    return check_done();
}
