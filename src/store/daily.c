/*
 * store/daily.c - what every account needs once a day, spread over the day.
 *
 * Layer: store.  One thread goes round the accounts every hour.  An account that
 * has changed since its snapshot gets a new one when that is old enough; expunged
 * messages are purged in the hour that the account's id falls on; accounts whose
 * removal a crash cut short are finished.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

enum { HOUR = 3600, DAY = 24 * HOUR, FIRST_ROUND_SECONDS = 300 };

/* When the file was last written to; 0 if there is none. */
static int64_t changed_at(const struct store *st, const char *folder, uint64_t id, const char *file)
{
    char path[STORE_PATH_BYTES];
    struct stat s;

    return account_path(st, folder, id, file, path, NULL) && stat(path, &s) == 0 ? (int64_t)s.st_mtime : 0;
}

static bool snapshot_is_due(const struct store *st, uint64_t id, int64_t changed, int64_t now)
{
    int64_t taken = changed_at(st, "snapshots", id, "mail.db");

    return st->limits.snapshot_hours > 0 && changed > taken &&
           now - taken >= (int64_t)st->limits.snapshot_hours * HOUR;
}

/* Nothing expires in a file that nobody has written to for longer than anything is kept. */
static bool purge_may_be_due(const struct store *st, int64_t changed, int64_t now)
{
    unsigned days = st->limits.keep_expunged_days > st->limits.change_log_days ? st->limits.keep_expunged_days
                                                                               : st->limits.change_log_days;

    return now - changed < (int64_t)(days + 2) * DAY;
}

static bool purge(struct store *st, uint64_t id, int64_t now, struct fail *why)
{
    struct account *a;

    if (!store_account(st, id, &a, why))
        return false;
    bool ok = release_purge(a, now, why) && release_sweep(a, why);
    account_release(&a);
    return ok;
}

bool daily_account(struct store *st, uint64_t id, int64_t now, struct fail *why)
{
    int64_t changed = changed_at(st, "accounts", id, "mail.db");
    int64_t wal_changed = changed_at(st, "accounts", id, "mail.db-wal");
    bool ok = true;

    if (wal_changed > changed)
        changed = wal_changed;
    if (now / HOUR % 24 == (int64_t)(id % 24) && purge_may_be_due(st, changed, now))
        ok = purge(st, id, now, why);
    return (!snapshot_is_due(st, id, changed, now) || store_snapshot(st, id, ok ? why : NULL)) && ok;
}

static bool is_closing(struct store *st)
{
    (void)pthread_mutex_lock(&st->lock);
    bool closing = st->closing;
    (void)pthread_mutex_unlock(&st->lock);
    return closing;
}

static bool visit(void *ctx, uint64_t id)
{
    struct store *st = ctx;
    struct fail why;

    if (!daily_account(st, id, clock_now(), &why))
        log_event(LOG_WARNING, "store.daily", LOG_U64("account", id), LOG_FAIL(&why));
    return !is_closing(st);
}

static void go_round(struct store *st)
{
    struct fail why;

    if (!store_each_account(st, visit, st, &why) || !account_finish_removals(st, &why) ||
        !release_reclaim(st, clock_now(), &why))
        log_event(LOG_WARNING, "store.daily", LOG_FAIL(&why));
}

/* false: the store is closing. */
static bool wait_for(struct store *st, int64_t seconds)
{
    struct timespec until;
    int status = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    (void)pthread_mutex_lock(&st->lock);
    while (!st->closing && status == 0)
        status = pthread_cond_timedwait(&st->daily_wanted, &st->lock, &until);
    bool closing = st->closing;
    (void)pthread_mutex_unlock(&st->lock);
    return !closing;
}

static void *daily_main(void *ctx)
{
    struct store *st = ctx;
    struct fail why;

    if (!wait_for(st, FIRST_ROUND_SECONDS))
        return NULL;
    if (!release_announce(st, &why))
        log_event(LOG_WARNING, "store.daily", LOG_FAIL(&why));
    do
        go_round(st);
    while (wait_for(st, HOUR));
    return NULL;
}

bool daily_start(struct store *st, struct fail *why)
{
    int status = pthread_create(&st->daily, NULL, daily_main, st);

    st->daily_runs = status == 0;
    return st->daily_runs || fail_errno(why, status, "the store's daily thread");
}

void daily_stop(struct store *st)
{
    if (!st->daily_runs)
        return;
    (void)pthread_mutex_lock(&st->lock);
    st->closing = true;
    (void)pthread_cond_signal(&st->daily_wanted);
    (void)pthread_cond_signal(&st->upkeep_wanted);
    (void)pthread_mutex_unlock(&st->lock);
    (void)pthread_join(st->daily, NULL);
    st->daily_runs = false;
}
