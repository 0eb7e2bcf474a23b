/*
 * main/config_fetch.h - the part of the config that is about requests to the outside: fetch_helpers, fetch_authorities; and about
 * TLS with other mail servers: tls_authorities, mta_sts, tls_reports, tls_report_contact.
 *
 * Layer: main, private to config.c.
 */
#ifndef MAIN_CONFIG_FETCH_H
#define MAIN_CONFIG_FETCH_H

#include <confuse.h>

#include "main/config.h"

/* The options, for the list of config.c; a macro, because libconfuse's are initializers. */
#define CONFIG_FETCH_OPTIONS                                                                              \
    CFG_STR_LIST("fetch_helpers", NULL, CFGF_NODEFAULT), CFG_STR("fetch_authorities", "", CFGF_NONE),     \
        CFG_BOOL("mta_sts", cfg_true, CFGF_NONE), CFG_BOOL("tls_reports", cfg_true, CFGF_NONE),           \
        CFG_STR("tls_report_contact", "", CFGF_NONE), CFG_STR("tls_authorities", "", CFGF_NONE)

/* A check of libconfuse's kind, of lists and of single values. */
int config_fetch_validate_helpers(cfg_t *cfg, cfg_opt_t *opt);
int config_fetch_validate_contact(cfg_t *cfg, cfg_opt_t *opt);
void config_fetch_take(struct config *c, cfg_t *cfg);
/* What other options name, once they are read; FAIL_INVALID if one is no URL. */
bool config_fetch_take_others(struct config *c, struct fail *why);

#endif
