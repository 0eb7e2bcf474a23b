/*
 * store/rebuild.c - what can be made anew: derived data, and a lost account file.
 *
 * Layer: store.  A file that can be read gets its cached data and counts again.
 * One that is missing or damaged comes back from its latest snapshot, with new
 * UIDVALIDITYs and ids, and then from the records: every one that names the
 * account, has no row and was never released.  Where its mailbox is not known any
 * more, it goes to Recovered/.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/scoped.h"
#include "store/flag_run.h"
#include "store/index.h"
#include "store/internal.h"

enum { SOME = 64, COPY_BYTES = 1 << 20 };

struct rebuilding {
    struct store *store;
    uint64_t id;
    void (*report)(void *ctx, const char *line);
    void *ctx;
    uint64_t placed, failed;
};

__attribute__((format(printf, 2, 3))) static void tell(const struct rebuilding *r, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (r->report != NULL)
        r->report(r->ctx, text);
}

/* ---- derived data ---- */

struct derived {
    struct reference messages[SOME];
    struct message_facts facts[SOME];
    bool computed[SOME];
    size_t count;
};

static bool write_derived(struct change *c, void *ctx, struct fail *why)
{
    const struct derived *d = ctx;

    for (size_t i = 0; i < d->count; i++) {
        const struct message_facts *f = &d->facts[i];
        int64_t id = (int64_t)d->messages[i].id;
        if (!d->computed[i])
            continue;
        if (!db_run(c->db, SQL_CACHED_NEW, why, "ibbbbi", id, f->envelope, f->structure, f->preview,
                    f->references.ids, (int64_t)f->repeats) ||
            !thread_adopt(c->db, (uint64_t)id, &f->references, NULL, why) ||
            !db_run(c->db, SQL_SIZE_WRITE, why, "ii", id, (int64_t)(f->size + d->messages[i].prefix)))
            return false;
    }
    c->wrote = true;
    return true;
}

static bool compute_one(const struct rebuilding *r, const struct reference *m, struct arena *arena,
                        struct message_facts *out)
{
    struct record record;
    struct fail why;

    if (volume_describe(r->store->volumes, m->ref, arena, &record, &why) &&
        facts_of_record(r->store, m->ref, record.size, arena, out, &why))
        return true;
    tell(r, "message %llu cannot be read: %s", (unsigned long long)m->id, why.text);
    return false;
}

static bool rebuild_some(const struct rebuilding *r, struct account *a, uint64_t after, struct derived *d,
                         struct fail *why)
{
    struct arena arena;

    if (!account_lock(a, why))
        return false;
    bool ok = row_references(a->db, after, d->messages, SOME, &d->count, why);
    account_unlock(a);
    if (!ok)
        return false;
    arena_init(&arena, SIZE_MAX);
    for (size_t i = 0; i < d->count; i++)
        d->computed[i] = compute_one(r, &d->messages[i], &arena, &d->facts[i]);
    ok = d->count == 0 || change_run(a, CHANGE_TOGETHER, write_derived, d, why);
    arena_finish(&arena);
    return ok;
}

static bool write_counts(struct change *c, void *ctx, struct fail *why)
{
    struct db_stmt *q;

    (void)ctx;
    if (!flag_runs_end_all(c->db, why) || !db_run(c->db, SQL_COUNTS_WRITE, why, "") || !db_run(c->db, SQL_ACL_ORPHANS, why, "") ||
        !db_run(c->db, SQL_ANNOTATION_ORPHANS, why, "") || !db_run(c->db, SQL_SEEN_ORPHANS, why, ""))
        return false;
    q = db_stmt(c->db, SQL_TOTALS_WRITE, why);
    if (q == NULL)
        return false;
    if (db_step(q, why)) {
        c->row.messages = (uint64_t)db_col_i64(q, 0);
        c->row.bytes = (uint64_t)db_col_i64(q, 1);
    }
    c->wrote = true;
    c->restructured = true;
    return db_done(q, why);
}

static bool rebuild_derived(struct rebuilding *r, struct account *a, struct fail *why)
{
    SCOPED(scoped_free) struct derived *d = xmalloc(sizeof *d);
    uint64_t after = 0, total = 0;

    do {
        if (!rebuild_some(r, a, after, d, why))
            return false;
        total += d->count;
        after = d->count > 0 ? d->messages[d->count - 1].id : after;
    } while (d->count == SOME);
    if (!change_run(a, CHANGE_ALONE, write_counts, NULL, why))
        return false;
    tell(r, "account %llu: cached data of %llu messages and all counts made anew", (unsigned long long)r->id,
         (unsigned long long)total);
    return true;
}

