/*
 * The spool's process is killed at random moments while it takes, claims and reports: what was taken is sent, and twice
 * only what was on its way at that moment.  The child tells by a pipe what was acknowledged and what it sent.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "check.h"
#include "queue/queue.h"
#include "storage/volume.h"

enum { ROUNDS = 8, BATCH = 7, IDS = 200000, SENDERS = 3 };

static char dir[64];
static struct volume_limits volumes;
static struct queue_setting setting;
static struct fail why;
static int tell; /* the pipe's end for writing */
static unsigned char taken[IDS], sent[IDS];

static void by_domain(void *ctx, const struct queue_message *m, struct slice recipient, struct buf *out)
{
    (void)ctx;
    (void)m;
    buf_add(out, slice_from(recipient, slice_rfind_char(recipient, '@') + 1));
}

/* A number and what happened to it: one write, so that it is whole. */
static void say(char what, uint64_t id)
{
    char word[9];

    word[0] = what;
    memcpy(word + 1, &id, sizeof id);
    if (write(tell, word, sizeof word) != sizeof word)
        _exit(2);
}

static void *send_all(void *queue)
{
    struct queue_claim *c;

    while ((c = queue_claim(queue)) != NULL) {
        struct queue_outcome o[128];
        for (size_t i = 0; i < c->recipient_count; i++)
            o[i] = (struct queue_outcome){.fate = QUEUE_SENT, .text = SLICE("ok")};
        uint64_t id;
        char     digits[24] = {0};
        memcpy(digits, c->trace.ptr, c->trace.len < sizeof digits ? c->trace.len : sizeof digits - 1);
        id = strtoull(digits, NULL, 10);
        say('s', id);
        queue_report(queue, &c, QUEUE_WELL, o);
    }
    return NULL;
}

static void take_some(struct queue *q, uint64_t from)
{
    static const struct body_limits limits = {.memory_max = 65536, .size_max = 65536, .spool_dir = "/tmp"};
    struct queue_message   m[BATCH];
    struct queue_recipient r[BATCH];
    char                   address[BATCH][32], trace[BATCH][24];
    bool                   done[BATCH];
    struct body           *body = body_create(&limits);

    (void)body_add(body, SLICE("Subject: x\r\n\r\ntext\r\n"), &why);
    for (size_t i = 0; i < BATCH; i++) {
        (void)snprintf(address[i], sizeof address[i], "u@d%zu.example", i % 3);
        (void)snprintf(trace[i], sizeof trace[i], "%llu", (unsigned long long)(from + i));
        r[i] = (struct queue_recipient){.address = slice_of(address[i])};
        m[i] = (struct queue_message){.id = (from + i) * 8, .sender = SLICE(""), .trace = slice_of(trace[i]), .received = clock_now(),
                                      .recipients = &r[i], .recipient_count = 1, .body = body};
    }
    if (!queue_take(q, m, BATCH, done, &why))
        _exit(3);
    for (size_t i = 0; i < BATCH; i++)
        say('t', from + i);
    body_destroy(&body);
}

/* `from`: the first number; 0: only sends what is there, until all is gone. */
static void child(uint64_t from)
{
    struct queue      *q = NULL;
    pthread_t          t[SENDERS];
    struct queue_stats s = {.messages = 1};

    if (!queue_open(&setting, &q, &why)) {
        fprintf(stderr, "%s\n", why.text);
        _exit(4);
    }
    for (size_t i = 0; i < SENDERS; i++)
        if (pthread_create(&t[i], NULL, send_all, q) != 0)
            _exit(5);
    for (; from != 0; from += BATCH) /* until it is killed */
        take_some(q, from);
    for (unsigned n = 0; n < 3000 && s.messages > 0; n++) {
        (void)usleep(10000);
        queue_settle(q);
        queue_stats(q, &s);
    }
    queue_stop_claims(q);
    for (size_t i = 0; i < SENDERS; i++)
        (void)pthread_join(t[i], NULL);
    queue_close(&q);
    _exit(s.messages == 0 ? 0 : 6);
}

/* The highest number that was heard of. */
static uint64_t listen_to(int fd)
{
    char     word[9];
    uint64_t id, most = 0;

    while (read(fd, word, sizeof word) == sizeof word) {
        memcpy(&id, word + 1, sizeof id);
        if (id >= IDS)
            continue;
        if (word[0] == 's')
            sent[id] = sent[id] > 0 ? 2 : 1;
        else
            taken[id] = 1;
        most = id > most ? id : most;
    }
    return most;
}

static int run(uint64_t from, unsigned kill_after_us, uint64_t *most)
{
    int   ends[2], status = 0;
    pid_t pid;

    if (pipe(ends) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        tell = ends[1];
        child(from);
    }
    (void)close(ends[1]);
    pid_t killer = 0;
    if (kill_after_us > 0 && (killer = fork()) == 0) {
        (void)usleep(kill_after_us);
        (void)kill(pid, SIGKILL);
        _exit(0);
    }
    *most = listen_to(ends[0]);
    (void)close(ends[0]);
    (void)waitpid(pid, &status, 0);
    if (killer > 0)
        (void)waitpid(killer, NULL, 0);
    return status;
}

int main(void)
{
    char     command[128];
    unsigned seed = (unsigned)clock_now();
    uint64_t next = 1, most, acknowledged = 0, lost = 0, twice = 0;

    log_set_level(LOG_ERROR);
    (void)snprintf(dir, sizeof dir, "/tmp/test-spool-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    volume_limits_default(&volumes);
    volumes.volume_bytes = 8 << 20;
    volumes.prewrite_bytes = 0;
    volumes.reserve_percent = 0;
    volumes.reserve_bytes = 0;
    setting = (struct queue_setting){.dir = dir, .hostname = "here.example", .volumes = &volumes, .router = {.destination = by_domain}};
    queue_limits_default(&setting.limits);
    printf("seed %u\n", seed);
    for (int i = 0; i < ROUNDS; i++) {
        (void)run(next, 20000 + (unsigned)rand_r(&seed) % 200000, &most);
        next = (most >= next ? most : next) + BATCH + 1; /* a batch may have been taken and not told of */
    }
    CHECK("the rest goes", run(0, 0, &most) == 0);
    for (size_t i = 0; i < IDS; i++) {
        acknowledged += taken[i];
        lost += taken[i] && sent[i] == 0;
        twice += sent[i] > 1;
    }
    CHECK("something was taken", acknowledged > 0);
    CHECK("nothing is lost", lost == 0);
    printf("%llu taken, %llu sent twice in %d crashes\n", (unsigned long long)acknowledged, (unsigned long long)twice, (int)ROUNDS);
    CHECK("twice only what was on its way", twice <= (uint64_t)ROUNDS * 1024);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK("cleaned up", system(command) == 0);
    return check_done();
}
