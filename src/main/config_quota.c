/*
 * main/config_quota.c - see main/config_quota.h.
 *
 * Layer: main.
 */
#include "main/config_quota.h"

int config_quota_validate_warnings(cfg_t *cfg, cfg_opt_t *opt)
{
    unsigned count = cfg_opt_size(opt);

    if (count > CONFIG_WARNINGS_MAX) {
        cfg_error(cfg, "%s: at most %d percentages", cfg_opt_name(opt), CONFIG_WARNINGS_MAX);
        return -1;
    }
    for (unsigned i = 0; i < count; i++) {
        long percent = cfg_opt_getnint(opt, i);
        if (percent < 1 || percent > 100) {
            cfg_error(cfg, "%s: %ld is no percentage from 1 to 100", cfg_opt_name(opt), percent);
            return -1;
        }
    }
    return 0;
}

void config_quota_take(struct config *c, cfg_t *cfg)
{
    c->quota_warning_count = cfg_size(cfg, "quota_warnings");
    for (unsigned i = 0; i < c->quota_warning_count; i++)
        c->quota_warnings[i] = (unsigned)cfg_getnint(cfg, "quota_warnings", i);
}
