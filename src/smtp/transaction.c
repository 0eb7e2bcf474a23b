/*
 * smtp/transaction.c - one message from MAIL to its final reply.
 *
 * Layer: smtp.  Decides whether the message comes in and hands it to deliver/.
 * Once deliver_end has said yes, the answer is 250 for everybody in it; until then the session is parked.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/unicode.h"
#include "message/binary.h"
#include "message/header.h"
#include "net/net.h"
#include "smtp/session.h"
#include "storage/volume.h"

enum {
    TRACED_MAX = 100, /* recipients that are noted one by one for `posthorn trace` */
    ARENA_MAX = 16 << 20, /* recipients and where they lead */
    BODY_MEMORY = 256 << 10,
};

struct smtp_transaction *smtp_transaction_create(void)
{
    struct smtp_transaction *tx = xcalloc(1, sizeof *tx);

    arena_init(&tx->arena, ARENA_MAX);
    deliver_hold_init(&tx->hold);
    tx->trace = log_new_id();
    return tx;
}

static void drop_content(struct smtp_transaction *tx)
{
    body_destroy(&tx->body);
    buf_finish(&tx->header);
    tx->holding_header = false;
}

void smtp_transaction_end(struct smtp_session *s)
{
    if (s->tx == NULL)
        return;
    policy_session_reset(s->policy);
    drop_content(s->tx);
    deliver_hold_finish(s->service->deliver, &s->tx->hold);
    arena_finish(&s->tx->arena);
    free(s->tx);
    s->tx = NULL;
}

/* ---- the body comes ---- */

static bool mends_lf(const struct smtp_session *s)
{
    return smtp_in_blocks(s, s->service->mend_lf_for, s->service->mend_lf_count);
}

/* The message cannot come in: what was kept of it goes at once, the rest unread. */
static void lose(struct smtp_transaction *tx)
{
    tx->lost = true;
    drop_content(tx);
}

void smtp_transaction_lose(struct smtp_session *s, const struct fail *why, unsigned code)
{
    s->tx->why = *why;
    s->tx->code = code;
    lose(s->tx);
}

static void keep(struct smtp_transaction *tx, struct slice s)
{
    /* The next server wants to know, also where the client did not say so. */
    if (tx->options.body == BODY_7BIT && !slice_is_ascii(s))
        tx->options.body = BODY_8BITMIME;
    if (!tx->lost && s.len > 0 && !body_add(tx->body, s, &tx->why))
        lose(tx);
}

static bool has_room(void *volumes, uint64_t bytes, struct fail *why)
{
    return volume_has_space(volumes, bytes, why);
}

static struct body_limits body_limits(const struct smtp_session *s, uint64_t size_max)
{
    return (struct body_limits){.memory_max = BODY_MEMORY,
                                .size_max = size_max,
                                .spool_dir = s->service->spool_dir,
                                .has_room = has_room,
                                .room_ctx = s->service->volumes};
}

void smtp_transaction_begin_body(struct smtp_session *s, bool dots)
{
    struct smtp_transaction *tx = s->tx;
    const struct smtp_limits *limits = &s->service->limits;
    struct body_limits of_body = body_limits(s, limits->message_bytes + SMTP_ADDED_MAX);
    struct buf received;

    tx->begun = true;
    tx->received = clock_now();
    data_scanner_init(&tx->scanner, dots, tx->options.body != BODY_BINARYMIME && mends_lf(s));
    tx->body = body_create(&of_body);
    tx->holding_header = s->service->kind == SMTP_SUBMISSION;
    buf_init(&tx->header, limits->header_bytes);
    buf_init(&received, SMTP_ADDED_MAX / 2);
    smtp_write_received(&received, s);
    keep(tx, buf_slice(&received));
    buf_finish(&received);
}

/* Submission: the header is whole now. */
static void release_header(struct smtp_session *s)
{
    struct smtp_transaction *tx = s->tx;
    struct buf mended;

    tx->holding_header = false;
    if (!smtp_header_is_own(s, buf_slice(&tx->header), &tx->why)) {
        lose(tx);
        return;
    }
    buf_init(&mended, tx->header.max + SMTP_ADDED_MAX / 2);
    smtp_mend_header(&mended, buf_slice(&tx->header), s->service->hostname, tx->received);
    buf_finish(&tx->header);
    keep(tx, buf_slice(&mended));
    buf_finish(&mended);
}

