/*
 * main/config_fetch.c - see main/config_fetch.h.
 *
 * Layer: main.
 */
#include "main/config_fetch.h"

#include "base/address.h"
#include "fetch/where.h"

int config_fetch_validate_helpers(cfg_t *cfg, cfg_opt_t *opt)
{
    for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
        struct fetch_helper helper;
        struct fail         why;
        if (!fetch_helper_parse(cfg_opt_getnstr(opt, i), &helper, &why)) {
            cfg_error(cfg, "%s: \"%s\": %s", cfg_opt_name(opt), cfg_opt_getnstr(opt, i), why.text);
            return -1;
        }
    }
    return 0;
}

/* It goes into header fields as it is. */
int config_fetch_validate_contact(cfg_t *cfg, cfg_opt_t *opt)
{
    struct slice       contact = slice_of(cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1));
    struct address_key key;
    bool               ok = contact.len == 0 || address_key_parse(contact, &key);

    for (size_t i = 0; i < contact.len; i++)
        ok = ok && contact.ptr[i] > ' ' && contact.ptr[i] <= '~';
    if (ok)
        return 0;
    cfg_error(cfg, "%s: \"%s\" is no address", cfg_opt_name(opt), contact.ptr);
    return -1;
}

void config_fetch_take(struct config *c, cfg_t *cfg)
{
    c->tls_authorities = arena_cstr(&c->arena, slice_of(cfg_getstr(cfg, "tls_authorities")));
    c->mta_sts = cfg_getbool(cfg, "mta_sts") != cfg_false;
    c->tls_reports = cfg_getbool(cfg, "tls_reports") != cfg_false;
    c->tls_report_contact = arena_cstr(&c->arena, slice_of(cfg_getstr(cfg, "tls_report_contact")));
    c->fetch_authorities = arena_cstr(&c->arena, slice_of(cfg_getstr(cfg, "fetch_authorities")));
    c->helper_count = 0;
    for (unsigned i = 0; i < cfg_size(cfg, "fetch_helpers"); i++)
        config_add_helper(c, arena_cstr(&c->arena, slice_of(cfg_getnstr(cfg, "fetch_helpers", i))));
}

/* A token's issuer may well be in our own network. */
bool config_fetch_take_others(struct config *c, struct fail *why)
{
    bool              discovers = strcmp(c->auth.oauth_jwks, "discover") == 0;
    const char *const urls[] = {discovers ? c->auth.oauth_issuer : c->auth.oauth_jwks, c->auth.oauth_introspection};

    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct fetch_helper helper;
        if (!slice_starts(slice_of(urls[i]), SLICE("https://")))
            continue;
        if (!fetch_helper_parse(urls[i], &helper, why))
            return fail_at(why, "%s: auth: %s", c->path, urls[i]);
        config_add_helper(c, urls[i]);
    }
    return true;
}

void config_add_helper(struct config *c, const char *helper)
{
    const char **longer = arena_new_array(&c->arena, const char *, c->helper_count + 2); /* ends with NULL */

    if (longer == NULL)
        return; /* the arena remembers */
    for (size_t i = 0; i < c->helper_count; i++)
        longer[i] = c->helpers[i];
    longer[c->helper_count++] = helper;
    c->helpers = longer;
}

const char *const *config_helpers(const struct config *c)
{
    return c->helpers;
}
