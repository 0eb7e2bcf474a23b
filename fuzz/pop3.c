/*
 * fuzz/pop3.c - a whole POP3 session over a real store, with a connection and logins of our own.
 *
 * The first byte says in which pieces the rest arrives and how the connection is; the rest is what a client sends
 * ("p" is everybody's password).  Whatever it is, what is answered is a sequence of responses as RFC 1939 section 3 has
 * them: one line, or lines up to a single dot, and never an octet between them.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/body.h"
#include "fuzz.h"
#include "pop3/server.h"
#include "storage/volume.h"
#include "store/store.h"

enum { INBOX_MESSAGES = 5, ROUNDS_MAX = 5000 };

static struct store *store;

/* ---- a connection ---- */

struct conn {
    _Alignas(max_align_t) char room[CONN_ROOM];
    struct slice in;
    size_t there; /* of `in` has arrived */
    struct buf out, said;
    bool tls, woken;
    unsigned turns;
};

struct buf *conn_out(struct conn *c) { return &c->out; }
void conn_write(struct conn *c, struct slice s) { buf_add(&c->out, s); }
void *conn_room(struct conn *c) { return c->room; }
size_t conn_pending(const struct conn *c) { return c->out.len; }
bool conn_in_line(const struct conn *c) { return c->out.len > 0 && c->out.data[c->out.len - 1] != '\n'; }
bool conn_has_tls(const struct conn *c) { return c->tls; }
bool conn_can_start_tls(const struct conn *c) { return !c->tls; }
bool conn_has_binding(const struct conn *c) { return c->tls; }
bool conn_peer_is_loopback(const struct conn *c) { (void)c; return true; }
bool conn_turn_over(struct conn *c) { return ++c->turns % 7 == 0; }
void conn_wake_after(struct conn *c, unsigned ms) { (void)ms; c->woken = true; }
void conn_set_account(struct conn *c, uint64_t id) { (void)c; (void)id; }
void conn_set_label(struct conn *c, struct slice who) { (void)c; (void)who; }
void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t n) { (void)c; (void)phase; (void)n; }
struct log_id conn_session_id(const struct conn *c) { (void)c; return (struct log_id){{0}}; }
const char *conn_close_text(enum conn_close why) { (void)why; return "closed"; }

void conn_printf(struct conn *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&c->out, fmt, ap);
    va_end(ap);
}

static void wake(void *ctx) { ((struct conn *)ctx)->woken = true; }

struct waker conn_waker(struct conn *c) { return (struct waker){wake, c}; }

void conn_start_tls(struct conn *c)
{
    c->tls = true;
    c->in = slice_from(c->in, c->there);
    c->there = 0;
}

bool conn_take_line(struct conn *c, size_t max, struct slice *line, bool *crlf, bool *too_long)
{
    const struct slice there = slice_sub(c->in, 0, c->there);
    const size_t lf = slice_find_char(there, '\n');

    if (lf >= max || lf == there.len) {
        *too_long = lf >= max;
        return false;
    }
    *line = slice_sub(there, 0, lf);
    if (line->len > 0 && line->ptr[line->len - 1] == '\r')
        line->len--;
    if (crlf != NULL)
        *crlf = line->len < lf;
    c->in = slice_from(c->in, lf + 1);
    c->there -= lf + 1;
    return true;
}

/* In pieces of odd sizes, some of them read twice: a slow reader's. */
void conn_send_source(struct conn *c, struct conn_source source, uint64_t offset, uint64_t len)
{
    while (len > 0) {
        size_t n = len < 65536 ? (size_t)len : 65536, taken = n > 40000 ? n - 12345 : n;
        char *to = buf_room(&c->out, n);
        FUZZ_CHECK(to != NULL && source.read(source.ctx, offset, to, n));
        buf_grew(&c->out, taken);
        offset += taken;
        len -= taken;
    }
    source.release(source.ctx);
}

/* ---- logins ---- */

struct login { bool pending, ok, asks; };

struct slice auth_mechanisms(const struct auth_client *a, bool binding)
{
    (void)a;
    return binding ? SLICE("SCRAM-SHA-256-PLUS PLAIN") : SLICE("PLAIN LOGIN");
}

