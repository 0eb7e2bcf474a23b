/*
 * net/ipc_wire.h - a message as it crosses the socket.
 *
 * Layer: net, private.  A header of 16 bytes, then fields, each a letter for its
 * type and its value; numbers as this machine has them, because both ends are
 * the same program on the same machine.
 */
#ifndef NET_IPC_WIRE_H
#define NET_IPC_WIRE_H

#include "net/ipc.h"

enum ipc_kind {
    IPC_REQUEST = 1,
    IPC_ANSWER,
    IPC_REFUSAL, /* the answer is a struct fail */
    IPC_NOTICE,
};

struct ipc_header {
    uint16_t magic;
    uint16_t type;
    uint32_t kind;
    uint64_t id; /* chosen by who asks, repeated by who answers; 0 in a notice */
};

/* A message that has come. */
struct ipc_packet {
    struct ipc_header header;
    int               fd; /* -1: none */
    size_t            len;
    char              bytes[]; /* the fields */
};

enum ipc_got { IPC_GOT, IPC_LATER, IPC_END, IPC_BAD };

/*
 * Takes one message from the socket without waiting.  IPC_GOT: *out is the
 * caller's until ipc_packet_free().  IPC_END: the other side has gone.  IPC_BAD:
 * what came is no message of ours.
 */
enum ipc_got ipc_receive(int socket, struct ipc_packet **out);
void         ipc_packet_free(struct ipc_packet **p); /* closes a descriptor nobody took */
struct ipc_reader ipc_packet_reader(struct ipc_packet *p);
/* What is in these bytes, for ipc_receive and for the fuzzer: false if the header is not one. */
bool ipc_header_check(const struct ipc_header *h);

/* Sends one message; waits up to `wait_ms` (between block_begin and block_end) for room. */
bool ipc_send(int socket, enum ipc_kind kind, uint64_t id, const struct ipc_message *m, int wait_ms, struct fail *why);

/* A failure as the fields of an IPC_REFUSAL, and back; what comes is checked and cleaned. */
void ipc_add_fail(struct ipc_message *m, const struct fail *why);
void ipc_get_fail(struct ipc_reader *r, struct fail *why);

#endif
