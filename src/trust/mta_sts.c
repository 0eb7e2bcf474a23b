/*
 * trust/mta_sts.c - the policies that are known, and looking after them.
 *
 * Layer: trust.
 *
 * An entry is in memory while somebody asks for its domain or something is known of it that the disk does not say; a
 * policy itself is on disk.  Domains without one have neither: that there is no TXT record is kept by DNS' own cache.
 */
#include "trust/mta_sts.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/address.h"
#include "base/block.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"
#include "base/scoped.h"
#include "trust/sts_fetch.h"

enum {
    ENTRIES_MAX = 10000,
    WAITING_MAX = 1000,    /* domains to look after */
    LOOK_SECONDS = 300,    /* between two looks for a newer id; also after a fetch that failed (section 3.3) */
    DNS_SECONDS = 60,      /* ... after DNS failed */
    REFRESH_SECONDS = 24 * 3600,
    SWEEP_SECONDS = 3600,
    UNUSED_SECONDS = 60 * 24 * 3600, /* policies that nobody needed for so long may end */
    FILE_MAX = STS_TEXT_MAX + 1024,
};

struct entry {
    char           *domain;
    unsigned        users;        /* threads that hold a pointer to it */
    bool            busy;         /* one of them asks the domain */
    bool            waiting;      /* on the list of those to look after */
    struct sts_file policy;       /* text.len 0: none */
    enum sts_mode   mode;
    int64_t         ends;         /* of the policy */
    int64_t         looked;       /* for the TXT record */
    char            failed_id[STS_ID_MAX + 1];
    int64_t         failed_until; /* 0: nothing has failed lately */
    char            failed_why[sizeof((struct fail *)NULL)->text];
};

struct mta_sts {
    char                *dir;
    struct dns_client   *dns;
    struct fetch_client *fetch;
    struct tls_report   *report;
    pthread_mutex_t      lock; /* of what follows */
    pthread_cond_t       wake; /* the thread */
    pthread_cond_t       done; /* those that wait for a domain's first policy */
    struct map           entries;
    struct entry        *waiting[WAITING_MAX];
    size_t               waiting_count;
    bool                 stopping, runs;
    pthread_t            thread;
};

/* ---- files ---- */

static bool path_of(const struct mta_sts *m, const char *domain, char out[4096])
{
    int n = snprintf(out, 4096, "%s/%s", m->dir, domain);

    return n > 0 && n < 4096;
}

/* What a policy's text says beside the file; false: it is no policy (any more). */
static bool understand(struct entry *e)
{
    struct sts_policy p;
    struct arena      a;

    arena_init(&a, 1024 * 1024);
    bool ok = sts_policy_parse(&a, buf_slice(&e->policy.text), &p, NULL);
    if (ok) {
        e->mode = p.mode;
        e->ends = e->policy.fetched + p.max_age;
    }
    arena_finish(&a);
    return ok;
}

static void forget_policy(const struct mta_sts *m, struct entry *e)
{
    char path[4096];

    buf_finish(&e->policy.text);
    e->policy = (struct sts_file){0};
    e->ends = 0;
    if (path_of(m, e->domain, path))
        (void)unlink(path);
}

static void load(const struct mta_sts *m, struct entry *e)
{
    char       path[4096];
    struct buf text;

    buf_init(&text, FILE_MAX);
    if (path_of(m, e->domain, path) && access(path, F_OK) == 0) {
        bool ok = io_read_file(path, &text, NULL) && sts_file_read(buf_slice(&text), &e->policy);
        /* A file from the future would hold for ever. */
        if (!ok || e->policy.fetched > clock_now() + REFRESH_SECONDS || !understand(e))
            forget_policy(m, e);
    }
    buf_finish(&text);
}

static void save(const struct mta_sts *m, const char *domain, const struct sts_file *policy)
{
    char        path[4096];
    struct buf  text;
    struct fail why = {0};

    buf_init(&text, FILE_MAX);
    sts_file_write(policy, &text);
    if (!path_of(m, domain, path) || text.failed || !io_replace_file(path, buf_slice(&text), 0600, &why))
        log_event(LOG_WARNING, "sts.not_kept", LOG_CSTR("domain", domain), LOG_FAIL(&why));
    buf_finish(&text);
}

