/*
 * trust/tls_day.h - what happened on one day, by domain, policy and failure; on disk and as a report.
 *
 * Layer: trust, private to it.
 */
#ifndef TRUST_TLS_DAY_H
#define TRUST_TLS_DAY_H

#include "base/map.h"
#include "trust/tls_report.h"

/* One event as a line of a day's file, with how often it happened in front, and back; a line ends in LF. */
void tls_event_write(const struct tls_report_event *e, uint64_t count, struct buf *out);
/* The part behind the count, which is the same for the same event: what counts are kept by. */
bool tls_event_key(const struct tls_report_event *e, struct buf *out);

/* A day, summed up. */
struct tls_day {
    struct map domains; /* to struct tls_domain; in lower case */
};
struct tls_domain {
    char             *name;
    struct tls_policy *policies; /* a list */
};
struct tls_policy {
    struct tls_policy *next;
    enum tls_report_policy type;
    char             *text;
    uint64_t          good, bad;
    struct tls_failure *failures; /* a list */
    size_t            failure_count;
};
struct tls_failure {
    struct tls_failure *next;
    enum tls_report_result result;
    char               *mx_host, *mx_address, *our_address, *reason;
    uint64_t            count;
};

void tls_day_init(struct tls_day *d);
void tls_day_finish(struct tls_day *d);
/* One line; what is none is passed over. */
void tls_day_add(struct tls_day *d, struct slice line);

struct tls_report_about {
    const char *organization, *contact, *id;
    int64_t     day;
};
/* The report, I-JSON (RFC 8460 section 4.4), appended to `out`. */
void tls_domain_json(const struct tls_domain *d, const struct tls_report_about *about, struct buf *out);

#endif
