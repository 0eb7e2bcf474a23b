/* smtp/client: whole conversations with peers that follow a script, good and bad. */
#include "peer.h"

#include "base/clock.h"

struct text_source { struct slice text; bool fails; };

static bool read_text(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    const struct text_source *t = ctx;

    if (t->fails || offset + n > t->text.len)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "cannot be read");
    memcpy(out, t->text.ptr + offset, n);
    return true;
}

#define HELLO(...) "> 220 peer ESMTP", "< EHLO us.example", __VA_ARGS__
#define PLAIN      HELLO("> 250 peer")
#define PIPE       HELLO(">>250-peer\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-SIZE 1000000\r\n250 ENHANCEDSTATUSCODES\r\n")
#define MAIL       "< MAIL FROM:<a@us.example>*"
#define RCPT1      "< RCPT TO:<b@peer.example>*"
#define RCPT2      "< RCPT TO:<c@peer.example>*"

static const char small[] = "Subject: x\r\n\r\nhello\r\n";

struct expected { unsigned code; bool sent; const char *status; };

static const struct scene {
    const char *note;
    const char *script[40];
    const char *recipients[5];       /* default: b@ */
    const char *body;                /* default: small */
    const char *message;             /* on the wire; NULL: not looked at */
    struct expected fates[5];
    const char *why;                 /* part of the story; NULL: smtp_client_send is true */
    bool utf8, requiretls, binary, dsn, lmtp, big, slow, xclient, by;
    const char *sender;
    int priority;
} scenes[] = {
    {.note = "without extensions, step by step",
     .script = {PLAIN, "< MAIL FROM:<a@us.example>", "> 250 ok", "< RCPT TO:<b@peer.example>", "> 250 ok", "< DATA", "> 354 go", "<.",
                "> 250 2.0.0 taken"},
     .message = "Subject: x\r\n\r\nhello\r\n.\r\n",
     .fates = {{250, true, "2.0.0"}}},
    {.note = "all at once", .script = {PIPE, "< MAIL FROM:<a@us.example> SIZE=21", RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "byte by byte", .slow = true,
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250-2.0.0 a\r\n250 2.0.0 b"},
     .fates = {{250, true, "2.0.0"}}},
    {.note = "HELO where EHLO is not known",
     .script = {"> 220 peer", "< EHLO us.example", "> 502 what", "< HELO us.example", "> 250 peer", "< MAIL FROM:<a@us.example>", "> 250 ok",
                "< RCPT TO:<b@peer.example>", "> 250 ok", "< DATA", "> 354 go", "<.", "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "MAIL refused, pipelined: DATA refused too",
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>550 5.7.1 not you\r\n503 5.5.1 MAIL first\r\n503 5.5.1 no\r\n"},
     .fates = {{550, false, "5.7.1"}}},
    {.note = "all recipients refused, and 354 all the same: an empty message",
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n550 5.1.1 who\r\n354 go\r\n", "<.", "> 554 5.5.1 no recipients"},
     .message = ".\r\n",
     .fates = {{550, false, "5.1.1"}}},
    {.note = "one refused, one taken", .recipients = {"b@peer.example", "c@peer.example"},
     .script = {PIPE, MAIL, RCPT1, RCPT2, "< DATA", ">>250 ok\r\n450 4.2.0 later\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"},
     .fates = {{450, false, "4.2.0"}, {250, true, ""}}},
    {.note = "DATA refused", .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n451 4.3.0 not now\r\n"},
     .fates = {{451, false, "4.3.0"}}},
    {.note = "final reply refuses", .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 554 5.6.0 spam"},
     .fates = {{554, false, "5.6.0"}}},
    {.note = "too many recipients: the rest in a further transaction", .recipients = {"b@peer.example", "c@peer.example"},
     .script = {PIPE, MAIL, RCPT1, RCPT2, "< DATA", ">>250 ok\r\n250 ok\r\n452 4.5.3 too many\r\n354 go\r\n", "<.", "> 250 first", MAIL, RCPT2,
                "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 second"},
     .fates = {{250, true, ""}, {250, true, ""}}},
    {.note = "452 for the first one is no reason to go on", .recipients = {"b@peer.example", "c@peer.example"},
     .script = {PIPE, MAIL, RCPT1, RCPT2, "< DATA", ">>250 ok\r\n452 4.5.3 too many\r\n452 4.5.3 too many\r\n503 no\r\n"},
     .fates = {{452, false, "4.5.3"}, {452, false, "4.5.3"}}},
    {.note = "full disk is not too many", .recipients = {"b@peer.example", "c@peer.example"},
     .script = {PIPE, MAIL, RCPT1, RCPT2, "< DATA", ">>250 ok\r\n250 ok\r\n452 4.3.1 disk\r\n354 go\r\n", "<.", "> 250 ok"},
     .fates = {{250, true, ""}, {452, false, "4.3.1"}}},
    {.note = "RCPTMAX", .recipients = {"b@peer.example", "c@peer.example"},
     .script = {HELLO(">>250-peer\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1 MAILMAX=9\r\n"), MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n",
                "<.", "> 250 ok", MAIL, RCPT2, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"},
     .fates = {{250, true, ""}, {250, true, ""}}},
    {.note = "421 to MAIL", .script = {PIPE, MAIL, RCPT1, "< DATA", "> 421 4.3.2 down", "!"}, .fates = {{421, false, "4.3.2"}}},
    {.note = "421 to the second recipient", .recipients = {"b@peer.example", "c@peer.example"},
     .script = {PIPE, MAIL, RCPT1, RCPT2, "< DATA", ">>250 ok\r\n250 ok\r\n421 4.7.0 enough\r\n", "!"},
     .fates = {{421, false, "4.7.0"}, {421, false, "4.7.0"}}},
    {.note = "421 instead of the final reply", .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 421 down", "!"},
     .fates = {{421, false, ""}}},
    {.note = "lost before the final reply", .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "!"},
     .why = "closed the connection", .fates = {{0, false, ""}}},
    {.note = "lost in the middle of the final reply",
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", ">>250 o", "!"}, .why = "closed the connection",
     .fates = {{0, false, ""}}},
    {.note = "lost at RCPT, one had been refused", .recipients = {"b@peer.example", "c@peer.example"},
     .script = {PIPE, MAIL, RCPT1, RCPT2, "< DATA", ">>250 ok\r\n550 5.1.1 no\r\n", "!"}, .why = "closed the connection",
     .fates = {{550, false, "5.1.1"}, {0, false, ""}}},
    {.note = "354 to RCPT: out of step", .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n354 ok\r\n", "!"}, .why = "unexpected reply",
     .fates = {{0, false, ""}}},
    {.note = "250 to DATA: out of step", .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n250 ok\r\n", "!"}, .why = "unexpected reply",
     .fates = {{0, false, ""}}},
    {.note = "dots", .body = ".\r\n..\r\n.a\r\na.\r\n\r\n.", .message = "..\r\n...\r\n..a\r\na.\r\n\r\n..\r\n.\r\n",
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"}, .fates = {{250, true, ""}}},
    {.note = "bare CR and LF become line ends", .body = "a\nb\rc\r\r\n.\nd", .message = "a\r\nb\r\nc\r\n\r\n..\r\nd\r\n.\r\n",
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"}, .fates = {{250, true, ""}}},
    {.note = "an empty message", .body = "", .message = ".\r\n",
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"}, .fates = {{250, true, ""}}},
    {.note = "one chunk, in one write",
     .script = {HELLO(">>250-peer\r\n250-PIPELINING\r\n250 CHUNKING\r\n"), MAIL, RCPT1, "< BDAT * LAST", ">>250 ok\r\n250 ok\r\n250 taken\r\n"},
     .body = ".a\r\nb", .message = ".a\r\nb\r\n", .fates = {{250, true, ""}}},
    {.note = "one chunk, nobody accepted",
     .script = {HELLO(">>250-peer\r\n250-PIPELINING\r\n250 CHUNKING\r\n"), MAIL, RCPT1, "< BDAT * LAST", ">>250 ok\r\n550 5.1.1 no\r\n503 no\r\n"},
     .fates = {{550, false, "5.1.1"}}},
    {.note = "chunking without pipelining: DATA",
     .script = {HELLO(">>250-peer\r\n250 CHUNKING\r\n"), MAIL, "> 250 ok", RCPT1, "> 250 ok", "< DATA", "> 354 go", "<.", "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "binary", .binary = true,
     .script = {HELLO(">>250-peer\r\n250-PIPELINING\r\n250-BINARYMIME\r\n250 CHUNKING\r\n"), "< MAIL FROM:<a@us.example> BODY=BINARYMIME", RCPT1,
                "< BDAT * LAST", ">>250 ok\r\n250 ok\r\n250 ok\r\n"},
     .body = "A: b\r\n\r\na\nb\r.", .message = "A: b\r\n\r\na\nb\r.", .fates = {{250, true, ""}}},
    {.note = "binary, in lockstep", .binary = true,
     .script = {HELLO(">>250-peer\r\n250-BINARYMIME\r\n250 CHUNKING\r\n"), MAIL, "> 250 ok", RCPT1, "> 250 ok", "< BDAT * LAST", "> 250 ok"},
     .body = "A: b\r\n\r\na\nb\r.", .message = "A: b\r\n\r\na\nb\r.", .fates = {{250, true, ""}}},
    {.note = "binary to 8BITMIME: encoded", .binary = true,
     .script = {PIPE, "< MAIL FROM:<a@us.example> BODY=8BITMIME", RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"},
     .body = "Content-Transfer-Encoding: binary\r\nContent-Type: text/plain\r\nMIME-Version: 1.0\r\n\r\na\nb",
     .message = "Content-Type: text/plain\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=0Ab\r\n.\r\n",
     .fates = {{250, true, ""}}},
    {.note = "8-bit to 8BITMIME",
     .script = {PIPE, "< MAIL FROM:<a@us.example> SIZE=16 BODY=8BITMIME", RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"},
     .body = "Subject: x\r\n\r\n\xc3\xa4", .message = "Subject: x\r\n\r\n\xc3\xa4\r\n.\r\n", .fates = {{250, true, ""}}},
    {.note = "8-bit where only 7 go",
     .script = {PLAIN, "< MAIL FROM:<a@us.example>", "> 250 ok", RCPT1, "> 250 ok", "< DATA", "> 354 go", "<.", "> 250 ok"},
     .body = "Subject: x\r\n\r\n.\xc3\xa4 bcd efg\r\n",
     .message = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
                "Content-Transfer-Encoding: quoted-printable\r\n\r\n..=C3=A4 bcd efg\r\n.\r\n",
     .fates = {{250, true, ""}}},
    {.note = "8-bit header where only 7 go", .script = {PLAIN}, .body = "Subject: \xc3\xa4\r\n\r\na\r\n", .fates = {{554, false, "5.6.3"}}},
    {.note = "SMTPUTF8", .utf8 = true, .sender = "\xc3\xa4@us.example",
     .script = {PIPE, "< MAIL FROM:<\xc3\xa4@us.example> SIZE=21 BODY=8BITMIME SMTPUTF8", RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.",
                "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "SMTPUTF8 asked for, not needed, not offered", .utf8 = true,
     .script = {PLAIN, "< MAIL FROM:<a@us.example>", "> 250 ok", RCPT1, "> 250 ok", "< DATA", "> 354 go", "<.", "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "a sender that needs SMTPUTF8", .sender = "\xc3\xa4@us.example", .script = {PLAIN}, .fates = {{550, false, "5.6.7"}}},
    {.note = "one recipient that needs it, one that does not", .recipients = {"\xc3\xa4@peer.example", "c@peer.example"},
     .script = {PLAIN, "< MAIL FROM:<a@us.example>", "> 250 ok", RCPT2, "> 250 ok", "< DATA", "> 354 go", "<.", "> 250 ok"},
     .fates = {{550, false, "5.6.7"}, {250, true, ""}}},
    {.note = "a domain alone can be said in A-labels", .recipients = {"b@p\xc3\xa4.example"},
     .script = {PLAIN, "< MAIL FROM:<a@us.example>", "> 250 ok", "< RCPT TO:<b@xn--p-0fa.example>", "> 250 ok", "< DATA", "> 354 go", "<.", "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "a header that needs it", .utf8 = true, .script = {HELLO(">>250-peer\r\n250 8BITMIME\r\n")}, .body = "Subject: \xc3\xa4\r\n\r\na\r\n",
     .fates = {{554, false, "5.6.7"}}},
    {.note = "too large", .script = {HELLO(">>250-peer\r\n250 SIZE 20\r\n")}, .fates = {{552, false, "5.3.4"}}},
    {.note = "REQUIRETLS is not to be had", .requiretls = true, .script = {HELLO(">>250-peer\r\n250 REQUIRETLS\r\n")}, .fates = {{550, false, "5.7.30"}}},
    {.note = "DSN and priority", .dsn = true, .priority = 3,
     .script = {HELLO(">>250-peer\r\n250-DSN\r\n250 MT-PRIORITY MIXER\r\n"), "< MAIL FROM:<a@us.example> RET=HDRS ENVID=a+2B+20b MT-PRIORITY=3",
                "> 250 ok", "< RCPT TO:<b@peer.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z.example", "> 250 ok", "< DATA", "> 354 go", "<.",
                "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "XCLIENT", .xclient = true,
     .script = {HELLO(">>250-peer\r\n250 XCLIENT NAME ADDR PROTO LOGIN FUTURE\r\n"),
                "< XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.9 PROTO=ESMTP LOGIN=[UNAVAILABLE]", "> 220 peer again", "< EHLO us.example", "> 250 peer", MAIL,
                "> 250 ok", RCPT1, "> 250 ok", "< DATA", "> 354 go", "<.", "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "XCLIENT refused", .xclient = true,
     .script = {HELLO(">>250-peer\r\n250 XCLIENT ADDR\r\n"), "< XCLIENT ADDR=192.0.2.9", "> 550 5.7.0 not you"}, .why = "XCLIENT: 550",
     .fates = {{0, false, ""}}},
    {.note = "DELIVERBY with R to a peer that cannot promise", .by = true, .script = {PIPE}, .fates = {{554, false, "5.4.7"}}},
    {.note = "DELIVERBY with R to a peer that wants more time", .by = true, .script = {HELLO(">>250-peer\r\n250 DELIVERBY 99999\r\n")},
     .fates = {{554, false, "5.4.7"}}},
    {.note = "DELIVERBY", .by = true,
     .script = {HELLO(">>250-peer\r\n250 DELIVERBY\r\n"), "< MAIL FROM:<a@us.example> BY=*", "> 250 ok", RCPT1, "> 250 ok", "< DATA", "> 354 go", "<.",
                "> 250 ok"},
     .fates = {{250, true, ""}}},
    {.note = "an address that would be a command", .recipients = {"b@peer.example>\r\nRSET"}, .script = {PLAIN}, .fates = {{553, false, "5.1.3"}}},
    {.note = "LMTP: a reply each", .lmtp = true, .recipients = {"b@peer.example", "c@peer.example", "d@peer.example"},
     .script = {"> 220 peer", "< LHLO us.example", ">>250-peer\r\n250 PIPELINING\r\n", MAIL, RCPT1, RCPT2, "< RCPT TO:<d@*", "< DATA",
                ">>250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n", "<.", ">>250 2.0.0 b\r\n452 4.2.2 d is full\r\n"},
     .fates = {{250, true, "2.0.0"}, {550, false, "5.1.1"}, {452, false, "4.2.2"}}},
    {.note = "LMTP: lost between two replies", .lmtp = true, .recipients = {"b@peer.example", "c@peer.example"},
     .script = {"> 220 peer", "< LHLO us.example", ">>250-peer\r\n250 PIPELINING\r\n", MAIL, RCPT1, RCPT2, "< DATA",
                ">>250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", "<.", ">>250 2.0.0 b\r\n", "!"},
     .why = "closed the connection", .fates = {{250, true, "2.0.0"}, {0, false, ""}}},
    {.note = "a large message, refused early while it is written", .big = true,
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<# 100000", "> 552 5.3.4 too large", "!"},
     .fates = {{552, false, "5.3.4"}}},
    {.note = "a large message, the reply comes early and the rest is read", .big = true,
     .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<# 100000", "> 552 5.3.4 too large", "<."},
     .fates = {{552, false, "5.3.4"}}},
    {.note = "a large message, whole", .big = true, .script = {PIPE, MAIL, RCPT1, "< DATA", ">>250 ok\r\n250 ok\r\n354 go\r\n", "<.", "> 250 ok"},
     .fates = {{250, true, ""}}},
};

static struct smtp_peer a_peer(void)
{
    return (struct smtp_peer){.host = "mx.peer.example", .helo = "us.example"};
}

/* Large enough that no socket's buffer holds it, with dots where pieces end. */
static struct slice big_text(void)
{
    static char text[900001];

    if (text[0] == '\0') {
        for (size_t i = 0; i + 3 <= 900000; i += 3)
            memcpy(text + i, i % 9 == 0 ? ".\r\n" : "a\r\n", 3);
    }
    return slice_make(text, 900000);
}

static void check_fates(const struct scene *scene, const struct smtp_client_recipient *r, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct expected *e = &scene->fates[i];

        CHECK(scene->note, r[i].reply.code == e->code);
        if (r[i].reply.code != e->code)
            fprintf(stderr, "   recipient %zu: %u " PRIslice "\n", i, r[i].reply.code, SLICE_ARG(r[i].reply.text));
        CHECK(scene->note, r[i].sent == e->sent);
        if (e->status != NULL)
            CHECK_SLICE(scene->note, r[i].reply.status, slice_of(e->status));
    }
}

static void play(const struct scene *scene)
{
    struct smtp_client_limits limits;
    struct smtp_client_recipient recipients[5] = {0};
    struct smtp_peer to = a_peer();
    struct text_source text = {.text = scene->big ? big_text() : slice_of(scene->body != NULL ? scene->body : small)};
    struct smtp_client_message m = {.sender = slice_of(scene->sender != NULL ? scene->sender : "a@us.example"), .recipients = recipients};
    struct smtp_reply_text reply;
    struct peer *peer = calloc(1, sizeof(*peer));
    struct arena a;
    struct fail why = {0};

    smtp_client_limits_default(&limits);
    arena_init(&a, 1 << 20);
    to.lmtp = scene->lmtp;
    m.options = (struct envelope_options){.utf8 = scene->utf8, .requiretls = scene->requiretls, .priority = scene->priority,
                                          .body = scene->binary ? BODY_BINARYMIME : BODY_7BIT};
    m.options.source = SLICE("192.0.2.9");
    to.xclient = scene->xclient;
    if (scene->by) {
        m.options.by_mode = BY_RETURN;
        m.options.by = clock_now() + 3600;
    }
    if (scene->dsn) {
        m.options.ret = RET_HDRS;
        m.options.envid = SLICE("a+ b");
        recipients[0].options = (struct recipient_options){.notify = NOTIFY_SUCCESS | NOTIFY_DELAY, .orcpt = SLICE("rfc822;x+y@z.example")};
    }
    for (; m.recipient_count < 5 && scene->recipients[m.recipient_count] != NULL; m.recipient_count++)
        recipients[m.recipient_count].address = slice_of(scene->recipients[m.recipient_count]);
    if (m.recipient_count == 0)
        recipients[m.recipient_count++].address = SLICE("b@peer.example");
    m.source = (struct smtp_source){.read = read_text, .ctx = &text, .size = text.text.len};
    peer_start(peer, scene->script, scene->slow);
    struct smtp_client *c = smtp_client_adopt(peer->client_fd, &to, NULL, &limits, &reply, &a, &why);
    CHECK(scene->note, c != NULL);
    if (c != NULL) {
        bool ok = smtp_client_send(c, &m, &a, &why);
        CHECK(scene->note, ok == (scene->why == NULL));
        if (!ok)
            CHECK(scene->note, scene->why != NULL && strstr(why.text, scene->why) != NULL);
        if (!ok && (scene->why == NULL || strstr(why.text, scene->why) == NULL))
            fprintf(stderr, "   %s\n", why.text);
        check_fates(scene, recipients, m.recipient_count);
    } else {
        fprintf(stderr, "   %s\n", why.text);
    }
    smtp_client_close(&c);
    peer_join(peer, scene->note);
    if (scene->message != NULL)
        CHECK_SLICE(scene->note, buf_slice(&peer->message), slice_of(scene->message));
    buf_finish(&peer->message);
    free(peer);
    arena_finish(&a);
}

int main(void)
{
    for (size_t i = 0; i < ARRAY_LEN(scenes); i++)
        play(&scenes[i]);
    return check_done();
}
