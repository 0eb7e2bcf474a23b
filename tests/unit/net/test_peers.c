/* net/peers: counting by address; net/timer and net/workers on their own. */
#include "net/peers.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/fail.h"
#include "net/net.h"
#include "net/timer.h"
#include "net/workers.h"
#include "tests/unit/check.h"

static struct sockaddr_storage address(const char *text)
{
    struct net_block b;
    struct fail why;

    if (!net_block_parse(slice_of(text), &b, &why))
        bug("%s", why.text);
    return b.address;
}

static enum peers_verdict enter(struct peers *p, const char *text, int64_t now)
{
    struct sockaddr_storage a = address(text);

    return peers_enter(p, &a, now);
}

static void leave(struct peers *p, const char *text, int64_t now)
{
    struct sockaddr_storage a = address(text);

    peers_leave(p, &a, now);
}

static void test_peers(void)
{
    struct peers *p = peers_create(2, 4, 5);

    CHECK("first", enter(p, "192.0.2.1", 0) == PEERS_OK);
    CHECK("second", enter(p, "192.0.2.1", 0) == PEERS_OK);
    CHECK("third", enter(p, "192.0.2.1", 0) == PEERS_TOO_MANY);
    CHECK("mapped is the same", enter(p, "::ffff:192.0.2.1", 0) == PEERS_TOO_MANY);
    CHECK("too fast now", enter(p, "192.0.2.1", 0) == PEERS_TOO_FAST);
    CHECK("another", enter(p, "192.0.2.2", 0) == PEERS_OK);
    leave(p, "192.0.2.1", 100);
    CHECK("still too fast", enter(p, "192.0.2.1", 999) == PEERS_TOO_FAST);
    CHECK("a second later", enter(p, "192.0.2.1", 1000) == PEERS_OK);
    CHECK("one /64", enter(p, "2001:db8::1", 0) == PEERS_OK && enter(p, "2001:db8::ffff:1", 0) == PEERS_OK &&
                         enter(p, "2001:db8::2", 0) == PEERS_TOO_MANY);
    CHECK("the next /64", enter(p, "2001:db8:0:1::1", 0) == PEERS_OK);
    for (int i = 0; i < 10; i++)
        CHECK("loopback is exempt", enter(p, "127.0.0.1", 0) == PEERS_OK && enter(p, "::1", 0) == PEERS_OK);
    for (unsigned i = 0; i < 20000; i++) { /* the table is swept on the way */
        char text[32];
        (void)snprintf(text, sizeof(text), "10.%u.%u.1", i >> 8, i & 255);
        CHECK("many", enter(p, text, 10000 + i) == PEERS_OK);
        leave(p, text, 10000 + i);
    }
    CHECK("those who stay are remembered", enter(p, "192.0.2.1", 50000) == PEERS_TOO_MANY);
    peers_destroy(&p);
    peers_destroy(&p);
}

/* limit: net.connections_per_network */
static void test_networks(void)
{
    struct peers *p = peers_create(2, 100, 3);

    CHECK("three in a /24", enter(p, "198.51.100.1", 0) == PEERS_OK && enter(p, "198.51.100.2", 0) == PEERS_OK &&
                                enter(p, "198.51.100.2", 0) == PEERS_OK);
    CHECK("the fourth is too many", enter(p, "198.51.100.3", 0) == PEERS_NETWORK_FULL);
    CHECK("an address is full before its network", enter(p, "198.51.100.2", 0) == PEERS_TOO_MANY);
    CHECK("the next /24", enter(p, "198.51.101.3", 0) == PEERS_OK);
    leave(p, "198.51.100.1", 1);
    CHECK("one has gone", enter(p, "198.51.100.3", 1) == PEERS_OK);
    CHECK("three in a /48", enter(p, "2001:db8:1:1::1", 0) == PEERS_OK && enter(p, "2001:db8:1:2::1", 0) == PEERS_OK &&
                                enter(p, "2001:db8:1:3::1", 0) == PEERS_OK);
    CHECK("the fourth /64 of it", enter(p, "2001:db8:1:4::1", 0) == PEERS_NETWORK_FULL);
    CHECK("the next /48", enter(p, "2001:db8:2:4::1", 0) == PEERS_OK);
    peers_destroy(&p);
}

/* ---- timers ---- */

struct counted {
    struct timer timer; /* first: fire() gets its address */
    unsigned fired;
};

static pthread_mutex_t fired_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fired_cond = PTHREAD_COND_INITIALIZER;

static void count_fire(struct timer *t)
{
    (void)pthread_mutex_lock(&fired_lock);
    ((struct counted *)(void *)t)->fired++;
    (void)pthread_cond_broadcast(&fired_cond);
    (void)pthread_mutex_unlock(&fired_lock);
}

static int64_t no_beat(void *ctx)
{
    (void)ctx;
    return 1000;
}

static void wait_fired(struct counted *c, unsigned want)
{
    (void)pthread_mutex_lock(&fired_lock);
    while (c->fired < want)
        (void)pthread_cond_wait(&fired_cond, &fired_lock);
    (void)pthread_mutex_unlock(&fired_lock);
}

