/*
 * main/commands.c - every command as a row.
 *
 * Layer: main.
 */
#include "main/commands.h"
#include "main/moving.h"

#define PASSWORD_OPTION                                                                                \
    {                                                                                                  \
        "password-stdin", NULL, "read the password from standard input (one line) instead of asking" \
    }

#define HASH_OPTION                                                                                    \
    {                                                                                                  \
        "hash", "{SCHEME}HASH", "take a hash that another server made (as Dovecot writes it)"        \
    }
#define QUEUE_FILTERS                                                                        \
    {"sender", "ADDRESS", "of this sender"}, {"recipient", "ADDRESS", "to this recipient"}, \
    {"domain", "DOMAIN", "to recipients there"}, {"reason", "TEXT", "whose last reply holds this"},      \
    {"older", "TIME", "older than 90s, 15m, 4h, 2d"}, {"younger", "TIME", "younger than that"},          \
    {"account", "ADDRESS", "submitted by this account (or its id, or a user of this machine)"}
#define EXPORT_OPTIONS                                                                                              \
    {"mailbox", "NAME", "only this mailbox and what is below it"},                                                 \
        {"all", NULL, "all accounts, each into a folder of its own: no ADDRESS then"},                             \
        {"resume", NULL, "go on where an interrupted export ended: the folder need not be empty"},                 \
    {                                                                                                               \
        "report", "FILE", "write all that was left out, and all notes, to this file"                               \
    }
#define QUEUE_ALL {"all", NULL, "everything, where nothing else is said"}

