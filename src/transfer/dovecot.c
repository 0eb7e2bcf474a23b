/*
 * transfer/dovecot.c - see transfer/dovecot.h: the files.  Users: dovecot_users.c.
 *
 * Layer: transfer.
 */
#include "transfer/dovecot.h"

#include <glob.h>

#include "base/buf.h"
#include "transfer/dovecot_internal.h"

enum { INCLUDES_MOST = 10, BLOCKS_MOST = 16, NAME_MOST = 400 };

struct reading {
    struct dovecot *d;
    struct slice blocks[BLOCKS_MOST];
    size_t depth;
    unsigned anonymous; /* numbers blocks that may stand more than once */
};

static struct slice unquoted(struct slice v)
{
    if (v.len >= 2 && (v.ptr[0] == '"' || v.ptr[0] == '\'') && v.ptr[v.len - 1] == v.ptr[0])
        return slice_sub(v, 1, v.len - 2);
    return v;
}

/* A comment begins the line, or stands behind a blank outside quotes. */
static struct slice without_comment(struct slice line)
{
    char quote = '\0';

    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        if (quote != '\0')
            quote = c == quote ? '\0' : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '#' && (i == 0 || line.ptr[i - 1] == ' ' || line.ptr[i - 1] == '\t'))
            return slice_trim(slice_sub(line, 0, i));
    }
    return slice_trim(line);
}

static void add(struct reading *r, struct slice name, struct slice value)
{
    struct dovecot_setting *s = arena_new(r->d->arena, struct dovecot_setting);
    struct slice block = r->depth > 0 ? r->blocks[r->depth - 1] : SLICE("");

    s->name = arena_printf(r->d->arena, PRIslice "%s" PRIslice, SLICE_ARG(block), block.len > 0 ? "/" : "", SLICE_ARG(name));
    s->value = arena_keep(r->d->arena, value);
    s->before = r->d->last;
    r->d->last = s;
}

/* "passdb {" and "userdb {" are each one of their own; other blocks of one name are one. */
static void open_block(struct reading *r, struct slice head)
{
    struct slice outer = r->depth > 0 && r->depth <= BLOCKS_MOST ? r->blocks[r->depth - 1] : SLICE("");
    struct slice rest = head, kind = slice_cut(&rest, ' ');
    bool many = slice_eq(kind, SLICE("passdb")) || slice_eq(kind, SLICE("userdb"));

    if (r->depth < BLOCKS_MOST && many)
        r->blocks[r->depth++] = arena_printf(r->d->arena, PRIslice " %u", SLICE_ARG(kind), ++r->anonymous);
    else if (r->depth < BLOCKS_MOST)
        r->blocks[r->depth++] = arena_printf(r->d->arena, PRIslice "%s" PRIslice, SLICE_ARG(outer), outer.len > 0 ? "/" : "", SLICE_ARG(head));
    if (many)
        add(r, SLICE("block"), rest.len > 0 ? slice_trim(rest) : kind);
}

static void read_text(struct reading *r, struct slice text, unsigned includes);

static void include(struct reading *r, struct slice pattern, unsigned includes)
{
    struct arena *a = r->d->arena;
    glob_t found = {0};
    bool absolute = slice_starts(pattern, SLICE("/"));

    if (includes >= INCLUDES_MOST)
        return;
    const char *path = arena_cstr(a, arena_printf(a, "%s/%s" PRIslice, r->d->root, absolute ? "" : "etc/dovecot/", SLICE_ARG(pattern)));
    /* The only thread of its command.  NOLINTNEXTLINE(concurrency-mt-unsafe) */
    if (glob(path, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            struct slice text;
            struct fail why = {0};
            bool there;
            /* The pattern may lead out of the root, what it found is looked up within. */
            if (!box_file(r->d->root, slice_from(slice_of(found.gl_pathv[i]), strlen(r->d->root)), a, &text, &there, &why))
                r->d->notes.note(r->d->notes.ctx, found.gl_pathv[i], why.text);
            else if (there)
                read_text(r, text, includes + 1);
        }
    }
    globfree(&found);
}

static void read_line(struct reading *r, struct slice line, unsigned includes)
{
    struct slice value = line, name = slice_trim(slice_cut(&value, '='));

    if (slice_starts(line, SLICE("!include"))) {
        (void)slice_cut(&line, ' ');
        include(r, slice_trim(line), includes);
    } else if (slice_ends(line, SLICE("{")) && slice_find_char(line, '=') == line.len) {
        open_block(r, slice_trim(slice_sub(line, 0, line.len - 1)));
    } else if (slice_eq(line, SLICE("}"))) {
        r->depth -= r->depth > 0;
    } else if (slice_find_char(line, '=') < line.len) {
        add(r, name, unquoted(slice_trim(value)));
    }
}

static void read_text(struct reading *r, struct slice text, unsigned includes)
{
    struct buf whole;

    buf_init(&whole, 1 << 20);
    while (text.len > 0) {
        struct slice line = without_comment(slice_cut(&text, '\n'));
        bool more = slice_ends(line, SLICE("\\")) && text.len > 0;
        buf_add(&whole, more ? slice_sub(line, 0, line.len - 1) : line);
        if (more)
            continue;
        if (whole.len > 0)
            read_line(r, arena_keep(r->d->arena, buf_slice(&whole)), includes);
        buf_reset(&whole);
    }
    buf_finish(&whole);
}

bool dovecot_parse(const char *root, struct slice text, struct arena *a, const struct box_notes *notes, struct dovecot **out,
                   struct fail *why)
{
    struct dovecot *d = arena_new(a, struct dovecot);
    struct reading r = {.d = d};

    (void)why;
    *d = (struct dovecot){.root = root, .arena = a, .notes = *notes};
    read_text(&r, text, 0);
    d->blocks = r.anonymous;
    *out = d;
    return true;
}

bool dovecot_read(const char *root, struct arena *a, const struct box_notes *notes, struct dovecot **out, struct fail *why)
{
    struct slice text;
    bool there;

    if (!box_file(root, SLICE("etc/dovecot/dovecot.conf"), a, &text, &there, why))
        return false;
    if (!there)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no etc/dovecot/dovecot.conf in %s", root);
    return dovecot_parse(root, text, a, notes, out, why);
}

struct slice dovecot_get(const struct dovecot *d, const char *name)
{
    for (const struct dovecot_setting *s = d->last; s != NULL; s = s->before)
        if (slice_eq(s->name, slice_of(name)))
            return s->value;
    return SLICE("");
}

struct dovecot_place dovecot_place(struct slice location)
{
    struct slice rest = location;
    struct dovecot_place p = {.kind = slice_cut(&rest, ':')};

    p.path = slice_cut(&rest, ':');
    while (rest.len > 0) {
        struct slice value = slice_cut(&rest, ':'), name = slice_cut(&value, '=');
        if (slice_eq(name, SLICE("CONTROL")))
            p.control = value;
        else if (slice_eq(name, SLICE("INBOX")))
            p.inbox = value;
    }
    return p;
}
