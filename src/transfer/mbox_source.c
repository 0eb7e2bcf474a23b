/*
 * transfer/mbox_source.c - mail from mbox files: one, or a tree of them.
 *
 * Layer: transfer.  Files are opened relative to their folder, never through symbolic links, and must be
 * regular files.
 */
#include "transfer/mbox_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/unicode.h"
#include "transfer/files.h"

enum { DEPTH_MAX = 32, PATH_SHOWN = 4000, NAME_ARENA = 64 * 1024, OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };

struct walk {
    const struct mbox_source   *source;
    const struct transfer_into *into;
    bool                        count; /* sizes only */
    uint64_t                    messages, bytes, all_bytes;
    struct mbox_aside           aside;
};

/* ---- names ---- */

/* Files that programs keep beside an mbox. */
static bool is_by_work(struct slice name)
{
    static const char *const ends[] = {".msf", ".dat", ".json", ".html", ".sqlite", ".log", ".lock", ".mozmsgs", ".plist", "~"};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (slice_ends(name, slice_of(ends[i])))
            return true;
    return slice_starts(name, SLICE(".")) && !slice_ends(name, SLICE(".mbox")) && !slice_ends(name, SLICE(".sbd"));
}

static struct slice without(struct slice name, struct slice end)
{
    return slice_ends(name, end) && name.len > end.len ? slice_sub(name, 0, name.len - end.len) : name;
}

/* One level of a mailbox's name. */
static struct slice level_of(struct arena *a, struct slice file)
{
    struct slice name = without(without(without(file, SLICE(".mbox")), SLICE(".mbx")), SLICE(".sbd")), out;
    struct buf   clean;

    if (utf7_decode(a, name, &out) || utf8_valid(name))
        return slice_find_char(name, '&') < name.len && utf7_decode(a, name, &out) ? out : arena_keep(a, name);
    buf_init(&clean, 3 * name.len + 1);
    utf8_add_clean(&clean, name);
    out = arena_keep(a, buf_slice(&clean));
    buf_finish(&clean);
    return out;
}

static struct slice name_below(struct arena *a, struct slice above, struct slice file)
{
    struct slice level = level_of(a, file);

    if (above.len == 0 && (slice_eq_nocase(level, SLICE("inbox")) || slice_eq(level, SLICE("mbox"))))
        return SLICE("INBOX");
    return above.len == 0 ? level : arena_printf(a, PRIslice "/" PRIslice, SLICE_ARG(above), SLICE_ARG(level));
}

/* ---- one file ---- */

static bool read_at(void *ctx, uint64_t offset, void *out, size_t n, size_t *got, struct fail *why)
{
    for (;;) {
        ssize_t r = pread(*(const int *)ctx, out, n, (off_t)offset);
        if (r >= 0) {
            *got = (size_t)r;
            return true;
        }
        if (errno != EINTR)
            return fail_errno(why, errno, "reading");
    }
}

/* UIDs hold while they ascend; one that does not, or is missing, ends that for all behind it. */
struct uids {
    bool     hold;
    uint32_t last;
};

static bool adjust(void *ctx, const struct mbox_message *m, struct mbox_adjust *told)
{
    struct uids *u = ctx;

    u->hold = u->hold && m->uid > u->last;
    told->uid = u->hold ? m->uid : 0;
    u->last = u->hold ? m->uid : u->last;
    return true;
}

static bool tell_plain(struct mbox_file *f, struct fail *why)
{
    const struct mbox_base *base = mbox_base_of(f->mbox);
    struct transfer_mailbox box = {.name = f->name, .uidvalidity = base->uidvalidity, .subscribed = f->subscribed};
    struct uids             uids = {.hold = base->uidvalidity != 0};
    struct mbox_seen       *seen = mbox_seen_create();
    struct arena            names;
    bool                    whole = true;
    enum mbox_step          step = MBOX_FAILED;

    arena_init(&names, NAME_ARENA);
    box.source = transfer_source(&names, "mbox", f->shown, SLICE(""));
    box.uidnext = base->uidvalidity != 0 ? base->last_uid + 1 : 0;
    if (f->into->mailbox(f->into->ctx, &box, why))
        do
            step = mbox_tell_next(f, seen, adjust, &uids, &whole, why);
        while (step == MBOX_MESSAGE);
    mbox_seen_destroy(&seen);
    arena_finish(&names);
    return step == MBOX_END && f->into->mailbox_end(f->into->ctx, whole, why);
}

static void leave_out(struct walk *w, const char *shown, const char *reason)
{
    if (!w->count)
        w->into->left_out(w->into->ctx, slice_of(shown), reason);
}

static bool tell_file(struct walk *w, int fd, const char *shown, struct slice name, struct fail *why)
{
    struct mbox_input in = {read_at, &fd};
    struct mbox_file  f = {.source = w->source, .into = w->into, .shown = shown, .name = name, .messages = &w->messages, .bytes = &w->bytes,
                           .all_bytes = w->all_bytes};
    struct stat       st;

    if (fstat(fd, &st) != 0)
        return fail_errno(why, errno, "%s", shown);
    if (w->count) {
        w->all_bytes += (uint64_t)st.st_size;
        return true;
    }
    if (!mbox_open(&in, w->source->dialect, &f.mbox, why)) {
        if (why->reason != FAIL_INVALID)
            return fail_at(why, "%s", shown);
        if (!is_by_work(slice_from(slice_of(shown), slice_rfind_char(slice_of(shown), '/') + 1)))
            leave_out(w, shown, why->text);
        return true;
    }
    f.subscribed = mbox_aside_is_subscribed(&w->aside, name);
    bool ok = mbox_base_of(f.mbox)->has_labels && w->source->mailbox.len == 0 ? takeout_tell(&f, why) : tell_plain(&f, why);
    mbox_close(&f.mbox);
    return ok;
}

