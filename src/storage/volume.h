/*
 * storage/volume.h - message bodies in append-only volumes.
 *
 * Layer: storage.  A volume is a file of (by default) 128 MB that is written
 * once, front to back, by one process, and never changed: records one after the
 * other, each with a header that says all about it (who gets it and what was
 * decided), then the message in frames with a CRC each.  One fdatasync serves
 * everybody who waits for one.
 *
 * A reference (volume number in the upper, offset in the lower 32 bits) stands
 * for a record for ever, also after compaction.  It is never 0.  It is also the
 * record's delivery id: unique, and never used twice.
 */
#ifndef STORAGE_VOLUME_H
#define STORAGE_VOLUME_H

#include "base/arena.h"
#include "base/body.h"
#include "base/fail.h"

struct volumes; /* a folder of volumes and the threads that tend it */

typedef uint64_t volume_ref; /* 0: none */

struct volume_limits {
    uint64_t volume_bytes;       /* default 128 MB; smaller on a small disk (1/64 of it, at least 4 MB) */
    uint64_t prewrite_bytes;     /* zeros kept written ahead of the end; default 8 MB */
    unsigned reserve_percent;    /* new mail is refused below this much free space; default 5 */
    uint64_t reserve_bytes;      /* ... and below this; default 64 MB */
    unsigned free_after_seconds; /* space of a released record is given back no earlier; default 3600 */
    int compression;             /* zstd level of frames where it helps; 0: never.  Default 1 */
    /*
     * Smaller messages are not compressed; default 128 KB.  A frame of 64 KB costs 0.2 ms to
     * pack and 0.05 ms to unpack, about half of all other work of a delivery; real mail
     * shrinks to a third, base64 to three quarters.  Large messages come seldom and hold most
     * of the bytes: they are worth it.
     */
    uint64_t compress_from;
    unsigned open_files; /* volumes kept open for reading; default 256 */
};
void volume_limits_default(struct volume_limits *l);

/* What was decided for one recipient of a record. */
struct record_target {
    enum record_target_kind { RECORD_LOCAL = 1, RECORD_OUTBOUND = 2 } kind;
    uint64_t account;       /* RECORD_LOCAL: the account's id */
    uint64_t mailbox;       /* RECORD_LOCAL: mailbox id there; 0: INBOX */
    uint32_t flags;         /* STORE_ bits (store/store.h) to be set */
    struct slice keywords;  /* space-separated, may be empty */
    struct slice recipient; /* the envelope's address as RCPT gave it */
    struct slice prefix;    /* header lines put in front for this recipient (Return-Path, Delivered-To) */
    struct slice options;   /* of the recipient, in queue/envelope.h's text form; usually empty */
    struct slice sender;    /* RECORD_OUTBOUND: a reverse-path of its own (a forward's); empty: the record's */
};

struct record {
    enum record_kind {
        RECORD_DELIVERY = 1,
        RECORD_APPEND = 2
    } kind; /* RECORD_APPEND: one account's APPEND or COPY: its row is written by whoever waits */
    struct slice sender;   /* reverse-path, empty for <> */
    int64_t internal_date; /* seconds since 1970 */
    int internal_zone;     /* minutes east of UTC */
    struct slice trace;    /* log id of the session */
    struct slice options;  /* of the message, in queue/envelope.h's text form; usually empty */
    const struct record_target *targets;
    size_t target_count;
    uint64_t size; /* of the message (without any prefix): filled by reading */
};

/*
 * Opens or makes the folder `dir` and starts its thread.  Nobody else may have
 * it open (main/ holds the lock).  A new volume is begun for new records.
 */
bool volumes_open(const char *dir, const struct volume_limits *limits, struct volumes **out,
                  struct fail *why);
/*
 * The same for a folder that is not this process's to change (a backup): nothing is written, not even tidied up; its
 * files may be symbolic links.
 */
bool volumes_open_read_only(const char *dir, const struct volume_limits *limits, struct volumes **out,
                            struct fail *why);
/* Finishes pending syncs, trims the current volume's zeros, closes. */
void volumes_close(struct volumes **v);

/*
 * Appends one record and returns when it is on stable storage (group commit).
 * FAIL_TEMP FAIL_NO_SPACE below the reserve or when the disk is full; any failed
 * write or sync seals the volume and fails everybody that waited on it.
 */
