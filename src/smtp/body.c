/*
 * smtp/body.c - DATA and BDAT: the message comes.
 *
 * Layer: smtp.  RFC 5321 section 4.1.1.4, RFC 3030.
 */
#include "smtp/session.h"

enum { DROP_FACTOR = 10 }; /* times the size limit are read and dropped before we hang up */

static uint64_t drop_limit(const struct smtp_session *s)
{
    return s->service->limits.message_bytes * DROP_FACTOR;
}

/* Whoever has to sign in does not stay longer, nor unwatched, for sending a chunk that nobody wants. */
static bool is_before_login(const struct smtp_session *s)
{
    return s->service->kind == SMTP_SUBMISSION && s->user == NULL;
}

static void expect_body(struct smtp_session *s, enum smtp_reading reading, uint64_t expected)
{
    s->reading = reading;
    if (!is_before_login(s))
        conn_set_phase(s->conn, CONN_BODY, expected);
}

static void body_over(struct smtp_session *s)
{
    s->reading = READING_COMMANDS;
    if (!is_before_login(s))
        conn_set_phase(s->conn, CONN_READY, 0);
}

static void answer_data(struct smtp_session *s, const struct policy_verdict *verdict)
{
    if (smtp_verdict_ok(s, verdict, SLICE(""))) {
        smtp_transaction_begin_body(s, true);
        conn_write(s->conn, SLICE("354 end with <CRLF>.<CRLF>\r\n"));
        expect_body(s, READING_DATA, s->tx->announced > 0 ? s->tx->announced : s->service->limits.message_bytes);
    } else {
        smtp_transaction_end(s);
    }
    smtp_check_over(s);
}

/* data = "DATA" CRLF */
void smtp_data(struct smtp_session *s, struct slice args)
{
    (void)args;
    if (s->tx->options.body == BODY_BINARYMIME) { /* RFC 3030 section 3: no line of it could be told from the last */
        smtp_reply(s, 503, "5.5.1", "BODY=BINARYMIME is sent with BDAT");
        return;
    }
    smtp_check(s, POLICY_DATA, SLICE(""), answer_data);
}

/* The chunk is on its way already: a no is said at its end, and to all chunks after it. */
static void begin_chunks(struct smtp_session *s, const struct policy_verdict *verdict)
{
    smtp_transaction_begin_body(s, false);
    if (verdict != NULL && verdict->action != POLICY_ACCEPT && verdict->action != POLICY_DISCARD) {
        struct fail why;
        const unsigned code = smtp_verdict_fail(verdict, &why);
        smtp_log_by(s, "data", SLICE(""), &why, verdict->by);
        smtp_transaction_lose(s, &why, code);
    }
    expect_body(s, READING_CHUNK, s->chunk_size);
    smtp_check_over(s);
}

/*
 * bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF
 * chunk-size = 1*DIGIT;  end-marker = "LAST"                   RFC 3030 section 2
 *
 * The chunk follows whatever we think of it: one that cannot be used is read and
 * dropped.  Without a size nobody knows where commands go on: the session ends.
 */
void smtp_bdat(struct smtp_session *s, struct slice args)
{
    struct slice size = slice_cut(&args, ' ');

    s->chunk_last = slice_eq_nocase(args, SLICE("LAST"));
    if (!slice_to_u64(size, UINT64_MAX, &s->chunk_size) || (args.len > 0 && !s->chunk_last)) {
        smtp_reply(s, 501, "5.5.4", "BDAT size [LAST] is what was expected");
        s->closing = true;
        return;
    }
    if (s->chunk_size > drop_limit(s)) {
        smtp_reply(s, 552, "5.3.4", "that chunk is too large");
        s->closing = true;
        return;
    }
    s->chunk_left = s->chunk_size;
    s->chunk_dropped = s->tx == NULL || s->tx->recipient_count == 0;
    if (!s->chunk_dropped && !s->tx->begun)
        smtp_check(s, POLICY_DATA, SLICE(""), begin_chunks);
    else
        expect_body(s, READING_CHUNK, s->chunk_size);
}

/* Feeds `in` to the message and says how much of it belonged there. */
static size_t feed(struct smtp_session *s, struct slice in)
{
    struct data_scanner *scanner = &s->tx->scanner;
    size_t used = 0;

    while (used < in.len && !scanner->done) {
        struct slice piece;
        used += data_scan(scanner, slice_from(in, used), &piece);
        smtp_transaction_add(s, piece);
    }
    return used;
}

/* Reading on only to be able to say no has its end too. */
static bool is_hopeless(struct smtp_session *s)
{
    if (s->tx->scanner.size <= drop_limit(s))
        return false;
    (void)smtp_refuse(s, "data", SLICE(""), 552, "5.3.4", "message is far too large");
    s->closing = true;
    return true;
}

static bool take_data(struct smtp_session *s)
{
    struct slice in = conn_input(s->conn);

    if (in.len == 0)
        return false;
    conn_consume(s->conn, feed(s, in));
    if (is_hopeless(s))
        return true;
    if (s->tx->scanner.done) {
        body_over(s);
        smtp_transaction_finish(s);
    }
    return true;
}

static void end_chunk(struct smtp_session *s)
{
    body_over(s);
    if (s->chunk_dropped) {
        smtp_reply(s, 503, "5.5.1", s->tx == NULL ? "send MAIL first" : "no valid recipients");
    } else if (s->chunk_last) {
        smtp_transaction_add(s, data_scan_finish(&s->tx->scanner));
        smtp_transaction_finish(s);
    } else if (s->tx->lost) {
        const unsigned code = s->tx->code;
        smtp_reply_fail(s, &s->tx->why, code != 0 ? code : 452, code != 0 ? code : 552);
    } else {
        smtp_reply(s, 250, "2.0.0", "%llu bytes taken", (unsigned long long)s->chunk_size);
    }
}

static bool take_chunk(struct smtp_session *s)
{
    struct slice in = conn_input(s->conn);

    if (in.len > s->chunk_left)
        in.len = (size_t)s->chunk_left;
    if (in.len == 0 && s->chunk_left > 0)
        return false;
    if (!s->chunk_dropped)
        (void)feed(s, in);
    s->chunk_left -= in.len;
    conn_consume(s->conn, in.len);
    if (!s->chunk_dropped && is_hopeless(s))
        return true;
    if (s->chunk_left == 0)
        end_chunk(s);
    return true;
}

bool smtp_take_body(struct smtp_session *s)
{
    return s->reading == READING_DATA ? take_data(s) : take_chunk(s);
}
