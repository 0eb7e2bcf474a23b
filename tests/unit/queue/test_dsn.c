/*
 * test_dsn.c - who is told, and notifications for test_dsn.py to read.
 *
 *     test-queue-dsn         checks what needs no reader
 *     test-queue-dsn CASE    writes the notification of that case to standard output
 */
#include <stdlib.h>

#include "base/fail.h"
#include "check.h"
#include "queue/dsn.h"

#define NOON     1795348800 /* Sun, 22 Nov 2026 12:00:00 +0000 */
#define ORIGINAL                                                                                  \
    "Message-ID: <lunch.1@example.org>\r\nSubject: Lunch?\r\nFrom: ann@example.org\r\nTo: bob@example.net\r\n\r\n" \
    "At noon.\r\n--bound\r\n.\r\n"
#define ORIGINAL_UTF8                                                                               \
    "Message-ID: <g.1@example.org>\r\nSubject: Gr\xc3\xbc\xc3\x9f" "e aus dem S\xc3\xbc" "den, mit einem langen Betreff, der mehr als ein Wort braucht\r\n" \
    "From: j\xc3\xb6rg@example.org\r\n\r\nHallo J\xc3\xb6rg\r\n"

static bool read_text(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    const struct slice *text = ctx;

    if (offset + n > text->len)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "past the end");
    memcpy(out, text->ptr + offset, n);
    return true;
}

/* ---- cases ---- */

static const struct dsn_recipient unknown[] = {
    {.kind = DSN_FAILED, .address = SLICE("bob@example.net"), .code = 550, .status = SLICE("5.1.1"),
     .options = {.orcpt = SLICE("rfc822;Bob+lunch@example.net")}, .remote = SLICE("mx.example.net"),
     .text = SLICE("<bob@example.net>: Recipient address rejected:\nUser unknown in local recipient table"),
     .last_attempt = NOON + 2},
};
static const struct dsn_recipient mixed[] = {
    {.kind = DSN_FAILED, .address = SLICE("bob@example.net"), .code = 552, .remote = SLICE("mx.example.net"), .text = SLICE("no")},
    {.kind = DSN_FAILED, .address = SLICE("carol@example.net"), .code = 552, .remote = SLICE("mx.example.net"), .text = SLICE("no")},
    {.kind = DSN_FAILED, .address = SLICE("dan@example.com"), .code = 421, .status = SLICE("4.4.2"), .expired = true,
     .remote = SLICE("mx.example.com"), .text = SLICE("closing"), .last_attempt = NOON + 432000},
    {.kind = DSN_DELAYED, .address = SLICE("eve@example.com"), .text = SLICE("no answer from 192.0.2.7"), .status = SLICE("4.4.1")},
    {.kind = DSN_RELAYED, .address = SLICE("fay@example.com"), .code = 250, .status = SLICE("2.0.0"), .remote = SLICE("old.example.com"), .text = SLICE("ok")},
};
static const struct dsn_recipient delayed[] = {
    {.kind = DSN_DELAYED, .address = SLICE("bob@example.net"), .text = SLICE("connection refused"), .status = SLICE("4.4.1"),
     .last_attempt = NOON + 14400},
};
static const struct dsn_recipient delivered[] = {{.kind = DSN_DELIVERED, .address = SLICE("bob@example.net")}};
static const struct dsn_recipient expanded[] = {{.kind = DSN_EXPANDED, .address = SLICE("list@example.net")}};
static const struct dsn_recipient hostile[] = {
    {.kind = DSN_FAILED, .address = SLICE("bob@example.net"), .code = 550, .status = SLICE("5.1.1\r\nX-Evil: 1"),
     .options = {.orcpt = SLICE("rfc822;bob\r\nX-Evil: 2@example.net")}, .remote = SLICE("mx\r\nX-Evil: 3"),
     .text = SLICE("bad\r\n\r\nX-Evil: 4\r\n--==\r\n.\r\n\033[31mred\xff \xe2\x80\xae" "bidi \0nul "), .last_attempt = NOON},
    {.kind = DSN_FAILED, .address = SLICE("carol@example.net"), .code = 554, .text = SLICE("\n\n")},
};
static const struct dsn_recipient global[] = {
    {.kind = DSN_FAILED, .address = SLICE("j\xc3\xbcrgen@b\xc3\xbc" "cher.example"), .status = SLICE("5.6.7"),
     .options = {.orcpt = SLICE("utf-8;j\xc3\xbcrgen@b\xc3\xbc" "cher.example")},
     .text = SLICE("mx.b\xc3\xbc" "cher.example does not offer SMTPUTF8")},
};

