/*
 * store/backup_check.c - a copy of an account's file, looked at where it lies.
 *
 * Layer: store.
 */
#include <stdio.h>

#include "store/internal.h"

enum { SOME = 256 };

struct looking {
    struct volumes *volumes;
    void (*report)(void *ctx, const char *finding);
    void *ctx;
    uint64_t account, messages;
};

static void look_at(struct looking *k, const struct reference *m, struct arena *arena)
{
    struct record record;
    struct fail why = {0};
    char text[400];

    k->messages++;
    arena_reset(arena);
    bool ok = volume_describe(k->volumes, m->ref, arena, &record, &why) && volume_verify(k->volumes, m->ref, &why);
    if (ok && record.size + m->prefix != m->size)
        ok = fail_set(&why, FAIL_PERM, FAIL_OTHER, "it has %llu bytes, its row says %llu",
                      (unsigned long long)record.size + (unsigned long long)m->prefix, (unsigned long long)m->size);
    if (ok)
        return;
    (void)snprintf(text, sizeof text, "account %llu: message %llu: %s", (unsigned long long)k->account,
                   (unsigned long long)m->id, why.text);
    k->report(k->ctx, text);
}

static bool look_at_all(struct looking *k, struct db *db, struct fail *why)
{
    struct reference some[SOME];
    struct arena arena;
    uint64_t last = 0;
    size_t count = 0;
    bool ok = true;

    arena_init(&arena, SIZE_MAX);
    do {
        ok = row_references(db, last, some, SOME, &count, why);
        for (size_t i = 0; ok && i < count; i++) {
            look_at(k, &some[i], &arena);
            last = some[i].id;
        }
    } while (ok && count == SOME);
    arena_finish(&arena);
    return ok;
}

bool store_check_copy(const char *path, bool is_own, uint64_t account, struct volumes *v,
                      void (*report)(void *ctx, const char *finding), void *ctx, uint64_t *messages, struct fail *why)
{
    const struct db_options options = {.read_only = !is_own, .must_exist = true};
    struct looking k = {.volumes = v, .report = report, .ctx = ctx, .account = account};
    struct db *db = NULL;

    bool ok = db_open(path, &account_schema, &options, &db, why) && db_check(db, why) && look_at_all(&k, db, why);
    db_close(&db);
    *messages = k.messages;
    return ok;
}
