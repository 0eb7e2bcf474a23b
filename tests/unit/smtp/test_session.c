/*
 * test_session.c - conversations, with net underneath and nobody behind: the
 * directory, delivery and sign-in of this test are below.
 *
 * A script's lines: "C:" is sent with CRLF, "R:" as it is, "S:" begins the last
 * line of the next reply, "X" the server has closed; "N:" so many messages were
 * delivered in this script; "B:" stands in the last one, "!" does not; "T:" were
 * its recipients.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fail.h"
#include "check.h"
#include "deliver/deliver.h"
#include "smtp/server.h"
#include "storage/volume.h"

/* ---- what stands behind ---- */

static struct {
    pthread_mutex_t lock;
    unsigned        count;
    char            body[1 << 20];
    size_t          size;
    char            recipients[4096];
} delivered = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* "full" takes no mail; "later@" refuses at the end only (size known); "broken" fails to be recorded. */
bool deliver_may(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r, uint64_t size,
                 struct fail *why)
{
    (void)d;
    (void)size;
    h->count++; /* deliver_hold_finish is called, or else this is a leak */
    if (slice_starts(r->address, SLICE("small@")))
        return fail_code(why, FAIL_PERM, FAIL_OVER_QUOTA, "5.2.2", "too large for that mailbox");
    return !slice_starts(r->address, SLICE("full@")) ||
           fail_code(why, FAIL_TEMP, FAIL_OVER_QUOTA, "4.2.2", "mailbox full");
}

bool deliver_still_may(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r, uint64_t size,
                       struct fail *why)
{
    (void)d;
    (void)h;
    return size == 0 || !slice_starts(r->address, SLICE("later@")) ||
           fail_code(why, FAIL_TEMP, FAIL_OVER_QUOTA, "4.2.2", "mailbox full");
}

/* Of transactions that asked whether a message may come in. */
static _Atomic size_t holds_begun, holds_ended;

void deliver_hold_init(struct deliver_hold *h)
{
    *h = (struct deliver_hold){.count = 0};
    holds_begun++;
}

void deliver_hold_finish(struct deliver *d, struct deliver_hold *h)
{
    (void)d;
    h->count = 0;
    holds_ended++;
}

/* A disk that is slow: the session is parked until a thread of its own says that all is written. */
struct deliver_ticket {
    struct waker waker;
    pthread_t disk;
    atomic_bool done;
    bool ok;
    struct fail why;
};

static bool take(const struct delivery *in, struct fail *why)
{
    (void)pthread_mutex_lock(&delivered.lock);
    bool ok = body_read(in->body, 0, delivered.body, sizeof delivered.body, &delivered.size, why);
    delivered.recipients[0] = '\0';
    for (size_t i = 0; i < in->recipient_count; i++) {
        size_t n = strlen(delivered.recipients);
        (void)snprintf(delivered.recipients + n, sizeof delivered.recipients - n, "%s" PRIslice, i > 0 ? " " : "",
                       SLICE_ARG(in->recipients[i].address));
        if (slice_starts(in->recipients[i].address, SLICE("broken@")))
            ok = fail_code(why, FAIL_TEMP, FAIL_NO_SPACE, "4.3.1", "disk full");
    }
    delivered.count += ok;
    (void)pthread_mutex_unlock(&delivered.lock);
    return ok;
}

static void *write_slowly(void *ticket)
{
    struct deliver_ticket *t = ticket;

    (void)sched_yield();
    atomic_store(&t->done, true);
    waker_wake(t->waker);
    return NULL;
}

struct deliver_ticket *deliver_start(struct deliver *d, const struct delivery *in, struct waker w, struct fail *why)
{
    struct deliver_ticket *t;

    (void)d;
    if (in->recipient_count > 0 && slice_starts(in->recipients[0].address, SLICE("full@"))) {
        (void)take(in, why);
        (void)fail_code(why, FAIL_TEMP, FAIL_NO_SPACE, "4.3.1", "disk full");
        return NULL;
    }
    t = xcalloc(1, sizeof *t);
    t->waker = w;
    t->ok = take(in, &t->why);
    (void)pthread_create(&t->disk, NULL, write_slowly, t);
    return t;
}

bool deliver_done(const struct deliver_ticket *t)
{
    return atomic_load(&t->done);
}

