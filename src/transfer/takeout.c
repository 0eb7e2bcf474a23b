/*
 * transfer/takeout.c - Google Takeout: one mbox that holds all mailboxes.
 *
 * Layer: transfer.  The file is read once to learn which message goes where (12 bytes are kept of each), then once for
 * each mailbox by seeking.
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/unicode.h"
#include "transfer/mbox_source.h"

enum { LABEL_MAX = 1000, MAILBOXES_MAX = 10000, ARENA_MAX = 16 << 20 };

/* Where a label puts a message, or what it says of it. */
static const struct place {
    const char *label, *mailbox;
    enum special_use use;
    bool first; /* before all other labels */
} places[] = {
    {"Trash", "Trash", USE_TRASH, true},   {"Spam", "Junk", USE_JUNK, true},     {"Inbox", "INBOX", USE_NONE, false},
    {"Sent", "Sent", USE_SENT, false},     {"Drafts", "Drafts", USE_DRAFTS, false}, {"Draft", "Drafts", USE_DRAFTS, false},
};
static const char *const states[] = {"Archived", "Opened", "Unread", "Starred", "Important"};

struct verdict {
    struct slice     mailbox;
    enum special_use use;
    uint32_t         flags;
    struct slice     keywords[MBOX_KEYWORDS_MAX];
    size_t           keyword_count;
};

static bool is_state(struct slice label)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (slice_eq_nocase(label, slice_of(states[i])))
            return true;
    return slice_starts_nocase(label, SLICE("Category "));
}

static const struct place *place_of(struct slice label)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (slice_eq_nocase(label, slice_of(places[i].label)))
            return &places[i];
    return NULL;
}

/* Labels are separated by commas; one with a comma in it stands in quotes. */
static struct slice next_label(struct slice *rest)
{
    struct slice label;

    *rest = slice_trim(*rest);
    if (!slice_starts(*rest, SLICE("\"")))
        return slice_trim(slice_cut(rest, ','));
    *rest = slice_from(*rest, 1);
    label = slice_cut(rest, '"');
    (void)slice_cut(rest, ',');
    return slice_trim(label);
}

/* A keyword is an atom (RFC 9051 section 2.3.2): letters beyond ASCII in modified UTF-7, what atoms cannot hold as "_". */
static void add_keyword(struct verdict *v, struct arena *a, struct slice label)
{
    struct buf text;

    if (v->keyword_count == MBOX_KEYWORDS_MAX || label.len == 0)
        return;
    buf_init(&text, 4 * LABEL_MAX);
    utf7_encode(&text, label);
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] <= ' ' || (unsigned char)text.data[i] >= 0x7f || strchr("(){%*\"\\]", text.data[i]) != NULL)
            text.data[i] = '_';
    v->keywords[v->keyword_count++] = arena_keep(a, buf_slice(&text));
    buf_finish(&text);
}

static void judge(struct arena *a, const struct mbox_message *m, struct verdict *out)
{
    bool         unread = false, first = false;
    struct slice label;

    *out = (struct verdict){.flags = m->flags};
    for (struct slice rest = m->labels; rest.len > 0;) { /* where it goes */
        label = next_label(&rest);
        const struct place *p = place_of(label);
        if (label.len == 0 || label.len > LABEL_MAX || is_state(label) || first || (out->mailbox.len > 0 && (p == NULL || !p->first)))
            continue;
        first = p != NULL && p->first;
        out->mailbox = p != NULL ? slice_of(p->mailbox) : label;
        out->use = p != NULL ? p->use : USE_NONE;
    }
    if (out->mailbox.len == 0) {
        out->mailbox = SLICE("Archive");
        out->use = USE_ARCHIVE;
    }
    for (struct slice rest = m->labels; rest.len > 0;) { /* and the other labels */
        label = next_label(&rest);
        unread = unread || slice_eq_nocase(label, SLICE("Unread"));
        if (slice_eq_nocase(label, SLICE("Starred")))
            out->flags |= STORE_FLAGGED;
        else if (slice_eq_nocase(label, SLICE("Important")))
            add_keyword(out, a, SLICE("$Important")); /* RFC 8457 */
        else if (slice_starts_nocase(label, SLICE("Draft")) && place_of(label) != NULL)
            out->flags |= STORE_DRAFT;
        else if (label.len > 0 && label.len <= LABEL_MAX && !is_state(label) && place_of(label) == NULL && !slice_eq(label, out->mailbox))
            add_keyword(out, a, label);
    }
    if (!unread)
        out->flags |= STORE_SEEN;
}

