/*
 * auth/limits.c - what is right unless the config says otherwise; reasons in auth/server.h.
 *
 * Layer: auth.
 */
#include <sodium.h>

#include "auth/server.h"

void auth_limits_default(struct auth_limits *l)
{
    *l = (struct auth_limits){
        .hash_passes = 2,
        .hash_memory = 19 * 1024 * 1024,
        .hash_waiting = 48,
        .scram_iterations = 100000,
        .mechanisms = "SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN",
        .oauth_issuer = "",
        .oauth_audience = "",
        .oauth_jwks = "",
        .oauth_introspection = "",
        .oauth_client = "",
        .oauth_secret_file = "",
        .oauth_claim = "email",
        .oauth_scope = "",
        .oauth_skew_seconds = 60,
        .password_bytes = 1024,
        .app_passwords = 50,
        .cached_logins = 16384,
        .cached_seconds = 3600,
        .delay_ms = 1000,
        .delay_ms_max = 15000,
        .peer_failures = 50,
        .login_failures = 100,
        .failure_seconds = 600,
        .throttled = 65536,
        .requests = 20000,
        .signatures = 5000,
        .exchanges = 10000,
        .exchange_seconds = 120,
        .save_seconds = 60,
    };
}

void auth_limits_cheap(struct auth_limits *l)
{
    auth_limits_default(l);
    l->hash_passes = crypto_pwhash_argon2id_OPSLIMIT_MIN;
    l->hash_memory = crypto_pwhash_argon2id_MEMLIMIT_MIN;
    l->scram_iterations = 4096; /* RFC 7677 section 4: clients refuse less */
    l->delay_ms = 10;
    l->delay_ms_max = 100;
}
