/*
 * storage/volume_tend.c - the background thread: new volumes, zeros ahead, endings.
 *
 * Layer: storage.
 *
 * Overwriting blocks that are written already costs a sync a third of growing a
 * file, so zeros are written ahead of the records, in steps.  They are synced
 * through a descriptor of their own: the kernel reports a failed write once to
 * each descriptor, and the one that the zeros' sync hears must not be missing when
 * the records' sync asks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/encode.h"
#include "base/io.h"
#include "base/log.h"
#include "storage/volume_internal.h"

enum { ZERO_STEP = 1 << 20, ZERO_BLOCK = 128 << 10 };

static void volume_free(struct volume *vol)
{
    if (vol->fd >= 0)
        (void)close(vol->fd);
    if (vol->zero_fd >= 0)
        (void)close(vol->zero_fd);
    free(vol);
}

/* The file and its name on disk, before any record in it can be. */
static bool make_file(const struct volumes *v, struct volume *vol, struct fail *why)
{
    struct volume_name name = volume_name(vol->id);
    struct volume_header h = {.id = vol->id, .tag = vol->tag};
    unsigned char header[VOLUME_HEADER_BYTES];

    vol->fd = openat(v->dir_fd, name.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (vol->fd < 0)
        return fail_errno(why, errno, "%s/%s", v->dir, name.text);
    volume_header_put(&h, header);
    if (io_pwrite_all(vol->fd, slice_make(header, sizeof header), 0, why)) {
        vol->zero_fd = openat(v->dir_fd, name.text, O_WRONLY | O_CLOEXEC);
        if (vol->zero_fd >= 0 && io_fsync(vol->fd) == 0 && io_fsync(v->dir_fd) == 0)
            return true;
        (void)fail_errno(why, errno, "%s/%s", v->dir, name.text);
    }
    (void)unlinkat(v->dir_fd, name.text, 0);
    return false;
}

struct volume *volume_make(struct volumes *v, struct fail *why)
{
    struct volume *vol = xcalloc(1, sizeof *vol);

    *vol = (struct volume){.id = v->next_id,
                           .fd = -1,
                           .zero_fd = -1,
                           .reserved = VOLUME_HEADER_BYTES,
                           .zeroed = VOLUME_HEADER_BYTES,
                           .synced = VOLUME_HEADER_BYTES};
    vol->last_waiter = &vol->first_waiter;
    random_bytes(&vol->tag, sizeof vol->tag);
    v->making = true;
    (void)pthread_mutex_unlock(&v->lock);
    block_begin();
    bool ok = make_file(v, vol, why);
    block_end();
    (void)pthread_mutex_lock(&v->lock);
    v->making = false;
    v->next_id++; /* also after a failure: no number is used twice */
    (void)pthread_cond_broadcast(&v->changed);
    if (!ok) {
        volume_free(vol);
        return NULL;
    }
    v->stats.volumes++;
    return vol;
}

/* Where the zeros should reach. */
static uint64_t zeros_wanted(const struct volumes *v, const struct volume *vol)
{
    uint64_t to = vol->reserved + v->limits.prewrite_bytes;

    return to < v->limits.volume_bytes ? to : v->limits.volume_bytes;
}

/* Not for each record: only once half of them are used up. */
bool volume_needs_zeros(const struct volumes *v, const struct volume *vol)
{
    uint64_t wanted = zeros_wanted(v, vol);

    if (v->limits.prewrite_bytes == 0)
        return false;
    return !vol->sealed && !vol->zeros_end && !vol->zeroing && wanted > vol->zeroed &&
           (vol->zeroed < vol->reserved + v->limits.prewrite_bytes / 2 || wanted == v->limits.volume_bytes);
}

static bool needs_spare(const struct volumes *v)
{
    const struct volume *vol = v->current;

    return v->spare == NULL && !v->making && vol != NULL && !vol->sealed && !vol->zeros_end &&
           vol->reserved + v->limits.prewrite_bytes > v->limits.volume_bytes;
}

static bool put_zeros(int fd, uint64_t from, uint64_t to, const char *zeros)
{
    while (from < to) {
        size_t n = to - from < ZERO_BLOCK ? (size_t)(to - from) : ZERO_BLOCK;
        if (!io_pwrite_all(fd, slice_make(zeros, n), from, NULL))
            return false;
        from += n;
    }
    return true;
}

/*
 * One step of zeros after another until there are enough, then one sync.  Records
 * that would begin in a step wait for it; with the lock held, which is let go.
 */
static void prewrite(struct volumes *v, struct volume *vol, const char *zeros)
{
    vol->users++;
    while (!v->closing && !vol->sealed && !vol->zeros_end && zeros_wanted(v, vol) > vol->zeroed) {
        uint64_t wanted = zeros_wanted(v, vol);
        if (vol->zeroed < vol->reserved)
            vol->zeroed = vol->reserved;
        uint64_t from = vol->zeroed, to = wanted - from < ZERO_STEP ? wanted : from + ZERO_STEP;
        if (from >= wanted)
            break;
        vol->zeroing = true;
        (void)pthread_mutex_unlock(&v->lock);
        bool ok = volume_has_space(v, to - from, NULL) && put_zeros(vol->zero_fd, from, to, zeros);
        (void)pthread_mutex_lock(&v->lock);
        vol->zeroing = false;
        if (ok)
            vol->zeroed = to;
        else
            vol->zeros_end = true; /* a full disk, most likely: records grow the file as long as they can */
        (void)pthread_cond_broadcast(&v->changed);
    }
    (void)pthread_mutex_unlock(&v->lock);
    bool ok = io_fdatasync(vol->zero_fd) == 0;
    (void)pthread_mutex_lock(&v->lock);
    if (!ok)
        volume_seal(v, vol);
    volume_release_user(v, vol);
}

/* Nobody uses it, nobody finds it any more: without the lock.  Ends it and closes it. */
static void retire(struct volumes *v, struct volume *vol)
{
    struct volume_name name = volume_name(vol->id);
    uint64_t end = vol->reserved;

    if (end == VOLUME_HEADER_BYTES ||
        (vol->sealed && vol->durable == 0)) { /* nobody was promised anything in it */
        (void)unlinkat(v->dir_fd, name.text, 0);
    } else if (vol->sealed) { /* only its zeros go: what was acknowledged is on disk */
        (void)!ftruncate(vol->fd, (off_t)end);
    } else if (!volume_put_marker(&vol->tag, vol->fd, vol->id, end, RECORD_BYTES_MIN, end, STORED_END,
                                  NULL) ||
               ftruncate(vol->fd, (off_t)(end + RECORD_BYTES_MIN)) != 0 || io_fsync(vol->fd) != 0) {
        /* Every record in it is on disk already; it only looks as after a crash. */
        log_event(LOG_WARNING, "storage.volume.end", LOG_U64("volume", vol->id));
    }
    volume_free(vol);
}

/*
 * The next volume that can be ended, taken off the list.  Not before its last
 * record is on disk (volume_append_start may have left some): a volume_sync that
 * does not find it there any more takes that for granted.
 */
static struct volume *next_retired(struct volumes *v)
{
    struct volume **at = &v->retiring;

    while (*at != NULL) {
        struct volume *vol = *at;
        if (vol->users > 0) {
            at = &vol->next;
        } else if (vol->durable < vol->written && !vol->sealed) {
            vol->users++;
            (void)volume_wait(v, vol, vol->written);
            vol->users--;
            at = &v->retiring; /* the lock was let go: the list may be another */
        } else {
            *at = vol->next;
            return vol;
        }
    }
    return NULL;
}

/* The lock is let go meanwhile. */
static void retire_unlocked(struct volumes *v, struct volume *vol)
{
    v->ending = true;
    (void)pthread_mutex_unlock(&v->lock);
    retire(v, vol);
    (void)pthread_mutex_lock(&v->lock);
    v->ending = false;
    if (v->extents_waiting > 0)
        (void)pthread_cond_broadcast(&v->changed);
}

/* The volume after the present one. */
static void make_spare(struct volumes *v, const char *zeros)
{
    struct volume *vol = volume_make(v, NULL);

    if (vol == NULL) {
        if (v->current != NULL)
            v->current->zeros_end = true; /* not again and again on a full disk */
        return;
    }
    v->spare = vol;
    prewrite(v, vol, zeros);
    if (v->spare == vol && vol->sealed) { /* it failed before it was used */
        v->spare = NULL;
        retire_unlocked(v, vol);
    }
}

void *volume_tend(void *arg)
{
    struct volumes *v = arg;
    char *zeros = xcalloc(1, ZERO_BLOCK);

    (void)pthread_mutex_lock(&v->lock);
    for (;;) {
        struct volume *vol = next_retired(v);
        if (vol != NULL) {
            retire_unlocked(v, vol);
        } else if (v->closing) {
            break;
        } else if (v->current != NULL && volume_needs_zeros(v, v->current)) {
            prewrite(v, v->current, zeros);
        } else if (needs_spare(v)) {
            make_spare(v, zeros);
        } else {
            (void)pthread_cond_wait(&v->work, &v->lock);
        }
    }
    struct volume *spare = v->spare;
    v->spare = NULL;
    if (spare != NULL)
        retire_unlocked(v, spare);
    (void)pthread_mutex_unlock(&v->lock);
    free(zeros);
    return NULL;
}
