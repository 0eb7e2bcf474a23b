/*
 * policy/rspamd.c - rspamd is asked about the whole message.
 *
 * Layer: policy.  POST /checkv2 through the fetch role.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "net/fetch.h"
#include "policy/edit.h"
#include "policy/internal.h"
#include "policy/rspamd_answer.h"

enum { FIELDS_MAX = 1 << 20, ANSWER_MAX = 1 << 20, PIECE = 64 << 10, ARENA_BYTES = 8 << 20 };

/* ---- the question ---- */

/* What could end the line is left out. */
static void add_field(struct buf *out, const char *name, struct slice value)
{
    if (value.len == 0)
        return;
    buf_addf(out, "%s: ", name);
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] >= ' ' && value.ptr[i] != 0x7f)
            buf_add_char(out, value.ptr[i]);
    buf_add(out, SLICE("\r\n"));
}

static void add_fields(struct policy_check *c, struct buf *out)
{
    const struct policy_facts *f = &c->facts;

    add_field(out, "From", f->sender.len > 0 ? f->sender : SLICE("<>"));
    for (size_t i = 0; i < f->recipient_count; i++)
        add_field(out, "Rcpt", f->recipients[i]);
    add_field(out, "IP", f->has_peer ? f->peer : SLICE(""));
    add_field(out, "Helo", f->helo);
    add_field(out, "Hostname", client_name(c));
    add_field(out, "User", f->user);
    add_field(out, "Queue-Id", f->trace);
    add_field(out, "MTA-Name", slice_of(c->policy->setting.hostname));
    add_field(out, "TLS-Version", f->tls_version);
    add_field(out, "TLS-Cipher", f->tls_cipher);
    add_field(out, "Password", slice_of(c->policy->config->rspamd.password));
}

/* A file without a name that has the whole message; -1. */
static int copy_to_file(const struct policy_check *c, const struct body *message, struct fail *why)
{
    int fd = open(c->policy->setting.body.spool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    SCOPED(scoped_free) char *piece = xmalloc(PIECE);
    size_t got = PIECE;

    if (fd < 0) {
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "no spool file for rspamd");
        return -1;
    }
    for (uint64_t at = 0; got == PIECE; at += got)
        if (!body_read(message, at, piece, PIECE, &got, why) || !io_pwrite_all(fd, slice_make(piece, got), at, why)) {
            (void)close(fd);
            return -1;
        }
    return fd;
}

static bool ask(struct policy_check *c, const struct body *message, struct arena *a, struct rspamd_answer *out, struct fail *why)
{
    const struct policy_rspamd *config = &c->policy->config->rspamd;
    SCOPED(scoped_close) int fd = -1;
    struct fetch_answer answer = {0};
    struct buf fields, text;
    struct fetch_request q = {.post = true, .seconds = config->seconds, .content_type = SLICE("application/octet-stream")};
    const struct slice base = slice_of(config->url);

    if (!body_in_memory(message, &q.body)) {
        fd = copy_to_file(c, message, why);
        if (fd < 0)
            return false;
        q.has_body_fd = true;
        q.body_fd = fd;
    }
    buf_init(&fields, FIELDS_MAX);
    buf_init(&text, ANSWER_MAX);
    add_fields(c, &fields);
    q.url = arena_printf(a, PRIslice "/checkv2", SLICE_ARG(slice_ends(base, SLICE("/")) ? slice_sub(base, 0, base.len - 1) : base));
    q.fields = buf_slice(&fields);
    bool ok = fetch_ask(c->policy->setting.fetch, &q, a, &answer, &text, why);
    if (ok && answer.status != 200)
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "rspamd answered with HTTP status %u", answer.status);
    ok = ok && rspamd_read_answer(buf_slice(&text), a, out, why);
    buf_finish(&fields);
    buf_finish(&text);
    return ok;
}

/* ---- what follows ---- */

/* A sender must not be able to say for us what we think of his message. */
static void tag(const struct policy_check *c, const struct rspamd_answer *r, struct edit *e)
{
    const bool spam = r->action == RSPAMD_ADD_HEADER || r->action == RSPAMD_REWRITE || r->action == RSPAMD_QUARANTINE;
    char text[100];

    (void)c;
    edit_remove(e, SLICE("X-Spam"), 0);
    edit_remove(e, SLICE("X-Spam-Status"), 0);
    edit_remove(e, SLICE("X-Spam-Score"), 0);
    (void)snprintf(text, sizeof text, "%s, score=%.2f required=%.2f", spam ? "Yes" : "No", r->score, r->required);
    (void)edit_insert(e, 1, SLICE("X-Spam-Status"), slice_of(text));
    (void)snprintf(text, sizeof text, "%.2f", r->score);
    (void)edit_insert(e, 1, SLICE("X-Spam-Score"), slice_of(text));
    if (spam)
        (void)edit_insert(e, 1, SLICE("X-Spam"), SLICE("Yes"));
}

