/*
 * tests/unit/trust/test_tls_report.c - what is counted arrives in a report as RFC 8460 wants it, once.
 */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "tests/unit/check.h"
#include "tests/unit/net/fake_dns.h"
#include "tests/unit/net/fake_fetch.h"
#include "trust/tls_report.h"

#define POLICY "version: STSv1\r\nmode: testing\r\nmx: mx1.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"

static struct fake_dns_row rows[] = {
    {"_smtp._tls.mail.example", DNS_TXT, .records = {"v=TLSRPTv1; rua=mailto:reports@mail.example"}},
    {"_smtp._tls.post.example", DNS_TXT, .records = {"v=TLSRPTv1; rua=https://post.example/v1"}},
    {"_smtp._tls.two.example", DNS_TXT, .records = {"v=TLSRPTv1; rua=mailto:a@b", "v=TLSRPTv1; rua=mailto:c@d"}},
    {"_smtp._tls.broken.example", DNS_TXT, .status = DNS_FAILED},
};
static const struct fake_page pages[] = {{"https://post.example/v1", 201, "text/plain", "", FAIL_OTHER}, {NULL, 0, NULL, NULL, FAIL_OTHER}};
static const struct fake_page refusing[] = {{"https://post.example/v1", 500, "text/plain", "", FAIL_OTHER},
                                            {NULL, 0, NULL, NULL, FAIL_OTHER}};

static struct fake_dns          *dns;
static struct fake_fetch        *fetch;
static struct tls_report        *report;
static struct tls_report_setting setting;
static char                      folder[] = "/tmp/test_tlsrpt_XXXXXX";

/* The messages that were sent. */
static struct { unsigned count; struct buf to, message; bool fails; } mails;

static bool take_mail(void *ctx, struct slice to, struct slice message, struct fail *why)
{
    (void)ctx;
    if (mails.fails)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "not now");
    mails.count++;
    buf_reset(&mails.to);
    buf_reset(&mails.message);
    buf_add(&mails.to, to);
    buf_add(&mails.message, message);
    return true;
}

static void note(const char *domain, enum tls_report_policy policy, const char *text, enum tls_report_result result, const char *mx, unsigned times)
{
    const struct tls_report_event e = {
        .domain = slice_of(domain),
        .policy = policy,
        .policy_text = slice_of(text),
        .result = result,
        .mx_host = slice_of(mx),
        .mx_address = SLICE("192.0.2.9"),
        .our_address = SLICE("2001:db8::1"),
        .reason = result == REPORT_VALIDATION_FAILURE ? SLICE("it \"says\" so\r\n") : SLICE(""),
    };

    while (times-- > 0)
        tls_report_note(report, &e);
}

static void open_again(void)
{
    tls_report_close(&report);
    CHECK("open", tls_report_open(&setting, &report, NULL));
}

