/*
 * transfer/imap_sign_in.c - signing in at an IMAP server (RFC 9051 section 6.2.2, 6.2.3; RFC 4959 for SASL-IR).
 *
 * Layer: transfer.  SCRAM first, because it does not show the password; where a server that offers it refuses (it
 * may not have this user's keys), PLAIN follows if there is TLS.  What was written is wiped.
 */
#include <gsasl.h>

#include "base/encode.h"
#include "transfer/imap_link.h"

enum { LINE_MAX_AUTH = 128 * 1024 };

/* A mechanism's next message to the challenge `in`; false: it is over, or goes wrong (then *why). */
typedef bool sasl_answer(void *ctx, struct slice in, struct buf *out, struct fail *why);

static bool send_line(struct imap_link *l, struct slice raw, struct fail *why)
{
    struct buf line;

    buf_init(&line, LINE_MAX_AUTH);
    base64_encode(&line, raw);
    buf_add(&line, SLICE("\r\n"));
    bool ok = line.failed ? fail_set(why, FAIL_PERM, FAIL_LIMIT, "name or password is too long") : imap_link_write(l, buf_slice(&line), why);
    buf_wipe(&line);
    return ok;
}

static bool send_first(struct imap_link *l, const char *mechanism, struct slice raw, bool initial, struct fail *why)
{
    struct buf text;

    buf_init(&text, LINE_MAX_AUTH);
    if (initial && raw.len == 0)
        buf_add_char(&text, '=');
    else if (initial)
        base64_encode(&text, raw);
    bool ok = !text.failed || fail_set(why, FAIL_PERM, FAIL_LIMIT, "name or password is too long");
    ok = ok && imap_link_send(l, why, "AUTHENTICATE %s%s" PRIslice, mechanism, initial ? " " : "", SLICE_ARG(buf_slice(&text)));
    buf_wipe(&text);
    return ok;
}

/* The exchange; *result is the server's last word. */
static bool exchange(struct imap_link *l, const char *mechanism, sasl_answer *answer, void *ctx, struct imap_result *result, struct fail *why)
{
    bool       initial = imap_link_can(l, "SASL-IR");
    struct buf in, out;
    bool       ok;

    buf_init(&in, LINE_MAX_AUTH);
    buf_init(&out, LINE_MAX_AUTH);
    ok = answer(ctx, SLICE(""), &out, why) && send_first(l, mechanism, buf_slice(&out), initial, why);
    for (unsigned tag = l->tag, round = 0; ok;) {
        struct imap_answer a = imap_link_hear(l, why);
        if (a.kind == IMAP_FAILED) {
            ok = false;
        } else if (a.kind == IMAP_TAGGED && imap_link_tag(a.tag) == tag) {
            *result = (struct imap_result){a.status, a.code, a.text};
            break;
        } else if (a.kind == IMAP_DATA) {
            imap_in_end(&l->in);
        } else if (a.kind == IMAP_CONTINUE) {
            buf_reset(&in);
            ok = round++ < 20 && base64_decode(&in, slice_trim(a.text));
            if (!ok)
                (void)fail_set(why, FAIL_TEMP, FAIL_INVALID, "%s: a challenge is wrong", mechanism);
            if (ok && (round > 1 || initial)) {
                buf_wipe(&out);
                ok = answer(ctx, buf_slice(&in), &out, why);
            }
            ok = ok && send_line(l, buf_slice(&out), why);
        }
    }
    buf_wipe(&in);
    buf_wipe(&out);
    if (!ok)
        imap_link_close(l);
    return ok;
}

/* ---- mechanisms ---- */

struct once { struct buf text; unsigned round; };

/* One message, then nothing: what XOAUTH2 and OAUTHBEARER answer to the reason of a refusal. */
static bool say_once(void *ctx, struct slice in, struct buf *out, struct fail *why)
{
    struct once *o = ctx;

    (void)in;
    (void)why;
    buf_reset(out);
    if (o->round++ == 0)
        buf_add(out, buf_slice(&o->text));
    return true;
}

/* message = [authzid] NUL authcid NUL passwd                                         RFC 4616 section 2 */
static bool sign_in_plain(struct imap_link *l, struct imap_result *r, struct fail *why)
{
    struct once o = {.round = 0};

    buf_init(&o.text, LINE_MAX_AUTH);
    buf_add_char(&o.text, '\0');
    buf_add(&o.text, slice_of(l->host->user));
    buf_add_char(&o.text, '\0');
    buf_add(&o.text, slice_of(l->host->password));
    bool ok = exchange(l, "PLAIN", say_once, &o, r, why);
    buf_wipe(&o.text);
    return ok;
}

