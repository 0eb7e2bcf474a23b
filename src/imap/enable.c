/*
 * imap/enable.c - ENABLE.
 *
 * Layer: imap.  RFC 5161, RFC 9051 section 6.3.1.
 */
#include "imap/metadata.h"

static const struct {
    const char *name;
    unsigned    bit;
    unsigned    implied;
    bool        before_select; /* it changes how things are told, so not in the midst of a mailbox */
} enabled_by[] = {
    {"CONDSTORE", IMAP_CONDSTORE, 0, false},
    {"QRESYNC", IMAP_QRESYNC, IMAP_CONDSTORE, false}, /* RFC 7162 section 3.2.3 */
    {"IMAP4rev2", IMAP_REV2, 0, true},
    {"UTF8=ACCEPT", IMAP_UTF8, 0, true}, /* RFC 6855 section 3: only valid in the authenticated state */
    {"UIDONLY", IMAP_UIDONLY, 0, true},  /* RFC 9586 */
    {"METADATA", IMAP_METADATA, 0, false},
    {"METADATA-SERVER", IMAP_METADATA, 0, false},
};

/* A capability's name: an atom, but for the "=". */
static unsigned read_capabilities(struct imap_reader *args)
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
    return asked;
}

/* enable = "ENABLE" 1*(SP capability)                  RFC 5161 section 3.1 */
void imap_enable(struct imap_session *s, struct imap_reader *args)
{
    unsigned asked = read_capabilities(args), bits = 0;

    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(enabled_by); i++) {
        bool new = (asked & 1u << i) && !(s->enabled & enabled_by[i].bit);
        if (new && enabled_by[i].before_select && s->state == IMAP_SELECTED) {
            imap_bad(s, "%s can be enabled only while no mailbox is selected", enabled_by[i].name);
            return;
        }
    }
    struct buf *out = conn_out(s->conn);
    buf_add(out, SLICE("* ENABLED"));
    for (size_t i = 0; i < ARRAY_LEN(enabled_by); i++) {
        if (!(asked & 1u << i) || (s->enabled & enabled_by[i].bit))
            continue;
        buf_add_char(out, ' ');
        buf_add(out, slice_of(enabled_by[i].name));
        bits |= enabled_by[i].bit | enabled_by[i].implied;
    }
    buf_add(out, SLICE("\r\n"));
    if (bits & IMAP_CONDSTORE)
        imap_enable_condstore(s);
    s->enabled = (uint8_t)(s->enabled | bits);
    if (bits & IMAP_METADATA)
        imap_metadata_begin(s);
    imap_ok(s, "Enabled");
}