/* ---- entries; the lock is held ---- */

static void entry_free(struct entry *e)
{
    buf_finish(&e->policy.text);
    free(e->domain);
    free(e);
}

/* Those whom nobody uses can be read again, or are about failures that may as well be tried again. */
static void make_room(struct mta_sts *m)
{
    struct entry *drop[ENTRIES_MAX / 10];
    size_t        at = 0, count = 0;
    struct slice  key;
    void         *value;

    if (m->entries.count < ENTRIES_MAX)
        return;
    while (count < ARRAY_LEN(drop) && map_next(&m->entries, &at, &key, &value)) {
        struct entry *e = value;
        if (e->users == 0 && !e->waiting)
            drop[count++] = e;
    }
    for (size_t i = 0; i < count; i++) {
        (void)map_remove(&m->entries, slice_of(drop[i]->domain));
        entry_free(drop[i]);
    }
}

static struct entry *entry_hold(struct mta_sts *m, struct slice domain)
{
    struct entry *e = map_get(&m->entries, domain);

    if (e == NULL) {
        make_room(m);
        e = xcalloc(1, sizeof *e);
        e->domain = xslicedup(domain);
        load(m, e);
        (void)map_put(&m->entries, domain, e);
    }
    e->users++;
    return e;
}

/* An entry of which nothing is known need not stay. */
static void entry_let_go(struct mta_sts *m, struct entry *e)
{
    if (--e->users > 0 || e->waiting || e->policy.text.len > 0 || e->failed_until > clock_now())
        return;
    (void)map_remove(&m->entries, slice_of(e->domain));
    entry_free(e);
}

static bool in_force(const struct entry *e, int64_t now)
{
    return e->policy.text.len > 0 && now < e->ends;
}

/* A day after it was fetched, or half of its life if that is shorter. */
static bool is_due(const struct entry *e, int64_t now)
{
    int64_t life = e->ends - e->policy.fetched, after = life / 2 < REFRESH_SECONDS ? life / 2 : REFRESH_SECONDS;

    return now >= e->policy.fetched + after;
}

/* Has nothing failed, or so long ago that there may be another id, which need not wait? */
static bool may_ask(const struct entry *e, int64_t now)
{
    return e->failed_until <= now || now - e->looked >= DNS_SECONDS;
}

static void look_after(struct mta_sts *m, struct entry *e)
{
    if (e->waiting || e->busy || m->waiting_count == WAITING_MAX)
        return;
    e->waiting = true;
    m->waiting[m->waiting_count++] = e;
    (void)pthread_cond_signal(&m->wake);
}

/* ---- asking a domain; the lock is held, and given away meanwhile ---- */

static void note_failure(const struct mta_sts *m, const struct entry *e, const struct sts_file *policy, enum tls_report_result result,
                         const struct fail *why)
{
    if (m->report == NULL || (policy->text.len > 0 && e->mode == STS_NONE))
        return;
    const struct tls_report_event event = {
        .domain = slice_of(e->domain),
        .policy = policy->text.len > 0 ? REPORT_STS : REPORT_NO_POLICY,
        .policy_text = buf_slice(&policy->text),
        .result = result,
        .reason = slice_of(why->text),
    };
    tls_report_note(m->report, &event);
}

static void failed(struct entry *e, const char *id, int64_t seconds, const struct fail *why)
{
    (void)snprintf(e->failed_id, sizeof e->failed_id, "%s", id);
    (void)snprintf(e->failed_why, sizeof e->failed_why, "%s", why->text);
    e->failed_until = clock_now() + seconds;
    log_event(LOG_WARNING, "sts.no_policy", LOG_CSTR("domain", e->domain), LOG_U64("known", e->policy.text.len > 0), LOG_FAIL(why));
}

