/*
 * imap/server.c - a session from greeting to goodbye.
 *
 * Layer: imap.  Takes whole commands from the connection, runs them by the table,
 * tells the client what else has happened, sends the tagged answer.
 */
#include "imap/lasting.h"
#include "imap/limit.h"
#include "imap/metadata.h"
#include "imap/target.h"
#include "imap/notify.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fail.h"
#include "net/foreign.h"

enum {
    INPUT_MAX = 65 * 1024 * 1024,  /* held for one session; what bounds it is command_bytes, at most 64 MB */
    ARENA_MAX = 256 * 1024 * 1024, /* of one command; results over a mailbox of millions fit */
    SKIP_FACTOR = 10,              /* a refused APPEND is read to its end up to so many times the limit */
};

void imap_limits_default(struct imap_limits *l)
{
    *l = (struct imap_limits){
        .command_bytes = 64 * 1024,
        .append_bytes = 50 * 1024 * 1024,
        .append_messages = 10000,
        .sets = 10000,
        .nesting = 50,
        .bad_commands = 20,
        .login_attempts = 3,
        .contexts = 16,
        .saved_ranges = 100000,
        .idle_tick_seconds = 120,
        .command_cpu_seconds = 120,
        .compress = true,
        .jmap_url = "",
    };
}

size_t imap_command_limit(const struct imap_session *s)
{
    size_t limit = s->service->limits.command_bytes;

    return limit < INPUT_MAX ? limit : INPUT_MAX - 1;
}

static void *session_open(void *service, struct conn *c)
{
    _Static_assert(sizeof(struct imap_session) <= CONN_ROOM, "a session lies in its connection's room");
    struct imap_session *s = conn_room(c);

    s->conn = c;
    s->service = service;
    s->waker = conn_waker(c);
    s->state = IMAP_FRESH;
    arena_init(&s->arena, ARENA_MAX);
    arena_charge_to(&s->arena, conn_budget(c));
    conn_set_phase(c, CONN_BEFORE_LOGIN, 0);

    struct buf *out = conn_out(c);
    buf_add(out, SLICE("* OK [CAPABILITY "));
    imap_write_capabilities(s, out);
    buf_addf(out, "] %s Posthorn ready\r\n", s->service->hostname);
    return s;
}

static void end_command(struct imap_session *s)
{
    if (s->cleanup != NULL)
        s->cleanup(s);
    if (s->command != NULL && (s->command->effects & IMAP_SECRET))
        arena_wipe(&s->arena);
    if (s->kept_tag != s->tag_room)
        free(s->kept_tag);
    s->kept_tag = NULL;
    s->cleanup = NULL;
    s->step = NULL;
    s->step_data = NULL;
    s->command = NULL;
    s->by_uid = s->holds_gone = false;
    s->cpu_us = 0;
    s->goes_on = false;
    s->tag = s->answer = (struct slice){0};
    s->news = NULL;
    s->news_done = false;
    if (s->lasting != NULL) {
        if (s->lasting->notify != NULL) /* cut short: it lies in the arena */
            imap_fetch_end(&s->lasting->notify->fetch);
        s->lasting->progress_ms = 0;
        s->lasting->limited_uid = 0;
    }
    arena_reset(&s->arena);
}

/* RFC 3501 section 7.4.1, RFC 7162 section 3.2.10.2 */
static bool may_expunge(const struct imap_session *s)
{
    return !s->holds_gone && (s->by_uid || !(s->command->effects & IMAP_HOLDS_GONE));
}

/* What else has happened, then the tagged answer.  false: call again when output has drained. */
static bool finish_command(struct imap_session *s)
{
    if (s->news == NULL && !s->news_done && s->command != NULL && !s->closing &&
        (imap_notify_wants(s) != 0 || (s->command->effects & IMAP_TELLS_ALL)))
        s->news = imap_news_gather(s, may_expunge(s));
    s->news_done = true;
    if (s->news != NULL && !imap_news_tell(s, s->news))
        return false;
    if (s->closing && conn_in_line(s->conn)) { /* cut short within a response: no other line may follow */
        end_command(s);
        return true;
    }
    imap_metadata_tell(s);
    if (s->command != NULL && !may_expunge(s))
        imap_tell_held_modseq(s);
    imap_limit_answer(s);

    struct buf *out = conn_out(s->conn);
    buf_add(out, s->tag);
    buf_add_char(out, ' ');
    buf_add(out, s->answer);
    buf_add(out, SLICE("\r\n"));
    end_command(s);
    return true;
}

/* What a command waits with until the client knows what it is about to use. */
struct waiting {
    struct imap_reader args;
    const struct frame_found *message; /* NULL: none follows */
};

