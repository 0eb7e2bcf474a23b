/*
 * transfer/writer.c - mail written into files: what both formats share.
 *
 * Layer: transfer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "base/unicode.h"
#include "transfer/writer_internal.h"

enum { SUBSCRIPTIONS_MAX = 64 << 20, KEYWORDS_MAX = 1 << 20 };

void writer_leave_out(struct writer *w, struct slice what, const char *reason)
{
    w->summary.left_out++;
    w->options.left_out(w->options.ctx, what, reason);
}

size_t writer_keyword(struct writer_box *b, struct slice name)
{
    uintptr_t at = (uintptr_t)map_get(&b->keywords, name);

    if (at == 0) {
        at = ++b->keyword_count;
        (void)map_put(&b->keywords, name, (void *)at);
        buf_add_char(&b->keyword_names, ' ');
        buf_add(&b->keyword_names, name);
    }
    return at;
}

void writer_add_level(struct buf *out, struct slice level, bool maildir)
{
    struct buf text;

    buf_init(&text, 8 * level.len + 16);
    utf7_encode(&text, level);
    for (size_t i = 0; i < text.len; i++)
        if (maildir && text.data[i] == '.')
            buf_add(out, SLICE("\\2e"));
        else
            buf_add_char(out, text.data[i]);
    buf_finish(&text);
}

int writer_folder(int parent, const char *name, struct fail *why)
{
    if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST) {
        (void)fail_errno(why, errno, "folder %s", name);
        return -1;
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        (void)fail_errno(why, errno, "folder %s", name);
    return fd;
}

int writer_file(int folder, const char *name)
{
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* ---- lines of a body ---- */

void body_lines_init(struct body_lines *l, const struct body *b)
{
    l->body = b;
    l->offset = 0;
    l->at = l->len = 0;
    l->in_line = false;
}

bool body_lines_next(struct body_lines *l, struct body_line *line, struct fail *why)
{
    struct slice left = slice_make(l->data + l->at, l->len - l->at);
    size_t       lf = slice_find_char(left, '\n'), got;

    if (lf == left.len) {
        memmove(l->data, l->data + l->at, left.len);
        l->at = 0;
        l->len = left.len;
        if (!body_read(l->body, l->offset, l->data + l->len, sizeof l->data - l->len, &got, why))
            return false;
        l->offset += got;
        l->len += got;
        left = slice_make(l->data, l->len);
        lf = slice_find_char(left, '\n');
    }
    line->begins = !l->in_line;
    line->text = slice_sub(left, 0, lf < left.len ? lf + 1 : left.len);
    if (lf == left.len && left.len == sizeof l->data && left.ptr[left.len - 1] == '\r')
        line->text.len--; /* its LF may be next */
    l->in_line = lf == left.len;
    l->at += line->text.len;
    return true;
}

bool body_look(const struct body *b, struct body_look *out, struct fail *why)
{
    char     piece[16 * 1024], last = '\0';
    uint64_t cr = 0;
    size_t   got = 0;

    *out = (struct body_look){0};
    for (uint64_t at = 0; at < body_size(b); at += got) {
        if (!body_read(b, at, piece, sizeof piece, &got, why))
            return false;
        if (got == 0)
            break;
        for (size_t i = 0; i < got; last = piece[i++]) {
            cr += piece[i] == '\r';
            out->crlf += piece[i] == '\n' && last == '\r';
            out->bare_lf += piece[i] == '\n' && last != '\r';
        }
    }
    out->clean = out->bare_lf == 0 && cr == out->crlf;
    return true;
}

/* ---- what is told ---- */

static void close_box(struct writer *w)
{
    maildir_close(&w->box);
    mbox_close_file(&w->box);
    map_finish(&w->box.keywords);
    buf_reset(&w->box.keyword_names);
    w->box.keyword_count = 0;
    w->box.open = false;
}

/* A line of `subscriptions`, in the form that every version of Dovecot reads. */
static void add_subscription(struct writer *w, struct slice name)
{
    for (struct slice rest = name; rest.len > 0;) {
        struct slice level = slice_cut(&rest, '/');
        writer_add_level(&w->subscriptions, level, w->options.format == WRITER_MAILDIR);
        if (rest.len > 0)
            buf_add_char(&w->subscriptions, w->options.format == WRITER_MAILDIR ? '.' : '/');
    }
    buf_add_char(&w->subscriptions, '\n');
}

static bool on_mailbox(void *ctx, const struct transfer_mailbox *m, struct fail *why)
{
    struct writer *w = ctx;

    close_box(w);
    if (m->subscribed)
        add_subscription(w, m->name);
    buf_reset(&w->box.name);
    buf_add(&w->box.name, m->name);
    w->box.uidvalidity = m->uidvalidity;
    w->box.uidnext = m->uidnext > 0 ? m->uidnext : 1;
    w->box.skip = m->no_select;
    w->box.open = true;
    if (w->box.skip)
        return true;
    w->summary.mailboxes++;
    return (w->options.format == WRITER_MAILDIR ? maildir_begin(w, m, why) : mbox_begin(w, m, why)) ||
           fail_at(why, "mailbox " PRIslice, SLICE_ARG(m->name));
}

/* A resumed Maildir knows its files by what the message is, body and all. */
static bool on_has(void *ctx, const struct transfer_message *m)
{
    (void)ctx;
    (void)m;
    return false;
}

