/*
 * store/index_make.c - the background: what is not in the index yet goes in.
 *
 * Layer: store.  One thread for all accounts, of low priority.  An account's turn
 * comes when enough messages wait or the first has waited long enough; after a start
 * all accounts are looked at whose files are newer than their index.  While mail
 * comes in, the thread rests after each message several times as long as it worked.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash_note.h"
#include "base/log.h"
#include "store/grams.h"
#include "store/index.h"
#include "store/search_internal.h"

enum {
    DUE_MESSAGES = 100, /* an account's turn comes with so many */
    DUE_MS = 30000,     /* or when the first has waited so long */
    AGAIN_MS = 5000,    /* after a failure */
    ROWS = 64,          /* read at a time */
    COMMIT_BYTES = 32 << 20, /* of packed grams in one transaction; FTS5 writes on the way */
    BUSY_MS = 50,       /* so long after a message came, more are expected */
    REST_TIMES = 4,     /* as long as the work */
    REST_MAX_US = 100000,
    NICE = 10,
    TOLD_FROM = 1000,   /* messages, or it is no news */
    TURN_MESSAGES = 20000, /* then it is another account's turn */
    SPACE = 64 << 20,   /* left free above the reserve */
    LOOK_SECONDS = 3600,
    ARENA_ROWS = 256 << 20,
};

/* ---- what waits ---- */

void index_note(struct store *st, uint64_t account, uint64_t count)
{
    struct index_set *set = st->index;
    int64_t now = clock_mono_ms();

    if (set == NULL)
        return;
    atomic_store_explicit(&set->placed_ms, now, memory_order_relaxed);
    struct index_file *f = index_file_pin(st, account);
    (void)pthread_mutex_lock(&set->lock);
    if (f->work.waiting == 0)
        f->work.since_ms = now;
    bool due = f->work.waiting < DUE_MESSAGES && f->work.waiting + count >= DUE_MESSAGES;
    f->work.waiting += count;
    if (due)
        (void)pthread_cond_signal(&set->wake);
    f->refs--;
    (void)pthread_mutex_unlock(&set->lock);
}

static bool is_due(const struct index_work *w, int64_t now)
{
    return w->waiting > 0 && now >= w->not_before_ms &&
           (w->waiting >= DUE_MESSAGES || now - w->since_ms >= DUE_MS);
}

/* The account whose turn it is: the one that waits longest; 0: none (ids begin with 1). */
static uint64_t take_due(struct index_set *set)
{
    struct index_file *found = NULL;
    int64_t now = clock_mono_ms();
    uint64_t id;
    void *value;

    (void)pthread_mutex_lock(&set->lock);
    for (size_t at = 0; idmap_next(&set->files, &at, &id, &value);) {
        struct index_file *f = value;
        if (is_due(&f->work, now) && (found == NULL || f->work.since_ms < found->work.since_ms))
            found = f;
    }
    id = found != NULL ? found->account : 0;
    set->working = found != NULL ? found->work.waiting : 0;
    if (found != NULL)
        found->work = (struct index_work){.waiting = 0};
    (void)pthread_mutex_unlock(&set->lock);
    return id;
}

static void wait_again(struct store *st, uint64_t account)
{
    struct index_file *f = index_file_pin(st, account);
    int64_t now = clock_mono_ms();

    (void)pthread_mutex_lock(&st->index->lock);
    f->work.waiting += DUE_MESSAGES;
    f->work.since_ms = now;
    f->work.not_before_ms = now + AGAIN_MS;
    f->refs--;
    (void)pthread_mutex_unlock(&st->index->lock);
}

static bool is_closing(struct index_set *set)
{
    (void)pthread_mutex_lock(&set->lock);
    bool closing = set->closing;
    (void)pthread_mutex_unlock(&set->lock);
    return closing;
}

/* ---- one account ---- */

struct making {
    struct store *store;
    struct account *account;
    struct search_text *text;
    struct grams *grams;
    struct arena arena; /* of the rows */
    struct message_info rows[ROWS];
    bool uncached[ROWS];
    size_t count;
    int64_t epoch;
    uint64_t live, next_message, after, made;
    bool gently; /* rests while mail comes in */
};

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void rest(const struct making *k, int64_t began_us)
{
    struct index_set *set = k->store->index;

    if (!k->gently ||
        clock_mono_ms() - atomic_load_explicit(&set->placed_ms, memory_order_relaxed) > BUSY_MS)
        return;
    int64_t us = (now_us() - began_us) * REST_TIMES;
    (void)usleep((useconds_t)(us < REST_MAX_US ? us : REST_MAX_US));
}

