/*
 * policy/policy.c - see policy/policy.h: how a check lives.
 *
 * Layer: policy.  What it asks, and in which order, is steps.c's.
 */
#include <stdlib.h>

#include "base/io.h"
#include "policy/internal.h"

enum { CHECK_BYTES = 64 << 20 };

const char *policy_stage_name(enum policy_stage stage)
{
#define X(id, text) [id] = text,
    static const char *const names[] = {POLICY_STAGES(X)};
#undef X
    return names[stage];
}

/* ---- open and close ---- */

static bool open_tables(struct policy *p, struct fail *why)
{
    const struct policy_config *config = p->config;

    p->tables = xcalloc(config->access_count + 1, sizeof(struct access_table *));
    for (size_t i = 0; i < config->access_count; i++) {
        if (!access_table_open(&config->access[i], p->limits->table_entries, &p->tables[i], why))
            return false;
        if (config->access[i].stage == ACCESS_CLIENT && access_table_has_names(p->tables[i]))
            p->asks_client_names = true;
        /* A file may get names later. */
        if (config->access[i].stage == ACCESS_CLIENT && config->access[i].file[0] != '\0')
            p->asks_client_names = true;
    }
    return true;
}

bool policy_open(const struct policy_setting *s, struct policy **out, struct fail *why)
{
    struct policy *p = xcalloc(1, sizeof *p);

    p->setting = *s;
    p->config = s->config;
    p->limits = s->config->limits;
    (void)pthread_mutex_init(&p->memo_lock, NULL);
    memo_init(&p->greylist, p->limits->greylist_entries);
    memo_init(&p->rates, p->limits->rate_entries);
    memo_init(&p->accounts, p->limits->rate_entries);
    p->list_guards = xcalloc(p->config->dnslist_count + 1, sizeof *p->list_guards);
    p->milter_guards = xcalloc(p->config->milter_count + 1, sizeof *p->milter_guards);
    if (!pool_start(p, why) || !io_make_dirs(s->dir, 0700, why) || !open_tables(p, why)) {
        policy_close(&p);
        return false;
    }
    memos_load(p);
    *out = p;
    return true;
}

void policy_close(struct policy **out)
{
    struct policy *p = *out;

    if (p == NULL)
        return;
    pool_stop(p);
    memos_save(p);
    for (size_t i = 0; p->tables != NULL && i < p->config->access_count; i++)
        access_table_close(&p->tables[i]);
    free(p->tables);
    free(p->list_guards);
    free(p->milter_guards);
    memo_finish(&p->greylist);
    memo_finish(&p->rates);
    memo_finish(&p->accounts);
    (void)pthread_mutex_destroy(&p->memo_lock);
    free(p);
    *out = NULL;
}

/* ---- sessions ---- */

static void finish_marks(struct policy_session *ps, enum policy_scope from)
{
    for (int i = (int)from; i < SCOPE_COUNT; i++) {
        free(ps->marks[i].redirect);
        ps->marks[i] = (struct policy_mark){0};
    }
}

static struct policy_session *session_new(struct policy *p)
{
    struct policy_session *ps = xcalloc(1, sizeof *ps);

    ps->policy = p;
    ps->owners = 1;
    return ps;
}

void session_release(struct policy_session *ps)
{
    if (--ps->owners > 0)
        return;
    milters_close(ps);
    finish_marks(ps, SCOPE_CLIENT);
    free(ps->name);
    free(ps);
}

void policy_session_reset(struct policy_session *ps)
{
    if (ps == NULL)
        return;
    (void)pthread_mutex_lock(&ps->policy->lock);
    const bool busy = ps->busy; /* then its session is at its end: nobody will ask again */
    (void)pthread_mutex_unlock(&ps->policy->lock);
    if (busy)
        return;
    finish_marks(ps, SCOPE_MESSAGE);
    ps->listed_asked = false;
    milters_reset(ps);
}

void policy_session_end(struct policy_session **ps)
{
    if (*ps == NULL)
        return;
    struct policy *p = (*ps)->policy;

    (void)pthread_mutex_lock(&p->lock);
    session_release(*ps);
    (void)pthread_mutex_unlock(&p->lock);
    *ps = NULL;
}

/* ---- checks ---- */

static void keep_slice(struct arena *a, struct slice *s)
{
    *s = arena_keep(a, *s);
}

