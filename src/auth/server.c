/*
 * auth/server.c - answers `mail` and the administrator.
 *
 * Layer: auth.  See auth/server.h and, for the messages, auth/protocol.h.
 */
#include "auth/server.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "auth/exchange.h"
#include "auth/oauth.h"
#include "auth/offer.h"
#include "auth/protocol.h"
#include "auth/rate.h"
#include "auth/tls_keys.h"
#include "auth/verify.h"
#include "base/log.h"
#include "base/scoped.h"

struct auth_server {
    struct auth_limits limits;
    struct credentials *credentials;
    char *copy_path; /* of the database, for a backup */
    struct verifier *verifier;
    struct exchanges *exchanges;
    struct scram_library *scram;
    struct oauth *oauth; /* NULL: no issuer */
    struct tls_keys *tls; /* NULL: no certificate */
    _Atomic(struct ipc_server *) mail; /* who hears of changes */
    pthread_mutex_t lock;              /* of what follows */
    struct rate rate;                  /* of steps of logins */
    pthread_cond_t wake;
    pthread_t upkeep;
    bool upkeep_runs, stopping;
};

/* ---- upkeep ---- */

static void upkeep_once(struct auth_server *s)
{
    struct fail why;

    exchanges_sweep(s->exchanges);
    if (!credentials_save_uses(s->credentials, &why))
        log_event(LOG_WARNING, "auth.uses_not_saved", LOG_FAIL(&why));
}

static void *upkeep_run(void *server)
{
    struct auth_server *s = server;

    (void)pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += s->limits.save_seconds;
        int status = pthread_cond_timedwait(&s->wake, &s->lock, &until);
        if (status == ETIMEDOUT && !s->stopping) {
            (void)pthread_mutex_unlock(&s->lock);
            upkeep_once(s);
            (void)pthread_mutex_lock(&s->lock);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

static char *copy_path(const char *path)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_addf(&text, "%s.backup", path);
    char *copy = xslicedup(buf_slice(&text));
    buf_finish(&text);
    return copy;
}

bool auth_server_open(const char *path, const struct auth_limits *limits, struct auth_server **out,
                      struct fail *why)
{
    SCOPED(auth_server_close) struct auth_server *s = xcalloc(1, sizeof *s);
    pthread_condattr_t monotonic;

    s->limits = *limits;
    s->copy_path = copy_path(path);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    s->exchanges = exchanges_create(limits->exchanges, limits->exchange_seconds);
    s->oauth = oauth_create(limits);
    s->scram = scram_library_create(why);
    if (s->scram == NULL || !credentials_open(path, &s->credentials, why) ||
        !verifier_create(s->credentials, limits, &s->verifier, why))
        return false;

    int status = pthread_create(&s->upkeep, NULL, upkeep_run, s);
    if (status != 0)
        return fail_errno(why, status, "auth: upkeep thread");
    s->upkeep_runs = true;
    *out = s;
    s = NULL;
    return true;
}

void auth_server_use(struct auth_server *s, struct fetch_client *fetch)
{
    if (s->oauth != NULL)
        oauth_use(s->oauth, fetch);
}

void auth_server_close(struct auth_server **sp)
{
    struct auth_server *s = *sp;

    if (s == NULL)
        return;
    if (s->upkeep_runs) {
        (void)pthread_mutex_lock(&s->lock);
        s->stopping = true;
        (void)pthread_cond_signal(&s->wake);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->upkeep, NULL);
    }
    exchanges_destroy(&s->exchanges);
    scram_library_destroy(&s->scram);
    oauth_destroy(&s->oauth);
    verifier_destroy(&s->verifier);
    credentials_close(&s->credentials);
    free(s->copy_path);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
    *sp = NULL;
}

/* ---- answers to `mail` ---- */

