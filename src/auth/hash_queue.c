/*
 * auth/hash_queue.c - see auth/hash_queue.h.
 *
 * Layer: auth.
 */
#include "auth/hash_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fail.h"

enum { NICE = 5 }; /* signatures and cached logins of the same process, and all of `mail`, come first */

struct job {
    struct hash_asker asker;
    unsigned rank; /* how many of its address, or for its login, stood before it; 0 for who is known */
    void (*work)(void *ctx);
    void *ctx;
    struct job *next;
    pthread_cond_t over;
    enum { WAITS, RUNS, DONE, REFUSED } state;
};

struct hash_queue {
    pthread_mutex_t lock;
    pthread_cond_t come;
    struct job *first; /* by rank, and by age */
    unsigned waiting, waiting_max, idle;
    bool stopping;
    unsigned thread_count;
    pthread_t threads[];
};

/* ---- the order; under the lock ---- */

static unsigned rank_of(const struct hash_queue *q, const struct hash_asker *asker)
{
    unsigned peers = 0, logins = 0;

    if (asker->known)
        return 0;
    for (const struct job *j = q->first; j != NULL; j = j->next) {
        peers += !j->asker.known && j->asker.peer == asker->peer;
        logins += !j->asker.known && j->asker.login == asker->login;
    }
    return 1 + (peers > logins ? peers : logins);
}

static void insert(struct hash_queue *q, struct job *job)
{
    struct job **at = &q->first;

    while (*at != NULL && (*at)->rank <= job->rank)
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    q->waiting++;
}

/* The last one goes; it may be the one that has just come. */
static void refuse_last(struct hash_queue *q)
{
    struct job **at = &q->first;

    while ((*at)->next != NULL)
        at = &(*at)->next;
    struct job *last = *at;
    *at = NULL;
    q->waiting--;
    last->state = REFUSED;
    (void)pthread_cond_signal(&last->over);
}

/* ---- the threads ---- */

static void *run_jobs(void *arg)
{
    struct hash_queue *q = arg;

    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone */
    (void)pthread_mutex_lock(&q->lock);
    while (!q->stopping) {
        struct job *job = q->first;
        if (job == NULL) {
            q->idle++;
            (void)pthread_cond_wait(&q->come, &q->lock);
            q->idle--;
            continue;
        }
        q->first = job->next;
        q->waiting--;
        job->state = RUNS;
        (void)pthread_mutex_unlock(&q->lock);
        job->work(job->ctx);
        (void)pthread_mutex_lock(&q->lock);
        job->state = DONE;
        (void)pthread_cond_signal(&job->over);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return NULL;
}

struct hash_queue *hash_queue_create(unsigned runs, unsigned waiting, struct fail *why)
{
    struct hash_queue *q = xcalloc(1, sizeof *q + runs * sizeof q->threads[0]);
    int status = 0;

    q->waiting_max = waiting;
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->come, NULL);
    while (status == 0 && q->thread_count < runs) {
        status = pthread_create(&q->threads[q->thread_count], NULL, run_jobs, q);
        if (status == 0)
            q->thread_count++;
    }
    if (status == 0)
        return q;
    (void)fail_errno(why, status, "auth: threads for Argon2id");
    hash_queue_destroy(&q);
    return NULL;
}

void hash_queue_destroy(struct hash_queue **qp)
{
    struct hash_queue *q = *qp;

    if (q == NULL)
        return;
    (void)pthread_mutex_lock(&q->lock);
    q->stopping = true;
    (void)pthread_cond_broadcast(&q->come);
    (void)pthread_mutex_unlock(&q->lock);
    for (unsigned i = 0; i < q->thread_count; i++)
        (void)pthread_join(q->threads[i], NULL);
    (void)pthread_cond_destroy(&q->come);
    (void)pthread_mutex_destroy(&q->lock);
    free(q);
    *qp = NULL;
}

bool hash_queue_run(struct hash_queue *q, const struct hash_asker *asker, void (*work)(void *ctx), void *ctx)
{
    struct job job = {.asker = *asker, .work = work, .ctx = ctx};

    (void)pthread_cond_init(&job.over, NULL);
    (void)pthread_mutex_lock(&q->lock);
    job.rank = rank_of(q, asker);
    insert(q, &job);
    if (q->waiting > q->waiting_max + q->idle)
        refuse_last(q);
    else
        (void)pthread_cond_signal(&q->come);
    while (job.state == WAITS || job.state == RUNS)
        (void)pthread_cond_wait(&job.over, &q->lock);
    (void)pthread_mutex_unlock(&q->lock);
    (void)pthread_cond_destroy(&job.over);
    return job.state == DONE;
}

unsigned hash_queue_waiting(struct hash_queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    unsigned n = q->waiting;
    (void)pthread_mutex_unlock(&q->lock);
    return n;
}
