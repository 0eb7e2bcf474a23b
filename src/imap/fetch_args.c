/*
 * imap/fetch_args.c - what FETCH asks for.
 *
 * Layer: imap.
 */
#include "imap/fetch_args.h"

#include "imap/esearch.h"

#include "imap/session.h"

enum {
    ITEMS_MAX = 200,  /* a short command must not ask for thousands of bodies */
    FIELDS_MAX = 500, /* header fields named in all: each is compared with each of a message */
};

struct reading {
    struct imap_reader *r;
    bool listed; /* within the parentheses */
    unsigned count, fields;
    struct fetch_args *args;
    struct fetch_item **tail;
};

static struct fetch_item *add_item(struct reading *g, enum fetch_kind kind, const char *label)
{
    struct fetch_item *item;

    for (item = g->args->items; item != NULL && kind < ITEM_SECTION; item = item->next)
        if (item->kind == kind)
            return item;
    item = g->count++ < ITEMS_MAX ? arena_new(g->r->arena, struct fetch_item) : NULL;
    if (item == NULL) {
        imap_fail(g->r, "fewer items");
        return NULL;
    }
    item->kind = kind;
    item->label = slice_of(label);
    *g->tail = item;
    g->tail = &item->next;
    return item;
}

/* A name up to the first byte that is no letter, digit or dot. */
static struct slice read_name(struct imap_reader *r)
{
    size_t begin = r->at;

    for (char c = imap_peek(r); ascii_is_alpha(c) || ascii_is_digit(c) || c == '.'; c = imap_peek(r))
        r->at++;
    if (r->at == begin)
        imap_fail(r, "a data item");
    return slice_sub(r->text, begin, r->at - begin);
}

/* header-list = "(" header-fld-name *(SP header-fld-name) ")" */
static void read_fields(struct reading *g, struct fetch_item *item)
{
    struct imap_reader *r = g->r;
    size_t cap = 0;

    imap_expect_space(r);
    imap_expect(r, '(');
    do {
        struct slice name = imap_read_astring(r);
        if (g->fields++ == FIELDS_MAX)
            imap_fail(r, "at most 500 header fields");
        if (r->failed)
            return;
        if (item->field_count == cap) {
            size_t more = cap == 0 ? 8 : cap * 2;
            struct slice *grown = arena_new_array(r->arena, struct slice, more);
            if (grown == NULL) {
                imap_fail(r, "fewer fields");
                return;
            }
            if (item->field_count > 0)
                memcpy(grown, item->fields, item->field_count * sizeof(*grown));
            item->fields = grown;
            cap = more;
        }
        item->fields[item->field_count++] = name;
    } while (imap_accept(r, ' '));
    imap_expect(r, ')');
}

/*
 * section-spec    = section-msgtext / (section-part ["." section-text])
 * section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
 * section-text    = section-msgtext / "MIME"
 */
static void read_section_text(struct reading *g, struct fetch_item *item)
{
    struct imap_reader *r = g->r;
    struct slice name = read_name(r);

    if (slice_eq_nocase(name, SLICE("HEADER"))) {
        item->part = PART_HEADER;
    } else if (slice_eq_nocase(name, SLICE("TEXT"))) {
        item->part = PART_TEXT;
    } else if (slice_eq_nocase(name, SLICE("MIME")) && item->depth > 0) {
        item->part = PART_MIME;
    } else if (slice_eq_nocase(name, SLICE("HEADER.FIELDS"))) {
        item->part = PART_FIELDS;
        read_fields(g, item);
    } else if (slice_eq_nocase(name, SLICE("HEADER.FIELDS.NOT"))) {
        item->part = PART_FIELDS_NOT;
        read_fields(g, item);
    } else {
        imap_fail(r, "HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, MIME or TEXT");
    }
}

/*
 * section-part   = nz-number *("." nz-number)
 * section-binary = "[" [section-part] "]"              RFC 3516 section 7
 */
static void read_section(struct reading *g, struct fetch_item *item)
{
    struct imap_reader *r = g->r;
    unsigned max = r->limits->nesting;

    item->path = arena_new_array(r->arena, uint32_t, max);
    if (item->path == NULL)
        imap_fail(r, "a shorter command");
    bool more = !r->failed && imap_peek(r) != ']';
    while (more && ascii_is_digit(imap_peek(r))) {
        if (item->depth == max)
            imap_fail(r, "a section less deep");
        if (r->failed)
            return;
        item->path[item->depth++] = (uint32_t)imap_read_number(r, 1, UINT32_MAX);
        more = imap_accept(r, '.');
    }
    if (more && item->kind == ITEM_SECTION)
        read_section_text(g, item);
}

void fetch_section_read(struct imap_reader *r, struct fetch_item *item)
{
    struct reading g = {.r = r};

    item->kind = ITEM_SECTION;
    read_section(&g, item);
}

