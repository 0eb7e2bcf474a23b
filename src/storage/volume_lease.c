/*
 * storage/volume_lease.c - a backup reads the volumes while they are written.
 *
 * Layer: storage.
 *
 * Records are only ever appended, so a copy of a volume's first bytes stays right
 * whatever comes behind them.  Only reclaiming changes what is there already: a
 * lease holds it back.  A volume that nobody writes to any more is known by the
 * file itself: compaction puts another one in its place, a hole that is punched
 * moves its time of change.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/block.h"
#include "base/encode.h"
#include "base/io.h"
#include "base/scoped.h"
#include "storage/volume_internal.h"

/* A change within that time of a look may leave no trace in the file's time: file systems count in ticks. */
enum { TICK_SECONDS = 2 };

void volume_lease_begin(struct volumes *v)
{
    block_begin();
    (void)pthread_mutex_lock(&v->reclaim_lock);
    v->leases++;
    (void)pthread_mutex_unlock(&v->reclaim_lock);
    block_end();
}

void volume_lease_end(struct volumes *v)
{
    (void)pthread_mutex_lock(&v->reclaim_lock);
    if (v->leases == 0)
        bug("a lease ended that nobody has");
    v->leases--;
    (void)pthread_mutex_unlock(&v->reclaim_lock);
}

struct active {
    struct volume *vol;
    uint64_t end; /* of what was reserved when we came */
};

struct actives {
    struct active *list;
    size_t count;
    uint32_t spare;   /* one without a record; 0: none */
    uint32_t next_id; /* volumes from here on were not there yet */
};

/* With the lock held; each gets a user more, so that none is ended meanwhile. */
static void find_active(struct volumes *v, struct actives *a)
{
    size_t count = v->current != NULL;

    for (const struct volume *vol = v->retiring; vol != NULL; vol = vol->next)
        count++;
    a->list = xcalloc(count + 1, sizeof *a->list);
    if (v->current != NULL)
        a->list[a->count++] = (struct active){.vol = v->current};
    for (struct volume *vol = v->retiring; vol != NULL; vol = vol->next)
        a->list[a->count++] = (struct active){.vol = vol};
    for (size_t i = 0; i < a->count; i++) {
        a->list[i].end = a->list[i].vol->reserved;
        a->list[i].vol->users++;
    }
    a->spare = v->spare != NULL ? v->spare->id : 0;
    a->next_id = v->next_id;
}

/* Until all that was reserved below `end` is written and on disk; or, of a volume that failed, what is. */
static void wait_for_end(struct volumes *v, struct active *a)
{
    struct volume *vol = a->vol;

    v->extents_waiting++;
    while (!vol->sealed && vol->oldest != NULL && vol->oldest->at < a->end)
        (void)pthread_cond_wait(&v->changed, &v->lock);
    v->extents_waiting--;
    if (!volume_wait(v, vol, vol->written) && vol->synced < a->end)
        a->end = vol->synced;
}

static struct active *active_of(const struct actives *a, uint32_t id)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->list[i].vol->id == id)
            return &a->list[i];
    return NULL;
}

/* false: there is nothing of it to be copied. */
static bool describe(const struct volumes *v, uint32_t id, const struct active *active, struct volume_extent *out)
{
    struct volume_name name = volume_name(id);
    struct timespec now;
    struct stat st;

    if (fstatat(v->dir_fd, name.text, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    *out = (struct volume_extent){.id = id, .bytes = active != NULL ? active->end : (uint64_t)st.st_size};
    if (active != NULL) {
        (void)snprintf(out->generation, sizeof out->generation, "%llu+", (unsigned long long)st.st_ino);
        return out->bytes > VOLUME_HEADER_BYTES;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (st.st_mtim.tv_sec < now.tv_sec - TICK_SECONDS)
        (void)snprintf(out->generation, sizeof out->generation, "%llu-%lld.%09ld", (unsigned long long)st.st_ino,
                       (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return true;
}

bool volume_extents(struct volumes *v, struct volume_extent **out, size_t *count, struct fail *why)
{
    struct actives actives = {0};
    SCOPED(scoped_free) uint32_t *ids = NULL;
    size_t id_count = 0;

    block_begin();
    (void)pthread_mutex_lock(&v->lock);
    v->extents_waiting++;
    while (v->ending)
        (void)pthread_cond_wait(&v->changed, &v->lock);
    v->extents_waiting--;
    find_active(v, &actives);
    for (size_t i = 0; i < actives.count; i++)
        wait_for_end(v, &actives.list[i]);
    (void)pthread_mutex_unlock(&v->lock);

    bool ok = list_volumes(v, &ids, &id_count, why);
    struct volume_extent *list = xcalloc(id_count + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; i < id_count; i++)
        if (ids[i] < actives.next_id && ids[i] != actives.spare &&
            describe(v, ids[i], active_of(&actives, ids[i]), &list[*count]))
            (*count)++;

    (void)pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < actives.count; i++)
        volume_release_user(v, actives.list[i].vol);
    (void)pthread_mutex_unlock(&v->lock);
    block_end();
    free(actives.list);
    if (!ok) {
        free(list);
        return false;
    }
    *out = list;
    return true;
}

/* ---- afterwards ---- */

/* A volume that was ended before its first record: whoever opens the folder goes on behind it. */
static bool make_marker(const struct volumes *v, uint32_t id, struct fail *why)
{
    struct volume_name name = volume_name(id);
    struct volume_header h = {.id = id};
    unsigned char header[VOLUME_HEADER_BYTES];
    SCOPED(scoped_close) int fd = openat(v->dir_fd, name.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_errno(why, errno, "%s/%s", v->dir, name.text);
    random_bytes(&h.tag, sizeof h.tag);
    volume_header_put(&h, header);
    return io_pwrite_all(fd, slice_make(header, sizeof header), 0, why) &&
           volume_put_marker(&h.tag, fd, id, VOLUME_HEADER_BYTES, RECORD_BYTES_MIN, VOLUME_HEADER_BYTES, STORED_END, why) &&
           ((io_fsync(fd) == 0 && io_fsync(v->dir_fd) == 0) || fail_errno(why, errno, "%s/%s", v->dir, name.text));
}

bool volumes_skip(const char *dir, uint32_t count, struct fail *why)
{
    struct volume_limits limits;
    struct volumes *v = NULL;

    volume_limits_default(&limits);
    if (!volumes_open_read_only(dir, &limits, &v, why))
        return false;
    bool ok = v->next_id <= UINT32_MAX - count ? make_marker(v, v->next_id + count, why)
                                              : fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: there are no numbers left", dir);
    volumes_close(&v);
    return ok;
}
