/*
 * net/dns_wire.h - DNS messages (RFC 1035), and what the two sides of net/dns.h say to each other.
 *
 * Layer: net, private (and for its tests and its fuzz target).
 */
#ifndef NET_DNS_WIRE_H
#define NET_DNS_WIRE_H

#include "net/dns.h"

enum {
    DNS_NAME_MAX = 253,     /* characters without the last dot, for 255 bytes in a message */
    DNS_LABEL_MAX = 63,
    DNS_MESSAGE_MAX = 65535,
    DNS_QUERY_MAX = 12 + 255 + 4 + 11,
    DNS_RECORDS_MAX = 1000, /* of one answer that are kept */
    DNS_KEPT_MAX = 24 * 3600, /* seconds; also what a resolver role that was taken over has said is not kept longer */
};

/* ---- DNS messages ---- */

/* A name as DNS can have it, as text without its last dot: labels of 1 to 63 visible ASCII characters. */
bool dns_name_valid(struct slice name);

/*
 * A recursive question with EDNS0 (RFC 6891); `validated` asks for the AD bit (DO, RFC 3225 and AD, RFC 6840 section
 * 5.7).  The name is valid.  Returns its length.
 */
size_t dns_query_write(const char *name, enum dns_type type, uint16_t id, bool validated, unsigned char out[DNS_QUERY_MAX]);

/*
 * What a message from outside answers to that question: the records at the end of the CNAMEs.  Everything in it is
 * checked; what is no answer to it is DNS_FAILED.  *authentic: it has the AD bit.  out->secure is left false.
 */
void dns_message_read(struct slice message, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out,
                      bool *authentic);

void dns_answer_failed(struct dns_answer *out, const char *why);

/* ---- between the roles ---- */

enum { DNS_MSG_ASK = 1 };

/* The request: the name, the type.  The answer: */
void dns_answer_add(struct ipc_message *m, enum dns_type type, const struct dns_answer *answer);
/* false: it is none.  Everything in it is in the arena. */
bool dns_answer_get(struct ipc_reader *r, enum dns_type type, struct arena *a, struct dns_answer *out);

/* ---- who finds the answers ---- */

/* The system's resolver (glibc) with the servers of resolv.conf or others. */
struct dns_system;
bool dns_system_create(const struct dns_limits *limits, const char *const *servers, struct dns_system **out, struct fail *why);
void dns_system_destroy(struct dns_system **s);
void dns_system_ask(struct dns_system *s, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out);

/* libunbound, loaded when this is called. */
struct dns_unbound;
bool dns_unbound_create(const struct dns_limits *limits, const char *const *servers, struct dns_unbound **out, struct fail *why);
void dns_unbound_destroy(struct dns_unbound **u);
void dns_unbound_ask(struct dns_unbound *u, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out);

#endif
