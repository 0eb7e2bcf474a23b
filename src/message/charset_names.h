/*
 * message/charset_names.h - which charsets we read, and by what means.
 *
 * Layer: message; private to the room.
 */
#ifndef MESSAGE_CHARSET_NAMES_H
#define MESSAGE_CHARSET_NAMES_H

#include "base/slice.h"

/* Two that need no iconv, and one that needs care. */
#define CHARSET_UTF8         "UTF-8"
#define CHARSET_WINDOWS_1252 "CP1252"
#define CHARSET_UTF7         "UTF-7"

/*
 * The C library's name for what `label` means, blanks around it and case
 * ignored; NULL if it is not on the list.
 */
const char *charset_name_find(struct slice label);

#endif
