/*
 * main/role_fetch.c - the role that speaks with web servers, and holds nothing.
 *
 * Layer: main.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "main/config.h"
#include "main/role.h"

struct fetch_work {
    const struct config *config;
};

static void fetch_stop(void *work)
{
    free(work);
}

static void *fetch_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct fetch_work *w = xcalloc(1, sizeof *w);

    (void)start;
    (void)why;
    w->config = c;
    return w;
}

static void fetch_note(void *work, const struct role_note *note)
{
    (void)work;
    if (note->fd >= 0)
        (void)close(note->fd);
}

const struct role_work role_fetch = {.start = fetch_start, .note = fetch_note, .stop = fetch_stop};
