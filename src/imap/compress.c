/*
 * imap/compress.c - COMPRESS.
 *
 * Layer: imap.  RFC 4978.  The layer itself is net's.
 */
#include "imap/session.h"

/*
 * compress  = "COMPRESS" SP algorithm                  RFC 4978 section 5
 * algorithm = "DEFLATE"
 */
void imap_compress(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_space(args);
    if (!imap_accept_word(args, "DEFLATE"))
        imap_fail(args, "DEFLATE");
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
    } else if (!s->service->limits.compress) {
        imap_bad(s, "COMPRESS is not offered here");
    } else if (conn_compresses(s->conn)) {
        imap_bad(s, "[COMPRESSIONACTIVE] DEFLATE is on already");
    } else {
        conn_start_compress(s->conn);
        imap_ok(s, "Everything from here on is compressed");
    }
}
