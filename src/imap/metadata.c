/*
 * imap/metadata.c - GETMETADATA and SETMETADATA.
 *
 * Layer: imap.  RFC 5464; /private/specialuse: RFC 6154 section 4.  Who may: who
 * knows of the mailbox and has some business in it (section 3.3).
 */
#include "imap/metadata.h"

#include <limits.h>

#include "base/fail.h"
#include "imap/filters.h"
#include "imap/lasting.h"
#include "imap/special_use.h"
#include "imap/target.h"

enum {
    ENTRIES_MAX = 1000,
    TOLD_MAX = 16 * 1024 * 1024, /* bytes for one mailbox: entries may be asked for twice, and all below each */
};

#define SPECIAL_USE SLICE("/specialuse")

/* ---- names ---- */

/* "/shared" or "/private" is taken off the front of *name; false: it has neither. */
static bool take_scope(struct slice *name, bool *private)
{
    static const struct {
        const char *text;
        bool private;
    } scopes[] = {{"/shared", false}, {"/private", true}};

    for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
        struct slice scope = slice_of(scopes[i].text);
        if (slice_starts_nocase(*name, scope) && (name->len == scope.len || name->ptr[scope.len] == '/')) {
            *private = scopes[i].private;
            *name = slice_from(*name, scope.len);
            return true;
        }
    }
    return false;
}

/* RFC 5464 section 3.2. */
static bool is_entry_name(struct slice name)
{
    bool private = false;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c <= ' ' || c > '~' || c == '*' || c == '%' || (c == '/' && (i + 1 == name.len || name.ptr[i + 1] == '/')))
            return false;
    }
    return name.len <= 1000 && take_scope(&name, &private);
}

/* entry = astring */
static struct slice read_entry(struct imap_reader *r)
{
    struct slice name = imap_read_astring(r);

    if (!r->failed && !is_entry_name(name))
        imap_fail(r, "the name of an annotation below /shared or /private");
    return name;
}

static bool add_entry(struct imap_reader *r, struct imap_entries *e)
{
    if (e->names == NULL)
        e->names = arena_new_array(r->arena, struct slice, ENTRIES_MAX);
    if (e->names == NULL || e->count == ENTRIES_MAX)
        return imap_fail(r, "fewer annotations");
    e->names[e->count] = read_entry(r);
    e->count += r->failed ? 0 : 1;
    return !r->failed;
}

/* entries = entry / "(" entry *(SP entry) ")" */
struct imap_entries imap_read_entries(struct imap_reader *r)
{
    struct imap_entries e = {0};
    bool several = imap_accept(r, '(');

    while (add_entry(r, &e) && several && imap_accept(r, ' '))
        ;
    if (several)
        imap_expect(r, ')');
    return e;
}

/* ---- telling ---- */

/* value = nstring / literal8 */
static void write_value(struct buf *out, struct slice value)
{
    if (slice_find_char(value, '\0') < value.len)
        buf_add_char(out, '~');
    imap_write_string(out, value);
}

struct telling {
    struct buf *out;
    struct imap_session *s;
    struct imap_metadata *m;
    struct slice name;
    bool begun;
};

static void tell_one(struct telling *t, bool private, struct slice name, struct slice value, bool is_nil)
{
    if (value.len > t->m->most_bytes) {
        if (value.len > t->m->longest)
            t->m->longest = value.len;
        return;
    }
    if (!t->begun) {
        buf_add(t->out, SLICE("* METADATA "));
        imap_write_mailbox(t->s, t->out, t->name);
        buf_add(t->out, SLICE(" ("));
    } else {
        buf_add_char(t->out, ' ');
    }
    t->begun = true;
    buf_add(t->out, private ? SLICE("/private") : SLICE("/shared"));
    buf_add(t->out, name);
    buf_add_char(t->out, ' ');
    if (is_nil)
        buf_add(t->out, SLICE("NIL"));
    else
        write_value(t->out, value);
}

/* Is `name` at most `depth` levels below `top`? */
static bool within(struct slice name, struct slice top, unsigned depth)
{
    unsigned levels = 0;

    for (size_t i = top.len; i < name.len; i++)
        levels += name.ptr[i] == '/';
    return levels <= depth;
}

