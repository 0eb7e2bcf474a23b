/*
 * store/keywords.c - sets of keywords, each under a small number.
 *
 * Layer: store.  Entries hold the number of a set; most accounts have a handful
 * of them.  Sets and names live in memory as long as the account does: they are
 * added by whoever holds file_lock, under `lock`; readers take `lock`.
 *
 * Keywords are compared without regard to ASCII case (RFC 9051 section 2.3.2)
 * and shown as first written.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "store/internal.h"

struct keyword_name {
    struct slice text, folded;
};

struct keyword_entry {
    uint32_t id;
    bool durable;        /* there is a row for it */
    bool written;        /* by the transaction under way */
    struct slice *names; /* ordered by folded name; for account_keyword_set */
    size_t count;
    struct slice text; /* the names, separated by spaces */
    struct keyword_entry *next_written;
};

struct keyword_table {
    struct arena arena;
    struct idmap by_id;
    struct map by_names; /* folded text to entry */
    struct map names;    /* folded to struct keyword_name */
    uint32_t last_id;
    uint64_t text_bytes; /* of all sets */
    struct keyword_entry *written;
};

static struct keyword_table *table_of(struct account *a)
{
    struct keyword_table *t = a->keywords;

    if (t != NULL)
        return t;
    t = xcalloc(1, sizeof *t);
    arena_init(&t->arena, SIZE_MAX);
    idmap_init(&t->by_id);
    map_init(&t->by_names);
    map_init(&t->names);
    a->keywords = t;
    return t;
}

void keyword_table_free(struct account *a)
{
    struct keyword_table *t = a->keywords;

    if (t == NULL)
        return;
    idmap_finish(&t->by_id);
    map_finish(&t->by_names);
    map_finish(&t->names);
    arena_finish(&t->arena);
    free(t);
    a->keywords = NULL;
}

static void fold(struct buf *out, struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        buf_add_char(out, ascii_lower(name.ptr[i]));
}

/* The name as it was first written; `lock` held. */
static struct keyword_name *intern_name(struct keyword_table *t, struct slice text, struct slice folded)
{
    struct keyword_name *name = map_get(&t->names, folded);

    if (name == NULL) {
        name = arena_new(&t->arena, struct keyword_name);
        name->text = arena_keep(&t->arena, text);
        name->folded = arena_keep(&t->arena, folded);
        (void)map_put(&t->names, folded, name);
    }
    return name;
}

/* A set as it is put together: names in order of their folded form. */
struct draft {
    struct arena arena;
    struct keyword_name *names;
    size_t count;
};

static void draft_init(struct draft *d, size_t most)
{
    *d = (struct draft){.count = 0};
    arena_init(&d->arena, SIZE_MAX);
    d->names = arena_new_array(&d->arena, struct keyword_name, most > 0 ? most : 1);
}

static void draft_finish(struct draft *d)
{
    arena_finish(&d->arena);
}

static struct slice folded_copy(struct arena *a, struct slice name)
{
    struct buf folded;

    buf_init(&folded, name.len);
    fold(&folded, name);
    struct slice copy = arena_keep(a, buf_slice(&folded));
    buf_finish(&folded);
    return copy;
}

/* Where `folded` is, or belongs. */
static size_t draft_place(const struct draft *d, struct slice folded, bool *there)
{
    size_t low = 0, high = d->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_cmp(d->names[middle].folded, folded) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *there = low < d->count && slice_eq(d->names[low].folded, folded);
    return low;
}

static void draft_add(struct draft *d, struct slice name)
{
    struct slice folded = folded_copy(&d->arena, name);
    bool there;
    size_t at = draft_place(d, folded, &there);

    if (there)
        return;
    memmove(&d->names[at + 1], &d->names[at], (d->count - at) * sizeof *d->names);
    d->names[at] = (struct keyword_name){.text = name, .folded = folded};
    d->count++;
}

static void draft_remove(struct draft *d, struct slice name)
{
    bool there;
    size_t at = draft_place(d, folded_copy(&d->arena, name), &there);

    if (!there)
        return;
    memmove(&d->names[at], &d->names[at + 1], (d->count - at - 1) * sizeof *d->names);
    d->count--;
}

