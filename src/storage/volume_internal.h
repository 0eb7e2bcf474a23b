/*
 * storage/volume_internal.h - what the volume-*.c files share.
 *
 * The life of a volume being written: made (volume_tend.c), written by all
 * threads in parallel, each in the bytes it reserved (volume_append.c), synced by
 * one of those that wait (volume_commit.c), and when it is full or has failed,
 * retired by the background thread, which ends it and closes it.  After that it
 * is only read (files.h) and at last compacted (volume_reclaim.c).
 */
#ifndef STORAGE_VOLUME_INTERNAL_H
#define STORAGE_VOLUME_INTERNAL_H

#include <stdatomic.h>

#include "storage/codec.h"
#include "storage/files.h"

/* Bytes reserved for one record that is being written, on its writer's stack. */
struct append {
    struct volume *vol;
    uint64_t at, bytes;
    uint64_t synced; /* the volume's, when they were reserved */
    uint64_t ticket; /* once written */
    struct append *earlier, *later;
};

/* One thread that waits for a sync, on its stack. */
struct waiter {
    uint64_t ticket;
    atomic_uint state; /* enum waiter_state; a futex of its own */
    struct waiter *next;
};

/* A volume being written.  All under volumes.lock but what never changes. */
struct volume {
    uint32_t id;
    int fd;
    int zero_fd; /* for the zeros ahead, see volume_tend.c */
    struct volume_tag tag;
    uint64_t reserved; /* where the next record will begin */
    uint64_t zeroed;   /* zeros were written up to here */
    bool zeroing;      /* ... and are being written from here on: keep out */
    bool zeros_end;    /* no more of them */
    bool sealed;       /* a write or sync failed: nothing more is written, nothing more acknowledged */
    struct append *oldest, *newest; /* being written, in order of offset */
    uint64_t written;               /* tickets: records written so far */
    uint64_t durable;               /* ... and those of them that are on disk */
    uint64_t synced;                /* everything below this offset is on disk */
    bool syncing;
    struct waiter *first_waiter, **last_waiter;
    unsigned users;      /* threads that hold a pointer to it */
    struct volume *next; /* retiring */
};

/* A volume that failed: what a later volume_sync must know. */
struct failed_volume {
    uint32_t id;
    uint64_t synced;
    struct failed_volume *next;
};

struct volumes {
    _Atomic int64_t plenty_until; /* of the steady clock, ms: the disk has more than enough room till then */
    char *dir;
    int dir_fd;
    struct volume_limits limits;
    struct files files;
    struct codec_pool codecs;

    pthread_mutex_t lock;
    pthread_cond_t work;    /* something to tend */
    pthread_cond_t changed; /* a volume was made, or zeros were written */
    pthread_cond_t parked;  /* for the syncer: somebody does not wait himself */
    pthread_t tender, syncer;
    struct volume_pending *first_pending, **last_pending;
    bool syncer_sleeps;
    bool closing;
    bool syncer_ends; /* before the tender, which puts the last volume in order */
    bool read_only; /* there is no thread, and nothing is ever written */
    bool making; /* somebody is making volume next_id */
    uint32_t next_id;
    uint32_t last_kept;     /* the highest number that has a record on disk: it must not be forgotten */
    struct volume *current; /* where records go; NULL until the first one */
    struct volume *spare;   /* made ahead, empty */
    struct volume *retiring;
    bool ending;              /* one that is on no list any more is being ended and cut to its length */
    unsigned extents_waiting; /* threads that wait for appends to be written (volume_lease.c) */
    struct failed_volume *failed;
    struct volume_stats stats;

    pthread_mutex_t reclaim_lock; /* one volume_reclaim at a time */
    unsigned leases;              /* while there are any nothing is given back; under reclaim_lock */
    struct idmap released;        /* ref to struct released; under lock */
    struct idmap crowds;          /* volume id to struct crowd; under lock */
    struct idmap freed; /* volume id to struct freed: what compaction would give; under reclaim_lock */
};

/* volume_tend.c */
void *volume_tend(void *volumes);
/* Makes the next volume: the lock is let go meanwhile.  NULL: could not. */
struct volume *volume_make(struct volumes *v, struct fail *why);
bool volume_needs_zeros(const struct volumes *v, const struct volume *vol);

/* volume_commit.c; all with the lock held */
/* A write or sync failed: nothing more goes into it. */
void volume_seal(struct volumes *v, struct volume *vol);
/* Records go elsewhere from now on; the background thread ends it when its last user has left. */
void volume_set_aside(struct volumes *v, struct volume *vol);
/* Until the ticket is on disk or the volume sealed (false).  The lock is let go meanwhile. */
bool volume_wait(struct volumes *v, struct volume *vol, uint64_t ticket);
void volume_release_user(struct volumes *v, struct volume *vol);
/* The syncer will wait for it; the user that it is stays until then. */
void volume_park(struct volumes *v, struct volume_pending *p);
/* The syncer's thread. */
void *volume_sync_for_others(void *volumes);
/* volume_append.c: a record whose sync failed is made none, and why. */
void volume_disown(const struct volume *vol, uint64_t at, struct fail *why);

/* volume_append.c: a VOID or END of `bytes` in all at `at`. */
bool volume_put_marker(const struct volume_tag *tag, int fd, uint32_t id, uint64_t at, uint64_t bytes,
                       uint64_t synced, uint8_t kind, struct fail *why);

/* volume_read.c: the header of the record at `at`. */
struct located {
    struct volume_file *file;
    uint64_t at;
    struct record_header h;
    unsigned char *header;     /* all of it, h.header_bytes; `first` or its own memory */
    unsigned char first[8192]; /* what one read gave: often the whole record */
    size_t first_len;
};
enum located_kind { LOCATED, LOCATED_DAMAGED, LOCATED_ERROR };
/* Reads what lies at `at`.  LOCATED_DAMAGED: no header that is whole.  Free with locate_finish in any case.
 */
enum located_kind locate_at(struct volume_file *file, uint64_t at, struct located *out, struct fail *why);
void locate_finish(struct located *l);
/* Every CRC of a located record. */
bool located_verify(struct volumes *v, const struct located *l, struct fail *why);

/* volume_reclaim.c */
void reclaim_init(struct volumes *v);
void reclaim_finish(struct volumes *v);

/* volume_scan.c: every record of one volume, from an offset in the file on. */
struct visit {
    bool (*record)(void *ctx, const struct located *l, bool intact); /* false: stop */
    void *ctx;
    uint64_t damaged; /* stretches that were acknowledged and are broken */
    bool stopped;
};
bool scan_file(struct volumes *v, struct volume_file *file, uint64_t from, struct visit *visit,
               struct fail *why);
/* The numbers of all volumes, ascending, in memory the caller frees. */
bool list_volumes(const struct volumes *v, uint32_t **ids, size_t *count, struct fail *why);

#endif
