/*
 * auth/control.c - see auth/control.h.
 *
 * Layer: auth.
 */
#include "auth/control.h"

#include "auth/protocol.h"
#include "net/ipc.h"

/* Sends it, which ends the message, and waits; *answer lives until ipc_call_end(call). */
static bool ask(struct ipc_client *c, struct ipc_message *m, struct ipc_call **call,
                struct ipc_reader *answer, struct fail *why)
{
    *call = ipc_call_start(c, m, (struct waker){0}, why);
    ipc_message_finish(m);
    if (*call == NULL)
        return false;
    ipc_call_wait(*call);
    return ipc_call_answer(*call, answer, why);
}

/* A request that is answered by nothing but yes or no. */
static bool tell(struct ipc_client *c, struct ipc_message *m, struct fail *why)
{
    struct ipc_call *call;
    struct ipc_reader answer;

    bool ok = ask(c, m, &call, &answer, why);
    ipc_call_end(&call);
    return ok;
}

static bool set(struct ipc_client *c, uint16_t type, uint64_t account, struct slice login,
                struct slice secret, struct fail *why)
{
    struct ipc_message m;

    ipc_message_init(&m, type);
    ipc_add_u64(&m, account);
    ipc_add_bytes(&m, login);
    ipc_add_bytes(&m, secret);
    return tell(c, &m, why);
}

bool auth_control_set_password(struct ipc_client *c, uint64_t account, struct slice login,
                               struct slice password, struct fail *why)
{
    return set(c, AUTH_MSG_SET_PASSWORD, account, login, password, why);
}

bool auth_control_set_hash(struct ipc_client *c, uint64_t account, struct slice login, struct slice hash,
                           struct fail *why)
{
    return set(c, AUTH_MSG_SET_HASH, account, login, hash, why);
}

bool auth_control_remove(struct ipc_client *c, uint64_t account, struct fail *why)
{
    struct ipc_message m;

    ipc_message_init(&m, AUTH_MSG_REMOVE);
    ipc_add_u64(&m, account);
    return tell(c, &m, why);
}

/* Shows one page; *after: the last id in it, *count: how many there were. */
static bool show_page(struct ipc_reader *r, bool (*each)(void *ctx, const struct auth_credential *k),
                      void *ctx, uint64_t *after, bool *more)
{
    *more = !ipc_at_end(r);
    while (!ipc_at_end(r) && !r->failed) {
        struct auth_credential k = {.account = ipc_get_u64(r)};
        k.login = ipc_get_bytes(r);
        k.changed = ipc_get_i64(r);
        k.last_used = ipc_get_i64(r);
        k.last_service = ipc_get_bytes(r);
        k.last_peer = ipc_get_bytes(r);
        if (r->failed || k.account <= *after)
            return false;
        *after = k.account;
        if (*more && !each(ctx, &k))
            *more = false;
    }
    return !r->failed;
}

bool auth_control_list(struct ipc_client *c, bool (*each)(void *ctx, const struct auth_credential *k),
                       void *ctx, struct fail *why)
{
    uint64_t after = 0;
    bool ok = true, more = true;

    while (ok && more) {
        struct ipc_message m;
        struct ipc_call *call;
        struct ipc_reader answer;

        ipc_message_init(&m, AUTH_MSG_LIST);
        ipc_add_u64(&m, after);
        ok = ask(c, &m, &call, &answer, why);
        if (ok && !show_page(&answer, each, ctx, &after, &more))
            ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "auth answered with what is no list");
        ipc_call_end(&call);
    }
    return ok;
}

bool auth_control_app_add(struct ipc_client *c, uint64_t account, struct slice name, struct slice services,
                          struct buf *password, struct fail *why)
{
    struct ipc_message m;
    struct ipc_call *call;
    struct ipc_reader answer;

    ipc_message_init(&m, AUTH_MSG_APP_ADD);
    ipc_add_u64(&m, account);
    ipc_add_bytes(&m, name);
    ipc_add_bytes(&m, services);
    bool ok = ask(c, &m, &call, &answer, why);
    if (ok)
        buf_add(password, ipc_get_bytes(&answer));
    ipc_call_end(&call);
    return ok;
}

bool auth_control_app_remove(struct ipc_client *c, uint64_t account, struct slice name, struct fail *why)
{
    struct ipc_message m;

    ipc_message_init(&m, AUTH_MSG_APP_REMOVE);
    ipc_add_u64(&m, account);
    ipc_add_bytes(&m, name);
    return tell(c, &m, why);
}

bool auth_control_app_list(struct ipc_client *c, uint64_t account,
                           bool (*each)(void *ctx, const struct auth_app_password *p), void *ctx,
                           struct fail *why)
{
    struct ipc_message m;
    struct ipc_call *call;
    struct ipc_reader r;
    bool more = true;

    ipc_message_init(&m, AUTH_MSG_APP_LIST);
    ipc_add_u64(&m, account);
    bool ok = ask(c, &m, &call, &r, why);
    while (ok && more && !ipc_at_end(&r)) {
        struct auth_app_password p = {.name = ipc_get_bytes(&r)};
        p.services = ipc_get_bytes(&r);
        p.created = ipc_get_i64(&r);
        p.last_used = ipc_get_i64(&r);
        p.last_service = ipc_get_bytes(&r);
        p.last_peer = ipc_get_bytes(&r);
        if (r.failed)
            ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "auth answered with what is no list");
        else
            more = each(ctx, &p);
    }
    ipc_call_end(&call);
    return ok;
}

bool auth_control_copy(struct ipc_client *c, struct buf *path, struct fail *why)
{
    struct ipc_message m;
    struct ipc_call *call;
    struct ipc_reader answer;

    ipc_message_init(&m, AUTH_MSG_COPY);
    bool ok = ask(c, &m, &call, &answer, why);
    if (ok) {
        buf_add(path, ipc_get_bytes(&answer));
        if (path->failed || !ipc_end(&answer))
            ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "auth did not say where its copy is");
    }
    ipc_call_end(&call);
    return ok;
}