static bool on_message(void *ctx, const struct transfer_message *m, struct fail *why)
{
    struct writer          *w = ctx;
    struct transfer_message numbered = *m;

    if (w->box.skip || !w->box.open || m->body == NULL)
        return true;
    if (numbered.uid == 0)
        numbered.uid = w->box.uidnext;
    if (numbered.uid >= w->box.uidnext && numbered.uid < UINT32_MAX)
        w->box.uidnext = numbered.uid + 1;
    if (!(w->options.format == WRITER_MAILDIR ? maildir_message(w, &numbered, why) : mbox_message(w, &numbered, why)))
        return fail_at(why, "mailbox " PRIslice ", UID %u", SLICE_ARG(buf_slice(&w->box.name)), numbered.uid);
    w->summary.messages++;
    w->summary.bytes += body_size(m->body);
    return true;
}

static bool on_mailbox_end(void *ctx, bool whole, struct fail *why)
{
    struct writer *w = ctx;
    bool           ok = true;

    (void)whole; /* what is missing was said */
    if (w->box.open && !w->box.skip)
        ok = (w->options.format == WRITER_MAILDIR ? maildir_end(w, why) : mbox_end(w, why)) ||
             fail_at(why, "mailbox " PRIslice, SLICE_ARG(buf_slice(&w->box.name)));
    close_box(w);
    return ok;
}

static bool on_subscription(void *ctx, struct slice name, struct fail *why)
{
    (void)why;
    add_subscription(ctx, name);
    return true;
}

static bool on_script(void *ctx, struct slice name, bool active, struct slice text, struct fail *why)
{
    struct writer           *w = ctx;
    SCOPED(scoped_close) int folder = writer_folder(w->root, "sieve", why), fd = -1;
    struct buf               file, link;

    if (folder < 0)
        return false;
    buf_init(&file, WRITER_NAME_MAX);
    buf_init(&link, WRITER_NAME_MAX);
    if (name.len == 0 || name.ptr[0] == '.') /* not hidden */
        buf_add_char(&file, '_');
    for (struct slice rest = name; rest.len > 0;) { /* it is no path */
        writer_add_level(&file, slice_cut(&rest, '/'), false);
        if (rest.len > 0)
            buf_add_char(&file, '_');
    }
    buf_add(&file, SLICE(".sieve"));
    buf_add_char(&file, '\0');
    buf_addf(&link, "sieve/%s", file.data);
    buf_add_char(&link, '\0');
    if (w->options.resume)
        (void)unlinkat(folder, file.data, 0);
    fd = writer_file(folder, file.data);
    bool ok = fd >= 0;
    if (!ok) {
        writer_leave_out(w, name, "there is a Sieve script of this name, or it can be no file's name");
        ok = true;
    } else {
        ok = io_write_all(fd, text, why);
        if (ok && active && (unlinkat(w->root, ".dovecot.sieve", 0) == 0 || errno == ENOENT) &&
            symlinkat(link.data, w->root, ".dovecot.sieve") != 0)
            ok = fail_errno(why, errno, ".dovecot.sieve");
        w->summary.scripts += ok;
    }
    buf_finish(&file);
    buf_finish(&link);
    return ok;
}

static void on_left_out(void *ctx, struct slice what, const char *reason)
{
    writer_leave_out(ctx, what, reason);
}

static void on_progress(void *ctx, uint64_t messages, uint64_t bytes, uint64_t all_messages, uint64_t all_bytes)
{
    const struct writer *w = ctx;

    if (w->options.progress != NULL)
        w->options.progress(w->options.ctx, messages, bytes, all_messages, all_bytes);
}

struct transfer_into writer_into(struct writer *w)
{
    return (struct transfer_into){.ctx = w,
                                  .mailbox = on_mailbox,
                                  .has = on_has,
                                  .message = on_message,
                                  .mailbox_end = on_mailbox_end,
                                  .subscription = on_subscription,
                                  .script = on_script,
                                  .left_out = on_left_out,
                                  .progress = on_progress};
}

/* ---- its life ---- */

struct writer *writer_create(int root, const struct writer_options *options)
{
    struct writer *w = xcalloc(1, sizeof *w);

    w->options = *options;
    if (w->options.dialect == MBOX_GUESS)
        w->options.dialect = MBOX_RD;
    w->root = root;
    w->box.folder = w->box.cur = w->box.tmp = -1;
    buf_init(&w->box.name, SIZE_MAX);
    buf_init(&w->box.keyword_names, KEYWORDS_MAX);
    buf_init(&w->subscriptions, SUBSCRIPTIONS_MAX);
    map_init(&w->box.keywords);
    map_init(&w->box.there);
    return w;
}

/* Maildir++: subscriptions; mbox: .subscriptions (both as Dovecot has them). */
bool writer_finish(struct writer *w, struct fail *why)
{
    const char              *name = w->options.format == WRITER_MAILDIR ? "subscriptions" : ".subscriptions";
    SCOPED(scoped_close) int fd = -1;

    if (w->subscriptions.failed)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "subscriptions: more than %d bytes", SUBSCRIPTIONS_MAX);
    (void)unlinkat(w->root, ".subscriptions.tmp", 0);
    fd = writer_file(w->root, ".subscriptions.tmp");
    if (fd < 0)
        return fail_errno(why, errno, "%s", name);
    if (!io_write_all(fd, buf_slice(&w->subscriptions), why))
        return fail_at(why, "%s", name);
    if (renameat(w->root, ".subscriptions.tmp", w->root, name) != 0 || syncfs(w->root) != 0)
        return fail_errno(why, errno, "%s", name);
    return true;
}

const struct writer_summary *writer_summary(const struct writer *w)
{
    return &w->summary;
}

void writer_destroy(struct writer **pointer)
{
    struct writer *w = *pointer;

    if (w == NULL)
        return;
    close_box(w);
    buf_finish(&w->box.name);
    buf_finish(&w->box.keyword_names);
    buf_finish(&w->subscriptions);
    free(w);
    *pointer = NULL;
}
