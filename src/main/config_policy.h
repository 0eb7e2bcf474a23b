/*
 * main/config_policy.h - who may come in: access, dnslist, rspamd and milter sections of the config.
 *
 * Layer: main, private to config.c.
 */
#ifndef MAIN_CONFIG_POLICY_H
#define MAIN_CONFIG_POLICY_H

#include <confuse.h>

#include "main/config.h"

/* The sections, for the list of config.c. */
enum { CONFIG_POLICY_SECTIONS = 4 };
void config_policy_sections(cfg_opt_t out[CONFIG_POLICY_SECTIONS]);
void config_policy_set_checks(cfg_t *cfg);
void config_policy_take(struct config *c, cfg_t *cfg);

#endif
