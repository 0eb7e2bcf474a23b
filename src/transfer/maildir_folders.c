/*
 * transfer/maildir_folders.c - which mailboxes a Maildir has, and which are subscribed to.
 *
 * Layer: transfer.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "transfer/files.h"
#include "transfer/maildir_internal.h"
#include "transfer/maildir_names.h"

enum { DEPTH_MOST = 30, SUBSCRIPTIONS_MOST = 4 << 20, FOLDERS_MOST = 100000 };

bool maildir_is_one(int folder)
{
    struct stat st;

    return fstatat(folder, "cur", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int maildir_descend(int from, const char *path, struct fail *why)
{
    struct slice rest = slice_of(path);
    int          fd = files_folder(from, ".", why);

    while (fd >= 0 && rest.len > 0) {
        char *level = xslicedup(slice_cut(&rest, '/'));
        int   below = files_folder(fd, level, why);
        free(level);
        (void)close(fd);
        fd = below;
    }
    return fd;
}

/* Links are not followed, but one that leads to a folder is told of: it may have been a mailbox. */
static bool is_folder(int at, const struct dirent *entry, bool *link)
{
    struct stat st;

    *link = false;
    if (entry->d_type == DT_DIR)
        return true;
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return false;
    if (fstatat(at, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    *link = S_ISLNK(st.st_mode) && fstatat(at, entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
    return !*link && S_ISDIR(st.st_mode);
}

static void add_folder(struct maildir *m, struct slice name, struct slice path, bool is_inbox)
{
    struct maildir_folder *f = arena_new(&m->arena, struct maildir_folder);

    *f = (struct maildir_folder){.name = name, .path = arena_cstr(&m->arena, path), .is_inbox = is_inbox};
    *m->tail = f;
    m->tail = &f->next;
}

static bool is_own_part(struct slice name)
{
    return slice_eq(name, SLICE("cur")) || slice_eq(name, SLICE("new")) || slice_eq(name, SLICE("tmp"));
}

/* Folders of programs: no mail is missed in them, unless they are mailboxes after all (a list called "dovecot"). */
static bool is_known_other(struct slice name)
{
    static const struct slice names[] = {SLICE("sieve"),
                                         SLICE("courierimapkeywords"), SLICE("courierimaphieracl"), SLICE(".notmuch"),
                                         SLICE("virtual"), SLICE("dovecot-attributes"), SLICE("fts-flatcurve"),
                                         SLICE("xapian-indexes"), SLICE("lucene-indexes")};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq(name, names[i]))
            return true;
    return slice_starts(name, SLICE(".dovecot")) || slice_starts(name, SLICE("dovecot"));
}

struct walk {
    struct maildir             *m;
    const struct transfer_into *into;
    struct fail                *why;
    unsigned                    found;
};

static void leave_out(const struct walk *w, struct slice what, const char *reason)
{
    w->into->left_out(w->into->ctx, what, reason);
}

static bool walk_fs(struct walk *w, int at, struct slice path, unsigned depth, unsigned *found);

/* One folder of it, and what lies below. */
static bool walk_fs_folder(struct walk *w, int at, const char *name, struct slice path, unsigned depth, unsigned *found)
{
    SCOPED(scoped_close) int fd = files_folder(at, name, NULL);
    unsigned                 inside = 0;

    if (fd < 0 || depth > DEPTH_MOST || w->found >= FOLDERS_MOST) {
        leave_out(w, path, fd < 0 ? "a folder that cannot be opened" : depth > DEPTH_MOST ? "too deep a folder" : "too many folders");
        return true;
    }
    if (maildir_is_one(fd)) {
        add_folder(w->m, maildir_mailbox_name(&w->m->arena, path, '/'), path, false);
        inside++;
        w->found++;
    }
    if (!walk_fs(w, fd, path, depth + 1, &inside))
        return false;
    if (inside == 0 && depth == 0 && !is_known_other(slice_of(name)))
        leave_out(w, path, "a folder without a Maildir in it");
    *found += inside;
    return true;
}

/* LAYOUT=fs: mailboxes are folders within each other.  Counts those that were found at or below. */
static bool walk_fs(struct walk *w, int at, struct slice path, unsigned depth, unsigned *found)
{
    int                  copy = files_folder(at, ".", w->why);
    DIR                 *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    bool                 ok = true, link;

    if (dir == NULL)
        return false;
    while (ok && (entry = readdir(dir)) != NULL) {
        struct slice name = slice_of(entry->d_name);
        if (name.ptr[0] == '.' || is_own_part(name))
            continue;
        bool         folder = is_folder(at, entry, &link);
        struct slice below = !folder && !link ? SLICE("")
                             : path.len == 0  ? arena_keep(&w->m->arena, name)
                                              : arena_printf(&w->m->arena, PRIslice "/" PRIslice, SLICE_ARG(path), SLICE_ARG(name));
        if (link && !is_known_other(name))
            leave_out(w, below, "a symbolic link, which is not followed");
        else if (folder)
            ok = walk_fs_folder(w, at, entry->d_name, below, depth, found);
    }
    (void)closedir(dir);
    return ok;
}

static void take_plus(struct walk *w, const char *file)
{
    struct maildir *m = w->m;
    struct slice    name = slice_of(file);

    SCOPED(scoped_close) int fd = files_folder(m->root, file, NULL);
    if (fd < 0 || !maildir_is_one(fd)) {
        if (!is_known_other(name))
            leave_out(w, name, fd < 0 ? "a folder that cannot be opened" : "a folder without cur/: no Maildir");
        return;
    }
    if (w->found >= FOLDERS_MOST) {
        leave_out(w, name, "too many folders");
        return;
    }
    struct slice here = maildir_mailbox_name(&m->arena, slice_from(name, 1), '.');
    bool         inbox = slice_eq_nocase(here, SLICE("INBOX")) && m->first == NULL;
    add_folder(m, inbox ? SLICE("INBOX") : here, name, inbox);
    w->found++;
}

/* Maildir++: ".A.B" beside cur, new and tmp. */
static bool walk_plus(struct walk *w)
{
    int                  copy = files_folder(w->m->root, ".", w->why);
    DIR                 *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    bool                 link;

    if (dir == NULL)
        return false;
    while ((entry = readdir(dir)) != NULL) {
        struct slice name = slice_of(entry->d_name);
        if (name.len < 2 || name.ptr[0] != '.' || slice_eq(name, SLICE("..")))
            continue;
        if (is_folder(w->m->root, entry, &link))
            take_plus(w, entry->d_name);
        else if (link && !is_known_other(name))
            leave_out(w, name, "a symbolic link, which is not followed");
    }
    (void)closedir(dir);
    return true;
}

/* ---- subscriptions ---- */

static bool is_mailbox(const struct maildir *m, struct slice name)
{
    for (const struct maildir_folder *f = m->first; f != NULL; f = f->next)
        if (slice_eq(f->name, name))
            return true;
    return false;
}

/* A line of version 1 may have the namespace's prefix and any separator; the mailboxes that there are decide. */
static struct slice subscribed_name(struct maildir *m, struct slice line)
{
    static const char separators[] = {'\t', '/', '.'};
    struct slice      without = slice_starts_nocase(line, SLICE("INBOX.")) || slice_starts_nocase(line, SLICE("INBOX/"))
                                    ? slice_from(line, 6) : SLICE("");

    for (size_t i = 0; i < ARRAY_LEN(separators); i++) {
        struct slice name = maildir_mailbox_name(&m->arena, line, separators[i]);
        struct slice other = maildir_mailbox_name(&m->arena, without, separators[i]);
        if (is_mailbox(m, name))
            return name;
        if (other.len > 0 && is_mailbox(m, other))
            return other;
    }
    return maildir_mailbox_name(&m->arena, line, slice_find_char(line, '\t') < line.len ? '\t' : '.');
}

static bool read_subscriptions(struct maildir *m, struct fail *why)
{
    struct buf   text;
    struct slice rest;
    size_t       cap = 0;

    buf_init(&text, SUBSCRIPTIONS_MOST);
    if (!files_read(m->control >= 0 ? m->control : m->root, "subscriptions", &text, &m->has_subscriptions, why)) {
        buf_finish(&text);
        return false;
    }
    rest = buf_slice(&text);
    if (slice_starts(rest, SLICE("V\t"))) /* version 2; a blank line follows */
        (void)slice_cut(&rest, '\n');
    for (size_t i = 0; i < rest.len; i++)
        cap += rest.ptr[i] == '\n';
    m->subscribed = arena_new_array(&m->arena, struct slice, cap + 1);
    while (rest.len > 0) {
        struct slice line = slice_trim(slice_cut(&rest, '\n'));
        if (line.len > 0)
            m->subscribed[m->subscribed_count++] = subscribed_name(m, line);
    }
    buf_finish(&text);
    for (struct maildir_folder *f = m->first; f != NULL; f = f->next) {
        f->subscribed = !m->has_subscriptions || f->is_inbox; /* who has no list is shown all */
        for (size_t i = 0; i < m->subscribed_count && !f->subscribed; i++)
            f->subscribed = slice_eq(m->subscribed[i], f->name);
    }
    return true;
}

bool maildir_find_folders(struct maildir *m, const struct transfer_into *into, struct fail *why)
{
    struct walk w = {.m = m, .into = into, .why = why};
    unsigned    found = 0;

    if (m->inbox >= 0 ? maildir_is_one(m->inbox) : maildir_is_one(m->root))
        add_folder(m, SLICE("INBOX"), SLICE(""), true);
    if (!walk_plus(&w) || !walk_fs(&w, m->root, SLICE(""), 0, &found))
        return false;
    for (const struct maildir_folder *f = m->first; f != NULL; f = f->next) {
        SCOPED(scoped_close) int fd = f->is_inbox && f->path[0] == '\0' && m->inbox >= 0
                                          ? maildir_descend(m->inbox, "", NULL) : maildir_descend(m->root, f->path, NULL);
        m->all += fd >= 0 ? maildir_count(fd) : 0;
    }
    return read_subscriptions(m, why);
}
