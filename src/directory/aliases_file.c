/*
 * directory/aliases_file.c - aliases that stand in a file of the machine's.
 *
 * Layer: directory.  For the first domain.  What is in the database goes first, name by name.  Whoever asks for
 * a route looks now and then whether the file has changed; it is read then, and the new names take the old
 * ones' place in one step.  What the file says that this server does not do (commands, files) is logged and
 * left out, the rest of the alias works.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "directory/aliases_text.h"
#include "directory/internal.h"

enum {
    LOOK_MS = 5000,      /* between two looks at the file */
    FILE_MAX = 16 << 20, /* of it and of each that it includes */
    INCLUDES_MAX = 100,
    SCRATCH_MAX = 4 * FILE_MAX,
};

/* What tells one version of a file from another. */
struct version {
    struct timespec changed;
    off_t size;
    ino_t inode;
};

struct aliases_file {
    char *path;
    char domain[DOMAIN_MAX + 1]; /* that it was read for */
    size_t domain_len;
    struct version versions[1 + INCLUDES_MAX]; /* its own, then its includes' */
    char *includes[INCLUDES_MAX];
    size_t include_count;
    struct names names;
    int64_t next_look; /* clock_mono_ms */
};

struct reading {
    struct directory *d;
    struct aliases_file *file; /* a new one */
    const char *path;          /* of what is being read */
    bool in_include;
};

static struct slice domain_of_file(const struct aliases_file *f)
{
    return slice_make(f->domain, f->domain_len);
}

static void wrong(void *ctx, unsigned line, const char *text)
{
    const struct reading *r = ctx;

    log_event(LOG_WARNING, "directory.aliases", LOG_CSTR("file", r->path), LOG_U64("line", line),
              LOG_CSTR("error", text));
}

static bool key_in(struct slice domain, struct slice text, struct address_key *out)
{
    return slice_find_char(text, '@') < text.len ? address_key_parse(text, out)
                                                 : address_key_join(text, domain, out);
}

static bool has_member(const struct name *n, struct slice member)
{
    for (unsigned i = 0; n != NULL && i < n->alias.count; i++)
        if (slice_eq(slice_of(n->alias.items[i]), member))
            return true;
    return false;
}

static void add_member(struct reading *r, unsigned line, struct slice name, struct slice value)
{
    const struct slice domain = domain_of_file(r->file);
    struct address_key alias, member;
    char given[ADDRESS_KEY_MAX + 2];

    if (slice_find_char(name, '@') < name.len || !key_in(domain, name, &alias)) {
        wrong(r, line, "that is not a name");
        return;
    }
    if (!key_in(domain, value, &member)) {
        wrong(r, line, "that is not an address");
        return;
    }
    /* Elsewhere the local part is as it was given: somebody may tell cases apart. */
    (void)snprintf(given, sizeof given, PRIslice "@" PRIslice, SLICE_ARG(member.given), SLICE_ARG(key_domain(&member)));
    const struct name *n = names_get(&r->file->names, key_text(&alias));
    const struct slice text = slice_eq(key_domain(&member), domain) ? key_text(&member) : slice_of(given);
    if (n != NULL && n->alias.count >= r->d->limits.alias_members)
        wrong(r, line, "more members than an alias may have (directory.alias_members)");
    else if (!has_member(n, text))
        names_add_member(&r->file->names, key_text(&alias), text);
}

/* ---- files ---- */

static struct version version_of(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return (struct version){.size = -1};
    return (struct version){.changed = st.st_mtim, .size = st.st_size, .inode = st.st_ino};
}