static void answer_failed(struct ipc_message *answer, struct slice login, unsigned delay_ms,
                          const struct fail *why)
{
    ipc_add_u64(answer, AUTH_FAILED);
    ipc_add_bytes(answer, login);
    ipc_add_u64(answer, delay_ms);
    ipc_add_bool(answer, why->kind == FAIL_TEMP);
    ipc_add_u64(answer, why->reason);
    ipc_add_bytes(answer, slice_of(why->code));
    ipc_add_bytes(answer, slice_of(fail_said(why)));
    if (why->internal)
        log_event(LOG_ERROR, "auth.trouble", LOG_FAIL(why));
}

static void answer_refused(struct ipc_message *answer, enum fail_kind kind, enum fail_reason reason,
                           const char *code, const char *text)
{
    struct fail why;

    (void)fail_code(&why, kind, reason, code, "%s", text);
    answer_failed(answer, SLICE(""), 0, &why);
}

static void answer_ok(struct ipc_message *answer, uint64_t account, const struct address_key *login)
{
    ipc_add_u64(answer, AUTH_OK);
    ipc_add_u64(answer, account);
    ipc_add_bytes(answer, key_text(login));
}

/* What is not VERDICT_RIGHT. */
static void answer_refusal(struct ipc_message *answer, enum verdict verdict, struct slice user,
                           struct verified_login *login)
{
    if (verdict == VERDICT_WRONG)
        (void)fail_code(&login->why, FAIL_PERM, FAIL_AUTH, "5.7.8", "wrong name or password");
    answer_failed(answer, login->login.len > 0 ? key_text(&login->login) : user, login->delay_ms, &login->why);
}

static void answer_password(struct auth_server *s, const struct auth_context *about, struct slice user,
                            struct slice password, struct ipc_message *answer)
{
    struct verified_login login;
    enum verdict verdict = verifier_check(s->verifier, about, user, password, &login);

    if (verdict == VERDICT_RIGHT)
        answer_ok(answer, login.account, &login.login);
    else
        answer_refusal(answer, verdict, user, &login);
}

/* The exchange goes back into the table while it waits for a response. */
static void answer_challenge(struct auth_server *s, struct exchange **x, struct slice challenge,
                             struct ipc_message *answer)
{
    struct buf kept; /* it may lie in the exchange, which another thread may step as soon as it is in the table */
    uint64_t id = (*x)->id;

    buf_init(&kept, IPC_MESSAGE_MAX);
    buf_add(&kept, challenge);
    exchanges_put(s->exchanges, x);
    ipc_add_u64(answer, AUTH_CONTINUE);
    ipc_add_u64(answer, id);
    ipc_add_bytes(answer, buf_slice(&kept));
    buf_finish(&kept);
}

/* Who has proved to know the password is told so (RFC 5802 section 5) and signed in when that is acknowledged. */
static void answer_proof(struct auth_server *s, struct exchange **xp, const struct sasl_result *r,
                         struct ipc_message *answer)
{
    struct exchange *x = *xp;
    struct verified_login login;
    enum verdict verdict = verifier_proof(s->verifier, &x->about, r->user, r->keys, r->right, &login);

    if (verdict != VERDICT_RIGHT) {
        answer_refusal(answer, verdict, r->user, &login);
        return;
    }
    x->account = login.account;
    x->login = login.login;
    answer_challenge(s, xp, r->challenge, answer);
}

/*
 * A token that is not taken is answered twice: what is wrong with it as a challenge in JSON, and, when the
 * client has acknowledged that, the refusal (RFC 7628 section 3.2.3).
 */
static void refuse_token(struct auth_server *s, struct exchange **xp, enum jwt_verdict said,
                         struct verified_login *login, struct ipc_message *answer)
{
    struct exchange *x = *xp;
    struct buf error;

    x->refused = true;
    x->delay_ms = login->delay_ms;
    x->why = login->why;
    x->login = login->login;
    buf_init(&error, 4096);
    oauth_error(s->oauth, said, sasl_is(&x->sasl, "OAUTHBEARER"), &error);
    answer_challenge(s, xp, buf_slice(&error), answer);
    buf_finish(&error);
}

static void answer_token(struct auth_server *s, struct exchange **xp, const struct sasl_result *r,
                         struct ipc_message *answer)
{
    struct exchange *x = *xp;
    struct verified_login login;
    struct slice named = SLICE("");
    struct fail why = {0};
    enum jwt_verdict said = oauth_check(s->oauth, r->token, &x->arena, &named, &why);