bool deliver_end(struct deliver_ticket **tp, struct fail *why)
{
    struct deliver_ticket *t = *tp;
    bool ok = t->ok;

    (void)pthread_join(t->disk, NULL);
    if (!ok)
        *why = t->why;
    free(t);
    *tp = NULL;
    return ok;
}

bool directory_route(struct directory *d, struct slice address, struct arena *a, struct route *out, struct fail *why)
{
    (void)d;
    struct slice local = address, name = slice_cut(&local, '@');

    if (slice_eq(name, SLICE("ask")))
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "directory is away");
    out->count = 1;
    out->targets = arena_new(a, struct route_target);
    *out->targets = (struct route_target){.local = !slice_eq(name, SLICE("forward")), .account = 1, .address = address};
    if (!slice_eq_nocase(local, SLICE("here.test")) && local.len > 0)
        out->kind = ROUTE_REMOTE;
    else if (slice_eq(name, SLICE("nobody")))
        out->kind = ROUTE_UNKNOWN;
    else if (slice_eq(name, SLICE("off")))
        out->kind = ROUTE_DISABLED;
    else
        out->kind = ROUTE_LOCAL;
    return true;
}

bool deliver_find(struct deliver *d, struct slice address, struct arena *a, struct route *out, struct fail *why)
{
    (void)d;
    return directory_route(NULL, address, a, out, why);
}

bool directory_may_send_as(struct directory *d, uint64_t account, struct slice address, bool *may, struct fail *why)
{
    (void)d;
    (void)why;
    *may = account == 7 && slice_starts(address, SLICE("ann@"));
    return true;
}

bool directory_is_local_domain(struct directory *d, struct slice domain)
{
    (void)d;
    return slice_eq_nocase(domain, SLICE("here.test"));
}

struct slice directory_first_domain(struct directory *d, struct arena *a)
{
    (void)d;
    (void)a;
    return SLICE("here.test");
}

bool directory_account(struct directory *d, uint64_t id, struct arena *a, struct directory_account *out, struct fail *why)
{
    (void)d;
    (void)a;
    (void)why;
    *out = (struct directory_account){.id = id};
    return true;
}

bool deliver_want_copy(struct deliver *d, struct deliver_hold *h, uint64_t account, uint64_t size, struct delivery_copy *out)
{
    (void)d;
    (void)h;
    (void)account;
    (void)size;
    (void)out;
    return false;
}

bool directory_login(struct directory *d, struct slice login, struct arena *a, struct directory_account *out, struct fail *why)
{
    (void)d;
    (void)login;
    (void)a;
    (void)out;
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "no such account");
}

bool volume_has_space(struct volumes *v, uint64_t bytes, struct fail *why)
{
    (void)v;
    return bytes != 999 || fail_code(why, FAIL_TEMP, FAIL_NO_SPACE, "4.3.1", "disk full");
}

/* AUTH TEST: asks "who?", takes "ann"; AUTH PLAIN takes \0ann\0pw, after one wait. */
struct login { bool asked, answered, waited; char response[64]; size_t len; };

bool login_allowed(const struct login_service *s, bool tls, bool loopback)
{
    return tls || (loopback && s->allow_plaintext);
}

struct auth_context login_context(const struct conn *c, struct slice service, struct login_client *out)
{
    *out = (struct login_client){0};
    return (struct auth_context){.service = service, .tls = conn_has_tls(c)};
}

struct slice auth_mechanisms(const struct auth_client *c, bool binding)
{
    (void)c;
    (void)binding;
    return SLICE("PLAIN LOGIN");
}

bool login_stands(const struct login *l, const struct conn *c, struct fail *why)
{
    (void)l;
    (void)c;
    (void)why;
    return true;
}

void login_respond(struct login *l, struct slice response)
{
    l->len = response.len < sizeof l->response ? response.len : 0;
    if (l->len > 0)
        memcpy(l->response, response.ptr, l->len);
    l->answered = true;
}

struct login *login_start(const struct login_service *s, const struct auth_context *about, struct slice mechanism,
                          bool has_initial, struct slice initial, struct waker waker)
{
    (void)s;
    (void)about;
    (void)mechanism;
    (void)waker;
    struct login *l = xcalloc(1, sizeof *l);
    if (has_initial)
        login_respond(l, initial);
    return l;
}

void login_destroy(struct login **l)
{
    free(*l);
    *l = NULL;
}

