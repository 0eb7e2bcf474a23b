/*
 * store/view_file.c - a mailbox's view in a file, so that the first SELECT need not read its rows.
 *
 * Layer: store.  Derived, and disposable: beside the account's file lies one for each larger mailbox, a
 * header and the entries as they are in memory.  It counts only if every number of its header is what the
 * account's file says now.  Whatever changes an entry draws a modseq and makes it the mailbox's
 * highest_modseq in the same transaction, and no modseq is ever drawn twice in an epoch: so equal numbers
 * mean equal entries.  Another copy of the account's file put in its place (without rebuild, which makes a
 * new epoch) has another inode.  The CRC stands for what a crash left half written: nothing is synced.
 *
 * Only the background writes, and store_close; without the locks, from a view, which never changes.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"
#include "store/view_internal.h"

#define PREFIX "view-"

enum {
    AGAIN_MS = 10000, /* a mailbox that changes all the time is not written more often */
    READ_CHUNKS = 64, /* at a time */
};

/* All little-endian; the entries follow, each a struct view_packed. */
struct file_header {
    char magic[8]; /* with the version */
    uint32_t crc;  /* of all with this as 0 */
    uint32_t count;
    uint64_t account, epoch, inode, mailbox;
    uint64_t highest_modseq, expunge_modseq;
    uint32_t uidvalidity, uidnext, unseen, deleted;
};
_Static_assert(sizeof(struct file_header) == 80, "no padding");
_Static_assert(sizeof(struct view_packed) == 16, "no padding");

static struct file_header header_of(const struct account *a, const struct mailbox_row *r)
{
    return (struct file_header){
        .magic = {'P', 'H', 'V', 'I', 'E', 'W', '0', '1'},
        .count = htole32(r->messages),
        .account = htole64(a->id),
        .epoch = htole64((uint64_t)a->state->epoch),
        .inode = htole64(a->state->inode),
        .mailbox = htole64(r->id),
        .highest_modseq = htole64(r->highest_modseq),
        .expunge_modseq = htole64(r->expunge_modseq),
        .uidvalidity = htole32(r->uidvalidity),
        .uidnext = htole32(r->uidnext),
        .unseen = htole32(r->unseen),
        .deleted = htole32(r->deleted),
    };
}

static bool path_of(const struct store *st, uint64_t account, uint64_t mailbox, const char *behind,
                    char out[STORE_PATH_BYTES])
{
    char name[48];

    (void)snprintf(name, sizeof name, PREFIX "%llx%s", (unsigned long long)mailbox, behind);
    return account_path(st, "accounts", account, name, out, NULL);
}

void view_file_remove(const struct account *a, uint64_t mailbox)
{
    char path[STORE_PATH_BYTES];

    if (path_of(a->store, a->id, mailbox, "", path))
        (void)unlink(path);
}

void view_files_remove(struct account *a)
{
    char folder[STORE_PATH_BYTES];
    const struct dirent *entry;

    (void)pthread_mutex_lock(&a->lock);
    for (size_t i = 0; a->state != NULL && i < a->state->box_count; i++)
        a->state->boxes[i].file_modseq = 0;
    (void)pthread_mutex_unlock(&a->lock);
    DIR *dir = account_path(a->store, "accounts", a->id, "", folder, NULL) ? opendir(folder) : NULL;
    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    (void)closedir(dir);
}

/* ---- reading ---- */

static bool damaged(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "it is damaged");
}

/* What was read becomes a chunk; UIDs go on from *uid. */
static bool settle_chunk(struct view_chunk *c, const struct mailbox_row *row, uint32_t *uid)
{
    bool right = true;

    for (uint32_t i = 0; i < c->count; i++) {
        struct view_packed *p = &c->entries[i];
        p->uid = le32toh(p->uid);
        p->bits = le32toh(p->bits);
        p->modseq = le64toh(p->modseq);
        right = right && p->uid > *uid && (p->bits & PACKED_GONE) == 0 && p->modseq <= row->highest_modseq;
        *uid = p->uid;
        c->unseen = (uint16_t)(c->unseen + ((p->bits & STORE_SEEN) == 0));
        if (c->max_modseq < p->modseq)
            c->max_modseq = p->modseq;
    }
    return right;
}

/* As many chunks as `count` entries make, empty yet. */
static size_t make_chunks(uint32_t count, struct view_chunk *chunks[READ_CHUNKS])
{
    size_t made = 0;

    for (; count > 0 && made < READ_CHUNKS; made++) {
        uint32_t n = count < CHUNK_ENTRIES ? count : CHUNK_ENTRIES;
        chunks[made] = view_chunk_create(n);
        chunks[made]->count = (uint16_t)n;
        count -= n;
    }
    return made;
}

