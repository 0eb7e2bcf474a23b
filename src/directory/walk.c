/*
 * directory/walk.c - all domains, accounts, aliases, in order.
 *
 * Layer: directory.  Pages of 256 rows are copied, then shown with no lock held:
 * whoever looks may ask and change meanwhile, and no row is shown twice.
 */
#include "base/block.h"
#include "directory/internal.h"

enum {
    PAGE_ROWS = 256,          /* as the statements' LIMIT says */
    PAGE_BYTES = 1024 * 1024, /* of two addresses each: far less */
};

struct row {
    struct slice name, member; /* domain; account; alias and member */
    uint64_t id;
    bool disabled;
    bool sent_copy;
    int64_t created;
};

struct page {
    struct arena arena;
    struct row rows[PAGE_ROWS];
    size_t count;
    struct slice after, after_member; /* the last row shown, in its own arena */
    struct arena after_arena;
};

static void page_init(struct page *p)
{
    *p = (struct page){0};
    arena_init(&p->arena, PAGE_BYTES);
    arena_init(&p->after_arena, 4 * ADDRESS_KEY_MAX);
}

static void page_finish(struct page *p)
{
    arena_finish(&p->arena);
    arena_finish(&p->after_arena);
}

static void read_row(struct db_stmt *q, enum directory_sql sql, struct arena *a, struct row *out)
{
    if (sql == SQL_ACCOUNT_PAGE) {
        out->id = (uint64_t)db_col_i64(q, 0);
        out->name = arena_keep(a, db_col_text(q, 1));
        out->disabled = db_col_i64(q, 2) != 0;
        out->created = db_col_i64(q, 3);
        out->sent_copy = db_col_i64(q, 4) != 0;
    } else {
        out->name = arena_keep(a, db_col_text(q, 0));
        if (sql == SQL_ALIAS_PAGE)
            out->member = arena_keep(a, db_col_text(q, 1));
    }
}

static bool read_rows(struct directory *d, enum directory_sql sql, struct page *p, struct fail *why)
{
    struct db_stmt *q = db_stmt(d->db, sql, why);

    if (q == NULL)
        return false;
    db_bind_text(q, 1, p->after);
    if (sql == SQL_ALIAS_PAGE)
        db_bind_text(q, 2, p->after_member);
    while (p->count < PAGE_ROWS && db_step(q, why))
        read_row(q, sql, &p->arena, &p->rows[p->count++]);
    return db_done(q, why);
}

/* The rows behind those of the page before; true and count 0: there are no more. */
static bool page_next(struct directory *d, enum directory_sql sql, struct page *p, struct fail *why)
{
    if (p->count > 0) {
        const struct row *last = &p->rows[p->count - 1];
        arena_reset(&p->after_arena);
        p->after = arena_keep(&p->after_arena, last->name);
        p->after_member = arena_keep(&p->after_arena, last->member);
    }
    arena_reset(&p->arena);
    p->count = 0;
    block_begin();
    (void)pthread_mutex_lock(&d->change);
    bool ok = read_rows(d, sql, p, why);
    (void)pthread_mutex_unlock(&d->change);
    block_end();
    if (ok && p->arena.failed)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "directory: rows longer than any address");
    return ok;
}

bool directory_each_domain(struct directory *d, bool (*each)(void *ctx, struct slice domain), void *ctx,
                           struct fail *why)
{
    struct page p;
    bool ok, more = true;

    page_init(&p);
    while ((ok = page_next(d, SQL_DOMAIN_PAGE, &p, why)) && more && p.count > 0)
        for (size_t i = 0; more && i < p.count; i++)
            more = each(ctx, p.rows[i].name);
    page_finish(&p);
    return ok;
}

bool directory_each_account(struct directory *d, bool (*each)(void *ctx, const struct directory_account *a),
                            void *ctx, struct fail *why)
{
    struct page p;
    bool ok, more = true;

    page_init(&p);
    while ((ok = page_next(d, SQL_ACCOUNT_PAGE, &p, why)) && more && p.count > 0) {
        for (size_t i = 0; more && i < p.count; i++) {
            const struct row *r = &p.rows[i];
            more = each(ctx,
                        &(struct directory_account){
                            .id = r->id, .address = r->name, .disabled = r->disabled, .sent_copy = r->sent_copy,
                            .created = r->created});
        }
    }
    page_finish(&p);
    return ok;
}

bool directory_each_alias(struct directory *d,
                          bool (*each)(void *ctx, struct slice address, struct slice member), void *ctx,
                          struct fail *why)
{
    struct page p;
    bool ok, more = true;

    page_init(&p);
    while ((ok = page_next(d, SQL_ALIAS_PAGE, &p, why)) && more && p.count > 0)
        for (size_t i = 0; more && i < p.count; i++)
            more = each(ctx, p.rows[i].name, p.rows[i].member);
    page_finish(&p);
    return ok;
}
