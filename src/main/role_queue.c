/*
 * main/role_queue.c - the role that holds the outbound spool and speaks with other servers.
 *
 * Layer: main.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "main/config.h"
#include "main/role.h"

struct queue_work {
    const struct config *config;
};

static void queue_stop(void *work)
{
    free(work);
}

static void *queue_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct queue_work *w = xcalloc(1, sizeof *w);

    (void)start;
    (void)why;
    w->config = c;
    return w;
}

static void queue_note(void *work, const struct role_note *note)
{
    (void)work;
    if (note->fd >= 0)
        (void)close(note->fd);
}

const struct role_work role_queue = {.start = queue_start, .note = queue_note, .stop = queue_stop};
