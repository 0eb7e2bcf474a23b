/*
 * main/takeover_config.h - the settings of a Postfix and a Dovecot as lines for posthorn.conf.
 *
 * Layer: main.
 */
#ifndef MAIN_TAKEOVER_CONFIG_H
#define MAIN_TAKEOVER_CONFIG_H

#include "transfer/dovecot.h"

struct takeover_config {
    const char *root; /* "/" or the folder of a copy */
    const struct postfix *postfix;
    const struct dovecot *dovecot;
    struct arena *arena;
    struct box_notes notes; /* of what cannot be said in a config */
};

/*
 * Writes what can be appended to the config of `posthorn init`; the password of a smart host stands in PATH.NAME.password,
 * for its owner only.  FAIL_EXISTS or what open(2) says if one of the files is there: then nothing is written.
 */
bool takeover_config_write(const struct takeover_config *t, const char *path, struct fail *why);

#endif
