/*
 * fuzz/smtp_session.c - a whole SMTP or LMTP session: MX, submission, LMTP (session.h); delivery is our own.
 *
 * The first byte says which of them, how the connection is and in which pieces the rest arrives.  Whatever it is: what is
 * answered are replies as RFC 5321 section 4.2 has them, with the status codes of RFC 2034; a message is acknowledged if,
 * and only if, it was delivered; one that came by DATA is, dots aside, what lies in the input; and in whichever pieces it
 * came, the answers and the messages are the same.
 */
#include "base/address.h"
#include "fuzz.h"
#include "room.h"
#include "session.h"
#include "smtp/server.h"
#include "deliver/deliver.h"

/* ---- delivery ---- */

static struct slice input;  /* what the client sends */
static bool verbatim;       /* a message is what lies in there */
static unsigned delivered;  /* replies that may say 2xx for a message */
static uint64_t digest;     /* of the messages */
static bool for_each_recipient;

static void add_digest(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        digest = (digest ^ (unsigned char)s.ptr[i]) * 1099511628211u;
}

void deliver_hold_init(struct deliver_hold *h) { *h = (struct deliver_hold){0}; }
void deliver_hold_finish(struct deliver *d, struct deliver_hold *h) { (void)d; (void)h; }

bool deliver_find(struct deliver *d, struct slice address, struct arena *a, struct route *out, struct fail *why)
{
    (void)d;
    return directory_route(session_store()->directory, address, a, out, why);
}

bool deliver_may(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r, uint64_t size, struct fail *why)
{
    (void)d, (void)h;
    return slice_find_nocase(r->address, SLICE("+full")) == r->address.len ||
           fail_code(why, size > 100 ? FAIL_PERM : FAIL_TEMP, FAIL_OVER_QUOTA, "5.2.2", "over quota");
}

bool deliver_still_may(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r, uint64_t size, struct fail *why)
{
    (void)d, (void)h, (void)size;
    return slice_find_nocase(r->address, SLICE("+late")) == r->address.len ||
           fail_code(why, FAIL_TEMP, FAIL_OVER_QUOTA, "4.2.2", "over quota");
}

bool deliver_want_copy(struct deliver *d, struct deliver_hold *h, uint64_t account, uint64_t size, struct delivery_copy *out)
{
    (void)d, (void)h, (void)size;
    *out = (struct delivery_copy){.account = account};
    return false;
}

/* Without the Received field on top. */
static struct slice as_it_came(struct slice text)
{
    size_t at = slice_find_char(text, '\n') + 1;

    while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t'))
        at += slice_find_char(slice_from(text, at), '\n') + 1;
    return slice_from(text, at);
}

/* Does `sent`, the first dot of each line taken away (RFC 5321 section 4.5.2), begin with `text` and its end? */
static bool unstuffs_to(struct slice sent, struct slice text)
{
    size_t at = 0;

    for (size_t i = 0; i < text.len; i++) {
        if ((i == 0 || text.ptr[i - 1] == '\n') && at < sent.len && sent.ptr[at] == '.')
            at++;
        if (at == sent.len || sent.ptr[at++] != text.ptr[i])
            return false;
    }
    return (text.len == 0 || slice_ends(text, SLICE("\r\n"))) && slice_starts(slice_from(sent, at), SLICE(".\r\n"));
}

static void check_verbatim(struct slice text)
{
    struct slice rest = input;
    bool was_sent = false;

    while (rest.len > 0 && !was_sent) {
        (void)slice_cut(&rest, '\n');
        was_sent = unstuffs_to(rest, text);
    }
    FUZZ_CHECK(was_sent);
}

/* Some are kept at once, some a turn later, and some of those are not. */
struct deliver_ticket { bool late, fails; unsigned replies; };

struct deliver_ticket *deliver_start(struct deliver *d, const struct delivery *in, struct waker w, struct fail *why)
{
    struct deliver_ticket *t = NULL;
    struct slice text;