static void keep_facts(struct policy_check *c, const struct policy_facts *facts)
{
    struct policy_facts *f = &c->facts;
    struct arena *a = &c->arena;

    *f = *facts;
    keep_slice(a, &f->peer);
    keep_slice(a, &f->helo);
    keep_slice(a, &f->session);
    keep_slice(a, &f->user);
    keep_slice(a, &f->tls_version);
    keep_slice(a, &f->tls_cipher);
    keep_slice(a, &f->sender);
    keep_slice(a, &f->recipient);
    keep_slice(a, &f->command);
    keep_slice(a, &f->trace);
    struct slice *list = arena_new_array(a, struct slice, f->recipient_count + 1);
    for (size_t i = 0; list != NULL && i < f->recipient_count; i++)
        list[i] = arena_keep(a, facts->recipients[i]);
    f->recipients = list;
    if (f->body != NULL)
        f->body = body_share(f->body);
}

static struct policy_check *check_new(struct policy *p, struct policy_session *ps, enum policy_stage stage,
                                      const struct policy_facts *facts, struct waker waker)
{
    struct policy_check *c = xcalloc(1, sizeof *c);

    c->policy = p;
    c->session = ps;
    c->stage = stage;
    c->waker = waker;
    arena_init(&c->arena, CHECK_BYTES);
    keep_facts(c, facts);
    return c;
}

void check_destroy(struct policy_check *c)
{
    body_destroy(&c->facts.body);
    body_destroy(&c->message);
    free(c->changes);
    arena_finish(&c->arena);
    free(c);
}

static bool says_nothing(const struct policy_check *c)
{
    return c->verdict.action == POLICY_ACCEPT && !c->verdict.junk && c->change_count == 0 && c->message == NULL;
}

bool policy_is_idle(const struct policy *p)
{
    const struct policy_limits *l = p->limits;

    return p->config->access_count == 0 && p->config->dnslist_count == 0 && p->config->milter_count == 0 &&
           p->config->rspamd.url[0] == '\0' && !l->greylist && !l->sender_domain_check && strcmp(l->helo_check, "off") == 0 &&
           l->connections_per_minute == 0 && l->messages_per_hour == 0 && l->recipients_per_hour == 0 &&
           l->network_connections_per_minute == 0 && l->network_messages_per_hour == 0 && l->network_recipients_per_hour == 0 &&
           l->account_messages_per_hour == 0 && l->account_messages_per_day == 0 && l->account_recipients_per_hour == 0 &&
           l->account_recipients_per_day == 0;
}

struct policy_check *policy_begin(struct policy *p, struct policy_session **ps, enum policy_stage stage,
                                  const struct policy_facts *facts, struct waker waker)
{
    if (*ps == NULL)
        *ps = session_new(p);
    if (stage == POLICY_HELO)
        finish_marks(*ps, SCOPE_HELO);
    struct policy_check *c = check_new(p, *ps, stage, facts, waker);
    if (c->arena.failed) {
        (void)check_say(c, POLICY_DEFER, 452, "4.5.3", "policy", "too many recipients for one message");
        c->done = true;
    } else if (!check_waits(c)) {
        check_run(c);
        c->done = true;
        if (says_nothing(c)) {
            check_destroy(c);
            return NULL;
        }
    } else if (!pool_add(p, c)) {
        (void)check_say(c, POLICY_DEFER, 451, "4.3.2", "policy", "too busy just now: try again later");
        c->done = true;
    }
    return c;
}

bool policy_poll(struct policy_check *c, struct policy_verdict *out)
{
    (void)pthread_mutex_lock(&c->policy->lock);
    bool done = c->done;
    (void)pthread_mutex_unlock(&c->policy->lock);
    if (!done)
        return false;
    c->verdict.changes = c->changes;
    c->verdict.change_count = c->change_count;
    *out = c->verdict;
    return true;
}

struct body *policy_take_message(struct policy_check *c)
{
    struct body *message = c->message;

    c->message = NULL;
    return message;
}

void policy_check_end(struct policy_check **out)
{
    struct policy_check *c = *out;

    if (c == NULL)
        return;
    struct policy *p = c->policy;
    (void)pthread_mutex_lock(&p->lock);
    bool done = c->done;
    atomic_store(&c->dropped, true);
    (void)pthread_mutex_unlock(&p->lock); /* if it is not done, its thread frees it */
    if (done)
        check_destroy(c);
    *out = NULL;
}
