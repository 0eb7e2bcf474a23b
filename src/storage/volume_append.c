/*
 * storage/volume_append.c - writing records.
 *
 * Layer: storage.  All threads write at the same time, each into bytes that it
 * reserved under the lock; see volume_commit.c for what happens then.
 *
 * A message in memory is packed first, so that its length is known, and written
 * with one call.  A spooled one goes through a frame at a time into as much as it
 * may need unpacked; a VOID covers what was left over, and the blocks under it
 * go back to the file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/block.h"
#include "base/encode.h"
#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"
#include "storage/volume_internal.h"

static bool append_failed(struct fail *why)
{
    return fail_code(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "4.3.0", "the disk failed to take the message");
}

/* The log is told which file and why, the client what it means to it. */
static bool disk_failed(const struct fail *told, struct fail *why)
{
    log_event(LOG_ERROR, "storage.append", LOG_FAIL(told));
    if (told->reason == FAIL_NO_SPACE)
        (void)fail_code(why, FAIL_TEMP, FAIL_NO_SPACE, "4.3.1", "the disk is full");
    else
        (void)append_failed(why);
    return false;
}

/* A volume with room for `bytes`, under the lock (let go while one is made). */
static struct volume *volume_for(struct volumes *v, uint64_t bytes, struct fail *why)
{
    for (;;) {
        struct volume *vol = v->current;
        if (vol != NULL && vol->reserved > VOLUME_HEADER_BYTES &&
            vol->reserved + bytes > v->limits.volume_bytes) {
            volume_set_aside(v, vol);
            vol = NULL;
        }
        if (vol != NULL && (!vol->zeroing || vol->reserved + bytes <= vol->zeroed))
            return vol;
        if (vol == NULL && v->spare != NULL) {
            v->current = v->spare;
            v->spare = NULL;
        } else if (vol == NULL && !v->making) {
            struct fail told;
            vol = volume_make(v, &told);
            if (vol == NULL) {
                (void)disk_failed(&told, why);
                return NULL;
            }
            v->current = vol;
        } else { /* one is being made, or zeros are being written where this record would be */
            block_begin();
            (void)pthread_cond_wait(&v->changed, &v->lock);
            block_end();
        }
    }
}

static bool reserve(struct volumes *v, uint64_t bytes, struct append *a, struct fail *why)
{
    if (!volume_has_space(v, bytes, why))
        return false;
    (void)pthread_mutex_lock(&v->lock);
    struct volume *vol = volume_for(v, bytes, why);
    if (vol != NULL) {
        *a = (struct append){
            .vol = vol, .at = vol->reserved, .bytes = bytes, .synced = vol->synced, .earlier = vol->newest};
        if (vol->newest != NULL)
            vol->newest->later = a;
        else
            vol->oldest = a;
        vol->newest = a;
        vol->reserved += bytes;
        vol->users++;
        if (volume_needs_zeros(v, vol))
            (void)pthread_cond_signal(&v->work);
    }
    (void)pthread_mutex_unlock(&v->lock);
    return vol != NULL;
}

/*
 * This record's bytes are written, as it should be (`ok`) or with something in
 * their place that scanning steps over; or, `volume_failed`, who knows.
 */
static bool written(struct volumes *v, struct append *a, bool ok, bool volume_failed)
{
    struct volume *vol = a->vol;

    (void)pthread_mutex_lock(&v->lock);
    if (a->earlier != NULL)
        a->earlier->later = a->later;
    else
        vol->oldest = a->later;
    if (a->later != NULL)
        a->later->earlier = a->earlier;
    else
        vol->newest = a->earlier;
    a->ticket = ++vol->written;
    if (v->extents_waiting > 0)
        (void)pthread_cond_broadcast(&v->changed);
    v->stats.records_written++;
    v->stats.bytes_written += a->bytes;
    if (volume_failed)
        volume_seal(v, vol);
    if (!ok)
        volume_release_user(v, vol);
    (void)pthread_mutex_unlock(&v->lock);
    return ok;
}

/*
 * Its sender was told no and will send it again: nobody should find it after a
 * restart.  The disk has just failed, so this may fail too, and that is all right.
 */
