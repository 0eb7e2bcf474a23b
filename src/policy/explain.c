/*
 * policy/explain.c - which rule would decide, and why: `posthorn policy test`.
 *
 * Layer: policy.
 */
#include <stdlib.h>

#include "policy/internal.h"

/* One stage, as a session would ask it. */
static bool play(struct policy *p, struct policy_session *ps, enum policy_stage stage, const struct policy_facts *facts, struct buf *out)
{
    struct policy_check c = {.policy = p, .session = ps, .stage = stage, .facts = *facts, .explain = out};

    arena_init(&c.arena, 1 << 20);
    check_run(&c);
    const bool goes_on = c.verdict.action == POLICY_ACCEPT;
    free(c.changes);
    arena_finish(&c.arena);
    return goes_on;
}

bool policy_explain(struct policy *p, const struct policy_facts *facts, struct buf *out, struct fail *why)
{
    static const enum policy_stage stages[] = {POLICY_CONNECT, POLICY_HELO, POLICY_MAIL, POLICY_RCPT};
    struct policy_session *ps = xcalloc(1, sizeof *ps);
    bool goes_on = true;

    ps->policy = p;
    ps->owners = 1;
    for (size_t i = 0; goes_on && i < ARRAY_LEN(stages); i++)
        goes_on = play(p, ps, stages[i], facts, out);
    if (goes_on)
        buf_add(out, SLICE("nothing is said against it up to RCPT; rspamd and milters were not asked\n"));
    (void)pthread_mutex_lock(&p->lock);
    session_release(ps);
    (void)pthread_mutex_unlock(&p->lock);
    return !out->failed || fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "too much to say");
}