/* client-resp = gs2-header kvsep *kvpair kvsep                                      RFC 7628 section 3.1 */
static bool sign_in_token(struct imap_link *l, struct imap_result *r, struct fail *why)
{
    bool        bearer = imap_link_can(l, "AUTH=OAUTHBEARER");
    struct once o = {.round = 0};

    if (!bearer && !imap_link_can(l, "AUTH=XOAUTH2"))
        return fail_set(why, FAIL_PERM, FAIL_AUTH, "the server takes no tokens (neither OAUTHBEARER nor XOAUTH2)");
    buf_init(&o.text, LINE_MAX_AUTH);
    if (bearer)
        buf_addf(&o.text, "n,a=%s,\001host=%s\001port=%s\001auth=Bearer %s\001\001", l->host->user, l->host->host, l->host->port, l->host->token);
    else
        buf_addf(&o.text, "user=%s\001auth=Bearer %s\001\001", l->host->user, l->host->token);
    bool ok = exchange(l, bearer ? "OAUTHBEARER" : "XOAUTH2", say_once, &o, r, why);
    buf_wipe(&o.text);
    return ok;
}

struct scram { Gsasl_session *session; bool proved; };

static bool scram_step(void *ctx, struct slice in, struct buf *out, struct fail *why)
{
    struct scram *s = ctx;
    char         *text = NULL;
    size_t        len = 0;
    int           result = gsasl_step(s->session, in.ptr, in.len, &text, &len);

    buf_reset(out);
    buf_add(out, slice_make(text, len));
    gsasl_free(text);
    s->proved = s->proved || result == GSASL_OK;
    return result == GSASL_OK || result == GSASL_NEEDS_MORE || fail_set(why, FAIL_TEMP, FAIL_AUTH, "SCRAM: %s", gsasl_strerror(result));
}

static bool sign_in_scram(struct imap_link *l, const char *mechanism, struct imap_result *r, struct fail *why)
{
    Gsasl       *library = NULL;
    struct scram s = {0};
    bool         ok = gsasl_init(&library) == GSASL_OK && gsasl_client_start(library, mechanism, &s.session) == GSASL_OK &&
              gsasl_property_set(s.session, GSASL_AUTHID, l->host->user) == GSASL_OK &&
              gsasl_property_set(s.session, GSASL_PASSWORD, l->host->password) == GSASL_OK;

    if (!ok)
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "SCRAM is not to be had");
    ok = ok && exchange(l, mechanism, scram_step, &s, r, why);
    if (ok && r->status == IMAP_OK && !s.proved)
        ok = fail_set(why, FAIL_PERM, FAIL_AUTH, "the server did not prove that it knows the password");
    if (s.session != NULL)
        gsasl_finish(s.session);
    if (library != NULL)
        gsasl_done(library);
    return ok;
}

/* login = "LOGIN" SP userid SP password; both quoted, which cannot hold bytes beyond ASCII: then literals. */
static bool sign_in_login(struct imap_link *l, struct imap_result *r, struct fail *why)
{
    struct buf text;

    buf_init(&text, LINE_MAX_AUTH);
    imap_link_add_quoted(&text, slice_of(l->host->user));
    buf_add_char(&text, ' ');
    imap_link_add_quoted(&text, slice_of(l->host->password));
    bool ok = !text.failed && strpbrk(l->host->user, "\r\n") == NULL && strpbrk(l->host->password, "\r\n") == NULL;
    if (!ok)
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "such a name or password cannot be said to this server");
    ok = ok && imap_link_run(l, NULL, NULL, r, why, "LOGIN " PRIslice, SLICE_ARG(buf_slice(&text)));
    buf_wipe(&text);
    return ok;
}

static bool sign_in_by(struct imap_link *l, struct imap_result *r, struct fail *why)
{
    const char *scram = imap_link_can(l, "AUTH=SCRAM-SHA-256") ? "SCRAM-SHA-256" : imap_link_can(l, "AUTH=SCRAM-SHA-1") ? "SCRAM-SHA-1" : NULL;
    bool        plain = imap_link_can(l, "AUTH=PLAIN"), login = !imap_link_can(l, "LOGINDISABLED");

    if (l->host->token != NULL)
        return sign_in_token(l, r, why);
    if (scram != NULL) {
        if (!sign_in_scram(l, scram, r, why))
            return false;
        if (r->status == IMAP_OK || l->tls == NULL)
            return true;
    }
    if (plain)
        return sign_in_plain(l, r, why);
    if (login)
        return sign_in_login(l, r, why);
    return scram != NULL || fail_set(why, FAIL_PERM, FAIL_AUTH, "the server offers none of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN here");
}

bool imap_sign_in(struct imap_link *l, struct fail *why)
{
    struct imap_result r = {.status = IMAP_NO};
    struct buf         before;

    buf_init(&before, SIZE_MAX);
    buf_add(&before, buf_slice(&l->capabilities));
    bool ok = sign_in_by(l, &r, why);
    if (ok && r.status != IMAP_OK)
        ok = imap_refused(&r, FAIL_AUTH, "signing in", why);
    if (ok && slice_eq(buf_slice(&before), buf_slice(&l->capabilities)))
        buf_reset(&l->capabilities); /* ask again: those of before may not hold */
    buf_finish(&before);
    return ok;
}
