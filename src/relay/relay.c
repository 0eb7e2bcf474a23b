/*
 * relay/relay.c - the threads that send.
 *
 * Layer: relay.  Each waits for a claim, sends it, and sends what else waits for the same destination over the same
 * connection.  One more thread is started when none is left that waits; those that were not needed for a while end.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/internal.h"

enum {
    STACK_BYTES = 512 * 1024, /* address space; only what is touched becomes memory */
    THREADS_MAX = 4096,       /* the queue's `sessions` are fewer */
    IDLE_KEPT = 8,            /* threads that wait, always */
    SURPLUS_SECONDS = 10,     /* more of them end if they were not needed for so long */
    ARENA_MAX = 256 * 1024 * 1024,
};

static bool start_thread(struct relay *r);

/* Is it fair, and polite, to go on over this connection? */
static bool may_go_on(const struct relay *r, const struct link *link)
{
    return link != NULL && link->messages < r->setting.limits.reuse_messages && !atomic_load(&r->stopping) && smtp_client_usable(link->client);
}

static void work(struct relay *r, struct queue_claim *claim, struct arena *arena)
{
    struct link *link = NULL;
    struct buf destination;

    buf_init(&destination, 1000);
    while (claim != NULL) {
        buf_reset(&destination);
        buf_add(&destination, claim->destination); /* it goes with the claim */
        relay_attempt(r, &claim, &link, arena);
        if (may_go_on(r, link)) {
            claim = queue_claim_more(r->setting.queue, buf_slice(&destination));
        } else {
            claim = NULL;
            queue_pass(r->setting.queue, buf_slice(&destination));
        }
    }
    if (may_go_on(r, link))
        links_keep(r->links, &link);
    links_close(r->links, &link);
    buf_finish(&destination);
}

/* NULL: no more will come. */
static struct queue_claim *wait_for_claim(struct relay *r)
{
    (void)pthread_mutex_lock(&r->lock);
    r->idle++;
    (void)pthread_mutex_unlock(&r->lock);
    struct queue_claim *claim = queue_claim(r->setting.queue);
    (void)pthread_mutex_lock(&r->lock);
    r->idle--;
    r->least_idle = r->idle < r->least_idle ? r->idle : r->least_idle;
    bool another = claim != NULL && r->idle == 0 && r->threads < THREADS_MAX;
    if (another)
        r->threads++;
    (void)pthread_mutex_unlock(&r->lock);
    if (another && !start_thread(r)) {
        (void)pthread_mutex_lock(&r->lock);
        r->threads--;
        (void)pthread_mutex_unlock(&r->lock);
    }
    return claim;
}

/*
 * Mail comes in bursts, and to start a thread costs as much as to send a message: only as many end as have waited all
 * through the last seconds.
 */
static bool is_needed(struct relay *r)
{
    int64_t now = clock_mono_ms();

    (void)pthread_mutex_lock(&r->lock);
    if (now >= r->surplus_until) {
        r->surplus = r->least_idle > IDLE_KEPT ? r->least_idle - IDLE_KEPT : 0;
        r->least_idle = r->idle;
        r->surplus_until = now + SURPLUS_SECONDS * 1000;
    }
    bool needed = r->surplus == 0;
    r->surplus -= !needed;
    (void)pthread_mutex_unlock(&r->lock);
    return needed;
}

static void *sender_main(void *relay)
{
    struct relay *r = relay;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    do {
        struct queue_claim *claim = wait_for_claim(r);
        if (claim == NULL)
            break;
        work(r, claim, &arena);
    } while (is_needed(r));
    arena_finish(&arena);
    (void)pthread_mutex_lock(&r->lock);
    r->threads--;
    (void)pthread_cond_signal(&r->ended);
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* It is counted already. */
static bool start_thread(struct relay *r)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;

    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&thread, &attr, sender_main, r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (err != 0)
        log_event(LOG_WARNING, "relay.no_thread", LOG_I64("errno", err));
    return err == 0;
}

bool relay_start(const struct relay_setting *s, struct relay **out, struct fail *why)
{
    struct relay *r = xcalloc(1, sizeof *r);
    pthread_condattr_t attr;

    r->setting = *s;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->ended, &attr);
    (void)pthread_condattr_destroy(&attr);
    r->memory = host_memory_create();
    bool ok = links_create(s->limits.reuse_seconds, &r->links, why);
    if (ok) {
        r->threads = 1;
        ok = start_thread(r);
        if (!ok) {
            r->threads = 0;
            (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "relay: no thread could be started");
        }
    }
    if (!ok) {
        relay_stop(&r, 0);
        return false;
    }
    *out = r;
    return true;
}

/* Waits for all threads to end, at most until then; -1: however long it takes. */
static void wait_for_end(struct relay *r, int64_t ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    (void)pthread_mutex_lock(&r->lock);
    while (r->threads > 0) {
        int err = ms < 0 ? pthread_cond_wait(&r->ended, &r->lock) : pthread_cond_timedwait(&r->ended, &r->lock, &until);
        if (err != 0)
            break;
    }
    (void)pthread_mutex_unlock(&r->lock);
}

void relay_stop_begin(struct relay *r)
{
    if (r == NULL)
        return;
    atomic_store(&r->stopping, true);
    queue_stop_claims(r->setting.queue);
    if (r->links != NULL)
        links_break(r->links, true);
}

void relay_stop(struct relay **rp, unsigned seconds)
{
    struct relay *r = *rp;

    if (r == NULL)
        return;
    relay_stop_begin(r);
    wait_for_end(r, (int64_t)seconds * 1000);
    if (r->links != NULL)
        links_break(r->links, false);
    wait_for_end(r, -1);
    links_destroy(&r->links);
    host_memory_destroy(&r->memory);
    (void)pthread_cond_destroy(&r->ended);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
    *rp = NULL;
}