bool login_allowed(const struct login_service *s, bool tls, bool loopback) { return s->allow_plaintext || tls || !loopback; }
bool login_stands(const struct login *l, struct fail *why) { (void)l; (void)why; return true; }

struct auth_context login_context(const struct conn *c, struct slice service, struct login_client *out)
{
    (void)c;
    (void)out;
    return (struct auth_context){.service = service};
}

static struct login *begin(bool ok, bool asks)
{
    struct login *l = xcalloc(1, sizeof *l);

    *l = (struct login){.pending = true, .ok = ok, .asks = asks};
    return l;
}

struct login *login_start(const struct login_service *s, const struct auth_context *about, struct slice mechanism,
                          bool has_initial, struct slice initial, struct waker waker)
{
    (void)s;
    (void)about;
    waker_wake(waker);
    return begin(slice_eq(initial, SLICE("p")), !has_initial && !slice_eq(mechanism, SLICE("X")));
}

struct login *login_password(const struct login_service *s, const struct auth_context *about, struct slice user,
                             struct slice password, struct waker waker)
{
    (void)s;
    (void)about;
    FUZZ_CHECK(user.len > 0);
    waker_wake(waker);
    return begin(slice_eq(password, SLICE("p")), false);
}

enum login_state login_poll(struct login *l, struct login_answer *out)
{
    const bool pending = l->pending;

    *out = (struct login_answer){.account = {.id = 1, .address = SLICE("u0@example.test")}};
    l->pending = false;
    if (pending)
        return LOGIN_DELAY;
    if (l->asks)
        return LOGIN_CONTINUE;
    if (l->ok)
        return LOGIN_OK;
    (void)fail_set(&out->why, FAIL_PERM, FAIL_AUTH, "wrong name or password");
    return LOGIN_FAILED;
}

void login_respond(struct login *l, struct slice response)
{
    l->asks = slice_eq(response, SLICE("more"));
    l->ok = slice_eq(response, SLICE("p"));
}

void login_destroy(struct login **l)
{
    free(*l);
    *l = NULL;
}

/* ---- the store ---- */

static void must(bool ok, const char *what, const struct fail *why)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, why->text);
    abort();
}

static void append(struct account *a, uint64_t mailbox, const char *spool, struct slice text)
{
    const struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 24, .spool_dir = spool};
    struct body *b = body_create(&limits);
    struct append_item item = {.body = b, .internal_date = 1234567890};
    uint32_t uidvalidity;
    uint64_t modseq;
    struct fail why;

    must(body_add(b, text, &why), "body", &why);
    must(message_append(a, mailbox, &item, 1, &uidvalidity, &modseq, &why), "append", &why);
    body_destroy(&b);
}

static void fill(struct account *a)
{
    static const char *const texts[] = {"Subject: a\r\n\r\n.\r\n..\r\nb\r\n", "Subject: b\n\n.\n.x\n\nend", "\r\n", ".\r"};
    struct mailbox_info inbox;
    struct arena arena;
    struct fail why;

    arena_init(&arena, 1 << 20);
    must(mailbox_find(a, SLICE("INBOX"), &arena, &inbox, &why), "INBOX", &why);
    for (size_t i = inbox.messages; i < INBOX_MESSAGES - 1; i++)
        append(a, inbox.id, "/tmp", slice_of(texts[i % ARRAY_LEN(texts)]));
    if (inbox.messages < INBOX_MESSAGES) {
        struct buf large;
        buf_init(&large, 1 << 20);
        buf_add(&large, SLICE("Subject: large\r\n\r\n"));
        for (unsigned i = 0; i < 9000; i++)
            buf_addf(&large, i % 3 == 0 ? ".%u\n" : "line %u\r\n", i);
        append(a, inbox.id, "/tmp", buf_slice(&large));
        buf_finish(&large);
    }
    arena_finish(&arena);
}

static char folder[] = "/tmp/posthorn-fuzz-pop3-XXXXXX";

static void clean_up(void)
{
    char command[100];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", folder);
}

