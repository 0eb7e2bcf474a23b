/*
 * transfer/maildir.c - mail in Maildirs, told.
 *
 * Layer: transfer.
 */
#include "transfer/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/scoped.h"
#include "store/maildrop.h"
#include "transfer/files.h"
#include "transfer/maildir_internal.h"
#include "transfer/maildir_names.h"

enum { LETTERS = 26, KEYWORDS_FILE_MOST = 64 << 10, KEY_MOST = 250, PROGRESS_EVERY = 64 };

static const char default_uidl_format[] = "%08Xu%08Xv"; /* Dovecot's own default */

/* One mailbox while it is told. */
struct telling {
    struct maildir             *m;
    const struct maildir_folder *folder;
    const struct transfer_into *into;
    struct fail                *why;
    int                         at, cur, fresh; /* the folder, cur/ and new/ */
    struct maildir_scan         scan;
    struct maildir_scan         again; /* what was there when a file was missed; ordered by base name */
    bool                        has_again;
    struct arena                arena;
    struct slice                keywords[LETTERS];
    bool                        has_letters, has_bad_uidl;
};

/* ---- keywords ---- */

/* dovecot-keywords: "0 NonJunk" is the letter 'a'. */
static bool read_keywords(struct telling *t, int control)
{
    struct buf text;
    bool       there;

    buf_init(&text, KEYWORDS_FILE_MOST);
    bool ok = files_read(control, "dovecot-keywords", &text, &there, t->why);
    for (struct slice rest = buf_slice(&text); ok && rest.len > 0;) {
        struct slice line = slice_trim(slice_cut(&rest, '\n')), digits = slice_cut(&line, ' ');
        uint64_t     letter;
        if (slice_to_u64(digits, LETTERS - 1, &letter) && line.len > 0)
            t->keywords[letter] = arena_keep(&t->arena, line);
    }
    buf_finish(&text);
    return ok;
}

static size_t keywords_of(struct telling *t, bool passed, uint32_t letters, struct slice *out)
{
    size_t n = 0;

    if (passed)
        out[n++] = SLICE("$Forwarded");
    for (unsigned i = 0; i < LETTERS; i++) {
        if ((letters >> i & 1) == 0)
            continue;
        if (t->keywords[i].len > 0)
            out[n++] = t->keywords[i];
        else
            t->has_letters = true; /* without a name: nobody can say what it means */
    }
    return n;
}

/* ---- files ---- */

static void describe(const struct telling *t, const struct maildir_entry *e, struct buf *out)
{
    buf_init(out, SIZE_MAX);
    if (t->folder->path[0] != '\0')
        buf_addf(out, "%s/", t->folder->path);
    buf_addf(out, "%s/%s", e->is_new ? "new" : "cur", e->name);
}

static void leave_out(struct telling *t, const struct maildir_entry *e, const char *reason)
{
    struct buf what;

    describe(t, e, &what);
    t->into->left_out(t->into->ctx, buf_slice(&what), reason);
    buf_finish(&what);
}

/* Under which name is it now?  The folder is looked at again where what was seen last does not help. */
static bool find_again(struct telling *t, struct maildir_entry *e, bool look, bool *found)
{
    struct slice base = slice_make(e->name, e->base);

    *found = false;
    if (look || !t->has_again) {
        if (t->has_again)
            maildir_scan_finish(&t->again);
        t->has_again = maildir_scan_files(t->at, &t->again, t->why);
        if (!t->has_again)
            return false;
    }
    const struct maildir_entry *now = maildir_scan_find(&t->again, base);
    if (now == NULL)
        return true;
    *found = now->is_new != e->is_new || !slice_eq(slice_of(now->name), slice_of(e->name));
    e->name = arena_cstr(&t->scan.arena, slice_of(now->name));
    e->is_new = now->is_new;
    return true;
}

/* A file that a server renamed meanwhile is found again. */
static enum file_found read_file(struct telling *t, struct maildir_entry *e, struct body **body, struct file_facts *facts,
                                 struct fail *why)
{
    enum { TRIES = 10 };
    bool found;

    for (int i = 0; i < TRIES; i++) {
        int             at = e->is_new ? t->fresh : t->cur;
        enum file_found is = at >= 0 ? files_message(at, e->name, t->m->options.bodies, body, facts, why) : FILE_IS_GONE;
        if (is != FILE_IS_GONE)
            return is;
        if (!find_again(t, e, i > 0, &found)) {
            *why = *t->why;
            return FILE_FAILED;
        }
        if (!found && i > 0)
            return FILE_IS_GONE;
    }
    return FILE_IS_GONE;
}

/* ---- messages ---- */

static struct slice key_of(struct telling *t, const struct maildir_entry *e)
{
    struct slice base = slice_make(e->name, e->base);

    if (base.len <= KEY_MOST)
        return base;
    return arena_printf(&t->arena, PRIslice "#%016llx", SLICE_ARG(slice_sub(base, 0, 200)),
                        (unsigned long long)hash_for_good(base));
}

