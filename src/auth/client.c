/*
 * auth/client.c - see auth/client.h.
 *
 * Layer: auth.  An exchange is one ipc call after the other; what the answers say
 * points into the latest of them, which is kept for that.
 */
#include "auth/client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/offer.h"
#include "auth/protocol.h"
#include "net/ipc.h"
#include "net/tls_signer.h"

enum { RECENT = 256 }; /* changes remembered */

struct auth_client {
    struct ipc_client *ipc;
    pthread_mutex_t lock; /* of what follows */
    void (*changed)(void *ctx, uint64_t account);
    void *changed_ctx;
    uint64_t changes;           /* heard of so far */
    uint64_t recent[RECENT];    /* accounts, by the number of the change */
    struct buf offered[2]; /* without and with binding; written before sessions are there */
};

struct auth_exchange {
    struct auth_client *client;
    struct waker waker;
    struct ipc_call *call; /* the latest; NULL if it could not be sent */
    enum auth_state state; /* AUTH_PENDING until the answer has been read */
    struct auth_answer answer;
    uint64_t began; /* the client's `changes` then */
    uint64_t id; /* what `auth` calls it, while AUTH_CONTINUE */
};

/* ---- the client ---- */

static void take_notice(void *client, struct ipc_reader *r)
{
    struct auth_client *c = client;
    uint64_t account = ipc_get_u64(r);

    if (r->type != AUTH_MSG_CHANGED || !ipc_end(r))
        return;
    (void)pthread_mutex_lock(&c->lock);
    c->recent[c->changes++ % RECENT] = account; /* before it is told: see auth_stands */
    if (c->changed != NULL)
        c->changed(c->changed_ctx, account);
    (void)pthread_mutex_unlock(&c->lock);
}

struct auth_client *auth_client_create(const struct ipc_limits *l, struct fail *why)
{
    struct auth_client *c = xcalloc(1, sizeof *c);
    struct auth_limits usual;

    (void)pthread_mutex_init(&c->lock, NULL);
    auth_limits_default(&usual);
    auth_client_offer(c, &usual);
    c->ipc = ipc_client_create(l, "auth", take_notice, c, why);
    if (c->ipc == NULL)
        auth_client_destroy(&c);
    return c;
}

void auth_client_destroy(struct auth_client **c)
{
    if (*c == NULL)
        return;
    ipc_client_destroy(&(*c)->ipc);
    (void)pthread_mutex_destroy(&(*c)->lock);
    buf_finish(&(*c)->offered[0]);
    buf_finish(&(*c)->offered[1]);
    free(*c);
    *c = NULL;
}

void auth_client_attach(struct auth_client *c, int fd)
{
    ipc_client_attach(c->ipc, fd);
}

void auth_client_on_change(struct auth_client *c, void (*changed)(void *ctx, uint64_t account), void *ctx)
{
    (void)pthread_mutex_lock(&c->lock);
    c->changed = changed;
    c->changed_ctx = ctx;
    (void)pthread_mutex_unlock(&c->lock);
}

void auth_client_offer(struct auth_client *c, const struct auth_limits *l)
{
    for (int binding = 0; binding < 2; binding++) {
        buf_finish(&c->offered[binding]);
        buf_init(&c->offered[binding], 1024);
        offer_write(l, binding == 1, &c->offered[binding]);
    }
}

/* Whether anybody may sign in at all without TLS is policy/login's to say. */
struct slice auth_mechanisms(const struct auth_client *c, bool binding)
{
    return buf_slice(&c->offered[binding]);
}

/* ---- handshakes ---- */

bool auth_sign(void *client, const struct tls_signing *what, struct buf *out, struct fail *why)
{
    struct auth_client *c = client;
    struct ipc_message m;
    struct ipc_reader r;

    ipc_message_init(&m, AUTH_MSG_SIGN);
    ipc_add_u64(&m, (uint64_t)what->kind);
    ipc_add_u64(&m, what->scheme);
    ipc_add_bytes(&m, what->key);
    ipc_add_bytes(&m, what->input);
    struct ipc_call *call = ipc_call_start(c->ipc, &m, (struct waker){0}, why);
    ipc_message_finish(&m);
    if (call == NULL)
        return false;
    ipc_call_wait(call);
    bool ok = ipc_call_answer(call, &r, why);
    if (ok) {
        buf_add(out, ipc_get_bytes(&r));
        ok = (ipc_end(&r) && !out->failed) || fail_set(why, FAIL_TEMP, FAIL_OTHER, "auth: malformed answer");
    }
    ipc_call_end(&call);
    return ok;
}

/* ---- exchanges ---- */

/* Takes the message; wakes the session if there is nothing to wait for. */
static void send_request(struct auth_exchange *x, struct ipc_message *m)
{
    ipc_call_end(&x->call);
    x->state = AUTH_PENDING;
    x->answer = (struct auth_answer){0};
    x->call = ipc_call_start(x->client->ipc, m, x->waker, &x->answer.why);
    ipc_message_finish(m);
    if (x->call == NULL) {
        x->state = AUTH_FAILED;
        waker_wake(x->waker);
    }
}

