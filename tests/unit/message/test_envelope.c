/*
 * tests/unit/message/test_envelope.c - ENVELOPE, BODY and BODYSTRUCTURE, written and read back.
 */
#include "../check.h"
#include "message/envelope.h"
#include "tree.h"

static const struct {
    const char *note, *header, *want;
} envelopes[] = {
    {"nothing", "", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
    {"RFC 3501 section 8",
     "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n"
     "Subject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n"
     "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
     "Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n",
     "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" "
     "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" "
     "\"cac.washington.edu\")) "
     "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) "
     "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
     "\"<B27397-0100000@cac.washington.edu>\")"},
    {"present but empty", "Subject:\r\nTo:\r\nSender: \r\nIn-Reply-To: \r\nFrom: a@b\r\n",
     "(NIL \"\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL \"\" "
     "NIL)"},
    {"own sender and reply-to", "From: a@b\r\nSender: c@d\r\nReply-To: e@f\r\n",
     "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) ((NIL NIL \"e\" \"f\")) NIL NIL NIL NIL NIL)"},
    {"sender before from", "Sender: c@d\r\nFrom: a@b\r\n",
     "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)"},
    {"quotes and backslashes", "Subject: a \"b\" \\c\r\n",
     "(NIL \"a \\\"b\\\" \\\\c\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
    {"8-bit is a literal", "Subject: \xc3\xa4\r\n", "(NIL {2}\r\n\xc3\xa4 NIL NIL NIL NIL NIL NIL NIL NIL)"},
    {"CR is a literal", "Subject: a\rb\r\n", "(NIL {3}\r\na\rb NIL NIL NIL NIL NIL NIL NIL NIL)"},
    {"folded", "Subject: a\r\n b\r\n", "(NIL \"a b\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
    {"encoded words stay", "Subject: =?utf-8?q?a?=\r\n",
     "(NIL \"=?utf-8?q?a?=\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
    {"first subject, all To", "Subject: a\r\nSubject: b\r\nTo: a@b\r\nTo: c@d\r\n",
     "(NIL \"a\" NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) NIL NIL NIL NIL)"},
    {"group", "To: g: a@b;\r\nCc: x:;\r\n",
     "(NIL NIL NIL NIL NIL ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL)) "
     "((NIL NIL \"x\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)"},
    {"no host is no group", "From: root\r\n",
     "(NIL NIL ((NIL NIL \"root\" \"\")) ((NIL NIL \"root\" \"\")) ((NIL NIL \"root\" \"\")) NIL NIL NIL NIL "
     "NIL)"},
    {"route", "Cc: <@x:a@b>\r\n", "(NIL NIL NIL NIL NIL NIL ((NIL \"@x\" \"a\" \"b\")) NIL NIL NIL)"},
};

static void test_envelopes(void)
{
    struct message_limits limits;
    struct buf got;

    message_limits_default(&limits);
    buf_init(&got, 100000);
    for (size_t i = 0; i < ARRAY_LEN(envelopes); i++) {
        buf_reset(&got);
        envelope_write(&got, slice_of(envelopes[i].header), &limits);
        CHECK_SLICE(envelopes[i].note, buf_slice(&got), slice_of(envelopes[i].want));
    }
    buf_reset(&got);
    envelope_write(&got, SLICE("Subject: a\0b\r\nTo: \"\0\" <\xc3\xa4\0@b>\r\n"), &limits);
    CHECK("no NUL", memchr(got.data, '\0', got.len) == NULL);
    buf_finish(&got);
}

static void test_reading(void)
{
    static const char header[] =
        "Date: d\r\nSubject: a \"b\"\r\nFrom: \"A (\\\\) B\" <a@b>\r\nTo: g: c@d, \xc3\xa4@e;\r\n"
        "Bcc: root\r\nMessage-ID: \r\n";
    struct message_limits limits;
    struct arena a;
    struct buf text;
    struct slice s;
    struct address *list;

    message_limits_default(&limits);
    arena_init(&a, 1 << 20);
    buf_init(&text, 10000);
    envelope_write(&text, slice_of(header), &limits);
    struct slice envelope = buf_slice(&text);

    CHECK("date", envelope_string(&a, envelope, ENVELOPE_DATE, &s));
    CHECK_SLICE("date", s, SLICE("d"));
    CHECK("not copied", s.ptr == envelope.ptr + 2);
    CHECK("subject", envelope_string(&a, envelope, ENVELOPE_SUBJECT, &s));
    CHECK_SLICE("unescaped", s, SLICE("a \"b\""));
    CHECK("NIL", !envelope_string(&a, envelope, ENVELOPE_IN_REPLY_TO, &s));
    CHECK("empty", envelope_string(&a, envelope, ENVELOPE_MESSAGE_ID, &s) && s.len == 0);
    CHECK("an address field is no string", !envelope_string(&a, envelope, ENVELOPE_FROM, &s));
    CHECK("a string is no address field", envelope_addresses(&a, envelope, ENVELOPE_SUBJECT, &list) == 0);

    CHECK("from", envelope_addresses(&a, envelope, ENVELOPE_FROM, &list) == 1);
    CHECK_SLICE("name", list[0].name, SLICE("A (\\) B"));
    CHECK_SLICE("mailbox", list[0].mailbox, SLICE("a"));
    CHECK_SLICE("host", list[0].host, SLICE("b"));
    CHECK("sender is from", envelope_addresses(&a, envelope, ENVELOPE_SENDER, &list) == 1);
    CHECK("group", envelope_addresses(&a, envelope, ENVELOPE_TO, &list) == 4);
    CHECK("start", list[0].is_group_start && !list[0].is_group_end && slice_eq(list[0].mailbox, SLICE("g")));
    CHECK_SLICE("literal", list[2].mailbox, SLICE("\xc3\xa4"));
    CHECK("end", list[3].is_group_end && !list[3].is_group_start);
    CHECK("no host is no group",
          envelope_addresses(&a, envelope, ENVELOPE_BCC, &list) == 1 && !list[0].is_group_start);
    CHECK("none", envelope_addresses(&a, envelope, ENVELOPE_CC, &list) == 0);
    CHECK_SLICE("text", envelope_text(envelope, ENVELOPE_FROM), SLICE("((\"A (\\\\) B\" NIL \"a\" \"b\"))"));

    for (size_t cut = 0; cut < envelope.len - 1; cut++) /* damage: no answer, no crash */
        (void)envelope_addresses(&a, slice_sub(envelope, 0, cut), ENVELOPE_TO, &list);
    CHECK("damaged", !envelope_string(&a, SLICE("(\"a"), ENVELOPE_DATE, &s));
    CHECK("damaged literal", !envelope_string(&a, SLICE("({99999999999999999999}\r\nx"), ENVELOPE_DATE, &s));
    CHECK("damaged literal", !envelope_string(&a, SLICE("({9}\r\nx"), ENVELOPE_DATE, &s));
    buf_finish(&text);
    arena_finish(&a);
}

#define M "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

static const struct {
    const char *note, *message, *body, *extended;
} structures[] = {
    {"default", "\r\nhi\r\n", "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 1)",
     "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 1 NIL NIL NIL NIL)"},
    {"charset given", "Content-Type: TEXT/PLAIN; CHARSET=x\r\n\r\n",
     "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"x\") NIL NIL \"7bit\" 0 0)",
     "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"x\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)"},
    {"everything",
     "Content-Type: image/png; name=n\r\nContent-ID: <i>\r\nContent-Description: d\r\n"
     "Content-Transfer-Encoding: base64\r\nContent-MD5: m\r\nContent-Disposition: inline; filename=f\r\n"
     "Content-Language: de, en\r\nContent-Location: l\r\n\r\nAAAA",
     "(\"image\" \"png\" (\"name\" \"n\") \"<i>\" \"d\" \"base64\" 4)",
     "(\"image\" \"png\" (\"name\" \"n\") \"<i>\" \"d\" \"base64\" 4 \"m\" (\"inline\" (\"filename\" \"f\")) "
     "(\"de\" \"en\") \"l\")"},
    {"multipart",
     M "--b\r\nContent-Disposition: attachment\r\n\r\none\r\n--b\r\nContent-Type: a/b\r\nContent-Language: "
       "en\r\n\r\n--b--\r\n",
     "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 0)(\"a\" \"b\" NIL NIL NIL \"7bit\" "
     "0) \"mixed\")",
     "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 0 NIL (\"attachment\" NIL) NIL NIL)"
     "(\"a\" \"b\" NIL NIL NIL \"7bit\" 0 NIL NIL \"en\" NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"},
    {"message", "Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nx\r\n",
     "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 17 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) "
     "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 1) 3)",
     "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 17 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) "
     "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 1 NIL NIL NIL NIL) 3 NIL NIL NIL "
     "NIL)"},
    {"multipart without parts is shown as text", M "x\r\n",
     "(\"text\" \"plain\" (\"boundary\" \"b\") NIL NIL \"7bit\" 3 1)",
     "(\"text\" \"plain\" (\"boundary\" \"b\") NIL NIL \"7bit\" 3 1 NIL NIL NIL NIL)"},
    {"parameters with a charset (RFC 2231)",
     "Content-Type: a/b; t*0*=iso-8859-1'de'Gr%FC; t*1=\"\u00df e\"; u*=%ff\r\n\r\n",
     "(\"a\" \"b\" (\"t*\" \"utf-8''Gr%C3%BC%C3%83%C5%B8%20e\" \"u*\" \"''%FF\") NIL NIL \"7bit\" 0)",
     "(\"a\" \"b\" (\"t*\" \"utf-8''Gr%C3%BC%C3%83%C5%B8%20e\" \"u*\" \"''%FF\") NIL NIL \"7bit\" 0 NIL NIL "
     "NIL NIL)"},
    {"encoded message is shown as bytes",
     "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQTo=",
     "(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 4)",
     "(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 4 NIL NIL NIL NIL)"},
};

static void test_structures(void)
{
    struct message_limits limits;
    struct buf got, packed;

    message_limits_default(&limits);
    buf_init(&got, 100000);
    buf_init(&packed, 100000);
    for (size_t i = 0; i < ARRAY_LEN(structures); i++) {
        struct arena a;
        struct mime_part *root;

        arena_init(&a, 1 << 20);
        root = tree_parse(&a, &limits, slice_of(structures[i].message), 0, 5);
        for (int unpacked = 0; unpacked < 2; unpacked++) {
            buf_reset(&got);
            bodystructure_write(&got, root, false);
            CHECK_SLICE(structures[i].note, buf_slice(&got), slice_of(structures[i].body));
            buf_reset(&got);
            bodystructure_write(&got, root, true);
            CHECK_SLICE(structures[i].note, buf_slice(&got), slice_of(structures[i].extended));
            buf_reset(&packed);
            mime_pack(&packed, root);
            root = mime_unpack(&a, buf_slice(&packed));
        }
        arena_finish(&a);
    }
    buf_finish(&packed);
    buf_finish(&got);
}

static void test_preview_part(void)
{
    static const struct {
        const char *note, *message, *want; /* the body of the part found, or NULL */
    } rows[] = {
        {"plain", "\nx", "x"},
        {"plain before html", M "--b\nContent-Type: text/html\n\nh\n--b\n\np\n--b--\n", "p"},
        {"html", M "--b\nContent-Type: image/png\n\nh\n--b\nContent-Type: text/html\n\np\n--b--\n", "p"},
        {"no attachment", M "--b\nContent-Disposition: attachment\n\nx\n--b\n\np\n--b--\n", "p"},
        {"none", "Content-Type: image/png\n\nx", NULL},
        {"not inside messages", "Content-Type: message/rfc822\n\nA: b\n\nx", NULL},
    };
    struct message_limits limits;

    message_limits_default(&limits);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a;
        struct slice message = slice_of(rows[i].message);
        const struct mime_part *part;

        arena_init(&a, 1 << 20);
        part = preview_part(tree_parse(&a, &limits, message, 0, 5));
        CHECK(rows[i].note, (part != NULL) == (rows[i].want != NULL));
        if (part != NULL)
            CHECK_SLICE(rows[i].note,
                        slice_sub(message, part->body_offset, part->end_offset - part->body_offset),
                        slice_of(rows[i].want));
        arena_finish(&a);
    }
}

int main(void)
{
    test_envelopes();
    test_reading();
    test_structures();
    test_preview_part();
    return check_done();
}
