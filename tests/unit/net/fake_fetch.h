/*
 * tests/unit/net/fake_fetch.h - a fetch role inside a test: a fetch_client that answers from a table.
 */
#ifndef TESTS_FAKE_FETCH_H
#define TESTS_FAKE_FETCH_H

#include <pthread.h>

#include "base/fail.h"
#include "net/fetch.h"

struct fake_page {
    const char *url; /* NULL: the end of the table */
    unsigned    status;
    const char *type, *body;
    enum fail_reason failure; /* not FAIL_OTHER: no answer, for that reason */
};

struct fake_fetch {
    struct fetch_client *client;
    struct ipc_server   *server;
    pthread_mutex_t      lock; /* of what follows */
    pthread_cond_t       change;
    const struct fake_page *pages;
    unsigned             asked;
    bool                 held; /* answers wait */
    struct buf           posted; /* the last body */
    struct buf           posted_type;
};

struct fake_fetch *fake_fetch_start(const struct fake_page *pages);
void fake_fetch_stop(struct fake_fetch **f);
void fake_fetch_set(struct fake_fetch *f, const struct fake_page *pages);
void fake_fetch_hold(struct fake_fetch *f, bool held);
unsigned fake_fetch_asked(struct fake_fetch *f);
/* Until so many have been asked for. */
void fake_fetch_await(struct fake_fetch *f, unsigned asked);

#endif
