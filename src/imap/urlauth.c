/*
 * imap/urlauth.c - GENURLAUTH, RESETKEY and URLFETCH: URLs that let others read a message.
 *
 * Layer: imap.  RFC 4467, RFC 5092, RFC 5524 (URLAUTH=BINARY), RFC 5550 section
 * 5.7.1 (URL-PARTIAL); off unless imap.urlauth says otherwise.  The one mechanism
 * is INTERNAL: a version byte and HMAC-SHA-256 of the URL under its mailbox's key.
 *
 * Only mailboxes of the account itself can be named, not what others share with
 * it.  "submit+" URLs can be made, but no client here counts as a submission
 * server: they fetch nothing.
 */
#include "imap/session.h"

#include <sodium.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "imap/url_fetch.h"
#include "store/urlauth.h"

enum {
    TOKEN_VERSION = 1,
    TOKEN_BYTES = 1 + crypto_auth_hmacsha256_BYTES,
    URLS_MAX = 500, /* in one command */
};

static bool is_on(struct imap_session *s)
{
    if (!s->service->limits.urlauth)
        imap_bad(s, "URLAUTH is switched off on this server");
    return s->service->limits.urlauth != 0;
}

static void make_token(const unsigned char key[URLAUTH_KEY_BYTES], struct slice rump,
                       unsigned char out[TOKEN_BYTES])
{
    _Static_assert(URLAUTH_KEY_BYTES == crypto_auth_hmacsha256_KEYBYTES, "the mechanism's key");
    out[0] = TOKEN_VERSION;
    (void)crypto_auth_hmacsha256(out + 1, (const unsigned char *)rump.ptr, rump.len, key);
}

/* The id of the account that goes by this name, 0: there is none that could log in. */
static uint64_t account_of(struct imap_session *s, struct slice user)
{
    struct directory_account who;

    if (user.len == 0 || !directory_login(s->service->login->directory, user, &s->arena, &who, NULL) ||
        who.disabled)
        return 0;
    return who.id;
}

static bool is_here(const struct imap_session *s, const struct imap_url *url)
{
    return slice_eq_nocase(url->host, slice_of(s->service->hostname));
}

/* "user+" and a name, "submit+" and a name */
static bool is_for(struct slice access, struct slice prefix)
{
    return access.len > prefix.len && slice_starts_nocase(access, prefix);
}

static bool find_mailbox(struct imap_session *s, struct account *a, const struct imap_url *url,
                         struct mailbox_info *out)
{
    return mailbox_find(a, url->mailbox, &s->arena, out, NULL) && !out->no_select &&
           (url->uidvalidity == 0 || url->uidvalidity == out->uidvalidity);
}

/* ---- GENURLAUTH ---- */

/* May this session authorize that?  NULL, or why not. */
static const char *refuse_rump(struct imap_session *s, const struct imap_url *url)
{
    bool known = slice_eq_nocase(url->access, SLICE("anonymous")) ||
                 slice_eq_nocase(url->access, SLICE("authuser")) || is_for(url->access, SLICE("user+")) ||
                 is_for(url->access, SLICE("submit+"));

    if (!is_here(s, url))
        return "The URL names another server";
    if (account_of(s, url->user) != account_id(s->account))
        return "The URL names another user";
    return known ? NULL : "The access is anonymous, authuser, user+NAME or submit+NAME";
}

/* ":internal:" and the token, behind the rump; false: answered. */
static bool authorize(struct imap_session *s, struct slice text, struct slice *out)
{
    unsigned char key[URLAUTH_KEY_BYTES], token[TOKEN_BYTES];
    struct mailbox_info box;
    struct imap_url url;
    struct fail why;
    bool there;

    if (!imap_url_read(&s->arena, &s->service->limits, text, &url) || url.host.len == 0 || !url.has_auth ||
        url.mechanism.len > 0) {
        imap_bad(s, "Expected imap://user@server/mailbox/;UID=n...;URLAUTH=access");
        return false;
    }
    const char *refused = refuse_rump(s, &url);
    if (refused != NULL || !find_mailbox(s, s->account, &url, &box)) {
        imap_no(s, "%s", refused != NULL ? refused : "There is no such mailbox");
        return false;
    }
    if (!urlauth_key(s->account, box.id, true, key, &there, &why)) {
        imap_no_because(s, &why);
        return false;
    }
    make_token(key, url.rump, token);
    sodium_memzero(key, sizeof key);
    struct buf full;
    buf_init(&full, text.len + 256);
    buf_add(&full, url.rump);
    buf_add(&full, SLICE(":internal:"));
    hex_encode(&full, slice_make((const char *)token, sizeof token));
    *out = arena_keep(&s->arena, buf_slice(&full));
    buf_finish(&full);
    return true;
}

/* genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)       RFC 4467 section 9 */
void imap_genurlauth(struct imap_session *s, struct imap_reader *args)
{
    struct slice *urls = arena_new_array(&s->arena, struct slice, URLS_MAX);
    size_t count = 0;

    if (!is_on(s))
        return;
    if (urls == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    do {
        imap_expect_space(args);
        if (count == URLS_MAX)
            imap_fail(args, "fewer URLs");
        struct slice url = imap_read_astring(args);
        imap_expect_space(args);
        if (!imap_accept_word(args, "INTERNAL"))
            imap_fail(args, "the mechanism INTERNAL");
        if (!args->failed)
            urls[count++] = url;
    } while (imap_peek(args) == ' ');
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!authorize(s, urls[i], &urls[i]))
            return;
    struct buf *out = conn_out(s->conn);
    buf_add(out, SLICE("* GENURLAUTH"));
    for (size_t i = 0; i < count; i++) {
        buf_add_char(out, ' ');
        imap_write_string(out, urls[i]);
    }
    buf_add(out, SLICE("\r\n"));
    imap_ok(s, "Authorized");
}

/* ---- RESETKEY ---- */

/* resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]           RFC 4467 section 9 */
void imap_resetkey(struct imap_session *s, struct imap_reader *args)
{
    struct mailbox_info box = {0};
    struct slice name = {0};
    struct fail why;

    if (!is_on(s))
        return;
    bool all = imap_at_end(args);
    if (!all) {
        imap_expect_space(args);
        name = imap_read_mailbox(args);
        while (imap_accept(args, ' '))
            if (!imap_accept_word(args, "INTERNAL"))
                imap_fail(args, "the mechanism INTERNAL");
    }
    imap_expect_end(args);
    if (args->failed)
        imap_bad_args(s, args);
    else if ((!all && !mailbox_find(s->account, name, &s->arena, &box, &why)) ||
             !urlauth_reset(s->account, box.id, &why))
        imap_no_because(s, &why);
    else if (all)
        imap_ok(s, "All URLs authorized so far are void");
    else
        imap_ok(s, "[URLMECH INTERNAL] The mailbox's URLs authorized so far are void");
}

/* ---- URLFETCH ---- */

enum { WANT_BODY = 1, WANT_BINARY = 2, WANT_STRUCTURE = 4 };

struct url_request {
    struct url_request *next;
    struct slice url;
    unsigned wants; /* 0: not extended, BODY's bytes without a word around them */
};

/* May this session use it?  RFC 4467 section 3. */
static bool has_access(struct imap_session *s, struct slice access)
{
    if (is_for(access, SLICE("user+")))
        return account_of(s, slice_from(access, 5)) == account_id(s->account);
    return slice_eq_nocase(access, SLICE("anonymous")) || slice_eq_nocase(access, SLICE("authuser"));
}

static bool is_genuine(struct account *a, uint64_t mailbox, const struct imap_url *url)
{
    unsigned char key[URLAUTH_KEY_BYTES], token[TOKEN_BYTES];
    struct buf given;
    bool there;

    if (!slice_eq_nocase(url->mechanism, SLICE("INTERNAL")) ||
        !urlauth_key(a, mailbox, false, key, &there, NULL) || !there)
        return false;
    make_token(key, url->rump, token);
    sodium_memzero(key, sizeof key);
    buf_init(&given, url->token.len);
    bool same = hex_decode(&given, url->token) && given.len == sizeof token &&
                sodium_memcmp(given.data, token, sizeof token) == 0;
    buf_finish(&given);
    return same;
}

/* false: it is invalid, for whatever reason.  *undecoded: nobody knows its encoding; `out` is as it is then. */
static bool open_url(struct imap_session *s, const struct url_request *r, struct section *out,
                     struct slice *structure, bool *undecoded)
{
    enum fetch_kind kind = r->wants & WANT_BINARY ? ITEM_BINARY : ITEM_SECTION;
    struct account *owner = s->account;
    struct mailbox_info box;
    struct imap_url url;

    if (!imap_url_read(&s->arena, &s->service->limits, r->url, &url) || !url.has_auth || !is_here(s, &url) ||
        url.expires <= clock_now() || !has_access(s, url.access))
        return false;
    uint64_t id = account_of(s, url.user);
    if (id == 0 || (id != account_id(s->account) && !imap_other(s, id, &owner, NULL)))
        return false;
    if (!find_mailbox(s, owner, &url, &box) || !is_genuine(owner, box.id, &url))
        return false;
    if (kind == ITEM_BINARY && url.section.part != PART_ALL)
        kind = ITEM_SECTION; /* headers and texts are not encoded */
    struct fail why = {0};
    if (imap_url_open_in(s, owner, &box, &url, kind, out, structure, &why))
        return true;
    *undecoded = kind == ITEM_BINARY && why.reason == FAIL_INVALID;
    return *undecoded && imap_url_open_in(s, owner, &box, &url, ITEM_SECTION, out, structure, &why);
}