    if (said == JWT_NOT_NOW) {
        answer_failed(answer, SLICE(""), 0, &why);
        return;
    }
    if (said == JWT_RIGHT && r->authzid.len > 0 && !verifier_same_login(&x->about, r->authzid, named)) {
        (void)fail_code(&why, FAIL_PERM, FAIL_AUTH, "5.7.8", "the token is another account's");
        said = JWT_INVALID;
    }
    enum verdict verdict = verifier_token(s->verifier, &x->about, said == JWT_RIGHT ? named : r->authzid, r->token,
                                          said == JWT_RIGHT, &login);
    if (verdict == VERDICT_RIGHT) {
        answer_ok(answer, login.account, &login.login);
        return;
    }
    if (verdict == VERDICT_NOT_NOW) {
        answer_refusal(answer, verdict, r->authzid, &login);
        return;
    }
    if (said == JWT_RIGHT)
        (void)fail_code(&why, FAIL_PERM, FAIL_AUTH, "5.7.8", "there is no such account");
    login.why = why;
    refuse_token(s, xp, said, &login, answer);
}

static void answer_malformed(struct ipc_message *answer)
{
    answer_refused(answer, FAIL_PERM, FAIL_INVALID, "5.5.2", "malformed response");
}

/* May it act for whom it wants to (RFC 4422 section 3.4.1)?  Everybody for oneself only. */
static bool acts_for_itself(const struct exchange *x, const struct sasl_result *r)
{
    return r->authzid.len == 0 || verifier_same_login(&x->about, r->authzid, r->user);
}

static void answer_outcome(struct auth_server *s, struct exchange **x, enum sasl_outcome outcome,
                           const struct sasl_result *r, struct ipc_message *answer)
{
    if (outcome != SASL_MALFORMED && outcome != SASL_TOKEN && !acts_for_itself(*x, r)) {
        answer_refused(answer, FAIL_PERM, FAIL_NO_PERMISSION, "5.7.8", "nobody may act for another account");
        return;
    }
    switch (outcome) {
    case SASL_CHALLENGE: answer_challenge(s, x, r->challenge, answer); return;
    case SASL_CREDENTIALS: answer_password(s, &(*x)->about, r->user, r->password, answer); return;
    case SASL_PROOF: answer_proof(s, x, r, answer); return;
    case SASL_TOKEN: answer_token(s, x, r, answer); return;
    case SASL_MALFORMED: answer_malformed(answer); return;
    case SASL_UNAVAILABLE:
        answer_refused(answer, FAIL_TEMP, FAIL_OTHER, "4.7.0", "nobody can sign in at present; try again later");
        return;
    }
}

static void step(struct auth_server *s, struct exchange *given, bool has_response, struct slice response,
                 struct ipc_message *answer)
{
    SCOPED(exchange_destroy) struct exchange *x = given;
    struct sasl_result result;

    if (x->refused) {
        answer_failed(answer, key_text(&x->login), x->delay_ms, &x->why);
    } else if (x->account == 0) {
        enum sasl_outcome outcome = sasl_step(&x->sasl, has_response, response, &result);
        answer_outcome(s, &x, outcome, &result, answer);
    } else if (response.len == 0) {
        answer_ok(answer, x->account, &x->login);
    } else {
        answer_malformed(answer);
    }
}

static struct auth_context read_context(struct ipc_reader *r)
{
    struct auth_context about = {.service = ipc_get_line(r, AUTH_SERVICE_MAX)};

    about.peer = ipc_get_line(r, AUTH_PEER_MAX);
    about.session = ipc_get_line(r, AUTH_SESSION_MAX);
    about.domain = ipc_get_line(r, AUTH_DOMAIN_MAX);
    about.binding = ipc_get_bytes(r);
    about.tls = ipc_get_bool(r);
    if (about.binding.len > AUTH_BINDING_MAX)
        r->failed = true;
    return about;
}