/* ---- the two readings ---- */

struct row {
    uint64_t offset;
    uint32_t mailbox;
};

struct sorting {
    struct arena  arena;   /* the mailboxes' names */
    struct arena  message; /* of the present one */
    struct map    by_name; /* to their number, from 1 */
    struct { struct slice name; enum special_use use; } mailboxes[MAILBOXES_MAX];
    size_t        mailbox_count;
    struct row   *rows;
    size_t        count, cap;
};

static bool sort_message(struct sorting *s, const struct mbox_message *m, struct fail *why)
{
    struct verdict v;

    arena_reset(&s->message);
    judge(&s->message, m, &v);
    uintptr_t at = (uintptr_t)map_get(&s->by_name, v.mailbox);
    if (at == 0) {
        if (s->mailbox_count == MAILBOXES_MAX)
            return fail_set(why, FAIL_PERM, FAIL_LIMIT, "more than %d labels", MAILBOXES_MAX);
        s->mailboxes[s->mailbox_count].name = arena_keep(&s->arena, v.mailbox);
        s->mailboxes[s->mailbox_count].use = v.use;
        at = ++s->mailbox_count;
        (void)map_put(&s->by_name, v.mailbox, (void *)at);
    }
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 1024;
        s->rows = xrealloc(s->rows, s->cap * sizeof *s->rows);
    }
    s->rows[s->count++] = (struct row){m->offset, (uint32_t)at - 1};
    return true;
}

static bool adjust(void *ctx, const struct mbox_message *m, struct mbox_adjust *told)
{
    struct sorting *s = ctx;
    struct verdict *v;

    arena_reset(&s->message);
    v = arena_new(&s->message, struct verdict);
    if (v == NULL)
        return true;
    judge(&s->message, m, v);
    *told = (struct mbox_adjust){.flags = v->flags, .keywords = v->keywords, .keyword_count = v->keyword_count};
    return true;
}

static bool tell_mailbox(struct mbox_file *f, struct sorting *s, uint32_t at, struct fail *why)
{
    struct buf              source;
    struct transfer_mailbox box = {.name = s->mailboxes[at].name, .use = s->mailboxes[at].use, .subscribed = true};
    struct mbox_seen       *seen;
    bool                    whole = true, ok;

    buf_init(&source, 500);
    buf_addf(&source, "takeout:" PRIslice, SLICE_ARG(slice_sub(box.name, 0, 400)));
    box.source = buf_slice(&source);
    ok = f->into->mailbox(f->into->ctx, &box, why);
    seen = mbox_seen_create();
    for (size_t i = 0; ok && i < s->count; i++) {
        if (s->rows[i].mailbox != at)
            continue;
        mbox_seek(f->mbox, s->rows[i].offset);
        ok = mbox_tell_next(f, seen, adjust, s, &whole, why) == MBOX_MESSAGE;
    }
    mbox_seen_destroy(&seen);
    buf_finish(&source);
    return ok && f->into->mailbox_end(f->into->ctx, whole, why);
}

bool takeout_tell(struct mbox_file *f, struct fail *why)
{
    struct sorting     *s = xcalloc(1, sizeof *s);
    struct mbox_message m;
    enum mbox_step      step;

    arena_init(&s->arena, ARENA_MAX);
    arena_init(&s->message, 1 << 20);
    map_init(&s->by_name);
    mbox_seek(f->mbox, 0);
    while ((step = mbox_next(f->mbox, NULL, &m, why)) == MBOX_MESSAGE)
        if (!sort_message(s, &m, why)) {
            step = MBOX_FAILED;
            break;
        }
    bool ok = step == MBOX_END;
    for (uint32_t i = 0; ok && i < s->mailbox_count; i++)
        ok = tell_mailbox(f, s, i, why);
    map_finish(&s->by_name);
    arena_finish(&s->message);
    arena_finish(&s->arena);
    free(s->rows);
    free(s);
    return ok;
}
