/*
 * imap/lasting.c - what few sessions have and outlives their commands.
 *
 * Layer: imap.
 */
#include "imap/lasting.h"
#include "imap/target.h"

#include <stdlib.h>

#include "base/fail.h"
#include "imap/context.h"
#include "imap/notify.h"
#include "imap/saved.h"

struct imap_lasting *imap_lasting(struct imap_session *s)
{
    if (s->lasting == NULL)
        s->lasting = xcalloc(1, sizeof(*s->lasting));
    return s->lasting;
}

void imap_lasting_deselect(struct imap_session *s)
{
    if (s->lasting == NULL)
        return;
    imap_saved_clear(s);
    imap_contexts_finish(&s->lasting->contexts);
    s->lasting->metadata_mailbox = 0;
}

void imap_lasting_end(struct imap_session *s)
{
    imap_lasting_deselect(s);
    if (s->lasting != NULL) {
        imap_notify_free(&s->lasting->notify);
        imap_others_free(&s->lasting->others);
    }
    free(s->lasting);
    s->lasting = NULL;
}
