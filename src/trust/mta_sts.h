/*
 * trust/mta_sts.h - policies of RFC 8461: what a domain says about TLS to its MX hosts.
 *
 * Layer: trust.  Kept on disk (derived; a lost policy is fetched again) and refreshed before they end.
 */
#ifndef TRUST_MTA_STS_H
#define TRUST_MTA_STS_H

#include "base/arena.h"
#include "base/fail.h"

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

/* RFC 8461 section 3.2.  FAIL_INVALID says what is wrong with it. */
bool sts_policy_parse(struct arena *a, struct slice text, struct sts_policy *out, struct fail *why);
/* Does the host match one of its patterns (section 4.1)? */
bool sts_policy_allows(const struct sts_policy *p, struct slice host);

struct mta_sts;
bool mta_sts_open(const char *dir, struct dns_client *dns, struct fetch_client *fetch, struct mta_sts **out, struct fail *why);
void mta_sts_close(struct mta_sts **m);
/*
 * The policy in force for a domain; waits for a first fetch.  false: it has none (or none can be had and none was known:
 * section 3.3's "no policy"); `why_not` then tells what went wrong, NULL: there is none.  In the arena.
 */
bool mta_sts_find(struct mta_sts *m, struct slice domain, struct arena *a, struct sts_policy *out, const char **why_not);

#endif
