/*
 * transfer/mbox.h - one mbox file, message by message.
 *
 * Layer: transfer.  Four dialects share one look (each message begins with a From_ line and ends with an empty line)
 * and differ in what they do about lines of the text that begin so too:
 *
 *     mboxo     "From " becomes ">From "; nobody knows afterwards which was which
 *     mboxrd    "From ", ">From ", ">>From " ... get one ">" more, so it can be taken away again
 *     mboxcl    as mboxrd, and a Content-Length field says how long the text is
 *     mboxcl2   Content-Length alone; the text stays as it is
 *
 * MBOX_GUESS looks at the first 32 MB: if half of the messages have a Content-Length that fits exactly (the file's end or a
 * From_ line stands behind it) it is mboxcl or mboxcl2: the former if a quoted From_ line was seen in a
 * text and none without quotes.  Else it is mboxrd if a line begins with ">>From ", and mboxo otherwise.
 * In mboxcl and mboxcl2 a message whose Content-Length does not fit ends at the next From_ line.
 *
 * A line begins a message if it begins with "From " and a sender and date follow that can be read, behind an empty line;
 * behind any other line a header field must follow too.  Lines end in LF or CRLF; messages are
 * told with CRLF.  The fields that belong to the mailbox and not to the message are taken out and understood:
 * Status, X-Status, X-Keywords, X-UID, X-IMAP, X-IMAPbase (UW-IMAP, Dovecot, mutt), X-Mozilla-* (Thunderbird),
 * X-Gmail-Labels, X-GM-THRID (Google Takeout), Content-Length in mboxcl*.  A message's own fields of these names were
 * written as X-Posthorn-Kept-NAME by transfer/write_mbox.c and get their names back.
 *
 * Nothing is held in memory but a window of 256 KB and one header.
 */
#ifndef TRANSFER_MBOX_H
#define TRANSFER_MBOX_H

#include "base/arena.h"
#include "base/body.h"
#include "base/buf.h"
#include "base/fail.h"

enum mbox_dialect { MBOX_GUESS, MBOX_O, MBOX_RD, MBOX_CL, MBOX_CL2 };
const char *mbox_dialect_name(enum mbox_dialect d); /* "mboxrd" */
bool mbox_dialect_of(struct slice name, enum mbox_dialect *out);

enum { MBOX_KEYWORDS_MAX = 512, MBOX_HEADER_MAX = 1 << 20 };

/* Where the bytes are.  `read_at` gives up to `n` of them; *got is 0 only at the end. */
struct mbox_input {
    bool (*read_at)(void *ctx, uint64_t offset, void *out, size_t n, size_t *got, struct fail *why);
    void *ctx;
};

/* Slices live until the next call. */
struct mbox_message {
    uint64_t     offset, end; /* of the From_ line, and behind the message */
    struct slice sender;
    bool         has_date; /* of the From_ line, else a Received or Date field */
    int64_t      date;
    int          zone;
    uint32_t     uid, flags; /* uid: of X-UID, 0 if there is none */
    struct slice keywords[MBOX_KEYWORDS_MAX];
    size_t       keyword_count;
    bool         keywords_cut; /* it has more than so many */
    struct slice uidl;       /* X-UIDL */
    struct slice labels;     /* of Google Takeout, UTF-8, separated by commas */
    bool         has_labels;
    bool         internal;   /* "FOLDER INTERNAL DATA" of UW-IMAP: no message */
    bool         expunged;   /* removed by Thunderbird, not yet compacted */
    bool         cut_short;  /* its Content-Length goes past the end of the file */
    bool         refused;    /* the sink took no more of it (FAIL_PERM), see `refusal` */
    struct fail  refusal;
};

/* What the file's first message says of all (X-IMAP, X-IMAPbase); uidvalidity 0: nothing. */
struct mbox_base {
    uint32_t uidvalidity, last_uid;
    bool     has_labels; /* it is a Google Takeout */
};

struct mbox;
/* FAIL_PERM FAIL_INVALID if it is no mbox; an empty file is one.  The input must outlive it. */
bool mbox_open(const struct mbox_input *in, enum mbox_dialect dialect, struct mbox **out, struct fail *why);
void mbox_close(struct mbox **m); /* fine on NULL */
enum mbox_dialect mbox_found(const struct mbox *m);
const struct mbox_base *mbox_base_of(const struct mbox *m);

/* Where the message goes; NULL: nowhere, only what is said of it counts. */
struct mbox_sink {
    bool (*add)(void *ctx, struct slice piece, struct fail *why);
    void *ctx;
};
enum mbox_step { MBOX_MESSAGE, MBOX_END, MBOX_FAILED };
enum mbox_step mbox_next(struct mbox *m, const struct mbox_sink *sink, struct mbox_message *out, struct fail *why);
/* To a message's `offset`. */
void mbox_seek(struct mbox *m, uint64_t offset);

/* ---- among mbox*.c ---- */

/* Reads the fields of the mailbox out of `header` (lines with their ends) and adds the message's own to `out` with CRLF. */
struct mbox_fields {
    bool             content_length_counts; /* it is one of the mailbox's fields */
    bool             has_length;
    uint64_t         length; /* Content-Length */
    struct mbox_base base;
    bool             has_base;
};
void mbox_header_read(struct arena *a, struct slice header, struct buf *out, struct mbox_fields *fields, struct mbox_message *m);
/* Is it one of the fields that belong to the mailbox (without Content-Length)? */
bool mbox_header_is_ours(struct slice name);
#define MBOX_KEPT "X-Posthorn-Kept-"

#endif