static bool malformed(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed request");
}

static bool keys_for(void *exchange, struct slice user, struct scram_keys *out)
{
    struct exchange *x = exchange;

    return verifier_keys(x->verifier, &x->about, user, out);
}

static bool begin(struct auth_server *s, struct exchange *x, struct slice mechanism)
{
    bool binds = x->about.binding.len > 0 && offer_has(&s->limits, SLICE("SCRAM-SHA-256-PLUS"), true);
    struct sasl_host host = {
        .scram = s->scram,
        .keys = {.keys = keys_for, .ctx = x},
        .binding = binds ? x->about.binding : SLICE(""),
    };

    x->verifier = s->verifier;
    return offer_has(&s->limits, mechanism, binds) && sasl_begin(&x->sasl, mechanism, &host);
}

static bool handle_start(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer,
                         struct fail *why)
{
    struct auth_context about = read_context(r);
    struct slice mechanism = ipc_get_bytes(r);
    bool has_initial = ipc_get_bool(r);
    struct slice initial = ipc_get_bytes(r);

    if (!ipc_end(r))
        return malformed(why);

    struct exchange *x = exchange_create(&about);
    if (begin(s, x, mechanism)) {
        step(s, x, has_initial, initial, answer);
    } else {
        answer_refused(answer, FAIL_PERM, FAIL_INVALID, "5.5.4", "there is no such mechanism here");
        exchange_destroy(&x);
    }
    return true;
}

/* IMAP's LOGIN and POP3's USER and PASS are PLAIN by another name. */
static bool handle_password(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer,
                            struct fail *why)
{
    struct auth_context about = read_context(r);
    struct slice user = ipc_get_bytes(r), password = ipc_get_bytes(r);

    if (!ipc_end(r))
        return malformed(why);
    if (offer_has(&s->limits, SLICE("PLAIN"), false))
        answer_password(s, &about, user, password, answer);
    else
        answer_refused(answer, FAIL_PERM, FAIL_INVALID, "5.7.4", "passwords are not taken here");
    return true;
}

static bool handle_respond(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer,
                           struct fail *why)
{
    uint64_t id = ipc_get_u64(r);
    struct slice response = ipc_get_bytes(r);

    if (!ipc_end(r))
        return malformed(why);
    struct exchange *x = exchanges_take(s->exchanges, id);
    if (x != NULL)
        step(s, x, true, response, answer);
    else
        answer_refused(answer, FAIL_TEMP, FAIL_OTHER, "4.7.0", "the login took too long; begin again");
    return true;
}

static bool handle_abandon(struct auth_server *s, struct ipc_reader *r, struct fail *why)
{
    uint64_t id = ipc_get_u64(r);

    if (!ipc_end(r))
        return malformed(why);
    struct exchange *x = exchanges_take(s->exchanges, id);
    exchange_destroy(&x);
    return true;
}

static bool handle_sign(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    uint64_t kind = ipc_get_u64(r), scheme = ipc_get_u64(r);
    struct tls_signing what = {0};
    struct buf signature;

    what.key = ipc_get_bytes(r);
    what.input = ipc_get_bytes(r);
    if (!ipc_end(r) || kind > TLS_SIGN_KEY_EXCHANGE || scheme > UINT16_MAX || what.input.len > TLS_EXCHANGE_MAX)
        return malformed(why);
    what.kind = (enum tls_signing_kind)kind; /* one that there is none of is refused below */
    what.scheme = (uint16_t)scheme;
    if (s->tls == NULL)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no certificate in the config");
    buf_init(&signature, TLS_SIGNATURE_MAX);
    bool ok = tls_keys_sign(s->tls, &what, &signature, why);
    if (ok)
        ipc_add_bytes(answer, buf_slice(&signature));
    buf_finish(&signature);
    return ok;
}

void auth_server_sign_with(struct auth_server *s, struct tls_keys *keys)
{
    s->tls = keys;
}

