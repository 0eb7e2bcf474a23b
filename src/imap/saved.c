/*
 * imap/saved.c - "$", the result of the last SEARCH that was saved.
 *
 * Layer: imap.
 */
#include "imap/saved.h"

#include "imap/lasting.h"

void imap_saved_clear(struct imap_session *s)
{
    if (s->lasting != NULL)
        uid_set_finish(&s->lasting->saved);
}

bool imap_saved_set(struct imap_session *s, const struct imap_spans *spans)
{
    struct uid_set *saved = &imap_lasting(s)->saved;

    imap_saved_clear(s);
    if (spans->count > s->service->limits.saved_ranges)
        return false;
    for (size_t i = 0; i < spans->count; i++) {
        uint32_t first = view_at(s->box.view, spans->items[i].first).uid;
        uint32_t last = view_at(s->box.view, spans->items[i].end - 1).uid;
        /* Nothing that the mailbox can still get lies between two UIDs that it has. */
        uid_set_add_range(saved, first, last);
    }
    return true;
}

bool imap_saved_found(struct imap_session *s, const struct esearch *e)
{
    struct imap_spans kept;

    if (!(e->options.returns & RETURN_SAVE))
        return true;
    if (esearch_saves(e, &s->arena, &kept) && imap_saved_set(s, &kept))
        return true;
    imap_saved_clear(s);
    imap_no(s, "[NOTSAVED] Too many ranges of messages to be saved");
    return false;
}

struct imap_set imap_saved_uids(const struct imap_session *s)
{
    if (s->lasting == NULL)
        return (struct imap_set){0};
    return (struct imap_set){.ranges = s->lasting->saved.ranges, .count = s->lasting->saved.count};
}

struct imap_spans imap_saved_spans(struct imap_session *s)
{
    return imap_spans_of_uids(&s->arena, s->box.view, imap_saved_uids(s));
}