static void run_now(struct imap_session *s, struct imap_reader *args, const struct frame_found *message)
{
    if (message != NULL && s->command->run_message == NULL)
        bug("a message for %s", s->command->name);
    else if (message != NULL)
        s->command->run_message(s, args, message);
    else
        s->command->run(s, args);
}

static enum turn run_with_view(struct imap_session *s)
{
    struct waiting *w = s->step_data;

    if (s->news != NULL && !imap_news_tell(s, s->news))
        return TURN_MORE;
    s->news = NULL;
    s->step = NULL;
    run_now(s, &w->args, w->message);
    if (s->answer.len > 0 && w->message != NULL)
        imap_refuse_message(s, w->message);
    return TURN_PARK;
}

static const char *not_now(const struct imap_session *s)
{
    switch (s->state) {
    case IMAP_FRESH: return "Log in first";
    case IMAP_AUTHED:
        return (s->command->states & IMAP_FRESH) ? "Already logged in" : "Select a mailbox first";
    case IMAP_SELECTED: return "Already logged in";
    }
    bug("state %d", (int)s->state);
}

/* RFC 9586 section 3.1: no message numbers any more. */
static bool needs_uids(const struct imap_session *s)
{
    unsigned effects = s->command->effects;

    return (s->enabled & IMAP_UIDONLY) && !s->by_uid && (effects & IMAP_UID_TOO) && !(effects & IMAP_NO_NUMBERS);
}

static void dispatch(struct imap_session *s, struct imap_reader *args, const struct frame_found *message)
{
    if (!(s->command->effects & IMAP_READS_VIEW) || s->state != IMAP_SELECTED) {
        run_now(s, args, message);
        return;
    }
    struct waiting *w = arena_new(&s->arena, struct waiting);
    struct frame_found *kept = message != NULL ? arena_new(&s->arena, struct frame_found) : NULL;

    if (imap_notify_wants(s) != 0 || (s->command->effects & IMAP_TELLS_ALL))
        s->news = imap_news_gather(s, false);
    if (w == NULL || (message != NULL && kept == NULL) || s->closing) {
        imap_no(s, "[UNAVAILABLE] The mailbox is not there");
        return;
    }
    if (kept != NULL)
        *kept = *message;
    *w = (struct waiting){.args = *args, .message = kept};
    s->step_data = w;
    s->step = run_with_view;
}

/*
 * command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF
 * uid     = "UID" SP (copy / fetch / search / store / ...)
 */
static void run_command(struct imap_session *s, struct slice text, const struct frame_found *message)
{
    const bool foreign = s->state == IMAP_FRESH && (foreign_line(text) || foreign_hello(text));
    struct imap_reader args;

    imap_reader_init(&args, text, &s->arena, &s->service->limits);
    args.utf8 = imap_speaks_utf8(s);
    args.rev2 = (s->enabled & IMAP_REV2) != 0;
    /* Who logs in has had no chance to ENABLE anything, and names and passwords are UTF-8 nowadays. */
    s->tag = imap_read_tag(&args);
    if (args.failed) {
        s->tag = SLICE("*");
        imap_bad_args(s, &args);
        if (foreign)
            imap_bye(s, "This is IMAP");
        return;
    }
    imap_expect_space(&args);
    struct slice name = imap_read_atom(&args);
    s->by_uid = slice_eq_nocase(name, SLICE("UID"));
    if (s->by_uid) {
        imap_expect_space(&args);
        name = imap_read_atom(&args);
    }
    s->command = imap_command_find(name, s->by_uid);
    if (foreign && (args.failed || s->command == NULL))
        imap_bye(s, "This is IMAP"); /* what follows may be made to look like commands */
    if (args.failed)
        imap_bad_args(s, &args);
    else if (s->command == NULL)
        imap_bad(s, "Unknown command");
    else if (!(s->command->states & (unsigned)s->state))
        imap_bad(s, "%s", not_now(s));
    else if (needs_uids(s))
        imap_bad(s, "[UIDREQUIRED] Expected UID before %s, as UIDONLY is enabled", s->command->name);
    else
        dispatch(s, &args, message);
}

void imap_refuse_message(struct imap_session *s, const struct frame_found *message)
{
    if (message->synchronising)
        return;
    if (s->state == IMAP_FRESH || message->octets / SKIP_FACTOR > s->service->limits.append_bytes) {
        imap_bye(s,
                 s->state == IMAP_FRESH ? "Log in first" : "The message is too large to be read to its end");
        return;
    }
    s->skip = message->octets;
    s->skip_line = true;
    conn_set_phase(s->conn, CONN_BODY, message->octets);
}

