/*
 * fuzz/session.c - the connection, the logins and the store of session.h.
 */
#include "session.h"

#include <sched.h>
#include <stdlib.h>

#include "base/body.h"
#include "base/budget.h"
#include "directory/directory.h"
#include "fuzz.h"
#include "policy/login.h"
#include "room.h"
#include "storage/volume.h"
#include "store/store.h"

enum { TURNS_MAX = 20000, SAID_MAX = 64 << 20 };

/* ---- a connection ---- */

struct conn {
    _Alignas(max_align_t) char room[CONN_ROOM];
    struct slice in;
    size_t there; /* of `in` has arrived */
    struct buf out;
    struct session_way way;
    bool started_tls, compresses, tick, broken;
    unsigned turns, tick_seconds;
    _Atomic bool woken; /* by threads of the store too */
    struct budget budget;
};

struct slice conn_input(struct conn *c) { return slice_sub(c->in, 0, c->there); }
bool conn_at_eof(const struct conn *c) { return c->in.len == 0; }
void conn_want(struct conn *c, size_t n) { (void)c; (void)n; }
struct buf *conn_out(struct conn *c) { return &c->out; }
void conn_write(struct conn *c, struct slice s) { buf_add(&c->out, s); }
void *conn_room(struct conn *c) { return c->room; }
size_t conn_pending(const struct conn *c) { return c->out.len; }
bool conn_in_line(const struct conn *c) { return c->out.len > 0 && c->out.data[c->out.len - 1] != '\n'; }
void conn_flush(struct conn *c) { (void)c; }
bool conn_has_tls(const struct conn *c) { return c->way.tls; }
bool conn_can_start_tls(const struct conn *c) { return !c->way.tls && !c->compresses; }
bool conn_compresses(const struct conn *c) { return c->compresses; }
bool conn_has_binding(const struct conn *c) { return c->way.tls; }
bool conn_peer_is_loopback(const struct conn *c) { return c->way.local; }
bool conn_turn_over(struct conn *c) { return ++c->turns % 7 == 0; }
void conn_wake_after(struct conn *c, unsigned ms) { (void)ms; c->woken = true; }
void conn_set_account(struct conn *c, uint64_t id) { (void)c; (void)id; }
bool conn_account_is_full(const struct conn *c) { (void)c; return false; }
struct budget *conn_budget(struct conn *c) { return &c->budget; }
void conn_set_label(struct conn *c, struct slice who) { (void)c; (void)who; }
void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t n) { (void)c; (void)phase; (void)n; }
void conn_set_ticks(struct conn *c, unsigned seconds) { c->tick_seconds = seconds; }
struct log_id conn_session_id(const struct conn *c) { (void)c; return (struct log_id){"f"}; }
const char *conn_close_text(enum conn_close why) { (void)why; return "closed"; }
struct slice conn_tls_version(const struct conn *c) { return c->way.tls ? SLICE("TLSv1.3") : SLICE(""); }
struct slice conn_tls_cipher(const struct conn *c) { return c->way.tls ? SLICE("X") : SLICE(""); }

struct conn_address conn_peer_text(const struct conn *c)
{
    return c->way.local ? (struct conn_address){"127.0.0.1"} : (struct conn_address){"192.0.2.1"};
}

struct sockaddr_storage conn_peer(const struct conn *c)
{
    union { struct sockaddr_storage any; struct sockaddr_in v4; } u = {0};

    u.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(c->way.local ? 0x7f000001 : 0xc0000201)};
    return u.any;
}

struct sockaddr_storage conn_local(const struct conn *c)
{
    return conn_peer(c);
}

void conn_counts(const struct conn *c, uint64_t *in, uint64_t *out)
{
    (void)c;
    *in = *out = 0;
}

bool conn_binding(const struct conn *c, struct conn_binding *out)
{
    *out = (struct conn_binding){{0}};
    return c->way.tls;
}

bool conn_take_tick(struct conn *c)
{
    bool was = c->tick;

    c->tick = false;
    return was;
}

void conn_printf(struct conn *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&c->out, fmt, ap);
    va_end(ap);
}

static void wake(void *ctx) { ((struct conn *)ctx)->woken = true; }

struct waker conn_waker(struct conn *c) { return (struct waker){wake, c}; }

void conn_consume(struct conn *c, size_t n)
{
    FUZZ_CHECK(n <= c->there);
    c->in = slice_from(c->in, n);
    c->there -= n;
}

void conn_start_tls(struct conn *c)
{
    c->way.tls = c->started_tls = true;
    conn_consume(c, c->there);
}

void conn_start_compress(struct conn *c)
{
    c->compresses = c->started_tls = true;
    conn_consume(c, c->there);
}

/* As net/conn.c has it. */
bool conn_take_line(struct conn *c, size_t max, struct slice *line, bool *crlf, bool *too_long)
{
    const struct slice there = conn_input(c), window = slice_sub(there, 0, max + 2);
    const size_t end = slice_find_char(window, '\n');
    const bool cr = end > 0 && end < window.len && there.ptr[end - 1] == '\r';

    *too_long = end == window.len ? there.len > max && !(there.len == max + 1 && there.ptr[max] == '\r') : end - cr > max;
    if (*too_long || end == window.len)
        return false;
    *line = slice_sub(there, 0, end - cr);
    if (crlf != NULL)
        *crlf = cr;
    conn_consume(c, end + 1);
    return true;
}

