/*
 * tests/unit/queue/spool.h - a spool to try things with: a home for notifications, messages, reports.
 */
#ifndef TESTS_QUEUE_SPOOL_H
#define TESTS_QUEUE_SPOOL_H

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "check.h"
#include "queue/queue.h"
#include "storage/volume.h"

static char dir[64];
static struct volume_limits volumes;
static struct queue_setting setting;
static struct fail why;
static pthread_mutex_t home_lock = PTHREAD_MUTEX_INITIALIZER; /* over these */
static char home_text[65536];
static size_t home_len;
static bool home_is_here;

static void by_domain(void *ctx, const struct queue_message *m, struct slice recipient, struct buf *out)
{
    (void)ctx;
    (void)m;
    buf_add(out, slice_from(recipient, slice_rfind_char(recipient, '@') + 1));
}

static bool to_home(void *ctx, struct slice sender, struct slice recipient, const struct body *body, struct fail *w)
{
    (void)ctx;
    (void)sender;
    (void)recipient;
    (void)pthread_mutex_lock(&home_lock);
    bool ok = home_is_here ? body_read(body, 0, home_text, sizeof home_text - 1, &home_len, w)
                           : fail_set(w, FAIL_PERM, FAIL_NOT_FOUND, "not here");
    (void)pthread_mutex_unlock(&home_lock);
    return ok;
}

/* Is this in what came home last? */
static inline bool came_home(const char *words)
{
    (void)pthread_mutex_lock(&home_lock);
    home_text[home_len] = '\0';
    bool yes = home_len > 0 && strstr(home_text, words) != NULL;
    (void)pthread_mutex_unlock(&home_lock);
    return yes;
}

static inline void set_home(bool here)
{
    (void)pthread_mutex_lock(&home_lock);
    home_is_here = here;
    home_len = 0;
    (void)pthread_mutex_unlock(&home_lock);
}

static inline struct queue *start(void)
{
    struct queue *q = NULL;

    if (!queue_open(&setting, &q, &why)) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return q;
}

static inline bool give(struct queue *q, uint64_t id, const char *sender, const char *const *to, size_t count, struct envelope_options options)
{
    static const struct body_limits limits = {.memory_max = 65536, .size_max = 65536, .spool_dir = "/tmp"};
    struct queue_recipient *r = calloc(count, sizeof *r);
    struct body            *body = body_create(&limits);
    bool                    taken = false;
    char                    trace[32];

    (void)snprintf(trace, sizeof trace, "t%llu", (unsigned long long)id);
    for (size_t i = 0; i < count; i++)
        r[i] = (struct queue_recipient){.address = slice_of(to[i])};
    (void)body_add(body, SLICE("Subject: hello\r\n\r\ntext\r\n"), &why);
    const struct queue_message m = {.id = id, .sender = slice_of(sender), .trace = slice_of(trace), .received = clock_now(), .options = options,
                                    .recipients = r, .recipient_count = count, .body = body};
    bool ok = queue_take(q, &m, 1, &taken, &why) && taken;
    if (!ok)
        fprintf(stderr, "take: %s\n", why.text);
    body_destroy(&body);
    free(r);
    return ok;
}

static inline bool give_one(struct queue *q, uint64_t id, const char *to)
{
    return give(q, id, "ann@here.example", &to, 1, (struct envelope_options){.source = SLICE("ann")});
}

static inline void report(struct queue *q, struct queue_claim *c, enum queue_fate fate, enum queue_health health)
{
    struct queue_outcome o[128];

    for (size_t i = 0; i < c->recipient_count; i++)
        o[i] = (struct queue_outcome){.fate = fate, .code = fate == QUEUE_NEVER ? 550 : 250, .status = SLICE("5.1.1"), .remote = SLICE("mx.example"),
                                      .text = SLICE("no such user")};
    queue_report(q, &c, health, o);
    queue_settle(q);
}

static inline struct queue_stats stats(struct queue *q)
{
    struct queue_stats s;

    queue_stats(q, &s);
    return s;
}

static inline bool begin_spool(void)
{
    log_set_level(LOG_ERROR);
    (void)snprintf(dir, sizeof dir, "/tmp/test-spool-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return false;
    volume_limits_default(&volumes);
    volumes.volume_bytes = 8 << 20;
    volumes.prewrite_bytes = 1 << 20;
    volumes.reserve_percent = 0;
    volumes.reserve_bytes = 0;
    setting = (struct queue_setting){.dir = dir, .hostname = "here.example", .volumes = &volumes, .router = {.destination = by_domain},
                                     .home = {.deliver = to_home}};
    queue_limits_default(&setting.limits);
    return true;
}

static inline void end_spool(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK("cleaned up", system(command) == 0);
}

#endif