static bool is_same(const struct version *a, const struct version *b)
{
    return a->size == b->size && a->inode == b->inode && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static void take_value(void *ctx, unsigned line, struct slice name, enum alias_value kind, struct slice value);

static void read_include(struct reading *r, unsigned line, struct slice name, struct slice path)
{
    struct aliases_file *f = r->file;
    const struct aliases_reader reader = {.value = take_value, .wrong = wrong, .ctx = r};
    const char *outer = r->path;
    struct arena a;
    struct buf text;
    struct fail why;

    if (r->in_include || f->include_count == INCLUDES_MAX || path.len == 0 || path.ptr[0] != '/') {
        wrong(r, line, r->in_include ? "an included file includes nothing" : ":include: takes a path from the root, 100 times");
        return;
    }
    char *included = f->includes[f->include_count++] = xslicedup(path);
    f->versions[f->include_count] = version_of(included);
    buf_init(&text, FILE_MAX);
    arena_init(&a, SCRATCH_MAX);
    if (!io_read_file(included, &text, &why)) {
        wrong(r, line, why.text);
    } else {
        r->in_include = true;
        r->path = included;
        aliases_read_list(buf_slice(&text), name, &a, &reader);
        r->path = outer;
        r->in_include = false;
    }
    arena_finish(&a);
    buf_finish(&text);
}

static void take_value(void *ctx, unsigned line, struct slice name, enum alias_value kind, struct slice value)
{
    struct reading *r = ctx;

    switch (kind) {
    case ALIAS_ADDRESS: add_member(r, line, name, value); break;
    case ALIAS_INCLUDE: read_include(r, line, name, value); break;
    case ALIAS_REFUSED: wrong(r, line, "mail is not given to commands nor written into files: left out"); break;
    }
}

static struct aliases_file *file_new(const char *path, struct slice domain)
{
    struct aliases_file *f = xcalloc(1, sizeof *f);

    f->path = xstrdup(path);
    f->domain_len = domain.len;
    memcpy(f->domain, domain.ptr, domain.len);
    names_init(&f->names);
    return f;
}

void aliases_file_free(struct aliases_file **fp)
{
    struct aliases_file *f = *fp;

    if (f == NULL)
        return;
    for (size_t i = 0; i < f->include_count; i++)
        free(f->includes[i]);
    names_finish(&f->names);
    free(f->path);
    free(f);
    *fp = NULL;
}

/* A file that cannot be read has no aliases. */
static struct aliases_file *read_file(struct directory *d, const char *path, struct slice domain)
{
    struct reading r = {.d = d, .file = file_new(path, domain), .path = path};
    const struct aliases_reader reader = {.value = take_value, .wrong = wrong, .ctx = &r};
    struct arena a;
    struct buf text;
    struct fail why;

    r.file->versions[0] = version_of(path);
    arena_init(&a, SCRATCH_MAX);
    buf_init(&text, FILE_MAX);
    if (!io_read_file(path, &text, &why))
        log_event(LOG_WARNING, "directory.aliases", LOG_CSTR("file", path), LOG_FAIL(&why));
    else if (domain.len > 0)
        aliases_read(buf_slice(&text), &a, &reader);
    buf_finish(&text);
    arena_finish(&a);
    r.file->next_look = clock_mono_ms() + LOOK_MS;
    return r.file;
}

static bool has_changed(const struct aliases_file *f, struct slice domain)
{
    for (size_t i = 0; i <= f->include_count; i++) {
        struct version now = version_of(i == 0 ? f->path : f->includes[i - 1]);
        if (!is_same(&now, &f->versions[i]))
            return true;
    }
    return !slice_eq(domain, domain_of_file(f));
}

static void replace(struct directory *d, const char *path)
{
    struct aliases_file *old = d->file, *fresh = read_file(d, path, domain_text(&d->first_domain));

    (void)pthread_rwlock_wrlock(&d->memory);
    d->file = fresh;
    __atomic_store_n(&d->next_look, fresh->next_look, __ATOMIC_RELAXED);
    (void)pthread_rwlock_unlock(&d->memory);
    log_event(LOG_INFO, "directory.aliases_read", LOG_CSTR("file", path), LOG_U64("aliases", fresh->names.count));
    aliases_file_free(&old);
}

void directory_use_aliases(struct directory *d, const char *path)
{
    directory_change_begin(d);
    replace(d, path);
    directory_change_end(d);
}

/* The one who is first to see that it is time looks; others go on with what there is. */
void aliases_file_look(struct directory *d)
{
    const int64_t due = __atomic_load_n(&d->next_look, __ATOMIC_RELAXED);

    if (due == 0 || clock_mono_ms() < due)
        return;
    int64_t expected = due;
    if (!__atomic_compare_exchange_n(&d->next_look, &expected, clock_mono_ms() + LOOK_MS, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    directory_change_begin(d);
    if (d->file != NULL && has_changed(d->file, domain_text(&d->first_domain))) {
        char *path = xstrdup(d->file->path);
        replace(d, path);
        free(path);
    }
    directory_change_end(d);
}

const struct name *aliases_file_get(const struct directory *d, struct slice address)
{
    return d->file != NULL ? names_get(&d->file->names, address) : NULL;
}
