/* smtp/client's parts: replies of every shape, lines at every buffer edge, capabilities, addresses, AUTH and STARTTLS. */
#include <poll.h>

#include "peer.h"

#include "net/tls_client.h"
#include "smtp/client_envelope.h"
#include "smtp/client_lines.h"

/* ---- replies ---- */

static const struct {
    const char *note, *input;
    unsigned code;
    const char *status, *text;
} replies[] = {
    {"plain", "250 ok\r\n", 250, "", "ok"},
    {"code alone", "250\r\n", 250, "", ""},
    {"LF alone", "250-a\n250 b\n", 250, "", "a\nb"},
    {"no blank", "250ok\r\n", 250, "", "ok"},
    {"status", "550 5.1.1 no such user\r\n", 550, "5.1.1", "5.1.1 no such user"},
    {"status alone", "250 2.0.0\r\n", 250, "2.0.0", "2.0.0"},
    {"status of another class", "250 5.1.1 ok\r\n", 250, "", "5.1.1 ok"},
    {"no status", "550 5.1 no\r\n", 550, "", "5.1 no"},
    {"no status, a version", "250 2.0.0beta\r\n", 250, "", "2.0.0beta"},
    {"no status, too long", "250 2.0.1000 x\r\n", 250, "", "2.0.1000 x"},
    {"codes differ: the last counts", "250-2.0.0 a\r\n550 5.7.1 b\r\n", 550, "5.7.1", "2.0.0 a\n5.7.1 b"},
    {"status on the first line only", "550-5.7.1 a\r\n550 b\r\n", 550, "5.7.1", "5.7.1 a\nb"},
    {"text without a code", "hello\r\n250 ok\r\n", 250, "", "hello\nok"},
    {"text without a code in between", "250-a\r\nb\r\n250 c\r\n", 250, "", "a\nb\nc"},
    {"no such class", "999 a\r\n250 c\r\n", 250, "", "999 a\nc"},
    {"NUL and 8 bits", "250 a\x01" "b\xc3\xa4\tc\r\n", 250, "", "a?b?? c"},
    {"a bare CR", "250 a\rb\r\n", 250, "", "a?b"},
    {"CR CR LF", "250 a\r\r\n", 250, "", "a?"},
    {"empty lines", "\r\n\r\n220 a\r\n", 220, "", "a"},
    {"short line", "25\r\n250 a\r\n", 250, "", "25\na"},
    {"hyphens", "250-\r\n250--\r\n250 \r\n", 250, "", "-"},
};

static void check_reply(const char *note, struct slice in, size_t step, unsigned code, const char *status, const char *text)
{
    struct reply_reader r;
    struct arena a;

    arena_init(&a, 1 << 20);
    reply_reader_init(&r, 4096, 100);
    reply_reader_start(&r);
    for (size_t at = 0; at < in.len && !r.done; at += step) {
        struct slice piece = slice_sub(in, at, step);
        size_t taken = reply_reader_feed(&r, piece);
        CHECK(note, taken == piece.len || r.done);
    }
    struct smtp_reply_text got = reply_reader_take(&r, &a);
    CHECK(note, r.done && got.code == code);
    CHECK_SLICE(note, got.status, slice_of(status));
    CHECK_SLICE(note, got.text, slice_of(text));
    reply_reader_finish(&r);
    arena_finish(&a);
}

static void test_replies(void)
{
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct slice in = slice_of(replies[i].input);

        for (size_t step = 1; step <= in.len; step++)
            check_reply(replies[i].note, in, step, replies[i].code, replies[i].status, replies[i].text);
    }
    check_reply("a NUL", slice_make("250 a\0b\r\n", 9), 9, 250, "", "a?b");
}

