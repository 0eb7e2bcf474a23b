/*
 * main/serve.h - the supervisor: binds the ports, keeps the roles running.
 *
 * Layer: main.  It reads nothing that comes from outside.
 */
#ifndef MAIN_SERVE_H
#define MAIN_SERVE_H

#include "base/fail.h"

struct config;

/*
 * Runs the server in the foreground until SIGTERM or SIGINT.  `ready`, which may be
 * NULL, is called once when every role serves.  True after a clean stop.
 */
bool serve_run(struct config *c, void (*ready)(void *ctx), void *ctx, struct fail *why);

#endif
