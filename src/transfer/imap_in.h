/*
 * transfer/imap_in.h - what an IMAP server says, read with bounds.
 *
 * Layer: transfer.  A reader that fails once stays failed: `why` is FAIL_TEMP when the connection broke, FAIL_PERM
 * FAIL_INVALID when what came is no IMAP (RFC 9051 section 9).  Tokens are copied into the arena, which the
 * caller empties between responses; a token beyond IMAP_IN_TOKEN_MAX fails.  Literals that are message bodies go
 * elsewhere piece by piece (imap_in_body).
 */
#ifndef TRANSFER_IMAP_IN_H
#define TRANSFER_IMAP_IN_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/body.h"
#include "base/fail.h"

enum { IMAP_IN_TOKEN_MAX = 64 * 1024, IMAP_IN_ARENA = 1 << 20, IMAP_IN_DEPTH = 50 };

struct imap_in {
    /* Some bytes, 0 at the end, -1 and *why. */
    ssize_t (*read)(void *ctx, void *out, size_t n, struct fail *why);
    void        *ctx;
    struct arena arena;
    size_t       at, len;
    bool         failed;
    struct fail  why;
    char         buf[64 * 1024];
};

void imap_in_init(struct imap_in *in, ssize_t (*read)(void *ctx, void *out, size_t n, struct fail *why), void *ctx);
void imap_in_finish(struct imap_in *in);
bool imap_in_fail(struct imap_in *in, const char *what); /* "the server's answer is no IMAP: WHAT"; false */

int  imap_in_peek(struct imap_in *in); /* the next byte, -1 when failed */
bool imap_in_accept(struct imap_in *in, char c);
void imap_in_expect(struct imap_in *in, char c);

/* Up to a blank, parenthesis, bracket "[", quote or line end; with `brackets`, "[" is no end (flags, mailbox names). */
struct slice imap_in_atom(struct imap_in *in, bool brackets);
/* Atom, quoted or literal; NIL too where *nil is asked for. */
struct slice imap_in_astring(struct imap_in *in, bool *nil);
uint64_t     imap_in_number(struct imap_in *in, uint64_t limit);
/* Any value: atom, number, string, list of values. */
void imap_in_skip(struct imap_in *in);
/* The text up to the line end, which stays; at most 1,000 bytes are kept. */
struct slice imap_in_text(struct imap_in *in);
/* Everything up to the end of the response, literals skipped. */
void imap_in_end(struct imap_in *in);
/* nstring into `body`; *nil: there is none. A body that takes no more (*refused, see *refusal) is read on and thrown away. */
struct imap_in_taken { bool nil, refused; struct fail refusal; };
void imap_in_body(struct imap_in *in, struct body *body, struct imap_in_taken *taken);

/* ---- responses ---- */

/*
 * The beginning of a response.  IMAP_STATUS and IMAP_TAGGED are read to their end; of IMAP_DATA number and word are
 * read, the rest is the caller's, up to imap_in_end.
 */
struct imap_answer {
    enum imap_answer_kind { IMAP_FAILED, IMAP_CONTINUE, IMAP_TAGGED, IMAP_STATUS, IMAP_DATA } kind;
    struct slice tag;
    enum imap_status { IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_BYE, IMAP_PREAUTH } status;
    struct slice code, text; /* "UIDVALIDITY 7"; of CONTINUE the text alone */
    bool         has_number;
    uint32_t     number;
    struct slice word; /* "FETCH", "LIST" */
};
/* Empties the arena first. */
struct imap_answer imap_in_answer(struct imap_in *in);

/* ---- one message's data ---- */

enum { IMAP_KEYWORDS_MAX = 512 };
struct imap_fetched {
    uint32_t     uid; /* 0: did not come */
    bool         has_flags, has_body, important; /* X-GM-LABELS has \Important */
    bool         keywords_cut; /* it has more than IMAP_KEYWORDS_MAX */
    uint32_t     flags;
    struct slice keywords[IMAP_KEYWORDS_MAX];
    size_t       keyword_count;
    bool         has_date;
    int64_t      date;
    int          zone;
    uint64_t     size;
    struct slice labels[IMAP_KEYWORDS_MAX]; /* X-GM-LABELS, as the server writes them */
    size_t       label_count;
    struct imap_in_taken taken;
};
/* msg-att behind "FETCH ", to the end of the response.  A BODY[] goes into `body`, if that is not NULL. */
void imap_in_fetched(struct imap_in *in, struct body *body, struct imap_fetched *out);

#endif