static void test_long_replies(void)
{
    struct reply_reader r;
    struct arena a;
    struct buf in;

    arena_init(&a, 1 << 20);
    buf_init(&in, 1 << 24);
    for (int i = 0; i < 10000; i++)
        buf_add(&in, SLICE("250-some line of text\r\n"));
    buf_add(&in, SLICE("550 5.7.1 the end\r\n"));
    reply_reader_init(&r, 1000, 20000);
    reply_reader_start(&r);
    CHECK("ten thousand lines", reply_reader_feed(&r, buf_slice(&in)) == in.len && r.done && !r.too_long);
    struct smtp_reply_text got = reply_reader_take(&r, &a);
    CHECK("their code", got.code == 550 && got.text.len <= 1000);
    reply_reader_finish(&r);
    reply_reader_init(&r, 1000, 500);
    reply_reader_start(&r);
    (void)reply_reader_feed(&r, buf_slice(&in));
    CHECK("more lines than allowed", r.too_long && !r.done);
    reply_reader_finish(&r);
    buf_reset(&in);
    buf_add(&in, SLICE("250 "));
    for (int i = 0; i < 1000000; i++)
        buf_add_char(&in, 'x');
    buf_add(&in, SLICE("\r\n"));
    reply_reader_init(&r, 1000, 500);
    reply_reader_start(&r);
    CHECK("a line of a megabyte", reply_reader_feed(&r, buf_slice(&in)) == in.len && r.done);
    CHECK("is cut", reply_reader_take(&r, &a).text.len == 1000);
    reply_reader_finish(&r);
    buf_finish(&in);
    arena_finish(&a);
}

/* ---- lines ---- */

/* The rule, said once more in the plainest way. */
static void plainly(struct buf *out, struct slice in, bool dots)
{
    bool start = true;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];

        if (c == '\r' || c == '\n') {
            if (c == '\r' && i + 1 < in.len && in.ptr[i + 1] == '\n')
                i++;
            buf_add(out, SLICE("\r\n"));
            start = true;
            continue;
        }
        if (start && dots && c == '.')
            buf_add_char(out, '.');
        buf_add_char(out, c);
        start = false;
    }
    if (!start)
        buf_add(out, SLICE("\r\n"));
    if (dots)
        buf_add(out, SLICE(".\r\n"));
}

/* All texts of up to seven of the bytes that matter, cut at every place into three. */
static void test_lines(void)
{
    static const char letters[] = ".\r\na";
    struct buf want, got;
    unsigned bad = 0;

    buf_init(&want, 1000);
    buf_init(&got, 1000);
    for (unsigned len = 0; len <= 7; len++) {
        for (unsigned n = 0; n < 1u << (2 * len); n++) {
            char text[7];
            for (unsigned i = 0; i < len; i++)
                text[i] = letters[n >> (2 * i) & 3];
            for (unsigned cut = 0; cut <= len; cut++)
                for (unsigned second = cut; second <= len; second++) {
                    struct line_writer w;
                    buf_reset(&want);
                    buf_reset(&got);
                    line_writer_init(&w, true);
                    line_writer_feed(&w, slice_make(text, cut), &got);
                    line_writer_feed(&w, slice_make(text + cut, second - cut), &got);
                    line_writer_feed(&w, slice_make(text + second, len - second), &got);
                    line_writer_finish(&w, &got);
                    plainly(&want, slice_make(text, len), true);
                    bad += !slice_eq(buf_slice(&want), buf_slice(&got));
                }
        }
    }
    CHECK("dots and line ends at every edge", bad == 0);
    buf_finish(&want);
    buf_finish(&got);
}

/* ---- capabilities ---- */

