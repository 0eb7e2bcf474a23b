/*
 * imap/append.c - APPEND.
 *
 * Layer: imap.  RFC 3501 section 6.3.11, RFC 3502 (MULTIAPPEND), RFC 3516
 * (literal8), RFC 4315 section 3 (APPENDUID), RFC 4469 (CATENATE), RFC 6855
 * section 4 (UTF8), RFC 7889.  Everything that can be refused is refused before a
 * message is invited.
 */
#include "imap/append.h"
#include "imap/limit.h"

#include "base/clock.h"
#include "base/fail.h"
#include "message/binary.h"

enum {
    MEMORY_MAX = 256 * 1024, /* of a message before it goes to a spool file */
    WANT = 16 * 1024,        /* bytes worth waking up for */
};

static void end_append(struct imap_session *s)
{
    struct append *a = s->step_data;

    body_destroy(&a->body);
    if (a->source.read != NULL)
        a->source.release(a->source.ctx);
    appender_destroy(&a->appender);
}

static bool has_room(void *store, uint64_t bytes, struct fail *why)
{
    return store_has_space(store, bytes, why);
}

static struct body_limits body_limits(const struct imap_session *s)
{
    return (struct body_limits){
        .memory_max = MEMORY_MAX,
        .size_max = s->service->limits.append_bytes,
        .spool_dir = s->service->spool_dir,
        .has_room = has_room,
        .room_ctx = s->service->store,
    };
}

/* The command has been answered; what its client may still send is read and dropped. */
static void give_up(struct imap_session *s, struct append *a)
{
    if (a->left > 0) {
        s->skip = a->left;
        s->skip_line = true;
    } else if (a->reading && a->has_literal) {
        imap_refuse_message(s, &a->announced);
    }
    if (!s->skip_line)
        conn_set_phase(s->conn, CONN_READY, 0);
    a->left = 0;
}

/* Looked up once, when the first message is about to come; false: answered. */
static bool open_target(struct imap_session *s, struct append *a)
{
    struct fail why;

    if (a->appender != NULL)
        return true;
    if (!imap_find(s, a->mailbox, RIGHT_INSERT, &a->target, &why)) {
        imap_no_target(s, &why);
        return false;
    }
    if (a->target.info.no_select) {
        imap_no(s, "[TRYCREATE] The mailbox cannot hold messages");
        return false;
    }
    a->appender = appender_create(a->target.account, a->target.info.id);
    appender_for(a->appender, imap_seen_user_in(s, a->target.account));
    if (a->replace && a->target.account == s->box.account)
        appender_replaces(a->appender, s->box.mailbox, a->replaced);
    return true;
}

/* Room for a message begun; false: answered. */
static bool open_message(struct imap_session *s, struct append *a)
{
    if (!open_target(s, a))
        return false;
    if (a->body != NULL)
        return true;
    if (!imap_limit_allows(s, (uint64_t)appender_count(a->appender) + 1))
        return false;
    if (appender_count(a->appender) >= s->service->limits.append_messages) {
        imap_no(s, "[LIMIT] At most %u messages in one command", s->service->limits.append_messages);
        return false;
    }
    struct body_limits limits = body_limits(s);
    a->body = body_create(&limits);
    a->has_nul = false;
    return true;
}

bool append_bytes(struct imap_session *s, struct append *a, struct slice bytes)
{
    struct fail why;

    a->has_nul = a->has_nul || (bytes.len > 0 && memchr(bytes.ptr, '\0', bytes.len) != NULL);
    if (body_add(a->body, bytes, &why))
        return true;
    imap_no_because(s, &why);
    return false;
}

/* NUL has no place in what IMAP sends unasked: parts that hold it are kept as base64 (RFC 3516 section 4.4). */
static bool without_nul(struct imap_session *s, struct append *a)
{
    struct body_limits limits = body_limits(s);
    struct body *encoded;
    struct fail why;

    if (!a->has_nul)
        return true;
    limits.size_max = UINT64_MAX; /* base64 is a third longer */
    if (!binary_encode(a->body, &limits, false, &encoded, &why)) {
        if (why.reason == FAIL_INVALID)
            imap_no(s, "[UNKNOWN-CTE] %s", why.text);
        else
            imap_no_because(s, &why);
        return false;
    }
    body_destroy(&a->body);
    a->body = encoded;
    return true;
}

/* All bytes of a message are there: it is written.  false: answered. */
static bool finish_message(struct imap_session *s, struct append *a)
{
    struct fail why;

    if (!without_nul(s, a))
        return false;
    struct append_item item = {
        .body = a->body,
        .flags = a->flags.flags & imap_flags_by(a->target.rights),
        .keywords = a->flags.keywords,
        .keyword_count = a->target.rights & RIGHT_WRITE ? a->flags.keyword_count : 0,
        .internal_date = a->internal_date,
        .internal_zone = a->internal_zone,
    };
    if (!appender_add(a->appender, &item, &why)) {
        imap_no_target(s, &why);
        return false;
    }
    body_destroy(&a->body);
    return true;
}