/* ---- the file ---- */

/* NOT_NOW: nobody can say; a file that is in use, or of a newer program, is no lost one. */
enum soundness { SOUND, LOST, NOT_NOW };

static enum soundness look_at_file(struct rebuilding *r, struct account *a, struct fail *why)
{
    struct fail found = {0};

    a->retry_ms = 0;
    if (account_lock(a, &found)) {
        bool sound = db_check(a->db, &found);
        account_unlock(a);
        if (sound)
            return SOUND;
    }
    if (found.kind == FAIL_PERM && found.reason != FAIL_NOT_ALLOWED) {
        tell(r, "account %llu: %s", (unsigned long long)r->id, found.text);
        return LOST;
    }
    if (why != NULL)
        *why = found;
    return NOT_NOW;
}

static bool copy_file(const char *from, const char *to, struct fail *why)
{
    SCOPED(scoped_close) int in = open(from, O_RDONLY | O_CLOEXEC);
    SCOPED(scoped_close) int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    SCOPED(scoped_free) char *piece = xmalloc(COPY_BYTES);
    ssize_t n;

    if (in < 0 || out < 0)
        return fail_errno(why, errno, "%s to %s", from, to);
    while ((n = read(in, piece, COPY_BYTES)) > 0) {
        if (!io_write_all(out, slice_make(piece, (size_t)n), why))
            return false;
    }
    if (n < 0 || io_fsync(out) != 0)
        return fail_errno(why, errno, "%s to %s", from, to);
    return true;
}

static bool put_aside(const char *path, const char *behind, struct fail *why)
{
    char from[STORE_PATH_BYTES + 8], to[STORE_PATH_BYTES + 64];

    (void)snprintf(from, sizeof from, "%s%s", path, behind);
    (void)snprintf(to, sizeof to, "%s.damaged-%lld%s", path, (long long)clock_now(), behind);
    return rename(from, to) == 0 || errno == ENOENT || fail_errno(why, errno, "%s", from);
}

/* What an earlier attempt left beside it: its WAL would be taken for the new file's. */
static bool clear_draft(const char *fresh, struct fail *why)
{
    char wal[STORE_PATH_BYTES + 16];

    (void)snprintf(wal, sizeof wal, "%s-wal", fresh);
    return ((unlink(fresh) == 0 || errno == ENOENT) && (unlink(wal) == 0 || errno == ENOENT)) ||
           fail_errno(why, errno, "%s", fresh);
}

/* Made beside, renamed into place when it is whole: also when nothing of it is in its WAL any more. */
static bool make_file(struct rebuilding *r, const char *path, struct fail *why)
{
    char fresh[STORE_PATH_BYTES + 8], snapshot[STORE_PATH_BYTES];
    struct db *db = NULL;

    if (!account_path(r->store, "snapshots", r->id, "mail.db", snapshot, why))
        return false;
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    if (!clear_draft(fresh, why))
        return false;
    if (access(snapshot, F_OK) == 0) {
        tell(r, "account %llu: from its snapshot", (unsigned long long)r->id);
        if (!copy_file(snapshot, fresh, why))
            return false;
    } else {
        tell(r, "account %llu: there is no snapshot; from the records alone", (unsigned long long)r->id);
        if (!account_make_file(r->store, r->id, fresh, why))
            return false;
    }
    if (!db_open(fresh, &account_schema, NULL, &db, why))
        return false;
    bool ok = renew_file(r->store, db, why) && db_checkpoint(db, true, why);
    db_close(&db);
    return ok && (rename(fresh, path) == 0 || fail_errno(why, errno, "%s", fresh));
}

static bool replace_file(struct rebuilding *r, struct account *a, struct fail *why)
{
    char path[STORE_PATH_BYTES], folder[STORE_PATH_BYTES];

    if (a->pins > 0)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "a snapshot is being taken of account %llu",
                        (unsigned long long)r->id);
    account_close_file(a);
    store_forget_clean(r->store, r->id);
    a->retry_ms = 0;
    if (!account_path(r->store, "accounts", r->id, "mail.db", path, why) ||
        !account_path(r->store, "accounts", r->id, "", folder, why))
        return false;
    folder[strlen(folder) - 1] = '\0';
    return io_make_dirs(folder, 0700, why) && put_aside(path, "", why) && put_aside(path, "-wal", why) &&
           make_file(r, path, why) && io_sync_dir(folder, why);
}