static const struct {
    const char                    *name;
    const struct dsn_recipient    *recipients;
    size_t                         count;
    struct slice                   sender, original;
    struct envelope_options        options;
    int64_t                        age;
} cases[] = {
#define TO(list) list, ARRAY_LEN(list)
    {"unknown", TO(unknown), SLICE("ann@example.org"), SLICE(ORIGINAL), {.envid = SLICE("lunch 1")}, 2},
    {"headers", TO(unknown), SLICE("ann@example.org"), SLICE(ORIGINAL), {.ret = RET_HDRS}, 2},
    {"large", TO(unknown), SLICE("ann@example.org"), SLICE(ORIGINAL), {.ret = RET_FULL}, 2}, /* see write_case */
    {"binary", TO(unknown), SLICE("ann@example.org"), SLICE(ORIGINAL), {.body = BODY_BINARYMIME}, 2},
    {"mixed", TO(mixed), SLICE("ann@example.org"), SLICE(ORIGINAL), {.ret = RET_FULL}, 432000},
    {"delayed", TO(delayed), SLICE("ann@example.org"), SLICE(ORIGINAL), {.ret = RET_FULL}, 14400},
    {"delivered", TO(delivered), SLICE("ann@example.org"), SLICE(ORIGINAL), {.ret = RET_FULL}, 3},
    {"expanded", TO(expanded), SLICE("ann@example.org"), SLICE(ORIGINAL), {.ret = RET_UNSAID}, 3},
    {"hostile", TO(hostile), SLICE("ann@example.org"), SLICE(ORIGINAL), {.envid = SLICE("a\r\nX-Evil: 5")}, 3},
    {"global", TO(global), SLICE("j\xc3\xb6rg@example.org"), SLICE(ORIGINAL_UTF8), {.utf8 = true, .body = BODY_8BITMIME}, 3},
    {"empty", TO(unknown), SLICE("ann@example.org"), SLICE(""), {.ret = RET_FULL}, 2},
    {"no header end", TO(unknown), SLICE("ann@example.org"), SLICE("Subject: half\r\nTo: b"), {.ret = RET_HDRS}, 2},
#undef TO
};

static struct body *write_case(size_t i, struct envelope_options *envelope)
{
    struct slice             original = cases[i].original;
    const struct dsn_request request = {
        .hostname = SLICE("mail.example.org"),
        .sender = cases[i].sender,
        .trace = SLICE("k3f9"),
        .options = &cases[i].options,
        .received = NOON,
        .now = NOON + cases[i].age,
        .expires = NOON + 432000,
        .recipients = cases[i].recipients,
        .recipient_count = cases[i].count,
        .size = original.len,
        .full_max = strcmp(cases[i].name, "large") == 0 ? original.len - 1 : DSN_FULL_MAX,
        .read = read_text,
        .read_ctx = &original,
    };
    const struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 20};
    struct body *body = NULL;
    struct fail  why = {0};

    CHECK(cases[i].name, dsn_write(&request, &limits, &body, envelope, &why));
    return body;
}

