/*
 * bench/load-mixed.c - many sessions that do a bit of everything.
 *
 * Of a session's commands 30% fetch, 20% store, 10% append, 10% search, 10% expunge,
 * 10% select or ask for the status, 10% do nothing; where `relogin` is set it logs
 * in anew after so many.  A thread a session: what is measured is the server, which
 * answers one command of each session at a time.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

struct mixed {
    const struct options *o;
    pthread_t thread;
    unsigned number;
    uint64_t random;
    struct imap *c;
    unsigned exists; /* messages in the selected mailbox, as the server has told */
    uint64_t commands, refused;
    struct buf message;
};

static unsigned draw(struct mixed *m, unsigned below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (unsigned)(m->random % below);
}

/* "* n EXISTS" and "* n EXPUNGE" are all that numbers depend on. */
static void take_news(struct mixed *m, const char *line)
{
    char *end;

    if (strncmp(line, "* ", 2) != 0)
        return;
    unsigned long n = strtoul(line + 2, &end, 10);
    if (strcmp(end, " EXISTS") == 0)
        m->exists = (unsigned)n;
    else if (strcmp(end, " EXPUNGE") == 0 && m->exists > 0)
        m->exists--;
}

/* Reads to the tagged answer.  NO is an answer too: another session may have been there before. */
static void take_answer(struct mixed *m)
{
    char tag[16];
    size_t n = (size_t)snprintf(tag, sizeof tag, "t%u ", m->c->tag);
    const char *line;

    while (strncmp(line = imap_line(m->c), tag, n) != 0)
        take_news(m, line);
    m->commands++;
    if (strncmp(line + n, "NO", 2) == 0)
        m->refused++;
    else if (strncmp(line + n, "OK", 2) != 0)
        die("mixed: %s", line);
}

static void run(struct mixed *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void run(struct mixed *m, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    imap_send(m->c, "t%u %s\r\n", ++m->c->tag, text);
    take_answer(m);
}

static void append(struct mixed *m)
{
    buf_reset(&m->message);
    message_write(&m->message, m->o, draw(m, 1000000), 0);
    imap_send(m->c, "t%u APPEND INBOX {%zu}\r\n", ++m->c->tag, m->message.len);
    const char *line;
    while ((line = imap_line(m->c))[0] != '+')
        take_news(m, line);
    imap_write(m->c, m->message.data, m->message.len);
    imap_write(m->c, "\r\n", 2);
    take_answer(m);
}

static void fetch(struct mixed *m)
{
    static const char *const items[] = {
        "(UID FLAGS)",          "(UID FLAGS ENVELOPE)",          "(FLAGS INTERNALDATE RFC822.SIZE BODYSTRUCTURE)",
        "(UID BODY.PEEK[])",    "(UID FLAGS BODY.PEEK[HEADER.FIELDS (From To Subject Date Message-ID)])",
        "(UID BODY.PEEK[TEXT])"};
    const char *what = items[draw(m, ARRAY_LEN(items))];
    unsigned first = 1 + draw(m, m->exists), last = first + draw(m, 5);

    run(m, "FETCH %u:%u %s", first, last < m->exists ? last : m->exists, what);
}

/* About as many are marked \Deleted as are appended. */
static void store(struct mixed *m)
{
    static const char *const flags[] = {"+FLAGS (\\Seen)", "-FLAGS (\\Seen)", "+FLAGS.SILENT (\\Flagged)",
                                        "-FLAGS.SILENT (\\Flagged)", "+FLAGS (\\Answered)"};
    unsigned at = 1 + draw(m, m->exists);

    run(m, "STORE %u %s", at, draw(m, 2) == 0 ? "+FLAGS (\\Deleted)" : flags[draw(m, ARRAY_LEN(flags))]);
}

static void search(struct mixed *m)
{
    static const char *const keys[] = {"UNSEEN", "DELETED", "FLAGGED SINCE 1-Jan-2020", "SUBJECT harbour",
                                       "FROM \"Number 7\"", "BODY river"};

    run(m, "SEARCH %s", keys[draw(m, ARRAY_LEN(keys))]);
}

static void one_command(struct mixed *m)
{
    unsigned n = draw(m, 100);

    if (n < 60 && n >= 50)
        append(m);
    else if (n < 30 && m->exists > 0)
        fetch(m);
    else if (n < 50 && n >= 30 && m->exists > 0)
        store(m);
    else if (n < 70)
        search(m);
    else if (n < 80)
        run(m, "EXPUNGE");
    else if (n < 85)
        run(m, "SELECT INBOX");
    else if (n < 90)
        run(m, "STATUS Drafts (MESSAGES UNSEEN UIDNEXT)");
    else
        run(m, "NOOP");
}

static void log_in(struct mixed *m)
{
    m->c = imap_open(m->o, m->number % m->o->accounts);
    run(m, "SELECT INBOX");
    m->commands++; /* LOGIN */
}

static void *session(void *arg)
{
    struct mixed *m = arg;

    buf_init(&m->message, (size_t)1 << 24);
    log_in(m);
    for (unsigned i = 0; i < m->o->messages; i++) {
        if (m->o->relogin > 0 && i > 0 && i % m->o->relogin == 0) {
            run(m, "LOGOUT");
            imap_close(&m->c);
            log_in(m);
        }
        one_command(m);
    }
    run(m, "LOGOUT");
    imap_close(&m->c);
    buf_finish(&m->message);
    return NULL;
}

/* `messages` commands in each of `sessions`. */
int load_mixed(const struct options *o)
{
    struct mixed *all = xcalloc(o->sessions, sizeof *all);
    uint64_t commands = 0, refused = 0;
    double cpu = own_cpu();
    int64_t start = now_us();

    for (unsigned i = 0; i < o->sessions; i++) {
        all[i] = (struct mixed){.o = o, .number = i, .random = (i + 1) * UINT64_C(0x9e3779b97f4a7c15)};
        if (pthread_create(&all[i].thread, NULL, session, &all[i]) != 0)
            die("mixed: no thread");
    }
    for (unsigned i = 0; i < o->sessions; i++) {
        (void)pthread_join(all[i].thread, NULL);
        commands += all[i].commands;
        refused += all[i].refused;
    }
    double seconds = (double)(now_us() - start) / 1e6;
    printf("{\"commands\": %llu, \"refused\": %llu, \"seconds\": %.3f, \"rate\": %.1f, \"load_cpu_ms\": %.4f}\n",
           (unsigned long long)commands, (unsigned long long)refused, seconds, (double)commands / seconds,
           (own_cpu() - cpu) * 1000 / (double)commands);
    free(all);
    return 0;
}
