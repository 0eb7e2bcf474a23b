/*
 * transfer/write_maildir.c - a mailbox as Dovecot keeps it in Maildir++.
 *
 * Layer: transfer.  A message is written to tmp, gets its date, and is renamed to cur; nothing reads the folder
 * meanwhile, so all of a mailbox is synced at once, before its list of UIDs.  The name of a file says which message
 * it is (UIDVALIDITY, UID, mailbox): that is how a resumed run knows it.
 *
 *     1795344667.V7U3F1a2b3c4d.posthorn,S=4096,W=4150:2,FS
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/io.h"
#include "transfer/writer_internal.h"

enum { FILE_NAME_MAX = 255, LIST_HEAD = 80 };

/* ---- the folder ---- */

static bool folder_name(struct buf *out, struct slice name)
{
    for (struct slice rest = name; rest.len > 0;) {
        buf_add_char(out, '.');
        writer_add_level(out, slice_cut(&rest, '/'), true);
    }
    buf_add_char(out, '\0');
    return !out->failed && out->len <= FILE_NAME_MAX + 1;
}

/* What an earlier run wrote: names without their flags, to the whole ones. */
static bool list_there(struct writer_box *b, struct fail *why)
{
    int                  fd = openat(b->folder, "cur", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;

    if (dir == NULL) {
        int error = errno;
        if (fd >= 0)
            (void)close(fd);
        return fail_errno(why, error, "cur");
    }
    while ((e = readdir(dir)) != NULL) {
        struct slice name = slice_of(e->d_name), base = slice_sub(name, 0, slice_find_char(name, ':'));
        if (base.len < name.len)
            free(map_put(&b->there, base, xslicedup(name)));
    }
    (void)closedir(dir);
    return true;
}

/* Is there a list of UIDs with another UIDVALIDITY? */
static bool is_of_another(struct writer_box *b)
{
    char     head[LIST_HEAD];
    uint64_t validity;
    int      fd = openat(b->folder, "dovecot-uidlist", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return false;
    ssize_t got = read(fd, head, LIST_HEAD);
    (void)close(fd);
    struct slice rest = slice_make(head, got > 0 ? (size_t)got : 0), version = slice_cut(&rest, ' '), second = slice_cut(&rest, ' ');
    return !slice_eq(version, SLICE("3")) || !slice_starts(second, SLICE("V")) || !slice_to_u64(slice_from(second, 1), UINT32_MAX, &validity) ||
           validity != b->uidvalidity;
}

/* The head is written last, over blanks: UIDNEXT is only known then. */
static bool open_list(struct writer_box *b, struct fail *why)
{
    (void)unlinkat(b->folder, "dovecot-uidlist.tmp", 0);
    int fd = writer_file(b->folder, "dovecot-uidlist.tmp");
    b->list = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (b->list == NULL)
        return fail_errno(why, errno, "dovecot-uidlist");
    return fprintf(b->list, "%*s\n", LIST_HEAD - 1, "") == LIST_HEAD || fail_errno(why, errno, "dovecot-uidlist");
}

static bool open_folders(struct writer *w, const char *name, struct fail *why)
{
    struct writer_box *b = &w->box;
    int                fd;

    b->folder = name[0] == '\0' ? fcntl(w->root, F_DUPFD_CLOEXEC, 0) : writer_folder(w->root, name, why);
    if (b->folder < 0)
        return false;
    b->cur = writer_folder(b->folder, "cur", why);
    b->tmp = writer_folder(b->folder, "tmp", why);
    fd = writer_folder(b->folder, "new", why);
    if (fd >= 0)
        (void)close(fd);
    if (b->cur < 0 || b->tmp < 0 || fd < 0)
        return false;
    fd = name[0] != '\0' ? writer_file(b->folder, "maildirfolder") : -1;
    if (fd >= 0)
        (void)close(fd);
    return true;
}

bool maildir_begin(struct writer *w, const struct transfer_mailbox *m, struct fail *why)
{
    struct writer_box *b = &w->box;
    struct buf         name;
    bool               ok = true;

    buf_init(&name, WRITER_NAME_MAX);
    if (slice_eq(m->name, SLICE("INBOX"))) {
        buf_add_char(&name, '\0');
    } else if (!folder_name(&name, m->name)) {
        writer_leave_out(w, m->name, "the mailbox and all in it: its name is too long for a folder's");
        b->skip = true;
    }
    if (!b->skip)
        ok = open_folders(w, name.data, why);
    if (ok && !b->skip && w->options.resume && is_of_another(b)) {
        writer_leave_out(w, m->name, "the mailbox and all in it: there is one with another UIDVALIDITY");
        b->skip = true;
    }
    buf_finish(&name);
    if (!ok || b->skip)
        return ok;
    return (!w->options.resume || list_there(b, why)) && open_list(b, why);
}

/* ---- a message ---- */

/* Flags as letters, in the order of ASCII; keywords "a" to "z". */
static void add_flags(struct writer *w, const struct transfer_message *m, struct buf *out)
{
    static const struct { char letter; uint32_t flag; } letters[] = {
        {'D', STORE_DRAFT}, {'F', STORE_FLAGGED}, {'R', STORE_ANSWERED}, {'S', STORE_SEEN}, {'T', STORE_DELETED}};
    bool has[WRITER_LETTERS] = {false};

    for (size_t i = 0; i < ARRAY_LEN(letters); i++)
        if (m->flags & letters[i].flag)
            buf_add_char(out, letters[i].letter);
    for (size_t i = 0; i < m->keyword_count; i++) {
        size_t before = w->box.keyword_count, at = writer_keyword(&w->box, m->keywords[i]);
        if (at <= WRITER_LETTERS) {
            has[at - 1] = true;
        } else if (at > before) { /* the first time */
            struct buf what;
            buf_init(&what, WRITER_NAME_MAX);
            buf_addf(&what, "the keyword " PRIslice " in " PRIslice, SLICE_ARG(m->keywords[i]), SLICE_ARG(buf_slice(&w->box.name)));
            writer_leave_out(w, buf_slice(&what), "Maildir has room for 26 keywords in a mailbox");
            buf_finish(&what);
        }
    }
    for (size_t i = 0; i < WRITER_LETTERS; i++)
        if (has[i])
            buf_add_char(out, (char)('a' + (int)i));
}

static bool write_lines(FILE *f, const struct transfer_message *m, bool clean, struct fail *why)
{
    struct body_lines lines;
    struct body_line  line;

    for (body_lines_init(&lines, m->body);;) {
        if (!body_lines_next(&lines, &line, why))
            return false;
        struct slice text = line.text;
        if (text.len == 0)
            return true;
        bool crlf = clean && slice_ends(text, SLICE("\r\n"));
        if (fwrite(text.ptr, 1, crlf ? text.len - 2 : text.len, f) != (crlf ? text.len - 2 : text.len) || (crlf && fputc('\n', f) == EOF))
            return fail_errno(why, errno, "writing");
    }
}

static bool write_file(struct writer_box *b, const char *base, const struct transfer_message *m, bool clean, struct fail *why)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = (time_t)m->internal_date}};

    (void)unlinkat(b->tmp, base, 0);
    int   fd = writer_file(b->tmp, base);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL)
        return fail_errno(why, errno, "tmp/%s", base);
    bool ok = write_lines(f, m, clean, why);
    if (ok && (fflush(f) != 0 || futimens(fileno(f), times) != 0))
        ok = fail_errno(why, errno, "tmp/%s", base);
    if (fclose(f) != 0 && ok)
        ok = fail_errno(why, errno, "tmp/%s", base);
    return ok;
}

