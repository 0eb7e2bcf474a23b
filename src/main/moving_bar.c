/*
 * main/moving_bar.c - how far it is: a bar on a terminal, else a line now and then.
 *
 * Layer: main.  On standard error, so that what is asked for stays alone on standard output.
 */
#include <unistd.h>

#include "base/clock.h"
#include "main/moving_internal.h"

enum { TERMINAL_MS = 200, FILE_MS = 30000, WIDTH = 24 };

void bar_begin(struct bar *b, const char *verb)
{
    *b = (struct bar){.terminal = isatty(STDERR_FILENO) == 1, .verb = verb};
    b->begun_ms = b->drawn_ms = clock_mono_ms();
}

void bar_clear(struct bar *b)
{
    if (b->shown)
        fprintf(stderr, "\r\033[K");
    b->shown = false;
}

static void print_left(const struct bar *b, double done, double seconds)
{
    double left = done > 0 ? seconds * (1 - done) / done : 0;

    if (left >= 3600)
        fprintf(stderr, ", %.0f h %.0f min left", (double)(uint64_t)(left / 3600), (double)((uint64_t)left % 3600) / 60);
    else if (left >= 60)
        fprintf(stderr, ", %.0f min left", left / 60);
    else
        fprintf(stderr, ", %.0f s left", left);
    (void)b;
}

static void draw(struct bar *b, int64_t now)
{
    double seconds = (double)(now - b->begun_ms) / 1000, done = 0;

    if (b->all_bytes > 0)
        done = (double)b->bytes / (double)b->all_bytes;
    else if (b->all_messages > 0)
        done = (double)b->messages / (double)b->all_messages;
    done = done > 1 ? 1 : done;
    if (b->terminal && done > 0) {
        fprintf(stderr, "\r[");
        for (int i = 0; i < WIDTH; i++)
            (void)fputc(i < (int)(done * WIDTH) ? '#' : '.', stderr);
        fprintf(stderr, "] ");
    } else if (b->terminal) {
        fprintf(stderr, "\r");
    }
    fprintf(stderr, "%llu", (unsigned long long)b->messages);
    if (b->all_messages > 0)
        fprintf(stderr, " of %llu", (unsigned long long)b->all_messages);
    fprintf(stderr, " messages, %.1f MB, %.0f/s", (double)b->bytes / 1e6,
            seconds > 0 ? (double)b->messages / seconds : 0);
    if (done > 0)
        print_left(b, done, seconds);
    fprintf(stderr, b->terminal ? "\033[K" : "\n");
    b->shown = b->terminal;
    b->drawn_ms = now;
}

void bar_step(struct bar *b)
{
    int64_t now = clock_mono_ms();

    if (now - b->drawn_ms >= (b->terminal ? TERMINAL_MS : FILE_MS))
        draw(b, now);
}