    (void)d;
    FUZZ_CHECK(in->recipient_count > 0 && body_in_memory(in->body, &text));
    FUZZ_CHECK(slice_starts(text, SLICE("Received: ")));
    FUZZ_CHECK(slice_find_char(text, '\0') == text.len);
    if (slice_starts(in->sender, SLICE("fail"))) {
        (void)fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no");
        return NULL;
    }
    t = xcalloc(1, sizeof *t);
    *t = (struct deliver_ticket){.late = in->sender.len % 2 != 0, .fails = slice_starts(in->sender, SLICE("late"))};
    waker_wake(w);
    if (t->fails)
        return t;
    for (size_t i = 0; i < in->recipient_count; i++)
        add_digest(in->recipients[i].address);
    add_digest(in->sender);
    if (verbatim) {
        check_verbatim(as_it_came(text));
        add_digest(as_it_came(text));
    }
    t->replies = for_each_recipient ? (unsigned)in->recipient_count : 1;
    return t;
}

bool deliver_done(const struct deliver_ticket *t)
{
    if (!t->late)
        return true;
    ((struct deliver_ticket *)(uintptr_t)t)->late = false;
    return false;
}

bool deliver_end(struct deliver_ticket **tp, struct fail *why)
{
    struct deliver_ticket *t = *tp;
    bool fails = t->fails;

    *tp = NULL;
    delivered += t->replies;
    free(t);
    return !fails || fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no");
}

/* ---- RFC 5321 section 4.2 ---- */

static struct slice take_line(struct slice *rest)
{
    const size_t lf = slice_find_char(*rest, '\n');

    FUZZ_CHECK(lf < rest->len && lf > 0 && rest->ptr[lf - 1] == '\r' && lf < 512);
    struct slice line = slice_sub(*rest, 0, lf - 1);
    *rest = slice_from(*rest, lf + 1);
    for (size_t i = 0; i < line.len; i++)
        FUZZ_CHECK((line.ptr[i] >= ' ' && line.ptr[i] <= '~') || line.ptr[i] == '\t');
    return line;
}

/* RFC 2034 section 4, RFC 3463 section 2: class "." subject "." detail, of the reply's class */
static void check_status(struct slice line)
{
    struct slice status = slice_from(line, 4), part;
    unsigned long long n = 0;
    uint64_t value;

    status = slice_sub(status, 0, slice_find_char(status, ' '));
    FUZZ_CHECK(slice_from(line, 4 + status.len).len > 1); /* some text */
    for (; n < 3; n++) {
        part = slice_cut(&status, '.');
        FUZZ_CHECK(part.len >= 1 && part.len <= 3 && slice_to_u64(part, 999, &value));
        FUZZ_CHECK(n > 0 || (part.len == 1 && part.ptr[0] == line.ptr[0]));
    }
    FUZZ_CHECK(status.len == 0);
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ) */
static void check_ehlo_line(struct slice text)
{
    struct slice keyword = slice_cut(&text, ' ');

    FUZZ_CHECK(keyword.len > 0 && keyword.ptr[0] != '-');
    for (size_t i = 0; i < keyword.len; i++)
        FUZZ_CHECK(ascii_is_alpha(keyword.ptr[i]) || ascii_is_digit(keyword.ptr[i]) || keyword.ptr[i] == '-');
    while (text.len > 0)
        FUZZ_CHECK(slice_cut(&text, ' ').len > 0);
}

