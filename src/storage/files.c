/*
 * storage/files.c - see files.h.
 *
 * Layer: storage.  The list goes from the newest use to the oldest; only files
 * without users are closed, so more than `max` may be open for a while.
 */
#include "storage/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"

struct volume_name volume_name(uint32_t id)
{
    struct volume_name name;

    (void)snprintf(name.text, sizeof name.text, "%08x.vol", id);
    return name;
}

bool volume_name_parse(const char *name, uint32_t *id)
{
    *id = (uint32_t)strtoul(name, NULL, 16);
    return strcmp(name, volume_name(*id).text) == 0;
}

void files_init(struct files *f, int dir_fd, unsigned max)
{
    *f = (struct files){.dir_fd = dir_fd, .max = max};
    (void)pthread_mutex_init(&f->lock, NULL);
    idmap_init(&f->by_id);
}

static void file_free(struct volume_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    free(file->table);
    free(file);
}

static void unlink_from_list(struct files *f, struct volume_file *file)
{
    if (file->newer != NULL)
        file->newer->older = file->older;
    else
        f->newest = file->older;
    if (file->older != NULL)
        file->older->newer = file->newer;
    else
        f->oldest = file->newer;
    file->newer = file->older = NULL;
}

static void put_first(struct files *f, struct volume_file *file)
{
    file->older = f->newest;
    if (f->newest != NULL)
        f->newest->newer = file;
    else
        f->oldest = file;
    f->newest = file;
}

/* Takes it out of list and map; freed now or by its last user. */
static void let_go(struct files *f, struct volume_file *file)
{
    unlink_from_list(f, file);
    (void)idmap_remove(&f->by_id, file->id);
    f->count--;
    file->current = false;
    if (file->users == 0)
        file_free(file);
}

void files_finish(struct files *f)
{
    while (f->newest != NULL) {
        if (f->newest->users > 0)
            bug("volume %08x closed while it is being read", f->newest->id);
        let_go(f, f->newest);
    }
    idmap_finish(&f->by_id);
    (void)pthread_mutex_destroy(&f->lock);
}

bool file_pread(int fd, void *out, size_t n, uint64_t at, size_t *got, struct fail *why)
{
    size_t done = 0;

    while (done < n) {
        ssize_t more = pread(fd, (char *)out + done, n - done, (off_t)(at + done));
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0 && errno == EIO) /* a bad sector: not better for trying again at once */
            return fail_internal(why, FAIL_TEMP, FAIL_DAMAGED, "", "reading a volume: %s", errno_text(EIO));
        if (more < 0)
            return fail_errno(why, errno, "reading a volume");
        if (more == 0)
            break;
        done += (size_t)more;
    }
    *got = done;
    return true;
}

static bool load_table(struct volume_file *file, struct fail *why)
{
    size_t bytes = (size_t)file->header.table_count * TABLE_ENTRY_BYTES, got = 0;
    struct stat st;

    if (file->header.table_at == 0)
        return true;
    if (fstat(file->fd, &st) != 0)
        return fail_errno(why, errno, "volume %08x", file->id);
    if (bytes > (uint64_t)st.st_size)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "volume %08x: its offset table is cut off", file->id);
    file->table = xmalloc(bytes > 0 ? bytes : 1);
    if (!file_pread(file->fd, file->table, bytes, file->header.table_at, &got, why))
        return false;
    if (got != bytes || crc32c(0, file->table, bytes) != file->header.table_crc)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "volume %08x: its offset table is damaged", file->id);
    return true;
}

/*
 * 64 bytes should not cost 128 MB of mail: the tag also stands in the first
 * record, which nobody but us can have put there.  (The offset table of a
 * compacted volume is lost with its header.)
 */
static bool header_from_first_record(struct volume_file *file)
{
    unsigned char fixed[RECORD_FIXED_BYTES], *whole;
    struct record_header h;
    size_t got = 0;

    if (!file_pread(file->fd, fixed, sizeof fixed, VOLUME_HEADER_BYTES, &got, NULL) || got != sizeof fixed)
        return false;
    file->header = (struct volume_header){.id = file->id};
    memcpy(file->header.tag.bytes, fixed, VOLUME_TAG_BYTES);
    if (!record_header_get(fixed, &file->header.tag, &h) || h.ref != ref_make(file->id, VOLUME_HEADER_BYTES))
        return false;
    whole = xmalloc(h.header_bytes);
    bool ok = file_pread(file->fd, whole, h.header_bytes, VOLUME_HEADER_BYTES, &got, NULL) &&
              got == h.header_bytes && record_header_intact(whole, &h);
    free(whole);
    file->header_damaged = ok;
    return ok;
}

