/*
 * tests/unit/store/room.h - a store in a folder of its own, for the tests of this room.
 */
#ifndef TESTS_STORE_ROOM_H
#define TESTS_STORE_ROOM_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/body.h"
#include "base/buf.h"
#include "storage/volume.h"
#include "store/store.h"
#include "store/view.h"
#include "tests/unit/check.h"

struct room {
    char dir[64], spool[80], volumes_dir[80];
    struct volumes *volumes;
    struct store *store;
    struct store_limits limits;
};

static inline void room_die(const char *what, const struct fail *why)
{
    fprintf(stderr, "%s: %s\n", what, why->text);
    exit(1);
}

/* Opens (again) what lies in r->dir. */
static inline void room_open(struct room *r)
{
    struct volume_limits v;
    struct fail why;

    volume_limits_default(&v);
    v.volume_bytes = 4 << 20;
    v.prewrite_bytes = 1 << 20;
    v.reserve_percent = 0;
    v.reserve_bytes = 0;
    if (!volumes_open(r->volumes_dir, &v, &r->volumes, &why))
        room_die("volumes", &why);
    if (!store_open(r->dir, r->volumes, &r->limits, &r->store, &why))
        room_die("store", &why);
}

static inline void room_close(struct room *r)
{
    store_close(&r->store);
    volumes_close(&r->volumes);
}

static inline void room_init(struct room *r)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(r->dir, sizeof r->dir, "%s/posthorn-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(r->dir) == NULL)
        exit(1);
    (void)snprintf(r->spool, sizeof r->spool, "%s", r->dir);
    (void)snprintf(r->volumes_dir, sizeof r->volumes_dir, "%s/volumes", r->dir);
    store_limits_default(&r->limits);
    room_open(r);
}

/* Closes and removes everything. */
static inline void room_finish(struct room *r)
{
    char command[128];

    room_close(r);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", r->dir);
    if (system(command) != 0)
        exit(1);
}

static inline struct account *room_account(struct room *r, uint64_t id)
{
    struct account *a = NULL;
    struct fail why;

    if (!store_account(r->store, id, &a, &why)) {
        if (!store_account_create(r->store, id, &why) || !store_account(r->store, id, &a, &why))
            room_die("account", &why);
    }
    return a;
}

static inline struct body *room_body(const struct room *r, struct slice text)
{
    struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 24, .spool_dir = r->spool};
    struct body *b = body_create(&limits);
    struct fail why;

    if (!body_add(b, text, &why))
        room_die("body", &why);
    return b;
}

static inline uint64_t room_mailbox(struct account *a, struct slice name)
{
    struct mailbox_info info;
    struct arena arena;
    struct fail why;

    arena_init(&arena, 1 << 20);
    bool ok = mailbox_find(a, name, &arena, &info, &why);
    arena_finish(&arena);
    return ok ? info.id : 0;
}

/* Appends one message; its UID, 0 if that failed. */
static inline uint32_t room_append(const struct room *r, struct account *a, uint64_t mailbox,
                                   struct slice text, uint32_t flags)
{
    struct body *b = room_body(r, text);
    struct append_item item = {.body = b, .flags = flags, .internal_date = 1234567890, .internal_zone = 60};
    uint32_t uidvalidity;
    uint64_t modseq;
    struct fail why;
    bool ok = message_append(a, mailbox, &item, 1, &uidvalidity, &modseq, &why);

    if (!ok)
        fprintf(stderr, "append: %s\n", why.text);
    body_destroy(&b);
    return ok ? item.uid : 0;
}

#endif
