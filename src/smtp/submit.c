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

    for (size_t at = 0; header_next(header, &at, &field);) {
        has_date = has_date || slice_eq_nocase(field.name, SLICE("Date"));
        has_id = has_id || slice_eq_nocase(field.name, SLICE("Message-ID"));
    }
    write_missing(out, has_date, has_id, hostname, now);
    header_add_without_bcc(out, header);
}
