/*
 * main/role_resolver.c - the role that parses DNS answers, and holds nothing.
 *
 * Layer: main.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "main/config.h"
#include "main/role.h"

struct resolver_work {
    const struct config *config;
};

static void resolver_stop(void *work)
{
    free(work);
}

static void *resolver_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct resolver_work *w = xcalloc(1, sizeof *w);

    (void)start;
    (void)why;
    w->config = c;
    return w;
}

static void resolver_note(void *work, const struct role_note *note)
{
    (void)work;
    if (note->fd >= 0)
        (void)close(note->fd);
}

const struct role_work role_resolver = {.start = resolver_start, .note = resolver_note, .stop = resolver_stop};
