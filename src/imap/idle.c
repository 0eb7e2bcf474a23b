/*
 * imap/idle.c - IDLE.
 *
 * Layer: imap.  RFC 2177.  A parked session that the store may wake: it keeps no
 * view, no arena, no buffer.
 */
#include "imap/metadata.h"
#include "imap/notify.h"

#include "base/fail.h"

enum { DONE_MAX = 1000 }; /* bytes of the line that ends it */

static void stop_watching(struct imap_session *s)
{
    watch_end(&s->watch);
    conn_set_ticks(s->conn, 0);
}

/* The one line that may come: DONE. */
static enum turn take_done(struct imap_session *s)
{
    struct slice line;
    bool too_long;

    if (!conn_take_line(s->conn, DONE_MAX, &line, NULL, &too_long)) {
        if (!too_long)
            return TURN_PARK;
        imap_bye(s, "The line is too long");
    }
    bool done = !too_long && slice_eq_nocase(line, SLICE("DONE"));
    stop_watching(s);
    if (done)
        imap_ok(s, "Done idling");
    else
        imap_bad(s, "Expected DONE");
    return TURN_PARK;
}

/* RFC 5465 section 4: exactly what NOTIFY asked for, and expunges that SELECTED-DELAYED holds back. */
static bool tell_notifications(struct imap_session *s)
{
    bool told = imap_notify_tell(s, true);

    if (!s->closing)
        imap_metadata_tell(s);
    conn_flush(s->conn);
    return told;
}

static enum turn idle_step(struct imap_session *s)
{
    if (imap_notify_due(s) && !tell_notifications(s))
        return TURN_MORE;
    if (s->news == NULL && watch_take(&s->watch)) {
        s->news = imap_news_gather(s, true);
        imap_metadata_tell(s);
        if (s->news == NULL)
            conn_flush(s->conn);
    }
    if (s->closing)
        return TURN_CLOSE;
    if (s->news != NULL) {
        if (!imap_news_tell(s, s->news))
            return TURN_MORE;
        s->news = NULL;
        conn_flush(s->conn);
    }
    if (conn_take_tick(s->conn))
        conn_write(s->conn, SLICE("* OK Still here\r\n"));
    return take_done(s);
}

/* idle = "IDLE" CRLF "DONE"                            RFC 2177 section 4 */
void imap_idle(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    conn_write(s->conn, SLICE("+ idling\r\n"));
    s->kept_tag = s->tag.len <= sizeof(s->tag_room) ? memcpy(s->tag_room, s->tag.ptr, s->tag.len)
                                                    : xslicedup(s->tag);
    s->tag = slice_make(s->kept_tag, s->tag.len);
    s->step = idle_step;
    conn_set_ticks(s->conn, s->service->limits.idle_tick_seconds);
    if (imap_notify_of(s) != NULL) {
        imap_notify_of(s)->look = s->state == IMAP_SELECTED;
    } else if (s->state == IMAP_SELECTED) {
        watch_begin(&s->watch, s->box.account, s->box.mailbox, s->waker);
        s->news = imap_news_gather(s, true); /* what happened before the watch began */
    }
}
