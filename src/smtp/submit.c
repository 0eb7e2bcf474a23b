/*
 * smtp/submit.c - what a submission server mends in a header.
 *
 * Layer: smtp.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "message/header.h"
#include "smtp/session.h"

static void write_missing(struct buf *out, bool has_date, bool has_id, const char *hostname, int64_t now)
{
    struct date_text date = clock_rfc5322(now);

    if (!has_date)
        buf_addf(out, "Date: %s\r\n", date.text);
    if (!has_id)
        buf_addf(out, "Message-ID: <%llx.%016llx@%s>\r\n", (unsigned long long)now,
                 (unsigned long long)random_u64(), hostname);
}

/* Every other byte stays as it came, malformed lines too. */
void smtp_mend_header(struct buf *out, struct slice header, const char *hostname, int64_t now)
{
    struct header_field field;
    bool has_date = false, has_id = false;
    size_t copied = 0;

    for (size_t at = 0; header_next(header, &at, &field);) {
        has_date = has_date || slice_eq_nocase(field.name, SLICE("Date"));
        has_id = has_id || slice_eq_nocase(field.name, SLICE("Message-ID"));
    }
    write_missing(out, has_date, has_id, hostname, now);
    for (size_t at = 0; header_next(header, &at, &field);) {
        if (!slice_eq_nocase(field.name, SLICE("Bcc")) && !slice_eq_nocase(field.name, SLICE("Resent-Bcc")))
            continue;
        size_t from = (size_t)(field.raw.ptr - header.ptr);
        buf_add(out, slice_sub(header, copied, from - copied));
        copied = from + field.raw.len;
    }
    buf_add(out, slice_from(header, copied));
}
