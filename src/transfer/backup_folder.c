/*
 * transfer/backup_folder.c - a backup's folder and lists, read.
 *
 * Layer: transfer.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/io.h"
#include "base/scoped.h"
#include "transfer/backup_internal.h"

enum { FORMAT = 1, LIST_MAX = 1 << 30, DIGEST_BYTES = 32, COPY_STEP = 1 << 20, HOLE_STEP = 64 << 10, SYNC_ALONE = 8 << 20 };

struct backup_name backup_list_name(uint64_t number)
{
    struct backup_name name;

    (void)snprintf(name.text, sizeof name.text, "backup-%010llu.json", (unsigned long long)number);
    return name;
}

static bool list_number(const char *name, uint64_t *number)
{
    struct slice digits = slice_of(name), head = SLICE("backup-"), tail = SLICE(".json");

    if (digits.len <= head.len + tail.len || !slice_starts(digits, head) || !slice_ends(digits, tail))
        return false;
    digits = slice_sub(digits, head.len, digits.len - head.len - tail.len);
    return slice_to_u64(digits, INT64_MAX, number) && strcmp(backup_list_name(*number).text, name) == 0;
}

/* ---- the folder ---- */

static int descending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x < *y) - (*x > *y);
}

/* Calls `each` for every name in it until that says false. */
static bool each_name(const struct backup_folder *f, bool (*each)(void *ctx, const char *name), void *ctx, struct fail *why)
{
    DIR                 *dir = opendir(f->path);
    const struct dirent *entry;
    bool                 more = true;

    if (dir == NULL)
        return fail_errno(why, errno, "%s", f->path);
    while (more && (entry = readdir(dir)) != NULL)
        more = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || each(ctx, entry->d_name);
    (void)closedir(dir);
    return true;
}

struct numbers { uint64_t *list; size_t count, cap; };

static bool take_number(void *ctx, const char *name)
{
    struct numbers *n = ctx;
    uint64_t        number;

    if (!list_number(name, &number))
        return true;
    if (n->count == n->cap) {
        n->cap = n->cap > 0 ? n->cap * 2 : 16;
        n->list = xrealloc(n->list, n->cap * sizeof *n->list);
    }
    n->list[n->count++] = number;
    return true;
}

bool backup_folder_numbers(const struct backup_folder *f, uint64_t **numbers, size_t *count, struct fail *why)
{
    struct numbers n = {0};

    bool ok = each_name(f, take_number, &n, why);
    if (n.count > 0)
        qsort(n.list, n.count, sizeof *n.list, descending);
    *numbers = n.list;
    *count = n.count;
    return ok;
}

static bool is_first(void *ctx, const char *name)
{
    (void)name;
    *(bool *)ctx = false;
    return false;
}

static const char sign_name[] = "posthorn-backup";
static const char sign_text[] = "This folder is written by posthorn backup: posthorn restore(1) reads it.\n"
                                "Nothing in it changes once it is there; a backup is what one of the lists\n"
                                "(backup-NUMBER.json) names.\n";

