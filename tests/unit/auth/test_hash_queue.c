/* auth/hash_queue: who goes first, who is sent away. */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/hash_queue.h"
#include "base/fail.h"
#include "tests/unit/check.h"

enum { WAITING = 6 };

static struct hash_queue *queue;
static sem_t gate, inside;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char order[32];
static unsigned ran;

struct client {
    struct hash_asker asker;
    char name;
    bool served;
    pthread_t thread;
};

/* Holds the only thread until the test lets it go on. */
static void hold(void *ctx)
{
    (void)ctx;
    (void)sem_post(&inside);
    (void)sem_wait(&gate);
}

static void note(void *ctx)
{
    const struct client *c = ctx;

    (void)pthread_mutex_lock(&lock);
    order[ran++] = c->name;
    (void)pthread_mutex_unlock(&lock);
}

static void *ask(void *ctx)
{
    struct client *c = ctx;

    c->served = hash_queue_run(queue, &c->asker, c->name == '!' ? hold : note, c);
    return NULL;
}

/* It stands in the queue, or has been sent away, or (`*last_one`) somebody else was for it. */
static void start(struct client *c, unsigned waiting)
{
    if (pthread_create(&c->thread, NULL, ask, c) != 0)
        bug("no thread");
    while (hash_queue_waiting(queue) != waiting)
        (void)usleep(100);
}

/* limit: auth.hash_waiting, auth.hash_runs */
static void test_order(void)
{
    struct client holder = {.name = '!', .asker = {.peer = 99, .login = 99}};
    struct client clients[] = {
        {.name = 'a', .asker = {.peer = 1, .login = 11}},
        {.name = 'b', .asker = {.peer = 1, .login = 12}},                 /* the same address: behind others */
        {.name = 'c', .asker = {.peer = 1, .login = 13}},                 /* and again */
        {.name = 'd', .asker = {.peer = 2, .login = 14}},
        {.name = 'e', .asker = {.peer = 3, .login = 14}},                 /* the same login from elsewhere */
        {.name = 'f', .asker = {.peer = 4, .login = 15, .known = true}}, /* signed in from there lately */
    };
    struct client late = {.name = 'g', .asker = {.peer = 5, .login = 16}}, last = {.name = 'h', .asker = {.peer = 1, .login = 17}};

    if (pthread_create(&holder.thread, NULL, ask, &holder) != 0)
        bug("no thread");
    (void)sem_wait(&inside);
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
        start(&clients[i], i + 1);

    /* Full: who stands last has to go, be it the newcomer or not. */
    if (pthread_create(&last.thread, NULL, ask, &last) != 0)
        bug("no thread");
    (void)pthread_join(last.thread, NULL);
    CHECK("the fourth from one address is sent away", !last.served);
    if (pthread_create(&late.thread, NULL, ask, &late) != 0)
        bug("no thread");
    (void)pthread_join(clients[2].thread, NULL);
    CHECK("for the first from another, the third from one address is", !clients[2].served);
    CHECK("as many wait as may", hash_queue_waiting(queue) == WAITING);

    (void)sem_post(&gate);
    (void)pthread_join(holder.thread, NULL);
    (void)pthread_join(late.thread, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
        if (i != 2)
            (void)pthread_join(clients[i].thread, NULL);
    }
    CHECK("in order", strcmp(order, "fadgbe") == 0);
    CHECK("all were served", clients[0].served && clients[1].served && clients[3].served && clients[4].served &&
                                 clients[5].served && late.served);
}

int main(void)
{
    struct fail why;

    (void)sem_init(&gate, 0, 0);
    (void)sem_init(&inside, 0, 0);
    queue = hash_queue_create(1, WAITING, &why);
    if (queue == NULL)
        bug("%s", why.text);
    test_order();
    hash_queue_destroy(&queue);
    return check_done();
}
