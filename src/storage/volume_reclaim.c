/*
 * storage/volume_reclaim.c - giving space back.
 *
 * Layer: storage.
 *
 * A large record's blocks are punched out of the file; its header becomes a VOID
 * first, so that a scan steps over it.  Small records wait until half of a
 * volume is free; then what is left of it is copied into a new file of the same
 * number, with a table from the original offsets to the new ones, and put in its
 * place.  Nobody is repointed, and who reads the old file goes on reading it.
 *
 * Never touched: a volume that is being written, one in which anything is broken
 * (let somebody look at it first), and the number of the last one: a reference is
 * never used twice, so the highest number must not be forgotten.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/io.h"
#include "base/scoped.h"
#include "storage/volume_internal.h"

enum {
    PUNCH_FROM = 64 << 10,
    COPY_STEP = 256 << 10,
    EXACT_MOST = 1024, /* small records of one volume that are remembered one by one while they wait */
};


struct released {
    volume_ref ref;
    uint64_t bytes;
    int64_t at;
};

struct freed {
    uint64_t bytes;
};

/*
 * What waits of one volume.  Mail that only passes through releases thousands a second, so beyond EXACT_MOST only their
 * bounds are kept: all of them wait until the last has waited long enough, and no compaction runs meanwhile.  That
 * comes to an end, because a volume's records do.
 */
struct crowd {
    size_t exact;
    uint64_t bytes; /* of those that are not exact; 0: there are none */
    volume_ref first, last;
    int64_t newest;
};

/* The caller's question, and what came of it. */
struct reclaim {
    struct volumes *v;
    bool (*is_live)(void *ctx, volume_ref ref);
    void *ctx;
    uint64_t freed;
};

void reclaim_init(struct volumes *v)
{
    idmap_init(&v->released);
    idmap_init(&v->freed);
    idmap_init(&v->crowds);
}

static void free_values(struct idmap *m)
{
    size_t at = 0;
    uint64_t key;
    void *value;

    while (idmap_next(m, &at, &key, &value))
        free(value);
    idmap_finish(m);
}

void reclaim_finish(struct volumes *v)
{
    free_values(&v->released);
    free_values(&v->freed);
    free_values(&v->crowds);
}

/* The lock is held. */
static struct crowd *crowd_of(struct volumes *v, volume_ref ref)
{
    struct crowd *c = idmap_get(&v->crowds, ref_volume(ref));

    if (c == NULL) {
        c = xcalloc(1, sizeof *c);
        (void)idmap_put(&v->crowds, ref_volume(ref), c);
    }
    return c;
}

static void join_crowd(struct crowd *c, volume_ref ref, uint64_t bytes, int64_t now)
{
    c->first = c->bytes == 0 || ref < c->first ? ref : c->first;
    c->last = c->bytes == 0 || ref > c->last ? ref : c->last;
    c->bytes += bytes + RECORD_FIXED_BYTES;
    c->newest = now;
}

void volume_release(struct volumes *v, volume_ref ref, uint64_t record_bytes)
{
    int64_t now = clock_now();

    (void)pthread_mutex_lock(&v->lock);
    if (idmap_get(&v->released, ref) == NULL) {
        struct crowd *c = crowd_of(v, ref);
        if (record_bytes < PUNCH_FROM && c->exact >= EXACT_MOST) {
            join_crowd(c, ref, record_bytes, now);
        } else {
            struct released *r = xcalloc(1, sizeof *r);
            *r = (struct released){.ref = ref, .bytes = record_bytes, .at = now};
            (void)idmap_put(&v->released, ref, r);
            c->exact++;
        }
    }
    (void)pthread_mutex_unlock(&v->lock);
}

static bool being_written(const struct volumes *v, uint32_t id)
{
    if ((v->current != NULL && v->current->id == id) || (v->spare != NULL && v->spare->id == id) ||
        id >= v->next_id)
        return true;
    for (const struct volume *vol = v->retiring; vol != NULL; vol = vol->next)
        if (vol->id == id)
            return true;
    return false;
}

static int by_ref(const void *a, const void *b)
{
    const struct released *x = a, *y = b;

    return (x->ref > y->ref) - (x->ref < y->ref);
}

