/*
 * main/config_sending.h - the part of the config that is about mail which goes on from here: relay_networks, relay_domains,
 * xclient_from, srs_domain, aliases_file.
 *
 * Layer: main, private to config.c.
 */
#ifndef MAIN_CONFIG_SENDING_H
#define MAIN_CONFIG_SENDING_H

#include <confuse.h>

#include "main/config.h"

/* The options, for the list of config.c; a macro, because libconfuse's are initializers. */
#define CONFIG_SENDING_OPTIONS                                                                                  \
    CFG_STR_LIST("relay_networks", NULL, CFGF_NODEFAULT), CFG_STR_LIST("relay_domains", NULL, CFGF_NODEFAULT), \
        CFG_STR_LIST("xclient_from", NULL, CFGF_NODEFAULT), CFG_STR("srs_domain", "", CFGF_NONE),              \
        CFG_STR("aliases_file", "", CFGF_NONE)

/* Checks of libconfuse's kind: domain names, ".example.org" in a list; none (empty) for a single one. */
int config_sending_validate_domains(cfg_t *cfg, cfg_opt_t *opt);
int config_sending_validate_domain(cfg_t *cfg, cfg_opt_t *opt);
void config_sending_take(struct config *c, cfg_t *cfg);

#endif