/* ---- a tree ---- */

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct names {
    char **list;
    size_t count;
};

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->list[i]);
    free(n->list);
}

/* The names in a folder in their order; the descriptor stays the caller's. */
static bool list_folder(int fd, const char *shown, struct names *out, struct fail *why)
{
    int                  copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR                 *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *e;

    if (dir == NULL) {
        int error = errno;
        if (copy >= 0)
            (void)close(copy);
        return fail_errno(why, error, "%s", shown);
    }
    rewinddir(dir);
    while ((e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        out->list = xrealloc(out->list, (out->count + 1) * sizeof *out->list);
        out->list[out->count++] = xstrdup(e->d_name);
    }
    (void)closedir(dir);
    if (out->count > 0)
        qsort(out->list, out->count, sizeof *out->list, by_bytes);
    return true;
}

static bool walk_folder(struct walk *w, int folder, const char *shown, struct slice above, unsigned depth, struct fail *why);

static bool walk_entry(struct walk *w, int folder, const char *shown, const char *file, struct slice above, unsigned depth, struct fail *why)
{
    SCOPED(scoped_close) int fd = openat(folder, file, OPEN_FLAGS);
    char                     path[PATH_SHOWN];
    struct stat              st;
    struct arena             a;
    bool                     ok = true;

    if (snprintf(path, sizeof path, "%s/%s", shown, file) >= (int)sizeof path) {
        leave_out(w, shown, "too long a path in it");
        return true;
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (!is_by_work(slice_of(file)))
            leave_out(w, path, errno == ELOOP ? "a symbolic link, which is not followed" : errno_text(errno));
        return true;
    }
    arena_init(&a, NAME_ARENA);
    struct slice name = name_below(&a, above, slice_of(file));
    if (S_ISDIR(st.st_mode) && !is_by_work(slice_of(file))) {
        SCOPED(scoped_close) int inner = slice_ends(slice_of(file), SLICE(".mbox")) ? openat(fd, "mbox", OPEN_FLAGS) : -1;
        if (inner >= 0) /* Apple Mail */
            ok = tell_file(w, inner, path, name, why);
        else if (above.len == 0 && slice_eq(slice_of(file), SLICE("sieve")))
            ok = true; /* see mbox_aside.c */
        else if (depth == DEPTH_MAX)
            leave_out(w, path, "too many folders in each other");
        else
            ok = walk_folder(w, fd, path, name, depth + 1, why);
    } else if (S_ISREG(st.st_mode)) {
        ok = tell_file(w, fd, path, name, why);
    } else if (!S_ISDIR(st.st_mode) && !is_by_work(slice_of(file))) {
        leave_out(w, path, "no file");
    }
    arena_finish(&a);
    return ok;
}

static bool walk_folder(struct walk *w, int folder, const char *shown, struct slice above, unsigned depth, struct fail *why)
{
    SCOPED(names_free) struct names names = {0};

    if (!list_folder(folder, shown, &names, why))
        return false;
    for (size_t i = 0; i < names.count; i++)
        if (!walk_entry(w, folder, shown, names.list[i], above, depth, why))
            return false;
    return true;
}

/* The single file's mailbox. */
static struct slice single_name(const struct mbox_source *s, struct arena *a)
{
    struct slice path = slice_of(s->path), file = slice_from(path, slice_rfind_char(path, '/') < path.len ? slice_rfind_char(path, '/') + 1 : 0);

    if (s->mailbox.len > 0)
        return s->mailbox;
    return s->inbox.len > 0 && slice_eq(file, s->inbox) ? SLICE("INBOX") : name_below(a, (struct slice){0}, file);
}

bool mbox_source_read(void *ctx, const struct transfer_into *into, struct fail *why)
{
    const struct mbox_source *s = ctx;
    struct walk               w = {.source = s, .into = into, .count = true};
    SCOPED(scoped_close) int  fd = files_start(s->root, s->path, why);
    struct stat               st;
    struct arena              a;
    bool                      ok;

    if (fd < 0)
        return false;
    SCOPED(scoped_free) char *path = files_path(fd, why); /* whole: two folders may have an "inbox" each */
    if (path == NULL)
        return false;
    if (fstat(fd, &st) != 0)
        return fail_errno(why, errno, "%s", s->path);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is neither a file nor a folder", s->path);
    if (S_ISDIR(st.st_mode)) {
        mbox_aside_read(&w.aside, fd);
        ok = walk_folder(&w, fd, path, (struct slice){0}, 0, why);
        w.count = false;
        ok = ok && walk_folder(&w, fd, path, (struct slice){0}, 0, why) && mbox_aside_tell(&w.aside, fd, into, why);
        mbox_aside_finish(&w.aside);
        return ok;
    }
    arena_init(&a, NAME_ARENA);
    w.count = false;
    w.all_bytes = (uint64_t)st.st_size;
    ok = tell_file(&w, fd, path, single_name(s, &a), why);
    arena_finish(&a);
    return ok;
}