/* Takes from the list what may be given back by now, in order. */
static struct released *take_due(struct volumes *v, int64_t now, size_t *count)
{
    struct released *due;
    size_t at = 0;
    uint64_t key;
    void *value;

    *count = 0;
    (void)pthread_mutex_lock(&v->lock);
    due = xcalloc(v->released.count + 1, sizeof *due);
    while (idmap_next(&v->released, &at, &key, &value)) {
        const struct released *r = value;
        if (now - r->at >= (int64_t)v->limits.free_after_seconds && !being_written(v, ref_volume(r->ref)))
            due[(*count)++] = *r;
    }
    for (size_t i = 0; i < *count; i++) {
        free(idmap_remove(&v->released, due[i].ref));
        crowd_of(v, due[i].ref)->exact--;
    }
    (void)pthread_mutex_unlock(&v->lock);
    qsort(due, *count, sizeof *due, by_ref);
    return due;
}

/* Still needed by anybody, or not free for long enough? */
static bool must_stay(const struct reclaim *r, volume_ref ref)
{
    (void)pthread_mutex_lock(&r->v->lock);
    const struct crowd *c = idmap_get(&r->v->crowds, ref_volume(ref));
    bool waiting = idmap_get(&r->v->released, ref) != NULL || (c != NULL && c->bytes > 0 && ref >= c->first && ref <= c->last);
    (void)pthread_mutex_unlock(&r->v->lock);
    return waiting || r->is_live(r->ctx, ref);
}

static void count_freed(struct volumes *v, uint32_t id, uint64_t bytes)
{
    struct freed *f = idmap_get(&v->freed, id);

    if (f == NULL) {
        f = xcalloc(1, sizeof *f);
        (void)idmap_put(&v->freed, id, f);
    }
    f->bytes += bytes;
}

/* Crowds that have waited long enough count as free; those that are empty are forgotten. */
static void disperse_crowds(struct volumes *v, int64_t now)
{
    size_t at = 0;
    uint64_t id;
    void *value;

    (void)pthread_mutex_lock(&v->lock);
    while (idmap_next(&v->crowds, &at, &id, &value)) {
        struct crowd *c = value;
        if (c->bytes > 0 && now - c->newest >= (int64_t)v->limits.free_after_seconds && !being_written(v, (uint32_t)id)) {
            count_freed(v, (uint32_t)id, c->bytes);
            c->bytes = 0;
        }
        if (c->bytes == 0 && c->exact == 0) {
            free(idmap_remove(&v->crowds, id));
            at = 0; /* the map has changed */
        }
    }
    (void)pthread_mutex_unlock(&v->lock);
}

static bool is_crowded(struct volumes *v, uint32_t id)
{
    (void)pthread_mutex_lock(&v->lock);
    const struct crowd *c = idmap_get(&v->crowds, id);
    bool crowded = c != NULL && c->bytes > 0;
    (void)pthread_mutex_unlock(&v->lock);
    return crowded;
}

/* Turns the record into a VOID and punches out its blocks.  *at: 0 if there was nothing to do. */
static bool punch(struct reclaim *r, const struct released *rel, struct fail *why)
{
    struct volumes *v = r->v;
    struct volume_name name = volume_name(ref_volume(rel->ref));
    SCOPED(scoped_close) int fd = openat(v->dir_fd, name.text, O_RDWR | O_CLOEXEC);
    struct volume_file *file = files_get(&v->files, ref_volume(rel->ref), why);
    struct located l = {.header = l.first};
    uint64_t at;

    if (file == NULL)
        return false;
    bool ok = fd >= 0 || fail_errno(why, errno, "%s/%s", v->dir, name.text);
    if (ok && file_offset(file, rel->ref, &at) && locate_at(file, at, &l, why) == LOCATED &&
        l.h.ref == rel->ref && l.h.kind != STORED_VOID && l.h.kind != STORED_END) {
        struct record_header gone = {.ref = rel->ref,
                                     .header_bytes = RECORD_FIXED_BYTES,
                                     .record_bytes = l.h.record_bytes,
                                     .synced = l.h.synced,
                                     .kind = STORED_VOID};
        struct buf header;
        buf_init(&header, RECORD_FIXED_BYTES);
        record_header_put(&header, &file->header.tag, &gone, NULL, NULL);
        ok = io_pwrite_all(fd, buf_slice(&header), at, why) &&
             (io_fdatasync(fd) == 0 || fail_errno(why, errno, "%s/%s", v->dir, name.text)) &&
             (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(at + RECORD_FIXED_BYTES),
                        (off_t)(l.h.record_bytes - RECORD_BYTES_MIN)) == 0 ||
              fail_errno(why, errno, "%s/%s: punching a hole", v->dir, name.text));
        buf_finish(&header);
        if (ok)
            r->freed += l.h.record_bytes;
    }
    locate_finish(&l);
    files_put(&v->files, file);
    return ok;
}