enum login_state login_poll(struct login *l, struct login_answer *out)
{
    memset(out, 0, sizeof *out);
    if (!l->answered) {
        out->challenge = SLICE("who?");
        l->asked = true;
        return LOGIN_CONTINUE;
    }
    if (!l->waited) {
        l->waited = true;
        out->delay_ms = 1;
        return LOGIN_DELAY;
    }
    if (slice_eq(slice_make(l->response, l->len), slice_make("\0ann\0pw", 7))) {
        out->account = (struct directory_account){.id = 7, .address = SLICE("ann@here.test")};
        return LOGIN_OK;
    }
    (void)fail_set(&out->why, FAIL_PERM, FAIL_AUTH, "no");
    return LOGIN_FAILED;
}

/* ---- scripts ---- */

#define HELLO "S: 220 ", "C: EHLO client.test", "S: 250 LIMITS"
#define LHELLO "S: 220 ", "C: LHLO client.test", "S: 250 LIMITS"
#define TO_ANN "C: MAIL FROM:<x@y.test>", "S: 250 2.1.0", "C: RCPT TO:<ann@here.test>", "S: 250 2.1.5"
#define PLAIN_ANN "AGFubgBwdw=="

static const struct script {
    const char    *note;
    enum smtp_kind kind;
    bool           mend;
    const char    *lines[64];
} scripts[] = {
    {"a message", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "C: Subject: a", "C: ", "C: text", "C: .", "S: 250 2.0.0",
      "N: 1", "B: \r\n\tby mx.test with ESMTP\r\n\tid ", "B:  for <ann@here.test>; ", "B: \r\nSubject: a\r\n\r\ntext\r\n", "C: QUIT", "S: 221", "X"}},
    {"pipelined", SMTP_MX, false, {HELLO, "R: MAIL FROM:<>\r\nRCPT TO:<ann@here.test>\r\nRCPT TO:<nobody@here.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\n",
      "S: 250 2.1.0", "S: 250 2.1.5", "S: 550 5.1.1", "S: 250 2.1.5", "S: 354", "R: a\r\n.\r\nQUIT\r\n", "S: 250", "S: 221", "X",
      "N: 1", "T: ann@here.test bob@here.test", "!  for <"}},
    {"recipients that are refused", SMTP_MX, false, {HELLO, "C: MAIL FROM:<x@y.test>", "S: 250", "C: RCPT TO:<a@else.test>", "S: 550 5.7.1 relaying",
      "C: RCPT TO:<nobody@here.test>", "S: 550 5.1.1", "C: RCPT TO:<off@here.test>", "S: 550 5.2.1", "C: RCPT TO:<full@here.test>", "S: 452 4.2.2",
      "C: RCPT TO:<ask@here.test>", "S: 451 4.3.0", "C: DATA", "S: 503 5.5.1 no valid"}},
    {"postmaster", SMTP_MX, false, {HELLO, "C: MAIL FROM:<>", "S: 250", "C: RCPT TO:<Postmaster>", "S: 250", "C: RCPT TO:<ann>", "S: 553 5.1.3"}},
    {"order", SMTP_MX, false, {"S: 220 mx.test ESMTP", "C: MAIL FROM:<>", "S: 503", "C: EHLO client.test", "S: 250", "C: RCPT TO:<ann@here.test>", "S: 503",
      "C: DATA", "S: 503", TO_ANN, "C: MAIL FROM:<>", "S: 503", "C: RSET", "S: 250", "C: RCPT TO:<ann@here.test>", "S: 503",
      TO_ANN, "C: EHLO again.test", "S: 250", "C: DATA", "S: 503"}},
    {"small commands", SMTP_MX, false, {"S: 220", "C: NOOP anything", "S: 250 2.0.0", "C: HELP", "S: 214 2.0.0", "C: VRFY ann", "S: 252 2.1.5", "C: VRFY", "S: 501",
      "C: EXPN list", "S: 502 5.7.0", "C: RSET", "S: 250", "C: RSET x", "S: 501 5.5.4", "C: LHLO x", "S: 500 5.5.1", "C: HELO client.test", "S: 250 mx.test",
      "C: AUTH PLAIN", "S: 502", "C: STARTTLS", "S: 502", "C: FOO", "S: 500 5.5.1", "C: ehlo bad name", "S: 501", "C: EHLO", "S: 501", "C: quit", "S: 221", "X"}},
    {"parameters", SMTP_MX, false, {HELLO, "C: MAIL FROM:<x@y.test> SIZE=100000000", "S: 552 5.3.4", "C: MAIL FROM:<x@y.test> SIZE=999", "S: 452 4.3.1",
      "C: MAIL FROM:<x@y.test> SIZE=1x", "S: 501", "C: MAIL FROM:<x@y.test> FOO=bar", "S: 555 5.5.4", "C: MAIL FROM:<x@y.test> BODY=9BITMIME", "S: 501 5.5.4",
      "C: MAIL FROM:<j\xc3\xb6@y.test>", "S: 553 5.6.7", "C: MAIL FROM:<j\xc3\xb6@y.test> SMTPUTF8 BODY=8BITMIME SIZE=1", "S: 250",
      "C: RCPT TO:<ann@here.test> NOTIFY=OFTEN", "S: 501 5.5.4", "C: RCPT TO:<ann@here.test>", "S: 250", "C: DATA", "S: 354", "C: .", "S: 250", "N: 1", "B: with UTF8SMTP\r\n"}},
    {"UTF-8 recipient without SMTPUTF8", SMTP_MX, false, {HELLO, "C: MAIL FROM:<x@y.test>", "S: 250", "C: RCPT TO:<\xc3\xb6@here.test>", "S: 553 5.6.7"}},
    {"state goes with each message", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "C: .", "S: 250", "C: DATA", "S: 503", "C: RCPT TO:<ann@here.test>", "S: 503",
      TO_ANN, "C: DATA", "S: 354", "C: .", "S: 250", "N: 2"}},
    {"bare LF", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "R: a\n.\nMAIL FROM:<>\r\n.\r\n", "S: 550 5.6.11 bare LF", "X", "N: 0"}},
    {"bare CR", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "R: a\r.\r\n.\r\n", "S: 550 5.6.11 bare CR", "X", "N: 0"}},
    {"bare LF that is mended", SMTP_MX, true, {HELLO, TO_ANN, "C: DATA", "S: 354", "R: a\nb\n.\r\n\r\n.\r\n", "S: 250", "N: 1", "B: \r\na\r\nb\r\n.\r\n\r\n"}},
    {"NUL", SMTP_MX, false, {HELLO, TO_ANN, "C: BDAT 3 LAST", "R: a", "R0", "R: b", "S: 550 5.6.0", "C: NOOP", "S: 250", "N: 0"}},
    {"command ends in LF", SMTP_MX, false, {HELLO, "R: NOOP\n", "S: 500 5.5.2", "R: NOOP\rRSET\r\n", "S: 500 5.5.2"}},
    {"loop", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "R: Received: a\r\nReceived: b\r\nReceived: c\r\nReceived: d\r\n\r\n.\r\n", "S: 554 5.4.6", "N: 0"}},
    {"BDAT", SMTP_MX, false, {HELLO, TO_ANN, "R: BDAT 8\r\nSubject:BDAT 6\r\n x\r\n\r\nBDAT 0 LAST\r\n", "S: 250 2.0.0 8", "S: 250 2.0.0 6", "S: 250 2.0.0 kept", "N: 1", "B: Subject: x\r\n\r\n"}},
    {"BDAT keeps dots", SMTP_MX, false, {HELLO, TO_ANN, "R: BDAT 5 LAST\r\n.\r\n..", "S: 250", "N: 1", "B: \r\n.\r\n.."}},
    {"BDAT out of order", SMTP_MX, false, {HELLO, "R: BDAT 5 LAST\r\nNOOP\nNOOP\r\n", "S: 503 5.5.1", "S: 250", TO_ANN, "R: BDAT 1\r\na", "S: 250", "C: DATA", "S: 503", "C: RCPT TO:<ann@here.test>", "S: 503",
      "C: RSET", "S: 250", "R: BDAT 1 LAST\r\na", "S: 503", "N: 0"}},
    {"BDAT without a size", SMTP_MX, false, {HELLO, TO_ANN, "C: BDAT x LAST", "S: 501", "X"}},
    {"BDAT with bare LF", SMTP_MX, false, {HELLO, TO_ANN, "R: BDAT 3 LAST\r\na\nb", "S: 550 5.6.11", "C: NOOP", "S: 250", "N: 0"}},
    {"BDAT too large", SMTP_MX, false, {HELLO, TO_ANN, "R: BDAT 5000\r\n", "K: 5000", "S: 552 5.3.4", "R: BDAT 1 LAST\r\na", "S: 552 5.3.4", "C: NOOP", "S: 250", TO_ANN, "N: 0"}},
    {"BDAT far too large", SMTP_MX, false, {HELLO, TO_ANN, "C: BDAT 99999999999", "S: 552", "X"}},
    {"too large", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "K: 5000", "R: \r\n.\r\n", "S: 552 5.3.4", "C: NOOP", "S: 250", "N: 0"}},
    {"far too large", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "K: 50000", "S: 552 5.3.4", "X"}},
    {"header too large", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "R: X: ", "K: 1500", "R: \r\n\r\n.\r\n", "S: 552 5.3.4 the header", "N: 0"}},
    {"disk full", SMTP_MX, false, {HELLO, "C: MAIL FROM:<>", "S: 250", "C: RCPT TO:<broken@here.test>", "S: 250", "C: DATA", "S: 354", "C: .", "S: 452 4.3.1", "N: 0"}},
    {"full at the end", SMTP_MX, false, {HELLO, "C: MAIL FROM:<>", "S: 250", "C: RCPT TO:<ann@here.test>", "S: 250", "C: RCPT TO:<later@here.test>", "S: 250", "C: DATA", "S: 354", "C: .", "S: 452 4.2.2", "N: 0"}},
    {"too many errors", SMTP_MX, false, {HELLO, "R: A\r\nB\r\nC\r\nD\r\nE\r\nF\r\n", "S: 500", "S: 500", "S: 500", "S: 500", "S: 500", "S: 421 4.7.0", "X"}},
    {"too many messages", SMTP_MX, false, {HELLO, "C: MAIL FROM:<>", "S: 250", "C: RSET", "S: 250", "C: MAIL FROM:<>", "S: 250", "C: RSET", "S: 250", "C: MAIL FROM:<>", "S: 250", "C: RSET", "S: 250",
      "C: MAIL FROM:<>", "S: 421", "X"}},
    {"too many recipients", SMTP_MX, false, {HELLO, "C: MAIL FROM:<>", "S: 250", "C: RCPT TO:<a@here.test>", "S: 250", "C: RCPT TO:<b@here.test>", "S: 250", "C: RCPT TO:<c@here.test>", "S: 250",
      "C: RCPT TO:<d@here.test>", "S: 452 4.5.3", "C: DATA", "S: 354", "C: .", "S: 250", "N: 1"}},
    {"long line", SMTP_MX, false, {HELLO, "R: NOOP ", "K: 2500", "R: \r\n", "S: 500 5.5.2", "C: NOOP", "S: 250", "R: NOOP ", "K: 13000", "S: 500 5.5.2", "X"}},
    {"the client goes", SMTP_MX, false, {HELLO, TO_ANN, "C: DATA", "S: 354", "C: half", "E", "X", "N: 0"}},

    {"LMTP", SMTP_LMTP, false, {LHELLO, "C: EHLO x", "S: 500", "C: MAIL FROM:<>", "S: 250", "C: RCPT TO:<ann@here.test>", "S: 250", "C: RCPT TO:<nobody@here.test>", "S: 550",
      "C: RCPT TO:<later@here.test>", "S: 250", "C: RCPT TO:<bob@here.test>", "S: 250", "C: DATA", "S: 354", "C: .", "S: 250", "S: 452 4.2.2", "S: 250", "C: NOOP", "S: 250 2.0.0 ok",
      "N: 1", "T: ann@here.test bob@here.test", "B: with LMTP\r\n"}},
    {"LMTP, nobody left", SMTP_LMTP, false, {LHELLO, "C: MAIL FROM:<>", "S: 250", "C: DATA", "S: 503", "C: RCPT TO:<later@here.test>", "S: 250", "C: DATA", "S: 354", "C: .", "S: 452", "C: NOOP", "S: 250 2.0.0 ok", "N: 0"}},
    {"LMTP, refused for all", SMTP_LMTP, false, {LHELLO, "C: MAIL FROM:<>", "S: 250", "C: RCPT TO:<ann@here.test>", "S: 250", "C: RCPT TO:<broken@here.test>", "S: 250",
      "R: BDAT 0 LAST\r\n", "S: 452 4.3.1", "S: 452 4.3.1", "C: NOOP", "S: 250 2.0.0 ok"}},

    {"submission needs a login", SMTP_SUBMISSION, false, {HELLO, "C: MAIL FROM:<ann@here.test>", "S: 530 5.7.0", "C: AUTH PLAIN " PLAIN_ANN, "S: 235 2.7.0",
      "C: AUTH PLAIN " PLAIN_ANN, "S: 503", "C: MAIL FROM:<bob@here.test>", "S: 550 5.7.1", "C: MAIL FROM:<ann@here.test> AUTH=<>", "S: 250", "C: RCPT TO:<x@else.test>", "S: 250",
      "C: RCPT TO:<bob@here.test>", "S: 250", "C: DATA", "S: 354", "C: Subject: a", "C: Bcc: secret@here.test", "C: ", "C: b", "C: .", "S: 250",
      "N: 1", "B: with ESMTPA\r\n", "B: \r\nDate: ", "B: \r\nMessage-ID: <", "B: >\r\nSubject: a\r\n\r\nb\r\n", "! secret"}},
    {"submission, header without end", SMTP_SUBMISSION, false, {HELLO, "C: AUTH PLAIN " PLAIN_ANN, "S: 235", "C: MAIL FROM:<>", "S: 250", "C: RCPT TO:<bob@here.test>", "S: 250", "C: DATA", "S: 354",
      "C: Date: x", "C: Message-ID: <a@b>", "C: .", "S: 250", "N: 1", "B: \r\nDate: x\r\nMessage-ID: <a@b>\r\n"}},
    {"SASL in steps", SMTP_SUBMISSION, false, {HELLO, "C: AUTH PLAIN", "S: 334 d2hvPw==", "C: " PLAIN_ANN, "S: 235"}},
    {"SASL given up", SMTP_SUBMISSION, false, {HELLO, "C: AUTH PLAIN", "S: 334", "C: *", "S: 501 5.7.0", "C: AUTH PLAIN", "S: 334", "C: !!", "S: 501 5.5.2", "C: AUTH PLAIN =x", "S: 501 5.5.2", "C: AUTH", "S: 501", "C: NOOP", "S: 250"}},
    {"wrong password", SMTP_SUBMISSION, false, {HELLO, "C: AUTH PLAIN eA==", "S: 535 5.7.8", "C: AUTH PLAIN eA==", "S: 535 5.7.8", "C: AUTH PLAIN =", "S: 535", "S: 421 4.7.0", "X"}},
};

