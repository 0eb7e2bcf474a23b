/*
 * policy/login.c - see policy/login.h.
 *
 * Layer: policy.
 */
#include "policy/login.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum { LOGIN_BYTES = 8 * 1024 }; /* what is kept of names and addresses */

struct login {
    const struct login_service *service;
    struct arena arena;
    struct auth_context about; /* its slices in the arena */
    struct slice user;         /* for the log; empty if only `auth` knows it */
    struct auth_exchange *exchange;
    enum login_state state;
    struct login_answer answer;
    int64_t answer_at; /* clock_mono_ms(); LOGIN_DELAY */
};

static struct login *login_create(const struct login_service *s, const struct auth_context *about)
{
    struct login *l = xcalloc(1, sizeof *l);

    l->service = s;
    arena_init(&l->arena, LOGIN_BYTES);
    l->about = (struct auth_context){.service = arena_keep(&l->arena, about->service),
                                     .peer = arena_keep(&l->arena, about->peer),
                                     .session = arena_keep(&l->arena, about->session),
                                     .domain = directory_first_domain(s->directory, &l->arena),
                                     .binding = arena_keep(&l->arena, about->binding),
                                     .tls = about->tls};
    return l;
}

struct login *login_start(const struct login_service *s, const struct auth_context *about,
                          struct slice mechanism, bool has_initial, struct slice initial, struct waker waker)
{
    struct login *l = login_create(s, about);

    l->exchange = auth_start(s->auth, &l->about, mechanism, has_initial, initial, waker);
    return l;
}

struct login *login_password(const struct login_service *s, const struct auth_context *about,
                             struct slice user, struct slice password, struct waker waker)
{
    struct login *l = login_create(s, about);

    l->user = arena_keep(&l->arena, slice_sub(user, 0, LOGIN_BYTES / 4));
    l->exchange = auth_password(s->auth, &l->about, user, password, waker);
    return l;
}

/* ---- how it ended ---- */

static enum login_state succeed(struct login *l, struct slice name)
{
    log_event(LOG_INFO, "login.ok", LOG_TEXT("session", l->about.session),
              LOG_TEXT("service", l->about.service), LOG_TEXT("peer", l->about.peer), LOG_TEXT("user", name),
              LOG_U64("account", l->answer.account.id));
    return LOGIN_OK;
}

static enum login_state refuse(struct login *l, struct slice name)
{
    log_event(l->answer.why.kind == FAIL_TEMP ? LOG_WARNING : LOG_INFO, "login.failed",
              LOG_TEXT("session", l->about.session), LOG_TEXT("service", l->about.service),
              LOG_TEXT("peer", l->about.peer), LOG_TEXT("user", name.len > 0 ? name : l->user),
              LOG_FAIL(&l->answer.why));
    return l->answer.delay_ms > 0 ? LOGIN_DELAY : LOGIN_FAILED;
}

/* Who it is, `auth` has said; is that account there and enabled? */
static enum login_state admit(struct login *l, const struct auth_answer *a)
{
    struct login_answer *out = &l->answer;

    if (!directory_account(l->service->directory, a->account, &l->arena, &out->account, &out->why)) {
        if (out->why.reason == FAIL_NOT_FOUND)
            (void)fail_code(&out->why, FAIL_PERM, FAIL_AUTH, "5.7.8", "the account has been removed");
        return refuse(l, a->login);
    }
    if (out->account.disabled) {
        (void)fail_code(&out->why, FAIL_PERM, FAIL_AUTH, "5.7.13", "the account is disabled");
        return refuse(l, a->login);
    }
    return succeed(l, out->account.address);
}

static enum login_state ask(struct login *l)
{
    struct auth_answer a;

    switch (auth_poll(l->exchange, &a)) {
    case AUTH_PENDING: return LOGIN_PENDING;
    case AUTH_CONTINUE: l->answer.challenge = a.challenge; return LOGIN_CONTINUE;
    case AUTH_OK: return admit(l, &a);
    case AUTH_FAILED:
        l->answer.why = a.why;
        l->answer.delay_ms = a.delay_ms;
        l->answer_at = clock_mono_ms() + a.delay_ms;
        return refuse(l, a.login);
    }
    bug("auth_poll");
}

enum login_state login_poll(struct login *l, struct login_answer *out)
{
    if (l->state == LOGIN_PENDING)
        l->state = ask(l);
    if (l->state == LOGIN_DELAY) {
        int64_t left = l->answer_at - clock_mono_ms();
        if (left <= 0)
            l->state = LOGIN_FAILED;
        l->answer.delay_ms = left > 0 ? (unsigned)left : 0;
    }
    *out = l->answer;
    return l->state;
}

bool login_stands(const struct login *l, const struct conn *c, struct fail *why)
{
    struct directory_account now;
    struct arena a;

    if (conn_account_is_full(c))
        return fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.7.0", "the account has too many sessions; end one of them");
    if (!auth_stands(l->exchange, l->answer.account.id))
        return fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.8", "the password was changed just now");
    arena_init(&a, LOGIN_BYTES);
    bool ok = directory_account(l->service->directory, l->answer.account.id, &a, &now, why);
    if (!ok && why->reason == FAIL_NOT_FOUND)
        (void)fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.8", "the account has been removed");
    else if (ok && now.disabled)
        ok = fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.13", "the account is disabled");
    arena_finish(&a);
    return ok;
}

void login_respond(struct login *l, struct slice response)
{
    l->answer.challenge = SLICE("");
    l->state = LOGIN_PENDING;
    auth_respond(l->exchange, response);
}

void login_destroy(struct login **l)
{
    if (*l == NULL)
        return;
    auth_exchange_destroy(&(*l)->exchange);
    arena_finish(&(*l)->arena);
    free(*l);
    *l = NULL;
}

struct auth_context login_context(const struct conn *c, struct slice service, struct login_client *out)
{
    *out = (struct login_client){.session = conn_session_id(c), .peer = conn_peer_text(c)};
    bool bound = conn_binding(c, &out->binding);

    return (struct auth_context){
        .service = service,
        .peer = slice_of(out->peer.text),
        .session = slice_of(out->session.text),
        .binding = bound ? slice_make(out->binding.bytes, sizeof out->binding.bytes) : SLICE(""),
        .tls = conn_has_tls(c),
    };
}

bool login_allowed(const struct login_service *s, bool tls, bool loopback)
{
    return tls || loopback || s->allow_plaintext;
}