/* A compaction under way. */
struct draft {
    struct reclaim *r;
    struct volume_file *file;
    int fd;
    uint64_t end; /* where the next record goes */
    struct buf table;
    char *room; /* COPY_STEP */
    bool broken, failed;
    struct fail *why;
};

static bool copy_bytes(struct draft *d, uint64_t from, uint64_t bytes)
{
    while (bytes > 0) {
        size_t n = bytes < COPY_STEP ? (size_t)bytes : COPY_STEP, got;
        if (!file_pread(d->file->fd, d->room, n, from, &got, d->why))
            return false;
        if (got != n)
            return fail_set(d->why, FAIL_TEMP, FAIL_OTHER, "volume %08x ended early", d->file->id);
        if (!io_pwrite_all(d->fd, slice_make(d->room, n), d->end, d->why))
            return false;
        d->end += n;
        from += n;
        bytes -= n;
    }
    return true;
}

/* One record of the old file: copied, as it is, if it must stay. */
static bool compact_record(void *ctx, const struct located *l, bool intact)
{
    struct draft *d = ctx;
    unsigned char entry[TABLE_ENTRY_BYTES];

    if (!intact) {
        d->broken = true;
        return false;
    }
    if (!must_stay(d->r, l->h.ref))
        return true;
    put_u32(entry, ref_offset(l->h.ref));
    put_u32(entry + 4, (uint32_t)d->end);
    buf_add(&d->table, slice_make(entry, sizeof entry));
    if (d->table.failed || !copy_bytes(d, l->at, l->h.record_bytes)) {
        d->failed = true;
        return false;
    }
    return true;
}

/* Table, header, sync. */
static bool finish_draft(struct draft *d)
{
    struct volume_header h = {.id = d->file->id,
                              .tag = d->file->header.tag,
                              .table_at = d->end,
                              .table_count = (uint32_t)(d->table.len / TABLE_ENTRY_BYTES),
                              .table_crc = crc32c(0, d->table.data, d->table.len)};
    unsigned char header[VOLUME_HEADER_BYTES];

    volume_header_put(&h, header);
    return io_pwrite_all(d->fd, buf_slice(&d->table), d->end, d->why) &&
           io_pwrite_all(d->fd, slice_make(header, sizeof header), 0, d->why) &&
           (io_fsync(d->fd) == 0 || fail_errno(d->why, errno, "compacting volume %08x", d->file->id));
}

/* The draft takes the volume's place; a draft without records removes it. */
static bool put_draft_in_place(struct volumes *v, const struct draft *d, const char *draft_name,
                               struct fail *why)
{
    struct volume_name name = volume_name(d->file->id);
    (void)pthread_mutex_lock(&v->lock);
    bool last = d->file->id >= v->last_kept;
    (void)pthread_mutex_unlock(&v->lock);
    bool remove = d->table.len == 0 && !last;

    int failed =
        remove ? unlinkat(v->dir_fd, name.text, 0) : renameat(v->dir_fd, draft_name, v->dir_fd, name.text);
    if (failed != 0 || io_fsync(v->dir_fd) != 0)
        return fail_errno(why, errno, "%s/%s", v->dir, name.text);
    files_forget(&v->files, d->file->id);
    return true;
}

