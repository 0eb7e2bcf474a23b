/*
 * policy/steps.c - what is asked at each stage, and in which order.
 *
 * Layer: policy.  A check is a story: run from top to bottom, in the session's own turn if nobody else must be asked, else
 * on one of policy's threads.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/internal.h"

unsigned check_service(const struct policy_check *c)
{
    switch (c->facts.kind) {
    case POLICY_MX: return FOR_SMTP;
    case POLICY_SUBMISSION: return FOR_SUBMISSION;
    case POLICY_LMTP: return FOR_LMTP;
    }
    bug("policy kind %d", (int)c->facts.kind);
}

bool check_is_allowed(const struct policy_check *c)
{
    const struct policy_mark *marks = c->session->marks;

    return marks[SCOPE_CLIENT].allowed || marks[SCOPE_HELO].allowed || marks[SCOPE_MESSAGE].allowed;
}

bool check_is_stranger(const struct policy_check *c)
{
    return c->facts.kind == POLICY_MX && c->facts.user.len == 0 && !c->facts.trusted && !check_is_allowed(c);
}

/* ---- what is said ---- */

void check_note(struct policy_check *c, const char *fmt, ...)
{
    va_list ap;

    if (c->explain == NULL)
        return;
    buf_addf(c->explain, "%s: ", policy_stage_name(c->stage));
    va_start(ap, fmt);
    buf_vaddf(c->explain, fmt, ap);
    va_end(ap);
    buf_add_char(c->explain, '\n');
}

bool check_say(struct policy_check *c, enum policy_action action, unsigned code, const char *status, const char *by, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->verdict.action = action;
    c->verdict.code = code;
    c->verdict.status = arena_keep(&c->arena, slice_of(status));
    c->verdict.text = arena_keep(&c->arena, slice_of(text));
    c->verdict.by = arena_keep(&c->arena, slice_of(by));
    check_note(c, "%s says no: %u %s %s", by, code, status, text);
    return false;
}

void check_change(struct policy_check *c, enum policy_change_kind kind, struct slice address)
{
    enum { MOST = 10000 };

    if (c->change_count == MOST)
        return;
    if (c->change_count == c->change_cap) {
        c->change_cap = c->change_cap == 0 ? 4 : c->change_cap * 2;
        c->changes = xrealloc(c->changes, c->change_cap * sizeof *c->changes);
    }
    c->changes[c->change_count++] = (struct policy_change){.kind = kind, .address = arena_keep(&c->arena, address)};
}

/* ---- access tables ---- */

static enum policy_scope scope_of(enum policy_stage stage)
{
    switch (stage) {
    case POLICY_CONNECT: return SCOPE_CLIENT;
    case POLICY_HELO: return SCOPE_HELO;
    case POLICY_MAIL:
    case POLICY_RCPT:
    case POLICY_DATA:
    case POLICY_MESSAGE:
    case POLICY_UNKNOWN: break;
    }
    return SCOPE_MESSAGE;
}

static bool refuse(struct policy_check *c, const struct access_answer *a, const char *by)
{
    const bool temp = a->action == ACCESS_DEFER;
    const char *status = a->status.len > 0 ? arena_cstr(&c->arena, a->status) : temp ? "4.7.1" : "5.7.1";
    const unsigned code = a->code != 0 ? a->code : temp ? 450 : c->stage == POLICY_CONNECT ? 554 : 550;
    struct slice who = c->stage == POLICY_RCPT ? c->facts.recipient : c->stage == POLICY_MAIL ? c->facts.sender
                       : c->stage == POLICY_HELO ? c->facts.helo : c->facts.peer;

    if (a->text.len > 0)
        return check_say(c, temp ? POLICY_DEFER : POLICY_REJECT, code, status, by, PRIslice, SLICE_ARG(a->text));
    return check_say(c, temp ? POLICY_DEFER : POLICY_REJECT, code, status, by, "<" PRIslice ">: %s", SLICE_ARG(who),
                     temp ? "not now: try again later" : "access denied");
}