static struct slice uidl_for(struct telling *t, const struct maildir_entry *e, struct buf *out)
{
    const char *format = t->m->options.uidl_format != NULL ? t->m->options.uidl_format : default_uidl_format;

    if (e->uidl != NULL && uidl_is_valid(slice_of(e->uidl)))
        return slice_of(e->uidl);
    t->has_bad_uidl = t->has_bad_uidl || e->uidl != NULL; /* no POP3 client has ever seen it */
    if (!t->folder->is_inbox || t->scan.uidvalidity == 0 || format[0] == '\0' ||
        !maildir_uidl(out, slice_of(format), e->uid, t->scan.uidvalidity, slice_make(e->name, e->base)) ||
        !uidl_is_valid(buf_slice(out)))
        return SLICE("");
    return buf_slice(out);
}

static bool tell_read(struct telling *t, struct maildir_entry *e, struct transfer_message *message)
{
    struct body      *body = NULL;
    struct file_facts facts;
    struct fail       local = {0};

    switch (read_file(t, e, &body, &facts, &local)) {
    case FILE_IS_GONE:
        return true;
    case FILE_IS_NO_MAIL:
        leave_out(t, e, local.text);
        return true;
    case FILE_FAILED:
        *t->why = local;
        return false;
    case FILE_IS_READ:
        break;
    }
    bool     passed;
    uint32_t letters;
    struct slice keywords[LETTERS + 1]; /* it may have another name now */
    message->flags = maildir_flags(slice_of(e->name), &passed, &letters);
    message->keywords = keywords;
    message->keyword_count = keywords_of(t, passed, letters, keywords);
    message->internal_date = facts.mtime;
    message->body = body;
    t->m->told_bytes += body_size(body);
    bool ok = t->into->message(t->into->ctx, message, t->why);
    body_destroy(&body);
    return ok;
}

static bool tell_one(struct telling *t, struct maildir_entry *e)
{
    struct slice keywords[LETTERS + 1];
    bool         passed, ok;
    uint32_t     letters;
    struct buf   uidl;

    buf_init(&uidl, 1000);
    struct transfer_message message = {.uid = e->uid, .flags = maildir_flags(slice_of(e->name), &passed, &letters),
                                       .keywords = keywords, .key = key_of(t, e), .uidl = uidl_for(t, e, &uidl)};
    message.keyword_count = keywords_of(t, passed, letters, keywords);
    if (t->into->has(t->into->ctx, &message))
        ok = t->into->message(t->into->ctx, &message, t->why);
    else
        ok = tell_read(t, e, &message);
    buf_finish(&uidl);
    if (++t->m->told % PROGRESS_EVERY == 0 && t->into->progress != NULL)
        t->into->progress(t->into->ctx, t->m->told, t->m->told_bytes, t->m->all, 0);
    return ok;
}

static bool tell_messages(struct telling *t)
{
    for (size_t i = 0; i < t->scan.count; i++) {
        if (!tell_one(t, &t->scan.entries[i]))
            return false;
    }
    if (t->has_letters)
        t->into->left_out(t->into->ctx, t->folder->name, "keywords that dovecot-keywords has no names for");
    if (t->has_bad_uidl)
        t->into->left_out(t->into->ctx, t->folder->name, "unique-ids in dovecot-uidlist that POP3 does not know (RFC 1939 section 7)");
    return true;
}

/* ---- mailboxes ---- */

static struct slice source_of(struct telling *t)
{
    const struct maildir_scan *s = &t->scan;
    struct slice               name;

    if (s->guid.len == 0)
        return transfer_source(&t->arena, "maildir", t->m->real_path, slice_of(t->folder->path));
    name = arena_printf(&t->arena, "maildir G" PRIslice " %s", SLICE_ARG(s->guid), t->folder->path);

    if (name.len <= 400)
        return name;
    return arena_printf(&t->arena, PRIslice "#%016llx", SLICE_ARG(slice_sub(name, 0, 300)),
                        (unsigned long long)hash_for_good(name));
}

static bool tell_scanned(struct telling *t)
{
    struct transfer_mailbox box = {.name = t->folder->name, .uidvalidity = t->scan.uidvalidity, .uidnext = t->scan.uidnext,
                                   .subscribed = t->folder->subscribed, .source = source_of(t)};

    if (t->scan.bad_lines > 0)
        t->into->left_out(t->into->ctx, t->folder->name, "dovecot-uidlist is damaged: some UIDs are lost");
    return t->into->mailbox(t->into->ctx, &box, t->why) && tell_messages(t) &&
           t->into->mailbox_end(t->into->ctx, t->scan.stable, t->why);
}

static bool tell_open(struct telling *t, int control)
{
    struct fail none;

    t->cur = files_folder(t->at, "cur", &none);
    t->fresh = files_folder(t->at, "new", &none);
    arena_init(&t->arena, SIZE_MAX);
    bool ok = maildir_scan_files(t->at, &t->scan, t->why);
    if (ok) {
        ok = read_keywords(t, control) && maildir_scan_uids(&t->scan, control, t->why) && tell_scanned(t);
        maildir_scan_finish(&t->scan);
    }
    if (t->has_again)
        maildir_scan_finish(&t->again);
    arena_finish(&t->arena);
    scoped_close(&t->cur);
    scoped_close(&t->fresh);
    return ok;
}

