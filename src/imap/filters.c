/*
 * imap/filters.c - named searches.
 *
 * Layer: imap.  RFC 5466.
 */
#include "imap/filters.h"

#include "base/fail.h"
#include "base/unicode.h"
#include "store/annotation.h"

#define VALUES SLICE("/filters/values/")

bool imap_filter_find(struct imap_session *s, struct arena *a, struct slice name, struct slice *keys)
{
    uint64_t users[] = {account_id(s->account), ANNOTATION_SHARED};
    struct slice entry = arena_printf(&s->arena, PRIslice PRIslice, SLICE_ARG(VALUES), SLICE_ARG(name));
    struct fail why;

    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        if (!annotation_get(s->account, 0, users[i], entry, a, keys, &why)) {
            log_event(LOG_WARNING, "imap.failed", LOG_CSTR("session", conn_session_id(s->conn).text),
                      LOG_FAIL(&why));
            return false;
        }
        if (keys->ptr != NULL)
            return true;
    }
    return false;
}

bool imap_filter_is_sound(struct imap_session *s, struct slice annotation, struct slice keys)
{
    /* Whatever the mailbox will be when it is used: numbers are not looked at, nor other filters. */
    const struct search_scope scope = {.any_number = true, .any_filter = true};
    struct search_args args = {0};
    struct imap_reader r;

    if (!slice_starts_nocase(annotation, VALUES))
        return true;
    imap_reader_init(&r, keys, &s->arena, &s->service->limits);
    search_keys_read(&r, &scope, &args);
    return !r.failed && utf8_valid(keys);
}
