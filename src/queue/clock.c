/*
 * queue/clock.c - what is to be done when the machine's clock was set.
 *
 * Layer: queue, private.  All times in the spool are the wall clock's, so that they mean something after a restart.
 * Set forwards, everything seems due, and perhaps expired: it is tried once more before any of it is returned, as after a
 * start (tend.c).  Set back, everything seems to be due in a future that may be years away: a wait that was begun at a time
 * that has not come yet is measured from now on.  What its sender wants to be held until a time stays until then.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/internal.h"

enum {
    JUMP_SECONDS = 60,    /* less is the usual correction of a clock */
    AHEAD_SECONDS = 3600, /* so much can have made old what nobody had the chance to send; also of a machine that slept */
};

struct setting_back { struct op op; int64_t now; };

static bool run_setting_back(struct queue *q, struct op *o, struct fail *why)
{
    static const unsigned all[] = {SQL_BACK_TRIED, SQL_BACK_UNTRIED, SQL_BACK_MESSAGES, SQL_BACK_DESTINATIONS};
    struct setting_back *s = (struct setting_back *)o;
    bool ok = true;

    for (size_t i = 0; ok && i < ARRAY_LEN(all); i++)
        ok = db_run(q->db, all[i], why, "ii", s->now, s->now + JUMP_SECONDS);
    return ok;
}

/* Nobody's own back-off lasts beyond now, and all of them look into the database. */
static void wake_all(struct queue *q, int64_t now)
{
    struct slice name;
    void *found;

    (void)pthread_mutex_lock(&q->lock);
    for (size_t at = 0; map_next(&q->names, &at, &name, &found);) {
        struct destination *d = found;
        if (d->not_before > now)
            d->not_before = now;
        d->quiet_since = now;
        d->stored_next = NEVER_DUE;
        d->more = true;
        schedule_wake(q, d, now);
    }
    (void)pthread_mutex_unlock(&q->lock);
}

static void set_back(struct queue *q, int64_t now)
{
    struct setting_back s = {.op = {.run = run_setting_back}, .now = now};
    struct fail why = {0};

    q->feed_next = INT64_MIN;
    q->feed_id = 0;
    if (!commit_wait(q, &s.op, &why))
        log_event(LOG_ERROR, "queue.clock", LOG_FAIL(&why));
    wake_all(q, now);
}

/* Written to at a time that has not come yet: the clock was set back while nobody looked. */
static bool is_from_future(const struct queue *q, int64_t now)
{
    static const char *const ends[] = {"queue.db", "queue.db-wal"};
    bool is = false;

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct stat st;
        char path[4096];
        int len = snprintf(path, sizeof path, "%s/%s", q->dir, ends[i]);
        is = is || (len > 0 && (size_t)len < sizeof path && stat(path, &st) == 0 && st.st_mtim.tv_sec > now + JUMP_SECONDS);
    }
    return is;
}

void clock_watch(struct queue *q, int64_t now)
{
    const bool first = q->clock_ahead == 0;
    const int64_t ahead = now - clock_mono_ms() / 1000, jump = first ? 0 : ahead - q->clock_ahead;

    q->clock_ahead = ahead;
    if (jump > JUMP_SECONDS || jump < -JUMP_SECONDS)
        log_event(LOG_WARNING, "queue.clock_set", LOG_I64("seconds", jump));
    if (jump > AHEAD_SECONDS || jump < -JUMP_SECONDS)
        q->opened = now;
    if (jump < -JUMP_SECONDS || (first && is_from_future(q, now)))
        set_back(q, now);
}
