/*
 * main/setup.h - what init and demo have in common: a config file and first accounts.
 *
 * Layer: main.
 */
#ifndef MAIN_SETUP_H
#define MAIN_SETUP_H

#include "main/config_draft.h"
#include "main/reach.h"

/* Writes the config of `d` to `path` and loads it. */
bool setup_config(const struct config_draft *d, const char *path, struct config **out, struct fail *why);
/* A self-signed certificate for `hostname`, unless both files are there already. */
bool setup_certificate(const char *hostname, const char *certificate, const char *key, struct fail *why);

/* Both make sure: what is there already is fine.  The account's password is set in any case. */
bool setup_domain(struct reach *r, const char *domain, struct fail *why);
bool setup_account(struct reach *r, const char *address, struct slice password, struct fail *why);

#endif
