/*
 * main/privilege.c - users, folders and rights of the roles.
 *
 * Layer: main.
 */
#include "main/privilege.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "main/config.h"
#include "main/maildrop.h"

enum { FOLDER_LEVELS = 32, PEM_MAX = 1024 * 1024, FILES_ENOUGH = 1024 * 1024 };

bool privilege_switches(const struct config *c)
{
    bool switches = geteuid() == 0;

    for (int r = 0; r < ROLE_COUNT; r++)
        switches = switches && c->users[r][0] != '\0';
    return switches;
}

struct user { uid_t uid; gid_t gid; };

static bool find_user(const char *name, struct user *out, struct fail *why)
{
    char           space[4096];
    struct passwd  entry, *found = NULL;
    int            errnum = getpwnam_r(name, &entry, space, sizeof space, &found);

    if (errnum != 0)
        return fail_errno(why, errnum, "user %s", name);
    if (found == NULL)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND,
                        "there is no user %s (systemd-sysusers makes it; posthorn.conf(5): user, queue_user ...)", name);
    *out = (struct user){entry.pw_uid, entry.pw_gid};
    return true;
}

/* A folder that only its user may enter. */
static bool own_folder(struct config *c, const char *path, const char *user, struct fail *why)
{
    struct user u = {0};

    if (!io_make_dirs(path, 0700, why))
        return false;
    if (!privilege_switches(c))
        return true;
    if (!find_user(user, &u, why))
        return false;
    return chown(path, u.uid, u.gid) == 0 || fail_errno(why, errno, "owner of %s", path);
}

/*
 * Anybody may put a file there (main/maildrop.h).  The mode is set before the folder is given away: afterwards it would
 * take rights that the unit file does not leave us.
 */
static bool make_maildrop(struct config *c, struct fail *why)
{
    const char *path = config_data_path(c, "maildrop");
    struct stat st;

    if (!io_make_dirs(path, 0700, why))
        return false;
    if (stat(path, &st) != 0 || ((st.st_mode & 07777) != MAILDROP_MODE && chmod(path, MAILDROP_MODE) != 0))
        return fail_errno(why, errno, "mode of %s", path);
    return own_folder(c, path, c->users[ROLE_MAIL], why);
}

bool privilege_prepare(struct config *c, struct fail *why)
{
    return io_make_dirs(c->data, 0755, why) && own_folder(c, config_data_path(c, "mail"), c->users[ROLE_MAIL], why) &&
           own_folder(c, config_data_path(c, "queue"), c->users[ROLE_QUEUE], why) &&
           own_folder(c, config_data_path(c, "auth"), c->users[ROLE_AUTH], why) && make_maildrop(c, why) && io_make_dirs(c->runtime, 0755, why) &&
           privilege_copy_certificate(c, why);
}

static const char *certificate_copy(struct config *c)
{
    return config_runtime_path(c, "tls/certificate.pem");
}

static const char *key_copy(struct config *c)
{
    return config_runtime_path(c, "tls/key.pem");
}

/* With that owner's group and mode. */
static bool copy_for(const struct user *u, mode_t mode, const char *from, const char *to, struct fail *why)
{
    struct buf pem;

    buf_init(&pem, PEM_MAX);
    bool ok = io_read_file(from, &pem, why) && io_replace_file(to, buf_slice(&pem), 0600, why);
    explicit_bzero(pem.data, pem.len);
    buf_finish(&pem);
    if (ok && (chown(to, (uid_t)-1, u->gid) != 0 || chmod(to, mode) != 0))
        ok = fail_errno(why, errno, "owner of %s", to);
    return ok;
}

bool privilege_copy_certificate(struct config *c, struct fail *why)
{
    struct user u = {0};

    if (!privilege_switches(c) || c->certificate[0] == '\0')
        return true;
    return find_user(c->users[ROLE_AUTH], &u, why) && io_make_dirs(config_runtime_path(c, "tls"), 0755, why) &&
           copy_for(&u, 0640, c->key, key_copy(c), why) && copy_for(&u, 0644, c->certificate, certificate_copy(c), why);
}

