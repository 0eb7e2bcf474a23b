/*
 * admin/admin.c - finds a request's command and runs it.
 *
 * Layer: admin.
 */
#include "admin/admin.h"

#include "admin/internal.h"
#include "base/unicode.h"

enum { ARENA_MAX = 16 * 1024 * 1024 };

static const struct {
    const char    *name;
    admin_command *run;
    bool           needs_server; /* works on what only a running server has */
    enum { IN_MAIL, IN_QUEUE, IN_BOTH } role;
} commands[] = {
    {"account.add", admin_account_add, false, IN_MAIL},
    {"account.disable", admin_account_disable, false, IN_MAIL},
    {"account.enable", admin_account_enable, false, IN_MAIL},
    {"account.find", admin_account_find, false, IN_MAIL},
    {"account.list", admin_account_list, false, IN_MAIL},
    {"account.quota", admin_account_quota, false, IN_MAIL},
    {"account.purge", admin_account_purge, false, IN_MAIL},
    {"account.recount", admin_account_recount, false, IN_MAIL},
    {"account.remove", admin_account_remove, false, IN_MAIL},
    {"account.restore", admin_account_restore, false, IN_MAIL},
    {"account.sender_add", admin_account_sender_add, false, IN_MAIL},
    {"account.sender_list", admin_account_sender_list, false, IN_MAIL},
    {"account.sender_remove", admin_account_sender_remove, false, IN_MAIL},
    {"account.sent_copy", admin_account_sent_copy, false, IN_MAIL},
    {"account.undelete", admin_account_undelete, false, IN_MAIL},
    {"alias.add", admin_alias_add, false, IN_MAIL},
    {"alias.list", admin_alias_list, false, IN_MAIL},
    {"alias.remove", admin_alias_remove, false, IN_MAIL},
    {"backup.begin", admin_backup_begin, false, IN_BOTH},
    {"check", admin_check, false, IN_MAIL},
    {"domain.add", admin_domain_add, false, IN_MAIL},
    {"domain.list", admin_domain_list, false, IN_MAIL},
    {"domain.quota", admin_domain_quota, false, IN_MAIL},
    {"domain.remove", admin_domain_remove, false, IN_MAIL},
    {"policy.test", admin_policy_test, true, IN_MAIL},
    {"queue.hold", admin_queue_hold, false, IN_QUEUE},
    {"queue.list", admin_queue_list, false, IN_QUEUE},
    {"queue.release", admin_queue_release, false, IN_QUEUE},
    {"queue.remove", admin_queue_remove, false, IN_QUEUE},
    {"queue.retry", admin_queue_retry, false, IN_QUEUE},
    {"queue.show", admin_queue_show, false, IN_QUEUE},
    {"queue.stats", admin_queue_stats, false, IN_QUEUE},
    {"queue.undo", admin_queue_undo, false, IN_QUEUE},
    {"rebuild", admin_rebuild, false, IN_MAIL},
    {"session.kick", admin_session_kick, true, IN_MAIL},
    {"session.list", admin_session_list, true, IN_MAIL},
    {"status", admin_status, false, IN_MAIL},
    {"transfer.export", admin_transfer_export, false, IN_MAIL},
    {"transfer.import", admin_transfer_import, false, IN_MAIL},
    {"trace", admin_trace, false, IN_BOTH},
};

bool admin_run(const struct admin *a, const json_t *request, const struct admin_progress *progress,
               const struct admin_stream *stream, json_t **result, struct fail *why)
{
    const char *name = json_string_value(json_object_get(request, "do"));
    bool        ok;

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (name == NULL || strcmp(commands[i].name, name) != 0)
            continue;
        if (commands[i].role != IN_BOTH && (commands[i].role == IN_QUEUE) != (a->queue != NULL))
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is for the %s role", name, a->queue != NULL ? "mail" : "queue");
        if (commands[i].needs_server && a->net == NULL)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server is not running");

        struct admin_call call = {.on = a, .request = request, .progress = progress, .stream = stream, .result = json_object()};
        arena_init(&call.arena, ARENA_MAX);
        ok = commands[i].run(&call, why);
        arena_finish(&call.arena);
        if (ok)
            *result = call.result;
        else
            json_decref(call.result);
        return ok;
    }
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "no such request: %s", name != NULL ? name : "(none)");
}

struct slice admin_text_or_empty(const struct admin_call *c, const char *field)
{
    const json_t *value = json_object_get(c->request, field);

    return slice_make(json_string_value(value), json_string_length(value));
}

bool admin_text(const struct admin_call *c, const char *field, struct slice *out, struct fail *why)
{
    struct slice text = admin_text_or_empty(c, field);

    if (text.len == 0)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is missing", field);
    *out = text;
    return true;
}

bool admin_account(struct admin_call *c, struct directory_account *out, struct fail *why)
{
    struct slice address = {0};

    if (!admin_text(c, "address", &address, why))
        return false;
    return directory_login(c->on->directory, address, &c->arena, out, why);
}

json_t *admin_json(struct slice text)
{
    struct buf clean;

    buf_init(&clean, SIZE_MAX);
    utf8_add_clean(&clean, text);
    json_t *value = json_stringn(clean.data != NULL ? clean.data : "", clean.len);
    buf_finish(&clean);
    return value;
}

void admin_put(struct admin_call *c, const char *name, json_t *value)
{
    if (json_object_set_new(c->result, name, value) != 0)
        die_no_memory(0);
}
