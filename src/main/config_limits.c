/*
 * main/config_limits.c - every limit of every room as a row.
 *
 * Layer: main.
 */
#include "main/config_limits.h"

#define ROW(kind, room, field, low, high)                                                                     \
    {#room, #field, kind, offsetof(struct config, room.field), sizeof(((struct config *)NULL)->room.field), low, \
     high}
#define COUNT(room, field, low, high) ROW(LIMIT_COUNT, room, field, low, high)
#define BYTES(room, field, low, high) ROW(LIMIT_BYTES, room, field, low, high)

#define BOOL(room, field) ROW(LIMIT_BOOL, room, field, 0, 1)
#define TEXT(room, field) ROW(LIMIT_TEXT, room, field, 0, 1000)

#define KB ((uint64_t)1024)
#define MB (1024 * KB)
#define GB (1024 * MB)
enum { DAY = 24 * 3600, MANY = 1000000000 };

const struct config_limit config_limits[] = {
    COUNT(admin, trace_days, 0, 3650),
    COUNT(admin, backup_silence_seconds, 5, DAY),

    COUNT(net, workers, 0, 1024),
    COUNT(net, workers_max, 1, 4096),
    COUNT(net, connections_max, 0, MANY),
    COUNT(net, connections_per_address, 1, MANY),
    COUNT(net, connections_per_second_per_address, 1, MANY),
    COUNT(net, connections_per_network, 1, MANY),
    COUNT(net, sessions_per_account, 1, MANY),
    BYTES(net, memory_bytes, 0, 1024 * GB),
    COUNT(net, command_seconds, 1, DAY),
    COUNT(net, before_login_seconds, 1, DAY),
    COUNT(net, body_seconds, 1, DAY),
    COUNT(net, turn_commands, 1, MANY),
    COUNT(net, turn_ms, 1, 60000),

    COUNT(ipc, calls_max, 1, MANY),
    COUNT(ipc, timeout_seconds, 1, 3600),
    COUNT(ipc, threads, 1, 256),
    COUNT(ipc, connections_max, 1, 65536),

    COUNT(dns, seconds, 1, 300),
    COUNT(dns, answers, 10, 10000000),
    COUNT(dns, questions, 1, 1024),
    BOOL(dns, unbound),

    COUNT(queue, retry_first_seconds, 1, DAY),
    COUNT(queue, retry_most_seconds, 1, 30 * DAY),
    COUNT(queue, lifetime_seconds, 60, 365 * DAY),
    COUNT(queue, bounce_lifetime_seconds, 60, 365 * DAY),
    COUNT(queue, delay_warning_seconds, 0, 365 * DAY),
    COUNT(queue, destination_sessions, 1, 10000),
    COUNT(queue, sessions, 1, 10000),
    COUNT(queue, cold_sessions, 1, 10000),
    COUNT(queue, destination_per_minute, 0, MANY),
    COUNT(queue, source_per_minute, 0, MANY),
    COUNT(queue, future_release_seconds, 0, 365 * DAY),
    COUNT(queue, undo_seconds, 0, 3600),
    COUNT(queue, first_try_messages, 0, 1000000),
    BYTES(queue, first_try_bytes, 0, 64 * GB),
    COUNT(queue, first_try_seconds, 1, 3600),
    BYTES(queue, fresh_bytes, 0, 64 * GB),

    COUNT(relay, hosts, 1, 1000),
    COUNT(relay, addresses, 1, 1000),
    COUNT(relay, recipients, 1, 1000000),
    COUNT(relay, reuse_messages, 1, MANY),
    COUNT(relay, reuse_seconds, 0, 3600),
    COUNT(relay, dead_seconds, 0, DAY),
    COUNT(relay, port, 1, 65535),
    BOOL(relay, ipv6),

    COUNT(smtp_client, connect_seconds, 1, 3600),
    COUNT(smtp_client, greeting_seconds, 1, 3600),
    COUNT(smtp_client, command_seconds, 1, 3600),
    COUNT(smtp_client, data_seconds, 1, 3600),
    COUNT(smtp_client, final_seconds, 1, 7200),
    COUNT(smtp_client, message_seconds, 60, 86400),
    COUNT(smtp_client, reply_bytes, 512, 1000000),
    COUNT(smtp_client, reply_lines, 100, MANY),

    BYTES(smtp, message_bytes, 64 * KB, 4 * GB - 1),
    COUNT(smtp, recipients, 100, 1000000), /* RFC 5321 section 4.5.3.1.8: at least 100 */
    COUNT(smtp, transactions, 1, MANY),
    COUNT(smtp, errors, 1, MANY),
    BYTES(smtp, line_bytes, 1000, MB),
    BYTES(smtp, header_bytes, 4 * KB, 64 * MB),
    COUNT(smtp, received_fields, 10, 1000),
    COUNT(smtp, login_attempts, 1, 1000),
    BOOL(smtp, check_from),

    BYTES(imap, command_bytes, 8 * KB, 64 * MB),
    BYTES(imap, append_bytes, 64 * KB, 4 * GB - 1),
    COUNT(imap, urlauth, 0, 1),
    COUNT(imap, append_messages, 1, 1000000),
    COUNT(imap, sets, 10, MANY),
    COUNT(imap, nesting, 5, 1000),
    COUNT(imap, bad_commands, 1, MANY),
    COUNT(imap, login_attempts, 1, 1000),
    COUNT(imap, contexts, 1, 1000),
    COUNT(imap, saved_ranges, 1, MANY),
    BOOL(imap, compress),
    COUNT(imap, message_limit, 0, 1000000000),
    COUNT(imap, save_limit, 0, 1000000000),
    TEXT(imap, jmap_url),
    COUNT(imap, command_cpu_seconds, 0, 3600),
    COUNT(imap, idle_tick_seconds, 10, 1740), /* RFC 2177: clients expect a word within 29 minutes */

    BYTES(pop3, line_bytes, 255, MB), /* RFC 2449 section 4: at least 255 */
    COUNT(pop3, bad_commands, 1, MANY),
    COUNT(pop3, login_attempts, 1, 1000),
    BOOL(pop3, mark_seen),

    BYTES(store, view_bytes, MB, 1024 * GB),
    COUNT(store, view_file_messages, 0, 1000000000),
    BYTES(store, sort_bytes, MB, 1024 * GB),
    COUNT(store, sort_idle_seconds, 1, DAY),
    BYTES(store, handle_bytes, MB, 1024 * GB),
    COUNT(store, handle_idle_seconds, 1, DAY),
    BYTES(store, name_bytes, 64, 64 * KB),
    COUNT(store, name_levels, 1, 1000),
    COUNT(store, mailboxes, 10, MANY),
    COUNT(store, keywords, 1, 1000000),
    COUNT(store, keywords_per_message, 1, 100000),
    COUNT(store, keyword_sets, 10, 1000000),
    BYTES(store, keyword_bytes, 8, 4 * KB),
    COUNT(store, workers_per_account, 1, 1024),
    COUNT(store, keep_expunged_days, 0, 36500),
    COUNT(store, change_log_days, 1, 36500),
    COUNT(store, annotations, 1, 100000),
    BYTES(store, annotation_bytes, 64, 16 * MB),
    COUNT(store, snapshot_hours, 0, 8760),
    COUNT(store, search_index, 0, 1),
    BYTES(store, index_memory, MB, GB),
    BYTES(store, quota_bytes, 0, 1024 * 1024 * GB),
    COUNT(store, quota_messages, 0, MANY),
    COUNT(store, quota_mailboxes, 0, MANY),

    BYTES(volume, volume_bytes, 4 * MB, 4 * GB - 1),
    BYTES(volume, prewrite_bytes, 0, GB),
    COUNT(volume, reserve_percent, 0, 90),
    BYTES(volume, reserve_bytes, 0, 1024 * GB),
    COUNT(volume, free_after_seconds, 0, 365 * DAY),
    COUNT(volume, compression, 0, 19),
    BYTES(volume, compress_from, 0, 4 * GB),
    COUNT(volume, open_files, 4, 65536),

    COUNT(deliver, placers, 1, 1024),
    COUNT(deliver, backlog, 1, 1000000),
    COUNT(deliver, retry_seconds, 1, 300),
    COUNT(deliver, retries_per_account, 1, 1000000),
    COUNT(deliver, outbound_backlog, 1, 10000000),
    COUNT(deliver, lifetime_seconds, 60, 365 * DAY),
    COUNT(deliver, mark_seconds, 1, 3600),

    ROW(LIMIT_CHAR, directory, separator, 0, 0),
    COUNT(directory, alias_members, 1, 1000000),
    COUNT(directory, alias_depth, 1, 100),
    COUNT(directory, route_targets, 1, 1000000),

    COUNT(auth, hash_passes, 1, 1000),
    BYTES(auth, hash_memory, 8 * KB, 4 * GB),
    COUNT(auth, hash_runs, 0, 256),
    COUNT(auth, hash_waiting, 0, 10000),
    COUNT(auth, scram_iterations, 0, 10000000),
    TEXT(auth, mechanisms),
    TEXT(auth, oauth_issuer),
    TEXT(auth, oauth_audience),
    TEXT(auth, oauth_jwks),
    TEXT(auth, oauth_introspection),
    TEXT(auth, oauth_client),
    TEXT(auth, oauth_secret_file),
    TEXT(auth, oauth_claim),
    TEXT(auth, oauth_scope),
    COUNT(auth, oauth_skew_seconds, 0, 3600),
    BYTES(auth, password_bytes, 64, 16 * KB),
    COUNT(auth, app_passwords, 0, 200),
    COUNT(auth, cached_logins, 0, 10000000),
    COUNT(auth, cached_seconds, 1, 7 * DAY),
    COUNT(auth, requests, 0, 1000000),
    COUNT(auth, signatures, 0, 1000000),
    COUNT(auth, delay_ms, 0, 60000),
    COUNT(auth, delay_ms_max, 0, 60000),
    COUNT(auth, peer_failures, 1, MANY),
    COUNT(auth, login_failures, 1, MANY),
    COUNT(auth, failure_seconds, 1, DAY),
    COUNT(auth, throttled, 16, 10000000),
    COUNT(auth, exchanges, 1, 1000000),
    COUNT(auth, exchange_seconds, 1, 3600),
    COUNT(auth, save_seconds, 1, 3600),

    BYTES(content, html_bytes, 4 * KB, 64 * MB),
    COUNT(content, html_depth, 16, 100000),
    COUNT(content, html_ms, 10, 60000),
    COUNT(content, answer_seconds, 1, 600),

    BYTES(fetch, answer_bytes, 64 * KB, 64 * MB),
    COUNT(fetch, seconds, 1, 600),
    COUNT(fetch, requests, 1, 256),

    COUNT(policy, threads, 1, 1024),
    COUNT(policy, waiting, 1, 1000000),
    COUNT(policy, helper_failures, 1, 1000),
    COUNT(policy, helper_pause_seconds, 1, 3600),
    COUNT(policy, dnslist_threshold, 1, 100000),
    TEXT(policy, helo_check),
    BOOL(policy, sender_domain_check),
    BOOL(policy, greylist),
    COUNT(policy, greylist_delay_seconds, 1, DAY),
    COUNT(policy, greylist_retry_hours, 1, 8760),
    COUNT(policy, greylist_keep_days, 1, 36500),
    COUNT(policy, greylist_auto_allow, 0, MANY),
    COUNT(policy, greylist_entries, 100, 100000000),
    COUNT(policy, connections_per_minute, 0, 1000000),
    COUNT(policy, messages_per_hour, 0, 1000000),
    COUNT(policy, recipients_per_hour, 0, 1000000),
    COUNT(policy, network_connections_per_minute, 0, 1000000),
    COUNT(policy, network_messages_per_hour, 0, 1000000),
    COUNT(policy, network_recipients_per_hour, 0, 1000000),
    COUNT(policy, rate_entries, 100, 100000000),
    COUNT(policy, account_messages_per_hour, 0, MANY),
    COUNT(policy, account_messages_per_day, 0, MANY),
    COUNT(policy, account_recipients_per_hour, 0, MANY),
    COUNT(policy, account_recipients_per_day, 0, MANY),
    COUNT(policy, save_seconds, 1, DAY),
    COUNT(policy, table_entries, 1, 100000000),
};
const size_t config_limit_count = ARRAY_LEN(config_limits);

