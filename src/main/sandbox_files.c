/*
 * main/sandbox_files.c - Landlock: the folders a role may use, and no others.
 *
 * Layer: main.  See landlock(7).  Each role has its own folder to write in; all may read what the system
 * keeps for everybody (libraries, time zones, /etc); each may read the folders of the files that the
 * config names for it, because an editor puts a new file in the place of the old one.  Nobody executes
 * anything, makes devices or sockets, signals another process or reaches an abstract Unix socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>

#include "base/scoped.h"
#include "main/config.h"
#include "main/sandbox.h"

/* As in the headers of Linux 6.12, which those of Debian 12 do not reach. */
struct ruleset {
    uint64_t files, net, scoped;
};
enum {
    ACCESS_TRUNCATE = 1 << 14,  /* from version 3 */
    ACCESS_IOCTL_DEV = 1 << 15, /* from version 5 */
    NET_BIND = 1 << 0,          /* TCP; from version 4 */
    NET_CONNECT = 1 << 1,
    SCOPE_ABSTRACT = 1 << 0,    /* from version 6 */
    SCOPE_SIGNAL = 1 << 1,
    ACCESS_ALL_2 = (1 << 14) - 1,

    TO_READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    TO_KEEP = TO_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
        LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER | ACCESS_TRUNCATE,
    FOR_FILES = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE, /* that mean something for a file */
};

struct shut {
    int          ruleset;
    uint64_t     handled;
    char        *data; /* the folder of all roles' folders */
    struct fail *why;
};

/* Leaves the role that access below `path`; a path that is not there needs none. */
static bool leave(struct shut *s, const char *path, uint64_t access)
{
    SCOPED(scoped_close) int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat              st;

    if (fd < 0 || fstat(fd, &st) != 0)
        return true; /* what it may not even name it cannot use */
    struct landlock_path_beneath_attr rule = {
        .allowed_access = access & s->handled & (S_ISDIR(st.st_mode) ? ~(uint64_t)0 : FOR_FILES), .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, s->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ||
           fail_errno(s->why, errno, "sandbox: rule for %s", path);
}

/* A file's folder; but the file alone where its folder holds what all roles keep. */
static bool leave_around(struct shut *s, const char *file)
{
    SCOPED(scoped_free) char *folder = xstrdup(file), *real = NULL;
    char                     *name = strrchr(folder, '/');

    *(name == folder ? name + 1 : name) = '\0';
    real = realpath(folder, NULL);
    if (real == NULL)
        return true;
    size_t n = strcmp(real, "/") == 0 ? 0 : strlen(real);
    if (strncmp(s->data, real, n) == 0 && (s->data[n] == '/' || s->data[n] == '\0'))
        return leave(s, file, TO_READ);
    return leave(s, real, TO_READ);
}

/* Where a file is named, and where it really is if that is a symbolic link (as certbot makes them). */
static bool leave_folder_of(struct shut *s, const char *file)
{
    SCOPED(scoped_free) char *real = NULL;

    if (file == NULL || file[0] != '/')
        return true;
    real = realpath(file, NULL);
    return leave_around(s, file) && (real == NULL || leave_around(s, real));
}

static bool leave_system(struct shut *s)
{
    static const char *const to_read[] = {
        "/etc", "/usr", "/lib", "/lib64", "/proc/self", "/proc/meminfo", "/sys/devices/system/cpu", "/dev/random", "/dev/urandom",
        "/run/systemd/resolve", "/run/systemd/userdb", "/run/resolvconf", "/run/NetworkManager", "/var/lib/ca-certificates",
    };

    for (size_t i = 0; i < ARRAY_LEN(to_read); i++)
        if (!leave(s, to_read[i], TO_READ))
            return false;
    return leave(s, "/dev/null", TO_READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
}

static bool leave_mail(struct shut *s, struct config *c)
{
    for (size_t i = 0; i < c->admission.access_count; i++)
        if (!leave_folder_of(s, c->admission.access[i].file))
            return false;
    return leave(s, config_data_path(c, "mail"), TO_KEEP) && leave(s, config_data_path(c, "maildrop"), TO_KEEP) &&
           leave_folder_of(s, c->certificate) && leave_folder_of(s, c->sending.aliases_file);
}

static bool leave_queue(struct shut *s, struct config *c)
{
    for (size_t i = 0; c->route_passwords != NULL && i < c->routes.count; i++)
        if (!leave_folder_of(s, c->route_passwords[i]))
            return false;
    return leave(s, config_data_path(c, "queue"), TO_KEEP) && leave_folder_of(s, c->tls_authorities);
}

/* What the role is there for. */
static bool leave_own(struct shut *s, struct config *c, enum role role)
{
    switch (role) {
    case ROLE_MAIL: return leave_mail(s, c);
    case ROLE_QUEUE: return leave_queue(s, c);
    case ROLE_AUTH:
        return leave(s, config_data_path(c, "auth"), TO_KEEP) && leave_folder_of(s, c->certificate) && leave_folder_of(s, c->key) && leave_folder_of(s, c->auth.oauth_jwks) &&
               leave_folder_of(s, c->auth.oauth_secret_file);
    case ROLE_FETCH: return leave_folder_of(s, c->fetch_authorities);
    case ROLE_CONTENT:
    case ROLE_RESOLVER: return true;
    }
    bug("role %d", (int)role);
}

/* Only these connect to other machines; no role binds a port, the supervisor does. */
static bool connects(enum role role)
{
    return role == ROLE_QUEUE || role == ROLE_FETCH || role == ROLE_RESOLVER;
}

bool sandbox_files(struct config *c, enum role role, int version, struct fail *why)
{
    struct ruleset rules = {
        .files = ACCESS_ALL_2 | (version >= 3 ? ACCESS_TRUNCATE : 0) | (version >= 5 ? ACCESS_IOCTL_DEV : 0),
        .net = version < 4 || connects(role) ? 0 : NET_BIND | NET_CONNECT,
        .scoped = version < 6 ? 0 : SCOPE_ABSTRACT | SCOPE_SIGNAL,
    };
    size_t      size = version >= 6 ? sizeof rules : version >= 4 ? offsetof(struct ruleset, scoped) : offsetof(struct ruleset, net);
    struct shut s = {.handled = rules.files, .why = why};

    s.ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (s.ruleset < 0)
        return fail_errno(why, errno, "sandbox");
    s.data = realpath(c->data, NULL);
    if (s.data == NULL)
        s.data = xstrdup("");
    bool ok = leave_system(&s) && leave_own(&s, c, role);
    if (ok && syscall(SYS_landlock_restrict_self, s.ruleset, 0) != 0)
        ok = fail_errno(why, errno, "sandbox");
    free(s.data);
    (void)close(s.ruleset);
    return ok;
}
