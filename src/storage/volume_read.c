/*
 * storage/volume_read.c - a record's header and frames, checked as they are read.
 *
 * Layer: storage.  pread, never mmap: a disk error is an error here, no SIGBUS.
 * The first read takes 8 KB, which is all of most messages.
 */
#include <stdio.h>

#include "base/encode.h"
#include "base/scoped.h"
#include "storage/volume_internal.h"

void locate_finish(struct located *l)
{
    if (l->header != l->first)
        free(l->header);
    l->header = NULL;
}

enum located_kind locate_at(struct volume_file *file, uint64_t at, struct located *out, struct fail *why)
{
    out->file = file;
    out->at = at;
    out->header = out->first;
    if (!file_pread(file->fd, out->first, sizeof out->first, at, &out->first_len, why))
        return LOCATED_ERROR;
    if (out->first_len < RECORD_BYTES_MIN || !record_header_get(out->first, &file->header.tag, &out->h) ||
        ref_volume(out->h.ref) != file->id)
        return LOCATED_DAMAGED;
    if (out->h.header_bytes > out->first_len) {
        size_t got;
        out->header = xmalloc(out->h.header_bytes);
        if (!file_pread(file->fd, out->header, out->h.header_bytes, at, &got, why))
            return LOCATED_ERROR;
        if (got < out->h.header_bytes)
            return LOCATED_DAMAGED;
    }
    return record_header_intact(out->header, &out->h) ? LOCATED : LOCATED_DAMAGED;
}

static bool damaged(const struct located *l, const char *what, struct fail *why)
{
    return fail_internal(why, FAIL_PERM, FAIL_DAMAGED, "", "volume %08x: the record at %llu is damaged (%s)",
                         l->file->id, (unsigned long long)l->at, what);
}

static bool no_record(volume_ref ref, struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no record %llx", (unsigned long long)ref);
}

/* Nothing was ever written here, or it was taken back before anybody was told of it. */
static bool is_blank(const struct located *l)
{
    static const unsigned char zeros[VOLUME_TAG_BYTES];

    return l->first_len < VOLUME_TAG_BYTES || memcmp(l->first, zeros, VOLUME_TAG_BYTES) == 0;
}

/* The record `ref` with the file it is in; both to be given back by `leave`. */
static bool locate(struct volumes *v, volume_ref ref, struct located *out, struct fail *why)
{
    uint64_t at;

    out->header = out->first;
    out->file = files_get(&v->files, ref_volume(ref), why);
    if (out->file == NULL)
        return false;
    if (!file_offset(out->file, ref, &at))
        return no_record(ref, why);
    switch (locate_at(out->file, at, out, why)) {
    case LOCATED: break;
    case LOCATED_DAMAGED: return is_blank(out) ? no_record(ref, why) : damaged(out, "header", why);
    case LOCATED_ERROR: return false;
    }
    if (out->h.ref != ref || out->h.kind == STORED_VOID || out->h.kind == STORED_END)
        return no_record(ref, why);
    return true;
}

static void leave(struct volumes *v, struct located *l)
{
    locate_finish(l);
    if (l->file != NULL)
        files_put(&v->files, l->file);
}

/* Stored bytes of the record, `from` its beginning: out of the first read, or from the file. */
static bool stored_bytes(const struct located *l, uint64_t from, void *out, size_t n, struct fail *why)
{
    size_t got;

    if (from + n <= l->first_len) {
        memcpy(out, l->first + from, n);
        return true;
    }
    if (!file_pread(l->file->fd, out, n, l->at + from, &got, why))
        return false;
    return got == n || damaged(l, "cut off", why);
}

/* Frame `i`, stored at `from`, whole and checked, into `out`; `room` has FRAME_BYTES. */
static bool read_frame(struct volumes *v, const struct located *l, uint32_t i, uint64_t from, char *out,
                       char *room, struct fail *why)
{
    struct frame f = record_frame(l->header, i);
    size_t n = frame_size(l->h.size, i);
    char *stored = f.packed ? room : out, what[40];

    (void)snprintf(what, sizeof what, "frame %u of %u", i + 1, l->h.frame_count);
    if (f.bytes > n || (!f.packed && f.bytes != n))
        return damaged(l, what, why);
    if (!stored_bytes(l, from, stored, f.bytes, why))
        return false;
    if (crc32c(0, stored, f.bytes) != f.crc || (f.packed && !codec_unpack(&v->codecs, room, f.bytes, out, n)))
        return damaged(l, what, why);
    return true;
}