/* The command is whole: all its messages become visible, or none. */
static void finish_command(struct imap_session *s, struct append *a)
{
    struct appended out;
    struct fail why;
    size_t count = appender_count(a->appender);

    conn_set_phase(s->conn, CONN_READY, 0);
    if (a->replace)
        replace_finish(s, a);
    else if (!appender_commit(a->appender, &out, &why))
        imap_no_target(s, &why);
    else if (!(a->target.rights & RIGHT_READ)) /* RFC 4315 section 3: who cannot select it hears no UIDs */
        imap_ok(s, "Kept");
    else if (count == 1)
        imap_ok(s, "[APPENDUID %u %u] Kept", out.uidvalidity, out.first_uid);
    else
        imap_ok(s, "[APPENDUID %u %u:%u] Kept", out.uidvalidity, out.first_uid,
                (unsigned)(out.first_uid + count - 1));
}

/* [SP flag-list] [SP date-time] SP, up to append-data */
static void read_options(struct imap_reader *r, struct append *a)
{
    int64_t now = clock_now();

    a->flags = (struct imap_flags){0};
    a->internal_date = now;
    a->internal_zone = clock_zone_minutes(now);
    imap_expect_space(r);
    if (imap_peek(r) == '(') {
        a->flags = imap_read_flag_list(r);
        imap_expect_space(r);
    }
    if (imap_peek(r) == '"') {
        a->internal_date = imap_read_date_time(r, &a->internal_zone);
        imap_expect_space(r);
    }
}

enum reading {
    READ_FAILED,  /* answered */
    READ_LITERAL, /* it comes next */
    READ_URL,     /* it is copied next */
    READ_END,     /* of the command */
};

/* The text must end here, in the announcement of a literal; with `utf8`, of a literal8. */
static enum reading expect_literal(struct imap_session *s, struct append *a, bool utf8)
{
    struct imap_reader *r = &a->args;
    uint64_t limit = s->service->limits.append_bytes, have;
    struct fail why;

    if (!imap_at_end(r) || !a->has_literal)
        imap_fail(r, utf8 ? "\"~{\"" : "the message as a literal");
    else if (utf8 && !a->announced.binary)
        imap_fail(r, "a literal8, \"~{\"");
    if (r->failed) {
        imap_bad_args(s, r);
        return READ_FAILED;
    }
    have = a->body != NULL ? body_size(a->body) : 0;
    if (a->announced.octets > limit - have) {
        imap_no(s, "[TOOBIG] At most %llu octets", (unsigned long long)limit);
        return READ_FAILED;
    }
    if (!open_message(s, a))
        return READ_FAILED;
    if (!appender_may_add(a->appender, have + a->announced.octets, &why)) {
        imap_no_because(s, &why);
        return READ_FAILED;
    }
    return READ_LITERAL;
}

/*
 * append-data = literal / literal8 / utf8-literal / "CATENATE" SP "(" cat-part *(SP cat-part) ")"
 * utf8-literal = "UTF8" SP "(" literal8 ")"
 */
static bool read_message(struct imap_session *s, struct append *a, enum reading *out)
{
    struct imap_reader *r = &a->args;

    read_options(r, a);
    if (imap_accept_word(r, "CATENATE")) {
        imap_expect_space(r);
        imap_expect(r, '(');
        a->at = APPEND_PART;
        return false;
    }
    bool utf8 = imap_accept_word(r, "UTF8");
    if (utf8) {
        imap_expect_space(r);
        imap_expect(r, '(');
    }
    a->at = utf8 ? APPEND_UTF8_END : APPEND_MESSAGE_END;
    *out = expect_literal(s, a, utf8);
    return true;
}

/* cat-part = "TEXT" SP (literal / literal8) / "URL" SP astring / utf8-literal */
static enum reading read_part(struct imap_session *s, struct append *a)
{
    struct imap_reader *r = &a->args;

    a->at = APPEND_PART_END;
    if (imap_accept_word(r, "URL")) {
        imap_expect_space(r);
        struct slice url = imap_read_astring(r);
        if (r->failed) {
            imap_bad_args(s, r);
            return READ_FAILED;
        }
        return open_message(s, a) && append_url(s, a, url) ? READ_URL : READ_FAILED;
    }
    bool utf8 = imap_accept_word(r, "UTF8");
    if (!utf8 && !imap_accept_word(r, "TEXT"))
        imap_fail(r, "TEXT or URL");
    imap_expect_space(r);
    if (utf8) {
        imap_expect(r, '(');
        a->at = APPEND_PART_UTF8_END;
    }
    return expect_literal(s, a, utf8);
}

/* Reads text until something else has to be done. */
static enum reading read_on(struct imap_session *s, struct append *a)
{
    struct imap_reader *r = &a->args;
    enum reading out;

