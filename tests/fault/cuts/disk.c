/*
 * tests/fault/cuts/disk.c - see disk.h.
 */
#include "disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

enum { SECTOR = 512, CHUNK = 4096 };

struct inode;

struct name {
    char text[64];
    struct inode *inode;
};

struct names {
    struct name *list;
    size_t count, cap;
};

struct waiting { /* a change of a file that was not synced */
    const struct entry *entry;
    uint64_t index;
};

struct inode {
    uint64_t number;
    bool is_folder;
    char *bytes; /* synced */
    uint64_t size, cap;
    struct waiting *waiting;
    size_t waiting_count, waiting_cap;
    struct names synced, now;
    struct inode *next; /* of all */
};

struct move { /* a change of names that was not synced */
    uint64_t index;
    struct inode *from, *to; /* folders; `from` NULL: it is new; `to` NULL: it is gone */
    char old[64], new[64];
    struct inode *inode;
};

struct disk {
    struct inode *root, *all;
    struct move *moves;
    size_t move_count, move_cap;
};

static const char *const mood_names[MOODS] = {"lose", "names", "bytes", "keep", "zeros", "ordered", "chaos", "chaos-names"};

const char *mood_name(enum mood m)
{
    return mood_names[m];
}

uint64_t rng_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Room for one more. */
static void *grown(void *list, size_t count, size_t *cap, size_t bytes)
{
    if (count < *cap)
        return list;
    *cap = *cap > 0 ? *cap * 2 : 16;
    return xrealloc(list, *cap * bytes);
}

static struct inode *inode_new(struct disk *d, uint64_t number, bool is_folder)
{
    struct inode *i = xcalloc(1, sizeof *i);

    *i = (struct inode){.number = number, .is_folder = is_folder, .next = d->all};
    d->all = i; /* in front of an earlier one of the same number, which is gone */
    return i;
}

static struct inode *inode_find(const struct disk *d, uint64_t number)
{
    struct inode *i = d->all;

    while (i != NULL && i->number != number)
        i = i->next;
    return i;
}

struct disk *disk_create(uint64_t root)
{
    struct disk *d = xcalloc(1, sizeof *d);

    d->root = inode_new(d, root, true);
    return d;
}

void disk_destroy(struct disk **dp)
{
    struct disk *d = *dp;

    *dp = NULL;
    while (d->all != NULL) {
        struct inode *i = d->all;
        d->all = i->next;
        free(i->bytes);
        free(i->waiting);
        free(i->synced.list);
        free(i->now.list);
        free(i);
    }
    free(d->moves);
    free(d);
}

/* ---- names ---- */

static struct name *names_find(const struct names *n, const char *text)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->list[i].text, text) == 0)
            return &n->list[i];
    return NULL;
}

static void names_remove(struct names *n, const char *text, const struct inode *inode)
{
    struct name *name = names_find(n, text);

    if (name != NULL && name->inode == inode)
        *name = n->list[--n->count];
}

static void names_put(struct names *n, const char *text, struct inode *inode)
{
    struct name *name = names_find(n, text);

    if (name == NULL) {
        n->list = grown(n->list, n->count, &n->cap, sizeof *n->list);
        name = &n->list[n->count++];
        (void)snprintf(name->text, sizeof name->text, "%s", text);
    }
    name->inode = inode;
}

static bool names_have(const struct names *n, const char *text, const struct inode *inode)
{
    const struct name *name = names_find(n, text);

    return name != NULL && name->inode == inode;
}

static void copy_text(char out[64], const char *text, size_t len)
{
    if (len >= 64)
        bug("a name of %zu bytes", len);
    memcpy(out, text, len);
    out[len] = '\0';
}

/* To what stands there now, and to what waits. */
static void add_move(struct disk *d, const struct move *m)
{
    if (m->from != NULL)
        names_remove(&m->from->now, m->old, m->inode);
    if (m->to != NULL)
        names_put(&m->to->now, m->new, m->inode);
    d->moves = grown(d->moves, d->move_count, &d->move_cap, sizeof *d->moves);
    d->moves[d->move_count++] = *m;
}

