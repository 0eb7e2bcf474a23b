/*
 * trust/tls_day.c - see trust/tls_day.h.
 *
 * Layer: trust.
 */
#include "trust/tls_day.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    DOMAINS_MAX = 100000,
    POLICIES_MAX = 50,   /* of a domain */
    FAILURES_MAX = 1000, /* of a policy; more are counted, not told apart */
    HOSTS_MAX = 100,
};

/* ---- lines ---- */

static json_t *text_json(struct slice s)
{
    json_t *text = json_stringn(s.ptr != NULL ? s.ptr : "", s.len);

    return text != NULL ? text : json_string(""); /* what is no UTF-8 */
}

/* [domain, policy, text, result, mx host, its address, ours, reason] */
bool tls_event_key(const struct tls_report_event *e, struct buf *out)
{
    const struct slice texts[] = {e->mx_host, e->mx_address, e->our_address, e->reason};
    json_t            *row = json_array();

    (void)json_array_append_new(row, text_json(e->domain));
    (void)json_array_append_new(row, json_integer(e->policy));
    (void)json_array_append_new(row, text_json(e->policy_text));
    (void)json_array_append_new(row, json_integer(e->result));
    for (size_t i = 0; e->result != REPORT_SUCCESS && i < ARRAY_LEN(texts); i++)
        (void)json_array_append_new(row, text_json(texts[i]));
    char *text = json_dumps(row, JSON_COMPACT);
    json_decref(row);
    buf_add(out, slice_of(text));
    free(text);
    return text != NULL && !out->failed;
}

void tls_event_write(const struct tls_report_event *e, uint64_t count, struct buf *out)
{
    buf_addf(out, "%llu ", (unsigned long long)count);
    (void)tls_event_key(e, out);
    buf_add_char(out, '\n');
}

/* ---- summing up ---- */

void tls_day_init(struct tls_day *d)
{
    map_init(&d->domains);
}

static void policy_free(struct tls_policy *p)
{
    while (p->failures != NULL) {
        struct tls_failure *f = p->failures;
        p->failures = f->next;
        free(f->mx_host);
        free(f->mx_address);
        free(f->our_address);
        free(f->reason);
        free(f);
    }
    free(p->text);
    free(p);
}

void tls_day_finish(struct tls_day *d)
{
    struct slice key;
    void        *value;
    size_t       at = 0;

    while (map_next(&d->domains, &at, &key, &value)) {
        struct tls_domain *domain = value;
        while (domain->policies != NULL) {
            struct tls_policy *p = domain->policies;
            domain->policies = p->next;
            policy_free(p);
        }
        free(domain->name);
        free(domain);
    }
    map_finish(&d->domains);
}

static struct tls_domain *domain_of(struct tls_day *d, struct slice name)
{
    struct tls_domain *domain = map_get(&d->domains, name);

    if (domain == NULL && d->domains.count < DOMAINS_MAX) {
        domain = xcalloc(1, sizeof *domain);
        domain->name = xslicedup(name);
        (void)map_put(&d->domains, name, domain);
    }
    return domain;
}

static struct tls_policy *policy_of(struct tls_domain *d, enum tls_report_policy type, struct slice text)
{
    struct tls_policy **at = &d->policies;
    size_t              count = 0;

    for (; *at != NULL; at = &(*at)->next, count++)
        if ((*at)->type == type && slice_eq(slice_of((*at)->text), text))
            return *at;
    if (count == POLICIES_MAX)
        return NULL;
    *at = xcalloc(1, sizeof **at);
    (*at)->type = type;
    (*at)->text = xslicedup(text);
    return *at;
}

static void add_failure(struct tls_policy *p, enum tls_report_result result, const struct slice texts[4], uint64_t count)
{
    struct tls_failure **at = &p->failures;

    for (; *at != NULL; at = &(*at)->next) {
        struct tls_failure *f = *at;
        if (f->result == result && slice_eq(slice_of(f->mx_host), texts[0]) && slice_eq(slice_of(f->mx_address), texts[1]) &&
            slice_eq(slice_of(f->our_address), texts[2]) && slice_eq(slice_of(f->reason), texts[3])) {
            f->count += count;
            return;
        }
    }
    if (p->failure_count == FAILURES_MAX)
        return;
    p->failure_count++;
    *at = xcalloc(1, sizeof **at);
    **at = (struct tls_failure){.result = result,
                                .count = count,
                                .mx_host = xslicedup(texts[0]),
                                .mx_address = xslicedup(texts[1]),
                                .our_address = xslicedup(texts[2]),
                                .reason = xslicedup(texts[3])};
}

static bool get_text(const json_t *row, size_t at, struct slice *out)
{
    const json_t *value = json_array_get(row, at);

    *out = json_is_string(value) ? slice_make(json_string_value(value), json_string_length(value)) : SLICE("");
    return json_is_string(value);
}

static bool get_number(const json_t *row, size_t at, json_int_t most, unsigned *out)
{
    const json_t *value = json_array_get(row, at);
    json_int_t    n = json_integer_value(value);

    *out = (unsigned)n;
    return json_is_integer(value) && n >= 0 && n <= most;
}