void volume_disown(const struct volume *vol, uint64_t at, struct fail *why)
{
    static const unsigned char zeros[VOLUME_TAG_BYTES];

    (void)!pwrite(vol->fd, zeros, sizeof zeros, (off_t)at);
    (void)append_failed(why);
}

static bool pwritev_all(int fd, struct iovec *iov, int count, uint64_t at, struct fail *why)
{
    while (count > 0) {
        if (iov->iov_len == 0) {
            iov++;
            count--;
            continue;
        }
        ssize_t n = pwritev(fd, iov, count, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_errno(why, n < 0 ? errno : ENOSPC, "writing a volume");
        at += (uint64_t)n;
        for (size_t left = (size_t)n; left > 0 && count > 0;) {
            size_t part = left < iov->iov_len ? left : iov->iov_len;
            if (part > 0) /* of an empty message there are no bytes to point to */
                iov->iov_base = (char *)iov->iov_base + part;
            iov->iov_len -= part;
            left -= part;
            if (iov->iov_len == 0) {
                iov++;
                count--;
            }
        }
    }
    return true;
}

bool volume_put_marker(const struct volume_tag *tag, int fd, uint32_t id, uint64_t at, uint64_t bytes,
                       uint64_t synced, uint8_t kind, struct fail *why)
{
    struct record_header h = {.ref = ref_make(id, (uint32_t)at),
                              .header_bytes = RECORD_FIXED_BYTES,
                              .record_bytes = bytes,
                              .synced = synced,
                              .kind = kind};
    unsigned char trailer[RECORD_TRAILER_BYTES];
    struct buf header;

    buf_init(&header, RECORD_FIXED_BYTES);
    record_header_put(&header, tag, &h, NULL, NULL);
    put_u64(trailer, h.ref);
    bool ok = io_pwrite_all(fd, slice_make(trailer, sizeof trailer), at + bytes - sizeof trailer, why) &&
              io_pwrite_all(fd, buf_slice(&header), at, why);
    buf_finish(&header);
    return ok;
}

/* What a record's header says of itself, once its bytes are reserved. */
static struct record_header describe(const struct append *a, const struct record *rec, uint64_t size,
                                     uint64_t header_bytes, uint64_t record_bytes)
{
    return (struct record_header){
        .ref = ref_make(a->vol->id, a->at),
        .header_bytes = (uint32_t)header_bytes,
        .record_bytes = record_bytes,
        .size = size,
        .synced = a->synced,
        .internal_date = rec->internal_date,
        .internal_zone = rec->internal_zone,
        .kind = (uint8_t)rec->kind,
        .target_count = (uint32_t)rec->target_count,
        .frame_count = (uint32_t)frames_for(size),
    };
}

static struct frame frame_of(const void *stored, size_t bytes, bool packed)
{
    return (struct frame){.bytes = (uint32_t)bytes, .crc = crc32c(0, stored, bytes), .packed = packed};
}

/* Would packing a message of this size be worth a try? */
static bool worth_packing(const struct volumes *v, uint64_t size)
{
    return v->limits.compression != 0 && size >= v->limits.compress_from;
}

/*
 * Packs a whole message into `room` (as long as the message) if its first frame
 * shrinks.  Returns what is to be stored: in `room`, or the message as it is.
 */
static struct slice pack_whole(struct volumes *v, struct slice body, char *room, struct frame *frames)
{
    size_t stored = 0;
    bool packing = room != NULL;

    for (uint32_t i = 0; (uint64_t)i * FRAME_BYTES < body.len; i++) {
        const char *raw = body.ptr + (size_t)i * FRAME_BYTES;
        size_t n = frame_size(body.len, i), packed = 0;
        if (packing && codec_pack(&v->codecs, v->limits.compression, raw, n, room + stored, &packed)) {
            frames[i] = frame_of(room + stored, packed, true);
            stored += packed;
            continue;
        }
        if (i == 0)
            packing = false;
        if (packing) {
            memcpy(room + stored, raw, n);
            stored += n;
        }
        frames[i] = frame_of(raw, n, false);
    }
    return packing ? slice_make(room, stored) : body;
}

/* A message in memory: packed, reserved, written with one call. */
static bool append_whole(struct volumes *v, const struct record *rec, struct slice body, struct append *a,
                         struct fail *why)
{
    SCOPED(scoped_free) struct frame *frames = xcalloc((size_t)frames_for(body.len) + 1, sizeof *frames);
    SCOPED(scoped_free) char *room = worth_packing(v, body.len) ? xmalloc(body.len) : NULL;
    struct slice stored = pack_whole(v, body, room, frames);
    uint64_t header_bytes = record_header_bytes(rec, frames_for(body.len));
    uint64_t record_bytes = record_align(header_bytes + stored.len + RECORD_TRAILER_BYTES);

    if (!reserve(v, record_bytes, a, why))
        return false;

    struct record_header h = describe(a, rec, body.len, header_bytes, record_bytes);
    unsigned char end[RECORD_ALIGN + RECORD_TRAILER_BYTES] = {0};
    size_t end_bytes = (size_t)(record_bytes - header_bytes - stored.len);
    struct buf header;
    buf_init(&header, RECORD_HEADER_MAX);
    record_header_put(&header, &a->vol->tag, &h, rec, frames);
    put_u64(end + end_bytes - RECORD_TRAILER_BYTES, h.ref);
    struct iovec iov[] = {
        {.iov_base = header.data, .iov_len = header.len},
        {.iov_base = (void *)(uintptr_t)stored.ptr, .iov_len = stored.len}, /* writev only reads it */
        {.iov_base = end, .iov_len = end_bytes},
    };
    struct fail told;
    bool ok = pwritev_all(a->vol->fd, iov, ARRAY_LEN(iov), a->at, &told);
    buf_finish(&header);
    return written(v, a, ok, !ok) || disk_failed(&told, why);
}

/* The frames of a spooled message, from *at on.  A failure is the volume's or the spool's. */
static bool put_frames(struct volumes *v, const struct body *body, int fd, struct frame *frames, uint64_t *at,
                       bool *volume_failed, struct fail *why)
{
    SCOPED(scoped_free) char *raw = xmalloc(FRAME_BYTES);
    SCOPED(scoped_free) char *room = xmalloc(FRAME_BYTES);
    uint64_t size = body_size(body);
    bool packing = worth_packing(v, size);

    for (uint32_t i = 0; (uint64_t)i * FRAME_BYTES < size; i++) {
        size_t n = frame_size(size, i), stored = n;
        if (!body_read(body, (uint64_t)i * FRAME_BYTES, raw, n, &n, why))
            return false;
        if (n != stored)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the spooled message was cut off");
        bool packed = packing && codec_pack(&v->codecs, v->limits.compression, raw, n, room, &stored);
        if (i == 0)
            packing = packed;
        frames[i] = frame_of(packed ? room : raw, stored, packed);
        if (!io_pwrite_all(fd, slice_make(packed ? room : raw, stored), *at, why)) {
            *volume_failed = true;
            return false;
        }
        *at += stored;
    }
    return true;
}

/* Gives bytes that nobody needs a header that says so, and the blocks under them back. */
static bool put_void(const struct append *a, uint64_t at, uint64_t bytes, struct fail *why)
{
    enum { PUNCH_FROM = 64 << 10 };

    if (bytes >= PUNCH_FROM) /* if the file system cannot, they stay until compaction */
        (void)fallocate(a->vol->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)(at + RECORD_FIXED_BYTES), (off_t)(bytes - RECORD_BYTES_MIN));
    return volume_put_marker(&a->vol->tag, a->vol->fd, a->vol->id, at, bytes, a->synced, STORED_VOID, why);
}

