/*
 * auth/scram.c - see auth/scram.h.
 *
 * Layer: auth.  libgsasl asks for what it needs by a callback; its properties are
 * text, so keys and binding go to it in base64.
 */
#include "auth/scram.h"

#include <gsasl.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/scoped.h"

enum { MESSAGE_MAX = 4096 }; /* of the client; the longest sensible one has a name of 512 bytes */

struct scram_library {
    Gsasl *gsasl;
};

struct scram {
    Gsasl_session *session;
    struct scram_source source;
    struct scram_keys keys;
    bool plus;
    bool no_keys;
    bool began;       /* the first message was good */
    struct buf binding; /* base64; empty: none */
    char *message;    /* libgsasl's latest */
};

static int set_base64(Gsasl_session *session, Gsasl_property property, const void *bytes, size_t size)
{
    struct buf text;

    buf_init(&text, 256);
    base64_encode(&text, slice_make(bytes, size));
    int status = gsasl_property_set_raw(session, property, text.data, text.len);
    buf_finish(&text);
    return status;
}

static int give_keys(struct scram *s)
{
    const char *user = gsasl_property_fast(s->session, GSASL_AUTHID);
    char iterations[16];

    if (user == NULL || !s->source.keys(s->source.ctx, slice_of(user), &s->keys)) {
        s->no_keys = true;
        return GSASL_NO_CALLBACK;
    }
    (void)snprintf(iterations, sizeof iterations, "%u", s->keys.iterations);
    int status = gsasl_property_set(s->session, GSASL_SCRAM_ITER, iterations);
    if (status == GSASL_OK)
        status = set_base64(s->session, GSASL_SCRAM_SALT, s->keys.salt, sizeof s->keys.salt);
    if (status == GSASL_OK)
        status = set_base64(s->session, GSASL_SCRAM_STOREDKEY, s->keys.stored_key, sizeof s->keys.stored_key);
    if (status == GSASL_OK)
        status = set_base64(s->session, GSASL_SCRAM_SERVERKEY, s->keys.server_key, sizeof s->keys.server_key);
    return status;
}

static int callback(Gsasl *lib, Gsasl_session *session, Gsasl_property property)
{
    struct scram *s = gsasl_session_hook_get(session);

    (void)lib;
    if (property == GSASL_SCRAM_ITER)
        return give_keys(s);
    if (property == GSASL_CB_TLS_EXPORTER && s->binding.len > 0)
        return gsasl_property_set_raw(session, property, s->binding.data, s->binding.len);
    return GSASL_NO_CALLBACK;
}

struct scram_library *scram_library_create(struct fail *why)
{
    struct scram_library *l = xcalloc(1, sizeof *l);
    int status = gsasl_init(&l->gsasl);

    if (status != GSASL_OK) {
        (void)fail_set(why, FAIL_PERM, FAIL_OTHER, "libgsasl: %s", gsasl_strerror(status));
        free(l);
        return NULL;
    }
    gsasl_callback_set(l->gsasl, callback);
    return l;
}

void scram_library_destroy(struct scram_library **l)
{
    if (*l == NULL)
        return;
    gsasl_done((*l)->gsasl);
    free(*l);
    *l = NULL;
}

struct scram *scram_create(const struct scram_library *l, bool plus, struct slice binding,
                           struct scram_source source)
{
    struct scram *s = xcalloc(1, sizeof *s);

    s->source = source;
    s->plus = plus;
    buf_init(&s->binding, 256);
    base64_encode(&s->binding, binding);
    if (gsasl_server_start(l->gsasl, plus ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256", &s->session) != GSASL_OK) {
        scram_destroy(&s);
        return NULL;
    }
    gsasl_session_hook_set(s->session, s);
    return s;
}

void scram_destroy(struct scram **sp)
{
    struct scram *s = *sp;

    if (s == NULL)
        return;
    if (s->session != NULL)
        gsasl_finish(s->session);
    gsasl_free(s->message);
    buf_finish(&s->binding);
    sodium_memzero(&s->keys, sizeof s->keys);
    free(s);
    *sp = NULL;
}

/*
 * gs2-cbind-flag = ("p=" cb-name) / "n" / "y"                             RFC 5802 section 7
 *
 * "p" is for -PLUS, and for -PLUS there is nothing else; "y" says "I would have bound, but you do
 * not offer it", which is not so where there is a binding.
 */
static bool flag_is_right(const struct scram *s, char flag)
{
    switch (flag) {
    case 'p': return s->plus;
    case 'y': return !s->plus && s->binding.len == 0;
    case 'n': return !s->plus;
    default: return false;
    }
}

enum scram_outcome scram_step(struct scram *s, struct slice message, struct slice *out)
{
    size_t length = 0;

    *out = SLICE("");
    if (message.len == 0 || message.len > MESSAGE_MAX || slice_find_char(message, '\0') < message.len ||
        (!s->began && !flag_is_right(s, message.ptr[0])))
        return SCRAM_MALFORMED;
    gsasl_free(s->message);
    s->message = NULL;
    int status = gsasl_step(s->session, message.ptr, message.len, &s->message, &length);
    *out = slice_make(s->message, length);
    if (s->no_keys)
        return SCRAM_UNAVAILABLE;
    if (status == GSASL_NEEDS_MORE && !s->began) {
        s->began = true;
        return SCRAM_CHALLENGE;
    }
    if (status == GSASL_OK && s->began)
        return SCRAM_RIGHT;
    return s->began && status == GSASL_AUTHENTICATION_ERROR ? SCRAM_WRONG : SCRAM_MALFORMED;
}

static struct slice property(const struct scram *s, Gsasl_property which)
{
    const char *text = gsasl_property_fast(s->session, which);

    return text != NULL ? slice_of(text) : SLICE("");
}

struct slice scram_user(const struct scram *s)
{
    return property(s, GSASL_AUTHID);
}

struct slice scram_authzid(const struct scram *s)
{
    return property(s, GSASL_AUTHZID);
}

const struct scram_keys *scram_used(const struct scram *s)
{
    return &s->keys;
}
