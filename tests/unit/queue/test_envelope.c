/* test_envelope.c - what a sender asked for, as text and back. */
#include "check.h"
#include "queue/envelope.h"

static const struct { const char *note; struct slice plain, text; } xtexts[] = {
    {"nothing", SLICE(""), SLICE("")},
    {"as it is", SLICE("rfc822;ann@example.org"), SLICE("rfc822;ann@example.org")},
    {"plus and equals sign", SLICE("a+b=c"), SLICE("a+2Bb+3Dc")},
    {"blank, control characters, NUL", SLICE(" \r\n\0"), SLICE("+20+0D+0A+00")},
    {"8-bit", SLICE("j\xc3\xb6rg"), SLICE("j+C3+B6rg")},
};

static const struct { const char *note; struct slice text; } bad_xtexts[] = {
    {"lower case digits", SLICE("a+2b")}, {"one digit", SLICE("a+2")},  {"no digit", SLICE("+")},
    {"no hexadecimal digit", SLICE("+G0")}, {"equals sign", SLICE("=")}, {"blank", SLICE(" ")},
    {"8-bit", SLICE("\xc3\xb6")},          {"NUL", SLICE("a\0")},
};

static void test_xtext(struct arena *a)
{
    struct slice got;

    for (size_t i = 0; i < ARRAY_LEN(xtexts); i++) {
        struct buf out;
        buf_init(&out, 100);
        xtext_encode(&out, xtexts[i].plain);
        CHECK_SLICE(xtexts[i].note, buf_slice(&out), xtexts[i].text);
        CHECK(xtexts[i].note, xtext_decode(a, xtexts[i].text, &got));
        CHECK_SLICE(xtexts[i].note, got, xtexts[i].plain);
        buf_finish(&out);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_xtexts); i++)
        CHECK(bad_xtexts[i].note, !xtext_decode(a, bad_xtexts[i].text, &got));
}

static const struct { const char *note; struct envelope_options o; const char *text; } messages[] = {
    {"nothing asked", {.source = {0}}, ""},
    {"everything",
     {.envid = SLICE("QQ+31 4"), .ret = RET_HDRS, .body = BODY_8BITMIME, .utf8 = true, .requiretls = true, .priority = -9,
      .hold_until = 1795345867, .by_mode = BY_RETURN, .by_trace = true, .by = 1795349999, .account = UINT64_MAX,
      .source = SLICE("ann@example.org")},
     "ENVID=QQ+2B31+204 RET=HDRS BODY=8BITMIME UTF8 REQUIRETLS PRIORITY=-9 HOLD=1795345867 BY=1795349999;RT"
     " ACCOUNT=18446744073709551615 SOURCE=ann@example.org"},
    {"the other choices",
     {.ret = RET_FULL, .body = BODY_BINARYMIME, .priority = 9, .by_mode = BY_NOTIFY, .by = -5},
     "RET=FULL BODY=BINARYMIME PRIORITY=9 BY=-5;N"},
    {"UTF-8 in a name", {.source = SLICE("b\xc3\xbc" "cher")}, "SOURCE=b+C3+BCcher"},
};

static void test_messages(struct arena *a)
{
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        const struct envelope_options *o = &messages[i].o;
        struct envelope_options        got;
        struct buf                     out;

        buf_init(&out, 1000);
        envelope_options_write(&out, o);
        CHECK_SLICE(messages[i].note, buf_slice(&out), slice_of(messages[i].text));
        CHECK(messages[i].note, envelope_options_read(a, buf_slice(&out), &got));
        CHECK_SLICE(messages[i].note, got.envid, o->envid);
        CHECK_SLICE(messages[i].note, got.source, o->source);
        CHECK(messages[i].note, got.ret == o->ret && got.body == o->body && got.utf8 == o->utf8 &&
                                    got.requiretls == o->requiretls && got.priority == o->priority);
        CHECK(messages[i].note, got.hold_until == o->hold_until && got.by_mode == o->by_mode && got.by == o->by &&
                                    got.by_trace == o->by_trace && got.account == o->account);
        buf_finish(&out);
    }
}

static const char *const bad_messages[] = {
    " ", "UTF8 ", " UTF8", "UTF8  REQUIRETLS", "REQUIRETLS UTF8", "UTF8 UTF8", "UTF8=", "UTF8=1", "utf8", "NEW=1",
    "ENVID=", "ENVID=a+2b", "RET=", "RET=ALL", "BODY=7BIT", "PRIORITY=0", "PRIORITY=10", "PRIORITY=-10", "PRIORITY=+3",
    "PRIORITY=03", "PRIORITY=", "HOLD=-1", "HOLD=0", "HOLD=9223372036854775808", "BY=5", "BY=5;", "BY=5;T", "BY=5;NTT",
    "BY=;N", "BY=05;N", "ACCOUNT=0", "ACCOUNT=-1", "ACCOUNT=18446744073709551616", "SOURCE", "NOTIFY=NEVER",
};

static const struct { const char *note; struct recipient_options o; const char *text; } recipients[] = {
    {"nothing asked", {.notify = 0}, ""},
    {"never", {.notify = NOTIFY_NEVER}, "NOTIFY=NEVER"},
    {"all", {.notify = NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, .orcpt = SLICE("rfc822;a+b@example.org")},
     "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bb@example.org"},
    {"only the original", {.orcpt = SLICE("utf-8;j\xc3\xb6rg@example.org")}, "ORCPT=utf-8;j+C3+B6rg@example.org"},
};

static void test_recipients(struct arena *a)
{
    for (size_t i = 0; i < ARRAY_LEN(recipients); i++) {
        struct recipient_options got;
        struct buf               out;

        buf_init(&out, 1000);
        recipient_options_write(&out, &recipients[i].o);
        CHECK_SLICE(recipients[i].note, buf_slice(&out), slice_of(recipients[i].text));
        CHECK(recipients[i].note, recipient_options_read(a, buf_slice(&out), &got));
        CHECK(recipients[i].note, got.notify == recipients[i].o.notify);
        CHECK_SLICE(recipients[i].note, got.orcpt, recipients[i].o.orcpt);
        buf_finish(&out);
    }
}

static const char *const bad_recipients[] = {
    " ", "NOTIFY", "NOTIFY=", "NOTIFY=FAILURE,SUCCESS", "NOTIFY=NEVER,NEVER", "NOTIFY=SUCCESS,", "NOTIFY=,DELAY",
    "NOTIFY=Never", "NOTIFY=DELAY NOTIFY=DELAY", "ORCPT=", "ORCPT=a NOTIFY=DELAY", "UTF8",
};

static void test_bad(struct arena *a)
{
    struct envelope_options  message;
    struct recipient_options recipient;

    for (size_t i = 0; i < ARRAY_LEN(bad_messages); i++)
        CHECK(bad_messages[i], !envelope_options_read(a, slice_of(bad_messages[i]), &message));
    for (size_t i = 0; i < ARRAY_LEN(bad_recipients); i++)
        CHECK(bad_recipients[i], !recipient_options_read(a, slice_of(bad_recipients[i]), &recipient));
}

int main(void)
{
    struct arena a;

    arena_init(&a, 1 << 20);
    test_xtext(&a);
    test_messages(&a);
    test_recipients(&a);
    test_bad(&a);
    arena_finish(&a);
    return check_done();
}