static int print_case(const char *name)
{
    struct envelope_options envelope;
    struct slice            text;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (strcmp(cases[i].name, name) != 0)
            continue;
        struct body *body = write_case(i, &envelope);
        if (body == NULL || !body_in_memory(body, &text) || fwrite(text.ptr, 1, text.len, stdout) != text.len)
            return 1;
        body_destroy(&body);
        return 0;
    }
    return 2;
}

/* ---- checks ---- */

static const struct { const char *note; const char *sender; unsigned notify; bool failed, delayed, success; } wanted[] = {
    {"nothing said", "ann@example.org", 0, true, true, false},
    {"never", "ann@example.org", NOTIFY_NEVER, false, false, false},
    {"failure", "ann@example.org", NOTIFY_FAILURE, true, false, false},
    {"delay", "ann@example.org", NOTIFY_DELAY, false, true, false},
    {"success", "ann@example.org", NOTIFY_SUCCESS, false, false, true},
    {"all", "ann@example.org", NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, true, true, true},
    {"null reverse-path", "", NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, false, false, false},
};

static void test_wanted(void)
{
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        struct slice             sender = slice_of(wanted[i].sender);
        struct recipient_options o = {.notify = wanted[i].notify};

        CHECK(wanted[i].note, dsn_wanted(sender, &o, DSN_FAILED) == wanted[i].failed);
        CHECK(wanted[i].note, dsn_wanted(sender, &o, DSN_DELAYED) == wanted[i].delayed);
        CHECK(wanted[i].note, dsn_wanted(sender, &o, DSN_DELIVERED) == wanted[i].success);
        CHECK(wanted[i].note, dsn_wanted(sender, &o, DSN_RELAYED) == wanted[i].success);
        CHECK(wanted[i].note, dsn_wanted(sender, &o, DSN_EXPANDED) == wanted[i].success);
    }
}

/* Every line ends in CRLF, none is too long, and the envelope says what the bytes need. */
static void test_form(size_t i)
{
    struct envelope_options envelope;
    struct body            *body = write_case(i, &envelope);
    struct slice            text = {0}, rest;
    bool                    eight = false;

    if (body == NULL || !body_in_memory(body, &text))
        return;
    for (rest = text; rest.len > 0;) {
        struct slice line = slice_cut(&rest, '\n');
        CHECK(cases[i].name, line.len > 0 && line.ptr[line.len - 1] == '\r' && line.len <= 999);
        CHECK(cases[i].name, memchr(line.ptr, '\r', line.len) == line.ptr + line.len - 1);
        CHECK(cases[i].name, memchr(line.ptr, '\0', line.len) == NULL && memchr(line.ptr, '\033', line.len) == NULL);
    }
    for (size_t k = 0; k < text.len; k++)
        eight = eight || (unsigned char)text.ptr[k] > 0x7f;
    CHECK(cases[i].name, envelope.body == (eight ? BODY_8BITMIME : BODY_7BIT));
    CHECK(cases[i].name, envelope.utf8 == (strcmp(cases[i].name, "global") == 0));
    body_destroy(&body);
}

static void test_unreadable(void)
{
    struct slice             original = SLICE("Subject: x\r\n");
    struct envelope_options  options = {0}, envelope;
    const struct dsn_request request = {
        .hostname = SLICE("mail.example.org"), .sender = SLICE("ann@example.org"), .options = &options,
        .recipients = unknown, .recipient_count = 1, .size = original.len + 1, .full_max = DSN_FULL_MAX,
        .read = read_text, .read_ctx = &original,
    };
    const struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 20};
    struct body *body = NULL;
    struct fail  why = {0};

    CHECK("unreadable", !dsn_write(&request, &limits, &body, &envelope, &why) && why.kind == FAIL_TEMP && body == NULL);
}

int main(int argc, char **argv)
{
    (void)setenv("TZ", "UTC", 1);
    if (argc > 1)
        return print_case(argv[1]);
    test_wanted();
    test_unreadable();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        test_form(i);
    return check_done();
}