static void add_row(struct tls_day *d, const json_t *row, uint64_t count)
{
    struct slice domain, text, texts[4];
    unsigned     type, result;

    if (!get_text(row, 0, &domain) || domain.len == 0 || !get_number(row, 1, REPORT_TLSA, &type) || !get_text(row, 2, &text) ||
        !get_number(row, 3, REPORT_STS_WEBPKI_INVALID, &result))
        return;
    struct tls_domain *to = domain_of(d, domain);
    struct tls_policy *policy = to != NULL ? policy_of(to, (enum tls_report_policy)type, text) : NULL;
    if (policy == NULL)
        return;
    if (result == REPORT_SUCCESS) {
        policy->good += count;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        (void)get_text(row, 4 + i, &texts[i]);
    policy->bad += count;
    add_failure(policy, (enum tls_report_result)result, texts, count);
}

void tls_day_add(struct tls_day *d, struct slice line)
{
    struct slice rest = line, digits = slice_cut(&rest, ' ');
    uint64_t     count;

    if (!slice_to_u64(digits, INT32_MAX, &count) || count == 0)
        return;
    json_t *row = json_loadb(rest.ptr != NULL ? rest.ptr : "", rest.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_array(row))
        add_row(d, row, count);
    json_decref(row);
}

/* ---- the report ---- */

static const char *const policy_names[] = {
    [REPORT_NO_POLICY] = "no-policy-found",
    [REPORT_STS] = "sts",
    [REPORT_TLSA] = "tlsa",
};

static const char *const result_names[] = {
    [REPORT_SUCCESS] = "",
    [REPORT_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
    [REPORT_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
    [REPORT_CERTIFICATE_EXPIRED] = "certificate-expired",
    [REPORT_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
    [REPORT_VALIDATION_FAILURE] = "validation-failure",
    [REPORT_TLSA_INVALID] = "tlsa-invalid",
    [REPORT_DNSSEC_INVALID] = "dnssec-invalid",
    [REPORT_DANE_REQUIRED] = "dane-required",
    [REPORT_STS_POLICY_FETCH_ERROR] = "sts-policy-fetch-error",
    [REPORT_STS_POLICY_INVALID] = "sts-policy-invalid",
    [REPORT_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
};

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text[0] != '\0')
        (void)json_object_set_new(object, name, json_string(text));
}

/* RFC 3339 section 5.6, in UTC. */
static json_t *time_json(int64_t seconds)
{
    time_t    t = (time_t)seconds;
    struct tm tm;
    char      text[40] = "";

    if (gmtime_r(&t, &tm) != NULL)
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

/* "mx-host" is for the patterns of an STS policy. */
static void add_hosts(const struct tls_policy *p, json_t *hosts)
{
    struct slice rest = slice_of(p->text);

    while (p->type == REPORT_STS && rest.len > 0 && json_array_size(hosts) < HOSTS_MAX) {
        struct slice line = slice_trim(slice_cut(&rest, '\n')), value = line;
        if (slice_eq(slice_cut(&value, ':'), SLICE("mx")) && value.len > 0)
            (void)json_array_append_new(hosts, text_json(slice_trim(value)));
    }
}

static json_t *policy_json(const struct tls_policy *p, const char *domain)
{
    json_t      *policy = json_object(), *lines = json_array(), *hosts = json_array();
    struct slice rest = slice_of(p->text);

    (void)json_object_set_new(policy, "policy-type", json_string(policy_names[p->type]));
    while (rest.len > 0) {
        struct slice line = slice_trim(slice_cut(&rest, '\n'));
        if (line.len > 0)
            (void)json_array_append_new(lines, text_json(line));
    }
    if (json_array_size(lines) > 0)
        (void)json_object_set(policy, "policy-string", lines);
    (void)json_object_set_new(policy, "policy-domain", json_string(domain));
    add_hosts(p, hosts);
    if (json_array_size(hosts) > 0)
        (void)json_object_set(policy, "mx-host", hosts);
    json_decref(lines);
    json_decref(hosts);
    return policy;
}

static json_t *failure_json(const struct tls_failure *f)
{
    json_t *failure = json_object();

    (void)json_object_set_new(failure, "result-type", json_string(result_names[f->result]));
    set_text(failure, "sending-mta-ip", f->our_address);
    set_text(failure, "receiving-mx-hostname", f->mx_host);
    set_text(failure, "receiving-ip", f->mx_address);
    (void)json_object_set_new(failure, "failed-session-count", json_integer((json_int_t)f->count));
    set_text(failure, "failure-reason-code", f->reason);
    return failure;
}

static json_t *row_json(const struct tls_policy *p, const char *domain)
{
    json_t *row = json_object(), *summary = json_object(), *failures = json_array();

    (void)json_object_set_new(row, "policy", policy_json(p, domain));
    (void)json_object_set_new(summary, "total-successful-session-count", json_integer((json_int_t)p->good));
    (void)json_object_set_new(summary, "total-failure-session-count", json_integer((json_int_t)p->bad));
    (void)json_object_set_new(row, "summary", summary);
    for (const struct tls_failure *f = p->failures; f != NULL; f = f->next)
        (void)json_array_append_new(failures, failure_json(f));
    if (json_array_size(failures) > 0)
        (void)json_object_set(row, "failure-details", failures);
    json_decref(failures);
    return row;
}

void tls_domain_json(const struct tls_domain *d, const struct tls_report_about *about, struct buf *out)
{
    enum { DAY = 24 * 3600 };
    json_t *report = json_object(), *range = json_object(), *policies = json_array();

    (void)json_object_set_new(range, "start-datetime", time_json(about->day * DAY));
    (void)json_object_set_new(range, "end-datetime", time_json(about->day * DAY + DAY - 1));
    (void)json_object_set_new(report, "organization-name", json_string(about->organization));
    (void)json_object_set_new(report, "date-range", range);
    (void)json_object_set_new(report, "contact-info", json_string(about->contact));
    (void)json_object_set_new(report, "report-id", json_string(about->id));
    for (const struct tls_policy *p = d->policies; p != NULL; p = p->next)
        (void)json_array_append_new(policies, row_json(p, d->name));
    (void)json_object_set_new(report, "policies", policies);
    char *text = json_dumps(report, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(report);
    buf_add(out, slice_of(text));
    free(text);
}