static bool tell_stored(struct telling *t, struct account *a, uint64_t mailbox, bool private, struct slice name,
                        struct fail *why)
{
    uint64_t user = private ? account_id(t->s->account) : ANNOTATION_SHARED;
    struct arena *arena = &t->s->arena;
    struct annotation *list;
    struct slice value;
    size_t count;

    if (t->m->depth == 0) {
        if (!annotation_get(a, mailbox, user, name, arena, &value, why))
            return false;
        tell_one(t, private, name, value, value.ptr == NULL);
        return true;
    }
    if (!annotation_list(a, mailbox, user, name, arena, &list, &count, why))
        return false;
    for (size_t i = 0; i < count; i++)
        if (within(list[i].name, name, t->m->depth))
            tell_one(t, private, list[i].name, list[i].value, false);
    return true;
}

/* Those that no row holds: the special use, and how to reach the administrator (section 6.2.1). */
static bool tell_computed(struct telling *t, struct account *a, const struct mailbox_info *mailbox, bool private,
                          struct slice name)
{
    struct imap_session *s = t->s;
    struct slice own = private ? SPECIAL_USE : SLICE("/admin");
    struct directory_account who;

    if (private != (mailbox != NULL) || (mailbox != NULL && a != s->account))
        return false;
    bool below_top = t->m->depth > 0 && name.len == 0;
    if (!below_top && !slice_eq_nocase(name, own))
        return false;
    if (mailbox != NULL) {
        const char *use = imap_special_use_name(mailbox->use);
        if (use != NULL || t->m->depth == 0)
            tell_one(t, private, own, slice_of(use), use == NULL);
    } else if (directory_account(s->service->login->directory, account_id(s->account), &s->arena, &who, NULL)) {
        size_t at = slice_rfind_char(who.address, '@');
        tell_one(t, private, own,
                 arena_printf(&s->arena, "mailto:postmaster" PRIslice, SLICE_ARG(slice_from(who.address, at))), false);
    }
    return !below_top; /* else with all others */
}

bool imap_write_metadata(struct imap_session *s, struct account *a, const struct mailbox_info *mailbox,
                         struct slice name, struct imap_metadata *m, struct fail *why)
{
    struct telling t = {.out = conn_out(s->conn), .s = s, .m = m, .name = name};
    size_t before = t.out->len;
    bool ok = true, private = false;

    for (size_t i = 0; ok && i < m->entries.count; i++) {
        struct slice entry = m->entries.names[i];
        if (t.out->len - before > TOLD_MAX) {
            ok = fail_set(why, FAIL_PERM, FAIL_LIMIT, "Expected fewer or smaller annotations at once");
            break;
        }
        (void)take_scope(&entry, &private);
        if (!tell_computed(&t, a, mailbox, private, entry))
            ok = tell_stored(&t, a, mailbox != NULL ? mailbox->id : 0, private, entry, why);
    }
    if (t.begun)
        buf_add(t.out, SLICE(")\r\n"));
    return ok;
}

/* ---- commands ---- */

/* Finds the mailbox, or the server ("": *mailbox NULL); false: answered. */
static bool find_annotated(struct imap_session *s, struct slice name, struct imap_target *t,
                           const struct mailbox_info **mailbox)
{
    enum { BUSINESS = RIGHT_READ | RIGHT_SEEN | RIGHT_WRITE | RIGHT_INSERT | RIGHT_POST };
    struct fail why;

    *mailbox = NULL;
    if (name.len == 0) {
        *t = (struct imap_target){.account = s->account, .rights = RIGHTS_ALL};
        return true;
    }
    if (!imap_find(s, name, RIGHT_LOOKUP, t, &why)) {
        imap_no_because(s, &why);
        return false;
    }
    if (!(t->rights & BUSINESS)) {
        imap_no(s, "[NOPERM] Annotations are for those who may read or write the mailbox");
        return false;
    }
    *mailbox = &t->info;
    return true;
}

/*
 * getmetadata-options = "(" ("MAXSIZE" SP number / "DEPTH" SP ("0" / "1" / "infinity")) *(SP ...) ")"
 *
 * The opening parenthesis was read.
 */