static void note_mark(struct policy_mark *m, const char *by)
{
    (void)snprintf(m->by, sizeof m->by, "%s", by);
}

/* false: that was a no. */
static bool carry_out(struct policy_check *c, const struct policy_access *table, const struct access_answer *a)
{
    struct policy_mark *m = &c->session->marks[scope_of(c->stage)];
    const char *by = arena_printf(&c->arena, "access:%s", table->name).ptr;

    if (by == NULL)
        by = "access";
    check_note(c, "access \"%s\" has " PRIslice ": %s", table->name, SLICE_ARG(a->pattern), access_action_name(a->action));
    switch (a->action) {
    case ACCESS_REJECT:
    case ACCESS_DEFER: return refuse(c, a, by);
    case ACCESS_ALLOW:
        /* One recipient's permission is not the others': it ends this check alone. */
        m->allowed = c->stage != POLICY_RCPT;
        break;
    case ACCESS_TAG: m->junk = true; break;
    case ACCESS_DISCARD: m->discard = true; break;
    case ACCESS_REDIRECT:
        free(m->redirect);
        m->redirect = xslicedup(a->to);
        break;
    case ACCESS_NEXT: break;
    }
    note_mark(m, by);
    return true;
}

/* The first table of this stage that says something.  *found: and it was a yes that ends the questions. */
static bool ask_tables(struct policy_check *c, enum access_stage stage, const struct access_subject *s, bool *allowed)
{
    struct policy *p = c->policy;
    struct access_answer answer;

    *allowed = false;
    for (size_t i = 0; i < p->config->access_count; i++) {
        if (p->config->access[i].stage != stage || !access_table_ask(p->tables[i], s, &c->arena, &answer))
            continue;
        *allowed = answer.action == ACCESS_ALLOW;
        return carry_out(c, &p->config->access[i], &answer);
    }
    return true;
}

/* ---- stages ---- */

static bool milters(struct policy_check *c)
{
    return c->explain != NULL || c->policy->config->milter_count == 0 || step_milters(c, NULL);
}

static struct access_subject client_subject(struct policy_check *c)
{
    return (struct access_subject){
        .address = c->facts.has_peer ? &c->facts.address : NULL,
        .name = c->policy->asks_client_names ? client_name(c) : SLICE(""),
    };
}

static void run_connect(struct policy_check *c)
{
    bool allowed = false;

    if (c->facts.kind != POLICY_LMTP) {
        struct access_subject s = client_subject(c);
        if (!ask_tables(c, ACCESS_CLIENT, &s, &allowed))
            return;
    }
    if (!allowed && !step_rate_client(c))
        return;
    (void)milters(c);
}

static void run_helo(struct policy_check *c)
{
    const struct access_subject s = {.name = c->facts.helo};
    struct in6_addr literal;
    struct access_subject with_address = s;
    bool allowed = false;

    /* "[192.0.2.1]" is looked up as an address too. */
    if (c->facts.helo.len > 2 && c->facts.helo.ptr[0] == '[') {
        struct slice inside = slice_sub(c->facts.helo, 1, c->facts.helo.len - 2);
        if (slice_starts_nocase(inside, SLICE("IPv6:")))
            inside = slice_from(inside, 5);
        const char *text = arena_cstr(&c->arena, inside);
        memset(&literal, 0, sizeof literal);
        literal.s6_addr[10] = literal.s6_addr[11] = 0xff;
        if (inet_pton(AF_INET, text, &literal.s6_addr[12]) == 1 || inet_pton(AF_INET6, text, &literal) == 1)
            with_address.address = &literal;
    }
    if (c->facts.kind == POLICY_MX && !check_is_allowed(c) && !ask_tables(c, ACCESS_HELO, &with_address, &allowed))
        return;
    if (check_is_stranger(c) && !step_helo(c))
        return;
    (void)milters(c);
}

