/*
 * trust/tls_report.c - counting what happens with TLS, and the time at which it is told.
 *
 * Layer: trust.
 *
 * Events are summed up in memory for a minute and then appended to the file of their day, a line for each kind: "day-20414".
 * Beside it "day-20414.sent" names the domains that are done.  Both go when all are, or a day after the first attempt.
 */
#include "trust/tls_report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"
#include "trust/tls_send.h"

enum {
    DAY = 24 * 3600,
    DELAY_MAX = 14400,          /* seconds after a day's end (RFC 8460 section 4.1) */
    RETRY_FIRST = 900,          /* seconds; doubles */
    GIVE_UP = DAY,              /* after the first attempt (section 5.5) */
    WRITE_SECONDS = 60,
    KINDS_MAX = 10000,          /* kinds of events in memory; more are written at once */
    LINES_MAX = 4 * 1024 * 1024,
    FILE_BYTES_MAX = 256 * 1024 * 1024, /* of a day; more is not counted */
    PIECE = 64 * 1024,
};

/* A day whose reports are being sent. */
struct attempt {
    int64_t day, first, next, pause; /* `next`: not before then */
};

struct tls_report {
    struct tls_report_setting setting;
    struct tls_reporter       by;
    char                     *contact;
    pthread_mutex_t           lock; /* of what follows */
    pthread_cond_t            wake;
    struct map                kinds; /* key of an event to how often (uint64_t) */
    int64_t                   day;   /* of what is in memory */
    bool                      stopping, runs;
    pthread_t                 thread;
    struct attempt            attempts[8]; /* the thread's own */
};

/* ---- files ---- */

static bool path_of(const struct tls_report *r, int64_t day, const char *end, char out[4096])
{
    int n = snprintf(out, 4096, "%s/day-%lld%s", r->setting.dir, (long long)day, end);

    return n > 0 && n < 4096;
}

static bool append(const char *path, struct slice text, struct fail *why)
{
    SCOPED(scoped_close) int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        return fail_errno(why, errno, "%s", path);
    if (st.st_size > FILE_BYTES_MAX)
        return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "%s is full", path);
    return io_write_all(fd, text, why);
}

/* ---- counting; the lock is held ---- */

static void write_kinds(struct tls_report *r)
{
    struct slice key;
    void        *value;
    size_t       at = 0;
    struct buf   lines;
    char         path[4096];
    struct fail  why = {0};

    if (r->kinds.count == 0)
        return;
    buf_init(&lines, (size_t)64 * LINES_MAX);
    while (map_next(&r->kinds, &at, &key, &value)) {
        buf_addf(&lines, "%llu ", (unsigned long long)*(uint64_t *)value);
        buf_add(&lines, key);
        buf_add_char(&lines, '\n');
        free(value);
    }
    map_finish(&r->kinds);
    map_init(&r->kinds);
    if (!path_of(r, r->day, "", path) || !append(path, buf_slice(&lines), &why))
        log_event(LOG_WARNING, "tlsrpt.not_counted", LOG_FAIL(&why));
    buf_finish(&lines);
}

void tls_report_note(struct tls_report *r, const struct tls_report_event *e)
{
    int64_t           today = clock_now() / DAY;
    struct domain_key domain;
    struct buf        key;

    if (!r->setting.send || !domain_key_parse(e->domain, &domain) || domain.text[0] == '[')
        return;
    struct tls_report_event kept = *e;
    kept.domain = domain_text(&domain);
    buf_init(&key, PIECE);
    if (tls_event_key(&kept, &key)) {
        (void)pthread_mutex_lock(&r->lock);
        if (today != r->day || r->kinds.count >= KINDS_MAX)
            write_kinds(r);
        r->day = today;
        uint64_t *count = map_get(&r->kinds, buf_slice(&key));
        if (count == NULL) {
            count = xcalloc(1, sizeof *count);
            (void)map_put(&r->kinds, buf_slice(&key), count);
        }
        (*count)++;
        (void)pthread_mutex_unlock(&r->lock);
    }
    buf_finish(&key);
}

/* ---- a day's reports ---- */

/* Gives each line of a file, of which there may be a great many. */
static bool each_line(const char *path, void (*take)(void *ctx, struct slice line), void *ctx)
{
    FILE   *f = fopen(path, "re");
    char   *line = NULL;
    size_t  room = 0;
    ssize_t n;

    if (f == NULL)
        return errno == ENOENT;
    while ((n = getline(&line, &room, f)) > 0)
        if (line[n - 1] == '\n') /* the last may not be whole */
            take(ctx, slice_make(line, (size_t)n - 1));
    bool ok = ferror(f) == 0;
    free(line);
    (void)fclose(f);
    return ok;
}

static void take_event(void *ctx, struct slice line)
{
    tls_day_add(ctx, line);
}

static void take_sent(void *ctx, struct slice line)
{
    if (line.len > 0)
        (void)map_put(ctx, line, ctx); /* a set: any value does */
}

static bool is_stopping(struct tls_report *r)
{
    (void)pthread_mutex_lock(&r->lock);
    bool stopping = r->stopping;
    (void)pthread_mutex_unlock(&r->lock);
    return stopping;
}

static bool send_domains(struct tls_report *r, int64_t day, const struct tls_day *all, const struct map *sent, const char *sent_path)
{
    struct slice key;
    void        *value;
    size_t       at = 0;
    bool         done = true;

    while (map_next(&all->domains, &at, &key, &value)) {
        struct buf  line;
        struct fail why;

        if (map_get(sent, key) != NULL)
            continue;
        if (is_stopping(r))
            return false;
        if (tls_send(&r->by, value, day) == TLS_NOT_SENT) {
            done = false;
            continue;
        }
        buf_init(&line, PIECE);
        buf_add(&line, key);
        buf_add_char(&line, '\n');
        if (!append(sent_path, buf_slice(&line), &why))
            log_event(LOG_WARNING, "tlsrpt.not_noted", LOG_FAIL(&why));
        buf_finish(&line);
    }
    return done;
}