struct client { int fd; char in[65536]; size_t have; };

static void client_send(struct client *c, struct slice s)
{
    while (s.len > 0) {
        ssize_t n = send(c->fd, s.ptr, s.len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server has had enough: the script says if it may */
        s = slice_from(s, (size_t)n);
    }
}

static bool client_line(struct client *c, char *out, size_t max)
{
    for (;;) {
        char *lf = memchr(c->in, '\n', c->have);
        if (lf != NULL) {
            size_t n = (size_t)(lf + 1 - c->in);
            (void)snprintf(out, max, "%.*s", (int)n, c->in);
            c->have -= n;
            memmove(c->in, lf + 1, c->have);
            return true;
        }
        ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - c->have, 0);
        if (n <= 0)
            return false;
        c->have += (size_t)n;
    }
}

static void send_filler(struct client *c, unsigned long n)
{
    char   *text = malloc(n);
    if (text == NULL)
        abort();
    memset(text, 'x', n);
    client_send(c, slice_make(text, n));
    free(text);
}

/* The whole reply is read; its last line must begin so. */
static void expect_reply(const char *note, struct client *c, const char *want)
{
    char line[2048] = "";

    do {
        if (!client_line(c, line, sizeof line))
            break;
        CHECK(note, strlen(line) >= 2 && strcmp(line + strlen(line) - 2, "\r\n") == 0);
    } while (line[0] != '\0' && line[3] == '-');
    if (strncmp(line, want, strlen(want)) != 0)
        fprintf(stderr, "%s: wanted \"%s\", got \"%s\"\n", note, want, line);
    CHECK(note, strncmp(line, want, strlen(want)) == 0);
}

