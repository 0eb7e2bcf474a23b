/*
 * main/config_quota.h - the part of the config that is about quotas: quota_warnings.
 *
 * Layer: main, private to config.c.
 */
#ifndef MAIN_CONFIG_QUOTA_H
#define MAIN_CONFIG_QUOTA_H

#include <confuse.h>

#include "main/config.h"

#define CONFIG_QUOTA_OPTIONS CFG_INT_LIST("quota_warnings", NULL, CFGF_NODEFAULT)

/* A check of libconfuse's kind: percentages from 1 to 100, each once, not too many. */
int config_quota_validate_warnings(cfg_t *cfg, cfg_opt_t *opt);
void config_quota_take(struct config *c, cfg_t *cfg);

#endif