static bool compact_into(struct draft *d, const char *draft_name, struct fail *why)
{
    struct visit visit = {.record = compact_record, .ctx = d};
    struct stat before, after;

    if (fstat(d->file->fd, &before) != 0)
        return fail_errno(why, errno, "volume %08x", d->file->id);
    if (!scan_file(d->r->v, d->file, 0, &visit, why) || d->failed)
        return false;
    if (d->broken || visit.damaged > 0)
        return true; /* left as it is */
    if (!finish_draft(d) || fstat(d->fd, &after) != 0 || !put_draft_in_place(d->r->v, d, draft_name, why))
        return false;
    if (before.st_blocks > after.st_blocks)
        d->r->freed += (uint64_t)(before.st_blocks - after.st_blocks) * 512;
    return true;
}

static bool compact(struct reclaim *r, uint32_t id, struct fail *why)
{
    struct volumes *v = r->v;
    struct volume_name name = volume_name(id);
    char draft_name[sizeof name.text + sizeof ".new"];
    struct draft d = {.r = r, .fd = -1, .end = VOLUME_HEADER_BYTES, .why = why};

    (void)snprintf(draft_name, sizeof draft_name, "%s.new", name.text);
    d.file = files_get(&v->files, id, why);
    if (d.file == NULL)
        return false;
    d.fd = openat(v->dir_fd, draft_name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    buf_init(&d.table, SIZE_MAX / 2);
    d.room = xmalloc(COPY_STEP);
    bool ok =
        d.fd >= 0 ? compact_into(&d, draft_name, why) : fail_errno(why, errno, "%s/%s", v->dir, draft_name);
    (void)unlinkat(v->dir_fd, draft_name, 0); /* gone if it took its place */
    if (d.fd >= 0)
        (void)close(d.fd);
    buf_finish(&d.table);
    free(d.room);
    files_put(&v->files, d.file);
    return ok;
}

/* Is half of what the file holds free? */
static bool worth_compacting(const struct volumes *v, uint32_t id, uint64_t freed)
{
    struct volume_name name = volume_name(id);
    struct stat st;

    return fstatat(v->dir_fd, name.text, &st, 0) == 0 && freed >= (uint64_t)st.st_blocks * 512 / 2;
}

static bool compact_sparse(struct reclaim *r, struct fail *why)
{
    struct volumes *v = r->v;
    SCOPED(scoped_free) uint32_t *ids = xcalloc(v->freed.count + 1, sizeof *ids);
    size_t count = 0, at = 0;
    uint64_t id;
    void *value;
    bool ok = true;

    while (idmap_next(&v->freed, &at, &id, &value))
        if (!is_crowded(v, (uint32_t)id) && worth_compacting(v, (uint32_t)id, ((const struct freed *)value)->bytes))
            ids[count++] = (uint32_t)id;
    for (size_t i = 0; i < count; i++) {
        free(idmap_remove(&v->freed, ids[i]));
        ok = compact(r, ids[i], ok ? why : NULL) && ok;
    }
    return ok;
}

/* Done for all; the first failure is told. */
bool volume_reclaim(struct volumes *v, bool (*is_live)(void *ctx, volume_ref ref), void *ctx, int64_t now,
                    uint64_t *bytes_freed, struct fail *why)
{
    struct reclaim r = {.v = v, .is_live = is_live, .ctx = ctx};
    size_t count;
    bool ok = true;

    *bytes_freed = 0;
    (void)pthread_mutex_lock(&v->reclaim_lock);
    if (v->leases > 0 || v->read_only) { /* what waits goes on waiting */
        (void)pthread_mutex_unlock(&v->reclaim_lock);
        return true;
    }
    SCOPED(scoped_free) struct released *due = take_due(v, now, &count);
    for (size_t i = 0; i < count; i++) {
        if (is_live(ctx, due[i].ref))
            continue;
        if (due[i].bytes >= PUNCH_FROM)
            ok = punch(&r, &due[i], ok ? why : NULL) && ok;
        else
            count_freed(v, ref_volume(due[i].ref), due[i].bytes);
    }
    disperse_crowds(v, now);
    ok = compact_sparse(&r, ok ? why : NULL) && ok;
    (void)pthread_mutex_unlock(&v->reclaim_lock);
    *bytes_freed = r.freed;
    return ok;
}
