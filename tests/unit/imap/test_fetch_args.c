/*
 * tests/unit/imap/test_fetch_args.c - what FETCH asks for.
 */
#include "imap/fetch_args.h"

#include "base/buf.h"
#include "tests/unit/check.h"

static const struct imap_limits limits = {.sets = 100, .nesting = 10};

static const struct {
    const char *note, *input, *labels; /* NULL: refused */
    bool seen, modseq;
} cases[] = {
    {"one item", " 1 FLAGS", "FLAGS", false, false},
    {"a list", " 1:* (UID FLAGS)", "UID FLAGS", false, false},
    {"each once", " 1 (FLAGS UID flags)", "FLAGS UID", false, false},
    {"FAST", " 1 FAST", "FLAGS INTERNALDATE RFC822.SIZE", false, false},
    {"ALL", " 1 all", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE", false, false},
    {"FULL", " 1 FULL", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY", false, false},
    {"a macro in a list", " 1 (ALL)", NULL, false, false},
    {"BODY", " 1 BODY", "BODY", false, false},
    {"BODYSTRUCTURE", " 1 BODYSTRUCTURE", "BODYSTRUCTURE", false, false},
    {"BODY[]", " 1 BODY[]", "BODY[]", true, false},
    {"BODY.PEEK[]", " 1 BODY.PEEK[]", "BODY[]", false, false},
    {"lower case", " 1 body.peek[header]", "BODY[HEADER]", false, false},
    {"a part", " 1 BODY[1.2.3]", "BODY[1.2.3]", true, false},
    {"a part's text", " 1 BODY[1.2.TEXT]", "BODY[1.2.TEXT]", true, false},
    {"MIME", " 1 BODY.PEEK[2.MIME]", "BODY[2.MIME]", false, false},
    {"MIME of the message", " 1 BODY[MIME]", NULL, false, false},
    {"fields", " 1 BODY.PEEK[HEADER.FIELDS (From \"To\" {2}\r\nCc)]", "BODY[HEADER.FIELDS (From To Cc)]",
     false, false},
    {"fields, not", " 1 BODY[1.HEADER.FIELDS.NOT (Received)]", "BODY[1.HEADER.FIELDS.NOT (Received)]", true,
     false},
    {"no fields", " 1 BODY[HEADER.FIELDS ()]", NULL, false, false},
    {"partial", " 1 BODY[]<10.20>", "BODY[]<10>", true, false},
    {"partial of nothing", " 1 BODY[]<10.0>", NULL, false, false},
    {"partial without length", " 1 BODY[]<10>", NULL, false, false},
    {"RFC822", " 1 RFC822", "RFC822", true, false},
    {"RFC822.HEADER", " 1 RFC822.HEADER", "RFC822.HEADER", false, false},
    {"RFC822.TEXT", " 1 RFC822.TEXT", "RFC822.TEXT", true, false},
    {"MODSEQ", " 1 MODSEQ", "MODSEQ", false, true},
    {"CHANGEDSINCE asks for MODSEQ", " 1 FLAGS (CHANGEDSINCE 5)", "FLAGS MODSEQ", false, true},
    {"unknown modifier", " 1 FLAGS (FOO 5)", NULL, false, false},
    {"unknown item", " 1 FOO", NULL, false, false},
    {"a dot too many", " 1 BODY[1.]", NULL, false, false},
    {"part 0", " 1 BODY[0]", NULL, false, false},
    {"not closed", " 1 BODY[1", NULL, false, false},
    {"too deep", " 1 BODY[1.1.1.1.1.1.1.1.1.1.1]", NULL, false, false},
    {"nothing asked", " 1 ()", NULL, false, false},
    {"more than a command", " 1 FLAGS x", NULL, false, false},
    {"no set", " FLAGS", NULL, false, false},
};

/* As many header fields as may be named in one command, and one more: in one section, and in two. */
static void test_many_fields(struct arena *a)
{
    for (unsigned sections = 1; sections <= 2; sections++) {
        for (unsigned count = 500; count <= 501; count++) {
            struct imap_reader r;
            struct buf text;

            buf_init(&text, 1 << 16);
            buf_add(&text, SLICE(" 1 (BODY[HEADER.FIELDS (x"));
            for (unsigned i = 1; i < count; i++)
                buf_add(&text, sections == 2 && i == 100 ? SLICE(")] BODY[1.HEADER.FIELDS.NOT (x") : SLICE(" x"));
            buf_add(&text, SLICE(")])"));
            arena_reset(a);
            imap_reader_init(&r, buf_slice(&text), a, &limits);
            (void)fetch_args_read(&r);
            CHECK("many fields", r.failed == (count > 500));
            buf_finish(&text);
        }
    }
}

int main(void)
{
    struct arena a;
    struct buf labels;

    arena_init(&a, 1 << 20);
    buf_init(&labels, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_reader r;
        arena_reset(&a);
        imap_reader_init(&r, slice_of(cases[i].input), &a, &limits);
        struct fetch_args args = fetch_args_read(&r);
        CHECK(cases[i].note, r.failed == (cases[i].labels == NULL));
        if (r.failed)
            continue;
        buf_reset(&labels);
        for (const struct fetch_item *f = args.items; f != NULL; f = f->next) {
            buf_add(&labels, f->label);
            if (f->next != NULL)
                buf_add_char(&labels, ' ');
        }
        CHECK_SLICE(cases[i].note, buf_slice(&labels), slice_of(cases[i].labels));
        CHECK(cases[i].note, args.sets_seen == cases[i].seen);
        CHECK(cases[i].note, args.has_modseq == cases[i].modseq);
    }
    buf_finish(&labels);
    test_many_fields(&a);
    arena_finish(&a);
    return check_done();
}
