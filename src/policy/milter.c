/*
 * policy/milter.c - milters: Sendmail's mail filters, asked at every stage.
 *
 * Layer: policy.  Each session has its own connection to each milter, in the order of the config; at the end of a message
 * each sees what those before it have changed.  One that does not answer counts as the config says for the rest of the
 * session, and after a few such sessions is left alone for a while (guard.h).
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/edit.h"
#include "policy/milter_link.h"

enum { COMMAND_MAX = 256 << 10 };

const char *milter_by(struct policy_check *c, const struct milter_link *l)
{
    const char *by = arena_printf(&c->arena, "milter:%s", l->config->name).ptr;

    return by != NULL ? by : "milter";
}

bool milter_unavailable(struct policy_check *c, struct milter_link *l)
{
    /* Before MAIL a no would end a session that may only want to sign in, or to say QUIT. */
    if (c->stage == POLICY_CONNECT || c->stage == POLICY_HELO || c->stage == POLICY_UNKNOWN)
        return true;
    switch (l->config->unavailable) {
    case UNAVAILABLE_ACCEPT: return true;
    case UNAVAILABLE_DEFER:
        return check_say(c, POLICY_DEFER, 451, "4.7.1", milter_by(c, l), "a filter does not answer just now: try again later");
    case UNAVAILABLE_REJECT: return check_say(c, POLICY_REJECT, 550, "5.7.1", milter_by(c, l), "a filter does not answer");
    }
    bug("unavailable %d", (int)l->config->unavailable);
}

/* ---- answers ---- */

static bool obey_reply_code(struct policy_check *c, struct milter_link *l, struct slice data)
{
    struct milter_reply r;

    if (!milter_read_reply(data, &r)) {
        (void)link_break(c, l, "a reply code that is none");
        return milter_unavailable(c, l);
    }
    return check_say(c, r.code == 421 ? POLICY_CLOSE : r.code < 500 ? POLICY_DEFER : POLICY_REJECT, r.code,
                     arena_cstr(&c->arena, r.status), milter_by(c, l), PRIslice, SLICE_ARG(r.text));
}

static void take_accept(struct policy_check *c, struct milter_link *l)
{
    if (c->stage == POLICY_CONNECT || c->stage == POLICY_HELO)
        l->accepted = true;
    else
        l->skipped = true;
}

static void discard(struct policy_check *c, const struct milter_link *l)
{
    struct policy_mark *m = &c->session->marks[SCOPE_MESSAGE];

    m->discard = true;
    (void)snprintf(m->by, sizeof m->by, "%s", milter_by(c, l));
}

bool milter_obey(struct policy_check *c, struct milter_link *l, char reply, struct slice data)
{
    switch (reply) {
    case SMFIR_CONTINUE:
    case SMFIR_SKIP: return true;
    case SMFIR_ACCEPT: take_accept(c, l); return true;
    case SMFIR_DISCARD: discard(c, l); return true;
    case SMFIR_REJECT:
        return check_say(c, POLICY_REJECT, c->stage == POLICY_CONNECT || c->stage == POLICY_DATA || c->stage == POLICY_MESSAGE ? 554 : 550,
                         "5.7.1", milter_by(c, l), "not accepted here");
    case SMFIR_TEMPFAIL:
        return check_say(c, POLICY_DEFER, 451, "4.7.1", milter_by(c, l), "not now: try again later");
    case SMFIR_REPLYCODE: return obey_reply_code(c, l, data);
    case SMFIR_SHUTDOWN:
    case SMFIR_CONN_FAIL: return check_say(c, POLICY_CLOSE, 421, "4.7.0", milter_by(c, l), "try again later");
    default: break;
    }
    (void)link_break(c, l, "an answer that nobody knows");
    return milter_unavailable(c, l);
}

/* ---- commands ---- */

/* Sends what is in `out`; waits for an answer unless the milter said that it gives none. */
static bool ask(struct policy_check *c, struct milter_link *l, struct buf *out, uint32_t no_reply)
{
    char reply;
    struct slice data;

    bool sent = link_send(c, l, out);
    buf_finish(out);
    if (!sent)
        return milter_unavailable(c, l);
    if ((l->options.protocol & no_reply) != 0)
        return true;
    if (!link_receive(c, l, l->config->command_seconds, &reply, &data))
        return milter_unavailable(c, l);
    return milter_obey(c, l, reply, data);
}