/* Octets of a message that nobody wants; false: more of them are to come. */
static bool skip_octets(struct imap_session *s)
{
    struct slice in = conn_input(s->conn);
    size_t n = s->skip < in.len ? (size_t)s->skip : in.len;

    conn_consume(s->conn, n);
    s->skip -= n;
    return s->skip == 0;
}

/* What is left of a refused command, which may hold further messages; false: more of it is to come. */
static bool skip_refused(struct imap_session *s)
{
    struct frame_found found;

    while (s->skip_line) {
        if (!skip_octets(s))
            return false;
        enum frame_kind kind = frame_go_on(&s->frame, conn_input(s->conn), imap_command_limit(s), &found);
        if (kind == FRAME_PARTIAL)
            return false;
        if (kind == FRAME_OVERRUN) {
            imap_bye(s, "The command is too large");
            return false;
        }
        conn_consume(s->conn, found.length);
        s->frame = (struct frame){0};
        /* Whoever waits to be invited has had an answer instead: that was the end. */
        s->skip_line = false;
        if (kind == FRAME_MESSAGE)
            imap_refuse_message(s, &found);
        if (s->closing)
            return false;
    }
    conn_set_phase(s->conn, CONN_READY, 0);
    return true;
}

struct slice imap_take_text(struct imap_session *s, size_t length)
{
    struct slice text = arena_keep(&s->arena, slice_sub(conn_input(s->conn), 0, length));

    conn_consume(s->conn, length);
    if (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.ptr[text.len - 1] == '\r')
        text.len--;
    return text;
}

static void refuse_command(struct imap_session *s, size_t length, bool bad, const char *text)
{
    struct slice line =
        arena_keep(&s->arena, slice_sub(conn_input(s->conn), 0, length < 1000 ? length : 1000));
    struct imap_reader args;

    conn_consume(s->conn, length);
    imap_reader_init(&args, line, &s->arena, &s->service->limits);
    s->tag = imap_read_tag(&args);
    if (args.failed)
        s->tag = SLICE("*");
    if (bad)
        imap_bad(s, "%s", text);
    else
        imap_no(s, "%s", text);
}

/* Begins the next command; false: there is none yet. */
static bool next_command(struct imap_session *s)
{
    struct frame_found found;

    if (s->skip_line && !skip_refused(s))
        return false;
    struct slice in = conn_input(s->conn);
    switch (frame_next(&s->frame, in, imap_command_limit(s), &found)) {
    case FRAME_PARTIAL: return false;
    case FRAME_INVITE: conn_write(s->conn, SLICE("+ Go on\r\n")); return true;
    case FRAME_COMMAND:
        if (arena_may_have(&s->arena, 2 * found.length)) /* what it says, and what is made of it */
            run_command(s, imap_take_text(s, found.length), NULL);
        else
            refuse_command(s, found.length, false, "[LIMIT] The server has no memory for so large a command now");
        return true;
    case FRAME_MESSAGE: {
        struct slice text = imap_take_text(s, found.length);
        run_command(s, slice_sub(text, 0, found.announced), &found);
        if (s->answer.len > 0)
            imap_refuse_message(s, &found);
        return true;
    }
    case FRAME_TOO_LARGE: refuse_command(s, found.length, true, "[TOOBIG] The literal is too large"); return true;
    case FRAME_OVERRUN:
        refuse_command(s, in.len, true, "[TOOBIG] The command is too large");
        imap_bye(s, "The command is too large");
        return true;
    }
    bug("frame");
}

/* Nothing of a command is there yet, and no literal is waited for. */
static bool between_commands(struct imap_session *s)
{
    return s->frame.scanned == 0 && s->skip == 0 && !s->skip_line && s->account != NULL && !s->closing;
}

/* What NOTIFY tells while no command runs. */
static enum turn notify_step(struct imap_session *s)
{
    if (!imap_notify_tell(s, false))
        return TURN_MORE;
    if (s->closing)
        return TURN_CLOSE;
    end_command(s);
    return TURN_PARK;
}

/* UNAUTHENTICATE: nobody is logged in any more, and the account is still held. */
static bool has_left(const struct imap_session *s)
{
    return s->state == IMAP_FRESH && s->account != NULL;
}

/*
 * The processor time of a command that takes more than a turn.  It can be cut short between two responses only:
 * a response that was begun is written to its end, which is bounded.
 */