/* Ours, or empty and ours from now on: files in it may be removed later. */
static bool make_ours(const struct backup_folder *f, struct fail *why)
{
    SCOPED(scoped_free) char *sign = NULL;
    bool  empty = true;

    if (faccessat(f->fd, sign_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    if (!each_name(f, is_first, &empty, why))
        return false;
    if (!empty)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, "%s is not empty, and not the folder of a backup", f->path);
    if (asprintf(&sign, "%s/%s", f->path, sign_name) < 0)
        die_no_memory(0);
    return io_replace_file(sign, slice_of(sign_text), 0600, why);
}

bool backup_folder_open(const char *path, bool write, struct backup_folder **out, struct fail *why)
{
    struct backup_folder *f = xcalloc(1, sizeof *f);

    f->fd = -1;
    bool ok = !write || io_make_dirs(path, 0700, why);
    if (ok) {
        f->path = realpath(path, NULL);
        f->fd = f->path != NULL ? open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        ok = f->fd >= 0 || fail_errno(why, errno, "%s", path);
    }
    if (ok && flock(f->fd, (write ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s is in use by another backup or restore", path);
    if (ok && write)
        ok = make_ours(f, why);
    else if (ok && faccessat(f->fd, sign_name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        ok = fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is not the folder of a backup", path);
    if (!ok) {
        backup_folder_close(&f);
        return false;
    }
    *out = f;
    return true;
}

void backup_folder_close(struct backup_folder **fp)
{
    struct backup_folder *f = *fp;

    if (f == NULL)
        return;
    *fp = NULL;
    if (f->fd >= 0)
        (void)close(f->fd);
    free(f->path);
    free(f);
}

const char *backup_folder_path(const struct backup_folder *f)
{
    return f->path;
}

/* ---- bytes ---- */

static bool all_zero(const char *bytes, size_t n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

/* Zeros become holes: what was punched out of a volume takes no room in a copy of it either. */
static bool put_piece(int out, struct slice piece, uint64_t at, struct fail *why)
{
    while (piece.len > 0) {
        size_t n = piece.len < HOLE_STEP ? piece.len : HOLE_STEP;
        if (!all_zero(piece.ptr, n) && !io_pwrite_all(out, slice_sub(piece, 0, n), at, why))
            return false;
        piece = slice_from(piece, n);
        at += n;
    }
    return true;
}

static bool read_piece(int in, char *room, size_t most, uint64_t at, size_t *got, struct fail *why)
{
    ssize_t n;

    while ((n = pread(in, room, most, (off_t)at)) < 0 && errno == EINTR)
        ;
    *got = n > 0 ? (size_t)n : 0;
    return n >= 0 || fail_errno(why, errno, "read");
}

static bool copy_pieces(int in, int out, uint64_t bytes, uint64_t *copied, crypto_generichash_state *digest,
                        const struct backup_moved *moved, struct fail *why)
{
    SCOPED(scoped_free) char *room = xmalloc(COPY_STEP);
    size_t got = 1;

    for (*copied = 0; *copied < bytes && got > 0; *copied += got) {
        size_t most = bytes - *copied < COPY_STEP ? (size_t)(bytes - *copied) : COPY_STEP;
        if (!read_piece(in, room, most, *copied, &got, why))
            return false;
        (void)crypto_generichash_update(digest, (const unsigned char *)room, got);
        if (out >= 0 && !put_piece(out, slice_make(room, got), *copied, why))
            return false;
        if (moved != NULL && moved->moved != NULL)
            moved->moved(moved->ctx, got);
    }
    return bytes == UINT64_MAX || *copied == bytes ||
           fail_set(why, FAIL_PERM, FAIL_OTHER, "%llu bytes, not %llu", (unsigned long long)*copied, (unsigned long long)bytes);
}

static void digest_text(crypto_generichash_state *state, char out[BACKUP_DIGEST_TEXT])
{
    unsigned char bytes[DIGEST_BYTES];

    (void)crypto_generichash_final(state, bytes, sizeof bytes);
    (void)sodium_bin2hex(out, BACKUP_DIGEST_TEXT, bytes, sizeof bytes);
}

bool backup_copy_bytes(int in, int out, uint64_t bytes, uint64_t *copied, char digest[BACKUP_DIGEST_TEXT],
                       const struct backup_moved *moved, struct fail *why)
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (!copy_pieces(in, out, bytes, copied, &state, moved, why))
        return false;
    digest_text(&state, digest);
    if (out >= 0 && (ftruncate(out, (off_t)*copied) != 0 || (*copied >= SYNC_ALONE && io_fsync(out) != 0)))
        return fail_errno(why, errno, "write");
    return true;
}

int backup_open_stored(const struct backup_folder *f, const char *stored, struct fail *why)
{
    int         fd = openat(f->fd, stored, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    int errnum = fd < 0 ? errno : EINVAL;
    if (fd >= 0)
        (void)close(fd);
    if (errnum == ENOENT)
        (void)fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "%s is missing", stored);
    else
        (void)fail_errno(why, errnum, "%s", stored);
    return -1;
}

static bool check_copy(const struct backup_folder *f, const struct backup_file *file, int out, const struct backup_moved *moved,
                       struct fail *why)
{
    SCOPED(scoped_close) int in = backup_open_stored(f, file->stored, why);
    char        digest[BACKUP_DIGEST_TEXT];
    struct stat st;
    uint64_t    copied;

    if (in < 0)
        return false;
    if (fstat(in, &st) != 0)
        return fail_errno(why, errno, "%s", file->stored);
    if ((uint64_t)st.st_size != file->bytes)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "%s has %llu bytes, not %llu", file->stored, (unsigned long long)st.st_size,
                        (unsigned long long)file->bytes);
    if (!backup_copy_bytes(in, out, file->bytes, &copied, digest, moved, why))
        return fail_at(why, "%s", file->stored);
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_DONTNEED);
    return strcmp(digest, file->digest) == 0 || fail_set(why, FAIL_PERM, FAIL_OTHER, "%s is damaged: its digest is another", file->stored);
}

bool backup_file_verify(const struct backup_folder *f, const struct backup_file *file, const struct backup_moved *moved,
                        struct fail *why)
{
    return check_copy(f, file, -1, moved, why);
}

bool backup_file_copy(const struct backup_folder *f, const struct backup_file *file, const char *path, unsigned mode,
                      const struct backup_moved *moved, struct fail *why)
{
    SCOPED(scoped_close) int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

    if (out < 0 || fchmod(out, mode) != 0)
        return fail_errno(why, errno, "%s", path);
    if (check_copy(f, file, out, moved, why) && (io_fsync(out) == 0 || fail_errno(why, errno, "%s", path)))
        return true;
    (void)unlink(path);
    return false;
}

/* ---- lists ---- */

static bool text_digest(const json_t *list, char out[BACKUP_DIGEST_TEXT])
{
    SCOPED(scoped_free) char *text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
    crypto_generichash_state state;

    if (text == NULL)
        return false;
    (void)crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
    (void)crypto_generichash_update(&state, (const unsigned char *)text, strlen(text));
    digest_text(&state, out);
    return true;
}

static json_t *file_json(const struct backup_file *f)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:i}", "name", f->name, "stored", f->stored, "bytes", (json_int_t)f->bytes, "blake2b",
                          f->digest, "mode", (int)f->mode);

    if (o != NULL && f->stamp[0] != '\0')
        (void)json_object_set_new(o, "stamp", json_string(f->stamp));
    if (o != NULL && f->path != NULL)
        (void)json_object_set_new(o, "path", json_string(f->path));
    if (o != NULL && f->owner != NULL)
        (void)json_object_set_new(o, "owner", json_string(f->owner));
    if (o != NULL && f->group != NULL)
        (void)json_object_set_new(o, "group", json_string(f->group));
    return o;
}

bool backup_list_write(const struct backup_list *l, struct buf *out)
{
    char    digest[BACKUP_DIGEST_TEXT];
    json_t *files = json_array();
    json_t *all = json_pack("{s:i, s:I, s:I, s:s, s:s, s:o}", "format", FORMAT, "number", (json_int_t)l->number, "made",
                            (json_int_t)l->made, "hostname", l->hostname, "version", l->version, "files", files);

    for (size_t i = 0; all != NULL && i < l->count; i++)
        (void)json_array_append_new(files, file_json(&l->files[i]));
    bool ok = all != NULL && json_array_size(files) == l->count && text_digest(all, digest) &&
              json_object_set_new(all, "blake2b", json_string(digest)) == 0;
    SCOPED(scoped_free) char *text = ok ? json_dumps(all, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(all);
    if (text == NULL)
        return false;
    buf_add(out, slice_of(text));
    buf_add_char(out, '\n');
    return !out->failed;
}

/* Below the folder: no root, no way up, nothing of ours. */
static bool is_below(const char *path)
{
    struct slice rest = slice_of(path);

    if (rest.len == 0)
        return false;
    while (rest.len > 0) {
        struct slice level = slice_cut(&rest, '/');
        if (level.len == 0 || slice_eq(level, SLICE("..")) || slice_eq(level, SLICE(".")))
            return false;
    }
    return path[strlen(path) - 1] != '/';
}

static const char *text_of(struct backup_list *l, const json_t *o, const char *field)
{
    const char *text = json_string_value(json_object_get(o, field));

    return text != NULL ? arena_cstr(&l->arena, slice_of(text)) : NULL;
}

static bool read_file(struct backup_list *l, const json_t *o, struct backup_file *out)
{
    const char  *digest = json_string_value(json_object_get(o, "blake2b"));
    json_int_t   bytes = json_integer_value(json_object_get(o, "bytes"));

    *out = (struct backup_file){.name = text_of(l, o, "name"), .stored = text_of(l, o, "stored"), .path = text_of(l, o, "path"),
                                .stamp = text_of(l, o, "stamp"), .owner = text_of(l, o, "owner"), .group = text_of(l, o, "group"), .bytes = (uint64_t)bytes,
                                .mode = (unsigned)json_integer_value(json_object_get(o, "mode")) & 0777};
    if (out->stamp == NULL)
        out->stamp = "";
    if (out->name == NULL || out->stored == NULL || digest == NULL || strlen(digest) != BACKUP_DIGEST_TEXT - 1 || bytes < 0 ||
        !is_below(out->name) || !is_below(out->stored))
        return false;
    memcpy(out->digest, digest, BACKUP_DIGEST_TEXT);
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct backup_file *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static bool read_list(struct backup_list *l, json_t *all)
{
    const json_t *files = json_object_get(all, "files");
    char          digest[BACKUP_DIGEST_TEXT];
    const char   *said = json_string_value(json_object_get(all, "blake2b"));

    if (said == NULL || !json_is_array(files))
        return false;
    said = arena_cstr(&l->arena, slice_of(said));
    (void)json_object_del(all, "blake2b");
    if (!text_digest(all, digest) || strcmp(digest, said) != 0)
        return false;
    l->number = (uint64_t)json_integer_value(json_object_get(all, "number"));
    l->made = json_integer_value(json_object_get(all, "made"));
    l->hostname = text_of(l, all, "hostname");
    l->version = text_of(l, all, "version");
    l->files = xcalloc(json_array_size(files) + 1, sizeof *l->files);
    for (l->count = 0; l->count < json_array_size(files); l->count++)
        if (!read_file(l, json_array_get(files, l->count), &l->files[l->count]))
            return false;
    qsort(l->files, l->count, sizeof *l->files, by_name);
    return l->hostname != NULL && l->version != NULL;
}

static json_t *parse_list(const struct backup_folder *f, uint64_t number, struct fail *why)
{
    struct backup_name name = backup_list_name(number);
    SCOPED(scoped_free) char *path = NULL;
    json_error_t       error;
    struct buf         text;
    json_t            *all = NULL;

    if (asprintf(&path, "%s/%s", f->path, name.text) < 0)
        die_no_memory(0);
    buf_init(&text, LIST_MAX);
    if (io_read_file(path, &text, why)) {
        all = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &error);
        if (all == NULL)
            (void)fail_set(why, FAIL_PERM, FAIL_OTHER, "%s is damaged: %s", path, error.text);
        else if (json_integer_value(json_object_get(all, "format")) > FORMAT) {
            (void)fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "%s was written by a newer program", path);
            json_decref(all);
            all = NULL;
        }
    }
    buf_finish(&text);
    return all;
}

static bool newest_number(const struct backup_folder *f, uint64_t *number, struct fail *why)
{
    SCOPED(scoped_free) uint64_t *numbers = NULL;
    size_t count;

    if (!backup_folder_numbers(f, &numbers, &count, why))
        return false;
    if (count == 0)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no backup in %s", f->path);
    *number = numbers[0];
    return true;
}

bool backup_list_load(const struct backup_folder *f, uint64_t number, struct backup_list **out, struct fail *why)
{
    if (number == 0 && !newest_number(f, &number, why))
        return false;
    json_t *all = parse_list(f, number, why);
    if (all == NULL)
        return false;

    struct backup_list *l = xcalloc(1, sizeof *l);
    arena_init(&l->arena, SIZE_MAX);
    bool ok = read_list(l, all) && l->number == number;
    json_decref(all);
    if (!ok) {
        backup_list_free(&l);
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "%s/%s is damaged", f->path, backup_list_name(number).text);
    }
    *out = l;
    return true;
}

void backup_list_free(struct backup_list **lp)
{
    struct backup_list *l = *lp;

    if (l == NULL)
        return;
    *lp = NULL;
    free(l->files);
    arena_finish(&l->arena);
    free(l);
}

const struct backup_file *backup_list_find(const struct backup_list *l, const char *name)
{
    const struct backup_file key = {.name = name};

    return l->count > 0 ? bsearch(&key, l->files, l->count, sizeof *l->files, by_name) : NULL;
}