static void add_names(struct disk *d, const struct entry *e, uint64_t index)
{
    struct inode *a = inode_find(d, e->a);
    struct move m = {.index = index};

    if (a == NULL || !a->is_folder)
        bug("a name in an unknown folder");
    if (e->kind == TRACE_CREATE) {
        m.to = a;
        m.inode = inode_new(d, e->b, e->c != 0);
        copy_text(m.new, e->payload, e->bytes);
    } else {
        size_t len = e->kind == TRACE_RENAME ? strnlen(e->payload, e->bytes) : e->bytes;
        m.from = a;
        copy_text(m.old, e->payload, len);
        const struct name *name = names_find(&a->now, m.old);
        if (name == NULL)
            bug("there is no %s", m.old);
        m.inode = name->inode;
        if (e->kind == TRACE_RENAME) {
            m.to = inode_find(d, e->b);
            copy_text(m.new, e->payload + len + 1, e->bytes - len - 1);
        }
    }
    add_move(d, &m);
}

/* Changes of that folder's names are on disk, and so is what they need of others. */
static void sync_names(struct disk *d, struct inode *folder, uint64_t before)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->move_count; i++) {
        const struct move *m = &d->moves[i];
        bool is_its = (m->from == folder || m->to == folder) && m->index < before;
        for (size_t j = i + 1; j < d->move_count && !is_its; j++) /* it made what was moved in later */
            is_its = d->moves[j].inode == m->inode && d->moves[j].index < before &&
                     (d->moves[j].from == folder || d->moves[j].to == folder);
        if (is_its) {
            if (m->from != NULL)
                names_remove(&m->from->synced, m->old, m->inode);
            if (m->to != NULL)
                names_put(&m->to->synced, m->new, m->inode);
        } else {
            d->moves[kept++] = *m;
        }
    }
    d->move_count = kept;
}

/* ---- contents ---- */

/* A file as it is being put together. */
struct content {
    char *bytes;
    uint64_t size, cap;
};

static void content_size(struct content *c, uint64_t size)
{
    if (size > c->cap) {
        c->cap = size + size / 2 + CHUNK;
        c->bytes = xrealloc(c->bytes, c->cap);
    }
    if (size > c->size)
        memset(c->bytes + c->size, 0, size - c->size);
    c->size = size;
}

static void content_put(struct content *c, uint64_t at, const char *bytes, uint64_t n)
{
    if (n == 0)
        return;
    if (at + n > c->size)
        content_size(c, at + n);
    memcpy(c->bytes + at, bytes, n);
}

static void content_clear(struct content *c, uint64_t at, uint64_t n)
{
    if (at < c->size)
        memset(c->bytes + at, 0, n < c->size - at ? n : c->size - at);
}

static void apply(struct content *c, const struct entry *e)
{
    if (e->kind == TRACE_WRITE)
        content_put(c, e->b, e->payload, e->bytes);
    else if (e->kind == TRACE_SIZE)
        content_size(c, e->b);
    else
        content_clear(c, e->b, e->c);
}

/* Some of its sectors; or it ended early. */
static void apply_torn(struct content *c, const struct entry *e, uint64_t *rng)
{
    uint64_t at = e->b, end = at + (e->kind == TRACE_WRITE ? e->bytes : e->c);
    bool longer = end > c->size;

    if (e->kind == TRACE_SIZE || end == at)
        return;
    if (e->kind == TRACE_WRITE && rng_below(rng, 2) == 0) {
        uint64_t some = longer ? rng_below(rng, end - at) : (rng_below(rng, end - at) + at) / SECTOR * SECTOR;
        content_put(c, at, e->payload, longer ? some : some > at ? some - at : 0);
        if (longer && rng_below(rng, 2) == 0)
            content_size(c, end);
        return;
    }
    for (uint64_t next; at < end; at = next) {
        next = at / SECTOR * SECTOR + SECTOR;
        next = next < end ? next : end;
        if (rng_below(rng, 2) == 0)
            continue;
        if (e->kind == TRACE_WRITE)
            content_put(c, at, e->payload + (at - e->b), next - at);
        else
            content_clear(c, at, next - at);
    }
}

