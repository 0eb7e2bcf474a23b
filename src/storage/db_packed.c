/*
 * storage/db_packed.c - a tokenizer for FTS5 that does not look for words.
 *
 * Layer: storage.  Who fills a full-text table has cut the text already, and taken
 * each word once (with detail=none FTS5 keeps no positions): a document is its words
 * one after the other, each behind one byte that says how long it is.  In a query each
 * quoted string is one word as it is.
 *
 * What waits to be written FTS5 keeps in a hash table; its hash moves three bits a byte,
 * so that words of three bytes share a few thousand places.  Spread out by a filler
 * between their bytes they find five times as many.
 */
#include <stdlib.h>

#include "storage/db_internal.h"

enum { WORD_MAX = 64 };

typedef int take_token(void *ctx, int flags, const char *token, int len, int start, int end);

static int packed_create(void *ctx, const char **args, int count, Fts5Tokenizer **out)
{
    (void)ctx;
    (void)args;
    (void)count;
    *out = (Fts5Tokenizer *)sqlite3_malloc(1); /* it has no state, but must not be NULL */
    return *out != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

static void packed_delete(Fts5Tokenizer *t)
{
    sqlite3_free(t);
}

static int take_word(take_token *take, void *ctx, const char *word, int len, int at)
{
    char spread[2 * WORD_MAX];

    if (len > WORD_MAX)
        return SQLITE_CORRUPT;
    for (int i = 0; i < len; i++) {
        spread[2 * i] = word[i];
        spread[2 * i + 1] = '.';
    }
    return len > 0 ? take(ctx, 0, spread, 2 * len - 1, at, at + len) : SQLITE_OK;
}

static int packed_tokenize(Fts5Tokenizer *t, void *ctx, int flags, const char *text, int len, take_token *take)
{
    int at = 0, status = SQLITE_OK;

    (void)t;
    if ((flags & FTS5_TOKENIZE_QUERY) != 0)
        return take_word(take, ctx, text, len, 0);
    while (at < len && status == SQLITE_OK) {
        int word = (unsigned char)text[at++];
        if (word > len - at)
            return SQLITE_CORRUPT;
        status = take_word(take, ctx, text + at, word, at);
        at += word;
    }
    return status;
}

/* FTS5's own interface, which it hands out through a query. */
static fts5_api *find_api(sqlite3 *handle)
{
    fts5_api *api = NULL;
    sqlite3_stmt *q = NULL;

    if (sqlite3_prepare_v2(handle, "SELECT fts5(?1)", -1, &q, NULL) == SQLITE_OK) {
        (void)sqlite3_bind_pointer(q, 1, (void *)&api, "fts5_api_ptr", NULL);
        (void)sqlite3_step(q);
    }
    (void)sqlite3_finalize(q);
    return api;
}

bool db_add_packed_words(struct db *d, struct fail *why)
{
    fts5_tokenizer packed = {packed_create, packed_delete, packed_tokenize}; /* FTS5 keeps a copy */
    fts5_api *api = find_api(d->handle);

    if (api == NULL || api->iVersion < 2)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "this SQLite has no FTS5");
    int status = api->xCreateTokenizer(api, "packed", NULL, &packed, NULL);
    return status == SQLITE_OK || db_failed(d, status, "adding a tokenizer", why);
}
