/*
 * auth/hash_queue.h - who may run Argon2id next.
 *
 * Layer: auth, private to it.  A run takes 25 ms of a core, and anybody can ask for one by guessing a password.
 * So there are as many threads for it as runs may be, of lower priority than everything else, and a short queue
 * that is fair: who has signed in to that account from that address lately goes first; among strangers the
 * second who waits from one address, or for one login, stands behind the first of all others.  Where the queue
 * is full, whoever stands last is sent away, so that nobody waits long, and nobody for what a botnet asked.
 */
#ifndef AUTH_HASH_QUEUE_H
#define AUTH_HASH_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct fail;
struct hash_queue;

/* Who asks: keyed hashes of address and login. */
struct hash_asker {
    uint64_t peer, login;
    bool known; /* has signed in to the account from there, or gives orders */
};

/* `runs` at one time, `waiting` beside them at most (0: none).  Starts the threads. */
struct hash_queue *hash_queue_create(unsigned runs, unsigned waiting, struct fail *why);
/* Nobody may be in it.  Fine on NULL. */
void hash_queue_destroy(struct hash_queue **q);

/* Runs `work` on one of the threads and returns when it is done; false: there are too many, it did not run. */
bool hash_queue_run(struct hash_queue *q, const struct hash_asker *asker, void (*work)(void *ctx), void *ctx);

/* For tests: how many wait. */
unsigned hash_queue_waiting(struct hash_queue *q);

#endif
