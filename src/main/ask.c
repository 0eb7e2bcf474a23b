/*
 * main/ask.c - questions to the person at the terminal.
 *
 * Layer: main.
 */
#include "main/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/fail.h"

enum { LINE_MAX_BYTES = 4096 };

bool ask_possible(void)
{
    return isatty(STDIN_FILENO) == 1;
}

/* Without stdio's buffer, in which a password would stay behind. */
static bool read_line(struct buf *out, struct fail *why)
{
    buf_reset(out);
    for (;;) {
        char    c;
        ssize_t n = read(STDIN_FILENO, &c, 1);

        if (n < 1 && out->len == 0)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "standard input ended");
        if (n < 1 || c == '\n')
            break;
        buf_add_char(out, c);
    }
    if (out->len > 0 && out->data[out->len - 1] == '\r')
        out->len--;
    return !out->failed || fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "the line is too long");
}

bool ask_line(const char *question, const char *otherwise, struct buf *out, struct fail *why)
{
    if (otherwise != NULL)
        printf("%s [%s]: ", question, otherwise);
    else
        printf("%s: ", question);
    (void)fflush(stdout);
    if (!read_line(out, why))
        return false;
    if (out->len == 0 && otherwise != NULL)
        buf_add(out, slice_of(otherwise));
    return true;
}

static bool read_hidden(const char *question, struct buf *out, struct fail *why)
{
    struct termios shown, hidden;
    bool           is_terminal = tcgetattr(STDIN_FILENO, &shown) == 0;

    printf("%s: ", question);
    (void)fflush(stdout);
    if (is_terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool ok = read_line(out, why);
    if (is_terminal)
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    printf("\n");
    return ok;
}

bool ask_password(const char *whose, bool from_stdin, struct buf *out, struct fail *why)
{
    char       question[300];
    struct buf again;

    if (from_stdin)
        return read_line(out, why);
    if (!ask_possible())
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "no terminal to ask for a password (use --password-stdin)");
    (void)snprintf(question, sizeof question, "Password for %s", whose);
    if (!read_hidden(question, out, why))
        return false;
    buf_init(&again, LINE_MAX_BYTES);
    bool ok = read_hidden("The same again", &again, why);
    if (ok && !slice_eq(buf_slice(&again), buf_slice(out)))
        ok = fail_set(why, FAIL_PERM, FAIL_INVALID, "the two passwords differ");
    if (again.data != NULL)
        explicit_bzero(again.data, again.cap);
    buf_finish(&again);
    return ok;
}

bool ask_password_once(const char *whose, bool from_stdin, struct buf *out, struct fail *why)
{
    char question[300];

    if (from_stdin)
        return read_line(out, why);
    if (!ask_possible())
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "no terminal to ask for a password (use --password-stdin)");
    (void)snprintf(question, sizeof question, "Password of %s", whose);
    return read_hidden(question, out, why);
}

bool ask_yes(const char *question)
{
    struct buf answer;

    buf_init(&answer, LINE_MAX_BYTES);
    bool yes = ask_possible() && ask_line(question, "no", &answer, NULL) &&
               slice_eq_nocase(buf_slice(&answer), SLICE("yes"));
    buf_finish(&answer);
    return yes;
}
