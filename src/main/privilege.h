/*
 * main/privilege.h - users, folders and rights of the roles.
 *
 * Layer: main.  Started as root, each role runs as its own user and its data folder
 * belongs to that user; started as anybody else, everything belongs to that one.
 */
#ifndef MAIN_PRIVILEGE_H
#define MAIN_PRIVILEGE_H

#include <sys/types.h>

#include "main/role.h"

struct config;

/* Will the roles change their users?  (Started as root, and the config names users.) */
bool privilege_switches(const struct config *c);

/*
 * Makes data/mail, data/auth and the runtime folder, each for its user; and, where
 * the roles change users, copies certificate and key (which root alone may be able to
 * read) to where the auth role can read the key and every role the certificate: so this also serves a reload.
 */
bool privilege_prepare(struct config *c, struct fail *why);
bool privilege_copy_certificate(struct config *c, struct fail *why);

/* Where the roles change users: a folder and all that is in it becomes the role's. */
bool privilege_give(struct config *c, enum role role, const char *path, struct fail *why);

/*
 * In the role: its user, no way back, no new rights.  Where certificate and key were copied, the config names the copies afterwards.
 */
bool privilege_drop(struct config *c, enum role role, struct fail *why);

/* May that user give commands: root, the admin user (as it was when the role started), the user we run as. */
bool privilege_is_admin(const struct config *c, uid_t uid);

/* Names of an owner, which another machine may know by another number; NULL: it has none. */
enum { PRIVILEGE_NAME = 256 };
const char *privilege_user_name(uid_t uid, char out[PRIVILEGE_NAME]);
const char *privilege_group_name(gid_t gid, char out[PRIVILEGE_NAME]);
/* Gives a file to those of that name (NULL: as it is).  True: it is theirs. */
bool privilege_name_owner(const char *path, const char *user, const char *group);

/* Raises the soft limit of open files to the hard one; returns it. */
unsigned long privilege_raise_files(void);

#endif
