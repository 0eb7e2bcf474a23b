/*
 * store/account.c - the file of an account, opened when needed, closed when idle.
 *
 * Layer: store.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

enum {
    RETRY_MS = 1000,           /* an account out of service is opened again after that long */
    CACHE_PAGES = 48,          /* of 4 KB */
    OVER_BUDGET_PERCENT = 125, /* past that, who opens a file closes another; below, the background does */
};

bool account_path(const struct store *st, const char *folder, uint64_t id, const char *file,
                  char out[STORE_PATH_BYTES], struct fail *why)
{
    int len = snprintf(out, STORE_PATH_BYTES, "%s/%s/%02x/%02x/%016llx/%s", st->dir, folder,
                       (unsigned)(id & 0xff), (unsigned)(id >> 8 & 0xff), (unsigned long long)id, file);

    if (len < 0 || len >= STORE_PATH_BYTES)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: the path is too long", st->dir);
    return true;
}

static bool out_of_service(const struct account *a, struct fail *why)
{
    return fail_code(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "4.2.1", "account %llu is out of service",
                     (unsigned long long)a->id);
}

/* The file is closed again unless all of it worked. */
static bool open_file(struct account *a, struct fail *why)
{
    struct db_options options = {
        .cache_pages = CACHE_PAGES,
        .must_exist = true,
        .reopened = store_knows_clean(a->store, a->id),
    };
    struct account_state *state = NULL;
    struct db *db = NULL;
    char path[STORE_PATH_BYTES];

    if (!account_path(a->store, "accounts", a->id, "mail.db", path, why) ||
        !db_open(path, &account_schema, &options, &db, why))
        return false;
    if (!account_state_load(a, db, &state, why) || !keyword_table_load(a, db, why)) {
        account_state_free(a, &state);
        db_close(&db);
        return false;
    }
    store_forget_clean(a->store, a->id);
    a->db = db;
    (void)pthread_mutex_lock(&a->lock);
    a->state = state;
    quota_note(a, (struct quota_amount){0, 0});
    (void)pthread_mutex_unlock(&a->lock);
    store_opened(a);
    return true;
}

/* Room for one more: the background does it, unless files are opened faster than it can close them. */
static void make_room(struct store *st)
{
    if (!store_over_budget(st, 100) || !store_over_budget(st, OVER_BUDGET_PERCENT))
        return;
    struct account *other = store_take_oldest(st, INT64_MAX);
    if (other == NULL)
        return;
    account_close_file(other);
    (void)pthread_mutex_unlock(&other->file_lock);
    store_unpin(other);
}

/* file_lock held: is the file open, or can it be opened? */
static bool be_open(struct account *a, struct fail *why)
{
    if (a->removed)
        return out_of_service(a, why);
    if (a->db != NULL) {
        store_touch(a);
        return a->state != NULL || account_reload(a, why);
    }
    if (clock_mono_ms() < a->retry_ms)
        return out_of_service(a, why);
    struct fail local = {0};
    block_begin();
    make_room(a->store);
    bool ok = open_file(a, &local);
    block_end();
    if (ok)
        return true;
    if (local.reason != FAIL_NOT_FOUND) { /* whoever comes within this second hears no more than that */
        log_event(LOG_ERROR, "store.out_of_service", LOG_U64("account", a->id), LOG_FAIL(&local));
        a->retry_ms = clock_mono_ms() + RETRY_MS;
    }
    if (why != NULL)
        *why = local;
    return false;
}

bool account_lock(struct account *a, struct fail *why)
{
    if (pthread_mutex_trylock(&a->file_lock) != 0) {
        block_begin();
        (void)pthread_mutex_lock(&a->file_lock);
        block_end();
    }
    if (be_open(a, why))
        return true;
    (void)pthread_mutex_unlock(&a->file_lock);
    return false;
}

void account_unlock(struct account *a)
{
    if (a->db != NULL && db_out_of_service(a->db) && a->pins == 0) {
        log_event(LOG_ERROR, "store.out_of_service", LOG_U64("account", a->id));
        a->retry_ms = clock_mono_ms() + RETRY_MS;
        account_close_file(a);
    }
    (void)pthread_mutex_unlock(&a->file_lock);
}

bool account_peek(struct account *a, struct fail *why)
{
    (void)pthread_mutex_lock(&a->lock);
    if (a->state != NULL) {
        store_touch(a);
        return true;
    }
    (void)pthread_mutex_unlock(&a->lock);
    if (!account_lock(a, why))
        return false;
    (void)pthread_mutex_lock(&a->lock);
    (void)pthread_mutex_unlock(&a->file_lock);
    return true;
}