void config_limits_default(struct config *c)
{
    admin_limits_default(&c->admin);
    net_limits_default(&c->net);
    ipc_limits_default(&c->ipc);
    dns_limits_default(&c->dns);
    queue_limits_default(&c->queue);
    relay_limits_default(&c->relay);
    smtp_client_limits_default(&c->smtp_client);
    smtp_limits_default(&c->smtp);
    imap_limits_default(&c->imap);
    pop3_limits_default(&c->pop3);
    store_limits_default(&c->store);
    volume_limits_default(&c->volume);
    deliver_limits_default(&c->deliver);
    directory_limits_default(&c->directory);
    auth_limits_default(&c->auth);
    content_limits_default(&c->content);
    fetch_limits_default(&c->fetch);
    policy_limits_default(&c->policy);
}

const struct config_limit *config_limit_find(const char *room, const char *name)
{
    for (size_t i = 0; i < config_limit_count; i++) {
        if (strcmp(config_limits[i].room, room) == 0 && strcmp(config_limits[i].name, name) == 0)
            return &config_limits[i];
    }
    return NULL;
}

static const struct { const char *name; uint64_t bytes; } units[] = {{"GB", GB}, {"MB", MB}, {"KB", KB}};

/* "50", "50MB", "50 MB". */
static bool parse_number(const struct config_limit *limit, struct slice value, uint64_t *out)
{
    uint64_t unit = 1;

    for (size_t i = 0; limit->kind == LIMIT_BYTES && i < ARRAY_LEN(units); i++) {
        if (slice_ends(value, slice_of(units[i].name))) {
            value = slice_trim(slice_sub(value, 0, value.len - 2));
            unit = units[i].bytes;
            break;
        }
    }
    if (!slice_to_u64(value, limit->high / unit, out))
        return false;
    *out *= unit;
    return *out >= limit->low;
}