/* connect: hostname NUL family [port address NUL] */
static bool tell_connect(struct policy_check *c, struct milter_link *l)
{
    const struct policy_facts *f = &c->facts;
    const struct slice name = client_name(c);
    struct buf out;

    if ((l->options.protocol & SMFIP_NOCONNECT) != 0)
        return true;
    buf_init(&out, COMMAND_MAX);
    macros_add(c, l, &out, MACRO_CONNECT, SMFIC_CONNECT);
    size_t began = milter_begin(&out, SMFIC_CONNECT);
    if (name.len > 0)
        milter_add_text(&out, name);
    else if (f->has_peer)
        milter_add_text(&out, arena_printf(&c->arena, "[" PRIslice "]", SLICE_ARG(f->peer)));
    else
        milter_add_text(&out, SLICE("localhost"));
    if (f->has_peer) {
        buf_add_char(&out, IN6_IS_ADDR_V4MAPPED(&f->address) ? '4' : '6');
        buf_add_char(&out, (char)(f->port >> 8));
        buf_add_char(&out, (char)f->port);
        if (!IN6_IS_ADDR_V4MAPPED(&f->address))
            buf_add(&out, SLICE("IPv6:"));
        milter_add_text(&out, f->peer);
    } else {
        buf_add_char(&out, 'U');
    }
    milter_end(&out, began);
    return ask(c, l, &out, SMFIP_NR_CONN);
}

static bool tell_text(struct policy_check *c, struct milter_link *l, char command, struct slice text, uint32_t unwanted, uint32_t no_reply)
{
    struct buf out;

    if ((l->options.protocol & unwanted) != 0)
        return true;
    buf_init(&out, COMMAND_MAX);
    if (command == SMFIC_HELO)
        macros_add(c, l, &out, MACRO_HELO, command);
    size_t began = milter_begin(&out, command);
    milter_add_text(&out, text);
    milter_end(&out, began);
    return ask(c, l, &out, no_reply);
}

/* MAIL and RCPT: the path in its brackets, then the parameters. */
static bool tell_path(struct policy_check *c, struct milter_link *l, char command, struct slice path)
{
    const bool is_mail = command == SMFIC_MAIL;
    struct buf out;

    if (is_mail)
        l->in_message = true;
    if ((l->options.protocol & (is_mail ? SMFIP_NOMAIL : SMFIP_NORCPT)) != 0)
        return true;
    buf_init(&out, COMMAND_MAX);
    macros_add(c, l, &out, is_mail ? MACRO_MAIL : MACRO_RCPT, command);
    size_t began = milter_begin(&out, command);
    milter_add_text(&out, arena_printf(&c->arena, "<" PRIslice ">", SLICE_ARG(path)));
    if (is_mail && c->facts.size > 0)
        milter_add_text(&out, arena_printf(&c->arena, "SIZE=%llu", (unsigned long long)c->facts.size));
    milter_end(&out, began);
    return ask(c, l, &out, is_mail ? SMFIP_NR_MAIL : SMFIP_NR_RCPT);
}

static bool tell_data(struct policy_check *c, struct milter_link *l)
{
    struct buf out;

    /* DATA is of version 4. */
    if ((l->options.protocol & SMFIP_NODATA) != 0 || l->options.version < 4)
        return true;
    buf_init(&out, COMMAND_MAX);
    macros_add(c, l, &out, MACRO_DATA, SMFIC_DATA);
    milter_end(&out, milter_begin(&out, SMFIC_DATA));
    return ask(c, l, &out, SMFIP_NR_DATA);
}