static bool tell_folder(struct maildir *m, const struct maildir_folder *f, const struct transfer_into *into,
                        struct fail *why)
{
    bool        outside = f->is_inbox && f->path[0] == '\0' && m->inbox >= 0;
    struct fail local = {0};

    SCOPED(scoped_close) int at = maildir_descend(outside ? m->inbox : m->root, f->path, &local);
    SCOPED(scoped_close) int other = m->control >= 0 ? maildir_descend(m->control, f->path, NULL) : -1;
    if (at < 0) {
        into->left_out(into->ctx, f->name, local.text);
        return true;
    }
    struct telling t = {.m = m, .folder = f, .into = into, .why = why, .at = at};
    return tell_open(&t, other >= 0 ? other : at) || fail_at(why, PRIslice, SLICE_ARG(f->name));
}

static bool tell_subscriptions(struct maildir *m, const struct transfer_into *into, struct fail *why)
{
    for (size_t i = 0; into->subscription != NULL && i < m->subscribed_count; i++) {
        bool is_mailbox = false;
        for (const struct maildir_folder *f = m->first; f != NULL && !is_mailbox; f = f->next)
            is_mailbox = slice_eq(f->name, m->subscribed[i]);
        if (!is_mailbox && !into->subscription(into->ctx, m->subscribed[i], why))
            return false;
    }
    return true;
}

bool maildir_read(void *ctx, const struct transfer_into *into, struct fail *why)
{
    struct maildir *m = ctx;
    struct fail     local = {0};

    bool ok = m->first != NULL || maildir_find_folders(m, into, &local);
    for (const struct maildir_folder *f = m->first; ok && f != NULL; f = f->next)
        ok = tell_folder(m, f, into, &local);
    ok = ok && tell_subscriptions(m, into, &local) && maildir_tell_scripts(m, into, &local);
    if (!ok && why != NULL)
        *why = local;
    return ok;
}

/* ---- opening ---- */

static bool has(int at, const char *name)
{
    struct stat st;

    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* What is there instead, in words for who typed the path. */
static bool explain(int root, const char *path, struct fail *why)
{
    if (has(root, "mailboxes") || has(root, "storage/m.1") || has(root, "dbox-Mails") || has(root, "storage/dovecot.map.index"))
        return fail_set(why, FAIL_PERM, FAIL_INVALID,
                        "%s is Dovecot's dbox, which only Dovecot can read: take it over IMAP from the running Dovecot"
                        " (posthorn import imap)", path);
    if (has(root, "Maildir/cur"))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is no Maildir, but %s/Maildir is", path, path);
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is no Maildir: neither it nor any folder in it has a cur/", path);
}

static void ignore(void *ctx, struct slice what, const char *reason)
{
    (void)ctx, (void)what, (void)reason;
}

/* Is there any mailbox?  Looked at once before, so that a wrong path is said at once. */
static bool has_any(struct maildir *m, struct fail *why)
{
    const struct transfer_into nobody = {.left_out = ignore};

    bool ok = maildir_find_folders(m, &nobody, why) && (m->first != NULL || explain(m->root, m->real_path, why));
    /* It is done again when it is told, with what is left out. */
    m->first = NULL;
    m->tail = &m->first;
    m->subscribed_count = 0;
    m->all = 0;
    return ok;
}

static int start(const struct maildir *m, const char *path, struct fail *why)
{
    SCOPED(scoped_close) int fd = files_start(m->options.root, path, why);

    struct stat              st;

    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is no folder", path);
        return -1;
    }
    return fd >= 0 ? files_folder(fd, ".", why) : -1;
}

bool maildir_open(const char *path, const struct maildir_options *options, struct maildir **out, struct fail *why)
{
    struct maildir *m = xcalloc(1, sizeof *m);

    m->options = *options;
    m->tail = &m->first;
    m->inbox = m->control = -1;
    arena_init(&m->arena, SIZE_MAX);
    m->root = start(m, path, why);
    bool ok = m->root >= 0 && (m->real_path = files_path(m->root, why)) != NULL;
    if (ok && options->inbox != NULL)
        ok = (m->inbox = start(m, options->inbox, why)) >= 0;
    if (ok && options->control != NULL)
        ok = (m->control = start(m, options->control, why)) >= 0;
    if (!ok || !has_any(m, why)) {
        maildir_destroy(&m);
        return false;
    }
    *out = m;
    return true;
}

void maildir_destroy(struct maildir **maildir)
{
    struct maildir *m = *maildir;

    if (m == NULL)
        return;
    scoped_close(&m->root);
    scoped_close(&m->inbox);
    scoped_close(&m->control);
    free(m->real_path);
    arena_finish(&m->arena);
    free(m);
    *maildir = NULL;
}
