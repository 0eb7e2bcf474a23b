/*
 * imap/comparator.c - COMPARATOR.
 *
 * Layer: imap.  RFC 5255 sections 4.7 to 4.9.
 */
#include "imap/comparator.h"

#include "imap/lasting.h"

enum { PATTERNS_MAX = 100 };

enum collation imap_collation(const struct imap_session *s)
{
    return s->lasting != NULL ? s->lasting->collation : COLLATION_UNICODE_CASEMAP;
}

static bool matches(enum collation c, struct slice pattern)
{
    return slice_eq(pattern, SLICE("default")) ? c == COLLATION_UNICODE_CASEMAP : collation_matches(c, pattern);
}

/*
 * Those that match, by the patterns' order: "if more than one installed comparator is matched by an
 * argument, the first argument wins".  How many.
 */
static size_t find(const struct slice *patterns, size_t count, enum collation found[COLLATION_COUNT])
{
    bool taken[COLLATION_COUNT] = {false};
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        for (unsigned c = 0; c < COLLATION_COUNT; c++) {
            if (taken[c] || !matches((enum collation)c, patterns[i]))
                continue;
            taken[c] = true;
            found[n++] = (enum collation)c;
        }
    }
    return n;
}

/* comparator-data = "COMPARATOR" SP comp-sel-quoted [SP "(" comp-id-quoted *(SP comp-id-quoted) ")"] */
static void tell(struct imap_session *s, const enum collation *found, size_t count)
{
    struct buf *out = conn_out(s->conn);

    buf_add(out, SLICE("* COMPARATOR "));
    imap_write_astring(out, collation_name(imap_collation(s)));
    for (size_t i = 0; count > 1 && i < count; i++) {
        buf_add(out, i == 0 ? SLICE(" (") : SLICE(" "));
        imap_write_astring(out, collation_name(found[i]));
    }
    buf_add(out, count > 1 ? SLICE(")\r\n") : SLICE("\r\n"));
}

/* comparator-cmd = "COMPARATOR" *(SP comp-order-quoted) */
void imap_comparator(struct imap_session *s, struct imap_reader *r)
{
    struct slice *patterns = arena_new_array(&s->arena, struct slice, PATTERNS_MAX);
    enum collation found[COLLATION_COUNT];
    size_t count = 0;

    while (patterns != NULL && imap_accept(r, ' ')) {
        struct slice pattern = imap_read_astring(r);
        if (count == PATTERNS_MAX)
            imap_fail(r, "fewer comparators");
        if (r->failed)
            break;
        patterns[count++] = pattern;
    }
    imap_expect_end(r);
    if (r->failed || patterns == NULL) {
        imap_bad_args(s, r);
        return;
    }
    size_t n = find(patterns, count, found);
    if (count > 0 && n == 0) {
        imap_no(s, "[BADCOMPARATOR] None of these is known: i;unicode-casemap, i;ascii-casemap and i;octet are");
        return;
    }
    if (n > 0 && found[0] != imap_collation(s))
        imap_lasting(s)->collation = found[0];
    tell(s, found, n);
    imap_ok(s, "That is how text is compared");
}