static bool tell(struct policy_check *c, struct milter_link *l, struct edit *e)
{
    const struct policy_facts *f = &c->facts;

    switch (c->stage) {
    case POLICY_CONNECT: return true; /* link_open's caller did it */
    case POLICY_HELO: return tell_text(c, l, SMFIC_HELO, f->helo, SMFIP_NOHELO, SMFIP_NR_HELO);
    case POLICY_MAIL: return tell_path(c, l, SMFIC_MAIL, f->sender);
    case POLICY_RCPT: return !l->in_message || tell_path(c, l, SMFIC_RCPT, f->recipient);
    case POLICY_DATA: return !l->in_message || tell_data(c, l);
    case POLICY_MESSAGE: return !l->in_message || milter_message(c, l, e);
    case POLICY_UNKNOWN:
        return l->options.version < 3 || tell_text(c, l, SMFIC_UNKNOWN, f->command, SMFIP_NOUNKNOWN, SMFIP_NR_UNKN);
    }
    bug("policy stage %d", (int)c->stage);
}

/* ---- all of them ---- */

static void links_make(struct policy_session *ps)
{
    const struct policy *p = ps->policy;

    ps->milters = xcalloc(p->config->milter_count, sizeof *ps->milters);
    for (size_t i = 0; i < p->config->milter_count; i++) {
        ps->milters[i].config = &p->config->milters[i];
        ps->milters[i].guard = &p->milter_guards[i];
        ps->milters[i].fd = -1;
    }
}

/* Whom a table allows is none of a milter's business, but of one that wants all. */
static bool is_concerned(const struct policy_check *c, struct milter_link *l)
{
    if ((l->config->services & check_service(c)) == 0)
        return false;
    if (check_is_allowed(c) && !l->config->always) {
        if (l->in_message)
            link_tell(l, SMFIC_ABORT);
        l->in_message = false;
        return false;
    }
    return true;
}

static bool ask_one(struct policy_check *c, struct milter_link *l, struct edit *e)
{
    if (!l->opened && link_open(c, l) && !tell_connect(c, l))
        return false;
    if (l->broken)
        return milter_unavailable(c, l);
    if (l->accepted || (l->skipped && c->stage != POLICY_HELO && c->stage != POLICY_UNKNOWN))
        return true;
    return tell(c, l, e);
}

bool step_milters(struct policy_check *c, struct body **message)
{
    struct policy_session *ps = c->session;
    struct edit e = {0};
    struct fail why = {0};
    bool ok = true;

    if (ps->milters == NULL)
        links_make(ps);
    if (c->stage == POLICY_MESSAGE && !edit_open(&e, *message != NULL ? *message : c->facts.body, c->facts.own_fields, &why))
        return check_say(c, POLICY_DEFER, 451, "4.3.0", "policy", "%s", why.text);
    for (size_t i = 0; ok && i < ps->policy->config->milter_count; i++)
        if (is_concerned(c, &ps->milters[i]))
            ok = ask_one(c, &ps->milters[i], &e);
    if (ok && c->stage == POLICY_MESSAGE && e.changed) {
        struct body *changed = NULL;
        if (edit_write(&e, &ps->policy->setting.body, &changed, &why)) {
            body_destroy(message);
            *message = changed;
        } else {
            ok = check_say(c, POLICY_DEFER, 451, "4.3.0", "policy", "%s", why.text);
        }
    }
    if (c->stage == POLICY_MESSAGE) {
        const struct policy_mark *m = &ps->marks[SCOPE_MESSAGE];
        edit_close(&e);
        if (ok && m->discard)
            ok = check_say(c, POLICY_DISCARD, 250, "2.0.0", m->by, "discarded");
    }
    return ok;
}

void milters_reset(struct policy_session *ps)
{
    for (size_t i = 0; ps->milters != NULL && i < ps->policy->config->milter_count; i++) {
        struct milter_link *l = &ps->milters[i];
        if (l->in_message)
            link_tell(l, SMFIC_ABORT);
        l->in_message = l->skipped = false;
    }
}

void milters_close(struct policy_session *ps)
{
    for (size_t i = 0; ps->milters != NULL && i < ps->policy->config->milter_count; i++) {
        struct milter_link *l = &ps->milters[i];
        link_tell(l, SMFIC_QUIT);
        link_close(l);
        for (int k = 0; k < MILTER_MACRO_STAGES; k++)
            free(l->macros[k]);
    }
    free(ps->milters);
    ps->milters = NULL;
}
