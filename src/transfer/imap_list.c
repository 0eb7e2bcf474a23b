/*
 * transfer/imap_list.c - which mailboxes a server has, and what they are called here.
 *
 * Layer: transfer.  NAMESPACE (RFC 2342), LIST with SPECIAL-USE (RFC 6154) and SUBSCRIBED (RFC 5258) where they are
 * offered, else LIST and LSUB.
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/unicode.h"
#include "transfer/imap_source.h"

enum { MAILBOXES_MAX = 100000, PREFIXES_MAX = 50, NAME_BYTES_MAX = 2000 };

struct prefix {
    struct slice text;
    bool         personal;
};

struct listing {
    struct imap_run *run;
    struct prefix    prefixes[PREFIXES_MAX];
    size_t           prefix_count;
    struct map       by_wire; /* to the mailbox's number, from 1 */
    struct map       by_name; /* names given so far, to the same */
    bool             extended; /* LIST says what is subscribed to */
    bool             lsub;
};

/* ---- NAMESPACE ---- */

/* namespace = nil / "(" 1*("(" string SP (<"> QUOTED_CHAR <"> / nil) ... ")") ")" */
static void read_namespace(struct listing *s, struct imap_in *in, bool personal)
{
    if (imap_in_peek(in) != '(') {
        (void)imap_in_astring(in, NULL);
        return;
    }
    imap_in_expect(in, '(');
    while (!in->failed && !imap_in_accept(in, ')')) {
        imap_in_expect(in, '(');
        struct slice text = in->failed ? SLICE("") : imap_in_astring(in, NULL);
        if (!in->failed && s->prefix_count < PREFIXES_MAX)
            s->prefixes[s->prefix_count++] = (struct prefix){arena_keep(&s->run->names, text), personal};
        while (!in->failed && imap_in_accept(in, ' '))
            imap_in_skip(in);
        imap_in_expect(in, ')');
        (void)(in->failed || imap_in_accept(in, ' '));
    }
}

static bool on_namespace(void *ctx, struct imap_link *l, const struct imap_answer *a)
{
    if (a->kind != IMAP_DATA || !slice_eq_nocase(a->word, SLICE("NAMESPACE")))
        return false;
    read_namespace(ctx, &l->in, true);
    imap_in_expect(&l->in, ' ');
    if (!l->in.failed)
        read_namespace(ctx, &l->in, false);
    imap_in_expect(&l->in, ' ');
    if (!l->in.failed)
        read_namespace(ctx, &l->in, false);
    imap_in_end(&l->in);
    return true;
}

/* The longest prefix that the name has; NULL: none. */
static const struct prefix *prefix_of(const struct listing *s, struct slice wire)
{
    const struct prefix *best = NULL;

    for (size_t i = 0; i < s->prefix_count; i++) {
        const struct prefix *p = &s->prefixes[i];
        if (slice_starts(wire, p->text) && (best == NULL || p->text.len > best->text.len))
            best = p;
    }
    return best;
}

/* ---- names ---- */

/* One level as text: modified UTF-7, else whatever it is; our delimiter in it becomes "_". */
static void add_level(struct listing *s, struct buf *out, struct slice level)
{
    struct slice text;
    size_t       from = out->len;

    if (utf7_decode(&s->run->names, level, &text))
        buf_add(out, text);
    else
        utf8_add_clean(out, level);
    for (size_t i = from; i < out->len; i++)
        if (out->data[i] == '/' || (unsigned char)out->data[i] < ' ')
            out->data[i] = '_';
}

static bool is_gmails(struct slice level)
{
    return slice_eq(level, SLICE("[Gmail]")) || slice_eq(level, SLICE("[Google Mail]"));
}

/* `delimiter` '\0': there are no levels. */
static struct slice name_of(struct listing *s, struct slice wire, char delimiter)
{
    const struct prefix *p = prefix_of(s, wire);
    struct buf           out;
    bool                 first = true;

    if (p != NULL && p->personal && p->text.len < wire.len && p->text.len > 0)
        wire = slice_from(wire, p->text.len);
    buf_init(&out, 4 * NAME_BYTES_MAX);
    while (wire.len > 0) {
        struct slice level = delimiter != '\0' ? slice_cut(&wire, delimiter) : wire;
        if (delimiter == '\0')
            wire.len = 0;
        if (s->run->gmail && first && is_gmails(level) && wire.len > 0)
            continue;
        if (!first)
            buf_add_char(&out, '/');
        if (first && slice_eq_nocase(level, SLICE("INBOX")))
            buf_add(&out, SLICE("INBOX"));
        else
            add_level(s, &out, level);
        first = false;
    }
    for (unsigned n = 2; out.len > 0 && n < 1000 && map_get(&s->by_name, buf_slice(&out)) != NULL; n++)
        buf_addf(&out, "_%u", n); /* two names there are one here */
    struct slice name = arena_keep(&s->run->names, buf_slice(&out));
    buf_finish(&out);
    return name;
}