static bool handle_login(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    (void)pthread_mutex_lock(&s->lock);
    bool may = rate_take(&s->rate, s->limits.requests);
    (void)pthread_mutex_unlock(&s->lock);
    if (!may) {
        answer_refused(answer, FAIL_TEMP, FAIL_LIMIT, "4.7.0", "too many logins at once; try again later");
        return true;
    }
    switch (r->type) {
    case AUTH_MSG_START: return handle_start(s, r, answer, why);
    case AUTH_MSG_PASSWORD: return handle_password(s, r, answer, why);
    default: return handle_respond(s, r, answer, why);
    }
}

static bool handle_mail(void *server, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    switch (r->type) {
    case AUTH_MSG_START:
    case AUTH_MSG_PASSWORD:
    case AUTH_MSG_RESPOND: return handle_login(server, r, answer, why);
    case AUTH_MSG_ABANDON: return handle_abandon(server, r, why);
    case AUTH_MSG_SIGN: return handle_sign(server, r, answer, why);
    default: return malformed(why);
    }
}

struct ipc_service auth_server_service(struct auth_server *s)
{
    return (struct ipc_service){.name = "auth", .handle = handle_mail, .ctx = s};
}

/* ---- the administrator's wishes ---- */

void auth_server_tell(struct auth_server *s, struct ipc_server *mail)
{
    s->mail = mail;
}

static void tell_changed(struct auth_server *s, uint64_t account)
{
    struct ipc_server *mail = s->mail;
    struct ipc_message notice;

    if (mail == NULL)
        return;
    ipc_message_init(&notice, AUTH_MSG_CHANGED);
    ipc_add_u64(&notice, account);
    ipc_server_notify(mail, &notice);
    ipc_message_finish(&notice);
}

bool auth_server_set_password(struct auth_server *s, uint64_t account, struct slice login,
                              struct slice password, struct fail *why)
{
    if (!verifier_set_password(s->verifier, account, login, password, why))
        return false;
    log_event(LOG_INFO, "auth.password_set", LOG_U64("account", account), LOG_TEXT("login", login));
    tell_changed(s, account);
    return true;
}

static bool handle_set_password(struct auth_server *s, struct ipc_reader *r, struct fail *why)
{
    uint64_t account = ipc_get_u64(r);
    struct slice login = ipc_get_bytes(r), password = ipc_get_bytes(r);

    return ipc_end(r) ? auth_server_set_password(s, account, login, password, why) : malformed(why);
}

static bool handle_set_hash(struct auth_server *s, struct ipc_reader *r, struct fail *why)
{
    uint64_t account = ipc_get_u64(r);
    struct slice login = ipc_get_bytes(r), hash = ipc_get_bytes(r);

    if (!ipc_end(r))
        return malformed(why);
    if (!verifier_set_hash(s->verifier, account, login, hash, why))
        return false;
    log_event(LOG_INFO, "auth.hash_set", LOG_U64("account", account), LOG_TEXT("login", login));
    tell_changed(s, account);
    return true;
}

static bool handle_remove(struct auth_server *s, struct ipc_reader *r, struct fail *why)
{
    uint64_t account = ipc_get_u64(r);

    if (!ipc_end(r))
        return malformed(why);
    if (!verifier_remove(s->verifier, account, why))
        return false;
    log_event(LOG_INFO, "auth.password_removed", LOG_U64("account", account));
    tell_changed(s, account);
    return true;
}

/* What is remembered of uses is written first: the copy is as good as the original. */
static bool handle_copy(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    if (!ipc_end(r))
        return malformed(why);
    if (!credentials_save_uses(s->credentials, why) || !credentials_copy(s->credentials, s->copy_path, why))
        return false;
    ipc_add_bytes(answer, slice_of(s->copy_path));
    return true;
}

static bool handle_list(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer,
                        struct fail *why)
{
    struct auth_credential page[CREDENTIALS_PAGE];
    struct arena a;
    size_t count = 0;
    uint64_t after = ipc_get_u64(r);

