/*
 * main/sendmail.h - from what a program writes to a file in the maildrop.
 *
 * Layer: main.  Runs with the rights of whoever sends.
 */
#ifndef MAIN_SENDMAIL_H
#define MAIN_SENDMAIL_H

#include <stdio.h>

#include "main/maildrop.h"

struct sendmail_message {
    struct arena                   *arena;
    struct maildrop                 drop; /* its recipients: see recipient_room */
    size_t                          recipient_room;
    const struct recipient_options *header_options; /* -t: recipients stand in the header, and get these; NULL: they do not */
    uint64_t                        message_bytes;  /* a larger message is refused */
};

/* A list of addresses, as in a To field; those that cannot be read are left out.  Past the limit none is added. */
void sendmail_add_recipients(struct sendmail_message *m, struct slice list, const struct recipient_options *o);

struct sendmail_source {
    FILE *stream;
    bool  dots;    /* a line of one dot ends the message; else only the end of the stream does */
    bool  stuffed; /* SMTP: a dot in front of a line is the sender's (RFC 5321 section 4.5.2) */
    bool  ended;   /* such a line came */
};

/*
 * Reads the message, with whatever line ends, and puts it into `folder`: on stable storage when it
 * returns true.  FAIL_INVALID without recipients, FAIL_TOO_BIG, FAIL_TEMP when it cannot be written.
 */
bool sendmail_drop(struct sendmail_message *m, struct sendmail_source *in, const char *folder, struct fail *why);

/* -bs: speaks SMTP, as far as a program that sends needs it; each message goes into `folder`.  Returns the exit status. */
int sendmail_smtp(struct sendmail_message *m, FILE *in, FILE *out, const char *folder);

#endif