static struct auth_exchange *begin(struct auth_client *c, const struct auth_context *about, uint16_t type,
                                   struct waker waker, struct ipc_message *m)
{
    struct auth_exchange *x = xcalloc(1, sizeof *x);

    x->client = c;
    x->waker = waker;
    (void)pthread_mutex_lock(&c->lock);
    x->began = c->changes;
    (void)pthread_mutex_unlock(&c->lock);
    ipc_message_init(m, type);
    ipc_add_bytes(m, about->service);
    ipc_add_bytes(m, about->peer);
    ipc_add_bytes(m, about->session);
    ipc_add_bytes(m, about->domain);
    ipc_add_bytes(m, about->binding);
    ipc_add_bool(m, about->tls);
    return x;
}

struct auth_exchange *auth_start(struct auth_client *c, const struct auth_context *about,
                                 struct slice mechanism, bool has_initial, struct slice initial,
                                 struct waker waker)
{
    struct ipc_message m;
    struct auth_exchange *x = begin(c, about, AUTH_MSG_START, waker, &m);

    ipc_add_bytes(&m, mechanism);
    ipc_add_bool(&m, has_initial);
    ipc_add_bytes(&m, initial);
    send_request(x, &m);
    return x;
}

struct auth_exchange *auth_password(struct auth_client *c, const struct auth_context *about,
                                    struct slice user, struct slice password, struct waker waker)
{
    struct ipc_message m;
    struct auth_exchange *x = begin(c, about, AUTH_MSG_PASSWORD, waker, &m);

    ipc_add_bytes(&m, user);
    ipc_add_bytes(&m, password);
    send_request(x, &m);
    return x;
}

bool auth_stands(const struct auth_exchange *x, uint64_t account)
{
    struct auth_client *c = x->client;

    (void)pthread_mutex_lock(&c->lock);
    bool stands = c->changes - x->began <= RECENT;
    for (uint64_t i = x->began; stands && i < c->changes; i++)
        stands = c->recent[i % RECENT] != account;
    (void)pthread_mutex_unlock(&c->lock);
    return stands;
}

void auth_respond(struct auth_exchange *x, struct slice response)
{
    struct ipc_message m;

    if (x->state != AUTH_CONTINUE)
        bug("a response to no challenge");
    ipc_message_init(&m, AUTH_MSG_RESPOND);
    ipc_add_u64(&m, x->id);
    ipc_add_bytes(&m, response);
    send_request(x, &m);
}

static void read_failure(struct auth_exchange *x, struct ipc_reader *r)
{
    x->answer.login = ipc_get_bytes(r);
    x->answer.delay_ms = (unsigned)(ipc_get_u64(r) & 0xffff); /* at most a minute, whatever comes */

    enum fail_kind kind = ipc_get_bool(r) ? FAIL_TEMP : FAIL_PERM;
    uint64_t reason = ipc_get_u64(r);
    struct slice code = ipc_get_bytes(r), text = ipc_get_bytes(r);

    (void)fail_set(&x->answer.why, kind, reason <= FAIL_DAMAGED ? (enum fail_reason)reason : FAIL_OTHER,
                   PRIslice, SLICE_ARG(text));
    (void)snprintf(x->answer.why.code, sizeof x->answer.why.code, PRIslice, SLICE_ARG(code));
}

static enum auth_state read_answer(struct auth_exchange *x, struct ipc_reader *r)
{
    uint64_t state = ipc_get_u64(r);

    switch (state) {
    case AUTH_CONTINUE:
        x->id = ipc_get_u64(r);
        x->answer.challenge = ipc_get_bytes(r);
        break;
    case AUTH_OK:
        x->answer.account = ipc_get_u64(r);
        x->answer.login = ipc_get_bytes(r);
        break;
    case AUTH_FAILED: read_failure(x, r); break;
    default: r->failed = true;
    }
    if (ipc_end(r))
        return (enum auth_state)state;
    x->answer = (struct auth_answer){0};
    (void)fail_set(&x->answer.why, FAIL_TEMP, FAIL_OTHER, "auth answered with what is no answer");
    return AUTH_FAILED;
}

enum auth_state auth_poll(struct auth_exchange *x, struct auth_answer *out)
{
    struct ipc_reader r;

    if (x->state == AUTH_PENDING && ipc_call_done(x->call))
        x->state = ipc_call_answer(x->call, &r, &x->answer.why) ? read_answer(x, &r) : AUTH_FAILED;
    *out = x->answer;
    return x->state;
}

void auth_exchange_destroy(struct auth_exchange **xp)
{
    struct auth_exchange *x = *xp;
    struct ipc_message m;

    if (x == NULL)
        return;
    if (x->state == AUTH_CONTINUE) {
        ipc_message_init(&m, AUTH_MSG_ABANDON);
        ipc_add_u64(&m, x->id);
        (void)ipc_client_notify(x->client->ipc, &m, NULL); /* else `auth` forgets it in a while */
        ipc_message_finish(&m);
    }
    ipc_call_end(&x->call);
    free(x);
    *xp = NULL;
}