bool volume_append(struct volumes *v, const struct record *rec, const struct body *body, volume_ref *ref,
                   struct fail *why);

/*
 * The same for who has no thread to spare: returns once the record is written, and `done` is told, by a thread of the
 * volumes', when it is on stable storage (`ref` says where) or when it is known that it never will be.  `done` must not
 * wait.  *p is the caller's, stays where it is until then, and has `done` filled in; false: it will not be called.
 */
struct volume_pending {
    void (*done)(struct volume_pending *p, bool ok, const struct fail *why);
    volume_ref ref;
    struct volume *vol; /* these are the volumes' own */
    uint64_t ticket;
    struct volume_pending *next;
};
bool volume_append_later(struct volumes *v, const struct record *rec, const struct body *body, struct volume_pending *p,
                         struct fail *why);

/*
 * The same in two steps, so that several records (1,000 APPENDs, a COPY of
 * 10,000 messages) share one sync: nothing is durable before volume_sync said
 * true.  It takes the first and the last reference the caller got, because a
 * volume between them may have failed and been replaced since: then it says no,
 * however well the volume of the day is doing.
 */
bool volume_append_start(struct volumes *v, const struct record *rec, const struct body *body,
                         volume_ref *ref, struct fail *why);
bool volume_sync(struct volumes *v, volume_ref first, volume_ref last, struct fail *why);

/* Is there room for `bytes` more above the reserve?  For 452 at MAIL FROM. */
bool volume_has_space(struct volumes *v, uint64_t bytes, struct fail *why);

/* Message bytes [offset, offset+n) of a record, CRC-checked.  FAIL_PERM when damaged (says where). */
bool volume_read(struct volumes *v, volume_ref ref, uint64_t offset, void *out, size_t n, struct fail *why);

/* The record's description and size, into the arena.  FAIL_PERM FAIL_NOT_FOUND if there is no such record. */
bool volume_describe(struct volumes *v, volume_ref ref, struct arena *a, struct record *out,
                     struct fail *why);

/* Every CRC of one record. */
bool volume_verify(struct volumes *v, volume_ref ref, struct fail *why);

/*
 * All records from `from` on (0: the first) in the order they were written, damage
 * skipped (and counted in *damaged).  Stops when `each` says false.
 */
bool volume_scan(struct volumes *v, volume_ref from,
                 bool (*each)(void *ctx, volume_ref ref, const struct record *rec), void *ctx,
                 uint64_t *damaged, struct fail *why);

/* The reference the next record will be above: all records so far are below it. */
volume_ref volume_end(struct volumes *v);

/*
 * Gives a record back: its bytes may be reclaimed once `free_after_seconds` have
 * passed.  Call it only when every owner named in the record has released it
 * (storage keeps no owners; store/ does).  Harmless when repeated.
 */
void volume_release(struct volumes *v, volume_ref ref, uint64_t record_bytes);
/* Compacts what is worth it and punches large holes now; for the background thread and `posthorn check`. */
bool volume_reclaim(struct volumes *v, bool (*is_live)(void *ctx, volume_ref ref), void *ctx, int64_t now,
                    uint64_t *bytes_freed, struct fail *why);

/*
 * A backup's lease: while any lives no space is given back, so a file that is read meanwhile only grows.
 * _begin waits for a reclaim under way; what is released meanwhile waits for the last _end.
 */
void volume_lease_begin(struct volumes *v);
void volume_lease_end(struct volumes *v);

/*
 * What a copy of a volume must have: its first `bytes` hold, whole and on stable storage, every record that was
 * appended before the call.  As long as bytes and generation are the same, so is the copy; an empty generation is
 * never the same.  Under a lease.  *out is the caller's; ascending by number.
 */
struct volume_extent {
    uint32_t id;
    uint64_t bytes;
    char generation[64];
};
bool volume_extents(struct volumes *v, struct volume_extent **out, size_t *count, struct fail *why);
/*
 * For volumes that were put in place from a copy, before anybody opens them: the next record's reference is above all
 * that were given out since the copy was made, if that was no more than `count` volumes ago.
 */
bool volumes_skip(const char *dir, uint32_t count, struct fail *why);

struct volume_stats {
    uint64_t volumes, records_written, bytes_written, syncs, sealed;
};
void volume_stats(struct volumes *v, struct volume_stats *out);

#endif
