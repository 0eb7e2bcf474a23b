/*
 * storage/volume.c - the folder of volumes: opening, closing, space.
 *
 * Layer: storage.
 *
 * A start writes no volume of its own before the first record.  It looks at the
 * volumes that the last process may have left without an END: an empty one is
 * removed, the others are synced (what a crash left in the page cache may be
 * shown to somebody from now on) and lose the zeros behind their last record.
 */
#include "storage/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"
#include "base/clock.h"
#include "storage/volume_internal.h"

enum { LOOKED_AT = 8 }; /* of the latest volumes: those that one process may have left without an END */

#define MB (UINT64_C(1) << 20)

void volume_limits_default(struct volume_limits *l)
{
    *l = (struct volume_limits){
        .volume_bytes = 128 * MB,
        .prewrite_bytes = 8 * MB,
        .reserve_percent = 5,
        .reserve_bytes = 64 * MB,
        .free_after_seconds = 3600,
        .compression = 1,
        .compress_from = 128 << 10,
        .open_files = 256,
    };
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

bool list_volumes(const struct volumes *v, uint32_t **ids, size_t *count, struct fail *why)
{
    DIR *dir = opendir(v->dir);
    const struct dirent *entry;
    size_t room = 0;
    uint32_t id;

    *ids = NULL;
    *count = 0;
    if (dir == NULL)
        return fail_errno(why, errno, "%s", v->dir);
    while ((entry = readdir(dir)) != NULL) {
        if (!volume_name_parse(entry->d_name, &id))
            continue;
        if (*count == room) {
            room = room > 0 ? room * 2 : 64;
            *ids = xrealloc(*ids, room * sizeof **ids);
        }
        (*ids)[(*count)++] = id;
    }
    (void)closedir(dir);
    if (*count > 0)
        qsort(*ids, *count, sizeof **ids, by_number);
    return true;
}

static bool all_zero(const unsigned char *bytes, size_t n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

/* Where the bytes end that are not the zeros written ahead, rounded up as records are. */
static bool find_end(int fd, uint64_t size, uint64_t *end, struct fail *why)
{
    enum { STEP = 256 << 10 };
    SCOPED(scoped_free) unsigned char *bytes = xmalloc(STEP);
    size_t got;

    while (size > 0) {
        uint64_t from = (size - 1) / STEP * STEP;
        size_t n = (size_t)(size - from);
        if (!file_pread(fd, bytes, n, from, &got, why))
            return false;
        if (!all_zero(bytes, got)) {
            while (bytes[got - 1] == 0)
                got--;
            *end = record_align(from + got);
            return true;
        }
        size = from;
    }
    *end = 0;
    return true;
}

/* Does it end in an END? */
static bool has_end(int fd, const struct volume_header *h, uint64_t size)
{
    unsigned char bytes[RECORD_FIXED_BYTES];
    struct record_header end;
    size_t got;

    return size >= VOLUME_HEADER_BYTES + RECORD_BYTES_MIN &&
           file_pread(fd, bytes, sizeof bytes, size - RECORD_BYTES_MIN, &got, NULL) && got == sizeof bytes &&
           record_header_get(bytes, &h->tag, &end) && end.kind == STORED_END &&
           record_header_intact(bytes, &end);
}

/* See the top.  *empty: it was, and is gone.  A header that is damaged is left for `check` to tell. */
static bool tidy(struct volumes *v, uint32_t id, bool *empty, struct fail *why)
{
    struct volume_name name = volume_name(id);
    SCOPED(scoped_close) int fd = openat(v->dir_fd, name.text, O_RDWR | O_CLOEXEC);
    unsigned char header[VOLUME_HEADER_BYTES];
    struct volume_header h;
    struct stat st;
    uint64_t end;
    size_t got;

    if (fd < 0 || fstat(fd, &st) != 0)
        return fail_errno(why, errno, "%s/%s", v->dir, name.text);
    uint64_t size = (uint64_t)st.st_size;
    if (!file_pread(fd, header, sizeof header, 0, &got, why))
        return false;
    bool good = got == sizeof header && volume_header_get(header, &h);
    *empty = false;
    if (good && (h.table_at != 0 || has_end(fd, &h, size)))
        return true;
    if (!find_end(fd, size, &end, why))
        return false;
    if (end <= VOLUME_HEADER_BYTES) {
        *empty = true;
        return unlinkat(v->dir_fd, name.text, 0) == 0 || fail_errno(why, errno, "%s/%s", v->dir, name.text);
    }
    if (!good)
        log_event(LOG_ERROR, "storage.volume.header", LOG_U64("volume", id));
    if ((end < size && ftruncate(fd, (off_t)end) != 0) || io_fsync(fd) != 0)
        return fail_errno(why, errno, "%s/%s", v->dir, name.text);
    return true;
}

/* What a compaction had not finished. */
static void remove_drafts(const struct volumes *v)
{
    DIR *dir = opendir(v->dir);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (slice_ends(slice_of(entry->d_name), SLICE(".vol.new")))
            (void)unlinkat(v->dir_fd, entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
}

static bool tidy_folder(struct volumes *v, struct fail *why)
{
    SCOPED(scoped_free) uint32_t *ids = NULL;
    size_t count, kept = 0;
    bool empty = false;

    remove_drafts(v);
    if (!list_volumes(v, &ids, &count, why))
        return false;
    for (size_t left = count; left > 0 && kept < LOOKED_AT; left--) {
        if (!tidy(v, ids[left - 1], &empty, why))
            return false;
        if (empty) /* it never had a record: its number is free */
            continue;
        kept++;
        if (v->last_kept < ids[left - 1])
            v->last_kept = ids[left - 1];
    }
    v->next_id = v->last_kept + 1;
    v->stats.volumes = count;
    return true;
}

/* Not more than a 64th of the disk, so that a small one does not lose much to one sparse volume. */
static bool fit_to_disk(struct volumes *v, struct fail *why)
{
    struct volume_limits *l = &v->limits;
    uint64_t free_bytes, total;

    if (!io_free_space(v->dir, &free_bytes, &total, why))
        return false;
    uint64_t most = total / 64 > 4 * MB ? total / 64 : 4 * MB;
    if (l->volume_bytes > most)
        l->volume_bytes = most;
    if (l->volume_bytes > UINT32_MAX) /* an offset has 32 bits */
        l->volume_bytes = UINT32_MAX;
    return true;
}

static void volumes_free(struct volumes *v)
{
    while (v->failed != NULL) {
        struct failed_volume *f = v->failed;
        v->failed = f->next;
        free(f);
    }
    files_finish(&v->files);
    codec_pool_finish(&v->codecs);
    reclaim_finish(v);
    (void)pthread_mutex_destroy(&v->lock);
    (void)pthread_mutex_destroy(&v->reclaim_lock);
    (void)pthread_cond_destroy(&v->work);
    (void)pthread_cond_destroy(&v->changed);
    (void)pthread_cond_destroy(&v->parked);
    if (v->dir_fd >= 0)
        (void)close(v->dir_fd);
    free(v->dir);
    free(v);
}

static struct volumes *volumes_create(const char *dir, const struct volume_limits *limits)
{
    struct volumes *v = xcalloc(1, sizeof *v);

    v->dir = xstrdup(dir);
    v->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    v->limits = *limits;
    files_init(&v->files, v->dir_fd, limits->open_files);
    codec_pool_init(&v->codecs);
    reclaim_init(v);
    (void)pthread_mutex_init(&v->lock, NULL);
    (void)pthread_mutex_init(&v->reclaim_lock, NULL);
    (void)pthread_cond_init(&v->work, NULL);
    (void)pthread_cond_init(&v->changed, NULL);
    (void)pthread_cond_init(&v->parked, NULL);
    v->last_pending = &v->first_pending;
    return v;
}

/* Ends the tender, which ends what is being written. */
static void stop_tender(struct volumes *v)
{
    (void)pthread_mutex_lock(&v->lock);
    v->closing = true;
    if (v->current != NULL)
        volume_set_aside(v, v->current);
    (void)pthread_cond_signal(&v->work);
    (void)pthread_mutex_unlock(&v->lock);
    (void)pthread_join(v->tender, NULL);
}

static bool start_threads(struct volumes *v, struct fail *why)
{
    int failed = pthread_create(&v->tender, NULL, volume_tend, v);

    if (failed == 0) {
        failed = pthread_create(&v->syncer, NULL, volume_sync_for_others, v);
        if (failed != 0)
            stop_tender(v);
    }
    return failed == 0 || fail_errno(why, failed, "starting a thread");
}

/* Whoever left it to the syncer is told first. */
static void stop_syncer(struct volumes *v)
{
    (void)pthread_mutex_lock(&v->lock);
    v->syncer_ends = true;
    (void)pthread_cond_signal(&v->parked);
    (void)pthread_mutex_unlock(&v->lock);
    (void)pthread_join(v->syncer, NULL);
}

bool volumes_open(const char *dir, const struct volume_limits *limits, struct volumes **out, struct fail *why)
{
    if (!io_make_dirs(dir, 0700, why))
        return false;

    struct volumes *v = volumes_create(dir, limits);
    bool ok = v->dir_fd >= 0 || fail_errno(why, errno, "%s", dir);
    ok = ok && fit_to_disk(v, why) && tidy_folder(v, why);
    if (!ok || !start_threads(v, why)) {
        volumes_free(v);
        return false;
    }
    *out = v;
    return true;
}

bool volumes_open_read_only(const char *dir, const struct volume_limits *limits, struct volumes **out, struct fail *why)
{
    struct volumes *v = volumes_create(dir, limits);
    SCOPED(scoped_free) uint32_t *ids = NULL;
    size_t count = 0;
    bool ok = (v->dir_fd >= 0 || fail_errno(why, errno, "%s", dir)) && list_volumes(v, &ids, &count, why);

    if (!ok) {
        volumes_free(v);
        return false;
    }
    v->read_only = true;
    v->next_id = count > 0 ? ids[count - 1] + 1 : 1;
    v->last_kept = v->next_id - 1;
    v->stats.volumes = count;
    *out = v;
    return true;
}

void volumes_close(struct volumes **vp)
{
    struct volumes *v = *vp;

    if (v == NULL)
        return;
    *vp = NULL;
    if (v->read_only) {
        volumes_free(v);
        return;
    }
    stop_syncer(v);
    stop_tender(v);
    volumes_free(v);
}

/* Asked of the disk now, and good for a moment where there is plenty. */
enum { SPACE_MS = 200, SPACE_PLENTY = 1 << 30 };

bool volume_has_space(struct volumes *v, uint64_t bytes, struct fail *why)
{
    uint64_t free_bytes, total;
    int64_t now = clock_mono_ms();

    if (v->read_only)
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "%s is only read", v->dir);
    if (bytes < SPACE_PLENTY / 4 && now < atomic_load(&v->plenty_until))
        return true;
    if (!io_free_space(v->dir, &free_bytes, &total, why))
        return false;
    uint64_t reserve = total / 100 * v->limits.reserve_percent;
    if (reserve < v->limits.reserve_bytes)
        reserve = v->limits.reserve_bytes;
    if (free_bytes > reserve && free_bytes - reserve > SPACE_PLENTY)
        atomic_store(&v->plenty_until, now + SPACE_MS);
    if (free_bytes > reserve && bytes <= free_bytes - reserve)
        return true;
    return fail_code(why, FAIL_TEMP, FAIL_NO_SPACE, "4.3.1", "the disk is too full to take more mail");
}

volume_ref volume_end(struct volumes *v)
{
    (void)pthread_mutex_lock(&v->lock);
    volume_ref end = v->current != NULL ? ref_make(v->current->id, v->current->reserved)
                     : v->spare != NULL ? ref_make(v->spare->id, VOLUME_HEADER_BYTES)
                                        : ref_make(v->next_id, VOLUME_HEADER_BYTES);
    (void)pthread_mutex_unlock(&v->lock);
    return end;
}

void volume_stats(struct volumes *v, struct volume_stats *out)
{
    (void)pthread_mutex_lock(&v->lock);
    *out = v->stats;
    (void)pthread_mutex_unlock(&v->lock);
}
