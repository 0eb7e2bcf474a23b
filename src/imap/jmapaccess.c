/*
 * imap/jmapaccess.c - GETJMAPACCESS.
 *
 * Layer: imap.  RFC 9698: where the same account can be reached by JMAP.  Only where the
 * config names that place.
 */
#include "imap/session.h"

/*
 * getjmapaccess  = "GETJMAPACCESS"                     RFC 9698 section 5
 * resp-jmapaccess = "JMAPACCESS" SP quoted
 */
void imap_getjmapaccess(struct imap_session *s, struct imap_reader *args)
{
    const char *url = s->service->limits.jmap_url;

    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
    } else if (url[0] == '\0') {
        imap_bad(s, "GETJMAPACCESS is not offered here");
    } else {
        struct buf *out = conn_out(s->conn);
        buf_add(out, SLICE("* JMAPACCESS "));
        imap_write_string(out, slice_of(url));
        buf_add(out, SLICE("\r\n"));
        imap_ok(s, "There it is");
    }
}
