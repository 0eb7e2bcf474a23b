/*
 * main/backup_show.c - how far a backup, its check or a restore is.
 *
 * Layer: main.
 */
#include "main/backup_show.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { SHOW_EVERY_MS = 200 };

static void show(struct backup_show *s)
{
    int64_t ms = clock_mono_ms();

    if (s->cli->json || (s->shown_ms != 0 && ms - s->shown_ms < SHOW_EVERY_MS) || isatty(STDERR_FILENO) != 1)
        return;
    s->shown_ms = ms;
    if (s->all > 0)
        fprintf(stderr, "\r\033[K%s: %llu of %llu MB (%llu%%)", s->what, (unsigned long long)(s->done >> 20),
                (unsigned long long)(s->all >> 20), (unsigned long long)(s->done >= s->all ? 100 : s->done * 100 / s->all));
    else
        fprintf(stderr, "\r\033[K%s: %llu MB", s->what, (unsigned long long)(s->done >> 20));
}

static void moved(void *ctx, uint64_t bytes)
{
    struct backup_show *s = ctx;

    s->done += bytes;
    show(s);
}

void backup_show_init(struct backup_show *s, const struct cli *cli)
{
    *s = (struct backup_show){.cli = cli, .what = "beginning", .moved = {.moved = moved, .ctx = s}};
}

void backup_show_begin(struct backup_show *s, const char *what, uint64_t all)
{
    s->what = what;
    s->done = 0;
    s->all = all;
}

void backup_show_clear(struct backup_show *s)
{
    if (s->shown_ms != 0)
        fprintf(stderr, "\r\033[K");
    s->shown_ms = 0;
}