static void forget_day(const struct tls_report *r, int64_t day)
{
    char path[4096];

    if (path_of(r, day, "", path))
        (void)unlink(path);
    if (path_of(r, day, ".sent", path))
        (void)unlink(path);
}

bool tls_report_send_day(struct tls_report *r, int64_t day)
{
    char           path[4096], sent_path[4096];
    struct tls_day all;
    struct map     sent;
    bool           done = false;

    (void)pthread_mutex_lock(&r->lock);
    if (day == r->day)
        write_kinds(r);
    (void)pthread_mutex_unlock(&r->lock);
    tls_day_init(&all);
    map_init(&sent);
    if (path_of(r, day, "", path) && path_of(r, day, ".sent", sent_path) && each_line(path, take_event, &all) &&
        each_line(sent_path, take_sent, &sent))
        done = send_domains(r, day, &all, &sent, sent_path);
    if (done)
        forget_day(r, day);
    map_finish(&sent);
    tls_day_finish(&all);
    return done;
}

/* ---- the thread ---- */

/* The same at each start, another for each server: not everybody sends at the same time. */
static int64_t delay_of(const struct tls_report *r, int64_t day)
{
    return 1 + (int64_t)((hash_for_good(slice_of(r->setting.hostname)) + (uint64_t)day * 7919) % DELAY_MAX);
}

static struct attempt *attempt_of(struct tls_report *r, int64_t day)
{
    struct attempt *oldest = &r->attempts[0];

    for (size_t i = 0; i < ARRAY_LEN(r->attempts); i++) {
        if (r->attempts[i].day == day)
            return &r->attempts[i];
        if (r->attempts[i].day < oldest->day)
            oldest = &r->attempts[i];
    }
    *oldest = (struct attempt){.day = day, .next = (day + 1) * DAY + delay_of(r, day), .pause = RETRY_FIRST};
    return oldest;
}

static void try_day(struct tls_report *r, int64_t day)
{
    struct attempt *t = attempt_of(r, day);
    int64_t         now = clock_now();

    if (now < t->next)
        return;
    t->first = t->first != 0 ? t->first : now;
    bool done = tls_report_send_day(r, day);
    t->next = clock_now() + t->pause;
    t->pause *= 2;
    if (!done && clock_now() - t->first >= GIVE_UP)
        forget_day(r, day);
}

/* All days that have ended and lie there. */
static void try_all(struct tls_report *r)
{
    DIR           *d = opendir(r->setting.dir);
    struct dirent *row;
    int64_t        today = clock_now() / DAY;

    while (d != NULL && (row = readdir(d)) != NULL) {
        struct slice name = slice_of(row->d_name);
        uint64_t     day;

        if (!slice_starts(name, SLICE("day-")) || !slice_to_u64(slice_from(name, 4), INT32_MAX, &day) || (int64_t)day >= today)
            continue;
        if (today - (int64_t)day > 7) /* nobody wants to know any more */
            forget_day(r, (int64_t)day);
        else
            try_day(r, (int64_t)day);
    }
    if (d != NULL)
        (void)closedir(d);
}

static void *run(void *report)
{
    struct tls_report *r = report;

    (void)pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += WRITE_SECONDS;
        (void)pthread_cond_timedwait(&r->wake, &r->lock, &until);
        write_kinds(r);
        if (r->stopping)
            break;
        (void)pthread_mutex_unlock(&r->lock);
        try_all(r);
        (void)pthread_mutex_lock(&r->lock);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- life ---- */

static char *make_contact(const struct tls_report_setting *s)
{
    char   text[512];
    size_t at = slice_rfind_char(slice_of(s->contact), '@');

    if (s->contact != NULL && at > 0 && at + 1 < strlen(s->contact))
        return xstrdup(s->contact);
    (void)snprintf(text, sizeof text, "postmaster@%s", s->hostname);
    return xstrdup(text);
}

bool tls_report_open(const struct tls_report_setting *s, struct tls_report **out, struct fail *why)
{
    SCOPED(tls_report_close) struct tls_report *r = xcalloc(1, sizeof *r);
    pthread_condattr_t                          monotonic;

    r->setting = *s;
    r->contact = make_contact(s);
    r->by = (struct tls_reporter){.setting = &r->setting, .contact = r->contact, .submitter = strrchr(r->contact, '@') + 1};
    map_init(&r->kinds);
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (!io_make_dirs(s->dir, 0700, why))
        return false;
    int status = s->send ? pthread_create(&r->thread, NULL, run, r) : 0;
    if (status != 0)
        return fail_errno(why, status, "thread for TLS reports");
    r->runs = s->send;
    *out = r;
    r = NULL;
    return true;
}

void tls_report_close(struct tls_report **rp)
{
    struct tls_report *r = *rp;

    if (r == NULL)
        return;
    if (r->runs) {
        (void)pthread_mutex_lock(&r->lock);
        r->stopping = true;
        (void)pthread_cond_signal(&r->wake);
        (void)pthread_mutex_unlock(&r->lock);
        (void)pthread_join(r->thread, NULL);
    }
    write_kinds(r);
    map_finish(&r->kinds);
    (void)pthread_cond_destroy(&r->wake);
    (void)pthread_mutex_destroy(&r->lock);
    free(r->contact);
    free(r);
    *rp = NULL;
}
