/*
 * base/fail.h - what went wrong: for now or for good, and the story.
 *
 * Layer: base.  A function that can fail returns bool and fills a `struct fail`
 * that its caller gave.  Each level may put where it was in front; only the
 * session (or the command line) logs it and answers.
 */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

#include "base/slice.h"

enum fail_kind {
    FAIL_TEMP, /* trying again later may help: 4xx, NO [UNAVAILABLE] */
    FAIL_PERM, /* it will not: 5xx, NO */
};

/*
 * Why, for programs, where a protocol has a word for it (RFC 5530 and others).
 * FAIL_OTHER is right for everything that no protocol answers in its own way.
 */
enum fail_reason {
    FAIL_OTHER = 0,
    FAIL_NOT_FOUND,      /* no such mailbox, account, message: NONEXISTENT, TRYCREATE */
    FAIL_EXISTS,         /* ALREADYEXISTS */
    FAIL_OVER_QUOTA,     /* OVERQUOTA, 452/552 4.2.2 */
    FAIL_OVER_DOMAIN_QUOTA, /* the same, of all accounts of a domain together */
    FAIL_LIMIT,          /* one of our limits: LIMIT */
    FAIL_NOT_ALLOWED,    /* nobody may: CANNOT */
    FAIL_NO_PERMISSION,  /* this user may not: NOPERM */
    FAIL_INVALID,        /* the name or value itself is no good */
    FAIL_NO_SPACE,       /* the disk's reserve was reached: 452 4.3.1 */
    FAIL_OUT_OF_SERVICE, /* the account or volume was taken out of service */
    FAIL_TOO_BIG,        /* 552 5.3.4, TOOBIG */
    FAIL_HAS_CHILDREN,   /* HASCHILDREN */
    FAIL_AUTH,           /* credentials refused: AUTHENTICATIONFAILED, 535 5.7.8 */
    FAIL_DAMAGED,        /* what is stored is not what was written: CORRUPTION */
};

struct fail {
    enum fail_kind   kind;
    enum fail_reason reason;
    char             code[12]; /* enhanced status code (RFC 3463), "" if nobody chose one */
    bool             internal; /* the text names files or SQL: who asked from outside is told fail_said() */
    char             text[240]; /* one line, no CR or LF, NUL-terminated, valid for logs */
};

static inline bool fail_is_quota(const struct fail *f)
{
    return f->reason == FAIL_OVER_QUOTA || f->reason == FAIL_OVER_DOMAIN_QUOTA;
}

/* All return false, so that a line can say `return fail_...`.  `why` may be NULL. */
bool fail_set(struct fail *why, enum fail_kind kind, enum fail_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with an enhanced status code such as "4.3.1". */
bool fail_code(struct fail *why, enum fail_kind kind, enum fail_reason reason, const char *code,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* "fmt: " in front of the story so far; kind, reason and code stay. */
bool fail_at(struct fail *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same of what concerns nobody but the administrator; the code may be "". */
bool fail_internal(struct fail *why, enum fail_kind kind, enum fail_reason reason, const char *code,
                   const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Internal, FAIL_TEMP, with errno_text(errnum) behind the text; ENOSPC and EDQUOT become FAIL_NO_SPACE, 4.3.1. */
bool fail_errno(struct fail *why, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* What strerror(errnum) says, in English; a constant, so that any thread may ask. */
const char *errno_text(int errnum);

/* What may be said of it to who asked from outside: its text, or in general words what an internal one means to him. */
const char *fail_said(const struct fail *why);

/* The kind and reason without text, for tests: "temporary", "permanent". */
const char *fail_kind_name(enum fail_kind kind);

/*
 * A broken invariant: says where on standard error and aborts.  For what cannot
 * happen whatever a client sends.
 */
_Noreturn void bug_at(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

/* malloc and friends that never return NULL: out of memory ends the process. */
_Noreturn void die_no_memory(size_t wanted);
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xslicedup(struct slice s); /* NUL-terminated copy */

#endif