/* In pieces of odd sizes, some of them read twice: a slow reader's. */
void conn_send_source(struct conn *c, struct conn_source source, uint64_t offset, uint64_t len)
{
    while (len > 0 && !c->broken) {
        size_t n = len < 65536 ? (size_t)len : 65536, taken = n > 40000 ? n - 12345 : n;
        char *to = buf_room(&c->out, n);
        bool got = source.read(source.ctx, offset, to, n);
        FUZZ_CHECK(to != NULL && (got || c->way.damaged));
        c->broken = c->broken || !got;
        buf_grew(&c->out, taken);
        offset += taken;
        len -= taken;
    }
    if (source.release != NULL)
        source.release(source.ctx);
}

static void take_output(struct conn *c, struct buf *said)
{
    buf_add(said, buf_slice(&c->out));
    buf_reset(&c->out);
}

/* More arrives, or the tick comes; false: there is nothing left to wait for. */
static bool wait_for_input(struct conn *c)
{
    if (c->there < c->in.len) {
        c->there = c->in.len - c->there <= c->way.step ? c->in.len : c->there + c->way.step;
        return true;
    }
    c->tick = c->tick_seconds > 0;
    c->tick_seconds = 0;
    return c->tick;
}

struct session_end session_play(const struct conn_protocol *protocol, void *service, struct slice in,
                                const struct session_way *way, struct buf *said)
{
    struct conn c = {.in = in, .way = *way};
    enum turn t = TURN_PARK;
    unsigned turns = 0;

    buf_init(&c.out, SAID_MAX);
    void *session = protocol->open(service, &c);
    take_output(&c, said);
    for (; turns < TURNS_MAX && session != NULL && !c.broken && t != TURN_CLOSE && t != TURN_ABORT; turns++) {
        if (t == TURN_PARK && turns > 0 && !wait_for_input(&c))
            break;
        if (t == TURN_WAIT && !c.woken)
            (void)sched_yield();
        c.woken = false;
        t = protocol->input(session);
        FUZZ_CHECK(!c.out.failed);
        bool in_line = conn_in_line(&c);
        take_output(&c, said);
        FUZZ_CHECK(!in_line || t != TURN_PARK || c.broken); /* whoever waits for the client has said what it had to say */
    }
    struct session_end end = {.whole = !c.broken && (t == TURN_CLOSE || t == TURN_PARK), .started_tls = c.started_tls, .busy = turns == TURNS_MAX};
    if (session != NULL) {
        if (t == TURN_PARK && protocol->last_words != NULL)
            protocol->last_words(session, CONN_CLOSE_DEADLINE);
        take_output(&c, said);
        protocol->close(session, CONN_CLOSE_EOF);
        FUZZ_CHECK(c.budget.used == 0); /* all is given back */
    }
    buf_finish(&c.out);
    return end;
}

/* ---- logins ---- */

struct login { bool pending, ok, asks; };

static uint64_t login_account;

void session_sign_in(uint64_t id)
{
    login_account = id;
}

struct slice auth_mechanisms(const struct auth_client *a, bool binding)
{
    (void)a;
    return binding ? SLICE("SCRAM-SHA-256-PLUS PLAIN") : SLICE("PLAIN LOGIN");
}

bool login_allowed(const struct login_service *s, bool tls, bool loopback) { return s->allow_plaintext || tls || loopback; }
bool login_stands(const struct login *l, const struct conn *c, struct fail *why) { (void)l; (void)c; (void)why; return true; }

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
    (void)user;
    waker_wake(waker);
    return begin(slice_eq(password, SLICE("p")), false);
}

enum login_state login_poll(struct login *l, struct login_answer *out)
{
    const bool pending = l->pending;

    *out = (struct login_answer){.account = {.id = login_account, .address = SLICE("u0@example.test")}};
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

static struct session_store opened;

void session_append(struct account *a, uint64_t mailbox, struct slice text)
{
    const struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 24, .spool_dir = room_folder()};
    struct body *b = body_create(&limits);
    struct append_item item = {.body = b, .internal_date = 1234567890};
    uint32_t uidvalidity;
    uint64_t modseq;
    struct fail why;

    room_must(body_add(b, text, &why), "body", &why);
    room_must(message_append(a, mailbox, &item, 1, &uidvalidity, &modseq, &why), "append", &why);
    body_destroy(&b);
}

const struct session_store *session_store(void)
{
    struct directory_limits d;
    struct volume_limits v;
    struct store_limits s;
    struct fail why;

    if (opened.store != NULL)
        return &opened;
    log_set_level(LOG_ERROR);
    volume_limits_default(&v);
    v.volume_bytes = 4 << 20;
    v.prewrite_bytes = 1 << 20;
    v.reserve_percent = 0;
    v.reserve_bytes = 0;
    store_limits_default(&s);
    directory_limits_default(&d);
    room_must(volumes_open(room_path("volumes").text, &v, &opened.volumes, &why), "volumes", &why);
    room_must(store_open(room_folder(), opened.volumes, &s, &opened.store, &why), "store", &why);
    room_must(directory_open(room_path("directory.db").text, &d, &opened.directory, &why), "directory", &why);
    room_must(directory_domain_add(opened.directory, SLICE("example.test"), &why), "domain", &why);
    opened.folder = room_folder();
    return &opened;
}

uint64_t session_new_account(struct slice address)
{
    struct directory_account was;
    struct arena a;
    struct fail why;
    uint64_t id;

    arena_init(&a, 1 << 16);
    if (directory_login(opened.directory, address, &a, &was, &why)) {
        room_must(store_account_remove(opened.store, was.id, &why), "remove", &why);
        room_must(directory_account_remove(opened.directory, was.id, &why), "remove", &why);
    }
    room_must(directory_account_add(opened.directory, address, &id, &why), "add", &why);
    room_must(store_account_create(opened.store, id, &why), "create", &why);
    arena_finish(&a);
    return id;
}
