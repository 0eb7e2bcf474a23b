/*
 * storage/volume_scan.c - every record there is, in the order they were written.
 *
 * Layer: storage.
 *
 * A record counts only when all of it is whole: after a crash its header may be
 * there and its frames not.  Past anything else the scan looks for the next place
 * where the volume's tag begins a header that is whole.
 *
 * Whether a broken stretch is damage or just what a crash left of a message that
 * nobody had been promised, later records tell: see `synced` in format.h.
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/scoped.h"
#include "storage/volume_internal.h"

struct scan {
    struct volumes *v;
    struct volume_file *file;
    uint64_t end; /* records lie below this */
    struct visit *visit;
    uint64_t *broken; /* where stretches began that no `synced` has passed yet */
    size_t broken_count, broken_room;
};

static void note_broken(struct scan *s, uint64_t at)
{
    if (s->broken_count == s->broken_room) {
        s->broken_room = s->broken_room > 0 ? s->broken_room * 2 : 16;
        s->broken = xrealloc(s->broken, s->broken_room * sizeof *s->broken);
    }
    s->broken[s->broken_count++] = at;
}

/* Everything below `synced` (an original offset) had been on disk. */
static void note_synced(struct scan *s, uint64_t synced)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->broken_count; i++) {
        if (s->broken[i] < synced)
            s->visit->damaged++;
        else
            s->broken[kept++] = s->broken[i];
    }
    s->broken_count = kept;
}

