/*
 * imap/enable.c - ENABLE.
 *
 * Layer: imap.  RFC 5161.
 */
#include "imap/metadata.h"

static const struct {
    const char *name;
    unsigned    bits; /* with what it implies */
} enabled_by[] = {
    {"CONDSTORE", IMAP_CONDSTORE},
    {"METADATA", IMAP_METADATA},
    {"METADATA-SERVER", IMAP_METADATA},
};

/* enable = "ENABLE" 1*(SP capability)                  RFC 5161 section 3.1 */
void imap_enable(struct imap_session *s, struct imap_reader *args)
{
    unsigned asked = 0; /* a bit a row */

    do {
        imap_expect_space(args);
        struct slice name = imap_read_atom(args);
        for (size_t i = 0; i < ARRAY_LEN(enabled_by); i++)
            if (slice_eq_nocase(name, slice_of(enabled_by[i].name)))
                asked |= 1u << i;
    } while (imap_peek(args) == ' ');
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    struct buf *out = conn_out(s->conn);
    buf_add(out, SLICE("* ENABLED"));
    unsigned bits = 0;
    for (size_t i = 0; i < ARRAY_LEN(enabled_by); i++) {
        if (!(asked & 1u << i))
            continue;
        buf_add_char(out, ' ');
        buf_add(out, slice_of(enabled_by[i].name));
        bits |= enabled_by[i].bits;
    }
    buf_add(out, SLICE("\r\n"));
    if (bits & IMAP_CONDSTORE)
        imap_enable_condstore(s);
    s->enabled = (uint8_t)(s->enabled | bits);
    if (bits & IMAP_METADATA)
        imap_metadata_begin(s);
    imap_ok(s, "Enabled");
}