/* The account's epoch, and how many messages it has. */
static bool look_at_account(struct making *k, struct fail *why)
{
    if (!account_lock(k->account, why))
        return false;
    bool ok = db_get_i64(k->account->db, SQL_EPOCH, &k->epoch, why, "");
    k->live = k->account->state->row.messages;
    k->next_message = k->account->state->row.next_message;
    account_unlock(k->account);
    return ok;
}

static bool step_row(struct making *k, struct db_stmt *q, struct fail *why)
{
    struct message_info *m = &k->rows[k->count];

    if (!db_step(q, why))
        return false;
    *m = (struct message_info){
        .message_id = (uint64_t)db_col_i64(q, 0),
        .ref = (uint64_t)db_col_i64(q, 1),
        .size = (uint64_t)db_col_i64(q, 2),
        .prefix = arena_keep(&k->arena, db_col_blob(q, 3)),
    };
    k->uncached[k->count] = db_col_is_null(q, 5);
    m->envelope = arena_keep(&k->arena, db_col_blob(q, 4));
    m->structure = arena_keep(&k->arena, db_col_blob(q, 5));
    k->count++;
    return true;
}

static bool read_rows(struct making *k, struct fail *why)
{
    k->count = 0;
    arena_reset(&k->arena);
    if (!account_lock(k->account, why))
        return false;
    struct db_stmt *q = db_stmt(k->account->db, SQL_INDEX_ROWS, why);
    bool ok = q != NULL;
    if (ok) {
        db_bind_i64(q, 1, (int64_t)k->after);
        db_bind_i64(q, 2, ROWS);
        while (k->count < ROWS && step_row(k, q, why))
            ;
        ok = db_done(q, why);
    }
    account_unlock(k->account);
    return ok;
}

/* How the note of what is in work names a message; the same after a crash, and never 0. */
static uint64_t print_of(const struct making *k, const struct message_info *m)
{
    return (k->account->id * 0x9e3779b97f4a7c15U ^ m->message_id) | (uint64_t)1 << 63;
}

/* Its text into `grams`.  *always: the index cannot answer for it.  false: later. */
static bool gather(struct making *k, size_t i, bool *always, struct fail *why)
{
    struct message_info *m = &k->rows[i];
    struct search_subject subject = {.info = m};
    struct message_facts facts;

    *always = false;
    grams_reset(k->grams);
    if (k->uncached[i]) {
        if (!facts_of_record(k->store, m->ref, m->size - m->prefix.len, &k->arena, &facts, why)) {
            *always = why->kind == FAIL_PERM;
            return *always;
        }
        m->envelope = facts.envelope;
        m->structure = facts.structure;
    }
    search_text_begin(k->text, m);
    enum text_result html = search_text_gather(k->text, k->grams, &subject);
    if (subject.failed) {
        *why = subject.why;
        return false;
    }
    if (html == TEXT_AWAY)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "HTML cannot be turned into text at the moment");
    *always = html == TEXT_REFUSED || search_text_is_damaged(k->text) || grams_overflowed(k->grams);
    return true;
}

/* A message that was in work at two crashes is for the true search alone. */
static bool gather_once(struct making *k, size_t i, bool *always, struct fail *why)
{
    uint64_t print = print_of(k, &k->rows[i]);
    bool ok = true;

    if (crash_note_enter(k->store->note, print)) {
        ok = gather(k, i, always, why);
    } else {
        log_event(LOG_ERROR, "index.left_out", LOG_U64("account", k->account->id),
                  LOG_U64("message", k->rows[i].message_id), LOG_CSTR("error", "in work at two crashes"));
        *always = true;
    }
    crash_note_leave(k->store->note, print);
    return ok;
}

/* Into the file, if that is still where it was; else the next look begins anew. */
static bool put(struct making *k, size_t i, bool always, struct fail *why)
{
    struct index_file *f = index_file_lock(k->store, k->account->id);
    bool ok = index_file_open(f, k->epoch, false, why);

    if (ok && index_file_position(f).covered != k->after)
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "the index was made anew meanwhile");
    else if (ok) {
        ok = index_file_add(f, k->rows[i].message_id, grams_packed(k->grams), always, why) &&
             (index_file_pending(f) < COMMIT_BYTES || index_file_commit(f, why));
        if (!ok)
            index_file_failed(f, why);
    }
    index_file_unlock(&f);
    if (ok)
        k->after = k->rows[i].message_id;
    return ok;
}

