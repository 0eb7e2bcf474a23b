/*
 * admin/internal.h - what the commands share.
 *
 * Layer: admin, private to it.  A command reads its request, acts, and fills
 * *result; each family of commands has its file.
 */
#ifndef ADMIN_INTERNAL_H
#define ADMIN_INTERNAL_H

#include "admin/admin.h"
#include "directory/directory.h"

/* One request while it runs. */
struct admin_call {
    const struct admin          *on;
    const json_t                *request;
    const struct admin_progress *progress;
    const struct admin_stream   *stream; /* NULL: there are no bytes beside the request */
    struct arena                 arena;  /* until the request is answered */
    json_t                      *result; /* an empty object to fill */
};

typedef bool admin_command(struct admin_call *c, struct fail *why);

admin_command admin_domain_add, admin_domain_list, admin_domain_remove, admin_domain_quota;
admin_command admin_account_add, admin_account_list, admin_account_find, admin_account_enable, admin_account_disable,
    admin_account_remove, admin_account_quota, admin_account_sender_add, admin_account_sender_list,
    admin_account_sender_remove, admin_account_sent_copy;
admin_command admin_account_undelete, admin_account_restore, admin_account_purge, admin_account_recount;
admin_command admin_alias_add, admin_alias_list, admin_alias_remove;
admin_command admin_session_list, admin_session_kick;
admin_command admin_policy_test;
admin_command admin_trace;
admin_command admin_transfer_import, admin_transfer_export;
admin_command admin_queue_list, admin_queue_show, admin_queue_hold, admin_queue_release, admin_queue_retry,
    admin_queue_remove, admin_queue_undo, admin_queue_stats;
admin_command admin_backup_begin;
admin_command admin_check, admin_rebuild, admin_status;

/* The text of a field that must be there (not empty); FAIL_INVALID. */
bool admin_text(const struct admin_call *c, const char *field, struct slice *out, struct fail *why);
/* The same where it need not be: empty then. */
struct slice admin_text_or_empty(const struct admin_call *c, const char *field);
/* The account named by the field "address". */
bool admin_account(struct admin_call *c, struct directory_account *out, struct fail *why);
/*
 * Calls `each` for every account there is, ordered by name.  They are collected
 * first: the directory is not kept waiting while something is done with them.
 */
bool admin_each_account(struct admin_call *c, void (*each)(struct admin_call *c, const struct directory_account *a),
                        struct fail *why);

/* result[name] = value, whose reference is taken over. */
void admin_put(struct admin_call *c, const char *name, json_t *value);

#endif