void smtp_transaction_add(struct smtp_session *s, struct slice piece)
{
    struct smtp_transaction *tx = s->tx;
    const struct smtp_limits *limits = &s->service->limits;
    const struct data_scanner *scanner = &tx->scanner;

    if (tx->lost)
        return;
    if (scanner->size > limits->message_bytes) {
        (void)fail_code(&tx->why, FAIL_PERM, FAIL_TOO_BIG, "5.3.4", "message is larger than %llu bytes",
                        (unsigned long long)limits->message_bytes);
        lose(tx);
    } else if (scanner->header_bytes > limits->header_bytes) {
        (void)fail_code(&tx->why, FAIL_PERM, FAIL_TOO_BIG, "5.3.4", "the header is larger than %u bytes",
                        limits->header_bytes);
        lose(tx);
    } else if (tx->holding_header) {
        buf_add(&tx->header, piece);
        if (!scanner->in_header)
            release_header(s);
    } else {
        keep(tx, piece);
    }
}

/* ---- the final reply ---- */

static unsigned reply_code(const struct fail *why)
{
    if (why->kind == FAIL_TEMP || why->internal)
        return why->reason == FAIL_NO_SPACE || fail_is_quota(why) ? 452 : 451;
    if (why->reason == FAIL_TOO_BIG || fail_is_quota(why))
        return 552;
    return why->reason == FAIL_LIMIT ? 554 : 550;
}

static void answer(struct smtp_session *s, const struct fail *why)
{
    const unsigned code = s->tx->code != 0 ? s->tx->code : reply_code(why);

    smtp_reply_fail(s, why, code, code);
}

/* One reply; over LMTP one for each recipient (RFC 2033 section 4.2). */
static void refuse_by(struct smtp_session *s, const struct fail *why, struct slice by)
{
    const unsigned errors = s->errors;
    const size_t replies = s->service->kind == SMTP_LMTP ? s->tx->reply_count : 1;

    for (size_t i = 0; i < replies; i++)
        answer(s, why);
    s->errors = errors + (why->kind == FAIL_PERM); /* one message is one error */
    smtp_log_by(s, "data", s->tx->recipient_count == 1 ? s->tx->recipients[0].address : SLICE(""), why, by);
}

static void refuse_all(struct smtp_session *s, const struct fail *why)
{
    refuse_by(s, why, SLICE("-"));
}

/*
 * BINARYMIME: parts that IMAP, POP3 or another mail server could not be given are kept in base64
 * (RFC 3030 section 3: every octet is preserved).
 */
static bool encode_binary(const struct smtp_session *s, struct fail *why)
{
    struct smtp_transaction *tx = s->tx;
    struct body_limits limits = body_limits(s, UINT64_MAX);
    struct body *encoded;

    if (!tx->scanner.nul && !tx->scanner.bare_cr && !tx->scanner.bare_lf)
        return true;
    if (!binary_encode(tx->body, &limits, true, &encoded, why))
        return false;
    body_destroy(&tx->body);
    tx->body = encoded;
    return true;
}

/* What its own bytes say against the message. */
static bool content_ok(const struct smtp_session *s, struct fail *why)
{
    const struct smtp_transaction *tx = s->tx;
    const struct data_scanner *scanner = &tx->scanner;
    const bool binary = tx->options.body == BODY_BINARYMIME;

    if (!binary && (scanner->bare_cr || scanner->bare_lf))
        return fail_code(why, FAIL_PERM, FAIL_INVALID, "5.6.11", "bare %s in the message: lines end in CRLF",
                         scanner->bare_cr ? "CR" : "LF");
    if (!binary && scanner->nul)
        return fail_code(why, FAIL_PERM, FAIL_INVALID, "5.6.0", "NUL byte in the message");
    if (tx->lost) {
        *why = tx->why;
        return false;
    }
    if (scanner->received_fields > s->service->limits.received_fields)
        return fail_code(why, FAIL_PERM, FAIL_LIMIT, "5.4.6", "mail loop: %u Received fields",
                         scanner->received_fields);
    if (smtp_header_loops(s, why))
        return false;
    return !binary || encode_binary(s, why);
}