static void read_options(struct imap_reader *r, struct imap_metadata *m)
{
    do {
        if (imap_accept_word(r, "MAXSIZE")) {
            imap_expect_space(r);
            m->most_bytes = imap_read_number(r, 0, UINT32_MAX);
        } else if (imap_accept_word(r, "DEPTH")) {
            imap_expect_space(r);
            if (imap_accept_word(r, "0"))
                m->depth = 0;
            else if (imap_accept_word(r, "1"))
                m->depth = 1;
            else if (imap_accept_word(r, "infinity"))
                m->depth = UINT_MAX;
            else
                imap_fail(r, "0, 1 or infinity");
        } else {
            imap_fail(r, "MAXSIZE or DEPTH");
        }
    } while (imap_accept(r, ' '));
    imap_expect(r, ')');
}

/* Options stand before the mailbox by the grammar, behind it in the RFC's examples: both are taken. */
static bool accept_options(struct imap_reader *r)
{
    struct slice rest = slice_from(r->text, r->at);

    return (slice_starts_nocase(rest, SLICE("(MAXSIZE ")) || slice_starts_nocase(rest, SLICE("(DEPTH "))) &&
           imap_accept(r, '(');
}

/* getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries        RFC 5464 section 5 */
void imap_getmetadata(struct imap_session *s, struct imap_reader *args)
{
    struct imap_metadata m = {.most_bytes = UINT64_MAX};
    const struct mailbox_info *mailbox;
    struct imap_target target;
    struct fail why;

    imap_expect_space(args);
    if (imap_accept(args, '(')) {
        read_options(args, &m);
        imap_expect_space(args);
    }
    struct slice name = imap_read_mailbox(args);
    imap_expect_space(args);
    if (accept_options(args)) {
        read_options(args, &m);
        imap_expect_space(args);
    }
    m.entries = imap_read_entries(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!find_annotated(s, name, &target, &mailbox))
        return;
    if (!imap_write_metadata(s, target.account, mailbox, name, &m, &why))
        imap_no_because(s, &why);
    else if (m.longest > 0)
        imap_ok(s, "[METADATA LONGENTRIES %llu] Some are longer", (unsigned long long)m.longest);
    else
        imap_ok(s, "Those are they");
}

/* entry-values = "(" entry SP value *(SP entry SP value) ")";  value = nstring / literal8 */
struct annotation *imap_read_entry_values(struct imap_reader *r, size_t *count)
{
    struct annotation *list = arena_new_array(r->arena, struct annotation, ENTRIES_MAX);

    *count = 0;
    imap_expect(r, '(');
    do {
        if (list == NULL || *count == ENTRIES_MAX) {
            imap_fail(r, "fewer annotations");
            *count = 0;
            return NULL;
        }
        struct annotation *n = &list[(*count)++];
        n->name = read_entry(r);
        imap_expect_space(r);
        if (imap_accept(r, '~') && imap_peek(r) != '{')
            imap_fail(r, "a literal");
        n->gone = !imap_read_nstring(r, &n->value);
    } while (imap_accept(r, ' '));
    imap_expect(r, ')');
    return list;
}

/*
 * What the client wrote becomes what the store keeps; false: answered.  The special use is no
 * annotation: it is taken out of the list.
 */
static bool translate(struct imap_session *s, const struct imap_target *t, bool server, struct annotation *list,
                      size_t *count, enum special_use *use, bool *set_use)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        struct annotation n = list[i];
        bool private = false;
        (void)take_scope(&n.name, &private);
        n.user = private ? account_id(s->account) : ANNOTATION_SHARED;
        if (n.name.len == 0) {
            imap_no(s, "[CANNOT] An annotation has a name below /shared or /private");
            return false;
        }
        if (server && !private && slice_eq_nocase(n.name, SLICE("/admin"))) {
            imap_no(s, "[NOPERM] /shared/admin is the administrator's");
            return false;
        }
        if (server && !n.gone && !imap_filter_is_sound(s, n.name, n.value)) {
            imap_no(s, "[CANNOT] A filter is made of search keys, in UTF-8");
            return false;
        }
        if (!private && !server && !(t->rights & RIGHT_WRITE)) {
            imap_no(s, "[NOPERM] Shared annotations need the right w");
            return false;
        }
        if (private && !server && slice_eq_nocase(n.name, SPECIAL_USE)) {
            *set_use = true;
            if (t->account != s->account || !imap_special_use_read(n.gone ? SLICE("") : n.value, use)) {
                imap_no(s, "[USEATTR] A mailbox of one's own has one of \\Archive \\Drafts \\Junk \\Sent \\Trash");
                return false;
            }
            continue;
        }
        list[kept++] = n;
    }
    *count = kept;
    return true;
}

