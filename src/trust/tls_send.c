/*
 * trust/tls_send.c - see trust/tls_send.h.
 *
 * Layer: trust.
 */
#include "trust/tls_send.h"

#include <zlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "net/dns.h"
#include "net/fetch.h"
#include "trust/record.h"

enum {
    DAY = 24 * 3600,
    REPORT_MAX = 16 * 1024 * 1024,
    ARENA_MAX = 1024 * 1024,
    ADDRESS_ROOM = 512,
    BASE64_LINE = 76,
    POST_SECONDS = 60,
    ANSWER_MAX = 64 * 1024,
    GZIP_WINDOW = 15 + 16, /* zlib's way to ask for RFC 1952 */
};

bool tls_gzip(struct slice in, struct buf *out)
{
    z_stream z = {0};
    bool     ok = false;

    if (in.len > UINT32_MAX / 2 || deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    uLong most = deflateBound(&z, in.len);
    char *room = buf_room(out, most);
    if (room != NULL) {
        z.next_in = (Bytef *)(uintptr_t)in.ptr;
        z.avail_in = (uInt)in.len;
        z.next_out = (Bytef *)room;
        z.avail_out = (uInt)most;
        ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
        if (ok)
            buf_grew(out, z.total_out);
    }
    (void)deflateEnd(&z);
    return ok;
}

/* ---- the message ---- */

/* "mail.example.org!example.net!1470013200!1470099599.json.gz"             RFC 8460 section 5.1 */
static void add_filename(const struct tls_reporter *by, const char *domain, int64_t day, struct buf *out)
{
    buf_addf(out, "%s!%s!%lld!%lld.json.gz", by->submitter, domain, (long long)day * DAY, (long long)day * DAY + DAY - 1);
}

static void add_base64(struct slice in, struct buf *out)
{
    struct buf text;

    buf_init(&text, in.len * 2 + 16);
    base64_encode(&text, in);
    for (struct slice rest = buf_slice(&text); rest.len > 0; rest = slice_from(rest, BASE64_LINE)) {
        buf_add(out, slice_sub(rest, 0, BASE64_LINE));
        buf_add(out, SLICE("\r\n"));
    }
    buf_finish(&text);
}

void tls_message(const struct tls_reporter *by, const char *domain, const char *id, int64_t day, struct slice to, struct slice gzip,
                 struct buf *out)
{
    struct date_text now = clock_rfc5322(clock_now());
    unsigned long long boundary = random_u64();

    buf_addf(out,
             "From: <%s>\r\nTo: <" PRIslice ">\r\nDate: %s\r\nMessage-ID: <%016llx.tlsrpt@%s>\r\n"
             "Subject: Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s>\r\n"
             "TLS-Report-Domain: %s\r\nTLS-Report-Submitter: %s\r\n",
             by->contact, SLICE_ARG(to), now.text, (unsigned long long)random_u64(), by->setting->hostname, domain, by->submitter, id,
             domain, by->submitter);
    /* Whatever is wrong with TLS there, the report about it arrives (section 5.3; RFC 8689 section 5). */
    buf_addf(out,
             "TLS-Required: No\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
             "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"=_%016llx\"\r\n\r\n"
             "--=_%016llx\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
             "This is an aggregate report about TLS in SMTP sessions\r\nwith %s, from %s\r\n(RFC 8460).\r\n\r\n",
             boundary, boundary, domain, by->submitter);
    buf_addf(out,
             "--=_%016llx\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
             "Content-Disposition: attachment;\r\n filename=\"",
             boundary);
    add_filename(by, domain, day, out);
    buf_add(out, SLICE("\"\r\n\r\n"));
    add_base64(gzip, out);
    buf_addf(out, "\r\n--=_%016llx--\r\n", boundary);
}

/* ---- sending ---- */

/* One domain's report while it is made. */
struct sending {
    const struct tls_reporter *by;
    const struct tls_domain   *domain;
    int64_t                    day;
    const char                *id;
    struct buf                 gzip;
    struct arena               a;
};

static bool send_mail(struct sending *s, struct slice uri, struct fail *why)
{
    const struct tls_report_sender *sender = &s->by->setting->sender;
    char         room[ADDRESS_ROOM];
    struct slice to;
    struct buf   message;

    if (!mailto_parse(uri, room, sizeof room, &to))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "that is no address");
    buf_init(&message, 2 * (size_t)REPORT_MAX);
    tls_message(s->by, s->domain->name, s->id, s->day, to, buf_slice(&s->gzip), &message);
    bool ok = message.failed ? fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "the report is too long")
                             : sender->mail != NULL && sender->mail(sender->ctx, to, buf_slice(&message), why);
    buf_finish(&message);
    return ok;
}