/* Straight to where they stay. */
static bool read_chunks(int fd, struct view_chunk *const chunks[], size_t count, uint64_t *offset,
                        struct fail *why)
{
    struct iovec parts[READ_CHUNKS];

    for (size_t i = 0; i < count; i++)
        parts[i] = (struct iovec){chunks[i]->entries, chunks[i]->count * sizeof chunks[i]->entries[0]};
    ssize_t got = preadv(fd, parts, (int)count, (off_t)*offset);
    size_t whole = got > 0 ? (size_t)got : 0, passed = 0;
    for (size_t i = 0; i < count; i++) {
        passed += parts[i].iov_len;
        if (passed > whole && !io_pread_all(fd, parts[i].iov_base, parts[i].iov_len, *offset, why))
            return false;
        *offset += parts[i].iov_len;
    }
    return true;
}

static bool read_entries(int fd, const struct mailbox_row *row, uint32_t *crc, struct view **v, struct fail *why)
{
    struct view_chunk *chunks[READ_CHUNKS];
    uint64_t offset = sizeof(struct file_header);
    uint32_t uid = 0;
    bool ok = true;

    while (ok && (*v)->count < row->messages) {
        size_t made = make_chunks(row->messages - (*v)->count, chunks);
        ok = read_chunks(fd, chunks, made, &offset, why);
        for (size_t i = 0; i < made; i++) {
            if (ok) {
                *crc = crc32c(*crc, chunks[i]->entries, chunks[i]->count * sizeof chunks[i]->entries[0]);
                ok = settle_chunk(chunks[i], row, &uid) || damaged(why);
            }
            if (ok)
                view_add_shared(v, chunks[i]);
            view_chunk_release(chunks[i]); /* the view's alone now, or nobody's */
        }
    }
    return ok && (uid < row->uidnext || damaged(why));
}

/* *matches: it is of the mailbox as it is now; else *v is not set. */
static bool read_file(int fd, const struct account *a, const struct mailbox_row *row, bool *matches,
                      struct view **v, struct fail *why)
{
    struct file_header found, expected = header_of(a, row);
    struct stat s;

    *matches = false;
    if (!io_pread_all(fd, &found, sizeof found, 0, why))
        return false;
    uint32_t crc_found = le32toh(found.crc);
    found.crc = 0;
    if (memcmp(&found, &expected, sizeof found) != 0)
        return true;
    if (fstat(fd, &s) != 0)
        return fail_errno(why, errno, "stat");
    if ((uint64_t)s.st_size != sizeof found + (uint64_t)row->messages * sizeof(struct view_packed))
        return damaged(why);
    uint32_t crc = crc32c(0, &found, sizeof found);
    *v = view_empty(row);
    if (read_entries(fd, row, &crc, v, why) && (crc == crc_found || damaged(why))) {
        *matches = true;
        return true;
    }
    view_release(v);
    return false;
}

struct view *view_file_load(struct account *a, const struct mailbox_row *row)
{
    uint32_t least = a->store->limits.view_file_messages;
    char path[STORE_PATH_BYTES];
    struct view *v = NULL;
    struct fail why;
    bool matches;