    if (!ipc_end(r))
        return malformed(why);
    arena_init(&a, IPC_MESSAGE_MAX);
    bool ok = credentials_list(s->credentials, after, &a, page, &count, why);
    for (size_t i = 0; i < count; i++) {
        ipc_add_u64(answer, page[i].account);
        ipc_add_bytes(answer, page[i].login);
        ipc_add_i64(answer, page[i].changed);
        ipc_add_i64(answer, page[i].last_used);
        ipc_add_bytes(answer, page[i].last_service);
        ipc_add_bytes(answer, page[i].last_peer);
    }
    arena_finish(&a);
    return ok;
}

static bool app_add(struct auth_server *s, uint64_t account, struct slice name, struct slice services,
                    struct ipc_message *answer, struct fail *why)
{
    struct app_text password;
    struct app_hash hash;

    app_make(&password);
    (void)app_hash(slice_of(password.text), &hash);
    bool ok = app_name_is_fit(name, why) && app_services_are_fit(services, why) &&
              credentials_app_add(s->credentials, account, name, services, &hash, s->limits.app_passwords, why);
    if (ok) {
        ipc_add_bytes(answer, slice_of(password.text));
        log_event(LOG_INFO, "auth.app_password_added", LOG_U64("account", account), LOG_TEXT("name", name),
                  LOG_TEXT("services", services));
    }
    sodium_memzero(&password, sizeof password);
    return ok;
}

static bool handle_app_add(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer,
                           struct fail *why)
{
    uint64_t account = ipc_get_u64(r);
    struct slice name = ipc_get_bytes(r), services = ipc_get_bytes(r);

    return ipc_end(r) ? app_add(s, account, name, services, answer, why) : malformed(why);
}

static bool handle_app_remove(struct auth_server *s, struct ipc_reader *r, struct fail *why)
{
    uint64_t account = ipc_get_u64(r);
    struct slice name = ipc_get_bytes(r);

    if (!ipc_end(r))
        return malformed(why);
    if (!credentials_app_remove(s->credentials, account, name, why))
        return false;
    log_event(LOG_INFO, "auth.app_password_removed", LOG_U64("account", account), LOG_TEXT("name", name));
    tell_changed(s, account);
    return true;
}

static bool handle_app_list(struct auth_server *s, struct ipc_reader *r, struct ipc_message *answer,
                            struct fail *why)
{
    enum { MOST = 200 }; /* as many as the config can allow: they fit into a message */
    uint64_t account = ipc_get_u64(r);
    struct arena a;
    size_t count = 0;

    if (!ipc_end(r))
        return malformed(why);
    arena_init(&a, 4 * IPC_MESSAGE_MAX);
    struct auth_app_password *list = arena_new_array(&a, struct auth_app_password, MOST);
    bool ok = list != NULL ? credentials_app_list(s->credentials, account, &a, list, MOST, &count, why)
                           : fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no memory for a list");
    for (size_t i = 0; ok && i < count; i++) {
        ipc_add_bytes(answer, list[i].name);
        ipc_add_bytes(answer, list[i].services);
        ipc_add_i64(answer, list[i].created);
        ipc_add_i64(answer, list[i].last_used);
        ipc_add_bytes(answer, list[i].last_service);
        ipc_add_bytes(answer, list[i].last_peer);
    }
    arena_finish(&a);
    return ok;
}

static bool handle_control(void *server, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    switch (r->type) {
    case AUTH_MSG_SET_PASSWORD: return handle_set_password(server, r, why);
    case AUTH_MSG_SET_HASH: return handle_set_hash(server, r, why);
    case AUTH_MSG_REMOVE: return handle_remove(server, r, why);
    case AUTH_MSG_LIST: return handle_list(server, r, answer, why);
    case AUTH_MSG_APP_ADD: return handle_app_add(server, r, answer, why);
    case AUTH_MSG_APP_REMOVE: return handle_app_remove(server, r, why);
    case AUTH_MSG_APP_LIST: return handle_app_list(server, r, answer, why);
    case AUTH_MSG_COPY: return handle_copy(server, r, answer, why);
    default: return malformed(why);
    }
}

struct ipc_service auth_server_control(struct auth_server *s)
{
    return (struct ipc_service){.name = "auth control", .handle = handle_control, .ctx = s};
}
