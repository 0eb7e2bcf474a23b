/*
 * main/command.h - what people type: `posthorn NOUN VERB ARGUMENT... --option`.
 *
 * Layer: main.  Every command is a row in commands.c and a function in a file of its
 * noun.  Exit status: 0 done, 1 failed, 2 not understood.
 */
#ifndef MAIN_COMMAND_H
#define MAIN_COMMAND_H

#include <jansson.h>

#include "base/fail.h"

struct config;

enum { DONE = 0, FAILED = 1, USAGE = 2 };

enum { OPTIONS_MAX = 24, RAW_WORDS = 1000000 };

struct command_option {
    const char *name;  /* without the dashes */
    const char *value; /* what stands for its value in the help; NULL: it has none */
    const char *help;
};

/* What was typed, for the command that runs. */
struct cli {
    const struct command *command;
    const char           *config_path;
    bool                  json;
    char                **arguments; /* behind noun and verb */
    size_t                argument_count;
    const char           *values[OPTIONS_MAX]; /* by the command's options; "" for one without value; NULL: not given */
};

struct command {
    const char           *noun, *verb; /* verb: NULL where the noun stands alone */
    const char           *arguments;   /* "ADDRESS [MEMBER...]" */
    size_t                least, most; /* arguments; most RAW_WORDS: it reads all its words itself */
    const char           *help;        /* one line */
    int                 (*run)(struct cli *cli);
    struct command_option options[OPTIONS_MAX];
};

/* Finds and runs what argv says; returns the exit status. */
int command_main(int argc, char **argv);

/* The option's value, NULL if it was not given. */
const char *cli_option(const struct cli *cli, const char *name);
/* A number from `low` to `high`; `otherwise` if not given; false (and said why) if it is something else. */
bool cli_number(const struct cli *cli, const char *name, uint64_t low, uint64_t high, uint64_t otherwise, uint64_t *out);

/* Says what failed on standard error (or as JSON) and returns FAILED. */
int cli_failed(const struct cli *cli, const struct fail *why);
/* The same for what was typed wrongly: USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the result: as JSON with --json, else the text.  Returns DONE. */
int cli_done(const struct cli *cli, const json_t *result, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The config that --config names; FAILED was said if false. */
bool cli_config(const struct cli *cli, struct config **out);

/*
 * Asks the mail role, of the running server or else started for this: a request as in
 * admin/admin.h (its reference is taken over).  false: said why.
 */
bool cli_ask(const struct cli *cli, json_t *request, json_t **result);
/* The same of the queue role. */
bool cli_ask_queue(const struct cli *cli, json_t *request, json_t **result);
bool cli_ask_queue_slowly(const struct cli *cli, json_t *request, void (*progress)(void *ctx, const json_t *line), void *ctx,
                          json_t **result);
/* cli_ask with a word on progress. */
bool cli_ask_slowly(const struct cli *cli, json_t *request, void (*progress)(void *ctx, const json_t *line), void *ctx,
                    json_t **result);

/* The commands. */
int command_serve(struct cli *cli), command_init(struct cli *cli), command_demo(struct cli *cli);
int command_domain_add(struct cli *cli), command_domain_list(struct cli *cli), command_domain_remove(struct cli *cli),
    command_domain_quota(struct cli *cli), command_domain_recount(struct cli *cli);
int command_account_add(struct cli *cli), command_account_passwd(struct cli *cli), command_account_list(struct cli *cli),
    command_account_disable(struct cli *cli), command_account_enable(struct cli *cli),
    command_account_remove(struct cli *cli), command_account_quota(struct cli *cli), command_account_sender(struct cli *cli),
    command_account_sent_copy(struct cli *cli),
    command_account_app_password(struct cli *cli);
int command_account_undelete(struct cli *cli), command_account_restore(struct cli *cli), command_account_purge(struct cli *cli),
    command_account_recount(struct cli *cli);
int command_alias_add(struct cli *cli), command_alias_list(struct cli *cli), command_alias_remove(struct cli *cli);
int command_session_list(struct cli *cli), command_session_kick(struct cli *cli);
int command_policy_test(struct cli *cli);
int command_trace(struct cli *cli);
int command_probe(struct cli *cli);
int command_queue_list(struct cli *cli), command_queue_show(struct cli *cli), command_queue_hold(struct cli *cli),
    command_queue_release(struct cli *cli), command_queue_retry(struct cli *cli), command_queue_remove(struct cli *cli),
    command_queue_undo(struct cli *cli), command_queue_stats(struct cli *cli);
int command_sendmail(struct cli *cli);
int command_backup(struct cli *cli), command_backup_verify(struct cli *cli), command_restore(struct cli *cli);
int command_import_maildir(struct cli *cli), command_import_eml(struct cli *cli);
int command_import_postfix_dovecot(struct cli *cli);
int command_import_mbox(struct cli *cli), command_import_imap(struct cli *cli);
int command_export_maildir(struct cli *cli), command_export_mbox(struct cli *cli);
int command_config_check(struct cli *cli), command_check(struct cli *cli), command_check_sandbox(struct cli *cli), command_rebuild(struct cli *cli),
    command_status(struct cli *cli), command_version(struct cli *cli);

#endif