static json_t *unzip(struct slice gzip)
{
    static char text[100000];
    z_stream    z = {.next_in = (Bytef *)(uintptr_t)gzip.ptr, .avail_in = (uInt)gzip.len, .next_out = (Bytef *)text, .avail_out = sizeof text};

    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return NULL;
    bool whole = inflate(&z, Z_FINISH) == Z_STREAM_END;
    (void)inflateEnd(&z);
    return whole ? json_loadb(text, z.total_out, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static bool is_text(const json_t *object, const char *name, const char *want)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL && strcmp(text, want) == 0;
}

static json_int_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* Of the report's policies the one of that type. */
static const json_t *policy_of(const json_t *whole, const char *type)
{
    const json_t *row;
    size_t        i;

    json_array_foreach (json_object_get(whole, "policies"), i, row)
        if (is_text(json_object_get(row, "policy"), "policy-type", type))
            return row;
    return NULL;
}

static void check_report(const json_t *whole, int64_t day)
{
    const json_t *sts = policy_of(whole, "sts"), *policy = json_object_get(sts, "policy"), *summary = json_object_get(sts, "summary"), *row;
    const json_t *lines = json_object_get(policy, "policy-string"), *hosts = json_object_get(policy, "mx-host");
    char          begins[40];
    time_t        t = (time_t)day * 86400;
    struct tm     tm;
    size_t        i, seen = 0;

    (void)strftime(begins, sizeof begins, "%Y-%m-%dT00:00:00Z", gmtime_r(&t, &tm));
    CHECK("organization", is_text(whole, "organization-name", "mx.sender.example"));
    CHECK("contact", is_text(whole, "contact-info", "postmaster@mx.sender.example"));
    CHECK("range", is_text(json_object_get(whole, "date-range"), "start-datetime", begins));
    CHECK("an id", json_string_length(json_object_get(whole, "report-id")) > 0);
    CHECK("policies", json_array_size(json_object_get(whole, "policies")) == 3);
    CHECK("of the domain", is_text(policy, "policy-domain", "mail.example"));
    CHECK("the policy's lines", json_array_size(lines) == 5 && strcmp(json_string_value(json_array_get(lines, 1)), "mode: testing") == 0);
    CHECK("its hosts", json_array_size(hosts) == 2 && strcmp(json_string_value(json_array_get(hosts, 1)), "*.example.net") == 0);
    CHECK("counts", number(summary, "total-successful-session-count") == 7 && number(summary, "total-failure-session-count") == 5);
    json_array_foreach (json_object_get(sts, "failure-details"), i, row) {
        if (is_text(row, "result-type", "certificate-expired"))
            seen += number(row, "failed-session-count") == 3 && is_text(row, "receiving-mx-hostname", "mx1.example.com") &&
                    is_text(row, "receiving-ip", "192.0.2.9") && is_text(row, "sending-mta-ip", "2001:db8::1") &&
                    json_object_get(row, "failure-reason-code") == NULL;
        else if (is_text(row, "result-type", "validation-failure"))
            seen += number(row, "failed-session-count") == 2 && is_text(row, "failure-reason-code", "it \"says\" so\r\n");
    }
    CHECK("each failure", seen == 2 && i == 2);
    const json_t *tlsa = policy_of(whole, "tlsa"), *none = policy_of(whole, "no-policy-found");
    CHECK("TLSA", json_array_size(json_object_get(json_object_get(tlsa, "policy"), "policy-string")) == 2);
    CHECK("no policy", number(json_object_get(none, "summary"), "total-successful-session-count") == 1 &&
                           json_object_get(json_object_get(none, "policy"), "policy-string") == NULL &&
                           json_object_get(none, "failure-details") == NULL);
}

static bool has(const char *text)
{
    return slice_find(buf_slice(&mails.message), slice_of(text)) < mails.message.len;
}

/* The attachment of the last message. */
static json_t *attachment(void)
{
    struct slice m = buf_slice(&mails.message), part = slice_from(m, slice_find(m, SLICE("application/tlsrpt+gzip")));
    struct buf   base64, gzip;

    buf_init(&base64, 1 << 20);
    buf_init(&gzip, 1 << 20);
    part = slice_from(part, slice_find(part, SLICE("\r\n\r\n")) + 4);
    part = slice_sub(part, 0, slice_find(part, SLICE("\r\n--")));
    for (size_t i = 0; i < part.len; i++)
        if (part.ptr[i] != '\r' && part.ptr[i] != '\n')
            buf_add_char(&base64, part.ptr[i]);
    json_t *whole = base64_decode(&gzip, buf_slice(&base64)) ? unzip(buf_slice(&gzip)) : NULL;
    buf_finish(&base64);
    buf_finish(&gzip);
    return whole;
}

static void check_message(int64_t day)
{
    static const char *const lines[] = {
        "From: <postmaster@mx.sender.example>\r\n", "To: <reports@mail.example>\r\n", "TLS-Report-Domain: mail.example\r\n",
        "TLS-Report-Submitter: mx.sender.example\r\n", "Subject: Report Domain: mail.example\r\n Submitter: mx.sender.example\r\n Report-ID: <",
        "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n", "Content-Type: text/plain; charset=us-ascii\r\n",
        "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n", "TLS-Required: No\r\n", "MIME-Version: 1.0\r\n",
        "\r\nDate: ", "\r\nMessage-ID: <"};
    char name[200];

    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        CHECK(lines[i], has(lines[i]));
    (void)snprintf(name, sizeof name, "filename=\"mx.sender.example!mail.example!%lld!%lld.json.gz\"", (long long)day * 86400,
                   (long long)day * 86400 + 86399);
    CHECK(name, has(name));
    for (size_t i = 0, line = 0; i < mails.message.len; i++, line++) {
        if (mails.message.data[i] == '\n') {
            CHECK("lines end in CRLF", i > 0 && mails.message.data[i - 1] == '\r');
            line = 0;
        }
        CHECK("lines are short", line < 200);
    }
    json_t *whole = attachment();
    CHECK("the report", whole != NULL);
    check_report(whole, day);
    json_decref(whole);
}

static void count_all(void)
{
    note("MAIL.example", REPORT_STS, POLICY, REPORT_SUCCESS, "", 7);
    note("mail.example", REPORT_STS, POLICY, REPORT_CERTIFICATE_EXPIRED, "mx1.example.com", 2);
    open_again();
    note("mail.example", REPORT_STS, POLICY, REPORT_CERTIFICATE_EXPIRED, "mx1.example.com", 1);
    note("mail.example", REPORT_STS, POLICY, REPORT_VALIDATION_FAILURE, "mx1.example.com", 2);
    note("mail.example", REPORT_TLSA, "3 1 1 00\n3 1 1 01\n", REPORT_TLSA_INVALID, "mx1.example.com", 1);
    note("mail.example", REPORT_NO_POLICY, "", REPORT_SUCCESS, "", 1);
    note("post.example", REPORT_NO_POLICY, "", REPORT_SUCCESS, "", 1);
    note("nobody.example", REPORT_NO_POLICY, "", REPORT_SUCCESS, "", 1);
    note("two.example", REPORT_NO_POLICY, "", REPORT_SUCCESS, "", 1);
    note("[192.0.2.1]", REPORT_NO_POLICY, "", REPORT_SUCCESS, "", 1);
}

static void remove_folder(void)
{
    DIR           *d = opendir(folder);
    struct dirent *row;
    char           path[600];
    unsigned       left = 0;

    while (d != NULL && (row = readdir(d)) != NULL) {
        left += row->d_name[0] != '.';
        (void)snprintf(path, sizeof path, "%s/%s", folder, row->d_name);
        (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
    CHECK("nothing is left of a day that is done", left == 0);
    (void)rmdir(folder);
}

int main(void)
{
    int64_t day;

    CHECK("a folder", mkdtemp(folder) != NULL);
    buf_init(&mails.to, 1000);
    buf_init(&mails.message, 1 << 20);
    dns = fake_dns_start(rows, ARRAY_LEN(rows));
    fetch = fake_fetch_start(refusing);
    setting = (struct tls_report_setting){.dir = folder, .hostname = "mx.sender.example", .contact = "", .send = true, .dns = dns->client,
                                          .fetch = fetch->client, .sender = {.mail = take_mail}};
    CHECK("open", tls_report_open(&setting, &report, NULL));
    do { /* all of it on one day */
        day = clock_now() / 86400;
        count_all();
    } while (day != clock_now() / 86400);

    mails.fails = true;
    CHECK("nobody takes them", !tls_report_send_day(report, day) && mails.count == 0);
    mails.fails = false;
    CHECK("one is left", !tls_report_send_day(report, day) && mails.count == 1);
    CHECK_SLICE("to whom", buf_slice(&mails.to), SLICE("reports@mail.example"));
    check_message(day);
    open_again();
    fake_fetch_set(fetch, pages);
    CHECK("then that too", tls_report_send_day(report, day));
    CHECK("and the other not twice", mails.count == 1);
    json_t *posted = unzip(buf_slice(&fetch->posted));
    CHECK("what was posted", posted != NULL && json_array_size(json_object_get(posted, "policies")) == 1);
    CHECK_SLICE("as what", buf_slice(&fetch->posted_type), SLICE("application/tlsrpt+gzip"));
    json_decref(posted);
    CHECK("a day without anything", tls_report_send_day(report, day - 1));
    note("broken.example", REPORT_NO_POLICY, "", REPORT_SUCCESS, "", 1);
    CHECK("DNS does not answer: later", !tls_report_send_day(report, day));
    tls_report_close(&report);
    fake_dns_stop(&dns); /* which keeps even failures for a while */
    rows[3] = (struct fake_dns_row){"_smtp._tls.broken.example", DNS_TXT, .records = {"v=TLSRPTv2; rua=mailto:a@b"}};
    dns = fake_dns_start(rows, ARRAY_LEN(rows));
    setting.dns = dns->client;
    CHECK("open", tls_report_open(&setting, &report, NULL));
    CHECK("not wanted", tls_report_send_day(report, day) && mails.count == 1);

    tls_report_close(&report);
    fake_fetch_stop(&fetch);
    fake_dns_stop(&dns);
    buf_finish(&mails.to);
    buf_finish(&mails.message);
    remove_folder();
    return check_done();
}