static void join(struct buf *out, const struct draft *d, bool folded)
{
    for (size_t i = 0; i < d->count; i++) {
        if (i > 0)
            buf_add_char(out, ' ');
        buf_add(out, folded ? d->names[i].folded : d->names[i].text);
    }
}

/* Enters a set under `id`; `lock` held. */
static struct keyword_entry *enter_set(struct keyword_table *t, uint32_t id, const struct draft *d,
                                       struct slice key)
{
    struct keyword_entry *e = arena_new(&t->arena, struct keyword_entry);
    struct buf text;

    buf_init(&text, SIZE_MAX);
    e->id = id;
    e->count = d->count;
    e->names = arena_new_array(&t->arena, struct slice, d->count > 0 ? d->count : 1);
    for (size_t i = 0; i < d->count; i++) {
        e->names[i] = intern_name(t, d->names[i].text, d->names[i].folded)->text;
        if (i > 0)
            buf_add_char(&text, ' ');
        buf_add(&text, e->names[i]);
    }
    e->text = arena_keep(&t->arena, buf_slice(&text));
    t->text_bytes += e->text.len;
    buf_finish(&text);
    (void)idmap_put(&t->by_id, id, e);
    (void)map_put(&t->by_names, key, e);
    if (id > t->last_id)
        t->last_id = id;
    return e;
}

static void enter_row(struct account *a, uint32_t id, struct slice names)
{
    struct keyword_table *t = table_of(a);
    struct keyword_entry *e = idmap_get(&t->by_id, id);
    struct draft d;
    struct buf key;

    if (e == NULL) {
        draft_init(&d, names.len / 2 + 1);
        while (names.len > 0)
            draft_add(&d, slice_cut(&names, ' '));
        buf_init(&key, SIZE_MAX);
        join(&key, &d, true);
        e = enter_set(t, id, &d, buf_slice(&key));
        buf_finish(&key);
        draft_finish(&d);
    }
    e->durable = true;
}

/* What memory knows and the file does not (any more) is written again when it is used. */
static void forget_durable(struct account *a)
{
    size_t at = 0;
    uint64_t id;
    void *e;

    if (a->keywords == NULL)
        return;
    while (idmap_next(&a->keywords->by_id, &at, &id, &e))
        ((struct keyword_entry *)e)->durable = false;
}

bool keyword_table_load(struct account *a, struct db *db, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_KEYWORD_SET_ALL, why);

    if (q == NULL)
        return false;
    (void)pthread_mutex_lock(&a->lock);
    forget_durable(a);
    while (db_step(q, why))
        enter_row(a, (uint32_t)db_col_i64(q, 0), db_col_text(q, 1));
    (void)pthread_mutex_unlock(&a->lock);
    return db_done(q, why);
}

static bool keyword_ok(const struct store_limits *l, struct slice name, struct fail *why)
{
    if (name.len > l->keyword_bytes)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "a keyword has more than %u bytes", l->keyword_bytes);
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == 0x7f)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "a keyword has a blank or control character in it");
    }
    return name.len > 0 || fail_set(why, FAIL_PERM, FAIL_INVALID, "a keyword is empty");
}

/* Would the account have too many different keywords with these? */
static bool names_fit(const struct store_limits *l, const struct keyword_table *t, const struct draft *d,
                      struct fail *why)
{
    size_t fresh = 0;

    if (d->count > l->keywords_per_message)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "a message has more than %u keywords",
                        l->keywords_per_message);
    if (t->by_id.count >= l->keyword_sets || t->last_id >= KEYWORD_SET_MAX ||
        t->text_bytes > (uint64_t)l->keyword_sets * l->keyword_bytes)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT,
                        "the account has too many combinations of keywords already");
    for (size_t i = 0; i < d->count; i++)
        fresh += map_get(&t->names, d->names[i].folded) == NULL;
    return t->names.count + fresh <= l->keywords ||
           fail_set(why, FAIL_PERM, FAIL_LIMIT, "the account has %u different keywords already", l->keywords);
}

