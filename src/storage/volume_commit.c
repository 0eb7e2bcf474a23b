/*
 * storage/volume_commit.c - one sync for everybody who waits.
 *
 * Layer: storage.
 *
 * A record that has been written gets a ticket.  Whoever waits for a ticket and
 * finds no sync running runs one; it serves every ticket given out before it
 * began.  The others sleep, each on a futex of its own, so that a sync wakes those
 * it served and one of the rest to run the next, and nobody else.  Who has no thread
 * to spare for that leaves it to the syncer, which waits for all of these as one.
 *
 * A sync that failed is never tried again: the kernel has forgotten which pages
 * it could not write, and would say that all is well.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/block.h"
#include "base/io.h"
#include "base/log.h"
#include "storage/volume_internal.h"

enum waiter_state { WAITER_SLEEPS, WAITER_SERVED, WAITER_LOOKS };

static void waiter_sleep(struct waiter *w)
{
    while (atomic_load(&w->state) == WAITER_SLEEPS)
        (void)syscall(SYS_futex, &w->state, FUTEX_WAIT_PRIVATE, WAITER_SLEEPS, NULL, NULL, 0);
}

/* After the store the waiter may be gone: a wake at an address that nobody waits at does nothing. */
static void waiter_wake(struct waiter *w, enum waiter_state state)
{
    atomic_store(&w->state, state);
    (void)syscall(SYS_futex, &w->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Takes from the volume's waiters those who have their answer, and the first of the others if nobody syncs.
 */
static struct waiter *to_be_woken(struct volume *vol, struct waiter **leader)
{
    struct waiter *woken = NULL, **at = &vol->first_waiter;

    *leader = NULL;
    while (*at != NULL) {
        struct waiter *w = *at;
        if (w->ticket > vol->durable && !vol->sealed) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = woken;
        woken = w;
    }
    vol->last_waiter = at;
    if (vol->first_waiter != NULL) {
        *leader = vol->first_waiter;
        vol->first_waiter = (*leader)->next;
        if (vol->first_waiter == NULL)
            vol->last_waiter = &vol->first_waiter;
    }
    return woken;
}

static void wake_served(struct waiter *w)
{
    while (w != NULL) {
        struct waiter *next = w->next;
        waiter_wake(w, WAITER_SERVED);
        w = next;
    }
}

static void wake_waiters(struct volumes *v, struct volume *vol)
{
    struct waiter *leader, *served = to_be_woken(vol, &leader);

    (void)pthread_mutex_unlock(&v->lock);
    if (leader != NULL)
        waiter_wake(leader, WAITER_LOOKS);
    wake_served(served);
    (void)pthread_mutex_lock(&v->lock);
}

/* The volume goes to the background thread, which ends it when the last user has left. */
void volume_set_aside(struct volumes *v, struct volume *vol)
{
    if (v->current != vol)
        return;
    v->current = NULL;
    vol->next = v->retiring;
    v->retiring = vol;
    (void)pthread_cond_signal(&v->work);
}

void volume_seal(struct volumes *v, struct volume *vol)
{
    if (vol->sealed)
        return;
    vol->sealed = true;
    /*
     * Also here, and not only after a sync: whoever was woken to run the next one, and has not begun, will
     * find the volume sealed and go.
     */
    struct waiter *leader;
    wake_served(to_be_woken(vol, &leader));
    struct failed_volume *failed = xcalloc(1, sizeof *failed);
    *failed = (struct failed_volume){.id = vol->id, .synced = vol->synced, .next = v->failed};
    v->failed = failed;
    v->stats.sealed++;
    log_event(LOG_ERROR, "storage.volume.sealed", LOG_U64("volume", vol->id), LOG_U64("synced", vol->synced),
              LOG_U64("reserved", vol->reserved));
    volume_set_aside(v, vol);
}

void volume_release_user(struct volumes *v, struct volume *vol)
{
    if (--vol->users == 0 && vol != v->current)
        (void)pthread_cond_signal(&v->work);
}

/* One sync for all tickets given out so far. */
static void lead(struct volumes *v, struct volume *vol)
{
    uint64_t ticket = vol->written;
    uint64_t synced = vol->oldest != NULL ? vol->oldest->at : vol->reserved;

    vol->syncing = true;
    (void)pthread_mutex_unlock(&v->lock);
    block_begin();
    int failed = io_fdatasync(vol->fd) != 0 ? errno : 0;
    block_end();
    (void)pthread_mutex_lock(&v->lock);
    vol->syncing = false;
    v->stats.syncs++;
    if (failed != 0) {
        log_event(LOG_ERROR, "storage.volume.sync", LOG_U64("volume", vol->id),
                  LOG_CSTR("error", errno_text(failed)));
        volume_seal(v, vol);
    }
    if (!vol->sealed) { /* somebody else may have sealed it meanwhile: then this sync promises nothing */
        vol->durable = ticket;
        vol->synced = synced;
        if (v->last_kept < vol->id)
            v->last_kept = vol->id;
    }
    wake_waiters(v, vol);
}

static void sleep_for(struct volumes *v, struct volume *vol, uint64_t ticket)
{
    struct waiter w = {.ticket = ticket, .state = WAITER_SLEEPS};

    /* It is off the list before it wakes. */
    *vol->last_waiter = &w;
    vol->last_waiter = &w.next;
    (void)pthread_mutex_unlock(&v->lock);
    block_begin();
    waiter_sleep(&w);
    block_end();
    (void)pthread_mutex_lock(&v->lock);
}

bool volume_wait(struct volumes *v, struct volume *vol, uint64_t ticket)
{
    while (vol->durable < ticket && !vol->sealed) {
        if (vol->syncing)
            sleep_for(v, vol, ticket);
        else
            lead(v, vol);
    }
    return vol->durable >= ticket;
}

/* The volume of that number if it is being written; the caller becomes a user of it. */
static struct volume *use_active(struct volumes *v, uint32_t id)
{
    struct volume *vol = v->current;

    if (vol == NULL || vol->id != id)
        for (vol = v->retiring; vol != NULL && vol->id != id; vol = vol->next)
            ;
    if (vol != NULL)
        vol->users++;
    return vol;
}

/* With the lock held: is everything of volume `id` up to the record at `last` on disk? */
static bool sync_volume(struct volumes *v, uint32_t id, uint64_t last)
{
    struct volume *vol = use_active(v, id);

    if (vol != NULL) {
        (void)volume_wait(v, vol, vol->written);
        volume_release_user(v, vol);
    }
    for (const struct failed_volume *f = v->failed; f != NULL; f = f->next)
        if (f->id == id)
            return last < f->synced;
    return true;
}

bool volume_sync(struct volumes *v, volume_ref first, volume_ref last, struct fail *why)
{
    bool ok = true;

    (void)pthread_mutex_lock(&v->lock);
    for (uint32_t id = ref_volume(first); ok && id <= ref_volume(last); id++)
        ok = sync_volume(v, id, id == ref_volume(last) ? ref_offset(last) : UINT64_MAX);
    (void)pthread_mutex_unlock(&v->lock);
    return ok ||
           fail_code(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "4.3.0", "the disk failed to take the message");
}

/* ---- for those who do not wait themselves ---- */

void volume_park(struct volumes *v, struct volume_pending *p)
{
    p->next = NULL;
    *v->last_pending = p;
    v->last_pending = &p->next;
    if (v->syncer_sleeps) {
        v->syncer_sleeps = false;
        (void)pthread_cond_signal(&v->parked);
    }
}

/* What was parked until now, with one sync in most cases; the lock is let go while anybody is told. */
static void serve_parked(struct volumes *v)
{
    struct volume_pending *p = v->first_pending;

    v->first_pending = NULL;
    v->last_pending = &v->first_pending;
    while (p != NULL) {
        struct volume_pending *next = p->next;
        struct fail why = {0};
        bool ok = volume_wait(v, p->vol, p->ticket);
        if (!ok)
            volume_disown(p->vol, ref_offset(p->ref), &why);
        volume_release_user(v, p->vol);
        (void)pthread_mutex_unlock(&v->lock);
        p->done(p, ok, &why);
        (void)pthread_mutex_lock(&v->lock);
        p = next;
    }
}

void *volume_sync_for_others(void *volumes)
{
    struct volumes *v = volumes;

    (void)pthread_mutex_lock(&v->lock);
    while (v->first_pending != NULL || !v->syncer_ends) {
        if (v->first_pending != NULL) {
            serve_parked(v);
            continue;
        }
        v->syncer_sleeps = true;
        (void)pthread_cond_wait(&v->parked, &v->lock);
        v->syncer_sleeps = false;
    }
    (void)pthread_mutex_unlock(&v->lock);
    return NULL;
}
