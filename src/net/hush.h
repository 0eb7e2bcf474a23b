/*
 * net/hush.h - one log line an address and a minute, and how many were not written.
 *
 * Layer: net, private.  What strangers can cause as often as they like must not fill the disk.
 * The first of its kind from an address (IPv6: its /64) is logged; those that follow within a minute are
 * counted, and told in one line when it is over.  Memory is fixed: when more addresses make noise
 * than fit, the quietest is forgotten, and at most HUSH_LINES lines a minute are written in all.
 *
 * Any thread.
 */
#ifndef NET_HUSH_H
#define NET_HUSH_H

#include <stdint.h>

#include "net/conn.h"

enum hush_kind { HUSH_REFUSED, HUSH_TLS_FAILED };
enum { HUSH_ENTRIES = 512, HUSH_LINES = 600, HUSH_MS = 60 * 1000 };

struct hush;

struct hush *hush_create(void);
void hush_destroy(struct hush **h);

/* May a line be written?  false: it was counted.  `now` in ms; `key` stands for the address, `peer` is it as text. */
bool hush_speak(struct hush *h, enum hush_kind kind, uint64_t key, const struct conn_address *peer, int64_t now);

/* One whose minute is over and that has something to tell; false: there is none. */
struct hush_count {
    enum hush_kind kind;
    struct conn_address peer; /* empty: addresses that there was no room for */
    unsigned count;
};
bool hush_next(struct hush *h, int64_t now, struct hush_count *out);

#endif
