/*
 * imap/append.c - APPEND.
 *
 * Layer: imap.  RFC 3501 section 6.3.11, RFC 4315 section 3 (APPENDUID), RFC 7889.
 * Everything that can be refused is refused before the message is invited.
 */
#include "imap/target.h"

#include "base/body.h"
#include "base/clock.h"
#include "base/fail.h"

enum {
    MEMORY_MAX = 256 * 1024, /* of a message before it goes to a spool file */
    WANT = 16 * 1024,        /* bytes worth waking up for */
};

struct append {
    struct account *account;
    uint64_t mailbox;
    struct imap_flags flags;
    int64_t internal_date;
    int internal_zone;
    struct body *body;
    uint64_t left; /* octets still to come */
};

static void end_append(struct imap_session *s)
{
    struct append *a = s->step_data;

    body_destroy(&a->body);
}

/*
 * append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal
 *
 * Ends before the literal.
 */
static struct slice read_append(struct imap_reader *r, struct append *a)
{
    int64_t now = clock_now();

    a->internal_date = now;
    a->internal_zone = clock_zone_minutes(now);
    imap_expect_space(r);
    struct slice name = imap_read_mailbox(r);
    imap_expect_space(r);
    if (imap_peek(r) == '(') {
        a->flags = imap_read_flag_list(r);
        imap_expect_space(r);
    }
    if (imap_peek(r) == '"') {
        a->internal_date = imap_read_date_time(r, &a->internal_zone);
        imap_expect_space(r);
    }
    if (!imap_at_end(r))
        imap_fail(r, "the message as a literal");
    return name;
}

static void finish_append(struct imap_session *s, struct append *a)
{
    struct append_item item = {
        .body = a->body,
        .flags = a->flags.flags,
        .keywords = a->flags.keywords,
        .keyword_count = a->flags.keyword_count,
        .internal_date = a->internal_date,
        .internal_zone = a->internal_zone,
    };
    uint32_t uidvalidity;
    uint64_t modseq;
    struct fail why;

    if (!message_append(a->account, a->mailbox, &item, 1, &uidvalidity, &modseq, &why))
        imap_no_target(s, &why);
    else
        imap_ok(s, "[APPENDUID %u %u] Kept", uidvalidity, item.uid);
}

/* After the last octet the command's line ends. */
static enum turn take_line_end(struct imap_session *s, struct append *a)
{
    struct slice line;
    bool too_long;

    if (!conn_take_line(s->conn, s->service->limits.command_bytes, &line, NULL, &too_long)) {
        if (!too_long)
            return TURN_PARK;
        imap_bye(s, "The command is too large");
        imap_bad(s, "Expected the end of the command after the message");
        return TURN_CLOSE;
    }
    conn_set_phase(s->conn, CONN_READY, 0);
    if (line.len > 0)
        imap_bad(s, "Expected the end of the command after the message");
    else
        finish_append(s, a);
    return TURN_PARK;
}

static enum turn append_step(struct imap_session *s)
{
    struct append *a = s->step_data;
    struct slice in = conn_input(s->conn);
    struct fail why;

    if (a->left > 0 && in.len > 0) {
        size_t n = a->left < in.len ? (size_t)a->left : in.len;
        bool kept = body_add(a->body, slice_sub(in, 0, n), &why);
        conn_consume(s->conn, n);
        a->left -= n;
        if (!kept) { /* the spool is full: the rest is read and dropped */
            s->skip = a->left;
            s->skip_line = true;
            imap_no_because(s, &why);
            return TURN_PARK;
        }
    }
    if (a->left > 0) {
        conn_want(s->conn, a->left < WANT ? (size_t)a->left : WANT);
        return TURN_PARK;
    }
    return take_line_end(s, a);
}

void imap_append(struct imap_session *s, struct imap_reader *args, const struct frame_found *message)
{
    struct append *a = arena_new(&s->arena, struct append);
    struct imap_target target;
    struct fail why;

    if (a == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    struct slice name = read_append(args, a);
    if (message == NULL)
        imap_fail(args, "the message as a literal");
    if (message == NULL || args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (message->octets > s->service->limits.append_bytes) {
        imap_no(s, "[TOOBIG] At most %llu octets", (unsigned long long)s->service->limits.append_bytes);
        return;
    }
    if (!imap_find(s, name, RIGHT_INSERT, &target, &why)) {
        imap_no_target(s, &why);
        return;
    }
    if (target.info.no_select) {
        imap_no(s, "[TRYCREATE] The mailbox cannot hold messages");
        return;
    }
    a->account = target.account;
    a->mailbox = target.info.id;
    a->left = message->octets;
    a->body = body_create(&(struct body_limits){
        .memory_max = MEMORY_MAX,
        .size_max = s->service->limits.append_bytes,
        .spool_dir = s->service->spool_dir,
    });
    s->step_data = a;
    s->cleanup = end_append;
    s->step = append_step;
    conn_set_phase(s->conn, CONN_BODY, message->octets);
    if (message->synchronising)
        conn_write(s->conn, SLICE("+ Go on\r\n"));
}