static void test_capabilities(void)
{
    struct smtp_client c = {0};

    client_read_capabilities(&c, SLICE("mx.example PIPELINING DSN\nsize 1000\nAUTH PLAIN login\nAUTH=SCRAM-SHA-256 X\n8bitmime\nDELIVERBY 240,x\n"
                                       "LIMITS RCPTMAX=20 MAILMAX=0\nXCLIENT NAME addr\nSMTPUTF8\nBINARYMIME\nXXXXXXXA\n"));
    CHECK("the first line is a name", !(c.can & (SMTP_CAN_PIPELINING | SMTP_CAN_DSN)));
    CHECK("size", (c.can & SMTP_CAN_SIZE) && c.size_max == 1000);
    CHECK("auth, both ways", c.sasl == (SASL_PLAIN | SASL_LOGIN | SASL_SCRAM_SHA_256));
    CHECK("8bitmime and smtputf8", (c.can & SMTP_CAN_8BITMIME) && (c.can & SMTP_CAN_SMTPUTF8));
    CHECK("binary needs chunking", !(c.can & SMTP_CAN_BINARYMIME));
    CHECK("deliverby", c.by_min == 240 && (c.can & SMTP_CAN_DELIVERBY));
    CHECK("limits", c.rcpt_max == 20 && c.mail_max == 0);
    CHECK("xclient", c.xclient_takes == (XCLIENT_NAME | XCLIENT_ADDR));
    client_read_capabilities(&c, SLICE("mx.example\nSIZE\nSMTPUTF8"));
    CHECK("again: nothing is left", c.can == (SMTP_CAN_ESMTP | SMTP_CAN_SIZE) && c.sasl == 0 && c.size_max == 0 && c.by_min == 0);
}

/* ---- addresses ---- */

