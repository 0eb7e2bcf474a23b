/*
 * fuzz/pop3.c - a whole POP3 session over a real store (session.h).
 *
 * The first byte says in which pieces the rest arrives and how the connection is; the rest is what a client sends.
 * Whatever it is, what is answered is a sequence of responses as RFC 1939 section 3 has them: one line, or lines up to a
 * single dot, and never an octet between them.  In whichever pieces it came, the answers are the same.
 */
#include "base/body.h"
#include "fuzz.h"
#include "pop3/server.h"
#include "room.h"
#include "session.h"
#include "store/store.h"

enum { INBOX_MESSAGES = 5 };

/* ---- the maildrop ---- */

static void fill(struct account *a)
{
    static const char *const texts[] = {"Subject: a\r\n\r\n.\r\n..\r\nb\r\n", "Subject: b\n\n.\n.x\n\nend", "\r\n", ".\r"};
    struct mailbox_info inbox;
    struct arena arena;
    struct fail why;

    arena_init(&arena, 1 << 20);
    room_must(mailbox_find(a, SLICE("INBOX"), &arena, &inbox, &why), "INBOX", &why);
    for (size_t i = inbox.messages; i < INBOX_MESSAGES - 1; i++)
        session_append(a, inbox.id, slice_of(texts[i % ARRAY_LEN(texts)]));
    if (inbox.messages < INBOX_MESSAGES) {
        struct buf large;
        buf_init(&large, 1 << 20);
        buf_add(&large, SLICE("Subject: large\r\n\r\n"));
        for (unsigned i = 0; i < 9000; i++)
            buf_addf(&large, i % 3 == 0 ? ".%u\n" : "line %u\r\n", i);
        session_append(a, inbox.id, buf_slice(&large));
        buf_finish(&large);
    }
    arena_finish(&arena);
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

static uint64_t account;

static struct session_end play(const struct pop3_service *service, struct slice in, const struct session_way *way,
                               struct buf *said)
{
    struct account *a;
    struct fail why;

    if (account == 0)
        account = session_new_account(SLICE("u0@example.test"));
    session_sign_in(account);
    room_must(store_account(service->store, account, &a, &why), "account", &why);
    fill(a);
    account_release(&a);
    struct session_end end = session_play(&pop3_protocol, (void *)(uintptr_t)service, in, way, said);
    if (end.whole)
        check_responses(buf_slice(said));
    return end;
}

/* The greeting tells nothing that varies, but UIDLs and drops do where messages were deleted meanwhile. */
static bool changes(struct slice in)
{
    return slice_find_nocase(in, SLICE("DELE")) < in.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct login_service logins = {.allow_plaintext = size > 0 && (data[0] & 1) != 0};
    struct pop3_service service = {.hostname = "fuzz", .login = &logins, .store = session_store()->store};
    struct slice in = slice_make(data, size);
    const unsigned how = fuzz_take(&in);
    struct session_way way = {.step = 1 + (how >> 2), .tls = (how & 2) != 0};
    struct buf said, again;

    pop3_limits_default(&service.limits);
    buf_init(&said, 1 << 28);
    buf_init(&again, 1 << 28);
    struct session_end end = play(&service, in, &way, &said);
    if (!end.started_tls && !end.busy && !changes(in)) {
        way.step = SIZE_MAX;
        (void)play(&service, in, &way, &again);
        FUZZ_CHECK(slice_eq(buf_slice(&said), buf_slice(&again)));
    }
    buf_finish(&said);
    buf_finish(&again);
    return 0;
}