static struct volume_file *file_open(int dir_fd, uint32_t id, struct fail *why)
{
    struct volume_name name = volume_name(id);
    unsigned char header[VOLUME_HEADER_BYTES];
    struct volume_file *file = xcalloc(1, sizeof *file);
    size_t got = 0;
    bool ok;

    file->id = id;
    file->fd = openat(dir_fd, name.text, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0)
        ok = errno == ENOENT ? fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no volume %08x", id)
                             : fail_errno(why, errno, "volume %08x", id);
    else if (!file_pread(file->fd, header, sizeof header, 0, &got, why))
        ok = false;
    else if ((got != sizeof header || !volume_header_get(header, &file->header) || file->header.id != id) &&
             !header_from_first_record(file))
        ok = fail_set(why, FAIL_PERM, FAIL_OTHER, "volume %08x: its header is damaged", id);
    else
        ok = load_table(file, why);
    if (!ok) {
        file_free(file);
        return NULL;
    }
    return file;
}

static struct volume_file *use(struct files *f, struct volume_file *file)
{
    file->users++;
    if (f->newest != file) {
        unlink_from_list(f, file);
        put_first(f, file);
    }
    return file;
}

static void add(struct files *f, struct volume_file *file)
{
    (void)idmap_put(&f->by_id, file->id, file);
    put_first(f, file);
    file->current = true;
    f->count++;
    for (struct volume_file *old = f->oldest; f->count > f->max && old != file;) {
        struct volume_file *newer = old->newer;
        if (old->users == 0)
            let_go(f, old);
        old = newer;
    }
}

struct volume_file *files_get(struct files *f, uint32_t id, struct fail *why)
{
    (void)pthread_mutex_lock(&f->lock);
    for (;;) {
        struct volume_file *file = idmap_get(&f->by_id, id);
        uint64_t forgotten = f->forgotten;
        if (file != NULL) {
            file = use(f, file);
            (void)pthread_mutex_unlock(&f->lock);
            return file;
        }
        (void)pthread_mutex_unlock(&f->lock);
        file = file_open(f->dir_fd, id, why);
        if (file == NULL)
            return NULL;
        (void)pthread_mutex_lock(&f->lock);
        if (f->forgotten == forgotten && idmap_get(&f->by_id, id) == NULL)
            add(f, file);
        else
            file_free(
                file); /* another was faster, or this is not the file of that name any more: look again */
    }
}

void files_put(struct files *f, struct volume_file *file)
{
    (void)pthread_mutex_lock(&f->lock);
    bool last = --file->users == 0 && !file->current;
    (void)pthread_mutex_unlock(&f->lock);
    if (last)
        file_free(file);
}

void files_forget(struct files *f, uint32_t id)
{
    (void)pthread_mutex_lock(&f->lock);
    struct volume_file *file = idmap_get(&f->by_id, id);
    f->forgotten++;
    if (file != NULL)
        let_go(f, file);
    (void)pthread_mutex_unlock(&f->lock);
}

bool file_offset(const struct volume_file *file, volume_ref ref, uint64_t *at)
{
    uint32_t low = 0, high = file->header.table_count;

    if (file->table == NULL) {
        *at = ref_offset(ref);
        return *at >= VOLUME_HEADER_BYTES && *at % RECORD_ALIGN == 0;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (get_u32(file->table + (size_t)middle * TABLE_ENTRY_BYTES) < ref_offset(ref))
            low = middle + 1;
        else
            high = middle;
    }
    const unsigned char *entry = file->table + (size_t)low * TABLE_ENTRY_BYTES;
    if (low == file->header.table_count || get_u32(entry) != ref_offset(ref))
        return false;
    *at = get_u32(entry + 4);
    return true;
}
