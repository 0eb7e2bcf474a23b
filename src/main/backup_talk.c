/*
 * main/backup_talk.c - the command's side of a backup's conversation with a role.
 *
 * Layer: main.
 */
#include "main/backup_talk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scoped.h"

/* What the role said before the request's end; NULL: it said why not. */
static json_t *next_progress(struct control_client *c, struct fail *why)
{
    json_t *line = control_stream_line(c, why), *progress;

    if (line == NULL)
        return NULL;
    progress = json_incref(json_object_get(line, "progress"));
    if (progress == NULL) {
        const char *error = json_string_value(json_object_get(line, "error"));
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s", error != NULL ? error : "the server ended the backup");
    }
    json_decref(line);
    return progress;
}

bool backup_talk_begin(struct control_client *c, struct fail *why)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a role that dies is a failure to be told */
    if (!control_stream_write(c, SLICE("{\"do\":\"backup.begin\"}\n"), why))
        return false;
    json_t *ready = next_progress(c, why);
    bool    ok = ready != NULL && (json_is_true(json_object_get(ready, "ready")) ||
                                fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server does not know how to begin a backup"));
    json_decref(ready);
    return ok;
}

bool backup_talk_say(struct control_client *c, const char *word, void (*each)(void *ctx, const json_t *line), void *ctx,
                     struct fail *why)
{
    json_t *line;

    if (!control_stream_write(c, slice_of(word), why) || !control_stream_write(c, SLICE("\n"), why))
        return fail_at(why, "the server went away");
    while ((line = next_progress(c, why)) != NULL) {
        const char *failed = json_string_value(json_object_get(line, "failed"));
        bool        done = json_object_get(line, "done") != NULL;
        if (failed != NULL)
            (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s", failed);
        else if (!done && each != NULL)
            each(ctx, line);
        bool last = failed != NULL || done, ok = failed == NULL;
        json_decref(line);
        if (last)
            return ok;
    }
    return false;
}

bool backup_talk_still(struct control_client *c, struct fail *why)
{
    return backup_talk_say(c, "still", NULL, NULL, why);
}

bool backup_talk_end(struct control_client *c, struct fail *why)
{
    if (!control_stream_write(c, SLICE("end\n"), why))
        return false;
    json_t *line = control_stream_line(c, why);
    bool    ok = line != NULL && (json_is_true(json_object_get(line, "ok")) ||
                               fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server did not end the backup in order"));
    json_decref(line);
    return ok;
}

/* ---- files ---- */

static int open_level(int folder, struct slice name, int flags, const char *path, struct fail *why)
{
    SCOPED(scoped_free) char *text = xslicedup(name);
    int fd = openat(folder, text, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        (void)fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "%s is not there", path);
    else if (fd < 0)
        (void)fail_errno(why, errno, "%s", path);
    return fd;
}

static int open_below(int folder, const char *path, bool file, struct fail *why)
{
    struct slice rest = slice_of(path);
    int          at = folder;

    while (rest.len > 0) {
        struct slice level = slice_cut(&rest, '/');
        bool         last = rest.len == 0;
        int          next = open_level(at, level, O_RDONLY | (last && file ? 0 : O_DIRECTORY), path, why);
        if (at != folder)
            (void)close(at);
        if (next < 0)
            return -1;
        at = next;
    }
    return at;
}

int backup_open_below(int folder, const char *path, struct fail *why)
{
    int         fd = open_below(folder, path, true, why);
    struct stat st;

    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    (void)close(fd);
    (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is no file", path);
    return -1;
}

int backup_open_folder_below(int folder, const char *path, struct fail *why)
{
    return open_below(folder, path, false, why);
}

void backup_stand_back(void)
{
    (void)setpriority(PRIO_PROCESS, 0, 10);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7));
}
