/*
 * trust/tls_report.h - TLS reports (RFC 8460): what happened today with whose policy, and the mails that tell them.
 *
 * Layer: trust.  Counts survive a restart (kept on disk, derived); a day's reports are made after its end in UTC.
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
};

struct dns_client;
struct fetch_client;
struct tls_report;
/* What sends a report: a message to an address (through the queue). */
struct tls_report_sender {
    bool (*mail)(void *ctx, struct slice to, struct slice message, struct fail *why);
    void *ctx;
};
struct tls_report_setting {
    const char *dir, *hostname;
    const char *contact; /* of the report; "": postmaster at the host name */
    bool        send;    /* default on */
    struct dns_client *dns;
    struct fetch_client *fetch; /* for rua=https */
    struct tls_report_sender sender;
};
bool tls_report_open(const struct tls_report_setting *s, struct tls_report **out, struct fail *why);
void tls_report_close(struct tls_report **r);
void tls_report_note(struct tls_report *r, const struct tls_report_event *e);

#endif
