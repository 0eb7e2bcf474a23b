/*
 * smtp/session.h - one SMTP or LMTP session, as the files of this room share it.
 *
 * Layer: smtp.  Private to src/smtp.  A parked session between two messages is
 * this struct and two short texts; a transaction is allocated by MAIL and freed
 * when it ends, whatever way.
 */
#ifndef SMTP_SESSION_H
#define SMTP_SESSION_H

#include "base/arena.h"
#include "base/body.h"
#include "base/fail.h"
#include "deliver/deliver.h"
#include "policy/policy.h"
#include "smtp/data.h"
#include "smtp/path.h"
#include "smtp/server.h"

/* What the next input is. */
enum smtp_reading {
    READING_COMMANDS,
    READING_SASL,  /* the client's answer to a 334 */
    READING_LOGIN, /* nothing: auth is being asked */
    READING_DATA,
    READING_CHUNK, /* BDAT */
    READING_POLICY, /* nothing: policy is being asked */
    READING_KEPT,   /* nothing: the message goes to disk */
};

enum { SMTP_ADDED_MAX = 64 << 10 }; /* header lines of our own, over the size limit */
enum { SMTP_LISTS = 6 }; /* in one message: with the sender's and SRS's, a record has eight reverse-paths */

struct smtp_session;
/* How a command goes on once policy has spoken; NULL: nothing is said against it. */
typedef void (*smtp_then)(struct smtp_session *s, const struct policy_verdict *verdict);

/* From MAIL to the final reply. */
struct smtp_transaction {
    struct arena arena; /* everything below that is text lives here */
    struct log_id trace;
    struct smtp_path sender;
    struct envelope_options options; /* what MAIL asked for */
    bool lowered;       /* MT-PRIORITY was more than this client may have */
    uint64_t announced; /* SIZE; 0: not said */
    struct delivery_recipient *recipients;
    size_t recipient_count, recipient_cap;
    struct deliver_hold hold; /* room for them */
    struct slice owners[SMTP_LISTS]; /* reverse-paths of lists among them that leave */
    size_t owner_count;
    struct delivery_recipient asked; /* RCPT: whom policy is being asked about */

    /* from DATA or the first BDAT on */
    bool begun;
    int64_t received; /* seconds since 1970 */
    struct data_scanner scanner;
    struct body *body; /* NULL before that and once the message is lost */
    struct buf header; /* submission: the header, until it is whole and mended */
    bool holding_header;
    size_t reply_count; /* LMTP: of final replies (RFC 2033 section 4.2) */
    bool junk;          /* policy has tagged it */
    bool readdressed;   /* policy has changed the recipients */
    unsigned code;      /* of the reply that says `why`; 0: what suits it */
    bool lost; /* for `why`: the rest is read and dropped */
    struct fail why;

    /* READING_KEPT */
    struct delivery delivery;
    struct deliver_ticket *ticket;
    struct fail **fates; /* LMTP: of each recipient, NULL: it gets it */
};

struct smtp_session {
    const struct smtp_service *service;
    struct conn *conn;
    struct smtp_transaction *tx; /* NULL outside a transaction */
    struct login *login;         /* NULL but while signing in */
    char *client_name;           /* of EHLO; NULL before */
    char *user;                  /* the account's address; NULL before AUTH */
    struct smtp_told *told;      /* what a proxy has said; NULL: nothing */
    uint64_t account;
    unsigned errors, transactions, failed_logins;
    enum smtp_reading reading;
    enum smtp_reading check_reading; /* READING_POLICY: what comes after it */
    struct policy_session *policy;   /* NULL until policy has something to keep */
    struct policy_check *check;      /* READING_POLICY */
    smtp_then check_then;
    uint8_t check_stage;
    uint64_t chunk_size, chunk_left; /* READING_CHUNK */
    bool chunk_last, chunk_dropped;
    bool extended; /* EHLO or LHLO, not HELO */
    bool closing;
    bool refused; /* by a 554 greeting: only QUIT is answered (RFC 5321 section 3.1) */
    bool starting_tls; /* nothing more is read in this turn */
};

