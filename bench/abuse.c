/*
 * bench/abuse.c - the generator of abuse.
 *
 *     abuse ATTACK|probe|burn [name=value ...]
 *
 * ATTACK is a row of attacks[] in abuse-attack.c; names are those of struct options.  An attack says "ready" when
 * it stands, goes on until its standard input ends, and then says what it did as one JSON object.
 */
#include "abuse.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("abuse: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

double own_cpu(void)
{
    struct rusage r;

    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* What the generator of an attack took, against nothing: so much of a core, in pieces of a millisecond. */
int burn_run(const struct options *o)
{
    int64_t end = now_us() + (int64_t)o->seconds * 1000000;

    for (int64_t now = now_us(); now < end; now = now_us()) {
        while (now_us() < now + 10 * (int64_t)o->percent)
            ;
        if (o->percent < 100)
            (void)usleep(10 * (100 - o->percent));
    }
    return 0;
}

static bool set_option(struct options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        unsigned *at;
    } numbers[] = {
        {"imap", &o->imap},         {"imaps", &o->imaps},     {"smtp", &o->smtp},       {"connections", &o->connections},
        {"accounts", &o->accounts}, {"sources", &o->sources}, {"network", &o->network}, {"seconds", &o->seconds},
        {"percent", &o->percent},   {"megabytes", &o->megabytes}, {"opening", &o->opening},
    };
    char *end;
    unsigned long n = strtoul(value, &end, 10);

    if (strcmp(name, "domain") == 0) {
        o->domain = value;
        return true;
    }
    for (size_t i = 0; *end == '\0' && i < ARRAY_LEN(numbers); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].at = (unsigned)n;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    struct options o = {.domain = "example.test", .imap = 2143, .imaps = 2993, .smtp = 2025, .connections = 10000,
                        .accounts = 100, .network = 25, .seconds = 5, .percent = 50, .opening = 256};
    struct rlimit files;

    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value != NULL)
            *value++ = '\0';
        if (value == NULL || !set_option(&o, argv[i], value))
            die("not understood: %s", argv[i]);
    }
    int status = -1;
    if (argc > 1 && strcmp(argv[1], "probe") == 0)
        status = probe_run(&o);
    else if (argc > 1 && strcmp(argv[1], "burn") == 0)
        status = burn_run(&o);
    else if (argc > 1)
        status = attack_run(argv[1], &o);
    if (status < 0)
        die("usage: abuse ATTACK|probe|burn [name=value ...]");
    return status;
}
