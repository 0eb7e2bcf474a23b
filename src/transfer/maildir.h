/*
 * transfer/maildir.h - mail in Maildirs: as qmail and Courier write them, and as Dovecot does.
 *
 * Layer: transfer.  Told are INBOX (the folder itself) and the mailboxes below it: ".Work.2024"
 * (Maildir++) and "Work/2024" (Dovecot's LAYOUT=fs), with what Dovecot keeps beside them: UIDVALIDITY,
 * UIDs and unique-ids (dovecot-uidlist), keywords (dovecot-keywords), subscriptions, Sieve scripts.
 *
 * A server may work on the Maildir meanwhile: files that it renames are found again, those that it
 * removes are gone, those that it adds wait for the next run.  UIDs of what no list names are given
 * as Dovecot would give them.
 */
#ifndef TRANSFER_MAILDIR_H
#define TRANSFER_MAILDIR_H

#include "transfer/transfer.h"

struct maildir;

struct maildir_options {
    const char *root;        /* a copied machine: the folder that is taken for "/" (files_start()); NULL */
    const char *control;     /* Dovecot's CONTROL=: where its files are; NULL: with the mail */
    const char *inbox;       /* Dovecot's INBOX=; NULL: the folder itself */
    const char *sieve_home;  /* where .dovecot.sieve and sieve/ are; NULL: there, or above a folder called Maildir */
    const char *uidl_format; /* Dovecot's pop3_uidl_format; "": none is computed; NULL: its default */
    const struct body_limits *bodies;
};

/* FAIL_INVALID if there is none at `path`, and what is there instead. */
bool maildir_open(const char *path, const struct maildir_options *options, struct maildir **out, struct fail *why);
void maildir_destroy(struct maildir **m);
/* A transfer_read; ctx: the maildir. */
transfer_read maildir_read;

#endif