/* Its frames are written: now the end, what is left over, and the header. */
static bool put_around(const struct append *a, const struct record *rec, uint64_t size, uint64_t header_bytes,
                       const struct frame *frames, uint64_t frames_end, struct fail *why)
{
    uint64_t record_bytes = record_align(frames_end - a->at + RECORD_TRAILER_BYTES);
    uint64_t left = a->bytes - record_bytes;
    unsigned char trailer[RECORD_TRAILER_BYTES];

    if (left < RECORD_BYTES_MIN)
        record_bytes = a->bytes; /* too little for a VOID: it stays zeros */
    else if (!put_void(a, a->at + record_bytes, left, why))
        return false;

    struct record_header h = describe(a, rec, size, header_bytes, record_bytes);
    struct buf header;
    buf_init(&header, RECORD_HEADER_MAX);
    record_header_put(&header, &a->vol->tag, &h, rec, frames);
    put_u64(trailer, h.ref);
    bool ok = io_pwrite_all(a->vol->fd, slice_make(trailer, sizeof trailer),
                            a->at + record_bytes - sizeof trailer, why) &&
              io_pwrite_all(a->vol->fd, buf_slice(&header), a->at, why);
    buf_finish(&header);
    return ok;
}

/* A spooled message, a frame at a time. */
static bool append_spooled(struct volumes *v, const struct record *rec, const struct body *body,
                           struct append *a, struct fail *why)
{
    uint64_t size = body_size(body);
    SCOPED(scoped_free) struct frame *frames = xcalloc((size_t)frames_for(size) + 1, sizeof *frames);
    uint64_t header_bytes = record_header_bytes(rec, frames_for(size));