static void test_addresses(void)
{
    static const struct { const char *note, *address; bool clean; } cases[] = {
        {"plain", "a@b.example", true},          {"null", "", true},
        {"quoted blank", "\"a b\"@c", true},      {"quoted bracket", "\"a>b\"@c", true},
        {"escaped quote", "\"a\\\">\"@c", true}, {"bracket", "a>b@c", false},
        {"CR", "a\r@c", false},                  {"CR in quotes", "\"a\r\"@c", false},
        {"open quotes", "\"a@c", false},         {"blank", "a b@c", false},
        {"escaped CR", "\"a\\\r\"@c", false},    {"DEL", "a\x7f@c", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK(cases[i].note, client_address_is_clean(slice_of(cases[i].address)) == cases[i].clean);
}

/* ---- opening ---- */

static const struct opening {
    const char *note;
    const char *script[16];
    const char *user;
    enum smtp_client_tls tls;
    bool clear;
    const char *why; /* NULL: a session */
    enum fail_kind kind;
} openings[] = {
    {.note = "5xx greeting", .script = {"> 554 5.7.1 no service"}, .why = "greeting: 554", .kind = FAIL_PERM},
    {.note = "4xx greeting", .script = {"> 421 busy"}, .why = "greeting: 421", .kind = FAIL_TEMP},
    {.note = "no greeting", .script = {"!"}, .why = "greeting: ", .kind = FAIL_TEMP},
    {.note = "garbage for ever", .script = {">>a\nb\nc\n250 x\n"}, .why = NULL},
    {.note = "EHLO and HELO refused", .script = {"> 220 a", "< EHLO us.example", "> 500 no", "< HELO us.example", "> 550 no"}, .why = "HELO: 550", .kind = FAIL_PERM},
    {.note = "EHLO later", .script = {"> 220 a", "< EHLO us.example", "> 451 no"}, .why = "EHLO: 451", .kind = FAIL_TEMP},
    {.note = "lost at EHLO", .script = {"> 220 a", "< EHLO us.example", "!"}, .why = "EHLO: ", .kind = FAIL_TEMP},
    {.note = "PLAIN", .user = "ann", .clear = true,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH LOGIN PLAIN\r\n", "< AUTH PLAIN AGFubgBzZWNyZXQ=", "> 235 2.7.0 ok"}},
    {.note = "PLAIN, refused", .user = "ann", .clear = true,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH LOGIN PLAIN\r\n", "< AUTH PLAIN AGFubgBzZWNyZXQ=", "> 535 5.7.8 no"},
     .why = "AUTH: 535", .kind = FAIL_PERM},
    {.note = "PLAIN, later", .user = "ann", .clear = true,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH LOGIN PLAIN\r\n", "< AUTH PLAIN AGFubgBzZWNyZXQ=", "> 454 4.7.0 no"},
     .why = "AUTH: 454", .kind = FAIL_TEMP},
    {.note = "LOGIN", .user = "ann", .clear = true,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH LOGIN\r\n", "< AUTH LOGIN", "> 334 VXNlcm5hbWU6", "< YW5u", "> 334 UGFzc3dvcmQ6",
                "< c2VjcmV0", "> 235 ok"}},
    {.note = "LOGIN, refused at once", .user = "ann", .clear = true,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH LOGIN\r\n", "< AUTH LOGIN", "> 504 no"}, .why = "AUTH: 504", .kind = FAIL_PERM},
    {.note = "no mechanism", .user = "ann", .clear = true, .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH GSSAPI\r\n"},
     .why = "offers none", .kind = FAIL_PERM},
    {.note = "not in the clear", .user = "ann", .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH PLAIN\r\n"}, .why = "not sent in the clear",
     .kind = FAIL_PERM},
    {.note = "SCRAM: no proof asked for", .user = "ann", .clear = true,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n", "< AUTH SCRAM-SHA-256 biwsbj1hbm4s*", "> 235 come in"},
     .why = "did not prove", .kind = FAIL_TEMP},
    {.note = "SCRAM: nonsense", .user = "ann", .clear = true,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH SCRAM-SHA-256\r\n", "< AUTH SCRAM-SHA-256 biwsbj1hbm4s*", "> 334 !!", "!"},
     .why = "not base64", .kind = FAIL_TEMP},
    {.note = "SCRAM: another's nonce", .user = "ann", .clear = true,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 AUTH SCRAM-SHA-256\r\n", "< AUTH SCRAM-SHA-256 biwsbj1hbm4s*",
                "> 334 cj1hYWEscz1RU1hDUitRNnNlazhiZjkyLGk9NDA5Ng==", "!"},
     .why = "AUTH: SCRAM", .kind = FAIL_TEMP},
    {.note = "TLS demanded, not offered", .tls = CLIENT_TLS_MUST, .script = {"> 220 a", "< EHLO us.example", "> 250 a"}, .why = "does not offer STARTTLS",
     .kind = FAIL_TEMP},
    {.note = "TLS demanded, refused", .tls = CLIENT_TLS_MUST,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 STARTTLS\r\n", "< STARTTLS", "> 454 4.7.0 no"}, .why = "refused STARTTLS", .kind = FAIL_TEMP},
    {.note = "TLS where it can be had", .tls = CLIENT_TLS_MAY,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 STARTTLS\r\n", "< STARTTLS", "> 454 4.7.0 no"}},
    {.note = "text injected behind the 220", .tls = CLIENT_TLS_MAY,
     .script = {"> 220 a", "< EHLO us.example", ">>250-a\r\n250 STARTTLS\r\n", "< STARTTLS", ">>220 go\r\n250 SIZE 1\r\n", "!"},
     .why = "plain text came", .kind = FAIL_TEMP},
};

static void test_opening(const struct opening *o, struct tls_client *tls)
{
    const char *garbage[] = {o->script[0], "< EHLO us.example", "> 250 a", NULL};
    struct smtp_peer to = {.host = "mx", .helo = "us.example", .user = o->user, .password = "secret", .tls = o->tls, .auth_in_clear = o->clear};
    struct smtp_client_limits limits;
    struct smtp_reply_text reply;
    struct peer *peer = calloc(1, sizeof(*peer));
    struct arena a;
    struct fail why = {0};

    smtp_client_limits_default(&limits);
    arena_init(&a, 1 << 20);
    peer_start(peer, o->why == NULL && o->script[1] == NULL ? garbage : o->script, false);
    struct smtp_client *c = smtp_client_adopt(peer->client_fd, &to, tls, &limits, &reply, &a, &why);
    CHECK(o->note, (c != NULL) == (o->why == NULL));
    if (c == NULL) {
        CHECK(o->note, o->why != NULL && strstr(why.text, o->why) != NULL && why.kind == o->kind);
        CHECK(o->note, reply.code == 0 || reply.code >= 400);
        if (o->why == NULL || strstr(why.text, o->why) == NULL)
            fprintf(stderr, "   %s\n", why.text);
    } else {
        CHECK(o->note, smtp_client_usable(c));
    }
    smtp_client_close(&c);
    peer_join(peer, o->note);
    buf_finish(&peer->message);
    free(peer);
    arena_finish(&a);
}

/* Between two messages the peer says goodbye, or is gone. */
static void test_usable(const char *note, const char *last, bool usable)
{
    const char *script[] = {"> 220 a", "< EHLO us.example", "> 250 a", last, NULL};
    struct smtp_peer to = {.host = "mx", .helo = "us.example"};
    struct smtp_client_limits limits;
    struct smtp_reply_text reply;
    struct peer *peer = calloc(1, sizeof(*peer));
    struct arena a;
    struct fail why = {0};

    smtp_client_limits_default(&limits);
    arena_init(&a, 1 << 20);
    peer_start(peer, script, false);
    struct smtp_client *c = smtp_client_adopt(peer->client_fd, &to, NULL, &limits, &reply, &a, &why);
    while (last != NULL && c != NULL && !wire_has_input(&c->wire)) {
        struct pollfd wait = {.fd = peer->client_fd, .events = POLLIN};
        (void)poll(&wait, 1, -1);
    }
    CHECK(note, c != NULL && smtp_client_usable(c) == usable);
    smtp_client_close(&c);
    peer_join(peer, note);
    buf_finish(&peer->message);
    free(peer);
    arena_finish(&a);
}

/* A peer that says too little: each time limit, set to nothing, is over at once. */
static void test_silence(const char *note, const char *const *script, const char *why_not, bool opens, bool in_all)
{
    struct smtp_peer to = {.host = "mx", .helo = "us.example"};
    struct smtp_client_recipient r = {.address = SLICE("b@peer.example")};
    struct smtp_client_message m = {.sender = SLICE("a@us.example"), .recipients = &r, .recipient_count = 1};
    struct smtp_client_limits limits;
    struct smtp_reply_text reply;
    struct peer *peer = calloc(1, sizeof(*peer));
    struct arena a;
    struct fail why = {0};

    smtp_client_limits_default(&limits);
    if (!opens)
        *(in_all ? &limits.message_seconds : &limits.greeting_seconds) = 0;
    arena_init(&a, 1 << 20);
    peer_start(peer, script, false);
    struct smtp_client *c = smtp_client_adopt(peer->client_fd, &to, NULL, &limits, &reply, &a, &why);
    CHECK(note, (c != NULL) == opens);
    if (c != NULL) {
        *(in_all ? &c->limits.message_seconds : &c->limits.command_seconds) = 0;
        CHECK(note, !smtp_client_send(c, &m, &a, &why) && why.kind == FAIL_TEMP && r.reply.code == 0);
        CHECK(note, !smtp_client_usable(c));
    }
    CHECK(note, strstr(why.text, why_not) != NULL);
    smtp_client_close(&c);
    peer_join(peer, note);
    buf_finish(&peer->message);
    free(peer);
    arena_finish(&a);
}

int main(void)
{
    static const char *const nothing[] = {NULL}, *const no_mail[] = {"> 220 a", "< EHLO us.example", "> 250 a", "< MAIL FROM:<a@us.example>", NULL};
    struct tls_client *tls = NULL;
    struct fail why;

    test_replies();
    test_long_replies();
    test_lines();
    test_capabilities();
    test_addresses();
    CHECK("TLS", tls_client_create(NULL, &tls, &why));
    for (size_t i = 0; i < ARRAY_LEN(openings); i++)
        test_opening(&openings[i], tls);
    tls_client_destroy(&tls);
    test_silence("no greeting", nothing, "greeting: no reply within 0 seconds", false, false);
    test_silence("no reply to MAIL", no_mail, "no reply within 0 seconds", true, false);
    test_silence("a greeting that drips", nothing, "too slow in all", false, true);
    test_silence("replies that drip", no_mail, "too slow in all", true, true);
    test_usable("nothing new", NULL, true);
    test_usable("421 meanwhile", "> 421 bye", false);
    test_usable("closed meanwhile", "!", false);
    return check_done();
}