/* Replies, whole ones, and as many that a message is kept as were delivered. */
static void check_replies(struct slice said)
{
    unsigned kept = 0;

    FUZZ_CHECK(slice_starts(said, SLICE("220 fuzz ")));
    while (said.len > 0) {
        struct slice line = take_line(&said), code = slice_sub(line, 0, 3);
        bool ehlo = slice_starts(line, SLICE("250-fuzz"));
        FUZZ_CHECK(line.len >= 3 && line.ptr[0] >= '2' && line.ptr[0] <= '5' && line.ptr[1] >= '0' && line.ptr[1] <= '5' &&
                   ascii_is_digit(line.ptr[2]));
        while (line.len > 3 && line.ptr[3] == '-') {
            if (!ehlo && line.ptr[0] != '3')
                check_status(line);
            line = take_line(&said);
            FUZZ_CHECK(slice_starts(line, code));
            if (ehlo)
                check_ehlo_line(slice_from(line, 4));
        }
        FUZZ_CHECK(line.len == 3 || line.ptr[3] == ' ');
        bool greets = slice_starts(line, SLICE("220 fuzz ")) || slice_starts(line, SLICE("250 fuzz")); /* XCLIENT, HELO */
        if (!ehlo && !greets && line.ptr[0] != '3')
            check_status(line);
        kept += slice_find(line, SLICE("kept as ")) < line.len;
    }
    FUZZ_CHECK(kept == delivered);
}

/* ---- */

/* What is random in the replies: the ids after "kept as ". */
static uint64_t digest_of(struct slice said)
{
    uint64_t before = digest, got;

    digest = 0;
    while (said.len > 0) {
        struct slice line = slice_cut(&said, '\n');
        size_t at = slice_find(line, SLICE("kept as "));
        if (slice_find(line, SLICE("FUTURERELEASE")) == line.len) /* tells the time */
            add_digest(slice_sub(line, 0, at));
    }
    got = digest;
    digest = before;
    return got;
}

struct played { struct session_end end; uint64_t replies, messages; };

static struct played play(const struct smtp_service *service, const struct session_way *way)
{
    struct played p;
    struct buf said;

    delivered = 0;
    digest = 0;
    buf_init(&said, 1 << 28);
    p.end = session_play(&smtp_protocol, (void *)(uintptr_t)service, input, way, &said);
    if (p.end.whole)
        check_replies(buf_slice(&said));
    p.replies = digest_of(buf_slice(&said));
    p.messages = digest;
    buf_finish(&said);
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const relayed[] = {"relay.example", ".below.example"};
    static struct net_block here;
    static uint64_t account;
    const struct session_store *s = session_store();
    const struct login_service logins = {.directory = s->directory};
    struct smtp_service service = {.hostname = "fuzz", .spool_dir = s->folder, .login = &logins, .volumes = s->volumes,
                                   .directory = s->directory, .relay_domains = relayed, .relay_domain_count = 2,
                                   .xclient_from = &here, .xclient_from_count = 1, .future_release_seconds = 86400};
    struct slice in = slice_make(data, size);
    const unsigned how = fuzz_take(&in);
    struct session_way way = {.step = 1 + (how >> 4), .tls = (how & 4) != 0, .local = (how & 8) != 0}, whole = way;

    if (account == 0) {
        account = session_new_account(SLICE("u0@example.test"));
        FUZZ_CHECK(net_block_parse(SLICE("127.0.0.1"), &here, NULL));
    }
    session_sign_in(account);
    smtp_limits_default(&service.limits);
    service.limits.message_bytes = 100000;
    service.limits.recipients = 10;
    service.kind = (how & 3) == 1 ? SMTP_SUBMISSION : (how & 3) == 2 ? SMTP_LMTP : SMTP_MX;
    if ((how & 3) == 3) {
        service.relay_networks = &here;
        service.relay_network_count = 1;
    }
    if (service.kind != SMTP_SUBMISSION)
        service.login = (how & 16) != 0 ? &logins : NULL;
    for_each_recipient = service.kind == SMTP_LMTP;
    verbatim = service.kind != SMTP_SUBMISSION && slice_find_nocase(in, SLICE("BDAT")) == in.len;
    input = in;
    struct played one = play(&service, &way);
    if (!one.end.started_tls) {
        whole.step = SIZE_MAX;
        struct played two = play(&service, &whole);
        FUZZ_CHECK(one.replies == two.replies && one.messages == two.messages);
    }
    return 0;
}