static bool make_batch(struct making *k, struct fail *why)
{
    for (size_t i = 0; i < k->count; i++) {
        int64_t began = now_us();
        bool always;
        if (k->gently && is_closing(k->store->index))
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the store is closing");
        if (!gather_once(k, i, &always, why) || !put(k, i, always, why))
            return false;
        k->made++;
        rest(k, began);
    }
    return true;
}

/* Why it must be made anew; NULL: it need not. */
static const char *is_past_use(const struct making *k, struct index_position at)
{
    enum { SOME = 10000 };

    if (at.covered >= k->next_message)
        return "the account is older than it: put back by hand";
    return at.messages > 2 * k->live + SOME ? "mostly of messages that are gone" : NULL;
}

static bool find_start(struct making *k, struct fail *why)
{
    if (!volume_has_space(k->store->volumes, SPACE, why) || !look_at_account(k, why))
        return false;
    struct index_file *f = index_file_lock(k->store, k->account->id);
    bool ok = index_file_open(f, k->epoch, true, why);
    const char *reason = ok ? is_past_use(k, index_file_position(f)) : NULL;
    if (reason != NULL) {
        index_file_discard(f, reason);
        ok = index_file_open(f, k->epoch, true, why);
    }
    if (ok)
        k->after = index_file_position(f).covered;
    index_file_unlock(&f);
    return ok;
}

static bool commit(struct making *k, bool done, struct fail *why)
{
    struct index_file *f = index_file_lock(k->store, k->account->id);
    bool ok = !index_file_is_open(f) || index_file_commit(f, why);

    if (!ok)
        index_file_failed(f, why);
    else if (done)
        index_file_touch(f);
    index_file_unlock(&f);
    return ok;
}

static void tell(const struct making *k, int64_t began_us)
{
    int64_t ms = (now_us() - began_us) / 1000;

    log_event(k->made >= TOLD_FROM ? LOG_INFO : LOG_DEBUG, "index.caught_up", LOG_U64("account", k->account->id),
              LOG_U64("messages", k->made), LOG_I64("ms", ms),
              LOG_U64("per_second", k->made * 1000 / (uint64_t)(ms > 0 ? ms : 1)));
}

/* *more: its turn ended before it was done. */
static bool catch_up(struct making *k, bool *more, struct fail *why)
{
    struct fail local;
    bool ok = find_start(k, why);
    int64_t began = now_us();

    while (ok) {
        ok = read_rows(k, why);
        if (!ok || k->count == 0)
            break;
        ok = make_batch(k, why);
        *more = ok && k->gently && k->made >= TURN_MESSAGES;
        if (*more)
            break;
    }
    /* What was put in before a failure stays. */
    if (!commit(k, ok && !*more, ok ? why : &local))
        ok = false;
    if (k->made > 0)
        tell(k, began);
    return ok;
}

static bool catch_up_with(struct store *st, uint64_t account, bool gently, struct fail *why)
{
    struct making *k = xcalloc(1, sizeof *k);
    bool more = false;

    k->store = st;
    k->gently = gently;
    bool ok = store_account(st, account, &k->account, why);
    if (ok) {
        k->text = search_text_create(st);
        k->grams = grams_create();
        arena_init(&k->arena, ARENA_ROWS);
        ok = catch_up(k, &more, why);
        arena_finish(&k->arena);
        grams_destroy(&k->grams);
        search_text_destroy(&k->text);
        account_release(&k->account);
    }
    free(k);
    if (more)
        index_note(st, account, DUE_MESSAGES);
    return ok;
}

bool index_catch_up(struct store *st, uint64_t account, struct fail *why)
{
    return st->index == NULL || catch_up_with(st, account, false, why);
}

static bool look_at_file(struct account *a, int64_t epoch, bool whole, struct index_lag *out,
                         struct index_position *at, struct fail *why)
{
    struct index_file *f = index_file_lock(a->store, a->id);
    struct fail none;
    bool ok = true;

    out->there = index_file_open(f, epoch, false, &none);
    if (out->there && whole) {
        ok = index_file_check(f, why);
        if (!ok)
            index_file_failed(f, why);
    }
    if (out->there && ok)
        *at = index_file_position(f);
    index_file_unlock(&f);
    return ok;
}