/* Puts a fetched policy in the place of what was known. */
static void adopt(struct mta_sts *m, struct entry *e, const char *id, struct buf *text)
{
    int64_t used = e->policy.used;

    log_event(LOG_INFO, "sts.policy", LOG_CSTR("domain", e->domain), LOG_CSTR("id", id),
              LOG_CSTR("was", e->policy.text.len > 0 ? e->policy.id : ""));
    buf_finish(&e->policy.text);
    e->policy = (struct sts_file){.fetched = clock_now(), .used = used, .text = *text};
    (void)snprintf(e->policy.id, sizeof e->policy.id, "%s", id);
    buf_init(text, STS_TEXT_MAX);
    e->failed_until = 0;
    (void)understand(e);
    save(m, e->domain, &e->policy);
}

/* What is told of a failure: with the policy that is still in force, which nobody changes while the entry is busy. */
static void ask_domain(struct mta_sts *m, struct entry *e)
{
    char                   id[STS_ID_MAX + 1] = "";
    struct fail            why = {0};
    struct buf             text;
    enum tls_report_result result = REPORT_STS_POLICY_FETCH_ERROR;
    bool                   fetched = false, due = is_due(e, clock_now()), known = in_force(e, clock_now());

    e->busy = true;
    e->looked = clock_now();
    (void)pthread_mutex_unlock(&m->lock);
    buf_init(&text, STS_TEXT_MAX);
    enum sts_record_status status = sts_fetch_record(m->dns, e->domain, id, &why);
    bool newer = status == STS_RECORD_FOUND && (!known || due || strcmp(id, e->policy.id) != 0);
    bool again = newer && !(strcmp(id, e->failed_id) == 0 && clock_now() < e->failed_until);
    if (again)
        fetched = sts_fetch_policy(m->fetch, e->domain, &text, &result, &why);
    if ((again && !fetched) || (status == STS_RECORD_FAILED && known))
        note_failure(m, e, &e->policy, result, &why);
    (void)pthread_mutex_lock(&m->lock);
    if (fetched)
        adopt(m, e, id, &text);
    else if (again || status == STS_RECORD_FAILED)
        failed(e, id, again ? LOOK_SECONDS : DNS_SECONDS, &why);
    e->busy = false;
    buf_finish(&text);
    (void)pthread_cond_broadcast(&m->done);
}

/* ---- the question ---- */

static bool give_policy(struct mta_sts *m, struct entry *e, int64_t now, struct arena *a, struct sts_policy *out)
{
    if (now - e->policy.used >= REFRESH_SECONDS) {
        e->policy.used = now;
        save(m, e->domain, &e->policy);
    }
    if (now - e->looked >= LOOK_SECONDS && e->failed_until <= now)
        look_after(m, e);
    if (e->mode == STS_NONE || !sts_policy_parse(a, buf_slice(&e->policy.text), out, NULL))
        return false;
    out->id = arena_keep(a, slice_of(e->policy.id));
    return true;
}

bool mta_sts_find(struct mta_sts *m, struct slice domain, struct arena *a, struct sts_policy *out, const char **why_not)
{
    struct domain_key key;
    bool              found = false, asked = false;

    *why_not = NULL;
    if (slice_ends(domain, SLICE(".")))
        domain.len--;
    if (!domain_key_parse(domain, &key) || key.text[0] == '[' || key.text[0] == '.' || memchr(key.text, '/', key.len) != NULL)
        return false;
    block_begin();
    (void)pthread_mutex_lock(&m->lock);
    struct entry *e = entry_hold(m, domain_text(&key));
    while (!in_force(e, clock_now()) && (e->busy || (!asked && may_ask(e, clock_now())))) {
        if (e->busy) { /* by another; if that was a mere look at what has just ended, we ask ourselves */
            (void)pthread_cond_wait(&m->done, &m->lock);
            continue;
        }
        asked = true;
        ask_domain(m, e);
    }
    if (in_force(e, clock_now()))
        found = give_policy(m, e, clock_now(), a, out);
    else if (e->failed_until > clock_now())
        *why_not = arena_cstr(a, slice_of(e->failed_why));
    entry_let_go(m, e);
    (void)pthread_mutex_unlock(&m->lock);
    block_end();
    return found;
}