    for (;;) {
        switch (a->at) {
        case APPEND_MESSAGE:
            if (read_message(s, a, &out))
                return out;
            break;
        case APPEND_PART: return read_part(s, a);
        case APPEND_PART_UTF8_END:
            imap_expect(r, ')');
            a->at = APPEND_PART_END;
            break;
        case APPEND_PART_END:
            a->at = imap_accept(r, ' ') ? APPEND_PART : APPEND_MESSAGE_END;
            if (a->at == APPEND_MESSAGE_END)
                imap_expect(r, ')');
            break;
        case APPEND_UTF8_END:
            imap_expect(r, ')');
            a->at = APPEND_MESSAGE_END;
            break;
        case APPEND_MESSAGE_END:
            if (imap_at_end(r) ? a->has_literal : a->replace || imap_peek(r) != ' ')
                imap_fail(r, "the end of the command after the message");
            if (!r->failed && !finish_message(s, a))
                return READ_FAILED;
            if (!r->failed && imap_at_end(r))
                return READ_END;
            a->at = APPEND_MESSAGE;
            break;
        }
        if (r->failed) {
            imap_bad_args(s, r);
            return READ_FAILED;
        }
    }
}

/* Octets of a literal: false when more must come, or it has been answered. */
static bool take_octets(struct imap_session *s, struct append *a)
{
    struct slice in = conn_input(s->conn);
    size_t n = a->left < in.len ? (size_t)a->left : in.len;

    if (n > 0 && !append_bytes(s, a, slice_sub(in, 0, n))) {
        give_up(s, a); /* the spool is full: the rest is read and dropped */
        return false;
    }
    conn_consume(s->conn, n);
    a->left -= n;
    if (a->left > 0)
        conn_want(s->conn, a->left < WANT ? (size_t)a->left : WANT);
    return a->left == 0;
}

/* The text that follows a literal; false when more must come, or it has been answered. */
static bool take_text(struct imap_session *s, struct append *a)
{
    for (;;) {
        struct slice in = conn_input(s->conn);
        switch (frame_go_on(&a->frame, in, imap_command_limit(s), &a->announced)) {
        case FRAME_PARTIAL: return false;
        case FRAME_INVITE: conn_write(s->conn, SLICE("+ Go on\r\n")); continue;
        case FRAME_COMMAND: a->has_literal = false; break;
        case FRAME_MESSAGE: a->has_literal = true; break;
        case FRAME_TOO_LARGE:
            conn_consume(s->conn, a->announced.length);
            imap_no(s, "[TOOBIG] The literal is too large");
            give_up(s, a);
            return false;
        case FRAME_OVERRUN:
            imap_bye(s, "The command is too large");
            imap_bad(s, "Expected the end of the command after the message");
            return false;
        }
        break;
    }
    struct slice text = imap_take_text(s, a->announced.length);
    if (a->has_literal)
        text = slice_sub(text, 0, a->announced.announced);
    imap_reader_init(&a->args, text, &s->arena, &s->service->limits);
    a->args.utf8 = imap_speaks_utf8(s);
    a->reading = true;
    return true;
}

static void begin_literal(struct imap_session *s, struct append *a)
{
    a->reading = false;
    a->left = a->announced.octets;
    conn_set_phase(s->conn, CONN_BODY, a->left);
    if (a->announced.synchronising)
        conn_write(s->conn, SLICE("+ Go on\r\n"));
}

static enum turn append_step(struct imap_session *s)
{
    struct append *a = s->step_data;

    for (;;) {
        if (a->source.read != NULL) {
            if (!append_copy_some(s, a))
                give_up(s, a);
            else if (conn_turn_over(s->conn))
                return TURN_AGAIN;
        } else if (a->left > 0) {
            if (!take_octets(s, a))
                return TURN_PARK;
        } else if (!a->reading) {
            if (!take_text(s, a))
                return TURN_PARK;
        } else {
            switch (read_on(s, a)) {
            case READ_FAILED: give_up(s, a); break;
            case READ_LITERAL: begin_literal(s, a); break;
            case READ_URL: break;
            case READ_END: finish_command(s, a); break;
            }
        }
        if (s->answer.len > 0)
            return TURN_PARK;
    }
}

void append_begin(struct imap_session *s, struct append *a, const struct imap_reader *args,
                  const struct frame_found *message)
{
    a->args = *args;
    a->has_literal = message != NULL;
    if (message != NULL)
        a->announced = *message;
    a->reading = true;
    s->step_data = a;
    s->cleanup = end_append;
    s->step = append_step;
}

/*
 * append = "APPEND" SP mailbox 1*append-message
 * append-message = [SP flag-list] [SP date-time] SP append-data     RFC 4466 section 6
 */
void imap_append(struct imap_session *s, struct imap_reader *args, const struct frame_found *message)
{
    struct append *a = arena_new(&s->arena, struct append);

    if (a == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    imap_expect_space(args);
    a->mailbox = imap_read_mailbox(args);
    if (args->failed)
        imap_bad_args(s, args);
    else
        append_begin(s, a, args, message);
}

void imap_append_bare(struct imap_session *s, struct imap_reader *args)
{
    imap_append(s, args, NULL);
}