static bool give_all(int parent, const char *name, const struct user *u, unsigned level, struct fail *why)
{
    int                  fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    struct stat          st;
    bool                 ok = dir != NULL && fchown(fd, u->uid, u->gid) == 0;

    while (ok && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        ok = fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
             fchownat(fd, entry->d_name, u->uid, u->gid, AT_SYMLINK_NOFOLLOW) == 0;
        if (ok && S_ISDIR(st.st_mode) && level < FOLDER_LEVELS)
            ok = give_all(fd, entry->d_name, u, level + 1, NULL);
    }
    int errnum = errno;
    if (dir != NULL)
        (void)closedir(dir);
    else if (fd >= 0)
        (void)close(fd);
    return ok || fail_errno(why, errnum, "owner of %s", name);
}

bool privilege_give(struct config *c, enum role role, const char *path, struct fail *why)
{
    struct user u = {0};

    return !privilege_switches(c) || (find_user(c->users[role], &u, why) && give_all(AT_FDCWD, path, &u, 0, why));
}

const char *privilege_user_name(uid_t uid, char out[PRIVILEGE_NAME])
{
    char          space[4096];
    struct passwd entry, *found = NULL;

    if (getpwuid_r(uid, &entry, space, sizeof space, &found) != 0 || found == NULL)
        return NULL;
    return snprintf(out, PRIVILEGE_NAME, "%s", found->pw_name) < PRIVILEGE_NAME ? out : NULL;
}

const char *privilege_group_name(gid_t gid, char out[PRIVILEGE_NAME])
{
    char         space[16384]; /* its members are in it */
    struct group entry, *found = NULL;

    if (getgrgid_r(gid, &entry, space, sizeof space, &found) != 0 || found == NULL)
        return NULL;
    return snprintf(out, PRIVILEGE_NAME, "%s", found->gr_name) < PRIVILEGE_NAME ? out : NULL;
}

bool privilege_name_owner(const char *path, const char *user, const char *group)
{
    char          space[16384];
    struct group  entry, *found = NULL;
    struct user   u = {(uid_t)-1, (gid_t)-1};
    struct user   named = {0};
    struct stat   st;

    if (user != NULL && find_user(user, &named, NULL))
        u.uid = named.uid;
    if (group != NULL && getgrnam_r(group, &entry, space, sizeof space, &found) == 0 && found != NULL)
        u.gid = found->gr_gid;
    if (stat(path, &st) != 0 || ((u.uid != st.st_uid || u.gid != st.st_gid) && lchown(path, u.uid, u.gid) != 0))
        return false;
    return (user == NULL || u.uid != (uid_t)-1) && (group == NULL || u.gid != (gid_t)-1);
}

static bool become(const char *name, struct fail *why)
{
    struct user u = {0};

    if (!find_user(name, &u, why))
        return false;
    if (u.uid == 0)
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "user %s is root", name);
    if (initgroups(name, u.gid) != 0 || setresgid(u.gid, u.gid, u.gid) != 0 || setresuid(u.uid, u.uid, u.uid) != 0)
        return fail_errno(why, errno, "change to user %s", name);
    if (setuid(0) == 0)
        bug("root came back after the change to user %s", name);
    return true;
}

bool privilege_drop(struct config *c, enum role role, struct fail *why)
{
    struct user admin = {0};

    /* While name services can be asked. */
    c->admin_uid_known = c->admin_user[0] != '\0' && find_user(c->admin_user, &admin, NULL);
    c->admin_uid = admin.uid;
    if (privilege_switches(c)) {
        if (!become(c->users[role], why))
            return false;
        c->certificate = c->certificate[0] != '\0' ? certificate_copy(c) : c->certificate;
        c->key = c->key[0] != '\0' ? key_copy(c) : c->key;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail_errno(why, errno, "no_new_privs");
    return true;
}

bool privilege_is_admin(const struct config *c, uid_t uid)
{
    return uid == 0 || uid == getuid() || (c->admin_uid_known && c->admin_uid == uid);
}

unsigned long privilege_raise_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 0;
    rlim_t wanted = files.rlim_max == RLIM_INFINITY || files.rlim_max > FILES_ENOUGH ? FILES_ENOUGH : files.rlim_max;
    if (files.rlim_cur < wanted) {
        files.rlim_cur = wanted;
        (void)setrlimit(RLIMIT_NOFILE, &files);
        (void)getrlimit(RLIMIT_NOFILE, &files);
    }
    return files.rlim_cur;
}