/* Fields are char, int, unsigned, size_t or uint64_t, never negative here. */
static void store_number(const struct config_limit *limit, uint64_t n, struct config *c)
{
    char *field = (char *)c + limit->offset;

    if (limit->size == sizeof n) {
        memcpy(field, &n, sizeof n);
    } else if (limit->size == sizeof(unsigned)) {
        unsigned small = (unsigned)n; /* `high` says that it fits */
        memcpy(field, &small, sizeof small);
    } else {
        bug("limit %s.%s has %zu bytes", limit->room, limit->name, limit->size);
    }
}

static uint64_t load_number(const struct config_limit *limit, const struct config *c)
{
    const char *field = (const char *)c + limit->offset;
    uint64_t    n = 0;
    unsigned    small;

    if (limit->size == sizeof n) {
        memcpy(&n, field, sizeof n);
    } else {
        memcpy(&small, field, sizeof small);
        n = small;
    }
    return n;
}

static bool set_char(const struct config_limit *limit, struct slice value, struct config *c, struct fail *why)
{
    if (value.len > 1 || (value.len == 1 && (value.ptr[0] <= ' ' || value.ptr[0] > '~' || value.ptr[0] == '@')))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is one printable character or \"\"", limit->name);
    if (c != NULL)
        *((char *)c + limit->offset) = value.len == 1 ? value.ptr[0] : '\0';
    return true;
}

