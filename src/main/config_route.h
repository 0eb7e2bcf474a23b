/*
 * main/config_route.h - the part of the config that says which mail goes which way: its route sections.
 *
 * Layer: main, for config.c and the queue role.
 */
#ifndef MAIN_CONFIG_ROUTE_H
#define MAIN_CONFIG_ROUTE_H

#include <confuse.h>

#include "main/config.h"

/* The options of a section, for config.c; a macro, because libconfuse's are initializers. */
#define CONFIG_ROUTE_OPTIONS                                                                                                     \
    CFG_STR_LIST("recipient_domain", NULL, CFGF_NODEFAULT), CFG_STR_LIST("sender_domain", NULL, CFGF_NODEFAULT),                 \
        CFG_STR_LIST("account", NULL, CFGF_NODEFAULT), CFG_STR_LIST("hosts", NULL, CFGF_NODEFAULT),                             \
        CFG_STR("protocol", "smtp", CFGF_NONE), CFG_STR("tls", "policy", CFGF_NONE), CFG_BOOL("wrapped", cfg_false, CFGF_NONE), \
        CFG_STR("user", "", CFGF_NONE), CFG_STR("password_file", "", CFGF_NONE), CFG_STR_LIST("source", NULL, CFGF_NODEFAULT),  \
        CFG_STR("helo", "", CFGF_NONE), CFG_BOOL("xclient", cfg_false, CFGF_NONE), CFG_STR("defer", "", CFGF_NONE),             \
        CFG_STR("reject", "", CFGF_NONE), CFG_END()

/* A check of libconfuse's kind, of a whole section. */
int config_route_validate(cfg_t *cfg, cfg_opt_t *opt);
void config_route_take(struct config *c, cfg_t *cfg);

/*
 * For the role that sends: reads the password files.  Mail that would need one that cannot be read waits, with that reason.
 * The table lives as long as the config.
 */
const struct route_table *config_routes(struct config *c);
/* Where this server takes in mail: an MX that leads there is a loop.  Lives as long as the config. */
const struct relay_own *config_own(struct config *c, size_t *count);

#endif
