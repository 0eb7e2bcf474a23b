/*
 * bench/load.c - the load generator.
 *
 *     load smtp|sink|exists|append|commands|idle|logins|mixed|pop3 [name=value ...]
 *
 * See struct options in load.h for the names; flags are name=1.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "load.h"

static const struct scenario {
    const char *name;
    int (*run)(const struct options *o);
} scenarios[] = {
    {"smtp", load_smtp},         {"exists", load_exists}, {"append", load_append},
    {"commands", load_commands}, {"idle", load_idle},     {"logins", load_logins},
    {"mixed", load_mixed},       {"sink", load_sink},   {"pop3", load_pop3},
};

static bool set_text(struct options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **at;
    } texts[] = {{"host", &o->host}, {"domain", &o->domain}, {"word", &o->word}, {"rare", &o->rare}};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].at = value;
            return true;
        }
    }
    return false;
}

static bool set_number(struct options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        unsigned *at;
    } numbers[] = {{"port", &o->port},
                   {"imap_port", &o->imap_port},
                   {"sessions", &o->sessions},
                   {"messages", &o->messages},
                   {"size", &o->size},
                   {"accounts", &o->accounts},
                   {"recipients", &o->recipients},
                   {"domains", &o->domains},
                   {"relogin", &o->relogin},
                   {"stay", &o->stay}};
    const struct {
        const char *name;
        bool *at;
    } flags[] = {{"new", &o->new_connection},
                 {"pipeline", &o->pipeline},
                 {"lmtp", &o->lmtp},
                 {"tls", &o->tls}, {"compress", &o->compress},
                 {"see", &o->see},
                 {"steps", &o->steps}};
    char *end;
    unsigned long n = strtoul(value, &end, 10);

    if (*value == '\0' || *end != '\0' || n > 1u << 30)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].at = (unsigned)n;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (strcmp(name, flags[i].name) == 0) {
            *flags[i].at = n != 0;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    struct options o = {.host = "127.0.0.1",
                        .port = 2025,
                        .imap_port = 2143,
                        .sessions = 32,
                        .messages = 1000,
                        .size = 4096,
                        .accounts = 100,
                        .recipients = 1,
                        .stay = 1,
                        .domain = "example.test",
                        .word = "harbour",
                        .rare = "zeppelin"};
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value != NULL)
            *value++ = '\0';
        if (value == NULL || (!set_text(&o, argv[i], value) && !set_number(&o, argv[i], value)))
            die("not understood: %s", argv[i]);
    }
    if (o.accounts == 0 || o.stay == 0 || o.sessions == 0)
        die("accounts, stay and sessions: at least 1");
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(scenarios); i++)
        if (strcmp(argv[1], scenarios[i].name) == 0)
            return scenarios[i].run(&o);
    die("usage: load smtp|sink|exists|append|commands|idle|logins|mixed|pop3 [name=value ...]");
}
