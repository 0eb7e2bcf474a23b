/*
 * trust/tls_send.h - one domain's report, on its way.
 *
 * Layer: trust, private to it.
 */
#ifndef TRUST_TLS_SEND_H
#define TRUST_TLS_SEND_H

#include "trust/tls_day.h"

/* Who reports: of a tls_report_setting, with what was left out filled in. */
struct tls_reporter {
    const struct tls_report_setting *setting;
    const char                      *contact;   /* "postmaster@mail.example.org" */
    const char                      *submitter; /* its domain */
};

enum tls_sent { TLS_SENT, TLS_NOT_WANTED, TLS_NOT_SENT };
/* Asks the domain where it wants the report, and sends it to all that it names: one that takes it is enough. */
enum tls_sent tls_send(const struct tls_reporter *by, const struct tls_domain *d, int64_t day);

/* The message that carries a report (section 5.3), without the compression done: `gzip` is the report. */
void tls_message(const struct tls_reporter *by, const char *domain, const char *id, int64_t day, struct slice to, struct slice gzip,
                 struct buf *out);
/* RFC 1952. */
bool tls_gzip(struct slice in, struct buf *out);

#endif
