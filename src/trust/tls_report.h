/*
 * trust/tls_report.h - TLS reports (RFC 8460): what happened today with whose policy, and the mails that tell them.
 *
 * Layer: trust.  Counts survive a restart (kept on disk, derived; a crash costs those of the last minute); a day's reports are
 * made some hours after its end in UTC.  A domain gets one if it asks for it in its TXT record "_smtp._tls".
 */
#ifndef TRUST_TLS_REPORT_H
#define TRUST_TLS_REPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/fail.h"

enum tls_report_policy { REPORT_NO_POLICY, REPORT_STS, REPORT_TLSA };
/* RFC 8460 section 4.3. */
enum tls_report_result {
    REPORT_SUCCESS, REPORT_STARTTLS_NOT_SUPPORTED, REPORT_CERTIFICATE_HOST_MISMATCH, REPORT_CERTIFICATE_EXPIRED,
    REPORT_CERTIFICATE_NOT_TRUSTED, REPORT_VALIDATION_FAILURE, REPORT_TLSA_INVALID, REPORT_DNSSEC_INVALID,
    REPORT_DANE_REQUIRED, REPORT_STS_POLICY_FETCH_ERROR, REPORT_STS_POLICY_INVALID, REPORT_STS_WEBPKI_INVALID,
};

struct tls_report_event {
    struct slice           domain;  /* policy domain */
    enum tls_report_policy policy;
    struct slice           policy_text; /* the STS policy or TLSA records, lines; empty: none */
    enum tls_report_result result;
    struct slice           mx_host, mx_address, our_address; /* empty: not known */
    struct slice           reason;      /* of a failure, in words; empty: none */
};

struct dns_client;
struct fetch_client;
struct tls_report;
/* What sends a report: a message to an address (through the queue), CRLF, with its header.  Any thread. */
struct tls_report_sender {
    bool (*mail)(void *ctx, struct slice to, struct slice message, struct fail *why);
    void *ctx;
};
struct tls_report_setting {
    const char *dir, *hostname;
    const char *contact; /* of the report; "": postmaster at the host name */
    bool        send;    /* default on; else nothing is counted */
    struct dns_client *dns;
    struct fetch_client *fetch; /* for rua=https */
    struct tls_report_sender sender;
};
/* What *s points to must outlive it.  Starts a thread. */
bool tls_report_open(const struct tls_report_setting *s, struct tls_report **out, struct fail *why);
/* Counts are written.  Nobody may be counting any more.  Fine on NULL; leaves *r NULL. */
void tls_report_close(struct tls_report **r);
/* One session, or one policy that could not be had.  Any thread; does not wait, but for a lock and a short write now and then. */
void tls_report_note(struct tls_report *r, const struct tls_report_event *e);

/*
 * Sends the reports of a day (days since 1970, in UTC) that were not sent yet: what the thread does some hours after its end,
 * and again with longer and longer pauses for a day, as long as one cannot be sent.  true: none is left.
 */
bool tls_report_send_day(struct tls_report *r, int64_t day);

#endif