/* Only its length. */
static void apply_zeros(struct content *c, const struct entry *e)
{
    if (e->kind == TRACE_SIZE)
        content_size(c, e->b);
    else if (e->kind == TRACE_WRITE && e->b + e->bytes > c->size)
        content_size(c, e->b + e->bytes);
}

static void apply_somehow(struct content *c, const struct entry *e, uint64_t *rng)
{
    switch (rng_below(rng, 4)) {
    case 0:
        apply(c, e);
        break;
    case 1:
        apply_torn(c, e, rng);
        break;
    case 2:
        apply_zeros(c, e);
        break;
    default:
        break;
    }
}

static void apply_waiting(struct content *c, const struct inode *i, enum mood mood, uint64_t *rng)
{
    size_t whole = mood == MOOD_ORDERED ? rng_below(rng, i->waiting_count + 1) : i->waiting_count;

    for (size_t n = 0; n < whole; n++) {
        const struct entry *e = i->waiting[n].entry;
        if (mood == MOOD_BYTES || mood == MOOD_KEEP || mood == MOOD_ORDERED)
            apply(c, e);
        else if (mood == MOOD_ZEROS)
            apply_zeros(c, e);
        else if (mood == MOOD_CHAOS || mood == MOOD_CHAOS_NAMES)
            apply_somehow(c, e, rng);
    }
    if (mood == MOOD_ORDERED && whole < i->waiting_count)
        apply_torn(c, i->waiting[whole].entry, rng);
}

static void sync_bytes(struct inode *i, uint64_t before)
{
    struct content c = {.bytes = i->bytes, .size = i->size, .cap = i->cap};
    size_t kept = 0;

    for (size_t n = 0; n < i->waiting_count; n++) {
        if (i->waiting[n].index < before)
            apply(&c, i->waiting[n].entry);
        else
            i->waiting[kept++] = i->waiting[n];
    }
    i->waiting_count = kept;
    i->bytes = c.bytes;
    i->size = c.size;
    i->cap = c.cap;
}

void disk_add(struct disk *d, const struct entry *e, uint64_t index)
{
    struct inode *i;

    switch (e->kind) {
    case TRACE_CREATE:
    case TRACE_UNLINK:
    case TRACE_RENAME:
        add_names(d, e, index);
        break;
    case TRACE_FORGET:
        (void)inode_new(d, e->a, false);
        break;
    case TRACE_SYNC:
        if ((i = inode_find(d, e->a)) != NULL && i->is_folder)
            sync_names(d, i, e->b);
        else if (i != NULL)
            sync_bytes(i, e->b);
        break;
    case TRACE_WRITE:
    case TRACE_SIZE:
    case TRACE_PUNCH:
        if ((i = inode_find(d, e->a)) == NULL)
            bug("a write into an unknown file");
        i->waiting = grown(i->waiting, i->waiting_count, &i->waiting_cap, sizeof *i->waiting);
        i->waiting[i->waiting_count++] = (struct waiting){.entry = e, .index = index};
        break;
    default: /* notes */
        break;
    }
}

static void die(const char *what)
{
    perror(what);
    exit(3);
}

/* ---- a folder as it is ---- */

static void load_file(struct inode *i, int fd, uint64_t size)
{
    i->bytes = xmalloc(size + 1);
    i->size = i->cap = size;
    for (uint64_t at = 0; at < size;) {
        ssize_t n = pread(fd, i->bytes + at, size - at, (off_t)at);
        if (n <= 0)
            die("reading a file");
        at += (uint64_t)n;
    }
}

static void load_folder(struct disk *d, struct inode *folder, const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *e;
    struct stat st;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        char below[PATH_MAX];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (snprintf(below, sizeof below, "%s/%s", path, e->d_name) >= (int)sizeof below || stat(below, &st) != 0)
            die(below);
        struct inode *i = inode_new(d, st.st_ino, S_ISDIR(st.st_mode));
        names_put(&folder->synced, e->d_name, i);
        names_put(&folder->now, e->d_name, i);
        if (i->is_folder) {
            load_folder(d, i, below);
            continue;
        }
        int fd = open(below, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            die(below);
        load_file(i, fd, (uint64_t)st.st_size);
        (void)close(fd);
    }
    if (dir == NULL || closedir(dir) != 0)
        die(path);
}

