/*
 * imap/command.c - the table of commands.
 *
 * Layer: imap.  What comes with later extensions (SORT, THREAD, COMPRESS,
 * SETMETADATA, NOTIFY ...) is a row here and a file of its own.
 */
#include "imap/session.h"

enum {
    ANY = IMAP_FRESH | IMAP_AUTHED | IMAP_SELECTED,
    LOGGED_IN = IMAP_AUTHED | IMAP_SELECTED,
};

static const struct imap_command commands[] = {
    /* RFC 3501 section 6.1 */
    {.name = "CAPABILITY", .run = imap_capability, .states = ANY},
    {.name = "NOOP", .run = imap_noop, .states = ANY},
    {.name = "LOGOUT", .run = imap_logout, .states = ANY},
    {.name = "ID", .run = imap_id, .states = ANY}, /* RFC 2971 */
    {.name = "LANGUAGE", .run = imap_language, .states = ANY},                          /* RFC 5255 */
    {.name = "UNAUTHENTICATE", .run = imap_unauthenticate, .states = LOGGED_IN}, /* RFC 8437 */
    {.name = "GETJMAPACCESS", .run = imap_getjmapaccess, .states = LOGGED_IN},   /* RFC 9698 */
    /* section 6.2 */
    {.name = "STARTTLS", .run = imap_starttls, .states = IMAP_FRESH},
    {.name = "AUTHENTICATE", .run = imap_authenticate, .states = IMAP_FRESH, .effects = IMAP_SECRET},
    {.name = "LOGIN", .run = imap_login, .states = IMAP_FRESH, .effects = IMAP_SECRET},
    /* section 6.3 */
    {.name = "SELECT", .run = imap_select, .states = LOGGED_IN},
    {.name = "EXAMINE", .run = imap_examine, .states = LOGGED_IN},
    {.name = "CREATE", .run = imap_create, .states = LOGGED_IN},
    {.name = "DELETE", .run = imap_delete, .states = LOGGED_IN},
    {.name = "RENAME", .run = imap_rename, .states = LOGGED_IN},
    {.name = "SUBSCRIBE", .run = imap_subscribe, .states = LOGGED_IN},
    {.name = "UNSUBSCRIBE", .run = imap_unsubscribe, .states = LOGGED_IN},
    {.name = "LIST", .run = imap_list, .states = LOGGED_IN},
    {.name = "LSUB", .run = imap_lsub, .states = LOGGED_IN},
    {.name = "STATUS", .run = imap_status, .states = LOGGED_IN},
    {.name = "APPEND", .run = imap_append_bare, .run_message = imap_append, .states = LOGGED_IN},
    /* RFC 9208 */
    {.name = "GETQUOTA", .run = imap_getquota, .states = LOGGED_IN},
    {.name = "GETQUOTAROOT", .run = imap_getquotaroot, .states = LOGGED_IN},
    {.name = "SETQUOTA", .run = imap_setquota, .states = LOGGED_IN},
    {.name = "NAMESPACE", .run = imap_namespace, .states = LOGGED_IN}, /* RFC 2342 */
    {.name = "GENURLAUTH", .run = imap_genurlauth, .states = LOGGED_IN}, /* RFC 4467 */
    {.name = "RESETKEY", .run = imap_resetkey, .states = LOGGED_IN},
    {.name = "URLFETCH", .run = imap_urlfetch, .states = LOGGED_IN},
    {.name = "GETACL", .run = imap_getacl, .states = LOGGED_IN}, /* RFC 4314 */
    {.name = "SETACL", .run = imap_setacl, .states = LOGGED_IN},
    {.name = "DELETEACL", .run = imap_deleteacl, .states = LOGGED_IN},
    {.name = "LISTRIGHTS", .run = imap_listrights, .states = LOGGED_IN},
    {.name = "MYRIGHTS", .run = imap_myrights, .states = LOGGED_IN},
    {.name = "GETMETADATA", .run = imap_getmetadata, .states = LOGGED_IN}, /* RFC 5464 */
    {.name = "SETMETADATA", .run = imap_setmetadata, .states = LOGGED_IN},
    {.name = "COMPRESS", .run = imap_compress, .states = LOGGED_IN},   /* RFC 4978 */
    {.name = "ENABLE", .run = imap_enable, .states = LOGGED_IN},       /* RFC 5161 */
    {.name = "IDLE", .run = imap_idle, .states = LOGGED_IN},           /* RFC 2177 */
    {.name = "NOTIFY", .run = imap_notify, .states = LOGGED_IN, .effects = IMAP_TELLS_ALL}, /* RFC 5465 */
    /* section 6.4 */
    {.name = "CHECK", .run = imap_check, .states = IMAP_SELECTED},
    {.name = "CLOSE", .run = imap_close, .states = IMAP_SELECTED},
    {.name = "UNSELECT", .run = imap_unselect, .states = IMAP_SELECTED},                        /* RFC 3691 */
    /* RFC 4315 */
    {.name = "EXPUNGE", .run = imap_expunge, .states = IMAP_SELECTED, .effects = IMAP_UID_TOO | IMAP_NO_NUMBERS | IMAP_TELLS_ALL},
    {.name = "SEARCH",
     .run = imap_search,
     .states = IMAP_SELECTED,
     .effects = IMAP_UID_TOO | IMAP_READS_VIEW | IMAP_HOLDS_GONE},
    {.name = "ESEARCH", /* RFC 7377, which has it with UID in an example */
     .run = imap_esearch,
     .states = LOGGED_IN,
     .effects = IMAP_UID_TOO | IMAP_NO_NUMBERS | IMAP_READS_VIEW},
    {.name = "UIDBATCHES", .run = imap_uidbatches, .states = IMAP_SELECTED, .effects = IMAP_READS_VIEW}, /* RFC 10022 */
    {.name = "CANCELUPDATE", .run = imap_cancelupdate, .states = IMAP_SELECTED}, /* RFC 5267 */
    /* RFC 5256 */
    {.name = "SORT",
     .run = imap_sort,
     .states = IMAP_SELECTED,
     .effects = IMAP_UID_TOO | IMAP_READS_VIEW | IMAP_HOLDS_GONE},
    {.name = "THREAD",
     .run = imap_thread,
     .states = IMAP_SELECTED,
     .effects = IMAP_UID_TOO | IMAP_READS_VIEW | IMAP_HOLDS_GONE},
    {.name = "COMPARATOR", .run = imap_comparator, .states = LOGGED_IN}, /* RFC 5255 */
    {.name = "FETCH",
     .run = imap_fetch,
     .states = IMAP_SELECTED,
     .effects = IMAP_UID_TOO | IMAP_READS_VIEW | IMAP_HOLDS_GONE},
    {.name = "STORE",
     .run = imap_store,
     .states = IMAP_SELECTED,
     .effects = IMAP_UID_TOO | IMAP_READS_VIEW | IMAP_HOLDS_GONE | IMAP_TELLS_ALL},
    {.name = "COPY", .run = imap_copy, .states = IMAP_SELECTED, .effects = IMAP_UID_TOO | IMAP_READS_VIEW},
    /* RFC 8508 */
    {.name = "REPLACE",
     .run = imap_replace_bare,
     .run_message = imap_replace,
     .states = IMAP_SELECTED,
     .effects = IMAP_UID_TOO | IMAP_READS_VIEW | IMAP_TELLS_ALL},
    /* RFC 6851 */
    {.name = "MOVE", .run = imap_move, .states = IMAP_SELECTED, .effects = IMAP_UID_TOO | IMAP_READS_VIEW | IMAP_TELLS_ALL},
};

const struct imap_command *imap_command_find(struct slice name, bool uid)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (slice_eq_nocase(name, slice_of(commands[i].name)))
            return !uid || (commands[i].effects & IMAP_UID_TOO) ? &commands[i] : NULL;
    return NULL;
}