static void open_store(void)
{
    static struct volumes *volumes;
    struct volume_limits v;
    struct store_limits s;
    char path[sizeof folder + 10];
    struct fail why;

    if (mkdtemp(folder) == NULL)
        abort();
    (void)snprintf(path, sizeof path, "%s/volumes", folder);
    volume_limits_default(&v);
    v.volume_bytes = 4 << 20;
    v.prewrite_bytes = 1 << 20;
    v.reserve_percent = 0;
    v.reserve_bytes = 0;
    store_limits_default(&s);
    must(volumes_open(path, &v, &volumes, &why), "volumes", &why);
    must(store_open(folder, volumes, &s, &store, &why), "store", &why);
    must(store_account_create(store, 1, &why), "account", &why);
    (void)atexit(clean_up);
}

/* ---- what is said must be responses ---- */

static struct slice take_line(struct slice *rest)
{
    const size_t lf = slice_find_char(*rest, '\n');

    FUZZ_CHECK(lf < rest->len && lf > 0 && rest->ptr[lf - 1] == '\r');
    struct slice line = slice_sub(*rest, 0, lf - 1);
    *rest = slice_from(*rest, lf + 1);
    return line;
}

static bool has_more_lines(struct slice line, struct slice rest)
{
    static const char *const begins[] = {"+OK this is", "+OK these are"};

    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (slice_starts(line, slice_of(begins[i])))
            return true;
    /* LIST, UIDL and RETR; the first line after RSET and a login looks the same, but no list follows. */
    if (!slice_ends(line, SLICE(" octets")))
        return false;
    if (slice_find(line, SLICE(" messages, ")) == line.len)
        return true;
    return rest.len > 0 && (rest.ptr[0] == '.' || ascii_is_digit(rest.ptr[0]));
}

static void check_responses(struct slice said)
{
    while (said.len > 0) {
        struct slice line = take_line(&said);
        FUZZ_CHECK(slice_starts(line, SLICE("+OK ")) || slice_starts(line, SLICE("-ERR ")) ||
                   slice_starts(line, SLICE("+ ")));
        FUZZ_CHECK(line.len <= 510 || slice_starts(line, SLICE("+ ")));
        if (!slice_starts(line, SLICE("+OK")) || !has_more_lines(line, said))
            continue;
        for (line = take_line(&said); !slice_eq(line, SLICE(".")); line = take_line(&said))
            FUZZ_CHECK(line.len == 0 || line.ptr[0] != '.' || (line.len > 1 && line.ptr[1] == '.'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct login_service logins = {.allow_plaintext = size > 0 && (data[0] & 1) != 0};
    struct pop3_service service = {.hostname = "fuzz", .login = &logins};
    struct slice in = slice_make(data, size);
    const unsigned how = fuzz_take(&in);
    struct conn c = {.in = in, .tls = (how & 2) != 0};
    struct account *a;
    struct fail why;
    enum turn t = TURN_PARK;

    if (store == NULL)
        open_store();
    must(store_account(store, 1, &a, &why), "account", &why);
    fill(a);
    account_release(&a);
    service.store = store;
    pop3_limits_default(&service.limits);
    buf_init(&c.out, 1 << 28);
    buf_init(&c.said, 1 << 28);
    void *session = pop3_protocol.open(&service, &c);
    for (unsigned round = 0; round < ROUNDS_MAX && t != TURN_CLOSE && t != TURN_ABORT; round++) {
        if (t == TURN_PARK && round > 0 && c.there == c.in.len)
            break;
        if (t == TURN_PARK)
            c.there = c.in.len - c.there < 1 + (how >> 2) ? c.in.len : c.there + 1 + (how >> 2);
        t = pop3_protocol.input(session);
        buf_add(&c.said, buf_slice(&c.out));
        buf_reset(&c.out);
    }
    FUZZ_CHECK(t != TURN_ABORT && !c.said.failed);
    if (t != TURN_CLOSE)
        pop3_protocol.last_words(session, CONN_CLOSE_DEADLINE);
    const bool whole = t == TURN_CLOSE || t == TURN_PARK;
    buf_add(&c.said, buf_slice(&c.out));
    pop3_protocol.close(session, CONN_CLOSE_EOF);
    if (whole)
        check_responses(buf_slice(&c.said));
    buf_finish(&c.out);
    buf_finish(&c.said);
    return 0;
}
