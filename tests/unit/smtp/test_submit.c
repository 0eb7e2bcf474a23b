/* test_submit.c - what a submission server mends in a header. */
#include "check.h"
#include "smtp/session.h"

static const struct {
    const char  *note;
    struct slice in;
    const char  *starts, *ends; /* of the result; its middle is a date or an id */
    bool         adds_date, adds_id;
} cases[] = {
    {"nothing to do", SLICE("Date: x\r\nMessage-ID: <a@b>\r\n\r\n"), "Date: x\r\n", "Message-ID: <a@b>\r\n\r\n", false, false},
    {"date missing", SLICE("Message-ID: <a@b>\r\n\r\n"), "Date: ", "\r\nMessage-ID: <a@b>\r\n\r\n", true, false},
    {"id missing", SLICE("Date: x\r\n\r\n"), "Message-ID: <", "@mx.example>\r\nDate: x\r\n\r\n", false, true},
    {"case of names", SLICE("DATE: x\r\nmessage-id: <a@b>\r\n\r\n"), "DATE: x\r\n", "message-id: <a@b>\r\n\r\n", false, false},
    {"Bcc out", SLICE("Date: x\r\nBcc: a,\r\n b\r\nMessage-ID: <a@b>\r\n\r\n"), "Date: x\r\nMessage-ID", "<a@b>\r\n\r\n", false, false},
    {"Bcc last", SLICE("Date: x\r\nMessage-ID: <a@b>\r\nbcc: c\r\n\r\n"), "Date: x\r\n", "<a@b>\r\n\r\n", false, false},
    {"two Bcc", SLICE("Bcc: a\r\nDate: x\r\nResent-Bcc: b\r\nMessage-ID: <a@b>\r\n\r\n"), "Date: x\r\nMessage-ID", "<a@b>\r\n\r\n", false, false},
    {"no header end", SLICE("Date: x\r\nMessage-ID: <a@b>\r\n"), "Date: x\r\n", "<a@b>\r\n", false, false},
    {"Bcc-like name stays", SLICE("Date: x\r\nMessage-ID: <a@b>\r\nX-Bcc: c\r\n\r\n"), "Date: x\r\n", "X-Bcc: c\r\n\r\n", false, false},
};

int main(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out;
        buf_init(&out, 4096);
        smtp_mend_header(&out, cases[i].in, "mx.example", 1700000000);
        struct slice got = buf_slice(&out);
        CHECK(cases[i].note, slice_starts(got, slice_of(cases[i].starts)));
        CHECK(cases[i].note, slice_ends(got, slice_of(cases[i].ends)));
        CHECK(cases[i].note, slice_find(got, SLICE("\r\nBcc")) == got.len && slice_find(got, SLICE("\r\nbcc")) == got.len);
        CHECK(cases[i].note, (slice_find(got, SLICE("2023")) < got.len) == cases[i].adds_date);
        CHECK(cases[i].note, (slice_find(got, SLICE("@mx.example>")) < got.len) == cases[i].adds_id);
        if (!cases[i].adds_date && !cases[i].adds_id && slice_find_nocase(cases[i].in, SLICE("\r\nbcc:")) == cases[i].in.len &&
            slice_find_nocase(cases[i].in, SLICE("Resent-Bcc:")) == cases[i].in.len)
            CHECK_SLICE(cases[i].note, got, cases[i].in);
        buf_finish(&out);
    }
    return check_done();
}