/* Message bytes [offset, offset+n), frame by frame; whole frames go straight to their place. */
static bool read_range(struct volumes *v, const struct located *l, uint64_t offset, char *out, size_t n,
                       struct fail *why)
{
    SCOPED(scoped_free) char *room = NULL;
    SCOPED(scoped_free) char *part = NULL;
    uint64_t from = l->h.header_bytes;

    for (uint32_t i = 0; i < l->h.frame_count && n > 0; i++) {
        uint64_t start = (uint64_t)i * FRAME_BYTES;
        struct frame f = record_frame(l->header, i);
        size_t size = frame_size(l->h.size, i);
        if (offset < start + size) {
            size_t skip = (size_t)(offset - start), take = size - skip < n ? size - skip : n;
            if (f.packed && room == NULL)
                room = xmalloc(FRAME_BYTES);
            if (take < size && part == NULL)
                part = xmalloc(FRAME_BYTES);
            if (!read_frame(v, l, i, from, take < size ? part : out, room, why))
                return false;
            if (take < size)
                memcpy(out, part + skip, take);
            out += take;
            offset += take;
            n -= take;
        }
        from += f.bytes;
    }
    return true;
}

bool volume_read(struct volumes *v, volume_ref ref, uint64_t offset, void *out, size_t n, struct fail *why)
{
    struct located l = {0};
    bool ok = locate(v, ref, &l, why);

    if (ok && (offset > l.h.size || n > l.h.size - offset))
        ok = fail_set(why, FAIL_PERM, FAIL_INVALID, "record %llx has only %llu bytes",
                      (unsigned long long)ref, (unsigned long long)l.h.size);
    ok = ok && read_range(v, &l, offset, out, n, why);
    leave(v, &l);
    return ok;
}

bool volume_describe(struct volumes *v, volume_ref ref, struct arena *a, struct record *out, struct fail *why)
{
    struct located l = {0};
    bool ok = locate(v, ref, &l, why);

    if (ok) {
        struct slice header = arena_keep(a, slice_make(l.header, l.h.header_bytes));
        if (header.len == 0)
            ok = fail_set(why, FAIL_TEMP, FAIL_LIMIT, "record %llx has too long a header",
                          (unsigned long long)ref);
        else if (!record_get((const unsigned char *)header.ptr, &l.h, a, out))
            ok = a->failed ? fail_set(why, FAIL_TEMP, FAIL_LIMIT, "record %llx has too many targets",
                                      (unsigned long long)ref)
                           : damaged(&l, "targets", why);
    }
    leave(v, &l);
    return ok;
}

/* Zeros behind the frames, then the reference again. */
static bool verify_end(const struct located *l, uint64_t from, struct fail *why)
{
    unsigned char end[RECORD_BYTES_MIN + RECORD_TRAILER_BYTES];
    uint64_t left = l->h.record_bytes - from;
    size_t n = (size_t)left;

    if (left < RECORD_TRAILER_BYTES || left > sizeof end)
        return damaged(l, "length", why);
    if (!stored_bytes(l, from, end, n, why))
        return false;
    for (size_t i = 0; i < n - RECORD_TRAILER_BYTES; i++)
        if (end[i] != 0)
            return damaged(l, "padding", why);
    return get_u64(end + n - RECORD_TRAILER_BYTES) == l->h.ref || damaged(l, "end", why);
}

bool located_verify(struct volumes *v, const struct located *l, struct fail *why)
{
    SCOPED(scoped_free) char *out = xmalloc(FRAME_BYTES);
    SCOPED(scoped_free) char *room = xmalloc(FRAME_BYTES);
    uint64_t from = l->h.header_bytes;

    for (uint32_t i = 0; i < l->h.frame_count; i++) {
        uint32_t bytes = record_frame(l->header, i).bytes;
        if (bytes > l->h.record_bytes - from)
            return damaged(l, "length", why);
        if (!read_frame(v, l, i, from, out, room, why))
            return false;
        from += bytes;
    }
    return verify_end(l, from, why);
}

bool volume_verify(struct volumes *v, volume_ref ref, struct fail *why)
{
    struct located l = {0};
    bool ok = locate(v, ref, &l, why) && located_verify(v, &l, why);

    leave(v, &l);
    return ok;
}