/* "<" number "." nz-number ">" */
static void read_partial(struct imap_reader *r, struct fetch_item *item)
{
    if (!imap_accept(r, '<'))
        return;
    item->partial = true;
    item->offset = imap_read_number(r, 0, UINT32_MAX);
    imap_expect(r, '.');
    item->length = imap_read_number(r, 1, UINT32_MAX);
    imap_expect(r, '>');
}

/* "BODY[...]<origin>": what was asked for, in its canonical form. */
static struct slice section_label(struct arena *a, const struct fetch_item *item)
{
    static const char *const parts[] = {
        [PART_ALL] = "",
        [PART_HEADER] = "HEADER",
        [PART_FIELDS] = "HEADER.FIELDS (",
        [PART_FIELDS_NOT] = "HEADER.FIELDS.NOT (",
        [PART_TEXT] = "TEXT",
        [PART_MIME] = "MIME",
    };
    struct buf b;
    struct slice label;

    buf_init(&b, 1024 * 1024);
    buf_add(&b, item->kind == ITEM_SECTION  ? SLICE("BODY[")
                : item->kind == ITEM_BINARY ? SLICE("BINARY[")
                                            : SLICE("BINARY.SIZE["));
    for (size_t i = 0; i < item->depth; i++) {
        if (i > 0)
            buf_add_char(&b, '.');
        buf_add_u64(&b, item->path[i]);
    }
    if (item->depth > 0 && item->part != PART_ALL)
        buf_add_char(&b, '.');
    buf_add(&b, slice_of(parts[item->part]));
    for (size_t i = 0; i < item->field_count; i++) {
        if (i > 0)
            buf_add_char(&b, ' ');
        imap_write_astring(&b, item->fields[i]);
    }
    if (item->field_count > 0)
        buf_add_char(&b, ')');
    buf_add_char(&b, ']');
    if (item->partial) {
        buf_add_char(&b, '<');
        buf_add_u64(&b, item->offset);
        buf_add_char(&b, '>');
    }
    label = arena_keep(a, buf_slice(&b));
    buf_finish(&b);
    return label;
}

/*
 * "BODY" section ["<" number "." nz-number ">"] / "BODY.PEEK" section [...] /
 * "BINARY" [".PEEK"] section-binary [partial] / "BINARY.SIZE" section-binary, after the name
 */
static void read_body(struct reading *g, enum fetch_kind kind, bool peek)
{
    struct fetch_item *item = add_item(g, kind, NULL);

    imap_expect(g->r, '[');
    if (item == NULL || g->r->failed)
        return;
    read_section(g, item);
    imap_expect(g->r, ']');
    if (kind != ITEM_BINARY_SIZE)
        read_partial(g->r, item);
    if (g->r->failed)
        return;
    item->label = section_label(g->r->arena, item);
    g->args->sets_seen = g->args->sets_seen || !peek;
}

static void add_rfc822(struct reading *g, const char *label, enum fetch_part part, bool sets_seen)
{
    struct fetch_item *item = add_item(g, ITEM_SECTION, label);

    if (item != NULL)
        item->part = part;
    g->args->sets_seen = g->args->sets_seen || sets_seen;
}

/* "PREVIEW" [SP "(" "LAZY" *(SP "LAZY") ")"]           RFC 8970 section 6.  It lies ready: none is lazier. */
static void read_preview(struct reading *g)
{
    struct imap_reader *r = g->r;

    add_item(g, ITEM_PREVIEW, "PREVIEW");
    if (!slice_starts(slice_from(r->text, r->at), SLICE(" (")) || r->failed)
        return;
    size_t began = r->at;
    imap_expect_space(r);
    imap_expect(r, '(');
    if (!imap_accept_word(r, "LAZY")) {
        if (!g->listed) {
            r->at = began; /* the modifiers of FETCH itself */
            return;
        }
        imap_fail(r, "LAZY");
    }
    while (imap_accept(r, ' '))
        if (!imap_accept_word(r, "LAZY"))
            imap_fail(r, "LAZY");
    imap_expect(r, ')');
}

/*
 * fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
 *             "BODY" ["STRUCTURE"] / "UID" / "BODY" section [...] / "BODY.PEEK" section [...] / "MODSEQ" /
 *             "BINARY" [".PEEK" / ".SIZE"] section-binary [...] / "SAVEDATE" / "PREVIEW" [...]
 */
