/*
 * policy/internal.h - a check, as the files of this room share it.
 *
 * Layer: policy, private.
 */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include <pthread.h>

#include "base/log.h"
#include "policy/access.h"
#include "policy/guard.h"
#include "policy/memo.h"
#include "policy/policy.h"

struct milter_link;

struct policy {
    struct policy_setting       setting;
    const struct policy_config *config;
    const struct policy_limits *limits;
    struct access_table       **tables; /* access_count of them */
    bool                        asks_client_names; /* a table for clients has names in it */
    struct guard               *list_guards, *milter_guards, rspamd_guard;

    /* ---- greylist.c, rate.c ---- */
    pthread_mutex_t memo_lock;
    struct memo     greylist; /* first: when it was first tried; last: when last; count: times it was let in */
    struct memo     rates;    /* first: theoretical arrival time, us; last: seconds */
    struct memo     accounts; /* first: when the window began; count */
    bool            memo_changed;

    /* ---- pool.c ---- */
    pthread_mutex_t      lock;
    pthread_cond_t       work;   /* something to do, or stopping */
    pthread_cond_t       keep;   /* stopping, for the keeper */
    struct policy_check *first, **last;
    unsigned             waiting, idle, thread_count;
    pthread_t           *threads;
    pthread_t            keeper;
    bool                 has_keeper;
    atomic_bool          stopping;
};

/* What a table or a list has said about the client, its name, or the transaction, until that is over. */
struct policy_mark {
    bool  allowed, junk, discard;
    bool  listed_good; /* by a DNS allowlist: not greylisted */
    char *redirect; /* NULL: none */
    char  by[60];
};
enum policy_scope { SCOPE_CLIENT, SCOPE_HELO, SCOPE_MESSAGE, SCOPE_COUNT };

enum client_name { NAME_NOT_ASKED, NAME_CONFIRMED, NAME_NONE, NAME_UNSURE /* DNS did not answer */ };

struct policy_session {
    struct policy      *policy;
    unsigned            owners; /* under the policy's lock: the session, and a check that is under way */
    bool                busy;   /* the same: a check is under way */
    struct policy_mark  marks[SCOPE_COUNT];
    enum client_name    name_state;
    char               *name; /* NAME_CONFIRMED */
    bool                listed_asked; /* for this message */
    struct milter_link *milters;      /* milter_count of them; NULL before the first */
};

struct policy_check {
    struct policy         *policy;
    struct policy_session *session;
    enum policy_stage      stage;
    struct policy_facts    facts; /* its slices in the arena */
    struct arena           arena;
    struct waker           waker;
    struct policy_verdict  verdict;
    struct body           *message; /* as changed; NULL: as it came */
    struct policy_change  *changes;
    size_t                 change_count, change_cap;
    struct buf            *explain; /* NULL: in earnest */
    struct policy_check   *next;
    bool                   done; /* under the policy's lock */
    atomic_bool            dropped; /* nobody wants the verdict any more; set under the lock */
};

/* ---- steps.c ---- */

/* Must somebody else be asked at this stage? */
bool check_waits(const struct policy_check *c);
/* The whole check, from top to bottom. */
void check_run(struct policy_check *c);

/* A no, or an end of the questions; false, so that a line can return it. */
bool check_say(struct policy_check *c, enum policy_action action, unsigned code, const char *status, const char *by, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* For `posthorn policy test`: one line of what was looked at. */
void check_note(struct policy_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool check_is_allowed(const struct policy_check *c);
/* A stranger on port 25, whom no table allows. */
bool check_is_stranger(const struct policy_check *c);
void check_change(struct policy_check *c, enum policy_change_kind kind, struct slice address);
/* FOR_... of this session. */
unsigned check_service(const struct policy_check *c);

/* The steps: true: go on. */
bool step_rate_client(struct policy_check *c);    /* rate.c */
bool step_rate_message(struct policy_check *c);
bool step_rate_recipient(struct policy_check *c);
bool step_greylist(struct policy_check *c);       /* greylist.c */
bool step_helo(struct policy_check *c);           /* names.c */
bool step_sender_domain(struct policy_check *c);
bool step_lists(struct policy_check *c);          /* lists.c */
bool step_rspamd(struct policy_check *c, struct body **message);  /* rspamd.c */
bool step_milters(struct policy_check *c, struct body **message); /* milter.c */

/* ---- names.c ---- */

/* The client's name, if its PTR is confirmed by its address; asks DNS once a session.  Empty: none, or not known. */
struct slice client_name(struct policy_check *c);

/* ---- greylist.c, rate.c ---- */

/* The first 24 bits of an IPv4 address, 64 of an IPv6 one; the rest zero. */
struct in6_addr client_network(const struct in6_addr *address);

/* ---- saving.c ---- */

void memos_load(struct policy *p);
void memos_save(struct policy *p);

/* ---- pool.c ---- */

bool pool_start(struct policy *p, struct fail *why);
void pool_stop(struct policy *p);
/* false: too many wait already. */
bool pool_add(struct policy *p, struct policy_check *c);

/* ---- policy.c ---- */

void check_destroy(struct policy_check *c);
void session_release(struct policy_session *ps); /* under the policy's lock; the last one frees it */

/* ---- milter.c ---- */

void milters_reset(struct policy_session *ps);
void milters_close(struct policy_session *ps);

#endif
