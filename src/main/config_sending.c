/*
 * main/config_sending.c - see main/config_sending.h.
 *
 * Layer: main.
 */
#include "main/config_sending.h"

#include "base/address.h"

static bool is_domain(struct slice name)
{
    struct domain_key key;

    return domain_key_parse(name, &key) && key.text[0] != '[';
}

int config_sending_validate_domains(cfg_t *cfg, cfg_opt_t *opt)
{
    for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
        struct slice name = slice_of(cfg_opt_getnstr(opt, i));
        if (is_domain(name.len > 0 && name.ptr[0] == '.' ? slice_from(name, 1) : name))
            continue;
        cfg_error(cfg, "%s: \"%s\" is not a domain name", cfg_opt_name(opt), cfg_opt_getnstr(opt, i));
        return -1;
    }
    return 0;
}

int config_sending_validate_domain(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *name = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

    if (name == NULL || name[0] == '\0' || is_domain(slice_of(name)))
        return 0;
    cfg_error(cfg, "%s: \"%s\" is not a domain name", cfg_opt_name(opt), name);
    return -1;
}

/* As A-labels, in which domains compare. */
static const char *domain_text_of(struct config *c, struct slice name)
{
    const bool below = name.len > 0 && name.ptr[0] == '.';
    struct domain_key key;

    if (!domain_key_parse(below ? slice_from(name, 1) : name, &key))
        return "";
    struct slice text = arena_printf(&c->arena, "%s" PRIslice, below ? "." : "", SLICE_ARG(domain_text(&key)));
    return arena_cstr(&c->arena, text);
}

static const char *const *take_domains(struct config *c, cfg_t *cfg, const char *name, size_t *count)
{
    unsigned     n = cfg_size(cfg, name);
    const char **domains = arena_new_array(&c->arena, const char *, n);

    for (unsigned i = 0; domains != NULL && i < n; i++)
        domains[i] = domain_text_of(c, slice_of(cfg_getnstr(cfg, name, i)));
    *count = domains != NULL ? n : 0;
    return domains;
}

static const struct net_block *take_networks(struct config *c, cfg_t *cfg, const char *name, size_t *count)
{
    unsigned          n = cfg_size(cfg, name);
    struct net_block *blocks = arena_new_array(&c->arena, struct net_block, n);

    for (unsigned i = 0; blocks != NULL && i < n; i++)
        (void)net_block_parse(slice_of(cfg_getnstr(cfg, name, i)), &blocks[i], NULL); /* checked before */
    *count = blocks != NULL ? n : 0;
    return blocks;
}

void config_sending_take(struct config *c, cfg_t *cfg)
{
    struct config_sending *s = &c->sending;

    s->relay_networks = take_networks(c, cfg, "relay_networks", &s->relay_network_count);
    s->relay_domains = take_domains(c, cfg, "relay_domains", &s->relay_domain_count);
    s->xclient_from = take_networks(c, cfg, "xclient_from", &s->xclient_from_count);
    s->srs_domain = domain_text_of(c, slice_of(cfg_getstr(cfg, "srs_domain")));
    s->aliases_file = arena_cstr(&c->arena, slice_of(cfg_getstr(cfg, "aliases_file")));
}
