/*
 * policy/config.c - words and defaults of policy's part of the config.
 *
 * Layer: policy.
 */
#include "policy/config.h"

void policy_limits_default(struct policy_limits *l)
{
    *l = (struct policy_limits){
        .threads = 32,
        .waiting = 2000,
        .helper_failures = 3,
        .helper_pause_seconds = 30,
        .dnslist_threshold = 1,
        .helo_check = "off",
        .greylist_delay_seconds = 300,
        .greylist_retry_hours = 48,
        .greylist_keep_days = 36,
        .greylist_auto_allow = 5,
        .greylist_entries = 200000,
        .rate_entries = 100000,
        .save_seconds = 60,
        .table_entries = 1000000,
    };
}

bool policy_limits_check(const struct policy_limits *l, struct fail *why)
{
    static const char *const words[] = {"off", "valid", "resolves"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(l->helo_check, words[i]) == 0)
            return true;
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "helo_check is off, valid or resolves");
}

static bool find_word(struct slice word, const char *const *words, size_t count, unsigned *out)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq_nocase(word, slice_of(words[i]))) {
            *out = (unsigned)i;
            return true;
        }
    }
    return false;
}

/* Two functions for each set of words. */
#define WORDS(type, function, table)                                            \
    const char *function##_name(type value)                                     \
    {                                                                           \
        return (table)[value];                                                  \
    }                                                                           \
    bool function##_parse(struct slice word, type *out)                         \
    {                                                                           \
        unsigned at;                                                            \
        if (!find_word(word, (table), ARRAY_LEN(table), &at))                   \
            return false;                                                       \
        *out = (type)at;                                                        \
        return true;                                                            \
    }

#define X(id, text) [id] = text,
static const char *const action_words[] = {ACCESS_ACTIONS(X)};
#undef X
static const char *const stage_words[] = {
    [ACCESS_CLIENT] = "client", [ACCESS_HELO] = "helo", [ACCESS_SENDER] = "sender", [ACCESS_RECIPIENT] = "recipient"};
static const char *const of_words[] = {[DNSLIST_CLIENT] = "client", [DNSLIST_HELO] = "helo", [DNSLIST_SENDER] = "sender"};
static const char *const unavailable_words[] = {
    [UNAVAILABLE_DEFER] = "defer", [UNAVAILABLE_ACCEPT] = "accept", [UNAVAILABLE_REJECT] = "reject"};

WORDS(enum access_action, access_action, action_words)
WORDS(enum access_stage, access_stage, stage_words)
WORDS(enum dnslist_of, dnslist_of, of_words)
WORDS(enum policy_unavailable, policy_unavailable, unavailable_words)