/* ---- LIST ---- */

static const struct { const char *attribute; enum special_use use; } uses[] = {
    {"\\All", USE_ALL},   {"\\Archive", USE_ARCHIVE}, {"\\Drafts", USE_DRAFTS}, {"\\Flagged", USE_FLAGGED},
    {"\\Junk", USE_JUNK}, {"\\Sent", USE_SENT},       {"\\Trash", USE_TRASH},
};

struct attributes {
    enum special_use use;
    bool             no_select, gone, subscribed, important;
};

static struct attributes read_attributes(struct imap_in *in)
{
    struct attributes a = {.use = USE_NONE};

    imap_in_expect(in, '(');
    while (!in->failed && !imap_in_accept(in, ')')) {
        struct slice word = imap_in_atom(in, true);
        for (size_t i = 0; i < ARRAY_LEN(uses); i++)
            if (slice_eq_nocase(word, slice_of(uses[i].attribute)))
                a.use = uses[i].use;
        a.no_select = a.no_select || slice_eq_nocase(word, SLICE("\\Noselect"));
        a.gone = a.gone || slice_eq_nocase(word, SLICE("\\NonExistent"));
        a.subscribed = a.subscribed || slice_eq_nocase(word, SLICE("\\Subscribed"));
        a.important = a.important || slice_eq_nocase(word, SLICE("\\Important"));
        (void)imap_in_accept(in, ' ');
    }
    return a;
}

static void keep_mailbox(struct listing *s, struct slice wire, char delimiter, const struct attributes *a)
{
    struct imap_run     *r = s->run;
    const struct prefix *p = prefix_of(s, wire);
    struct imap_mailbox  m = {.use = a->use, .subscribed = a->subscribed, .no_select = a->no_select || a->gone};

    if (wire.len == 0 || wire.len > NAME_BYTES_MAX || map_get(&s->by_wire, wire) != NULL || r->mailbox_count == MAILBOXES_MAX)
        return;
    if (p != NULL && !p->personal && !r->source->shared)
        return;
    for (size_t i = 0; i < wire.len; i++)
        if (wire.ptr[i] == '\r' || wire.ptr[i] == '\n' || wire.ptr[i] == '\0') { /* no command could name it */
            r->into->left_out(r->into->ctx, slice_sub(wire, 0, i), "the mailbox and all in it: there is a line end in its name");
            return;
        }
    if (r->gmail && (a->important || a->use == USE_FLAGGED)) /* views */
        return;
    m.wire = arena_keep(&r->names, wire);
    if (r->gmail && a->use == USE_ALL) {
        m.all_mail = true;
        m.use = USE_ARCHIVE;
        m.name = map_get(&s->by_name, SLICE("Archive")) == NULL ? SLICE("Archive") : SLICE("All Mail");
    } else {
        m.name = name_of(s, wire, delimiter);
    }
    if (m.name.len == 0 || (r->gmail && m.no_select && is_gmails(m.name)))
        return;
    if (r->mailbox_count == r->mailbox_cap) {
        r->mailbox_cap = r->mailbox_cap > 0 ? 2 * r->mailbox_cap : 64;
        r->mailboxes = xrealloc(r->mailboxes, r->mailbox_cap * sizeof *r->mailboxes);
    }
    r->mailboxes[r->mailbox_count++] = m;
    (void)map_put(&s->by_wire, wire, (void *)(uintptr_t)r->mailbox_count);
    (void)map_put(&s->by_name, m.name, (void *)(uintptr_t)r->mailbox_count);
}

/* mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox */
static bool on_list(void *ctx, struct imap_link *l, const struct imap_answer *a)
{
    struct listing *s = ctx;
    bool            nil = false;

    if (a->kind != IMAP_DATA || !slice_eq_nocase(a->word, s->lsub ? SLICE("LSUB") : SLICE("LIST")))
        return false;
    struct attributes at = read_attributes(&l->in);
    imap_in_expect(&l->in, ' ');
    struct slice delimiter = l->in.failed ? SLICE("") : imap_in_astring(&l->in, &nil);
    imap_in_expect(&l->in, ' ');
    struct slice wire = l->in.failed ? SLICE("") : imap_in_astring(&l->in, NULL);
    imap_in_end(&l->in);
    if (l->in.failed)
        return true;
    if (!s->lsub) {
        keep_mailbox(s, wire, !nil && delimiter.len == 1 ? delimiter.ptr[0] : '\0', &at);
        return true;
    }
    uintptr_t known = (uintptr_t)map_get(&s->by_wire, wire);
    if (known > 0)
        s->run->mailboxes[known - 1].subscribed = true;
    return true;
}