/* Its id, by which people ask what became of it; into `room`. */
static struct slice message_id(const struct body *body, char *room, size_t size)
{
    struct header_field field;
    struct slice text;
    size_t n = 0;

    if (!body_in_memory(body, &text)) {
        (void)body_read(body, 0, room, size, &n, NULL);
        text = slice_make(room, n);
    }
    return header_find(text, SLICE("Message-ID"), &field) ? header_message_id(field.body) : SLICE("");
}

static void log_accepted(struct smtp_session *s, const struct delivery *d)
{
    char head[8192]; /* of a large message: its id stands near the top */
    struct log_id session = conn_session_id(s->conn);
    struct conn_address peer = smtp_peer_text(s);

    log_event(LOG_INFO, "smtp.accepted", LOG_CSTR("session", session.text), LOG_TEXT("trace", d->trace),
              LOG_CSTR("peer", peer.text), LOG_CSTR("user", s->user != NULL ? s->user : "-"),
              LOG_TEXT("from", d->sender), LOG_TEXT("to", d->recipients[0].address),
              LOG_U64("recipients", d->recipient_count), LOG_U64("size", body_size(d->body)),
              LOG_TEXT("tls", conn_has_tls(s->conn) ? conn_tls_version(s->conn) : SLICE("none")),
              LOG_TEXT("message_id", message_id(d->body, head, sizeof head)));
    for (size_t i = 1; i < d->recipient_count && i < TRACED_MAX; i++)
        log_trace("smtp.recipient", LOG_TEXT("trace", d->trace), LOG_TEXT("to", d->recipients[i].address));
}

static bool wants_copy(const struct smtp_session *s)
{
    struct directory_account account;

    return s->account != 0 && s->service->kind == SMTP_SUBMISSION &&
           directory_account(s->service->directory, s->account, &s->tx->arena, &account, NULL) && account.sent_copy;
}

/* Its record is written; the session parks until it is on disk. */
static bool deliver(struct smtp_session *s, const struct delivery_recipient *recipients, size_t count,
                    struct fail *why)
{
    struct smtp_transaction *tx = s->tx;
    struct conn_address peer = smtp_peer_text(s);
    struct delivery *d = &tx->delivery;

    *d = (struct delivery){.sender = tx->sender.address,
                           .recipients = recipients,
                           .recipient_count = count,
                           .body = tx->body,
                           .keep = tx->body,
                           .received = tx->received,
                           .trace = slice_of(tx->trace.text),
                           .options = tx->options,
                           .junk = tx->junk,
                           .hold = &tx->hold};
    d->options.account = s->account;
    d->options.source = arena_keep(&tx->arena, slice_of(s->user != NULL ? s->user : peer.text));
    if (d->options.body == BODY_BINARYMIME)
        d->options.body = BODY_8BITMIME; /* it is no longer, see encode_binary */

    if (wants_copy(s))
        (void)deliver_want_copy(s->service->deliver, &tx->hold, s->account, body_size(tx->body), &d->copy);
    tx->ticket = deliver_start(s->service->deliver, d, conn_waker(s->conn), why);
    return tx->ticket != NULL;
}

static void reply_kept(struct smtp_session *s)
{
    const size_t replies = s->service->kind == SMTP_LMTP ? s->tx->reply_count : 1;

    for (size_t i = 0; i < replies; i++) {
        if (s->tx->fates != NULL && s->tx->fates[i] != NULL)
            answer(s, s->tx->fates[i]);
        else
            smtp_reply(s, 250, "2.0.0", "kept as %s", s->tx->trace.text);
    }
}

static void finish_smtp(struct smtp_session *s)
{
    struct smtp_transaction *tx = s->tx;
    struct fail why = {0};

    for (size_t i = 0; i < tx->recipient_count; i++) {
        if (!deliver_still_may(s->service->deliver, &tx->hold, &tx->recipients[i], body_size(tx->body), &why)) {
            refuse_all(s, &why);
            return;
        }
    }
    if (!deliver(s, tx->recipients, tx->recipient_count, &why))
        refuse_all(s, &why);
}

