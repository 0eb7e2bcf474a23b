/*
 * pop3/session.h - one POP3 session, as the files of this room share it.
 *
 * Layer: pop3; inside the room only.  A command reads its arguments, acts and gives
 * its one answer.  What cannot be done in one go leaves a step in s->step, which is
 * called until it has answered.
 *
 * The maildrop is INBOX as it was at login: a view of the store, of which a parked session
 * keeps 16 bytes.  Nothing is locked: other sessions change the mailbox meanwhile, and what they
 * take out of it stays readable as long as the store keeps it.
 */
#ifndef POP3_SESSION_H
#define POP3_SESSION_H

#include "base/fail.h"
#include "pop3/server.h"
#include "store/maildrop.h"
#include "store/view.h"

struct pop3_session;
/* Goes on with a command; clears s->step when it is done. */
typedef enum turn pop3_step(struct pop3_session *s);

/* RFC 1939 section 3; UPDATE is what QUIT does. */
enum pop3_state {
    POP3_AUTHORIZATION = 1,
    POP3_TRANSACTION = 2,
};

struct pop3_drop {
    uint64_t          mailbox;
    struct view      *view; /* NULL while parked, when `token` stands for it */
    struct view_token token;
    uint32_t          count, deleted;          /* messages, and those marked by DELE */
    uint64_t          octets, deleted_octets;  /* of them */
    uint64_t         *marks; /* two bits a message, see drop.c; NULL: none is set */
};

struct pop3_session {
    struct conn               *conn;
    const struct pop3_service *service;
    struct account            *account; /* NULL before login */
    struct waker               waker;
    enum pop3_state            state;
    struct pop3_drop           drop; /* in POP3_TRANSACTION */
    char                      *user; /* of USER, until PASS; NULL: none */
    struct login              *login; /* while signing in */
    pop3_step                 *step;
    void                      *step_data; /* on the heap; freed by step_free */
    void                     (*step_free)(void *data);
    unsigned                   bad_commands, failed_logins;
    bool                       utf8; /* UTF8 was said (RFC 6856) */
    bool                       challenged; /* "+ ..." was sent: a response is due */
    bool                       closing, starting_tls;
};

/* ---- reply.c ---- */

void pop3_ok(struct pop3_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The text may begin with a response code (RFC 2449 section 8). */
void pop3_err(struct pop3_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The client has said something wrong: after some of these in a row the session is closed. */
void pop3_bad(struct pop3_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* With the response code of RFC 3206 for that kind; ours are logged. */
void pop3_err_because(struct pop3_session *s, const char *command, const struct fail *why);
/* The session ends after this turn. */
void pop3_close(struct pop3_session *s);

/* ---- commands.c ---- */

/* Finds the command's row, checks where it may stand, runs it.  `line` is without its CRLF. */
void pop3_dispatch(struct pop3_session *s, struct slice line);
/* Gives back what a step held, and forgets it. */
void pop3_end_step(struct pop3_session *s);

/* ---- capa.c ---- */

void pop3_capa(struct pop3_session *s, struct slice args);
void pop3_utf8(struct pop3_session *s, struct slice args);
void pop3_lang(struct pop3_session *s, struct slice args);
/* The mechanisms that may be used on this connection as it is now, separated by blanks; empty: none. */
struct slice pop3_mechanisms(const struct pop3_session *s);

/* ---- login.c ---- */

void pop3_stls(struct pop3_session *s, struct slice args);
void pop3_user(struct pop3_session *s, struct slice args);
void pop3_pass(struct pop3_session *s, struct slice args);
void pop3_auth(struct pop3_session *s, struct slice args);
void pop3_apop(struct pop3_session *s, struct slice args);
/* May a client sign in on this connection as it is now? */
bool pop3_offers_login(const struct pop3_session *s);
/* Does it wait for what it is to be answered with, rather than for its client? */
bool pop3_waits_for_login(const struct pop3_session *s);

/* ---- drop.c ---- */

/* The step after a login: opens the maildrop and answers. */
enum turn pop3_open_drop(struct pop3_session *s);
/* The view, for this turn.  false: answered, and the session ends. */
bool pop3_need_view(struct pop3_session *s);
void pop3_park_view(struct pop3_session *s);
void pop3_close_drop(struct pop3_session *s);
bool pop3_is_deleted(const struct pop3_drop *d, uint32_t position);
/* It was sent by RETR. */
void pop3_note_sent(struct pop3_session *s, uint32_t position);
/*
 * The message that `number` names, and its row.  false: answered.  *m: its texts are valid as long as *a, which
 * is the caller's.
 */
struct arena;
bool pop3_find(struct pop3_session *s, const char *command, struct slice number, uint32_t *position,
               struct arena *a, struct maildrop_message *m);
void pop3_stat(struct pop3_session *s, struct slice args);
void pop3_list(struct pop3_session *s, struct slice args);
void pop3_uidl(struct pop3_session *s, struct slice args);
void pop3_dele(struct pop3_session *s, struct slice args);
void pop3_rset(struct pop3_session *s, struct slice args);
/* Takes out of INBOX what is marked; all or nothing.  `command`'s answer is given. */
void pop3_update(struct pop3_session *s);

/* ---- send.c ---- */

void pop3_retr(struct pop3_session *s, struct slice args);
void pop3_top(struct pop3_session *s, struct slice args);

#endif