/* What was delivered, after the reply that said so. */
static void check_delivered(const char *note, const char *line)
{
    const char *text = line + 3;

    (void)pthread_mutex_lock(&delivered.lock);
    struct slice body = slice_make(delivered.body, delivered.size);
    switch (line[0]) {
    case 'N': CHECK(note, delivered.count == strtoul(text, NULL, 10)); break;
    case 'B':
        if (slice_find(body, slice_of(text)) == body.len)
            fprintf(stderr, "%s: \"%s\" is not in \"" PRIslice "\"\n", note, text, SLICE_ARG(body));
        CHECK(note, slice_find(body, slice_of(text)) < body.len);
        break;
    case '!': CHECK(note, slice_find(body, slice_of(line + 2)) == body.len); break;
    case 'T': CHECK_SLICE(note, slice_of(delivered.recipients), slice_of(text)); break;
    default: abort();
    }
    (void)pthread_mutex_unlock(&delivered.lock);
}

static void run_line(const char *note, struct client *c, const char *line)
{
    const char *text = line + 3;

    switch (line[0]) {
    case 'C':
        client_send(c, slice_of(text));
        client_send(c, SLICE("\r\n"));
        break;
    case 'R': client_send(c, line[1] == '0' ? slice_make("", 1) : slice_of(text)); break;
    case 'K': send_filler(c, strtoul(text, NULL, 10)); break;
    case 'S': expect_reply(note, c, text); break;
    case 'E': (void)shutdown(c->fd, SHUT_WR); break;
    case 'X': CHECK(note, !client_line(c, (char[64]){0}, 64)); break;
    default: check_delivered(note, line); break;
    }
}

