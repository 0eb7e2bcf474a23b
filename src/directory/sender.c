/*
 * directory/sender.c - what accounts may send as beside their own addresses.
 *
 * Layer: directory.  In memory a map of "ACCOUNT SENDER": whoever asks knows both.
 */
#include "base/buf.h"
#include "directory/internal.h"

enum { SENDER_KEY_MAX = ADDRESS_KEY_MAX + 32 };

/* "7 ann@example.org" */
struct grant_key {
    size_t len;
    char text[SENDER_KEY_MAX];
};

static struct slice grant_key(struct grant_key *k, uint64_t account, struct slice sender)
{
    struct buf out;

    buf_init(&out, sizeof k->text);
    buf_add_u64(&out, account);
    buf_add_char(&out, ' ');
    buf_add(&out, sender);
    k->len = out.len;
    memcpy(k->text, out.data, out.len);
    buf_finish(&out);
    return slice_make(k->text, k->len);
}

/* An address, "@domain", or "@". */
static bool sender_key(struct slice sender, struct address_key *out, struct fail *why)
{
    const bool any = slice_eq(sender, SLICE("@")), domain = !any && sender.len > 1 && sender.ptr[0] == '@';

    if (any) {
        out->text[0] = '@';
        out->len = 1;
        out->local_len = 0;
        return true;
    }
    if (domain ? sender.len <= ADDRESS_MAX && address_key_join(SLICE(""), slice_from(sender, 1), out)
               : address_key_parse(sender, out))
        return true;
    return fail_code(why, FAIL_PERM, FAIL_INVALID, "5.1.3",
                     "\"" PRIslice "\" is not an address, nor \"@domain\", nor \"@\" for any", SLICE_ARG(sender));
}

bool senders_load(struct directory *d, struct fail *why)
{
    struct db_stmt *q = db_stmt(d->db, SQL_GRANTS, why);
    struct grant_key key;

    if (q == NULL)
        return false;
    while (db_step(q, why)) {
        struct slice sender = db_col_text(q, 1);
        if (sender.len <= ADDRESS_KEY_MAX) /* what is longer somebody else wrote */
            (void)map_put(&d->granted, grant_key(&key, (uint64_t)db_col_i64(q, 0), sender), d);
    }
    return db_done(q, why);
}

void senders_forget(struct directory *d, uint64_t account)
{
    struct grant_key start, found;
    const struct slice prefix = grant_key(&start, account, SLICE(""));
    struct slice key;
    bool any = true;

    while (any) { /* from the front each time: a map does not like to be changed under a walk */
        size_t at = 0;
        void *value;
        any = false;
        while (!any && map_next(&d->granted, &at, &key, &value))
            any = slice_starts(key, prefix);
        if (any && key.len <= sizeof found.text) {
            memcpy(found.text, key.ptr, key.len);
            (void)map_remove(&d->granted, slice_make(found.text, key.len));
        }
    }
}

bool sender_is_granted(const struct directory *d, uint64_t account, struct slice address)
{
    struct address_key sender;
    struct grant_key key;

    if (d->granted.count == 0 || !address_key_parse(address, &sender))
        return false;
    return map_get(&d->granted, grant_key(&key, account, key_text(&sender))) != NULL ||
           map_get(&d->granted, grant_key(&key, account, slice_from(key_text(&sender), sender.local_len))) != NULL ||
           map_get(&d->granted, grant_key(&key, account, SLICE("@"))) != NULL;
}

static bool change(struct directory *d, uint64_t account, struct slice sender, bool add, struct fail *why)
{
    struct grant_key key;
    const struct slice entry = grant_key(&key, account, sender);

    if (names_account(&d->names, account) == NULL)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "no account has the id %llu", (unsigned long long)account);
    if (add == (map_get(&d->granted, entry) != NULL))
        return fail_set(why, FAIL_PERM, add ? FAIL_EXISTS : FAIL_NOT_FOUND,
                        add ? "it may send as " PRIslice " already" : "that it may send as " PRIslice " was not granted",
                        SLICE_ARG(sender));
    if (!db_begin(d->db, why) ||
        !db_run(d->db, add ? SQL_GRANT_ADD : SQL_GRANT_REMOVE, why, "it", (int64_t)account, sender) ||
        !db_commit(d->db, why))
        return false;
    (void)pthread_rwlock_wrlock(&d->memory);
    if (add)
        (void)map_put(&d->granted, entry, d);
    else
        (void)map_remove(&d->granted, entry);
    (void)pthread_rwlock_unlock(&d->memory);
    return true;
}

static bool change_sender(struct directory *d, uint64_t account, struct slice sender, bool add, struct fail *why)
{
    struct address_key key = {.len = 0};

    if (!sender_key(sender, &key, why))
        return false;
    directory_change_begin(d);
    bool ok = change(d, account, key_text(&key), add, why);
    directory_change_end(d);
    return ok;
}

bool directory_sender_add(struct directory *d, uint64_t account, struct slice sender, struct fail *why)
{
    return change_sender(d, account, sender, true, why);
}

bool directory_sender_remove(struct directory *d, uint64_t account, struct slice sender, struct fail *why)
{
    return change_sender(d, account, sender, false, why);
}

static bool read_senders(struct directory *d, uint64_t account, struct arena *a, struct slice **out, size_t *count,
                         struct fail *why)
{
    struct db_stmt *q = db_stmt(d->db, SQL_GRANTS_OF, why);
    size_t cap = 0;

    *count = 0;
    *out = NULL;
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)account);
    while (db_step(q, why)) {
        if (*count == cap) {
            cap = cap > 0 ? cap * 2 : 8;
            struct slice *longer = arena_new_array(a, struct slice, cap);
            if (longer == NULL)
                break;
            if (*count > 0)
                memcpy(longer, *out, *count * sizeof *longer);
            *out = longer;
        }
        (*out)[(*count)++] = arena_keep(a, db_col_text(q, 0));
    }
    return db_done(q, why) &&
           (!a->failed || fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many senders for one answer"));
}

bool directory_senders(struct directory *d, uint64_t account, struct arena *a, struct slice **out, size_t *count,
                       struct fail *why)
{
    directory_change_begin(d);
    bool ok = read_senders(d, account, a, out, count, why);
    directory_change_end(d);
    return ok;
}