/* The entry of the set drafted, with a row. */
static bool find_or_write(struct change *c, const struct draft *d, uint32_t *id, struct fail *why)
{
    struct account *a = c->account;
    struct keyword_table *t = a->keywords;
    struct keyword_entry *e;
    struct buf key;

    buf_init(&key, SIZE_MAX);
    join(&key, d, true);
    e = map_get(&t->by_names, buf_slice(&key));
    bool ok = e != NULL || names_fit(&a->store->limits, t, d, why);
    if (ok && e == NULL) {
        (void)pthread_mutex_lock(&a->lock);
        e = enter_set(t, t->last_id + 1, d, buf_slice(&key));
        (void)pthread_mutex_unlock(&a->lock);
    }
    buf_finish(&key);
    if (!ok)
        return false;
    if (!e->durable && !e->written) {
        if (!db_run(c->db, SQL_KEYWORD_SET_NEW, why, "it", (int64_t)e->id, e->text))
            return false;
        e->written = true;
        e->next_written = t->written;
        t->written = e;
    }
    *id = e->id;
    return true;
}

void keyword_table_committed(struct account *a, bool ok)
{
    struct keyword_table *t = a->keywords;

    for (struct keyword_entry *e = t != NULL ? t->written : NULL; e != NULL; e = e->next_written) {
        e->written = false;
        e->durable = ok;
    }
    if (t != NULL)
        t->written = NULL;
}

bool keyword_set_change(struct change *c, uint32_t base, enum flag_op op, const struct slice *names,
                        size_t count, uint32_t *id, struct fail *why)
{
    struct account *a = c->account;
    struct keyword_set old = {.count = 0};
    struct draft d;
    bool ok = true;

    if (count == 0 && (op != FLAGS_REPLACE || base == 0)) {
        *id = base;
        return true;
    }
    for (size_t i = 0; ok && i < count; i++)
        ok = keyword_ok(&a->store->limits, names[i], why);
    if (!ok)
        return false;
    (void)pthread_mutex_lock(&a->lock);
    (void)table_of(a);
    (void)pthread_mutex_unlock(&a->lock);
    if (op != FLAGS_REPLACE)
        old = account_keyword_set(a, base);
    draft_init(&d, old.count + count);
    for (size_t i = 0; i < old.count; i++)
        draft_add(&d, old.names[i]);
    for (size_t i = 0; i < count; i++) {
        if (op == FLAGS_REMOVE)
            draft_remove(&d, names[i]);
        else
            draft_add(&d, names[i]);
    }
    if (d.count == 0)
        *id = 0;
    else
        ok = find_or_write(c, &d, id, why);
    draft_finish(&d);
    return ok;
}

struct keyword_set account_keyword_set(struct account *a, uint32_t set_id)
{
    struct keyword_set set = {.count = 0};

    if (set_id == 0)
        return set;
    (void)pthread_mutex_lock(&a->lock);
    const struct keyword_entry *e = a->keywords != NULL ? idmap_get(&a->keywords->by_id, set_id) : NULL;
    if (e != NULL)
        set = (struct keyword_set){.names = e->names, .count = e->count};
    (void)pthread_mutex_unlock(&a->lock);
    return set;
}

static int by_text(const void *one, const void *other)
{
    return slice_cmp(*(const struct slice *)one, *(const struct slice *)other);
}

struct keyword_set account_keywords(struct account *a, struct arena *arena)
{
    struct slice *names = NULL;
    struct slice key;
    size_t count = 0, at = 0;
    void *name;

    if (!account_peek(a, NULL)) /* loads them */
        return (struct keyword_set){.count = 0};
    struct keyword_table *t = a->keywords;
    if (t != NULL && t->names.count > 0)
        names = arena_new_array(arena, struct slice, t->names.count);
    while (names != NULL && map_next(&t->names, &at, &key, &name))
        names[count++] = ((struct keyword_name *)name)->text;
    (void)pthread_mutex_unlock(&a->lock);
    if (count > 0)
        qsort(names, count, sizeof *names, by_text);
    return (struct keyword_set){.names = names, .count = count};
}