/* What SELECT took from \Recent has waited in memory for a change to go along with. */
static bool write_recent_rows(struct account *a)
{
    bool ok = true;

    for (size_t i = 0; ok && i < a->state->box_count; i++) {
        struct mailbox_state *box = &a->state->boxes[i];
        (void)pthread_mutex_lock(&a->lock);
        bool taken = box->recent_taken;
        uint32_t first_recent = box->row.first_recent;
        (void)pthread_mutex_unlock(&a->lock);
        if (taken)
            ok = db_run(a->db, SQL_MAILBOX_RECENT, NULL, "ii", (int64_t)box->row.id, (int64_t)first_recent);
    }
    return ok;
}

static void write_recent(struct account *a)
{
    bool any = false;

    (void)pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->state->box_count; i++)
        any = any || a->state->boxes[i].recent_taken;
    (void)pthread_mutex_unlock(&a->lock);
    if (!any || !db_begin(a->db, NULL))
        return;
    if (!write_recent_rows(a) || !db_commit(a->db, NULL)) /* then they are recent again */
        db_rollback(a->db);
}

void account_forget_state(struct account *a)
{
    struct account_state *state = a->state;

    (void)pthread_mutex_lock(&a->lock);
    a->state = NULL;
    (void)pthread_mutex_unlock(&a->lock);
    account_state_free(a, &state);
}

void account_close_file(struct account *a)
{
    if (a->db == NULL)
        return;
    block_begin();
    if (!db_out_of_service(a->db) && a->state != NULL)
        write_recent(a);
    bool clean = !db_out_of_service(a->db);
    account_forget_state(a);
    db_close(&a->db);
    block_end();
    store_closed(a, clean);
}

bool account_reload(struct account *a, struct fail *why)
{
    struct account_state *fresh, *old = a->state;

    if (!account_state_load(a, a->db, &fresh, why))
        return false;
    (void)pthread_mutex_lock(&a->lock);
    for (size_t i = 0; old != NULL && i < old->box_count; i++) {
        if (state_mailbox(fresh, old->boxes[i].row.id) == NULL)
            view_file_remove(a, old->boxes[i].row.id);
    }
    for (size_t i = 0; i < fresh->box_count; i++) {
        struct mailbox_state *now = &fresh->boxes[i],
                             *then = old != NULL ? state_mailbox(old, now->row.id) : NULL;
        if (then == NULL)
            continue;
        if (then->recent_taken && then->row.first_recent > now->row.first_recent) {
            now->row.first_recent = then->row.first_recent;
            now->recent_taken = true;
        }
        now->users = then->users;
        then->users = NULL;
        now->view = then->view; /* with its place in the budget */
        now->view_cost = then->view_cost;
        now->view_used_ms = then->view_used_ms;
        now->file_modseq = then->file_modseq;
        now->file_ms = then->file_ms;
        then->view = NULL;
    }
    a->state = fresh;
    quota_note(a, (struct quota_amount){0, 0});
    (void)pthread_mutex_unlock(&a->lock);
    account_state_free(a, &old);
    return true;
}

bool store_account(struct store *st, uint64_t id, struct account **out, struct fail *why)
{
    struct account *a = store_pin(st, id);
    char path[STORE_PATH_BYTES];

    (void)pthread_mutex_lock(&a->lock);
    bool known = a->state != NULL, removed = a->removed;
    (void)pthread_mutex_unlock(&a->lock);
    bool ok = !removed || out_of_service(a, why);
    if (ok && !known) {
        ok = account_path(st, "accounts", id, "mail.db", path, why);
        if (ok && access(path, F_OK) != 0)
            ok = errno == ENOENT || errno == ENOTDIR
                     ? fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no account %llu",
                                (unsigned long long)id)
                     : fail_errno(why, errno, "%s", path);
    }
    if (ok)
        *out = a;
    else
        store_unpin(a);
    return ok;
}

struct account *account_ref(struct account *a)
{
    return store_pin(a->store, a->id);
}

void account_release(struct account **a)
{
    if (*a != NULL)
        store_unpin(*a);
    *a = NULL;
}

uint64_t account_id(const struct account *a)
{
    return a->id;
}

struct store *account_store(struct account *a)
{
    return a->store;
}

bool account_usage(struct account *a, struct account_usage *out, struct fail *why)
{
    if (!account_peek(a, why))
        return false;
    const struct account_row *row = &a->state->row;
    *out = (struct account_usage){
        .bytes = row->bytes, .messages = row->messages, .highest_modseq = row->highest_modseq};
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}
