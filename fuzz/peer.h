/*
 * fuzz/peer.h - the other role, taken over: messages of any fields, and answers of any fields.
 */
#ifndef FUZZ_PEER_H
#define FUZZ_PEER_H

#include "fuzz.h"
#include "net/ipc.h"

/*
 * Fields of one message, appended to `out`: either the input's bytes as they are, or, field by field, a letter of what
 * it is and its value, so that a fuzzer need not find out how they are written.  `id` stands for a number that an answer gave.
 */
void fuzz_fields(struct slice *in, uint64_t id, struct buf *out);

/* A descriptor for a message, or -1: mostly none, or a file in memory with some bytes, a pipe that nobody writes to. */
int fuzz_descriptor(struct slice *in);

/* Takes a request to a service, as a server would; the answer is the caller's to finish.  What a descriptor was is closed. */
bool fuzz_request(const struct ipc_service *service, uint16_t type, struct slice *in, uint64_t id, struct ipc_message *answer);

/*
 * A server that answers each request with what comes next in its input, but drops those of type `notice` (0: none).  Gives the
 * socket for a client.  Once a process.
 */
int fuzz_peer_start(uint16_t notice);
/* Another connection to it: for a client that thinks its role is gone. */
int fuzz_peer_again(void);
/* What it answers from now on. */
void fuzz_peer_set(struct slice in);

bool fuzz_has(struct slice where, struct slice what);

#endif