/* ---- looking after them ---- */

/* The lock is held.  All policies on disk, hourly: what has ended goes, what is due is fetched. */
static void sweep(struct mta_sts *m)
{
    DIR           *d = opendir(m->dir);
    struct dirent *row;
    int64_t        now = clock_now();

    while (d != NULL && !m->stopping && (row = readdir(d)) != NULL) {
        struct domain_key key;
        if (!domain_key_parse(slice_of(row->d_name), &key) || !slice_eq(domain_text(&key), slice_of(row->d_name)))
            continue; /* "." and "..", a file being written */
        struct entry *e = entry_hold(m, domain_text(&key));
        if (!in_force(e, now) && !e->busy)
            forget_policy(m, e);
        else if (is_due(e, now) && now - e->policy.used < UNUSED_SECONDS)
            look_after(m, e);
        entry_let_go(m, e);
    }
    if (d != NULL)
        (void)closedir(d);
}

static void *run(void *sts)
{
    struct mta_sts *m = sts;
    int64_t         next_sweep = 0;

    (void)pthread_mutex_lock(&m->lock);
    while (!m->stopping) {
        struct timespec until;
        if (clock_mono_ms() >= next_sweep) {
            sweep(m);
            next_sweep = clock_mono_ms() + SWEEP_SECONDS * 1000;
        }
        while (m->waiting_count > 0 && !m->stopping) {
            struct entry *e = m->waiting[--m->waiting_count];
            e->waiting = false;
            e->users++;
            if (!e->busy)
                ask_domain(m, e);
            entry_let_go(m, e);
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += SWEEP_SECONDS;
        if (!m->stopping && m->waiting_count == 0)
            (void)pthread_cond_timedwait(&m->wake, &m->lock, &until);
    }
    (void)pthread_mutex_unlock(&m->lock);
    return NULL;
}

/* ---- life ---- */

bool mta_sts_open(const char *dir, struct dns_client *dns, struct fetch_client *fetch, struct mta_sts **out, struct fail *why)
{
    SCOPED(mta_sts_close) struct mta_sts *m = xcalloc(1, sizeof *m);
    pthread_condattr_t                    monotonic;

    m->dir = xstrdup(dir);
    m->dns = dns;
    m->fetch = fetch;
    map_init(&m->entries);
    (void)pthread_mutex_init(&m->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&m->wake, &monotonic);
    (void)pthread_cond_init(&m->done, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (!io_make_dirs(dir, 0700, why))
        return false;
    int status = pthread_create(&m->thread, NULL, run, m);
    if (status != 0)
        return fail_errno(why, status, "thread for MTA-STS policies");
    m->runs = true;
    *out = m;
    m = NULL;
    return true;
}

void mta_sts_report(struct mta_sts *m, struct tls_report *report)
{
    (void)pthread_mutex_lock(&m->lock);
    m->report = report;
    (void)pthread_mutex_unlock(&m->lock);
}

void mta_sts_close(struct mta_sts **mp)
{
    struct mta_sts *m = *mp;
    struct slice    key;
    void           *value;
    size_t          at = 0;

    if (m == NULL)
        return;
    if (m->runs) {
        (void)pthread_mutex_lock(&m->lock);
        m->stopping = true;
        (void)pthread_cond_signal(&m->wake);
        (void)pthread_mutex_unlock(&m->lock);
        (void)pthread_join(m->thread, NULL);
    }
    while (map_next(&m->entries, &at, &key, &value))
        entry_free(value);
    map_finish(&m->entries);
    (void)pthread_cond_destroy(&m->wake);
    (void)pthread_cond_destroy(&m->done);
    (void)pthread_mutex_destroy(&m->lock);
    free(m->dir);
    free(m);
    *mp = NULL;
}