static bool look(struct account *a, bool whole, struct index_lag *out, struct fail *why)
{
    struct index_position at = {0};
    int64_t epoch, waiting = 0;

    *out = (struct index_lag){.there = false};
    if (a->store->index == NULL)
        return true;
    if (!account_lock(a, why))
        return false;
    bool ok = db_get_i64(a->db, SQL_EPOCH, &epoch, why, "");
    account_unlock(a);
    if (!ok || !look_at_file(a, epoch, whole, out, &at, why) || !account_lock(a, why))
        return false;
    ok = db_get_i64(a->db, SQL_INDEX_WAITING, &waiting, why, "i", (int64_t)at.covered);
    account_unlock(a);
    out->indexed = at.messages;
    out->waiting = (uint64_t)waiting;
    return ok;
}

bool index_lag(struct account *a, struct index_lag *out, struct fail *why)
{
    return look(a, false, out, why);
}

bool index_check(struct account *a, struct index_lag *out, struct fail *why)
{
    return look(a, true, out, why);
}

/* ---- the thread ---- */

static int64_t written_at(const struct store *st, uint64_t id, const char *file)
{
    char path[STORE_PATH_BYTES];
    struct stat s;

    /* Of the inode: a file that was put back by hand may look as old as it likes. */
    return account_path(st, "accounts", id, file, path, NULL) && stat(path, &s) == 0 ? (int64_t)s.st_ctime : 0;
}

/* Was all put in when it was closed?  One with a WAL was not closed, unless it is open. */
static bool may_be_unfinished(const struct store *st, uint64_t id)
{
    char path[STORE_PATH_BYTES];
    struct stat s;

    return written_at(st, id, "index.db-wal") != 0 ||
           (account_path(st, "accounts", id, "index.db", path, NULL) && stat(path, &s) == 0 && s.st_mtime == 0);
}

/* An account whose file is newer than its index: perhaps by flags alone; a look costs little. */
static bool look_for_work(void *ctx, uint64_t id)
{
    struct store *st = ctx;
    int64_t mail = written_at(st, id, "mail.db"), wal = written_at(st, id, "mail.db-wal");

    if ((mail > wal ? mail : wal) >= written_at(st, id, "index.db") || may_be_unfinished(st, id))
        index_note(st, id, DUE_MESSAGES);
    return !is_closing(st->index);
}

/* false: the store is closing. */
static bool wait_a_while(struct index_set *set)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    (void)pthread_mutex_lock(&set->lock);
    if (!set->closing)
        (void)pthread_cond_timedwait(&set->wake, &set->lock, &until);
    bool closing = set->closing;
    (void)pthread_mutex_unlock(&set->lock);
    return !closing;
}

static void work(struct store *st, uint64_t id)
{
    struct fail why;

    if (catch_up_with(st, id, true, &why) || why.reason == FAIL_NOT_FOUND || is_closing(st->index))
        return;
    log_event(LOG_DEBUG, "index.behind", LOG_U64("account", id), LOG_FAIL(&why));
    wait_again(st, id);
}

static void *index_main(void *ctx)
{
    struct store *st = ctx;
    struct index_set *set = st->index;
    int64_t look_ms = 0;
    struct fail why;
    uint64_t id;

    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone */
    do {
        if (clock_mono_ms() >= look_ms) {
            if (!store_each_account(st, look_for_work, st, &why))
                log_event(LOG_WARNING, "index.failed", LOG_FAIL(&why));
            look_ms = clock_mono_ms() + (int64_t)LOOK_SECONDS * 1000;
        }
        while (!is_closing(set) && (id = take_due(set)) != 0) {
            work(st, id);
            index_close_idle(st);
        }
        index_close_idle(st);
    } while (wait_a_while(set));
    return NULL;
}

uint64_t store_index_waiting(struct store *st)
{
    struct index_set *set = st->index;
    uint64_t id, waiting;
    void *value;

    if (set == NULL)
        return 0;
    (void)pthread_mutex_lock(&set->lock);
    waiting = set->working;
    for (size_t at = 0; idmap_next(&set->files, &at, &id, &value);)
        waiting += ((struct index_file *)value)->work.waiting;
    (void)pthread_mutex_unlock(&set->lock);
    return waiting;
}

bool store_index_start(struct store *st, struct fail *why)
{
    struct index_set *set = st->index;

    if (set == NULL)
        return true;
    int status = pthread_create(&set->thread, NULL, index_main, st);
    set->runs = status == 0;
    return set->runs || fail_errno(why, status, "the search index's thread");
}

void index_stop(struct store *st)
{
    struct index_set *set = st->index;

    if (set == NULL || !set->runs)
        return;
    (void)pthread_mutex_lock(&set->lock);
    set->closing = true;
    (void)pthread_cond_signal(&set->wake);
    (void)pthread_mutex_unlock(&set->lock);
    (void)pthread_join(set->thread, NULL);
    set->runs = false;
}