static void rewrite_subject(const struct rspamd_answer *r, struct edit *e)
{
    const struct edit_field *old = edit_find(e, SLICE("Subject"));
    struct buf subject;

    buf_init(&subject, 64 << 10);
    if (r->subject.len > 0) {
        buf_add(&subject, r->subject);
    } else {
        buf_add(&subject, SLICE("*** SPAM ***"));
        if (old != NULL)
            buf_add(&subject, old->value);
    }
    (void)edit_change(e, 1, SLICE("Subject"), buf_slice(&subject));
    buf_finish(&subject);
}

static bool change(struct policy_check *c, const struct rspamd_answer *r, struct body **message, struct fail *why)
{
    struct body *from = *message != NULL ? *message : c->facts.body, *changed = NULL;
    struct edit e;

    if (!edit_open(&e, from, c->facts.own_fields, why))
        return false;
    if (c->policy->config->rspamd.tag_header && c->facts.user.len == 0)
        tag(c, r, &e);
    if (r->action == RSPAMD_REWRITE)
        rewrite_subject(r, &e);
    for (size_t i = 0; i < r->remove_count; i++)
        edit_remove(&e, r->remove[i].name, r->remove[i].order);
    for (size_t i = 0; i < r->add_count; i++)
        (void)edit_insert(&e, r->add[i].order < 0 ? e.count : (size_t)r->add[i].order, r->add[i].name, r->add[i].value);
    bool ok = edit_write(&e, &c->policy->setting.body, &changed, why);
    edit_close(&e);
    if (ok && changed != NULL) {
        body_destroy(message);
        *message = changed;
    }
    return ok;
}

static bool obey(struct policy_check *c, const struct rspamd_answer *r, struct body **message)
{
    struct fail why = {0};

    switch (r->action) {
    case RSPAMD_REJECT:
        return check_say(c, POLICY_REJECT, 554, "5.7.1", "rspamd", PRIslice, SLICE_ARG(r->text.len > 0 ? r->text : SLICE("rejected as spam")));
    case RSPAMD_SOFT_REJECT:
    case RSPAMD_GREYLIST:
        return check_say(c, POLICY_DEFER, 451, "4.7.1", "rspamd", PRIslice,
                         SLICE_ARG(r->text.len > 0 ? r->text : SLICE("not now: try again later")));
    case RSPAMD_DISCARD: return check_say(c, POLICY_DISCARD, 250, "2.0.0", "rspamd", "discarded");
    case RSPAMD_ADD_HEADER:
    case RSPAMD_REWRITE:
    case RSPAMD_QUARANTINE:
        c->verdict.junk = true;
        c->verdict.by = SLICE("rspamd");
        break;
    case RSPAMD_NONE: break;
    }
    return change(c, r, message, &why) || check_say(c, POLICY_DEFER, 451, "4.3.0", "policy", "%s", why.text);
}

static bool unavailable(struct policy_check *c)
{
    switch (c->policy->config->rspamd.unavailable) {
    case UNAVAILABLE_ACCEPT: return true;
    case UNAVAILABLE_DEFER:
        return check_say(c, POLICY_DEFER, 451, "4.7.1", "rspamd", "the spam filter does not answer just now: try again later");
    case UNAVAILABLE_REJECT: return check_say(c, POLICY_REJECT, 550, "5.7.1", "rspamd", "the spam filter does not answer");
    }
    bug("unavailable");
}

bool step_rspamd(struct policy_check *c, struct body **message)
{
    struct policy *p = c->policy;
    const struct policy_limits *l = p->limits;
    struct body *asked = *message != NULL ? *message : c->facts.body;
    struct rspamd_answer *r = xcalloc(1, sizeof *r);
    struct arena a;
    struct fail why = {0};
    bool ok;

    if ((p->config->rspamd.services & check_service(c)) == 0 || body_size(asked) > p->config->rspamd.message_bytes) {
        free(r);
        return true;
    }
    arena_init(&a, ARENA_BYTES);
    if (!guard_open(&p->rspamd_guard, l->helper_failures, l->helper_pause_seconds)) {
        ok = unavailable(c);
    } else if (!ask(c, asked, &a, r, &why)) {
        log_event(LOG_WARNING, "policy.rspamd_failed", LOG_TEXT("session", c->facts.session), LOG_TEXT("trace", c->facts.trace), LOG_FAIL(&why));
        if (guard_failed(&p->rspamd_guard, l->helper_failures, l->helper_pause_seconds))
            log_event(LOG_ERROR, "policy.rspamd_away", LOG_CSTR("url", p->config->rspamd.url));
        ok = unavailable(c);
    } else {
        guard_answered(&p->rspamd_guard);
        ok = obey(c, r, message);
    }
    arena_finish(&a);
    free(r);
    return ok;
}
