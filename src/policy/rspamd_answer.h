/*
 * policy/rspamd_answer.h - what rspamd says of a message, out of its JSON.
 *
 * Layer: policy.  Pure; https://rspamd.com/doc/developers/protocol.html, /checkv2.
 */
#ifndef POLICY_RSPAMD_ANSWER_H
#define POLICY_RSPAMD_ANSWER_H

#include "base/arena.h"

struct fail;

enum rspamd_action { RSPAMD_NONE, RSPAMD_GREYLIST, RSPAMD_ADD_HEADER, RSPAMD_REWRITE, RSPAMD_SOFT_REJECT, RSPAMD_REJECT,
                     RSPAMD_DISCARD, RSPAMD_QUARANTINE };
struct rspamd_header {
    struct slice name, value;
    int64_t      order; /* added: position from the top, negative: at the end; removed: which (0: all, negative: from the last) */
};
enum { RSPAMD_HEADERS = 100 };
struct rspamd_answer {
    enum rspamd_action   action;
    double               score, required;
    struct slice         subject, text; /* empty: none */
    struct rspamd_header add[RSPAMD_HEADERS], remove[RSPAMD_HEADERS];
    size_t               add_count, remove_count;
};
/* Slices are in the arena.  FAIL_TEMP: that is no answer. */
bool rspamd_read_answer(struct slice json, struct arena *a, struct rspamd_answer *out, struct fail *why);

#endif