static void read_item(struct reading *g)
{
    static const struct {
        const char *name;
        enum fetch_kind kind;
    } plain[] = {
        {"UID", ITEM_UID},
        {"FLAGS", ITEM_FLAGS},
        {"MODSEQ", ITEM_MODSEQ},
        {"INTERNALDATE", ITEM_INTERNALDATE},
        {"RFC822.SIZE", ITEM_SIZE},
        {"EMAILID", ITEM_EMAILID},
        {"THREADID", ITEM_THREADID},
        {"ENVELOPE", ITEM_ENVELOPE},
        {"BODYSTRUCTURE", ITEM_BODYSTRUCTURE},
        {"SAVEDATE", ITEM_SAVEDATE},
    };
    size_t began = g->r->at;
    struct slice name = read_name(g->r);

    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (slice_eq_nocase(name, slice_of(plain[i].name))) {
            add_item(g, plain[i].kind, plain[i].name);
            g->args->has_modseq = g->args->has_modseq || plain[i].kind == ITEM_MODSEQ;
            return;
        }
    }
    if (slice_eq_nocase(name, SLICE("BODY")) && imap_peek(g->r) != '[')
        add_item(g, ITEM_BODY, "BODY");
    else if (slice_eq_nocase(name, SLICE("BODY")))
        read_body(g, ITEM_SECTION, false);
    else if (slice_eq_nocase(name, SLICE("BODY.PEEK")))
        read_body(g, ITEM_SECTION, true);
    else if (slice_eq_nocase(name, SLICE("BINARY")))
        read_body(g, ITEM_BINARY, false);
    else if (slice_eq_nocase(name, SLICE("BINARY.PEEK")))
        read_body(g, ITEM_BINARY, true);
    else if (slice_eq_nocase(name, SLICE("BINARY.SIZE")))
        read_body(g, ITEM_BINARY_SIZE, true);
    else if (slice_eq_nocase(name, SLICE("PREVIEW")))
        read_preview(g);
    else if (slice_eq_nocase(name, SLICE("RFC822")))
        add_rfc822(g, "RFC822", PART_ALL, true);
    else if (slice_eq_nocase(name, SLICE("RFC822.HEADER")))
        add_rfc822(g, "RFC822.HEADER", PART_HEADER, false);
    else if (slice_eq_nocase(name, SLICE("RFC822.TEXT")))
        add_rfc822(g, "RFC822.TEXT", PART_TEXT, true);
    else {
        g->r->at = began;
        imap_fail(g->r, "a data item");
    }
}

/* "ALL" / "FULL" / "FAST"                              RFC 3501 section 6.4.5 */
static bool read_macro(struct reading *g)
{
    bool all = imap_accept_word(g->r, "ALL");
    bool full = !all && imap_accept_word(g->r, "FULL");

    if (!all && !full && !imap_accept_word(g->r, "FAST"))
        return false;
    add_item(g, ITEM_FLAGS, "FLAGS");
    add_item(g, ITEM_INTERNALDATE, "INTERNALDATE");
    add_item(g, ITEM_SIZE, "RFC822.SIZE");
    if (all || full)
        add_item(g, ITEM_ENVELOPE, "ENVELOPE");
    if (full)
        add_item(g, ITEM_BODY, "BODY");
    return true;
}

/* "PARTIAL" SP partial-range                           RFC 9394 section 4 */
static void read_window(struct reading *g)
{
    if (g->args->windowed)
        imap_fail(g->r, "one PARTIAL only");
    imap_expect_space(g->r);
    g->args->window = imap_read_window(g->r);
    g->args->windowed = true;
}

/*
 * fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"
 * fetch-modifier  = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range
 *                                                      RFC 7162 section 7, RFC 9394 section 4
 */
static void read_modifiers(struct reading *g)
{
    if (!imap_accept(g->r, ' '))
        return;
    imap_expect(g->r, '(');
    do {
        if (imap_accept_word(g->r, "PARTIAL")) {
            read_window(g);
            continue;
        }
        if (imap_accept_word(g->r, "VANISHED")) {
            g->args->vanished = true;
            continue;
        }
        if (!imap_accept_word(g->r, "CHANGEDSINCE"))
            imap_fail(g->r, "CHANGEDSINCE, VANISHED or PARTIAL");
        imap_expect_space(g->r);
        g->args->changed_since = imap_read_number(g->r, 0, IMAP_MODSEQ_MAX);
        g->args->changed = g->args->has_modseq = true;
    } while (imap_accept(g->r, ' '));
    imap_expect(g->r, ')');
    if (g->args->changed)
        add_item(g, ITEM_MODSEQ, "MODSEQ");
}

void fetch_items_read(struct imap_reader *r, struct fetch_args *args)
{
    struct reading g = {.r = r, .args = args, .tail = &args->items};

    imap_expect(r, '(');
    do
        read_item(&g);
    while (imap_accept(r, ' '));
    imap_expect(r, ')');
}

/*
 * fetch = "FETCH" SP sequence-set SP
 *         ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")") [fetch-modifiers]
 */
struct fetch_args fetch_args_read(struct imap_reader *r)
{
    struct fetch_args args = {0};
    struct reading g = {.r = r, .args = &args, .tail = &args.items};

    imap_expect_space(r);
    args.set = imap_read_set(r);
    imap_expect_space(r);
    if (imap_accept(r, '(')) {
        g.listed = true;
        do
            read_item(&g);
        while (imap_accept(r, ' '));
        imap_expect(r, ')');
    } else if (!read_macro(&g)) {
        read_item(&g);
    }
    read_modifiers(&g);
    imap_expect_end(r);
    return args;
}