/* The whole name that an earlier run gave the file, if it is there in full; NULL. */
static const char *is_there(struct writer_box *b, const char *base, uint64_t size)
{
    const char *name = map_get(&b->there, slice_of(base));
    struct stat st;

    return name != NULL && fstatat(b->cur, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size ? name
                                                                                                                                         : NULL;
}

bool maildir_message(struct writer *w, const struct transfer_message *m, struct fail *why)
{
    struct writer_box *b = &w->box;
    struct body_look   look;
    struct buf         flags;
    char               base[FILE_NAME_MAX + 1], name[2 * FILE_NAME_MAX];

    if (!body_look(m->body, &look, why))
        return false;
    uint64_t size = body_size(m->body) - (look.clean ? look.crlf : 0);
    (void)snprintf(base, sizeof base, "%" PRId64 ".V%uU%uF%08x.posthorn,S=%" PRIu64 ",W=%" PRIu64, m->internal_date > 0 ? m->internal_date : 0,
                   b->uidvalidity, m->uid, crc32c(0, b->name.data, b->name.len), size, body_size(m->body) + look.bare_lf);
    buf_init(&flags, 64);
    add_flags(w, m, &flags);
    (void)snprintf(name, sizeof name, "%s:2," PRIslice, base, SLICE_ARG(buf_slice(&flags)));
    buf_finish(&flags);
    const char *old = is_there(b, base, size);
    bool        ok = old != NULL || write_file(b, base, m, look.clean, why);
    if (ok && renameat(old != NULL ? b->cur : b->tmp, old != NULL ? old : base, b->cur, name) != 0)
        ok = fail_errno(why, errno, "cur/%s", name);
    w->summary.known += ok && old != NULL;
    free(map_remove(&b->there, slice_of(base)));
    if (!ok)
        return false;
    int said = m->uidl.len > 0 ? fprintf(b->list, "%u P" PRIslice " :%s\n", m->uid, SLICE_ARG(m->uidl), base) : fprintf(b->list, "%u :%s\n", m->uid, base);
    return said > 0 || fail_errno(why, errno, "dovecot-uidlist");
}

/* ---- the end ---- */

static bool write_keywords(struct writer_box *b, struct fail *why)
{
    struct slice names = slice_from(buf_slice(&b->keyword_names), 1);
    struct buf   text;

    if (b->keyword_count == 0)
        return true;
    buf_init(&text, b->keyword_names.len + 32 * WRITER_LETTERS);
    for (unsigned i = 0; i < WRITER_LETTERS && names.len > 0; i++) {
        struct slice name = slice_cut(&names, ' ');
        buf_addf(&text, "%u " PRIslice "\n", i, SLICE_ARG(name));
    }
    (void)unlinkat(b->folder, "dovecot-keywords", 0);
    int  fd = writer_file(b->folder, "dovecot-keywords");
    bool ok = fd >= 0 ? io_write_all(fd, buf_slice(&text), why) : fail_errno(why, errno, "dovecot-keywords");
    if (fd >= 0)
        (void)close(fd);
    buf_finish(&text);
    return ok;
}

/* Messages that an earlier run wrote and that are gone by now. */
static void remove_gone(struct writer_box *b)
{
    size_t       at = 0;
    struct slice base;
    void        *name;

    while (map_next(&b->there, &at, &base, &name))
        if (slice_find(base, SLICE(".posthorn,S=")) < base.len)
            (void)unlinkat(b->cur, name, 0);
}

bool maildir_end(struct writer *w, struct fail *why)
{
    struct writer_box *b = &w->box;
    unsigned char      id[16];
    struct buf         head;

    random_bytes(id, sizeof id);
    buf_init(&head, LIST_HEAD);
    buf_addf(&head, "3 V%u N%u G", b->uidvalidity, b->uidnext);
    hex_encode(&head, slice_make(id, sizeof id));
    remove_gone(b);
    bool ok = write_keywords(b, why);
    if (ok && (fseek(b->list, 0, SEEK_SET) != 0 || fwrite(head.data, 1, head.len, b->list) != head.len || fflush(b->list) != 0 ||
               syncfs(b->folder) != 0 || renameat(b->folder, "dovecot-uidlist.tmp", b->folder, "dovecot-uidlist") != 0))
        ok = fail_errno(why, errno, "dovecot-uidlist");
    buf_finish(&head);
    return ok;
}

void maildir_close(struct writer_box *b)
{
    size_t       at = 0;
    struct slice key;
    void        *name;

    if (b->list != NULL)
        (void)fclose(b->list);
    b->list = NULL;
    int *fds[] = {&b->folder, &b->cur, &b->tmp};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (*fds[i] >= 0)
            (void)close(*fds[i]);
        *fds[i] = -1;
    }
    while (map_next(&b->there, &at, &key, &name))
        free(name);
    map_finish(&b->there);
}
