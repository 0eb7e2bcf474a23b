/*
 * policy/rspamd_answer.c - see policy/rspamd_answer.h.
 *
 * Layer: policy.
 */
#include "policy/rspamd_answer.h"

#include <jansson.h>
#include <math.h>

#include "base/fail.h"

static struct slice text_of(const json_t *j, struct arena *a)
{
    return json_is_string(j) ? arena_keep(a, slice_make(json_string_value(j), json_string_length(j))) : SLICE("");
}

static double number_of(const json_t *j)
{
    const double d = json_number_value(j);

    return isfinite(d) ? d : 0;
}

static bool read_action(const char *name, enum rspamd_action *out)
{
    static const struct { const char *name; enum rspamd_action action; } actions[] = {
        {"no action", RSPAMD_NONE},           {"greylist", RSPAMD_GREYLIST},       {"add header", RSPAMD_ADD_HEADER},
        {"add_header", RSPAMD_ADD_HEADER},    {"rewrite subject", RSPAMD_REWRITE}, {"rewrite_subject", RSPAMD_REWRITE},
        {"soft reject", RSPAMD_SOFT_REJECT},  {"soft_reject", RSPAMD_SOFT_REJECT}, {"reject", RSPAMD_REJECT},
        {"discard", RSPAMD_DISCARD},          {"quarantine", RSPAMD_QUARANTINE},   {"no_action", RSPAMD_NONE},
    };

    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (slice_eq_nocase(slice_of(name), slice_of(actions[i].name))) {
            *out = actions[i].action;
            return true;
        }
    }
    return false;
}

/* A text, or {"value": text, "order": number}. */
static void add_one(struct rspamd_answer *out, struct arena *a, const char *name, const json_t *value)
{
    struct rspamd_header h = {.name = arena_keep(a, slice_of(name)), .order = 1};

    if (json_is_object(value)) {
        h.value = text_of(json_object_get(value, "value"), a);
        if (json_is_integer(json_object_get(value, "order")))
            h.order = json_integer_value(json_object_get(value, "order"));
    } else {
        h.value = text_of(value, a);
    }
    if (h.value.len > 0 && out->add_count < RSPAMD_HEADERS)
        out->add[out->add_count++] = h;
}

/* A number, or several: which of that name. */
static void remove_one(struct rspamd_answer *out, struct arena *a, const char *name, const json_t *which)
{
    if (json_is_integer(which) && out->remove_count < RSPAMD_HEADERS)
        out->remove[out->remove_count++] =
            (struct rspamd_header){.name = arena_keep(a, slice_of(name)), .order = json_integer_value(which)};
}

static void each_of(struct rspamd_answer *out, struct arena *a, json_t *headers,
                    void (*one)(struct rspamd_answer *out, struct arena *a, const char *name, const json_t *value))
{
    const char *name;
    json_t *value, *item;
    size_t i;

    json_object_foreach (headers, name, value) {
        if (!json_is_array(value)) {
            one(out, a, name, value);
            continue;
        }
        json_array_foreach (value, i, item)
            one(out, a, name, item);
    }
}

bool rspamd_read_answer(struct slice text, struct arena *a, struct rspamd_answer *out, struct fail *why)
{
    json_error_t error;
    json_t *j = json_loadb(text.len > 0 ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, &error);

    *out = (struct rspamd_answer){0};
    if (j == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_INVALID, "rspamd answered with what is no JSON: %s", error.text);
    const char *action = json_string_value(json_object_get(j, "action"));
    bool ok = action != NULL && read_action(action, &out->action);
    if (!ok) {
        (void)fail_set(why, FAIL_TEMP, FAIL_INVALID, "rspamd answered without an action that is known");
    } else {
        json_t *milter = json_object_get(j, "milter");
        out->score = number_of(json_object_get(j, "score"));
        out->required = number_of(json_object_get(j, "required_score"));
        out->subject = text_of(json_object_get(j, "subject"), a);
        out->text = text_of(json_object_get(json_object_get(j, "messages"), "smtp_message"), a);
        each_of(out, a, json_object_get(milter, "add_headers"), add_one);
        each_of(out, a, json_object_get(milter, "remove_headers"), remove_one);
    }
    json_decref(j);
    return ok;
}
