/*
 * transfer/maildir_scan.c - the files of one Maildir folder, in the order of their UIDs.
 *
 * Layer: transfer.
 */
#include "transfer/maildir_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/scoped.h"
#include "transfer/files.h"
#include "transfer/maildir_names.h"
#include "transfer/maildir_uidlist.h"

enum {
    UIDLIST_MOST = 1 << 30,
    LISTINGS = 5, /* while the folder changes */
};

static struct slice base_of(const struct maildir_entry *e)
{
    return slice_make(e->name, e->base);
}

/* ---- listing ---- */

static void add_entry(struct maildir_scan *s, const char *name, bool is_new)
{
    struct slice text = slice_of(name);

    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 256;
        s->entries = xrealloc(s->entries, s->cap * sizeof *s->entries);
    }
    s->entries[s->count++] = (struct maildir_entry){
        .name = arena_cstr(&s->arena, text), .base = (uint16_t)maildir_base(text).len, .is_new = is_new};
}

/* A folder that is missing is empty. */
static bool list(int folder, const char *below, struct maildir_scan *s, struct timespec *changed, struct fail *why)
{
    struct fail          local = {0};
    int                  fd = files_folder(folder, below, &local);
    const struct dirent *entry;
    struct stat          st;

    *changed = (struct timespec){0};
    if (fd < 0 && faccessat(folder, below, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    if (fd < 0) {
        if (why != NULL)
            *why = local;
        return false;
    }
    if (fstat(fd, &st) == 0)
        *changed = st.st_mtim;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return fail_errno(why, errno, "%s", below);
    }
    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            add_entry(s, entry->d_name, below[0] == 'n');
        errno = 0;
    }
    bool ok = errno == 0 || fail_errno(why, errno, "%s", below);
    /* Has it changed while it was read? */
    if (ok && fstat(fd, &st) == 0 && (st.st_mtim.tv_sec != changed->tv_sec || st.st_mtim.tv_nsec != changed->tv_nsec))
        s->stable = false;
    (void)closedir(dir);
    return ok;
}

static int compare_bases(const void *a, const void *b)
{
    const struct maildir_entry *x = a, *y = b;
    int                         order = slice_cmp(base_of(x), base_of(y));

    return order != 0 ? order : (int)x->is_new - (int)y->is_new;
}

/* One that was moved from new/ to cur/ meanwhile may have been seen in both. */
static void drop_doubles(struct maildir_scan *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (n > 0 && slice_eq(base_of(&s->entries[i]), base_of(&s->entries[n - 1])))
            continue;
        s->entries[n++] = s->entries[i];
    }
    s->count = n;
}

static bool list_once(int folder, struct maildir_scan *s, struct fail *why)
{
    struct timespec in_new, in_cur;

    *s = (struct maildir_scan){.stable = true};
    arena_init(&s->arena, SIZE_MAX);
    /* new/ first: what moves on to cur/ is seen there. */
    return list(folder, "new", s, &in_new, why) && list(folder, "cur", s, &in_cur, why);
}

bool maildir_scan_files(int folder, struct maildir_scan *out, struct fail *why)
{
    for (int i = 0;; i++) {
        if (!list_once(folder, out, why)) {
            maildir_scan_finish(out);
            return false;
        }
        if (out->stable || i == LISTINGS)
            break;
        maildir_scan_finish(out);
    }
    if (out->count > 0)
        qsort(out->entries, out->count, sizeof *out->entries, compare_bases);
    drop_doubles(out);
    return true;
}

void maildir_scan_finish(struct maildir_scan *s)
{
    free(s->entries);
    arena_finish(&s->arena);
    *s = (struct maildir_scan){.count = 0};
}

struct maildir_entry *maildir_scan_find(const struct maildir_scan *s, struct slice base)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int    order = slice_cmp(base_of(&s->entries[middle]), base);
        if (order == 0)
            return &s->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- UIDs ---- */

static uint64_t seconds_of(const struct maildir_entry *e)
{
    uint64_t n = 0;

    for (size_t i = 0; i < e->base && ascii_is_digit(e->name[i]) && n < UINT32_MAX; i++)
        n = n * 10 + (uint64_t)(e->name[i] - '0');
    return n;
}

/* Those with UIDs first; the others as they came, by the time in their names. */
static int compare_uids(const void *a, const void *b)
{
    const struct maildir_entry *x = a, *y = b;

    if (x->uid != y->uid)
        return (x->uid != 0 ? x->uid : UINT64_MAX) < (y->uid != 0 ? y->uid : UINT64_MAX) ? -1 : 1;
    uint64_t first = seconds_of(x), second = seconds_of(y);
    if (first != second)
        return first < second ? -1 : 1;
    return compare_bases(a, b);
}

static void read_list(struct maildir_scan *s, struct slice text)
{
    struct uidlist_head head;
    struct uidlist_line line;

    if (!uidlist_head(&text, &head)) {
        s->bad_lines++;
        return;
    }
    s->uidvalidity = head.uidvalidity;
    s->uidnext = head.uidnext > 0 ? head.uidnext : 1;
    s->guid = arena_keep(&s->arena, head.guid);
    while (uidlist_next(&text, head.version, &line, &s->bad_lines)) {
        struct maildir_entry *e = maildir_scan_find(s, line.name);
        if (line.uid >= s->uidnext && line.uid < UINT32_MAX)
            s->uidnext = line.uid + 1;
        if (e == NULL)
            continue;
        e->uid = line.uid;
        e->uidl = line.uidl.len > 0 ? arena_cstr(&s->arena, line.uidl) : NULL;
    }
}

/* A damaged list may have a UID twice: the later one gets another. */
static void give_uids(struct maildir_scan *s)
{
    uint32_t last = 0;

    if (s->count > 0)
        qsort(s->entries, s->count, sizeof *s->entries, compare_uids);
    for (size_t i = 0; s->uidvalidity != 0 && i < s->count; i++) {
        struct maildir_entry *e = &s->entries[i];
        if (e->uid == last)
            e->uid = 0;
        if (e->uid == 0 && s->uidnext < UINT32_MAX)
            e->uid = s->uidnext++;
        else
            last = e->uid;
    }
    if (s->count > 0)
        qsort(s->entries, s->count, sizeof *s->entries, compare_uids);
}

bool maildir_scan_uids(struct maildir_scan *s, int control, struct fail *why)
{
    struct buf text;
    bool       there = false;

    buf_init(&text, UIDLIST_MOST);
    bool ok = control < 0 || files_read(control, "dovecot-uidlist", &text, &there, why);
    if (ok && there)
        read_list(s, buf_slice(&text));
    buf_finish(&text);
    if (ok)
        give_uids(s);
    return ok;
}

uint64_t maildir_count(int folder)
{
    struct maildir_scan s;
    uint64_t            count = 0;

    if (list_once(folder, &s, NULL))
        count = s.count;
    maildir_scan_finish(&s);
    return count;
}
