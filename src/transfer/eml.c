/*
 * transfer/eml.c - a folder of messages, one to a file (.eml).
 *
 * Layer: transfer.
 */
#include "transfer/eml.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/scoped.h"
#include "message/header.h"
#include "transfer/files.h"

enum { DEPTH_MOST = 30, HEAD_MOST = 64 << 10, NAME_MOST = 200 };

struct eml {
    int                       root;
    char                     *real_path;
    const struct body_limits *bodies;
};

/* One folder while it is told. */
struct telling {
    const struct eml           *e;
    const struct transfer_into *into;
    struct fail                *why;
    struct arena                arena; /* names of the folder */
    struct slice                path;  /* below the root; empty: the root */
};

static struct slice below(struct arena *a, struct slice path, struct slice name)
{
    return path.len == 0 ? arena_keep(a, name) : arena_printf(a, PRIslice "/" PRIslice, SLICE_ARG(path), SLICE_ARG(name));
}

static void leave_out(struct telling *t, struct slice name, const char *reason)
{
    t->into->left_out(t->into->ctx, below(&t->arena, t->path, name), reason);
}

/* ---- a message ---- */

static void read_date(const struct body *body, int64_t *date, int *zone)
{
    char               *head = xmalloc(HEAD_MOST);
    struct header_field field;
    size_t              got = 0;
    bool                has = false;

    if (body_read(body, 0, head, HEAD_MOST, &got, NULL)) {
        struct slice text = slice_make(head, got);
        size_t       end = slice_find(text, SLICE("\r\n\r\n"));
        text = slice_sub(text, 0, end < text.len ? end + 2 : text.len);
        if (header_find(text, SLICE("Received"), &field) && slice_rfind_char(field.body, ';') < field.body.len)
            has = header_parse_date(slice_from(field.body, slice_rfind_char(field.body, ';') + 1), date, zone);
        if (!has && header_find(text, SLICE("Date"), &field))
            (void)header_parse_date(field.body, date, zone);
    }
    free(head);
}

/* The same name with another size is another message. */
static struct slice key_of(struct telling *t, struct slice name, uint64_t size)
{
    if (name.len > NAME_MOST)
        return arena_printf(&t->arena, PRIslice "#%016llx %llu", SLICE_ARG(slice_sub(name, 0, NAME_MOST - 20)),
                            (unsigned long long)hash_for_good(name), (unsigned long long)size);
    return arena_printf(&t->arena, PRIslice " %llu", SLICE_ARG(name), (unsigned long long)size);
}

static bool tell_file(struct telling *t, int at, const char *name)
{
    struct body      *body = NULL;
    struct file_facts facts;
    struct fail       local = {0};
    struct stat       st;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return true; /* gone */
    struct transfer_message m = {.flags = STORE_SEEN, .key = key_of(t, slice_of(name), (uint64_t)st.st_size)};
    if (t->into->has(t->into->ctx, &m))
        return t->into->message(t->into->ctx, &m, t->why);
    switch (files_message(at, name, t->e->bodies, &body, &facts, &local)) {
    case FILE_IS_GONE:
        return true;
    case FILE_IS_NO_MAIL:
        leave_out(t, slice_of(name), local.text);
        return true;
    case FILE_FAILED:
        *t->why = local;
        return false;
    case FILE_IS_READ:
        break;
    }
    bool ok = true;
    if (body_size(body) == 0) {
        leave_out(t, slice_of(name), "an empty file");
    } else {
        m.body = body;
        m.internal_date = facts.mtime;
        read_date(body, &m.internal_date, &m.internal_zone);
        ok = t->into->message(t->into->ctx, &m, t->why);
    }
    body_destroy(&body);
    return ok;
}

/* ---- a folder ---- */

