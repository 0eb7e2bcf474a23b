/*
 * smtp/client_auth.c - signing in at a smart host (RFC 4954): SCRAM-SHA-256, PLAIN, LOGIN.
 *
 * Layer: smtp.  SCRAM by libgsasl, and first, because it does not show the password.  What was written or read is wiped.
 */
#include <gsasl.h>

#include "base/encode.h"
#include "smtp/client_session.h"

enum { AUTH_LINE_MAX = 12288 /* RFC 4954 section 4.5.3 */ };

struct exchange {
    struct smtp_client *c;
    struct smtp_reply_text *reply;
    struct arena *a;
    struct fail *why;
};

/* Says one line (base64 of `raw` behind `command`), hears the answer. */
static bool step(struct exchange *x, const char *command, struct slice raw, bool has_initial)
{
    struct buf text;

    buf_init(&text, AUTH_LINE_MAX);
    buf_add(&text, slice_of(command));
    if (has_initial && command[0] != '\0')
        buf_add_char(&text, ' ');
    if (has_initial && raw.len == 0 && command[0] != '\0')
        buf_add_char(&text, '='); /* RFC 4954 section 4: an empty initial response */
    base64_encode(&text, raw);
    buf_add(&text, SLICE("\r\n"));
    bool ok = !text.failed && wire_write(&x->c->wire, buf_slice(&text), x->c->limits.command_seconds, x->why);
    if (text.failed)
        fail_set(x->why, FAIL_PERM, FAIL_LIMIT, "name or password is too long");
    buf_wipe(&text);
    return (ok && client_hear(x->c, x->c->limits.command_seconds, x->reply, x->a, x->why)) || fail_at(x->why, "AUTH");
}

/* 334 and what it holds. */
static bool challenge(struct exchange *x, struct buf *out)
{
    struct slice text = x->reply->text;

    buf_reset(out);
    return x->reply->code == 334 && base64_decode(out, slice_trim(text));
}

/* A 5xx says that the password is wrong, or that this host wants another way: for good either way, until the config changes. */
static bool judge(struct exchange *x)
{
    if (x->reply->code == 235)
        return true;
    client_refused(x->why, x->reply, "AUTH");
    x->why->reason = FAIL_AUTH;
    return false;
}

/* message = [authzid] NUL authcid NUL passwd                                         RFC 4616 section 2 */
static bool sign_in_plain(struct exchange *x, const struct smtp_peer *peer)
{
    struct buf text;
    bool ok;

    buf_init(&text, AUTH_LINE_MAX);
    buf_add_char(&text, '\0');
    buf_add(&text, slice_of(peer->user));
    buf_add_char(&text, '\0');
    buf_add(&text, slice_of(peer->password));
    ok = step(x, "AUTH PLAIN", buf_slice(&text), true) && judge(x);
    buf_wipe(&text);
    return ok;
}

static bool sign_in_login(struct exchange *x, const struct smtp_peer *peer)
{
    if (!step(x, "AUTH LOGIN", SLICE(""), false))
        return false;
    if (x->reply->code == 334 && !step(x, "", slice_of(peer->user), true))
        return false;
    if (x->reply->code == 334 && !step(x, "", slice_of(peer->password), true))
        return false;
    return judge(x);
}

static bool scram_steps(struct exchange *x, Gsasl_session *session)
{
    struct buf in;
    bool first = true, ok = true, proved = false;

    buf_init(&in, AUTH_LINE_MAX);
    while (ok) {
        char *out = NULL;
        size_t len = 0;
        int result = gsasl_step(session, in.data, in.len, &out, &len);

        if (result != GSASL_OK && result != GSASL_NEEDS_MORE) {
            gsasl_free(out);
            ok = fail_code(x->why, FAIL_TEMP, FAIL_AUTH, "4.7.8", "AUTH: SCRAM: %s", gsasl_strerror(result));
            x->c->wire.broken = true; /* in the middle of an exchange */
            break;
        }
        proved |= result == GSASL_OK;
        ok = step(x, first ? "AUTH SCRAM-SHA-256" : "", slice_make(out, len), true);
        gsasl_free(out);
        first = false;
        if (ok && x->reply->code != 334)
            break;
        ok = ok && challenge(x, &in);
        if (!ok && x->reply->code == 334) {
            fail_code(x->why, FAIL_TEMP, FAIL_AUTH, "4.7.8", "AUTH: SCRAM: the challenge is not base64");
            x->c->wire.broken = true;
        }
    }
    buf_finish(&in);
    if (ok && x->reply->code == 235 && !proved)
        return fail_code(x->why, FAIL_TEMP, FAIL_AUTH, "4.7.8", "AUTH: SCRAM: the other side did not prove that it knows the password");
    return ok && judge(x);
}

static bool sign_in_scram(struct exchange *x, const struct smtp_peer *peer)
{
    Gsasl *library = NULL;
    Gsasl_session *session = NULL;
    bool ok = gsasl_init(&library) == GSASL_OK && gsasl_client_start(library, "SCRAM-SHA-256", &session) == GSASL_OK &&
              gsasl_property_set(session, GSASL_AUTHID, peer->user) == GSASL_OK &&
              gsasl_property_set(session, GSASL_PASSWORD, peer->password) == GSASL_OK;

    if (!ok)
        fail_set(x->why, FAIL_TEMP, FAIL_OTHER, "AUTH: SCRAM is not to be had");
    ok = ok && scram_steps(x, session);
    if (session != NULL)
        gsasl_finish(session);
    if (library != NULL)
        gsasl_done(library);
    return ok;
}

bool client_auth(struct smtp_client *c, const struct smtp_peer *peer, struct smtp_reply_text *reply, struct arena *a, struct fail *why)
{
    struct exchange x = {.c = c, .reply = reply, .a = a, .why = why};

    *reply = (struct smtp_reply_text){0};
    if (c->wire.tls == NULL && !peer->auth_in_clear)
        return fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.11", "AUTH: no TLS, and a password is not sent in the clear");
    if (peer->password == NULL)
        return fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.8", "AUTH: no password is set");
    if (c->sasl & SASL_SCRAM_SHA_256)
        return sign_in_scram(&x, peer);
    if (c->sasl & SASL_PLAIN)
        return sign_in_plain(&x, peer);
    if (c->sasl & SASL_LOGIN)
        return sign_in_login(&x, peer);
    return fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.4", "AUTH: the other side offers none of SCRAM-SHA-256, PLAIN, LOGIN");
}
