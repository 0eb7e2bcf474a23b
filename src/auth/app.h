/*
 * auth/app.h - app passwords: what they look like and what is kept of them.
 *
 * Layer: auth, private to it.  128 random bits and two more, as 26 letters and digits
 * (RFC 4648 section 6) in groups: nobody can guess one or try them all, so a fast hash keeps them as
 * well as a slow one would, and a program that logs in all day long costs nothing.
 */
#ifndef AUTH_APP_H
#define AUTH_APP_H

#include "base/slice.h"

struct fail;

enum { APP_HASH_BYTES = 32, APP_LETTERS = 26, APP_NAME_MAX = 64 };

struct app_text {
    char text[APP_LETTERS + 5]; /* "k4zq2b-ma7cd-..." and NUL */
};
struct app_hash {
    unsigned char bytes[APP_HASH_BYTES];
};

void app_make(struct app_text *out);
/* Blanks, hyphens and capitals do not matter.  false: that is none. */
bool app_hash(struct slice password, struct app_hash *out);

/* A name people can tell apart: 1 to 64 bytes of UTF-8 without control characters. */
bool app_name_is_fit(struct slice name, struct fail *why);
/* Services separated by blanks, each known; "" is all of them. */
bool app_services_are_fit(struct slice services, struct fail *why);
bool app_serves(struct slice services, struct slice service);

#endif