    if (least == 0 || row->messages < least || !path_of(a->store, a->id, row->id, "", path))
        return NULL;
    SCOPED(scoped_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    bool ok = read_file(fd, a, row, &matches, &v, &why);
    if (!ok)
        log_event(LOG_WARNING, "store.view_file", LOG_U64("account", a->id), LOG_U64("mailbox", row->id),
                  LOG_FAIL(&why));
    if (!ok || !matches) /* it will be written again */
        (void)unlink(path);
    return v;
}

static bool same_entries(const struct view *one, const struct view *other)
{
    struct view_cursor c, d;
    struct view_entry e, f;

    if (one->count != other->count)
        return false;
    view_cursor_init(&c, one, 0);
    view_cursor_init(&d, other, 0);
    while (view_next(&c, &e) && view_next(&d, &f))
        if (e.uid != f.uid || e.flags != f.flags || e.keyword_set != f.keyword_set || e.modseq != f.modseq)
            return false;
    return true;
}

bool view_file_check(struct account *a, const struct mailbox_row *row, bool *differs, struct fail *why)
{
    struct view *v = view_file_load(a, row), *rows = NULL;

    *differs = false;
    if (v == NULL)
        return true;
    bool ok = view_load(a->db, row, &rows, why);
    *differs = ok && !same_entries(v, rows);
    if (*differs)
        view_file_remove(a, row->id);
    view_release(&v);
    view_release(&rows);
    return ok;
}

/* ---- writing ---- */

/* A file to be written, or removed if the mailbox has become small. */
struct job {
    struct view *view;
    struct file_header header;
    uint64_t mailbox;
};

static bool write_entries(int fd, const struct view *v, uint32_t *crc, struct fail *why)
{
    SCOPED(scoped_free) struct view_packed *some = xmalloc(CHUNK_ENTRIES * sizeof *some);
    uint64_t offset = sizeof(struct file_header);

    for (uint32_t i = 0; i < v->slot_count; i++) {
        const struct view_chunk *c = v->slots[i].chunk;
        for (uint32_t k = 0; k < c->count; k++) {
            const struct view_packed *p = &c->entries[k];
            some[k] = (struct view_packed){htole32(p->uid), htole32(p->bits), htole64(p->modseq)};
        }
        struct slice bytes = slice_make((const char *)some, c->count * sizeof *some);
        *crc = crc32c(*crc, bytes.ptr, bytes.len);
        if (!io_pwrite_all(fd, bytes, offset, why))
            return false;
        offset += bytes.len;
    }
    return true;
}

static bool write_file(const char *path, const struct job *j, struct fail *why)
{
    SCOPED(scoped_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct file_header h = j->header;
    uint32_t crc = crc32c(0, &h, sizeof h);

    if (fd < 0 && errno == ENOENT)
        return fail_set(why, FAIL_TEMP, FAIL_NOT_FOUND, "the account was removed");
    if (fd < 0)
        return fail_errno(why, errno, "%s", path);
    if (!write_entries(fd, j->view, &crc, why))
        return false;
    h.crc = htole32(crc);
    return io_pwrite_all(fd, slice_make((const char *)&h, sizeof h), 0, why);
}

static bool do_job(const struct account *a, const struct job *j, struct fail *why)
{
    char fresh[STORE_PATH_BYTES], path[STORE_PATH_BYTES];
    uint64_t bytes = sizeof j->header + (uint64_t)j->view->count * sizeof(struct view_packed);

    if (j->view->count < a->store->limits.view_file_messages) {
        view_file_remove(a, j->mailbox);
        return true;
    }
    if (!path_of(a->store, a->id, j->mailbox, ".new", fresh) || !path_of(a->store, a->id, j->mailbox, "", path))
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "the path is too long");
    if (volume_has_space(a->store->volumes, bytes, why) && write_file(fresh, j, why) &&
        (rename(fresh, path) == 0 || fail_errno(why, errno, "%s", path)))
        return true;
    (void)unlink(fresh);
    return false;
}

/*
 * Is there something else in memory than in the file, if there is to be one?  The view must be what the row
 * says: the header is made of that.
 */
static bool is_due(const struct account *a, const struct mailbox_state *box, int64_t written_before)
{
    const struct view *v = box->view;
    uint32_t least = a->store->limits.view_file_messages;

    return least > 0 && v != NULL && (v->count >= least || box->file_modseq != 0) && v->modseq != box->file_modseq &&
           box->file_ms < written_before && v->modseq == box->row.highest_modseq &&
           v->count == box->row.messages && v->uidnext == box->row.uidnext &&
           v->uidvalidity == box->row.uidvalidity;
}

/* One more of the views unused since; noted as written, so that what fails is not tried again at once. */
static bool take_job(struct account *a, int64_t unused_since, int64_t written_before, struct job *out)
{
    bool found = false;

    (void)pthread_mutex_lock(&a->lock);
    for (size_t i = 0; !found && a->state != NULL && i < a->state->box_count; i++) {
        struct mailbox_state *box = &a->state->boxes[i];
        found = box->view_used_ms <= unused_since && is_due(a, box, written_before);
        if (!found)
            continue;
        *out = (struct job){
            .view = view_ref(box->view), .header = header_of(a, &box->row), .mailbox = box->row.id};
        box->file_modseq = box->view->count >= a->store->limits.view_file_messages ? box->view->modseq : 0;
        box->file_ms = clock_mono_ms();
    }
    (void)pthread_mutex_unlock(&a->lock);
    return found;
}

static void keep(struct account *a, int64_t unused_since, int64_t written_before, int64_t until)
{
    struct job j;

    while (clock_mono_ms() < until && take_job(a, unused_since, written_before, &j)) {
        struct fail why;
        if (!do_job(a, &j, &why) && why.reason != FAIL_NO_SPACE && why.reason != FAIL_NOT_FOUND)
            log_event(LOG_WARNING, "store.view_file", LOG_U64("account", a->id), LOG_U64("mailbox", j.mailbox),
                      LOG_FAIL(&why));
        view_release(&j.view);
    }
}

void view_files_keep(struct account *a, int64_t unused_since_ms)
{
    keep(a, unused_since_ms, clock_mono_ms() - AGAIN_MS, INT64_MAX);
}

void view_files_keep_last(struct account *a, int64_t until_ms)
{
    keep(a, INT64_MAX, INT64_MAX, until_ms);
}