/* resp-text-code =/ "METADATA" SP ("MAXSIZE" SP number / "TOOMANY" / "NOPRIVATE") */
static void refuse(struct imap_session *s, const struct account *a, const struct fail *why)
{
    if (why->reason == FAIL_LIMIT)
        imap_no(s, "[METADATA TOOMANY] %s", why->text);
    else if (why->reason == FAIL_TOO_BIG)
        imap_no(s, "[METADATA MAXSIZE %u] %s", annotation_bytes_max(a), why->text);
    else
        imap_no_because(s, why);
}

/* setmetadata = "SETMETADATA" SP mailbox SP entry-values                            RFC 5464 section 5 */
void imap_setmetadata(struct imap_session *s, struct imap_reader *args)
{
    const struct mailbox_info *mailbox;
    struct imap_target target;
    enum special_use use = USE_NONE;
    bool set_use = false;
    size_t count;
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_space(args);
    struct annotation *list = imap_read_entry_values(args, &count);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!find_annotated(s, name, &target, &mailbox) ||
        !translate(s, &target, mailbox == NULL, list, &count, &use, &set_use))
        return;
    imap_metadata_tell(s); /* what others did before; one's own change needs no telling */
    if (!annotation_set(target.account, mailbox != NULL ? mailbox->id : 0, list, count, set_use ? &use : NULL,
                        &why)) {
        refuse(s, target.account, &why);
        return;
    }
    imap_metadata_begin(s);
    imap_ok(s, "Set");
}

/* ---- what others change ---- */

static uint64_t last_change(struct imap_session *s, struct account *a)
{
    struct annotation *none;
    size_t count;
    uint64_t now;

    return annotation_changed(a, 0, 0, UINT64_MAX, &s->arena, &none, &count, &now, NULL) ? now : 0;
}

void imap_metadata_begin(struct imap_session *s)
{
    if (!(s->enabled & IMAP_METADATA))
        return;
    struct imap_lasting *l = imap_lasting(s);
    l->server_metadata_told = last_change(s, s->account);
    l->metadata_mailbox = s->state == IMAP_SELECTED ? s->box.mailbox : 0;
    l->mailbox_metadata_told = s->state == IMAP_SELECTED ? last_change(s, s->box.account) : 0;
}

/* entry-list = entry *(SP entry) */
bool imap_metadata_tell_of(struct imap_session *s, struct account *a, uint64_t mailbox_id, struct slice name,
                           uint64_t *told, struct fail *why)
{
    struct buf *out = conn_out(s->conn);
    struct annotation *list;
    size_t count;

    if (!annotation_changed(a, mailbox_id, account_id(s->account), *told, &s->arena, &list, &count, told, why))
        return false;
    if (count == 0)
        return true;
    buf_add(out, SLICE("* METADATA "));
    imap_write_mailbox(s, out, name);
    for (size_t i = 0; i < count; i++) {
        buf_add(out, list[i].user == ANNOTATION_SHARED ? SLICE(" /shared") : SLICE(" /private"));
        buf_add(out, list[i].name);
    }
    buf_add(out, SLICE("\r\n"));
    return true;
}

void imap_metadata_tell(struct imap_session *s)
{
    struct imap_lasting *l = s->lasting;
    struct mailbox_info info;

    if (!(s->enabled & IMAP_METADATA) || l == NULL || s->closing || s->state == IMAP_FRESH)
        return;
    (void)imap_metadata_tell_of(s, s->account, 0, SLICE(""), &l->server_metadata_told, NULL);
    if (s->state != IMAP_SELECTED)
        return;
    if (l->metadata_mailbox != s->box.mailbox) { /* selected since */
        l->metadata_mailbox = s->box.mailbox;
        l->mailbox_metadata_told = last_change(s, s->box.account);
    } else if (mailbox_get(s->box.account, s->box.mailbox, &s->arena, &info, NULL)) {
        (void)imap_metadata_tell_of(s, s->box.account, s->box.mailbox,
                                    imap_name_of(s, s->box.account, info.name), &l->mailbox_metadata_told, NULL);
    }
}