/* ---- STATUS ---- */

static bool on_status(void *ctx, struct imap_link *l, const struct imap_answer *a)
{
    struct listing *s = ctx;

    if (a->kind != IMAP_DATA || !slice_eq_nocase(a->word, SLICE("STATUS")))
        return false;
    uintptr_t known = (uintptr_t)map_get(&s->by_wire, imap_in_astring(&l->in, NULL));
    imap_in_expect(&l->in, ' ');
    imap_in_expect(&l->in, '(');
    while (!l->in.failed && !imap_in_accept(&l->in, ')')) {
        struct slice word = imap_in_atom(&l->in, false);
        imap_in_expect(&l->in, ' ');
        uint64_t n = l->in.failed ? 0 : imap_in_number(&l->in, UINT64_MAX / 16);
        if (known > 0 && !l->in.failed && slice_eq_nocase(word, SLICE("MESSAGES")))
            s->run->mailboxes[known - 1].messages = n;
        (void)(l->in.failed || imap_in_accept(&l->in, ' '));
    }
    imap_in_end(&l->in);
    return true;
}

/* How much there will be to do, for the progress bar; what cannot be counted is not. */
static bool count_messages(struct listing *s, struct fail *why)
{
    struct imap_run *r = s->run;

    r->all = 0;
    for (size_t i = 0; i < r->mailbox_count; i++) {
        struct imap_result result;
        struct buf         name;
        if (r->mailboxes[i].no_select)
            continue;
        buf_init(&name, 3 * NAME_BYTES_MAX);
        imap_link_add_quoted(&name, r->mailboxes[i].wire);
        bool ok = imap_link_run(&r->link, on_status, s, &result, why, "STATUS " PRIslice " (MESSAGES)", SLICE_ARG(buf_slice(&name)));
        buf_finish(&name);
        if (!ok)
            return false;
        r->all += r->mailboxes[i].messages;
    }
    return true;
}

/* ---- all of it ---- */

/* A mailbox or one above it is among `list`. */
static bool is_among(struct slice name, const struct slice *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(name, list[i]) || (slice_starts(name, list[i]) && name.ptr[list[i].len] == '/'))
            return true;
    return false;
}

static void choose(struct imap_run *r)
{
    const struct imap_source *s = r->source;
    size_t                    kept = 0;

    for (size_t i = 0; i < r->mailbox_count; i++) {
        struct imap_mailbox m = r->mailboxes[i];
        if ((s->only_count == 0 || is_among(m.name, s->only, s->only_count)) && !is_among(m.name, s->skip, s->skip_count))
            r->mailboxes[kept++] = m;
    }
    r->mailbox_count = kept;
}

static void index_again(struct listing *s)
{
    map_finish(&s->by_wire);
    map_init(&s->by_wire);
    for (size_t i = 0; i < s->run->mailbox_count; i++)
        (void)map_put(&s->by_wire, s->run->mailboxes[i].wire, (void *)(uintptr_t)(i + 1));
}

static bool list_all(struct listing *s, struct fail *why)
{
    struct imap_run   *r = s->run;
    struct imap_link  *l = &r->link;
    struct imap_result result;
    bool rev2 = imap_link_can(l, "IMAP4rev2"), uses_offered = rev2 || imap_link_can(l, "SPECIAL-USE");

    s->extended = rev2 || imap_link_can(l, "LIST-EXTENDED");
    if ((rev2 || imap_link_can(l, "NAMESPACE")) && !imap_link_run(l, on_namespace, s, &result, why, "NAMESPACE"))
        return false;
    if (!imap_link_run(l, on_list, s, &result, why, "LIST \"\" \"*\"%s",
                       !s->extended ? "" : uses_offered ? " RETURN (SUBSCRIBED SPECIAL-USE)" : " RETURN (SUBSCRIBED)"))
        return false;
    if (result.status != IMAP_OK)
        return imap_refused(&result, FAIL_OTHER, "LIST", why);
    s->lsub = true;
    if (!s->extended && !imap_link_run(l, on_list, s, &result, why, "LSUB \"\" \"*\""))
        return false;
    choose(r);
    index_again(s);
    return count_messages(s, why);
}

enum imap_step imap_list_all(struct imap_run *r, void *unused, struct fail *why)
{
    struct listing s = {.run = r};

    (void)unused;
    r->mailbox_count = 0;
    r->gmail = imap_link_can(&r->link, "X-GM-EXT-1");
    map_init(&s.by_wire);
    map_init(&s.by_name);
    bool ok = list_all(&s, why);
    map_finish(&s.by_wire);
    map_finish(&s.by_name);
    return ok ? IMAP_STEP_DONE : imap_link_is_open(&r->link) ? IMAP_STEP_FATAL : IMAP_STEP_LINK;
}