static bool spent_too_much(struct imap_session *s, int64_t began_us)
{
    uint64_t limit = (uint64_t)s->service->limits.command_cpu_seconds * 1000000;
    uint64_t spent = s->cpu_us + (uint64_t)(clock_thread_us() - began_us);

    s->cpu_us = spent < UINT32_MAX ? (uint32_t)spent : UINT32_MAX;
    return limit > 0 && spent > limit && s->answer.len == 0 && s->step != NULL && !conn_in_line(s->conn);
}

/* The step of a command that goes on, its time taken. */
static enum turn run_step(struct imap_session *s)
{
    int64_t began = s->goes_on ? clock_thread_us() : 0; /* most are done within their first turn */
    enum turn t = s->step(s);

    if (began != 0 && s->command != NULL && spent_too_much(s, began))
        imap_no(s, "[LIMIT] The command took %u seconds of processor time; ask for fewer messages at a time", s->cpu_us / 1000000);
    return t;
}

static enum turn run(struct imap_session *s)
{
    const struct account *entered = s->account;

    for (;;) {
        if (s->answer.len > 0) {
            if (!finish_command(s))
                return TURN_MORE;
            if (s->starting_tls) {
                s->starting_tls = false;
                conn_start_tls(s->conn);
                return TURN_PARK;
            }
            if (!s->closing && (conn_turn_over(s->conn) || s->account != entered || has_left(s)))
                return TURN_AGAIN; /* or logged in or out just now: the account's gate comes first */
        } else if (s->step != NULL) {
            imap_step *step = s->step;
            enum turn t = run_step(s);
            if (s->answer.len == 0 && s->step == step)
                return s->closing ? TURN_CLOSE : t;
        } else if (!next_command(s)) {
            if (!between_commands(s) || !imap_notify_due(s))
                return TURN_PARK;
            s->step = notify_step;
        }
        if (s->closing && s->answer.len == 0)
            return TURN_CLOSE;
        if (conn_is_full(s->conn))
            return TURN_MORE;
    }
}

/* What costs memory is given back: the arena, and the view for the token it can be made from again. */
static void park(struct imap_session *s)
{
    if (s->step == NULL || s->kept_tag != NULL)
        arena_finish(&s->arena);
    if (s->state == IMAP_SELECTED && s->box.view != NULL && !s->box.has_gone) {
        s->box.token = view_token(s->box.view);
        view_release(&s->box.view);
    }
}

/* The account whose mailbox is selected, if it is another's; held, so that it outlasts what is done meanwhile. */
static struct account *other_account(const struct imap_session *s)
{
    return s->state == IMAP_SELECTED && s->box.account != s->account ? account_ref(s->box.account) : NULL;
}

/* A turn may wait for the session's account and for that of the selected mailbox: both gates are its. */
static enum turn session_input(void *session)
{
    struct imap_session *s = session;
    struct account *account = s->account, *other = other_account(s);
    enum turn t = TURN_WAIT;

    if (account == NULL) {
        t = run(s);
    } else if (account_enter(account, s->waker)) {
        if (other == NULL || account_enter(other, s->waker)) {
            bool between = s->step == NULL || s->kept_tag != NULL;
            imap_notify_enter(s);
            t = other == NULL || !between || imap_may_stay(s) ? run(s) : TURN_CLOSE;
            imap_notify_leave(s);
            if (other != NULL)
                account_leave(other);
        }
        account_leave(account);
    }
    s->goes_on = s->step != NULL && s->kept_tag == NULL;
    account_release(&other);
    if (has_left(s))
        account_release(&s->account);
    if (t == TURN_PARK)
        park(s);
    return t;
}

static void session_last_words(void *session, enum conn_close why)
{
    struct imap_session *s = session;

    if (!conn_in_line(s->conn)) /* a SEARCH response of a million numbers, say, that was not written to its end */
        conn_printf(s->conn, "* BYE %s\r\n", conn_close_text(why));
}

static void session_close(void *session, enum conn_close why)
{
    struct imap_session *s = session;

    (void)why;
    watch_end(&s->watch); /* before the accounts that it may be about */
    if (s->state == IMAP_SELECTED && s->box.account != s->account)
        account_forget(s->box.account, s->waker);
    if (s->state == IMAP_SELECTED)
        imap_deselect(s);
    end_command(s);
    imap_lasting_end(s);
    if (s->account != NULL) {
        account_forget(s->account, s->waker);
        account_release(&s->account);
    }
    arena_finish(&s->arena);
}

const struct conn_protocol imap_protocol = {
    .name = "imap",
    .open = session_open,
    .input = session_input,
    .last_words = session_last_words,
    .close = session_close,
    .input_max = INPUT_MAX,
    .alpn = "\4imap",
};
