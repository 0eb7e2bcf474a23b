/*
 * main/config_files.c - the files that a config names.
 *
 * Layer: main.
 */
#include "main/config_files.h"

#include "main/config.h"

bool config_each_file(const struct config *c, bool (*each)(void *ctx, const char *path), void *ctx)
{
    const char *const plain[] = {
        c->certificate,       c->key,          c->sending.aliases_file,  c->fetch_authorities,
        c->tls_authorities,   c->auth.oauth_jwks, c->auth.oauth_secret_file,
    };
    bool ok = true;

    for (size_t i = 0; ok && i < ARRAY_LEN(plain); i++)
        ok = each(ctx, plain[i]);
    for (size_t i = 0; ok && i < c->admission.access_count; i++)
        ok = each(ctx, c->admission.access[i].file);
    for (size_t i = 0; ok && c->route_passwords != NULL && i < c->routes.count; i++)
        ok = each(ctx, c->route_passwords[i]);
    return ok;
}