struct disk *disk_load(const char *folder)
{
    struct stat st;

    if (stat(folder, &st) != 0)
        die(folder);
    struct disk *d = disk_create(st.st_ino);
    load_folder(d, d->root, folder);
    return d;
}

/* ---- the cut ---- */

static void write_file(const struct inode *i, enum mood mood, uint64_t *rng, int dir, const char *name)
{
    static const char zeros[CHUNK];
    struct content c = {.size = i->size, .cap = i->size};
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    c.bytes = xmalloc(c.cap > 0 ? c.cap : 1);
    if (i->size > 0)
        memcpy(c.bytes, i->bytes, i->size);
    apply_waiting(&c, i, mood, rng);
    if (fd < 0 || ftruncate(fd, (off_t)c.size) != 0)
        die(name);
    for (uint64_t at = 0, n; at < c.size; at += n) {
        n = c.size - at < CHUNK ? c.size - at : CHUNK;
        if (memcmp(c.bytes + at, zeros, n) != 0 && pwrite(fd, c.bytes + at, n, (off_t)at) != (ssize_t)n)
            die(name);
    }
    (void)close(fd);
    free(c.bytes);
}

/* The folder's names as they are after the cut; they borrow `now`, which is put back afterwards. */
static void write_folder(const struct inode *folder, enum mood mood, uint64_t *rng, int dir)
{
    for (size_t n = 0; n < folder->now.count; n++) {
        const struct name *name = &folder->now.list[n];
        if (!name->inode->is_folder) {
            write_file(name->inode, mood, rng, dir, name->text);
            continue;
        }
        if (mkdirat(dir, name->text, 0700) != 0)
            die(name->text);
        int below = openat(dir, name->text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (below < 0)
            die(name->text);
        write_folder(name->inode, mood, rng, below);
        (void)close(below);
    }
}

static void copy_names(struct names *to, const struct names *from)
{
    to->count = 0;
    for (size_t n = 0; n < from->count; n++)
        names_put(to, from->list[n].text, from->list[n].inode);
}

/* Which of the changes of names happened. */
static void choose_names(const struct disk *d, enum mood mood, uint64_t *rng)
{
    size_t upto = mood == MOOD_LOSE || mood == MOOD_BYTES ? 0 : d->move_count;

    if (mood == MOOD_ORDERED || mood == MOOD_CHAOS)
        upto = rng_below(rng, d->move_count + 1);
    for (size_t n = 0; n < upto; n++) {
        const struct move *m = &d->moves[n];
        if (mood == MOOD_CHAOS_NAMES && rng_below(rng, 2) == 0)
            continue;
        if (m->from != NULL && !names_have(&m->from->now, m->old, m->inode))
            continue; /* it needs one that did not happen */
        if (m->from != NULL)
            names_remove(&m->from->now, m->old, m->inode);
        if (m->to != NULL)
            names_put(&m->to->now, m->new, m->inode);
    }
}

void disk_cut(const struct disk *d, enum mood mood, uint64_t seed, const char *to)
{
    uint64_t rng = seed;
    int dir = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t count = 0, n = 0;

    if (dir < 0)
        die(to);
    for (struct inode *i = d->all; i != NULL; i = i->next)
        count += i->is_folder;
    struct names *before = xcalloc(count, sizeof *before);
    for (struct inode *i = d->all; i != NULL; i = i->next) {
        if (!i->is_folder)
            continue;
        before[n++] = i->now;
        i->now = (struct names){0};
        copy_names(&i->now, &i->synced);
    }
    choose_names(d, mood, &rng);
    write_folder(d->root, mood, &rng, dir);
    n = 0;
    for (struct inode *i = d->all; i != NULL; i = i->next) {
        if (!i->is_folder)
            continue;
        free(i->now.list);
        i->now = before[n++];
    }
    free(before);
    (void)close(dir);
}