static bool is_zero(const unsigned char *bytes, size_t n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

/*
 * The next place from `at` on where the tag stands, `end` if there is none.
 * *blank: only zeros lie before it.
 */
static bool find_tag(const struct scan *s, uint64_t at, uint64_t *found, bool *blank, struct fail *why)
{
    enum { WINDOW = 64 << 10 };
    SCOPED(scoped_free) unsigned char *bytes = xmalloc(WINDOW);
    size_t got;

    *blank = true;
    while (at < s->end) {
        size_t n = s->end - at < WINDOW ? (size_t)(s->end - at) : WINDOW;
        if (!file_pread(s->file->fd, bytes, n, at, &got, why))
            return false;
        if (*blank && is_zero(bytes, got)) {
            at = got < n ? s->end : at + got;
            continue;
        }
        for (size_t i = 0; i + VOLUME_TAG_BYTES <= got; i += RECORD_ALIGN) {
            if (memcmp(bytes + i, s->file->header.tag.bytes, VOLUME_TAG_BYTES) == 0) {
                *found = at + i;
                return true;
            }
            *blank = *blank && is_zero(bytes + i, RECORD_ALIGN);
        }
        if (got < n || got == s->end - at) /* a cut file may end anywhere: what is left holds no tag */
            break;
        at += got - VOLUME_TAG_BYTES; /* a tag may lie across the windows' border */
    }
    *found = s->end;
    return true;
}

/* Is the header at l->at the one that belongs there? */
static bool in_its_place(const struct scan *s, const struct located *l)
{
    uint64_t at;

    if (s->file->table == NULL)
        return ref_offset(l->h.ref) == (uint32_t)l->at;
    return file_offset(s->file, l->h.ref, &at) && at == l->at;
}

/* No whole header at *at: on to the next tag. */
static bool skip_broken(struct scan *s, uint64_t *at, struct fail *why)
{
    uint64_t from = *at;
    bool blank, more_blank;

    if (!find_tag(s, from, at, &blank, why))
        return false;
    if (*at == from) { /* a tag, but no good header behind it */
        blank = false;
        if (!find_tag(s, from + RECORD_ALIGN, at, &more_blank, why))
            return false;
    }
    if (!blank)
        note_broken(s, from);
    return true;
}

/* One record, or whatever lies at *at; moves *at behind it. */
static bool scan_one(struct scan *s, uint64_t *at, struct fail *why)
{
    struct located l;
    enum located_kind kind = locate_at(s->file, *at, &l, why);
    bool ok = true;

    if (kind == LOCATED && in_its_place(s, &l) && l.h.record_bytes <= s->end - *at) {
        if (s->file->table == NULL)
            note_synced(s, l.h.synced);
        *at = l.h.kind == STORED_END ? s->end : *at + l.h.record_bytes;
        if (l.h.kind != STORED_END && l.h.kind != STORED_VOID) {
            struct fail broken;
            bool intact = located_verify(s->v, &l, &broken);
            if (!intact && broken.kind == FAIL_TEMP) {
                if (why != NULL)
                    *why = broken;
                ok = false;
            } else {
                if (!intact)
                    note_broken(s, l.at);
                s->visit->stopped = !s->visit->record(s->visit->ctx, &l, intact);
            }
        }
    } else if (kind == LOCATED_ERROR) {
        ok = false;
    } else {
        ok = skip_broken(s, at, why);
    }
    locate_finish(&l);
    return ok;
}

/* If it is being written: where its records end, and how much of it is on disk. */
static bool active_extent(struct volumes *v, uint32_t id, uint64_t *end, uint64_t *synced)
{
    (void)pthread_mutex_lock(&v->lock);
    const struct volume *vol = v->current;
    if (vol == NULL || vol->id != id)
        for (vol = v->retiring; vol != NULL && vol->id != id; vol = vol->next)
            ;
    if (vol != NULL) {
        *end = vol->reserved;
        *synced = vol->synced;
    }
    (void)pthread_mutex_unlock(&v->lock);
    return vol != NULL;
}

bool scan_file(struct volumes *v, struct volume_file *file, uint64_t from, struct visit *visit,
               struct fail *why)
{
    struct scan s = {.v = v, .file = file, .visit = visit};
    uint64_t at = from > VOLUME_HEADER_BYTES ? from : VOLUME_HEADER_BYTES, synced = 0;
    struct stat st;
    bool ok = true;

    if (fstat(file->fd, &st) != 0)
        return fail_errno(why, errno, "volume %08x", file->id);
    s.end = file->header.table_at != 0 ? file->header.table_at : (uint64_t)st.st_size;
    (void)active_extent(v, file->id, &s.end, &synced);
    while (ok && !visit->stopped && at < s.end)
        ok = scan_one(&s, &at, why);
    /* Compaction copied only what was whole: all that is broken in its file broke since. */
    note_synced(&s, file->table != NULL ? UINT64_MAX : synced);
    visit->damaged += file->header_damaged;
    free(s.broken);
    return ok;
}

/* volume_scan's visitor: only what is whole, described, from `from` on. */
struct described {
    bool (*each)(void *ctx, volume_ref ref, const struct record *rec);
    void *ctx;
    volume_ref from;
    struct arena arena;
    struct visit *visit;
};

static bool describe_each(void *ctx, const struct located *l, bool intact)
{
    struct described *d = ctx;
    struct record rec;

    if (!intact || l->h.ref < d->from)
        return true;
    bool more = true;
    if (record_get(l->header, &l->h, &d->arena, &rec))
        more = d->each(d->ctx, l->h.ref, &rec);
    else
        d->visit->damaged++;
    arena_reset(&d->arena);
    return more;
}

/* Where in this file the first record not below `from` begins. */
static uint64_t offset_from(const struct volume_file *file, volume_ref from)
{
    if (ref_volume(from) < file->id)
        return VOLUME_HEADER_BYTES;
    if (file->table == NULL)
        return ref_offset(from) - ref_offset(from) % RECORD_ALIGN;
    for (uint32_t i = 0; i < file->header.table_count; i++) {
        const unsigned char *entry = file->table + (size_t)i * TABLE_ENTRY_BYTES;
        if (get_u32(entry) >= ref_offset(from))
            return get_u32(entry + 4);
    }
    return file->header.table_at;
}

bool volume_scan(struct volumes *v, volume_ref from,
                 bool (*each)(void *ctx, volume_ref ref, const struct record *rec), void *ctx,
                 uint64_t *damaged, struct fail *why)
{
    enum { ARENA_MAX = 2 * RECORD_HEADER_MAX };
    struct described d = {.each = each, .ctx = ctx, .from = from};
    struct visit visit = {.record = describe_each, .ctx = &d};
    SCOPED(scoped_free) uint32_t *ids = NULL;
    size_t count;

    (void)pthread_mutex_lock(&v->lock);
    uint32_t below = v->next_id; /* that one may be in the making, without a header yet */
    (void)pthread_mutex_unlock(&v->lock);
    if (!list_volumes(v, &ids, &count, why))
        return false;
    d.visit = &visit;
    arena_init(&d.arena, ARENA_MAX);
    bool ok = true;
    for (size_t i = 0; ok && i < count && !visit.stopped; i++) {
        struct fail broken;
        if (ids[i] < ref_volume(from) || ids[i] >= below)
            continue;
        struct volume_file *file = files_get(&v->files, ids[i], &broken);
        if (file != NULL) {
            ok = scan_file(v, file, offset_from(file, from), &visit, why);
            files_put(&v->files, file);
        } else if (broken.kind == FAIL_TEMP) {
            if (why != NULL)
                *why = broken;
            ok = false;
        } else if (broken.reason != FAIL_NOT_FOUND) { /* gone meanwhile is fine */
            visit.damaged++;
        }
    }
    arena_finish(&d.arena);
    *damaged = visit.damaged;
    return ok;
}
