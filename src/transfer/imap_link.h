/*
 * transfer/imap_link.h - a connection to an IMAP server, from the first byte to being signed in.
 *
 * Layer: transfer.  One thread.  Used by the command that moves mail, which holds nothing of ours.
 */
#ifndef TRANSFER_IMAP_LINK_H
#define TRANSFER_IMAP_LINK_H

#include "net/tls_client.h"
#include "transfer/imap_in.h"

struct imap_host {
    const char *host, *port; /* port: "143", "993" */
    enum imap_tls {
        IMAP_TLS,      /* from the first byte on */
        IMAP_STARTTLS, /* must be offered */
        IMAP_CLEAR,    /* none at all: whoever listens reads the password */
    } tls;
    bool        insecure;    /* any certificate will do */
    const char *authorities; /* PEM file; NULL: the system's */
    const char *user;        /* "ann", or for a master user as the server wants it, "ann*master" */
    const char *password;    /* NULL: `token` */
    const char *token;       /* OAuth 2: OAUTHBEARER (RFC 7628) or XOAUTH2 */
    unsigned    seconds;     /* that the server may be silent */
};

struct imap_link {
    const struct imap_host *host;
    int                     fd;
    struct tls_client      *client;
    struct tls_link        *tls;
    unsigned                tag; /* of the last command */
    bool                    greeted;
    struct buf              capabilities; /* each with a blank in front and behind */
    struct imap_in          in;
};

/* *host outlives it.  Nothing is connected yet. */
void imap_link_init(struct imap_link *l, const struct imap_host *host);
void imap_link_finish(struct imap_link *l);
/*
 * Connects, takes TLS, signs in.  FAIL_AUTH if that was refused for good, FAIL_PERM where trying again is no use
 * (a wrong certificate, no STARTTLS), else FAIL_TEMP.
 */
bool imap_link_open(struct imap_link *l, struct fail *why);
void imap_link_close(struct imap_link *l);
bool imap_link_is_open(const struct imap_link *l);

bool imap_link_can(const struct imap_link *l, const char *capability);

/* Sends "TAG command\r\n"; the tag is l->tag afterwards. */
bool imap_link_send(struct imap_link *l, struct fail *why, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The tag's number; 0: none of ours. */
unsigned imap_link_tag(struct slice tag);
/* A mailbox name as a command takes it: quoted, or a literal in a server's eyes that is never needed (no CR, LF, NUL). */
void imap_link_add_quoted(struct buf *out, struct slice text);

/*
 * Sends a command and hears until its end.  `data` (may be NULL) is called for each untagged response with its
 * number and word read; it reads the rest up to imap_in_end, or says false: then it is skipped.  *status and *text
 * (valid until the next response) are the server's last word; false: the link failed and is closed.
 */
typedef bool imap_data(void *ctx, struct imap_link *l, const struct imap_answer *a);
struct imap_result {
    enum imap_status status;
    struct slice     code, text;
};
bool imap_link_run(struct imap_link *l, imap_data *data, void *ctx, struct imap_result *result, struct fail *why, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* The next response; status responses of the server itself (CAPABILITY, BYE) are understood on the way. */
struct imap_answer imap_link_hear(struct imap_link *l, struct fail *why);

/* ---- among imap_link.c and imap_sign_in.c ---- */
bool imap_sign_in(struct imap_link *l, struct fail *why);
bool imap_link_write(struct imap_link *l, struct slice bytes, struct fail *why);
/* What the server refused with, as a story; false. */
bool imap_refused(const struct imap_result *r, enum fail_reason reason, const char *what, struct fail *why);

#endif
