/*
 * message/charset_names.h - which charsets we read, and by what means.
 *
 * Layer: message; private to the room.
 */
#ifndef MESSAGE_CHARSET_NAMES_H
#define MESSAGE_CHARSET_NAMES_H

#include "base/slice.h"

enum charset_kind { CHARSET_UTF8, CHARSET_WINDOWS_1252, CHARSET_ICONV };

struct charset_name {
    const char *label; /* lower case */
    enum charset_kind kind;
    const char *iconv_name; /* for CHARSET_ICONV */
};

/* By label, blanks around it and case ignored; NULL if it is not on the list. */
const struct charset_name *charset_name_find(struct slice label);

#endif
