/*
 * imap/language.c - LANGUAGE.
 *
 * Layer: imap.  RFC 5255 section 3.  All texts are English, which is what "i-default"
 * (RFC 2277 section 4.5) means by itself and "en" by name: there is nothing to switch.
 */
#include "imap/session.h"

enum { RANGES_MAX = 50 };

/* A range of RFC 4647 by lookup: "en-CA" is served by "en".  NULL: by neither. */
static const char *find_language(struct slice range)
{
    if (slice_eq_nocase(range, SLICE("i-default")) || slice_eq_nocase(range, SLICE("default")) ||
        slice_eq(range, SLICE("*")))
        return "i-default";
    if (slice_eq_nocase(slice_cut(&range, '-'), SLICE("en")))
        return "en";
    return NULL;
}

/* language-cmd = "LANGUAGE" *(SP lang-range-quoted)    RFC 5255 section 3.5 */
void imap_language(struct imap_session *s, struct imap_reader *args)
{
    const char *chosen = NULL;
    unsigned ranges = 0;

    while (!args->failed && imap_accept(args, ' ')) {
        struct slice range = imap_read_astring(args);
        if (++ranges > RANGES_MAX)
            imap_fail(args, "at most 50 languages");
        if (chosen == NULL)
            chosen = find_language(range);
    }
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
    } else if (ranges == 0) {
        conn_write(s->conn, SLICE("* LANGUAGE (en i-default)\r\n"));
        imap_ok(s, "Those are they");
    } else if (chosen == NULL) {
        imap_no(s, "Of those none is spoken here");
    } else {
        conn_printf(s->conn, "* LANGUAGE (%s)\r\n", chosen);
        imap_ok(s, "So be it");
    }
}