/* ---- reply.c ---- */

/* "250 2.1.0 text".  Anything that is not printable ASCII becomes "?".  5xx count as errors of the client. */
void smtp_reply(struct smtp_session *s, unsigned code, const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* From a failure: `temp` or `perm`, with its enhanced code (or what suits the kind) and its text. */
void smtp_reply_fail(struct smtp_session *s, const struct fail *why, unsigned temp, unsigned perm);
/* 500 to a line that cannot be a command. */
void smtp_refuse_line(struct smtp_session *s, struct slice line, const char *text);
/* To a client that speaks another protocol: whatever comes behind its line is not looked at. */
void smtp_hang_up(struct smtp_session *s);
/* 421, and the session ends after this turn. */
void smtp_close(struct smtp_session *s, const char *enhanced, const char *text);
/* Says no to a message (at "mail", "rcpt", "data") or to one recipient of it, and logs it.  Always false. */
bool smtp_refuse(struct smtp_session *s, const char *stage, struct slice recipient, unsigned code,
                 const char *enhanced, const char *text);
/* The same of a failure: its text into the log, and to the client what fail_said() says of it. */
bool smtp_refuse_fail(struct smtp_session *s, const char *stage, struct slice recipient, const struct fail *why,
                      unsigned temp, unsigned perm);
/* Only the log line. */
void smtp_log_refused(struct smtp_session *s, const char *stage, struct slice recipient, const char *code,
                      const char *text);

/* The same with who said so. */
void smtp_log_by(struct smtp_session *s, const char *stage, struct slice recipient, const struct fail *why, struct slice by);

/* ---- server.c ---- */

/* Greets the client if policy lets it in: at the start, and after XCLIENT. */
void smtp_begin(struct smtp_session *s);

/* ---- check.c ---- */

/*
 * Asks policy about this stage (`about`: the recipient of POLICY_RCPT, the line of POLICY_UNKNOWN; lives as long as the
 * transaction or the turn) and goes on with `then`, at once or when the word has come.
 */
void smtp_check(struct smtp_session *s, enum policy_stage stage, struct slice about, smtp_then then);
/* READING_POLICY: false while there is no verdict. */
bool smtp_check_continue(struct smtp_session *s);
/* `then` calls it when it is done with the verdict; fine if there was no check. */
void smtp_check_over(struct smtp_session *s);
/* Is it a yes?  A no is answered and logged. */
bool smtp_verdict_ok(struct smtp_session *s, const struct policy_verdict *v, struct slice recipient);
/* A no as a failure with its status code; returns the reply code. */
unsigned smtp_verdict_fail(const struct policy_verdict *v, struct fail *out);

/* ---- commands.c ---- */

/* Finds the command's row, checks where it may stand, runs it.  `line` is without its CRLF. */
void smtp_dispatch(struct smtp_session *s, struct slice line);

/* ---- hello.c, starttls.c, auth.c, mail.c, rcpt.c, body.c ---- */

void smtp_ehlo(struct smtp_session *s, struct slice args);
void smtp_helo(struct smtp_session *s, struct slice args);
void smtp_starttls(struct smtp_session *s, struct slice args);
void smtp_auth(struct smtp_session *s, struct slice args);
void smtp_mail(struct smtp_session *s, struct slice args);
void smtp_rcpt(struct smtp_session *s, struct slice args);
void smtp_data(struct smtp_session *s, struct slice args);
void smtp_bdat(struct smtp_session *s, struct slice args);

/* ---- parameters.c ---- */

/* Of MAIL, into the transaction; of RCPT.  false: answered. */
bool smtp_mail_parameters(struct smtp_session *s, struct smtp_transaction *tx, struct slice args);
bool smtp_rcpt_parameters(struct smtp_session *s, struct slice args, struct recipient_options *out);
/* Which of them EHLO names to this client. */
bool smtp_offers_auth_parameter(const struct smtp_session *s);
bool smtp_offers_dsn(const struct smtp_session *s); /* DELIVERBY and MT-PRIORITY too */
bool smtp_offers_holding(const struct smtp_session *s);
bool smtp_offers_requiretls(const struct smtp_session *s);

/* ---- xclient.c ---- */

void smtp_xclient(struct smtp_session *s, struct slice args);
bool smtp_offers_xclient(const struct smtp_session *s);
/* The client, as far as anybody but net/ is concerned: who is connected, or whom a proxy speaks for. */
struct sockaddr_storage smtp_peer(const struct smtp_session *s);
struct conn_address smtp_peer_text(const struct smtp_session *s);

/* ---- header.c ---- */

/* Submission: do From and Sender name only whom this account may send as?  false: `why`. */
bool smtp_header_is_own(const struct smtp_session *s, struct slice header, struct fail *why);
/* The message is whole: has it been forwarded from one of its recipients before (Delivered-To)?  true: `why`. */
bool smtp_header_loops(const struct smtp_session *s, struct fail *why);

/* ---- relay.c ---- */

bool smtp_in_blocks(const struct smtp_session *s, const struct net_block *blocks, size_t count);

/* Signed in, or one of the networks that may send anywhere. */
bool smtp_is_trusted(const struct smtp_session *s);
/* May mail for that domain, which is not ours, go on from here? */
bool smtp_may_relay(const struct smtp_session *s, struct slice recipient);

/* May a client sign in on this connection as it is now? */
bool smtp_offers_auth(const struct smtp_session *s);
/* READING_LOGIN: false while there is no answer. */
bool smtp_login_continue(struct smtp_session *s);
/* READING_SASL: the client's line. */
void smtp_sasl_line(struct smtp_session *s, struct slice line);

/* READING_DATA, READING_CHUNK: takes what has arrived; false if there was nothing. */
bool smtp_take_body(struct smtp_session *s);

/* ---- transaction.c ---- */

struct smtp_transaction *smtp_transaction_create(void);
/* Ends it, if there is one: RSET, EHLO, STARTTLS, the final reply, the end of the session. */
void smtp_transaction_end(struct smtp_session *s);
/* DATA, or the first BDAT: the body, with the Received field on top. */
void smtp_transaction_begin_body(struct smtp_session *s, bool dots);
/* What the scanner gave: is added to the message, or makes it `lost`. */
void smtp_transaction_add(struct smtp_session *s, struct slice piece);
/* It cannot come in for that reason (reply code `code`): the rest of it is read and dropped. */
void smtp_transaction_lose(struct smtp_session *s, const struct fail *why, unsigned code);
/* The message is whole: decides, delivers, answers, ends the transaction. */
void smtp_transaction_finish(struct smtp_session *s);
/* READING_KEPT: false while there is no word. */
bool smtp_keep_continue(struct smtp_session *s);
/* The session is to end: waits for that word, if it still has to come, and says it. */
void smtp_keep_now(struct smtp_session *s);

/* ---- verdict.c ---- */

/* Changes the message and its envelope as policy has said; false: it cannot be done. */
bool smtp_apply_verdict(struct smtp_session *s, const struct policy_verdict *v, struct fail *why);
void smtp_log_discarded(struct smtp_session *s, struct slice by);

/* ---- trace.c, submit.c ---- */

/* "Received: ..." for this message (RFC 5321 section 4.4), whole lines. */
void smtp_write_received(struct buf *out, const struct smtp_session *s);
/*
 * What a submission server mends (RFC 6409 section 8): Date and Message-ID are
 * added on top when missing, Bcc fields taken out (RFC 5322 section 3.6.3).
 */
void smtp_mend_header(struct buf *out, struct slice header, const char *hostname, int64_t now);

#endif
