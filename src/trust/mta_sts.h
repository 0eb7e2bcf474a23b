/*
 * trust/mta_sts.h - policies of RFC 8461: what a domain says about TLS to its MX hosts.
 *
 * Layer: trust.  Kept on disk (derived; a lost policy is fetched again) and refreshed before they end.  Any thread.
 */
#ifndef TRUST_MTA_STS_H
#define TRUST_MTA_STS_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/slice.h"

struct dns_client;
struct fetch_client;

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };

struct sts_policy {
    enum sts_mode mode;
    struct slice  id;      /* of the TXT record it belongs to */
    struct slice *mx;      /* patterns: "mail.example.org", "*.example.net" */
    size_t        mx_count;
    int64_t       max_age; /* seconds */
    struct slice  text;    /* as fetched, for reports */
};

/* RFC 8461 section 3.2; its text is copied into the arena.  FAIL_INVALID says what is wrong with it. */
bool sts_policy_parse(struct arena *a, struct slice text, struct sts_policy *out, struct fail *why);
/* Does the host match one of its patterns (section 4.1)? */
bool sts_policy_allows(const struct sts_policy *p, struct slice host);

struct mta_sts;
struct tls_report;
/* `dir` is made if it is not there.  Starts the thread that looks for newer policies. */
bool mta_sts_open(const char *dir, struct dns_client *dns, struct fetch_client *fetch, struct mta_sts **out, struct fail *why);
/* Nobody may be asking any more.  Fine on NULL; leaves *m NULL. */
void mta_sts_close(struct mta_sts **m);
/* Where policies that could not be had are counted (RFC 8461 section 6); it must live longer.  Before the first question. */
void mta_sts_report(struct mta_sts *m, struct tls_report *report);
/*
 * The policy in force for a domain; waits for a first fetch (between block_begin and block_end), for one and the same however
 * many ask.  A policy that is known is given at once, and looked after behind the scenes: for a newer id when it was not for
 * five minutes, and fetched again daily.  So a delivery that an outdated policy stopped finds the new one when tried again.
 *
 * false: it has none, or one with mode "none", or none can be had and none was known (section 3.3's "no policy"): `why_not`
 * then tells what went wrong, NULL: nothing.  In the arena.
 */
bool mta_sts_find(struct mta_sts *m, struct slice domain, struct arena *a, struct sts_policy *out, const char **why_not);

#endif