static void run_mail(struct policy_check *c)
{
    const struct access_subject s = {.is_path = true, .path = c->facts.sender};
    bool allowed;

    if (!check_is_allowed(c) && !ask_tables(c, ACCESS_SENDER, &s, &allowed))
        return;
    if (check_is_stranger(c) && (!step_rate_message(c) || !step_sender_domain(c)))
        return;
    (void)milters(c);
}

static void run_rcpt(struct policy_check *c)
{
    const struct access_subject s = {.is_path = true, .path = c->facts.recipient};
    bool allowed = false;

    if (!check_is_allowed(c) && !ask_tables(c, ACCESS_RECIPIENT, &s, &allowed))
        return;
    if (!allowed && check_is_stranger(c) && (!step_rate_recipient(c) || !step_lists(c)))
        return;
    if (!allowed && check_is_stranger(c) && !c->session->marks[SCOPE_MESSAGE].listed_good && !step_greylist(c))
        return;
    (void)milters(c);
}

static void run_data(struct policy_check *c)
{
    struct fail why;

    if (c->facts.account != 0 && c->explain == NULL &&
        !policy_rate_take(c->policy, c->facts.account, (unsigned)c->facts.recipient_count, &why)) {
        (void)check_say(c, POLICY_DEFER, 450, why.code, "account-rate", "%s", why.text);
        return;
    }
    (void)milters(c);
}

/* What was said about the client, its name and the transaction. */
static bool take_marks(struct policy_check *c)
{
    for (int i = 0; i < SCOPE_COUNT; i++) {
        const struct policy_mark *m = &c->session->marks[i];
        c->verdict.junk = c->verdict.junk || m->junk;
        if (m->by[0] != '\0')
            c->verdict.by = arena_keep(&c->arena, slice_of(m->by));
        if (m->discard)
            return check_say(c, POLICY_DISCARD, 250, "2.0.0", m->by, "discarded");
        if (m->redirect != NULL)
            check_change(c, POLICY_REDIRECT, slice_of(m->redirect));
    }
    return true;
}

static void run_message(struct policy_check *c)
{
    if (!take_marks(c))
        return;
    if (!check_is_allowed(c) && c->policy->config->rspamd.url[0] != '\0' && !step_rspamd(c, &c->message))
        return;
    if (c->policy->config->milter_count > 0)
        (void)step_milters(c, &c->message);
}

void check_run(struct policy_check *c)
{
    switch (c->stage) {
    case POLICY_CONNECT: run_connect(c); return;
    case POLICY_HELO: run_helo(c); return;
    case POLICY_MAIL: run_mail(c); return;
    case POLICY_RCPT: run_rcpt(c); return;
    case POLICY_DATA: run_data(c); return;
    case POLICY_MESSAGE: run_message(c); return;
    case POLICY_UNKNOWN: (void)milters(c); return;
    }
    bug("policy stage %d", (int)c->stage);
}

bool check_waits(const struct policy_check *c)
{
    const struct policy_config *config = c->policy->config;
    const bool stranger = check_is_stranger(c);

    for (size_t i = 0; i < config->milter_count; i++)
        if ((config->milters[i].services & check_service(c)) != 0)
            return true;
    switch (c->stage) {
    case POLICY_CONNECT: return c->policy->asks_client_names && c->facts.has_peer && c->facts.kind != POLICY_LMTP;
    case POLICY_HELO: return stranger && strcmp(config->limits->helo_check, "resolves") == 0;
    case POLICY_MAIL: return stranger && config->limits->sender_domain_check;
    case POLICY_RCPT: return stranger && config->dnslist_count > 0 && !c->session->listed_asked;
    case POLICY_MESSAGE: return config->rspamd.url[0] != '\0' && (config->rspamd.services & check_service(c)) != 0;
    case POLICY_DATA:
    case POLICY_UNKNOWN: break;
    }
    return false;
}