/* Each recipient has its own fate: those who cannot have it now are told so, the others get it. */
static void finish_lmtp(struct smtp_session *s)
{
    struct smtp_transaction *tx = s->tx;
    const size_t count = tx->recipient_count;
    struct delivery_recipient *takers = arena_new_array(&tx->arena, struct delivery_recipient, count);
    struct fail **fates = arena_new_array(&tx->arena, struct fail *, count);
    struct fail why = {0};
    size_t taken = 0;

    if (takers == NULL || fates == NULL) {
        (void)fail_code(&why, FAIL_TEMP, FAIL_LIMIT, "4.5.3", "too many recipients");
        refuse_all(s, &why);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (deliver_still_may(s->service->deliver, &tx->hold, &tx->recipients[i], body_size(tx->body), &why)) {
            takers[taken++] = tx->recipients[i];
        } else if ((fates[i] = arena_new(&tx->arena, struct fail)) != NULL) {
            *fates[i] = why;
        } else {
            refuse_all(s, &why);
            return;
        }
    }
    tx->fates = fates;
    if (taken == 0)
        reply_kept(s);
    else if (!deliver(s, takers, taken, &why))
        refuse_all(s, &why);
}

/* All is said but policy's word: keeps the message, or not. */
static void finish_allowed(struct smtp_session *s, const struct policy_verdict *verdict)
{
    struct fail why = {0};

    if (verdict != NULL && !smtp_apply_verdict(s, verdict, &why)) {
        refuse_all(s, &why);
    } else if (s->tx->recipient_count == 0) { /* policy has taken them all away */
        smtp_log_discarded(s, verdict != NULL ? verdict->by : SLICE("-"));
        reply_kept(s);
    } else if (s->service->kind == SMTP_LMTP && !s->tx->readdressed) {
        finish_lmtp(s);
    } else {
        finish_smtp(s); /* who were named anew share one fate */
    }
}

static void answered(struct smtp_session *s)
{
    smtp_check_over(s);
    smtp_transaction_end(s);
}

static void answer_message(struct smtp_session *s, const struct policy_verdict *verdict)
{
    struct fail why = {0};

    if (verdict == NULL || verdict->action == POLICY_ACCEPT) {
        finish_allowed(s, verdict);
    } else if (verdict->action == POLICY_DISCARD) {
        smtp_log_discarded(s, verdict->by);
        reply_kept(s);
    } else {
        s->tx->code = smtp_verdict_fail(verdict, &why);
        s->closing = s->tx->code == 421;
        refuse_by(s, &why, verdict->by);
    }
    if (s->tx->ticket != NULL)
        s->reading = READING_KEPT;
    else
        answered(s);
}

void smtp_keep_now(struct smtp_session *s)
{
    struct fail why = {0};

    if (s->reading != READING_KEPT)
        return;
    s->reading = READING_COMMANDS;
    if (deliver_end(&s->tx->ticket, &why)) {
        s->errors = 0;
        log_accepted(s, &s->tx->delivery);
        reply_kept(s);
    } else {
        refuse_all(s, &why);
    }
    answered(s);
}

bool smtp_keep_continue(struct smtp_session *s)
{
    if (!deliver_done(s->tx->ticket))
        return false;
    smtp_keep_now(s);
    return true;
}

void smtp_transaction_finish(struct smtp_session *s)
{
    struct fail why = {0};

    s->tx->reply_count = s->tx->recipient_count;
    if (s->tx->holding_header)
        release_header(s);
    if (!content_ok(s, &why)) {
        /* Two servers may disagree about where this message ended: nothing more is taken from here. */
        s->closing = s->tx->scanner.dots && (s->tx->scanner.bare_cr || s->tx->scanner.bare_lf);
        refuse_all(s, &why);
        smtp_transaction_end(s);
    } else {
        smtp_check(s, POLICY_MESSAGE, SLICE(""), answer_message);
    }
}
