/*
 * main/role_content.c - the role that parses what strangers wrote, and holds nothing.
 *
 * Layer: main.  Asked by the mail role over a socket that the supervisor sends.  It has
 * no control socket, opens no files but libraries, and writes nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/scoped.h"
#include "main/config.h"
#include "main/role.h"

enum {
    MEMORY_MAX = 1024 * 1024 * 1024, /* of data: whatever a parser does, the machine stays usable */
    FILES_MAX = 256,
};

struct content_work {
    struct content_server *server;
    struct ipc_server     *mail;
};

/* Data and stack now.  A program built with sanitizers has reserved terabytes. */
static uint64_t data_bytes(void)
{
    unsigned long long pages = 0;
    char               line[200], *at = line;
    FILE              *f = fopen("/proc/self/statm", "re");

    if (f != NULL) {
        if (fgets(line, sizeof line, f) != NULL)
            for (unsigned field = 0; field < 6; field++) /* the sixth */
                pages = strtoull(at, &at, 10);
        (void)fclose(f);
    }
    return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

/* What a parser gone wrong may take. */
static bool hold_down(struct fail *why)
{
    static const struct { int what; rlim_t most; } limits[] = {
        {RLIMIT_DATA, MEMORY_MAX}, {RLIMIT_NOFILE, FILES_MAX}, {RLIMIT_CORE, 0}};

    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct rlimit now;
        if (limits[i].what == RLIMIT_DATA && data_bytes() >= limits[i].most)
            continue;
        if (getrlimit((__rlimit_resource_t)limits[i].what, &now) != 0)
            return fail_set(why, FAIL_PERM, FAIL_OTHER, "limits of the content role");
        if (now.rlim_max != RLIM_INFINITY && now.rlim_max < limits[i].most)
            continue;
        now.rlim_cur = now.rlim_max = limits[i].most;
        if (setrlimit((__rlimit_resource_t)limits[i].what, &now) != 0)
            return fail_set(why, FAIL_PERM, FAIL_OTHER, "limits of the content role");
    }
    return true;
}

static void content_stop(void *work)
{
    struct content_work *w = work;

    ipc_server_destroy(&w->mail);
    content_server_destroy(&w->server);
    free(w);
}

static void *content_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct content_work *w = xcalloc(1, sizeof *w);
    bool                 ok = hold_down(why) && content_server_create(&c->content, &w->server, why);

    (void)start;
    if (ok) {
        struct ipc_service service = content_server_service(w->server);
        w->mail = ipc_server_create(&c->ipc, &service, why);
        ok = w->mail != NULL;
    }
    if (!ok) {
        content_stop(w);
        return NULL;
    }
    return w;
}

static void content_note(void *work, const struct role_note *note)
{
    struct content_work *w = work;
    struct fail          why;

    if (role_answers(note, ROLE_MAIL) && !ipc_server_attach(w->mail, note->fd, &why))
        log_event(LOG_ERROR, "role.peer_failed", LOG_FAIL(&why));
}

const struct role_work role_content = {.start = content_start, .note = content_note, .stop = content_stop};
