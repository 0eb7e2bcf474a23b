/*
 * auth/oauth_ask.c - see auth/oauth_ask.h.
 *
 * Layer: auth.
 */
#include "auth/oauth_ask.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/io.h"
#include "base/log.h"
#include "net/fetch.h"

enum { SECRET_MAX = 4096, ANSWER_MAX = 64 * 1024, FETCH_SECONDS = 10, HTTP_OK = 200 };

/* application/x-www-form-urlencoded */
static void add_encoded(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '*')
            buf_add_char(out, c);
        else
            buf_addf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

void oauth_basic(struct slice client, struct slice secret, struct buf *out)
{
    struct buf both;

    buf_init(&both, 6 * (size_t)SECRET_MAX);
    add_encoded(&both, client);
    buf_add_char(&both, ':');
    add_encoded(&both, secret);
    buf_add(out, SLICE("Basic "));
    base64_encode(out, buf_slice(&both));
    buf_wipe(&both);
}

/* The story is for the log: it may name what is none of the client's business. */
static enum jwt_verdict not_now(struct fail *why)
{
    log_event(LOG_ERROR, "auth.introspection_failed", LOG_FAIL(why));
    (void)fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.0", "the issuer of tokens cannot be asked at present; try again later");
    return JWT_NOT_NOW;
}

static bool add_authorization(const struct oauth_ask_setting *s, struct buf *out, struct fail *why)
{
    struct buf secret;

    buf_init(&secret, SECRET_MAX);
    bool ok = io_read_file(s->secret, &secret, why);
    if (ok)
        oauth_basic(slice_of(s->client), slice_trim(buf_slice(&secret)), out);
    buf_wipe(&secret);
    return ok;
}

enum jwt_verdict oauth_ask(struct fetch_client *fetch, const struct oauth_ask_setting *s, const struct jwt_rules *rules,
                           struct slice token, struct arena *a, struct slice *account, struct fail *why)
{
    struct buf authorization, body, out;
    struct fetch_answer answer;
    enum jwt_verdict said;

    if (fetch == NULL) {
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "nobody can be asked");
        return not_now(why);
    }
    buf_init(&authorization, 8 * (size_t)SECRET_MAX);
    buf_init(&body, 64 * 1024);
    buf_init(&out, ANSWER_MAX);
    buf_add(&body, SLICE("token="));
    add_encoded(&body, token);
    buf_add(&body, SLICE("&token_type_hint=access_token"));
    bool ok = add_authorization(s, &authorization, why);
    const struct fetch_request q = {
        .url = slice_of(s->url),
        .content_type = SLICE("application/x-www-form-urlencoded"),
        .body = buf_slice(&body),
        .authorization = buf_slice(&authorization),
        .fields = SLICE("Accept: application/json\r\n"),
        .post = true,
        .most = ANSWER_MAX,
        .seconds = FETCH_SECONDS,
    };
    ok = ok && fetch_ask(fetch, &q, a, &answer, &out, why);
    if (ok && answer.status != HTTP_OK) /* 401: it does not know us (section 2.3) */
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "it answered with status %u", answer.status);
    said = ok ? jwt_introspected(rules, buf_slice(&out), clock_now(), a, account, why) : not_now(why);
    if (ok && said == JWT_NOT_NOW)
        (void)not_now(why);
    buf_wipe(&authorization);
    buf_wipe(&body);
    buf_wipe(&out);
    return said;
}
