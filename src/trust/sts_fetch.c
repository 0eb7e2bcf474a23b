/*
 * trust/sts_fetch.c - see trust/sts_fetch.h.
 *
 * Layer: trust.
 */
#include "trust/sts_fetch.h"

#include "net/dns.h"
#include "net/fetch.h"
#include "trust/record.h"

enum { FETCH_SECONDS = 60 /* RFC 8461 section 3.3 */, ARENA_MAX = 1024 * 1024, HTTP_OK = 200 };

enum sts_record_status sts_fetch_record(struct dns_client *dns, const char *domain, char id[STS_ID_MAX + 1], struct fail *why)
{
    enum sts_record_status status = STS_RECORD_NONE;
    struct dns_answer      found = {0};
    struct arena           a;
    struct slice           said = {0};
    size_t                 count = 0;

    arena_init(&a, ARENA_MAX);
    dns_ask(dns, arena_cstr(&a, arena_printf(&a, "_mta-sts.%s", domain)), DNS_TXT, &a, &found);
    /* Others than those of this version are passed over; of these there must be one (section 3.1). */
    for (size_t i = 0; found.status == DNS_FOUND && i < found.count; i++) {
        struct record_reader r;
        if (!record_begin(found.records[i].text, SLICE("v=STSv1"), &r))
            continue;
        count++;
        said = found.records[i].text;
    }
    struct slice value;
    if (found.status == DNS_FAILED) {
        status = STS_RECORD_FAILED;
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "TXT of _mta-sts.%s: %s", domain, found.why != NULL ? found.why : "no answer");
    } else if (count == 1 && sts_record_parse(said, &value)) {
        status = STS_RECORD_FOUND;
        memcpy(id, value.ptr, value.len);
        id[value.len] = '\0';
    }
    arena_finish(&a);
    return status;
}

bool sts_type_is_plain(struct slice content_type)
{
    return slice_eq_nocase(slice_trim(slice_sub(content_type, 0, slice_find_char(content_type, ';'))), SLICE("text/plain"));
}

bool sts_fetch_policy(struct fetch_client *fetch, const char *domain, struct buf *text, enum tls_report_result *result,
                      struct fail *why)
{
    struct arena        a;
    struct fetch_answer answer;
    struct sts_policy   policy;

    arena_init(&a, ARENA_MAX);
    const struct fetch_request q = {
        .url = arena_printf(&a, "https://mta-sts.%s/.well-known/mta-sts.txt", domain),
        .most = STS_TEXT_MAX,
        .seconds = FETCH_SECONDS,
    };
    bool ok = fetch_ask(fetch, &q, &a, &answer, text, why);
    if (!ok) {
        *result = why->reason == FAIL_AUTH      ? REPORT_STS_WEBPKI_INVALID
                  : why->reason == FAIL_TOO_BIG ? REPORT_STS_POLICY_INVALID
                                                : REPORT_STS_POLICY_FETCH_ERROR;
    } else if (answer.status != HTTP_OK) { /* redirects are not followed (section 3.3) */
        *result = REPORT_STS_POLICY_FETCH_ERROR;
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "the web server answered with status %u", answer.status);
    } else if (!sts_type_is_plain(answer.content_type)) {
        *result = REPORT_STS_POLICY_INVALID;
        ok = fail_set(why, FAIL_TEMP, FAIL_INVALID, "the policy is no text/plain");
    } else if (!sts_policy_parse(&a, buf_slice(text), &policy, why)) {
        *result = REPORT_STS_POLICY_INVALID;
        ok = false;
    }
    arena_finish(&a);
    return ok || fail_at(why, "mta-sts.%s", domain);
}
