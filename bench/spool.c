/*
 * bench/spool.c - how much the spool takes, hands out and notes in a second, and what it costs.
 *
 *     bench/spool DIR MESSAGES DESTINATIONS dead|live
 *
 * `live`: every message is sent at the first attempt.  `dead`: nobody answers, and after all is taken one message for a live
 * destination is timed; then the spool is opened again.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/queue.h"
#include "storage/volume.h"

enum { BATCH = 200, SENDERS = 4, SIZE = 4096 };

struct run { struct queue *q; bool dead; int64_t live_at; };

static void by_domain(void *ctx, const struct queue_message *m, struct slice recipient, struct buf *out)
{
    (void)ctx;
    (void)m;
    buf_add(out, slice_from(recipient, slice_rfind_char(recipient, '@') + 1));
}

static void *send_all(void *arg)
{
    struct run         *r = arg;
    struct queue_claim *c;

    while ((c = queue_claim(r->q)) != NULL) {
        bool                 live = !r->dead || slice_starts(c->destination, SLICE("live"));
        struct queue_outcome o = {.fate = live ? QUEUE_SENT : QUEUE_LATER, .text = SLICE("said so")};
        if (slice_starts(c->destination, SLICE("live")))
            __atomic_store_n(&r->live_at, clock_mono_ms(), __ATOMIC_RELAXED);
        queue_report(r->q, &c, live ? QUEUE_WELL : QUEUE_DEAD, &o);
    }
    return NULL;
}

static bool take(struct queue *q, uint64_t first, size_t count, size_t destinations, const char *name, const struct body *body)
{
    static struct queue_message   m[BATCH];
    static struct queue_recipient to[BATCH];
    static char                   text[BATCH][64];
    bool                          taken[BATCH];
    struct fail                   why;

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text[i], sizeof text[i], "user@%s%zu.example", name, (size_t)(first + i) % destinations);
        to[i] = (struct queue_recipient){.address = slice_of(text[i])};
        m[i] = (struct queue_message){.id = (first + i) * 8, .sender = SLICE("ann@here.example"), .trace = SLICE("1kx93fa"), .received = clock_now(),
                                      .recipients = &to[i], .recipient_count = 1, .body = body};
    }
    if (queue_take(q, m, count, taken, &why))
        return true;
    fprintf(stderr, "%s\n", why.text);
    return false;
}

static double cpu_ms(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static long rss_kb(void)
{
    long  pages = 0, skip;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f != NULL) {
        if (fscanf(f, "%ld %ld", &skip, &pages) != 2)
            pages = 0;
        (void)fclose(f);
    }
    return pages * 4;
}

static void time_live(struct run *r, size_t messages, const struct body *body)
{
    int64_t began = clock_mono_ms();

    if (!take(r->q, messages + 8, 1, 1, "live", body))
        return;
    for (int i = 0; i < 10000 && __atomic_load_n(&r->live_at, __ATOMIC_RELAXED) == 0; i++)
        (void)usleep(1000);
    int64_t at = __atomic_load_n(&r->live_at, __ATOMIC_RELAXED);
    printf("one for a live destination: %lld ms\n", at == 0 ? -1LL : (long long)(at - began));
}

int main(int argc, char **argv)
{
    struct volume_limits volumes;
    struct queue_stats   s;
    struct fail          why;
    struct run           r = {0};
    pthread_t            t[SENDERS];
    static char          text[SIZE];

    if (argc != 5) {
        fprintf(stderr, "usage: spool DIR MESSAGES DESTINATIONS dead|live\n");
        return 2;
    }
    size_t messages = strtoul(argv[2], NULL, 10), destinations = strtoul(argv[3], NULL, 10);
    r.dead = argv[4][0] == 'd';
    log_set_level(LOG_ERROR);
    volume_limits_default(&volumes);
    struct queue_setting setting = {.dir = argv[1], .hostname = "here.example", .volumes = &volumes, .router = {.destination = by_domain}};
    queue_limits_default(&setting.limits);
    memset(text, 'x', sizeof text);
    const struct body_limits limits = {.memory_max = SIZE, .size_max = SIZE, .spool_dir = "/tmp"};
    struct body             *body = body_create(&limits);
    if (!body_add(body, slice_make(text, sizeof text), &why) || !queue_open(&setting, &r.q, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    for (size_t i = 0; i < SENDERS; i++)
        if (pthread_create(&t[i], NULL, send_all, &r) != 0)
            return 1;
    int64_t began = clock_mono_ms();
    double  cpu = cpu_ms();
    for (size_t at = 1; at <= messages && take(r.q, at, BATCH, destinations, "d", body); at += BATCH)
        ;
    do {
        queue_settle(r.q);
        queue_stats(r.q, &s);
        (void)usleep(1000);
    } while (!r.dead && s.messages > 0);
    int64_t ms = clock_mono_ms() - began;
    printf("%zu messages in %lld ms: %.0f/s, %.3f ms of CPU each, %ld KB in memory\n", messages, (long long)ms,
           (double)messages * 1000 / (double)(ms > 0 ? ms : 1), (cpu_ms() - cpu) / (double)messages, rss_kb());
    if (r.dead)
        time_live(&r, messages, body);
    queue_stop_claims(r.q);
    for (size_t i = 0; i < SENDERS; i++)
        (void)pthread_join(t[i], NULL);
    queue_close(&r.q);
    began = clock_mono_ms();
    if (!queue_open(&setting, &r.q, &why))
        return 1;
    queue_stats(r.q, &s);
    printf("opened with %llu messages in %lld ms\n", (unsigned long long)s.messages, (long long)(clock_mono_ms() - began));
    queue_close(&r.q);
    body_destroy(&body);
    return 0;
}
