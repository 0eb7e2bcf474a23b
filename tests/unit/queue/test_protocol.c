/*
 * What the mail role says of messages that leave, packed and read again; and what no mail role of ours would say.
 */
#include "base/body.h"
#include "base/fail.h"
#include "check.h"
#include "queue/protocol.h"

static struct body *body_of(const char *text)
{
    static const struct body_limits limits = {.memory_max = 1024, .size_max = 1024, .spool_dir = "/nonexistent"};
    struct body *b = body_create(&limits);

    CHECK("body", body_add(b, slice_of(text), NULL));
    return b;
}

static const struct queue_recipient recipients[] = {
    {.address = {"ann@a.test", 10}, .options = {.notify = NOTIFY_FAILURE | NOTIFY_DELAY, .orcpt = {"rfc822;x@y", 10}}},
    {.address = {"bob@b.test", 10}, .prefix = {"Delivered-To: list@ours.test\r\n", 30}},
};

static void pack(struct buf *out)
{
    struct body *first = body_of("one"), *second = body_of("");
    const struct queue_message messages[] = {
        {.id = 8, .sender = {"", 0}, .trace = {"t1", 2}, .received = 1, .recipients = recipients, .recipient_count = 1, .body = first},
        {.id = UINT64_MAX, .sender = {"me@ours.test", 12}, .received = 5, .options = {.priority = -3, .requiretls = true},
         .recipients = recipients, .recipient_count = 2, .body = second},
    };

    pack_write(out, &messages[0]);
    pack_write(out, &messages[1]);
    body_destroy(&first);
    body_destroy(&second);
}

static void test_round_trip(void)
{
    struct queue_message *m;
    struct arena a;
    struct buf text;
    uint64_t *sizes;

    arena_init(&a, 1 << 20);
    buf_init(&text, 1 << 20);
    pack(&text);
    CHECK("read", pack_read(buf_slice(&text), 2, &a, &m, &sizes, NULL));
    CHECK("numbers", m[0].id == 8 && m[0].received == 1 && sizes[0] == 3 && m[1].id == UINT64_MAX && sizes[1] == 0);
    CHECK("texts", m[0].sender.len == 0 && slice_eq(m[0].trace, SLICE("t1")) && slice_eq(m[1].sender, SLICE("me@ours.test")));
    CHECK("options", m[1].options.priority == -3 && m[1].options.requiretls && m[0].options.priority == 0);
    CHECK("recipients", m[0].recipient_count == 1 && m[1].recipient_count == 2);
    CHECK("their options", m[0].recipients[0].options.notify == (NOTIFY_FAILURE | NOTIFY_DELAY) &&
                               slice_eq(m[0].recipients[0].options.orcpt, SLICE("rfc822;x@y")));
    CHECK("prefix", slice_eq(m[1].recipients[1].prefix, recipients[1].prefix));
    buf_finish(&text);
    arena_finish(&a);
}

/* What would be a command to another server, or a line of its own in a header or log. */
static bool is_taken(struct slice sender, struct slice trace, struct slice address, struct slice envid, struct slice orcpt)
{
    struct body *body = body_of("x");
    const struct queue_recipient to = {.address = address, .options = {.orcpt = orcpt}};
    const struct queue_message message = {.id = 1, .sender = sender, .trace = trace, .options = {.envid = envid}, .recipients = &to,
                                          .recipient_count = 1, .body = body};
    struct queue_message *m;
    struct arena a;
    struct buf text;
    uint64_t *sizes;

    arena_init(&a, 1 << 20);
    buf_init(&text, 1 << 20);
    pack_write(&text, &message);
    bool taken = pack_read(buf_slice(&text), 1, &a, &m, &sizes, NULL);
    buf_finish(&text);
    arena_finish(&a);
    body_destroy(&body);
    return taken;
}

static void test_lines(void)
{
    const struct slice a = SLICE("ann@a.test"), t = SLICE("t1"), none = SLICE(""), evil = SLICE("a@b.test>\r\nRCPT TO:<c@d.test");
    static char long_one[PACK_ADDRESS_MAX + 1];

    memset(long_one, 'a', sizeof long_one);
    CHECK("whole", is_taken(a, t, a, none, none));
    CHECK("a sender that is two commands", !is_taken(evil, t, a, none, none));
    CHECK("a recipient", !is_taken(a, t, evil, none, none));
    CHECK("with a NUL", !is_taken(a, t, slice_make("a\0b@a.test", 10), none, none));
    CHECK("too long", !is_taken(a, t, slice_make(long_one, sizeof long_one), none, none) &&
                          is_taken(a, t, slice_make(long_one, PACK_ADDRESS_MAX), none, none));
    CHECK("a trace", !is_taken(a, SLICE("t\n"), a, none, none));
    CHECK("an envelope id", !is_taken(a, t, a, SLICE("x\r\nBcc: y"), none) && is_taken(a, t, a, SLICE("x y"), none));
    CHECK("an original recipient", !is_taken(a, t, a, none, SLICE("rfc822;\r\n")));
}

/* Cut anywhere, or with something behind it, or counted wrongly: refused. */
static void test_malformed(void)
{
    struct queue_message *m;
    struct arena a;
    struct buf text;
    uint64_t *sizes;
    struct fail why;

    arena_init(&a, 64 << 20);
    buf_init(&text, 1 << 20);
    pack(&text);
    for (size_t n = 0; n < text.len; n++)
        CHECK("cut", !pack_read(slice_sub(buf_slice(&text), 0, n), 2, &a, &m, &sizes, &why));
    CHECK("one too few", !pack_read(buf_slice(&text), 1, &a, &m, &sizes, &why));
    CHECK("one too many", !pack_read(buf_slice(&text), 3, &a, &m, &sizes, &why));
    CHECK("none", !pack_read(SLICE(""), 0, &a, &m, &sizes, &why));
    CHECK("far too many", !pack_read(buf_slice(&text), SIZE_MAX, &a, &m, &sizes, &why));
    buf_add_char(&text, 0);
    CHECK("something behind", !pack_read(buf_slice(&text), 2, &a, &m, &sizes, &why));
    CHECK("said so", why.kind == FAIL_PERM && why.reason == FAIL_INVALID);
    buf_finish(&text);
    arena_finish(&a);
}

static void test_over(void)
{
    const struct queue_over list[] = {{.id = 8, .taken = true}, {.id = UINT64_MAX, .taken = false}};
    struct queue_over got[2];
    size_t count = 0;
    struct buf text;

    buf_init(&text, 100);
    over_write(&text, list, 2);
    CHECK("read", over_read(buf_slice(&text), got, 2, &count) && count == 2 && got[0].id == 8 && got[0].taken && got[1].id == UINT64_MAX && !got[1].taken);
    CHECK("none", over_read(SLICE(""), got, 2, &count) && count == 0);
    CHECK("more than there is room for", !over_read(buf_slice(&text), got, 1, &count));
    CHECK("cut", !over_read(slice_sub(buf_slice(&text), 0, 17), got, 2, &count));
    buf_finish(&text);
}

int main(void)
{
    test_round_trip();
    test_over();
    test_lines();
    test_malformed();
    return check_done();
}