/* nstring / literal8 */
static void write_bytes(struct imap_session *s, const struct section *found)
{
    struct buf *out = conn_out(s->conn);

    if (found->length == 0) {
        buf_add(out, SLICE("\"\""));
        return;
    }
    buf_add(out, found->has_nul ? SLICE("~{") : SLICE("{"));
    buf_add_u64(out, found->length);
    buf_add(out, SLICE("}\r\n"));
    if (found->source.read != NULL)
        conn_send_source(s->conn, found->source, found->offset, found->length);
    else
        buf_add(out, found->text);
}

/*
 * urlfetch-data = "*" SP "URLFETCH" 1*(SP url-full SP nstring)
 * urldata-ext   = url-full 1*(SP "(" url-metadata-el ")")      RFC 5524 section 5
 */
static void answer_url(struct imap_session *s, const struct url_request *r)
{
    struct slice structure = {0};
    struct section found = {0};
    struct buf *out = conn_out(s->conn);
    bool undecoded = false, ok = open_url(s, r, &found, &structure, &undecoded);

    buf_add(out, SLICE("* URLFETCH "));
    imap_write_string(out, r->url);
    if (!ok) {
        buf_add(out, SLICE(" NIL"));
    } else if (r->wants == 0) {
        buf_add_char(out, ' ');
        write_bytes(s, &found);
    } else {
        if (r->wants & WANT_STRUCTURE) {
            buf_add(out, SLICE(" (BODYPARTSTRUCTURE "));
            buf_add(out, structure.len > 0 ? structure : SLICE("(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)"));
            buf_add_char(out, ')');
        }
        bool wants_bytes = (r->wants & (WANT_BODY | WANT_BINARY)) != 0;
        if (undecoded)
            buf_add(out, SLICE(" (BINARY NIL)"));
        if (wants_bytes && !undecoded) {
            buf_add(out, r->wants & WANT_BINARY ? SLICE(" (BINARY ") : SLICE(" (BODY "));
            write_bytes(s, &found);
            buf_add_char(conn_out(s->conn), ')');
        } else if (found.source.read != NULL) {
            found.source.release(found.source.ctx);
        }
    }
    buf_add(conn_out(s->conn), SLICE("\r\n"));
}

static enum turn urlfetch_step(struct imap_session *s)
{
    while (s->step_data != NULL) {
        struct url_request *r = s->step_data;
        answer_url(s, r);
        s->step_data = r->next;
        if (conn_is_full(s->conn))
            return TURN_MORE;
        if (conn_turn_over(s->conn))
            return TURN_AGAIN;
    }
    imap_ok(s, "Fetched");
    return TURN_PARK;
}

/* url-fetch-param = "BODY" / "BINARY" / "BODYPARTSTRUCTURE" */
static void read_params(struct imap_reader *r, struct url_request *request)
{
    while (imap_accept(r, ' ')) {
        unsigned want = imap_accept_word(r, "BODYPARTSTRUCTURE") ? WANT_STRUCTURE
                        : imap_accept_word(r, "BODY")            ? WANT_BODY
                        : imap_accept_word(r, "BINARY")          ? WANT_BINARY
                                                                 : 0;
        unsigned bytes = WANT_BODY | WANT_BINARY;
        if (want == 0 || (request->wants & want) || ((want & bytes) && (request->wants & bytes)))
            imap_fail(r, "BODYPARTSTRUCTURE, and one of BODY and BINARY");
        request->wants |= want;
        if (r->failed)
            return;
    }
}

/*
 * urlfetch      = "URLFETCH" 1*(SP url-fetch-arg)
 * url-fetch-arg = url-full / "(" url-full *(SP url-fetch-param) ")"    RFC 5524 section 5
 */
void imap_urlfetch(struct imap_session *s, struct imap_reader *args)
{
    struct url_request *first = NULL, **tail = &first;
    size_t count = 0;

    if (!is_on(s))
        return;
    do {
        struct url_request *r = arena_new(&s->arena, struct url_request);
        imap_expect_space(args);
        if (r == NULL || count++ == URLS_MAX) {
            imap_fail(args, "fewer URLs");
            break;
        }
        bool extended = imap_accept(args, '(');
        r->url = imap_read_astring(args);
        if (extended) {
            read_params(args, r);
            imap_expect(args, ')');
        }
        *tail = r;
        tail = &r->next;
    } while (!args->failed && imap_peek(args) == ' ');
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    s->step_data = first;
    s->step = urlfetch_step;
}