static bool set_text(const struct config_limit *limit, struct slice value, struct config *c, struct fail *why)
{
    bool ok = value.len <= limit->high;

    for (size_t i = 0; ok && i < value.len; i++)
        ok = value.ptr[i] >= ' ' && value.ptr[i] != 0x7f;
    if (!ok)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is at most %llu printable characters", limit->name,
                        (unsigned long long)limit->high);
    if (c != NULL) {
        const char *text = arena_cstr(&c->arena, value);
        memcpy((char *)c + limit->offset, &text, sizeof text);
    }
    return true;
}

static bool set_bool(const struct config_limit *limit, struct slice value, struct config *c, struct fail *why)
{
    bool yes = slice_eq(value, SLICE("true"));

    if (!yes && !slice_eq(value, SLICE("false")))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is true or false", limit->name);
    if (c != NULL)
        memcpy((char *)c + limit->offset, &yes, sizeof yes);
    return true;
}

bool config_limit_set(const struct config_limit *limit, struct slice value, struct config *c, struct fail *why)
{
    uint64_t n;

    switch (limit->kind) {
    case LIMIT_CHAR: return set_char(limit, value, c, why);
    case LIMIT_TEXT: return set_text(limit, value, c, why);
    case LIMIT_BOOL: return set_bool(limit, value, c, why);
    case LIMIT_COUNT:
    case LIMIT_BYTES: break;
    }
    if (!parse_number(limit, value, &n))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is a number%s from %llu to %llu", limit->name,
                        limit->kind == LIMIT_BYTES ? " (or KB, MB, GB)" : "", (unsigned long long)limit->low,
                        (unsigned long long)limit->high);
    if (c != NULL)
        store_number(limit, n, c);
    return true;
}

void config_limit_show(const struct config_limit *limit, const struct config *c, struct buf *out)
{
    if (limit->kind == LIMIT_CHAR) {
        char separator = *((const char *)c + limit->offset);
        if (separator != '\0')
            buf_add_char(out, separator);
        return;
    }
    if (limit->kind == LIMIT_TEXT) {
        const char *text;
        memcpy(&text, (const char *)c + limit->offset, sizeof text);
        buf_add(out, slice_of(text));
        return;
    }
    if (limit->kind == LIMIT_BOOL) {
        bool yes;
        memcpy(&yes, (const char *)c + limit->offset, sizeof yes);
        buf_add(out, yes ? SLICE("true") : SLICE("false"));
        return;
    }
    uint64_t n = load_number(limit, c);
    for (size_t i = 0; limit->kind == LIMIT_BYTES && i < ARRAY_LEN(units); i++) {
        if (n > 0 && n % units[i].bytes == 0) {
            buf_addf(out, "%llu %s", (unsigned long long)(n / units[i].bytes), units[i].name);
            return;
        }
    }
    buf_add_u64(out, n);
}