const struct command commands[] = {
    {"serve", NULL, "", 0, 0, "run the server in the foreground", command_serve, {{0}}},
    {"init", NULL, "", 0, 0, "set up a new server: asks, or takes options", command_init,
     {
         {"hostname", "NAME", "the name other servers know this one by"},
         {"domain", "DOMAIN", "the first domain to receive mail for"},
         {"account", "ADDRESS", "the first account"},
         PASSWORD_OPTION,
         {"data", "FOLDER", "where mail is kept (/var/lib/posthorn)"},
         {"runtime", "FOLDER", "where control sockets are (/run/posthorn)"},
         {"certificate", "FILE", "PEM certificate chain; self-signed if not given"},
         {"key", "FILE", "its PEM private key"},
         {"user", "NAME", "user of the mail role (posthorn); \"\" for no change of users"},
         {"force", NULL, "replace a config file that is there"},
     }},
    {"demo", NULL, "", 0, 0, "run a self-contained server for trying things out", command_demo,
     {
         {"dir", "FOLDER", "where it lives; used again if it is there (demo-data)"},
         {"port-base", "BASE", "added to every standard port (2000)"},
         {"accounts", "N", "u0@example.test and so on (3)"},
         {"bind", "ADDRESS", "where to listen (127.0.0.1); elsewhere passwords are random and TLS is required"},
         {"log", "LEVEL", "debug, info, warning (the usual here) or error"},
         {"smarthost", "HOST:PORT", "where mail for elsewhere goes; else it waits in the queue"},
         {"no-sandbox", NULL, "leave its processes unconfined, for a debugger"},
     }},
    {"domain", "add", "DOMAIN", 1, 1, "receive mail for a domain", command_domain_add, {{0}}},
    {"domain", "list", "", 0, 0, "list the domains", command_domain_list, {{0}}},
    {"domain", "remove", "DOMAIN", 1, 1, "remove a domain without accounts and aliases", command_domain_remove, {{0}}},
    {"domain", "quota", "DOMAIN", 1, 1, "how much the accounts of a domain may hold, together and each",
     command_domain_quota,
     {
         {"storage", "SIZE", "bytes of all together (or KB, MB, GB); none"},
         {"messages", "N", "messages of all together; none"},
         {"account-storage", "SIZE", "bytes of each without a limit of its own; none; default (what the config says)"},
         {"account-messages", "N", "messages of each; none; default"},
         {"account-mailboxes", "N", "mailboxes of each; none; default"},
     }},
    {"domain", "recount", "DOMAIN", 1, 1, "count messages and bytes of a domain's accounts anew", command_domain_recount,
     {{0}}},
    {"account", "add", "ADDRESS", 1, 1, "make an account with its mailboxes and password", command_account_add,
     {PASSWORD_OPTION, HASH_OPTION}},
    {"account", "passwd", "ADDRESS", 1, 1, "set an account's password; its sessions end", command_account_passwd,
     {PASSWORD_OPTION, HASH_OPTION}},
    {"account", "app-password", "add|list|remove ADDRESS [NAME]", 2, 3,
     "passwords for programs: made here, shown once, and taken back by name", command_account_app_password,
     {{"for", "SERVICE,...", "of imap, smtp, pop3, managesieve, jmap (all)"}}},
    {"account", "disable", "ADDRESS", 1, 1, "refuse mail and logins for now; keep what is there",
     command_account_disable, {{0}}},
    {"account", "enable", "ADDRESS", 1, 1, "end a disable", command_account_enable, {{0}}},
    {"account", "quota", "ADDRESS", 1, 1, "how much an account may hold, and does", command_account_quota,
     {
         {"storage", "SIZE", "bytes it may hold (or KB, MB, GB); none; default (what the config says)"},
         {"messages", "N", "messages in all its mailboxes; none; default"},
         {"mailboxes", "N", "mailboxes; none; default"},
     }},
    {"account", "sender", "add|list|remove ADDRESS [SENDER]", 2, 3,
     "what an account may send as beside its own addresses (\"@domain\": all there; \"@\": any)",
     command_account_sender, {{0}}},
    {"account", "sent-copy", "on|off ADDRESS", 2, 2, "put what an account sends into its Sent mailbox too",
     command_account_sent_copy, {{0}}},
    {"account", "list", "", 0, 0, "list the accounts and what they hold", command_account_list, {{0}}},
    {"account", "undelete", "ADDRESS", 1, 1, "bring expunged messages back, also those of deleted mailboxes",
     command_account_undelete,
     {
         {"mailbox", "NAME", "from this mailbox (NAME/: and those below it)"},
         {"since", "TIME", "expunged since then: \"2026-11-20 14:00\", -2d"},
         {"message", "ID,...", "these messages, by the numbers that --list shows"},
         {"moved", NULL, "also where they were moved away from, or a copy of them is left"},
         {"list", NULL, "show what would come back, and do nothing"},
     }},
    {"account", "restore", "ADDRESS", 1, 1, "put what was in mailboxes at a time into new ones", command_account_restore,
     {
         {"at", "TIME", "of which time: \"2026-11-20 14:00\", -2d, \"3 hours ago\""},
         {"mailbox", "NAME", "of this mailbox only (NAME/: and those below it)"},
         {"into", "NAME", "above the new mailboxes (Restored and the time)"},
         {"list", NULL, "show what would be restored, and do nothing"},
     }},
    {"account", "purge", "ADDRESS", 1, 1, "give back expunged messages whose time is over", command_account_purge,
     {
         {"all-expunged", NULL, "all of them, now"},
         {"yes", NULL, "do not ask"},
     }},
    {"account", "recount", "[ADDRESS]", 0, 1, "count messages and bytes anew, of one account or all", command_account_recount,
     {{0}}},
    {"account", "remove", "ADDRESS", 1, 1, "remove an account and all its mail", command_account_remove,
     {{"yes", NULL, "do not ask"}}},
    {"alias", "add", "ADDRESS MEMBER...", 2, 1000, "let an address (\"@domain\": all others there) lead to members",
     command_alias_add, {{0}}},
    {"alias", "list", "", 0, 0, "list the aliases", command_alias_list, {{0}}},
    {"alias", "remove", "ADDRESS [MEMBER]", 1, 2, "remove an alias or one of its members", command_alias_remove, {{0}}},
    {"session", "list", "", 0, 0, "list who is connected", command_session_list, {{0}}},
    {"session", "kick", "ID|ADDRESS", 1, 1, "end a session, or all of an account", command_session_kick, {{0}}},
    {"queue", "list", "", 0, 0, "what waits to be sent, to whom and why", command_queue_list, {QUEUE_FILTERS}},
    {"queue", "show", "MESSAGE|TRACE", 1, 1, "one message: its recipients, last replies, next attempt, header",
     command_queue_show, {{"body", NULL, "the whole message"}}},
    {"queue", "hold", "[MESSAGE...]", 0, 1000, "let messages wait until they are released", command_queue_hold,
     {QUEUE_FILTERS, QUEUE_ALL}},
    {"queue", "release", "[MESSAGE...]", 0, 1000, "let held messages go", command_queue_release, {QUEUE_FILTERS, QUEUE_ALL}},
    {"queue", "retry", "[MESSAGE...]", 0, 1000, "try again now", command_queue_retry, {QUEUE_FILTERS, QUEUE_ALL}},
    {"queue", "remove", "[MESSAGE...]", 0, 1000, "remove messages; nobody is told without --bounce", command_queue_remove,
     {QUEUE_FILTERS, QUEUE_ALL, {"bounce", NULL, "return them to their senders"}}},
    {"queue", "undo", "TRACE", 1, 1, "take a message back, as its sender could: while nothing of it was sent",
     command_queue_undo, {{0}}},
    {"queue", "stats", "", 0, 0, "how much waits, and what was done since the start", command_queue_stats, {{0}}},
    {"policy", "test", "", 0, 0, "would such mail come in, and which rule decides?", command_policy_test,
     {
         {"client", "ADDRESS", "of the client that connects"},
         {"helo", "NAME", "that it gives (client.example.org)"},
         {"from", "ADDRESS", "the sender; without it the null reverse-path"},
         {"to", "ADDRESS", "the recipient"},
     }},
    {"import", "mbox", "PATH ADDRESS", 2, 2, "bring mail from an mbox, a tree of them (Thunderbird too) or a Google Takeout",
     command_import_mbox,
     {{"dialect", "NAME", "mboxo, mboxrd, mboxcl or mboxcl2 (told apart by looking)"}, IMPORT_OPTIONS}},
    {"import", "imap", "HOST[:PORT] ADDRESS", 2, 2, "bring mail from a running IMAP server; a second run brings what is new",
     command_import_imap,
     {
         {"user", "NAME", "who signs in there (\"ann\", or \"ann*master\" for a master user)"},
         PASSWORD_OPTION,
         {"password-file", "FILE", "the password is the first line of this file"},
         {"token-file", "FILE", "sign in by this OAuth 2 token instead"},
         {"starttls", NULL, "STARTTLS, which must be offered (the usual on port 143); else TLS from the first byte"},
         {"plaintext", NULL, "no TLS: whoever listens reads the password"},
         {"insecure", NULL, "take any certificate: whoever is in between reads the password"},
         {"ca", "FILE", "PEM certificates of authorities to believe instead of the system's"},
         {"only", "NAME,...", "these mailboxes alone, and what is below them"},
         {"skip", "NAME,...", "not these, nor what is below them"},
         {"shared", NULL, "mailboxes of other users and shared ones too"},
         {"pop3-uidl-format", "FORMAT", "Dovecot's setting (of %u and %v), so that POP3 clients notice nothing"},
         {"timeout", "SECONDS", "that the server may be silent (300)"},
         IMPORT_OPTIONS,
     }},
    {"export", "maildir", "ADDRESS FOLDER", 1, 2, "write an account's mail as Maildir++ with UIDs, as Dovecot keeps it",
     command_export_maildir,
     {EXPORT_OPTIONS}},
    {"export", "mbox", "ADDRESS FOLDER", 1, 2, "write an account's mail as a tree of mbox files", command_export_mbox,
     {{"dialect", "NAME", "mboxo, mboxrd (the usual), mboxcl or mboxcl2"}, EXPORT_OPTIONS}},
    {"trace", NULL, "TRACE|MESSAGE-ID", 1, 1, "the whole way of a message: received, placed, sent, returned", command_trace,
     {{0}}},
    {"probe", NULL, "HOST[:PORT]", 1, 1, "speak with any SMTP, LMTP, IMAP or POP3 server and explain what it says", command_probe,
     {
         {"tls", NULL, "TLS from the first byte (the usual on 465, 993, 995)"},
         {"starttls", NULL, "STARTTLS must be offered; it is used where it is, anyhow"},
         {"no-tls", NULL, "no STARTTLS"},
         {"user", "NAME", "log in; asks for the password"},
         PASSWORD_OPTION,
         {"insecure", NULL, "log in though the certificate is wrong"},
         {"from", "ADDRESS", "send a test message from this sender"},
         {"to", "ADDRESS", "... to this recipient"},
         {"verbose", NULL, "show every line (-v)"},
         {"timeout", "SECONDS", "for each step (20)"},
     }},
    {"import", "postfix-dovecot", "", 0, 0, "take over a Postfix and Dovecot: domains, accounts, passwords, aliases, mail",
     command_import_postfix_dovecot,
     {
         {"root", "FOLDER", "of a copy of that machine, with its etc and its mail (/)"},
         {"domain", "DOMAIN,...", "only these domains"},
         {"users", "FILE", "addresses of users that no table lists, one a line"},
         {"only-accounts", NULL, "domains, accounts, passwords and aliases; no mail"},
         {"skip-mail", NULL, "the same"},
         {"yes", NULL, "do not ask"},
         {"write-config", "FILE", "write what of its settings has a counterpart here into a new file"},
         {"over-quota", NULL, "go on where an account's quota ends"},
         {"keep-gone", NULL, "keep what is gone there since the last run"},
         {"dry-run", NULL, "say what would be done; do nothing"},
         {"report", "FILE", "write all that was left out, and all notes, to this file"},
     }},
    {"import", "eml", "FOLDER ADDRESS", 2, 2, "bring messages from a folder of .eml files into an account",
     command_import_eml, {IMPORT_OPTIONS}},
    {"import", "maildir", "FOLDER ADDRESS", 2, 2, "bring mail from a Maildir (Maildir++, Dovecot) into an account",
     command_import_maildir,
     {
         IMPORT_OPTIONS,
         {"pop3-uidl-format", "FORMAT", "Dovecot's pop3_uidl_format (%08Xu%08Xv); none: unique-ids are new"},
         {"control", "FOLDER", "where Dovecot's control files are (CONTROL=), if not with the mail"},
     }},
    {"sendmail", NULL, "[OPTION...] [RECIPIENT...]", 0, RAW_WORDS,
     "send a message from standard input, as programs expect of /usr/sbin/sendmail", command_sendmail, {{0}}},
    {"config", "check", "", 0, 0, "is the config file right?", command_config_check, {{0}}},
    {"status", NULL, "", 0, 0, "how the server is", command_status, {{0}}},
    {"check", "sandbox", "", 0, 0, "try, from inside each process, what it must not be able to do", command_check_sandbox,
     {{"verbose", NULL, "every attempt, not only those that went wrong"}}},
    {"check", NULL, "", 0, 0, "verify every message, row and count", command_check, {{0}}},
    {"backup", "verify", "FOLDER", 1, 1, "is all of a backup there, unharmed, and of one piece?", command_backup_verify,
     {{"number", "N", "of this one (the newest)"}}},
    {"backup", NULL, "FOLDER", 1, 1, "copy all that is needed to come back; running or not; only what has changed since", command_backup,
     {{"keep", "N", "backups that stay in the folder (1)"}}},
    {"restore", NULL, "FOLDER", 1, 1, "put a backup back: all into an empty data folder, or one account into a running server",
     command_restore,
     {
         {"number", "N", "this backup of the folder (the newest)"},
         {"release-queue", NULL, "let the queue's messages go, though they may have been sent after the backup was made"},
         {"account", "ADDRESS", "only this account's mail, beside what is there"},
         {"into", "ADDRESS", "... into this account (the same)"},
         {"mailbox-prefix", "NAME", "... into mailboxes below this one (Restored; with --into: none)"},
         {"dry-run", NULL, "... read everything and say what would come; keep nothing"},
         {"report", "FILE", "... write all that was left out, and all notes, to this file"},
     }},
    {"rebuild", NULL, "[ADDRESS]", 0, 1, "make derived and lost metadata anew, of one account or all", command_rebuild,
     {{0}}},
    {"version", NULL, "", 0, 0, "which version this is", command_version, {{0}}},
};
const size_t command_count = ARRAY_LEN(commands);