static void test_timers(void)
{
    enum { MANY = 500 };
    static struct counted many[MANY];
    struct counted one, never;
    struct fail why;
    struct timers *ts = timers_create(count_fire, no_beat, NULL);
    int64_t now = clock_mono_ms();

    CHECK("starts", timers_start(ts, &why));
    one.fired = never.fired = 0;
    timer_init(&one.timer);
    timer_init(&never.timer);
    timer_set(ts, &never.timer, now + 1000000);
    timer_set(ts, &never.timer, now + 2000000);
    timer_set(ts, &one.timer, now + 1000000);
    timer_set(ts, &one.timer, now + 1); /* to earlier */
    wait_fired(&one, 1);
    CHECK("not before its time", clock_mono_ms() >= now + 1);
    timer_fired(&one.timer);
    timer_set(ts, &one.timer, now + 5);
    timer_set(ts, &one.timer, now + 10); /* to later */
    wait_fired(&one, 2);
    CHECK("at the later time", clock_mono_ms() >= now + 10);
    timer_fired(&one.timer);
    for (unsigned i = 0; i < MANY; i++) {
        timer_init(&many[i].timer);
        timer_set(ts, &many[i].timer, now + (i * 7919) % 50);
    }
    for (unsigned i = 0; i < MANY; i++)
        wait_fired(&many[i], 1);
    for (unsigned i = 0; i < MANY; i++) { /* again, every other is taken back */
        timer_fired(&many[i].timer);
        timer_set(ts, &many[i].timer, now + 1000000 + (i * 7919) % 50);
    }
    for (unsigned i = 0; i < MANY; i += 2)
        timer_remove(ts, &many[i].timer);
    now = clock_mono_ms();
    for (unsigned i = 1; i < MANY; i += 2)
        timer_set(ts, &many[i].timer, now + i % 10);
    for (unsigned i = 1; i < MANY; i += 2)
        wait_fired(&many[i], 2);
    timers_destroy(&ts);
    bool once = true;
    for (unsigned i = 0; i < MANY; i++)
        once = once && many[i].fired == 1 + i % 2;
    CHECK("each as often as it was due", once && never.fired == 0 && one.fired == 2);
}

/* ---- workers ---- */

struct crowd {
    struct workers *ws;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned waiting; /* between block_begin and block_end */
    unsigned most;
    bool open;
};

/* All go and wait until the gate opens: with 2 tokens, 10 come in, since who waits holds no token. */
static void crowd_run(void *ctx, unsigned number)
{
    struct crowd *c = ctx;

    (void)number;
    while (workers_admit(c->ws)) {
        block_begin();
        (void)pthread_mutex_lock(&c->lock);
        if (++c->waiting > c->most)
            c->most = c->waiting;
        (void)pthread_cond_broadcast(&c->changed);
        while (!c->open)
            (void)pthread_cond_wait(&c->changed, &c->lock);
        c->waiting--;
        (void)pthread_mutex_unlock(&c->lock);
        block_end();
    }
}

static void test_workers(void)
{
    struct crowd c = {.open = false};
    struct fail why;

    (void)pthread_mutex_init(&c.lock, NULL);
    (void)pthread_cond_init(&c.changed, NULL);
    c.ws = workers_create(2, 10, crowd_run, &c);
    CHECK("starts", workers_start(c.ws, &why));
    (void)pthread_mutex_lock(&c.lock);
    while (c.waiting < 10)
        (void)pthread_cond_wait(&c.changed, &c.lock);
    c.open = true;
    (void)pthread_cond_broadcast(&c.changed);
    (void)pthread_mutex_unlock(&c.lock);
    workers_stop(c.ws);
    CHECK("as many as there may be, no more", c.most == 10);
    workers_destroy(&c.ws);
    workers_destroy(&c.ws);
}

/* Two tokens, and everybody holds one without saying that he waits: the back-stop lets a third in. */
static void stuck_run(void *ctx, unsigned number)
{
    struct crowd *c = ctx;

    (void)number;
    while (workers_admit(c->ws)) {
        (void)pthread_mutex_lock(&c->lock);
        c->waiting++;
        (void)pthread_cond_broadcast(&c->changed);
        while (!c->open)
            (void)pthread_cond_wait(&c->changed, &c->lock);
        (void)pthread_mutex_unlock(&c->lock);
    }
}

static void test_back_stop(void)
{
    struct crowd c = {.open = false};
    struct fail why;

    (void)pthread_mutex_init(&c.lock, NULL);
    (void)pthread_cond_init(&c.changed, NULL);
    c.ws = workers_create(2, 10, stuck_run, &c);
    CHECK("starts", workers_start(c.ws, &why));
    (void)pthread_mutex_lock(&c.lock);
    while (c.waiting < 2)
        (void)pthread_cond_wait(&c.changed, &c.lock);
    (void)pthread_mutex_unlock(&c.lock);
    workers_set_extra(c.ws, true);
    (void)pthread_mutex_lock(&c.lock);
    while (c.waiting < 3)
        (void)pthread_cond_wait(&c.changed, &c.lock);
    (void)pthread_mutex_unlock(&c.lock);
    CHECK("one more", c.waiting == 3);
    workers_set_extra(c.ws, false);
    (void)pthread_mutex_lock(&c.lock);
    c.open = true;
    (void)pthread_cond_broadcast(&c.changed);
    (void)pthread_mutex_unlock(&c.lock);
    workers_stop(c.ws);
    workers_destroy(&c.ws);
}

int main(void)
{
    test_peers();
    test_networks();
    test_timers();
    test_workers();
    test_back_stop();
    return check_done();
}
