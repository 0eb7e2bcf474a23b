/*
 * transfer/transfer.h - mail that moves house: told mailbox by mailbox, message by message.
 *
 * Layer: transfer.  Whoever reads mail somewhere (a Maildir, an mbox, a folder of files,
 * an IMAP server, a backup, an account of ours) tells it to a `struct transfer_into`;
 * whoever keeps it (an account of ours, a Maildir, an mbox) is one.  Between the command,
 * which may read the files, and the mail role, which keeps the mail, one of them writes
 * what it is told into a stream and the other tells it on (transfer/wire.h).
 *
 * The teller calls, for each mailbox: mailbox, then message for every message in
 * ascending order of UID, then mailbox_end.  Nobody has to hold more than one message.
 * Any call that says false ends the transfer; what was kept so far stays, and a second
 * run goes on from there.
 */
#ifndef TRANSFER_TRANSFER_H
#define TRANSFER_TRANSFER_H

#include "base/body.h"
#include "base/fail.h"
#include "store/store.h"

struct transfer_mailbox {
    struct slice     name;        /* UTF-8, levels separated by '/'; INBOX in capitals */
    uint32_t         uidvalidity; /* 0: the source has none, the keeper gives one */
    uint32_t         uidnext;     /* 0: not known; else at least what it says here */
    enum special_use use;
    bool             subscribed;
    bool             no_select; /* only a level above others */
    struct slice     source;    /* names the place it came from, so that a second run knows it again; at most 500 bytes */
};

struct transfer_message {
    uint32_t            uid; /* 0: the source has none */
    uint32_t            flags; /* STORE_ bits */
    const struct slice *keywords;
    size_t              keyword_count;
    int64_t             internal_date; /* seconds since 1970 */
    int                 internal_zone; /* minutes east of UTC */
    struct slice        uidl;          /* RFC 1939 section 7; empty: it never had one that must be kept */
    /*
     * What it is called where it came from, the same in every run and unique in its
     * mailbox (a UID, a file's unique name, a digest); at most 250 bytes.  Empty: the UID.
     */
    struct slice       key;
    const struct body *body; /* NULL: the keeper has it of an earlier run (`has`); only flags and keywords count */
};

/*
 * A message's key, or its UID with its mailbox's UIDVALIDITY where it has none, in few bytes: what a keeper
 * remembers of what it got, and tells its teller.
 */
struct transfer_digest {
    uint8_t bytes[16];
};
struct transfer_digest transfer_digest(uint32_t uidvalidity, const struct transfer_message *m);

/*
 * What transfer_mailbox.source is for a place that is known by its path: "KIND PATH/BELOW", or what is too long with a hash
 * of all of it for its end.
 */
struct slice transfer_source(struct arena *a, const char *kind, const char *path, struct slice below);

struct transfer_into {
    void *ctx;
    bool (*mailbox)(void *ctx, const struct transfer_mailbox *m, struct fail *why);
    /* Was that message of the present mailbox kept in an earlier run?  Then its body need not be read. */
    bool (*has)(void *ctx, const struct transfer_message *m);
    /*
     * All that `has` would say yes to, in any order: what a stream's other side must know beforehand.  Stops
     * when `each` says false.  NULL: there is nothing from earlier runs.
     */
    bool (*known)(void *ctx, bool (*each)(void *each_ctx, const struct transfer_digest *d), void *each_ctx,
                  struct fail *why);
    /* How many of the messages told so far are on stable storage, and will be whatever comes.  NULL: nobody knows. */
    uint64_t (*durable)(void *ctx);
    bool (*message)(void *ctx, const struct transfer_message *m, struct fail *why);
    /* `whole`: every message that is there was told, so those of an earlier run that were not are gone at the source. */
    bool (*mailbox_end)(void *ctx, bool whole, struct fail *why);
    /* A name that is subscribed to without being a mailbox.  May be NULL. */
    bool (*subscription)(void *ctx, struct slice name, struct fail *why);
    /* A Sieve script, carried along; `active`: the one that filters.  May be NULL. */
    bool (*script)(void *ctx, struct slice name, bool active, struct slice text, struct fail *why);
    /*
     * Something that cannot be brought along, and why, in words for the person who moves:
     * "Maildir/cur/123.x: no message but a folder".  It stands in the summary; the run is no success then.
     */
    void (*left_out)(void *ctx, struct slice what, const char *reason);
    /* How far it is; either may be 0: not known.  May be NULL. */
    void (*progress)(void *ctx, uint64_t messages, uint64_t bytes, uint64_t all_messages, uint64_t all_bytes);
};

/*
 * Something that tells mail: a Maildir, an mbox, a server.  It tells everything it has and returns true, or
 * false where it could not go on (then *why is its own story, or that of the call that said false).
 */
typedef bool transfer_read(void *ctx, const struct transfer_into *into, struct fail *why);

#endif
