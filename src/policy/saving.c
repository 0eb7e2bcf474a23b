/*
 * policy/saving.c - what greylisting and accounts' rates remember survives a restart.
 *
 * Layer: policy.  Two text files under data/mail/policy, written as a whole now and then and at the end.  Derived: if one is
 * lost or damaged, some senders wait once more.
 */
#include <stdlib.h>

#include "base/io.h"
#include "policy/internal.h"

enum { ROW_BYTES = 80, HEAD_BYTES = 100 };

static const char *const greylist_name = "greylist", *const accounts_name = "rates";

static char *path_of(const struct policy *p, const char *name)
{
    struct buf path;

    buf_init(&path, 8192);
    buf_addf(&path, "%s/%s", p->setting.dir, name);
    char *copy = xslicedup(buf_slice(&path));
    buf_finish(&path);
    return copy;
}

static void load(struct policy *p, const char *name, struct memo *m)
{
    char *path = path_of(p, name);
    struct buf text;
    struct fail why = {0};

    buf_init(&text, HEAD_BYTES + m->max * ROW_BYTES);
    if (!io_read_file(path, &text, &why)) {
        if (why.reason != FAIL_NOT_FOUND)
            log_event(LOG_INFO, "policy.nothing_remembered", LOG_CSTR("file", path), LOG_FAIL(&why));
    } else if (!memo_read(m, name, buf_slice(&text))) {
        log_event(LOG_WARNING, "policy.file_damaged", LOG_CSTR("file", path), LOG_U64("kept", m->used));
    }
    buf_finish(&text);
    free(path);
}

static void save(struct policy *p, const char *name, const struct memo *m)
{
    char *path = path_of(p, name);
    struct buf text;
    struct fail why = {0};

    buf_init(&text, HEAD_BYTES + m->max * ROW_BYTES);
    (void)pthread_mutex_lock(&p->memo_lock);
    memo_write(m, name, &text);
    (void)pthread_mutex_unlock(&p->memo_lock);
    if (!text.failed && !io_replace_file(path, buf_slice(&text), 0600, &why))
        log_event(LOG_WARNING, "policy.not_saved", LOG_CSTR("file", path), LOG_FAIL(&why));
    buf_finish(&text);
    free(path);
}

void memos_load(struct policy *p)
{
    load(p, greylist_name, &p->greylist);
    load(p, accounts_name, &p->accounts);
}

void memos_save(struct policy *p)
{
    (void)pthread_mutex_lock(&p->memo_lock);
    bool changed = p->memo_changed;
    p->memo_changed = false;
    (void)pthread_mutex_unlock(&p->memo_lock);
    if (!changed)
        return;
    save(p, greylist_name, &p->greylist);
    save(p, accounts_name, &p->accounts);
}