struct names {
    const char **list;
    size_t       count, cap;
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_name(struct names *n, struct arena *a, struct slice name)
{
    if (n->count == n->cap) {
        n->cap = n->cap > 0 ? n->cap * 2 : 64;
        n->list = xrealloc(n->list, n->cap * sizeof *n->list);
    }
    n->list[n->count++] = arena_cstr(a, name);
}

/* Its messages and the folders below it, in the order of their names. */
static bool list_folder(struct telling *t, int at, struct names *files, struct names *folders)
{
    int                  copy = files_folder(at, ".", t->why);
    DIR                 *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    struct stat          st;

    if (dir == NULL)
        return false;
    while ((entry = readdir(dir)) != NULL) {
        struct slice name = slice_of(entry->d_name), ending = slice_from(name, slice_rfind_char(name, '.'));
        if (name.ptr[0] == '.' || fstatat(at, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            add_name(folders, &t->arena, name);
        else if (S_ISLNK(st.st_mode))
            leave_out(t, name, "a symbolic link, which is not followed");
        else if (slice_eq_nocase(ending, SLICE(".eml")))
            add_name(files, &t->arena, name);
        else
            leave_out(t, name, "no .eml file");
    }
    (void)closedir(dir);
    if (files->count > 0)
        qsort(files->list, files->count, sizeof *files->list, compare);
    if (folders->count > 0)
        qsort(folders->list, folders->count, sizeof *folders->list, compare);
    return true;
}

static bool tell_files(struct telling *t, int at, const struct names *files)
{
    struct transfer_mailbox box = {.name = t->path.len > 0 ? t->path : SLICE("Imported"), .subscribed = true};

    if (files->count == 0)
        return true;
    if (slice_eq_nocase(box.name, SLICE("INBOX")))
        box.name = SLICE("INBOX");
    box.source = transfer_source(&t->arena, "eml", t->e->real_path, t->path);
    if (!t->into->mailbox(t->into->ctx, &box, t->why))
        return false;
    for (size_t i = 0; i < files->count; i++) {
        if (!tell_file(t, at, files->list[i]))
            return false;
    }
    return t->into->mailbox_end(t->into->ctx, true, t->why);
}

static bool tell_folder(const struct eml *e, int at, struct slice path, unsigned depth, const struct transfer_into *into,
                        struct fail *why)
{
    struct telling t = {.e = e, .into = into, .why = why, .path = path};
    struct names   files = {.count = 0}, folders = {.count = 0};

    arena_init(&t.arena, SIZE_MAX);
    bool ok = list_folder(&t, at, &files, &folders) && tell_files(&t, at, &files);
    for (size_t i = 0; ok && i < folders.count; i++) {
        struct fail              local = {0};
        SCOPED(scoped_close) int fd = files_folder(at, folders.list[i], &local);
        if (fd < 0 || depth >= DEPTH_MOST)
            leave_out(&t, slice_of(folders.list[i]), fd < 0 ? local.text : "too deep a folder");
        else
            ok = tell_folder(e, fd, below(&t.arena, path, slice_of(folders.list[i])), depth + 1, into, why);
    }
    free(files.list);
    free(folders.list);
    arena_finish(&t.arena);
    return ok;
}

bool eml_read(void *ctx, const struct transfer_into *into, struct fail *why)
{
    const struct eml *e = ctx;
    struct fail       local = {0};
    bool              ok = tell_folder(e, e->root, SLICE(""), 0, into, &local);

    if (!ok && why != NULL)
        *why = local;
    return ok;
}

bool eml_open(const char *path, const struct body_limits *bodies, struct eml **out, struct fail *why)
{
    struct eml *e = xcalloc(1, sizeof *e);
    struct stat st;

    e->bodies = bodies;
    e->root = files_start(NULL, path, why);
    bool ok = e->root >= 0 && ((fstat(e->root, &st) == 0 && S_ISDIR(st.st_mode)) ||
                               fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is no folder", path));
    if (!ok || (e->real_path = files_path(e->root, why)) == NULL) {
        eml_destroy(&e);
        return false;
    }
    *out = e;
    return true;
}

void eml_destroy(struct eml **eml)
{
    struct eml *e = *eml;

    if (e == NULL)
        return;
    scoped_close(&e->root);
    free(e->real_path);
    free(e);
    *eml = NULL;
}
