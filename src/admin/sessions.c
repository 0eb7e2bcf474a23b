/*
 * admin/sessions.c - who is connected, and ending it.
 *
 * Layer: admin.
 */
#include "admin/internal.h"
#include "net/net.h"

static bool list_session(void *ctx, const struct net_session_info *s)
{
    json_t *row = json_pack("{s:s, s:s, s:s, s:o, s:b, s:I, s:I, s:I}", "id", s->id.text, "protocol", s->protocol,
                            "peer", s->peer.text, "who", admin_json(slice_of(s->label)), "tls", (int)s->tls, "since",
                            (json_int_t)s->since, "in", (json_int_t)s->in, "out", (json_int_t)s->out);

    return row != NULL && json_array_append_new(ctx, row) == 0;
}

bool admin_session_list(struct admin_call *c, struct fail *why)
{
    json_t *list = json_array();

    (void)why;
    admin_put(c, "sessions", list);
    net_each_session(c->on->net, list_session, list);
    return true;
}

/* By session id, or all of an account. */
bool admin_session_kick(struct admin_call *c, struct fail *why)
{
    struct slice             id = admin_text_or_empty(c, "session");
    struct directory_account account;
    unsigned                 ended;

    if (id.len > 0) {
        ended = net_kick_session(c->on->net, id);
        if (ended == 0)
            return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "no session " PRIslice, SLICE_ARG(id));
    } else {
        if (!admin_account(c, &account, why))
            return false;
        ended = net_kick_account(c->on->net, account.id);
    }
    admin_put(c, "sessions_ended", json_integer(ended));
    return true;
}
