/*
 * trust/sts_fetch.h - asking a domain for its policy: the TXT record, then the web server.
 *
 * Layer: trust, private to it.
 */
#ifndef TRUST_STS_FETCH_H
#define TRUST_STS_FETCH_H

#include "trust/mta_sts.h"
#include "trust/sts_file.h"
#include "trust/tls_report.h"

enum sts_record_status { STS_RECORD_FOUND, STS_RECORD_NONE, STS_RECORD_FAILED };

/* The id in "_mta-sts.DOMAIN".  STS_RECORD_FAILED: DNS did not answer, `why` says how. */
enum sts_record_status sts_fetch_record(struct dns_client *dns, const char *domain, char id[STS_ID_MAX + 1], struct fail *why);

/*
 * The policy at https://mta-sts.DOMAIN/.well-known/mta-sts.txt, checked, its text appended to `text`.  false: `why`, and
 * *result says which of RFC 8460's failures it was.
 */
bool sts_fetch_policy(struct fetch_client *fetch, const char *domain, struct buf *text, enum tls_report_result *result,
                      struct fail *why);

/* Is it text/plain, whatever its parameters (section 3.2)? */
bool sts_type_is_plain(struct slice content_type);

#endif