/* Two ends of a connection over loopback. */
static void connect_pair(int *ours, int *theirs)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    struct timeval     patience = {.tv_sec = 20};
    socklen_t          len = sizeof at;
    int                listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || *ours < 0 || bind(listener, (struct sockaddr *)&at, len) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &len) != 0 ||
        connect(*ours, (struct sockaddr *)&at, len) != 0 || (*theirs = accept(listener, NULL, NULL)) < 0)
        abort();
    (void)close(listener);
    (void)setsockopt(*ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

static void run_script(struct net *net, const struct script *script, struct smtp_service *service)
{
    struct net_listener row = {.name = "test", .fd = -1, .protocol = &smtp_protocol, .service = service,
                               .tls = NET_TLS_NONE, .idle_seconds = 300};
    struct client       c = {.fd = -1};
    struct fail         why = {0};
    int                 theirs = -1;

    smtp_limits_default(&service->limits);
    service->limits.message_bytes = 4000;
    service->limits.header_bytes = 1000;
    service->limits.recipients = 3;
    service->limits.transactions = 3;
    service->limits.errors = strcmp(script->note, "too many errors") == 0 ? 5 : 10;
    service->limits.received_fields = 3;
    (void)pthread_mutex_lock(&delivered.lock);
    delivered.count = 0;
    delivered.size = 0;
    (void)pthread_mutex_unlock(&delivered.lock);

    connect_pair(&c.fd, &theirs);
    CHECK(script->note, net_adopt(net, theirs, &row, &why));
    for (size_t i = 0; script->lines[i] != NULL; i++)
        run_line(script->note, &c, script->lines[i]);
    (void)close(c.fd);
}

int main(void)
{
    static struct smtp_service services[ARRAY_LEN(scripts)]; /* sessions may outlive their script by a moment */
    struct login_service       login = {.allow_plaintext = true};
    struct net_block           local;
    struct net_limits          limits;
    struct fail                why = {0};

    log_set_level(LOG_ERROR);
    net_limits_default(&limits);
    struct net *net = net_create(&limits, &why);
    CHECK("net", net != NULL && net_start(net, &why));
    CHECK("block", net_block_parse(SLICE("127.0.0.0/8"), &local, &why));
    for (size_t i = 0; net != NULL && i < ARRAY_LEN(scripts); i++) {
        services[i] = (struct smtp_service){.kind = scripts[i].kind,
                                            .hostname = "mx.test",
                                            .spool_dir = "/tmp",
                                            .login = scripts[i].kind == SMTP_SUBMISSION ? &login : NULL,
                                            .mend_lf_for = &local,
                                            .mend_lf_count = scripts[i].mend};
        run_script(net, &scripts[i], &services[i]);
    }
    net_stop(net, 5);
    net_destroy(&net);
    CHECK("what was reserved is given back by every transaction", holds_begun > 0 && holds_begun == holds_ended);
    return check_done();
}