    if (!reserve(v, record_align(header_bytes + size + RECORD_TRAILER_BYTES), a, why))
        return false;

    uint64_t at = a->at + header_bytes;
    struct fail told;
    bool volume_failed = false;
    bool ok = put_frames(v, body, a->vol->fd, frames, &at, &volume_failed, &told);
    if (ok)
        volume_failed = !(ok = put_around(a, rec, size, header_bytes, frames, at, &told));
    else if (!volume_failed)
        volume_failed = !put_void(a, a->at, a->bytes, NULL);
    return written(v, a, ok, volume_failed) || disk_failed(&told, why);
}

/* true: written, and the caller is a user of a->vol. */
static bool append(struct volumes *v, const struct record *rec, const struct body *body, struct append *a,
                   struct fail *why)
{
    struct slice whole;
    bool fits = rec->target_count <= UINT32_MAX &&
                record_header_bytes(rec, frames_for(body_size(body))) <= RECORD_HEADER_MAX;

    if (!fits)
        (void)fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many recipients for one record");
    return fits && (body_in_memory(body, &whole) ? append_whole(v, rec, whole, a, why)
                                                 : append_spooled(v, rec, body, a, why));
}

bool volume_append_start(struct volumes *v, const struct record *rec, const struct body *body,
                         volume_ref *ref, struct fail *why)
{
    struct append a = {0};

    if (!append(v, rec, body, &a, why))
        return false;
    volume_ref got = ref_make(a.vol->id, a.at);
    (void)pthread_mutex_lock(&v->lock);
    bool ok = !a.vol->sealed;
    volume_release_user(v, a.vol);
    (void)pthread_mutex_unlock(&v->lock);
    if (!ok)
        return append_failed(why);
    *ref = got;
    return true;
}

bool volume_append(struct volumes *v, const struct record *rec, const struct body *body, volume_ref *ref,
                   struct fail *why)
{
    struct append a = {0};

    if (!append(v, rec, body, &a, why))
        return false;
    volume_ref got = ref_make(a.vol->id, a.at);
    (void)pthread_mutex_lock(&v->lock);
    bool ok = volume_wait(v, a.vol, a.ticket);
    if (!ok)
        volume_disown(a.vol, a.at, why);
    volume_release_user(v, a.vol);
    (void)pthread_mutex_unlock(&v->lock);
    if (ok)
        *ref = got;
    return ok;
}

bool volume_append_later(struct volumes *v, const struct record *rec, const struct body *body, struct volume_pending *p,
                         struct fail *why)
{
    struct append a = {0};

    if (!append(v, rec, body, &a, why))
        return false;
    p->ref = ref_make(a.vol->id, a.at);
    p->vol = a.vol;
    p->ticket = a.ticket;
    (void)pthread_mutex_lock(&v->lock);
    volume_park(v, p);
    (void)pthread_mutex_unlock(&v->lock);
    return true;
}