/* ---- the records ---- */

/* The mailbox the record names, or one below Recovered/ that stands for it; 0: INBOX. */
static bool find_mailbox(struct account *a, uint64_t named, uint64_t *out, struct fail *why)
{
    struct fail missing = {0};
    struct mailbox_info info;
    struct arena arena;

    *out = 0;
    if (named == 0)
        return true;
    arena_init(&arena, 1 << 16);
    bool ok = mailbox_get(a, named, &arena, &info, &missing);
    if (ok && !info.no_select) {
        *out = named;
    } else if (ok || missing.reason == FAIL_NOT_FOUND) {
        struct slice name = arena_printf(&arena, "Recovered/%llu", (unsigned long long)named);
        ok = mailbox_find(a, name, &arena, &info, &missing);
        *out = ok ? info.id : 0;
        ok = ok || mailbox_create_anyway(a, name, out, why);
    } else if (why != NULL) {
        *why = missing;
    }
    arena_finish(&arena);
    return ok;
}

static bool place_again(struct rebuilding *r, volume_ref ref, const struct record *rec,
                        const struct record_target *t, struct fail *why)
{
    struct record_target target = *t;
    struct place_item item = {
        .ref = ref,
        .target = &target,
        .internal_date = rec->internal_date,
        .internal_zone = rec->internal_zone,
    };
    struct account *a;

    if (!store_account(r->store, r->id, &a, why))
        return false;
    bool ok = find_mailbox(a, t->mailbox, &target.mailbox, why) && message_place(a, &item, 1, why);
    account_release(&a);
    return ok;
}

static bool take_record(void *ctx, volume_ref ref, const struct record *rec)
{
    struct rebuilding *r = ctx;
    struct fail why;

    for (size_t i = 0; i < rec->target_count; i++) {
        const struct record_target *t = &rec->targets[i];
        bool there;
        if (t->kind != RECORD_LOCAL || t->account != r->id)
            continue;
        bool ok = release_is_accounted_for(r->store, r->id, ref, &there, &why);
        if (ok && there)
            continue;
        if (ok && place_again(r, ref, rec, t, &why)) {
            r->placed++;
            continue;
        }
        r->failed++;
        tell(r, "record %llx: %s", (unsigned long long)ref, why.text);
    }
    return true;
}

static bool rebuild_from_records(struct rebuilding *r, struct fail *why)
{
    uint64_t damaged = 0;

    if (!volume_scan(r->store->volumes, 0, take_record, r, &damaged, why))
        return false;
    tell(r,
         "account %llu: %llu messages placed from the records, %llu could not be, %llu records are damaged",
         (unsigned long long)r->id, (unsigned long long)r->placed, (unsigned long long)r->failed,
         (unsigned long long)damaged);
    return r->failed == 0 || fail_set(why, FAIL_TEMP, FAIL_OTHER, "%llu messages could not be placed",
                                      (unsigned long long)r->failed);
}

static bool rebuild_file(struct rebuilding *r, struct account *a, struct fail *why)
{
    block_begin();
    (void)pthread_mutex_lock(&a->file_lock);
    bool ok = replace_file(r, a, why);
    (void)pthread_mutex_lock(&a->lock);
    watch_tell(a, NULL);
    (void)pthread_mutex_unlock(&a->lock);
    (void)pthread_mutex_unlock(&a->file_lock);
    block_end();
    return ok && rebuild_from_records(r, why);
}

bool store_rebuild(struct store *st, uint64_t id, void (*report)(void *ctx, const char *line), void *ctx,
                   struct fail *why)
{
    struct rebuilding r = {.store = st, .id = id, .report = report, .ctx = ctx};
    struct account *a = store_pin(st, id);
    enum soundness found = look_at_file(&r, a, why);
    bool ok = found == SOUND || (found == LOST && rebuild_file(&r, a, why));

    ok = ok && rebuild_derived(&r, a, why) && share_index(a, why);
    (void)sort_tables_drop(st, id, INT64_MAX);
    view_files_remove(a);
    store_unpin(a);
    index_remove(st, id);
    index_note(st, id, 1);
    return ok;
}