static bool send_post(struct sending *s, struct slice uri, struct fail *why)
{
    const struct fetch_request q = {
        .url = uri,
        .content_type = SLICE("application/tlsrpt+gzip"),
        .body = buf_slice(&s->gzip),
        .post = true,
        .most = ANSWER_MAX,
        .seconds = POST_SECONDS,
    };
    struct fetch_answer answer = {0};
    struct buf          out;

    buf_init(&out, ANSWER_MAX);
    bool ok = fetch_ask(s->by->setting->fetch, &q, &s->a, &answer, &out, why);
    buf_finish(&out);
    if (ok && (answer.status < 200 || answer.status > 299))
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "the web server answered with status %u", answer.status);
    return ok;
}

static bool send_to(struct sending *s, struct slice uri)
{
    struct fail why = {0};
    bool        ok;

    if (slice_starts_nocase(uri, SLICE("mailto:")))
        ok = send_mail(s, uri, &why);
    else if (slice_starts_nocase(uri, SLICE("https:")))
        ok = send_post(s, uri, &why);
    else
        ok = fail_set(&why, FAIL_PERM, FAIL_INVALID, "neither mailto nor https");
    if (ok)
        log_event(LOG_INFO, "tlsrpt.sent", LOG_CSTR("domain", s->domain->name), LOG_TEXT("to", uri), LOG_CSTR("id", s->id));
    else
        log_event(LOG_WARNING, "tlsrpt.not_sent", LOG_CSTR("domain", s->domain->name), LOG_TEXT("to", uri), LOG_FAIL(&why));
    return ok;
}

/* Where the domain wants it; of records of this version there must be one (section 3). */
static enum tls_sent find_rua(struct sending *s, struct slice rua[RUA_MAX], size_t *count)
{
    struct dns_answer found = {0};
    struct slice      said = {0};
    size_t            records = 0;

    dns_ask(s->by->setting->dns, arena_cstr(&s->a, arena_printf(&s->a, "_smtp._tls.%s", s->domain->name)), DNS_TXT, &s->a, &found);
    if (found.status == DNS_FAILED)
        return TLS_NOT_SENT;
    for (size_t i = 0; found.status == DNS_FOUND && i < found.count; i++) {
        struct record_reader r;
        if (!record_begin(found.records[i].text, SLICE("v=TLSRPTv1"), &r))
            continue;
        records++;
        said = found.records[i].text;
    }
    return records == 1 && tls_report_record_parse(said, rua, count) && *count > 0 ? TLS_SENT : TLS_NOT_WANTED;
}

/* The same however often it is sent, so that the other side knows it again. */
static void make_id(struct sending *s)
{
    s->id = arena_cstr(&s->a, arena_printf(&s->a, "%lld.%s@%s", (long long)s->day * DAY, s->domain->name, s->by->submitter));
}

static bool make_report(struct sending *s)
{
    const struct tls_report_about about = {
        .organization = s->by->setting->hostname, .contact = s->by->contact, .id = s->id, .day = s->day};
    struct buf json;

    buf_init(&json, REPORT_MAX);
    tls_domain_json(s->domain, &about, &json);
    bool ok = !json.failed && tls_gzip(buf_slice(&json), &s->gzip);
    buf_finish(&json);
    return ok;
}

enum tls_sent tls_send(const struct tls_reporter *by, const struct tls_domain *d, int64_t day)
{
    struct sending s = {.by = by, .domain = d, .day = day};
    struct slice   rua[RUA_MAX];
    size_t         count = 0;

    arena_init(&s.a, ARENA_MAX);
    buf_init(&s.gzip, REPORT_MAX);
    make_id(&s);
    enum tls_sent status = find_rua(&s, rua, &count);
    if (status == TLS_SENT) {
        status = TLS_NOT_SENT;
        bool made = make_report(&s);
        for (size_t i = 0; made && i < count; i++)
            if (send_to(&s, rua[i]))
                status = TLS_SENT;
    }
    buf_finish(&s.gzip);
    arena_finish(&s.a);
    return status;
}
