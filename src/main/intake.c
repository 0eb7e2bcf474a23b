/*
 * main/intake.c - takes what programs of this machine put into the maildrop.
 *
 * Layer: main.
 */
#include "main/intake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"
#include "base/unicode.h"
#include "deliver/deliver.h"
#include "directory/directory.h"
#include "main/intake_header.h"
#include "main/maildrop.h"
#include "message/header.h"
#include "policy/policy.h"
#include "queue/dsn.h"
#include "storage/volume.h"

enum {
    RETRY_MS = 60 * 1000,         /* while something is left that could not be taken */
    LIFETIME = 5 * 86400,         /* of such a file; then it is returned */
    ABANDONED = 86400,            /* a file that was never finished is removed after so long */
    HEADER_MAX = 4 << 20,
    BODY_MEMORY = 256 << 10,
    ARENA_MAX = 128 << 20,
    PIECE = 64 << 10,
};

struct intake {
    struct intake_setting setting;
    int                   folder, notify, stop; /* stop: an eventfd */
    pthread_t             thread;
    bool                  running;
};

/* One file while it is taken. */
struct taking {
    struct intake       *in;
    const char          *file; /* its name */
    int                  fd;
    struct stat          st;
    struct arena         arena;
    struct maildrop      drop;
    uint64_t             message_at; /* in the file */
    struct buf           head;       /* the drop's head and the beginning of the message */
    struct log_id        trace;
    struct intake_author author;
    char                 user[64];
    bool                 trusted, unclean; /* unclean: bytes that no message has; none of them goes anywhere */
    uint64_t             account;
    struct slice         sender; /* reverse-path */
    struct slice         message_id;
    struct body         *body;
    struct dsn_recipient      *refused;
    size_t                     refused_count;
    struct delivery_recipient *takers;
    size_t                     taker_count;
};

/* ---- who sends ---- */

static void find_user(struct taking *t)
{
    const struct intake_setting *s = &t->in->setting;
    char                         space[4096];
    struct passwd                entry, *found = NULL;

    if (getpwuid_r(t->st.st_uid, &entry, space, sizeof space, &found) == 0 && found != NULL)
        (void)snprintf(t->user, sizeof t->user, "%s", entry.pw_name);
    else
        (void)snprintf(t->user, sizeof t->user, "uid%u", (unsigned)t->st.st_uid);
    t->trusted = t->st.st_uid == 0 || t->st.st_uid == getuid();
    for (size_t i = 0; i < s->trusted_count; i++)
        t->trusted = t->trusted || (found != NULL && strcmp(s->trusted[i], t->user) == 0);
}

/* What is asked for beyond the addresses, as far as this user may ask for it. */
static void limit_options(struct taking *t)
{
    struct envelope_options *o = &t->drop.options;
    const int64_t            most = clock_now() + (int64_t)t->in->setting.hold_seconds;

    if (o->hold_until > most)
        o->hold_until = most;
    if (o->priority > 0 && !t->trusted)
        o->priority = 0; /* as for strangers who speak SMTP (RFC 6710 section 4.1) */
}

/* Root's mail, and that of whom the administrator trusts, is not counted: much of it comes in bursts. */
static bool within_rates(const struct taking *t, struct fail *why)
{
    const uint64_t who = t->account != 0 ? t->account : (uint64_t)1 << 63 | t->st.st_uid;

    return t->trusted || t->taker_count == 0 || policy_rate_take(t->in->setting.policy, who, (unsigned)t->taker_count, why);
}

/* An address of the drop, with the first domain where it has none. */
static struct slice whole_address(struct taking *t, struct slice address)
{
    if (address.len == 0 || slice_rfind_char(address, '@') < address.len)
        return arena_keep(&t->arena, address);
    return arena_printf(&t->arena, PRIslice "@" PRIslice, SLICE_ARG(address), SLICE_ARG(t->author.domain));
}

/* FAIL_PERM: this user may not send as that address. */
static bool find_sender(struct taking *t, struct fail *why)
{
    struct directory        *d = t->in->setting.directory;
    struct directory_account account = {0};
    struct address_key       wanted, own;
    bool                     may;

    t->author.domain = directory_first_domain(d, &t->arena);
    if (t->author.domain.len == 0)
        return fail_set(why, FAIL_TEMP, FAIL_NOT_FOUND, "there is no domain yet (posthorn domain add)");
    t->author.address = arena_printf(&t->arena, "%s@" PRIslice, t->user, SLICE_ARG(t->author.domain));
    t->author.name = t->drop.name;
    if (directory_login(d, t->author.address, &t->arena, &account, why) && !account.disabled)
        t->account = account.id;
    else if (why->kind == FAIL_TEMP)
        return false;
    t->sender = t->drop.has_sender ? whole_address(t, t->drop.sender) : t->author.address;
    if (t->sender.len == 0) /* <>: an answer of a program's, to which none is wanted */
        return true;
    if (!address_key_parse(t->sender, &wanted)) {
        t->sender = t->author.address;
        return fail_code(why, FAIL_PERM, FAIL_INVALID, "5.1.7", "the sender's address is none: " PRIslice,
                         SLICE_ARG(t->drop.sender));
    }
    may = t->trusted || (address_key_parse(t->author.address, &own) && slice_eq(key_text(&own), key_text(&wanted)));
    if (!may && t->account != 0 && !directory_may_send_as(d, t->account, t->sender, &may, why))
        return false;
    if (may) {
        t->author.address = t->sender;
        return true;
    }
    struct slice asked = t->sender;
    t->sender = t->author.address;
    return fail_code(why, FAIL_PERM, FAIL_NO_PERMISSION, "5.7.1",
                     "user %s may not send as " PRIslice " (the administrator can list the user in sendmail_trusted)",
                     t->user, SLICE_ARG(asked));
}

/* ---- the message ---- */

static bool has_room(void *volumes, uint64_t bytes, struct fail *why)
{
    return volume_has_space(volumes, bytes, why);
}

static bool read_head(struct taking *t, struct fail *why)
{
    uint64_t size = (uint64_t)t->st.st_size, n = size < MAILDROP_HEAD_MAX + HEADER_MAX ? size : MAILDROP_HEAD_MAX + HEADER_MAX;

    if (n > 0) {
        char *room = buf_room(&t->head, n);
        if (room == NULL || !io_pread_all(t->fd, room, n, 0, why))
            return false;
        buf_grew(&t->head, n);
    }
    size_t end = slice_find(buf_slice(&t->head), SLICE("\n\n"));
    t->message_at = end + 2;
    if (end == t->head.len || !maildrop_read(&t->arena, slice_sub(buf_slice(&t->head), 0, end + 1), &t->drop))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "no message of posthorn sendmail");
    if (size - t->message_at > t->in->setting.message_bytes)
        return fail_code(why, FAIL_PERM, FAIL_TOO_BIG, "5.3.4", "message is larger than %llu bytes",
                         (unsigned long long)t->in->setting.message_bytes);
    return true;
}

/* Where the header ends, its empty line not included; all of it if there is none. */
static size_t header_length(struct slice text)
{
    size_t end = slice_find(text, SLICE("\r\n\r\n"));

    if (slice_starts(text, SLICE("\r\n")))
        return 0;
    return end < text.len ? end + 2 : text.len;
}

static bool check_loop(const struct taking *t, struct slice header, struct fail *why)
{
    struct header_field field;
    unsigned            received = 0;

    for (size_t at = 0; header_next(header, &at, &field);)
        received += slice_eq_nocase(field.name, SLICE("Received"));
    return received <= t->in->setting.received_fields ||
           fail_code(why, FAIL_PERM, FAIL_LIMIT, "5.4.6", "mail loop: %u Received fields", received);
}

/* What lies in the file may be anything: lines of a message end in CRLF, and it has no NUL. */
static bool check_bytes(struct slice piece, char *last, struct fail *why)
{
    for (size_t i = 0; i < piece.len; i++) {
        char c = piece.ptr[i];
        if (c == '\0' || (c == '\n') != (*last == '\r'))
            return fail_code(why, FAIL_PERM, FAIL_INVALID, "5.6.0", "a NUL, or a line that does not end in CRLF");
        *last = c;
    }
    return true;
}

static bool copy_rest(struct taking *t, uint64_t from, struct fail *why)
{
    uint64_t size = (uint64_t)t->st.st_size;
    char     piece[PIECE], last = '\0';

    while (from < size) {
        size_t n = size - from < PIECE ? (size_t)(size - from) : PIECE;
        if (!io_pread_all(t->fd, piece, n, from, why))
            return false;
        t->unclean = !check_bytes(slice_make(piece, n), &last, why);
        if (t->unclean || !body_add(t->body, slice_make(piece, n), why))
            return false;
        if (!slice_is_ascii(slice_make(piece, n)))
            t->drop.options.body = BODY_8BITMIME;
        from += n;
    }
    return true;
}

static bool make_body(struct taking *t, struct fail *why)
{
    const struct intake_setting *s = &t->in->setting;
    const struct body_limits limits = {.memory_max = BODY_MEMORY, .size_max = s->message_bytes + HEADER_MAX,
                                       .spool_dir = s->spool_dir, .has_room = has_room, .room_ctx = s->volumes};
    struct slice message = slice_from(buf_slice(&t->head), (size_t)t->message_at);
    struct slice header = slice_sub(message, 0, header_length(message));
    struct header_field field;
    struct buf   out;
    char         last = '\0';

    t->unclean = true;
    if (!check_bytes(header, &last, why))
        return false;
    t->unclean = false;
    if (!check_loop(t, header, why))
        return false;
    buf_init(&out, 4 * (size_t)HEADER_MAX);
    buf_addf(&out, "Received: by %s (from user %s)\r\n\tid %s; %s\r\n", s->hostname, t->user, t->trace.text,
             clock_rfc5322(clock_now()).text);
    size_t top = out.len;
    intake_complete_header(&out, &t->arena, header, &t->author, s->hostname, (int64_t)t->st.st_mtime);
    if (header_find(slice_from(buf_slice(&out), top), SLICE("Message-ID"), &field))
        t->message_id = arena_keep(&t->arena, header_message_id(field.body));
    t->drop.options.account = t->account;
    t->drop.options.utf8 = !slice_is_ascii(t->sender) || !slice_is_ascii(header);
    t->body = body_create(&limits);
    bool ok = (!out.failed || fail_code(why, FAIL_PERM, FAIL_TOO_BIG, "5.3.4", "the header is too large")) &&
              body_add(t->body, buf_slice(&out), why) && copy_rest(t, t->message_at + header.len, why);
    if (ok && t->drop.options.utf8)
        t->drop.options.body = BODY_8BITMIME;
    buf_finish(&out);
    return ok;
}

/* ---- recipients ---- */

static void refuse(struct taking *t, struct slice address, const struct recipient_options *options, const struct fail *why,
                   const char *status)
{
    t->refused[t->refused_count++] = (struct dsn_recipient){
        .kind = DSN_FAILED,
        .address = address,
        .options = *options,
        .status = arena_keep(&t->arena, slice_of(why->code[0] != '\0' ? why->code : status)),
        .text = arena_keep(&t->arena, slice_of(why->text)),
    };
    log_event(LOG_INFO, "sendmail.refused", LOG_CSTR("trace", t->trace.text), LOG_CSTR("user", t->user),
              LOG_TEXT("to", address), LOG_FAIL(why));
}

/* Why nothing can go there; NULL if it can. */
static const char *no_route(enum route_kind kind, const char **status)
{
    switch (kind) {
    case ROUTE_LOCAL:
    case ROUTE_REMOTE: return NULL;
    case ROUTE_UNKNOWN: *status = "5.1.1"; return "no such address here";
    case ROUTE_DISABLED: *status = "5.2.1"; return "that account takes no mail at present";
    case ROUTE_LOOP: *status = "5.4.6"; return "aliases lead in a circle, or to too many";
    case ROUTE_INVALID: *status = "5.1.3"; return "that is not an address";
    }
    bug("route %d", (int)kind);
}

/* false: it cannot be said now. */
static bool take_recipient(struct taking *t, const struct maildrop_recipient *r, struct deliver_hold *hold, struct fail *why)
{
    const struct intake_setting *s = &t->in->setting;
    struct delivery_recipient    to = {.address = whole_address(t, r->address), .options = r->options};
    const char                  *status = "5.0.0", *text;
    struct fail                  no = {0};

    if (!directory_route(s->directory, to.address, &t->arena, &to.route, why))
        return false;
    text = no_route(to.route.kind, &status);
    if (text != NULL) {
        (void)fail_set(&no, FAIL_PERM, FAIL_NOT_FOUND, "%s", text);
    } else if (deliver_may(s->deliver, hold, &to, body_size(t->body), &no)) {
        t->takers[t->taker_count++] = to;
        return true;
    } else if (no.kind == FAIL_TEMP && !fail_is_quota(&no)) {
        *why = no;
        return false;
    }
    refuse(t, to.address, &r->options, &no, status);
    return true;
}

static bool deliver(struct taking *t, struct fail *why)
{
    struct intake_setting *s = &t->in->setting;
    struct deliver_hold    hold;

    deliver_hold_init(&hold);
    bool ok = true;
    for (size_t i = 0; i < t->drop.recipient_count && ok; i++)
        ok = take_recipient(t, &t->drop.recipients[i], &hold, why);
    const struct delivery d = {
        .sender = t->sender,
        .recipients = t->takers,
        .recipient_count = t->taker_count,
        .body = t->body,
        .received = clock_now(),
        .trace = slice_of(t->trace.text),
        .options = t->drop.options,
        .hold = &hold,
    };
    if (ok && t->taker_count > 0)
        ok = within_rates(t, why) && deliver_message(s->deliver, &d, why);
    if (ok && t->taker_count > 0)
        log_event(LOG_INFO, "sendmail.accepted", LOG_CSTR("trace", t->trace.text), LOG_CSTR("user", t->user),
                  LOG_TEXT("from", t->sender), LOG_TEXT("to", t->takers[0].address), LOG_U64("recipients", t->taker_count),
                  LOG_U64("size", body_size(t->body)), LOG_TEXT("message_id", t->message_id));
    deliver_hold_finish(s->deliver, &hold);
    return ok;
}

/* ---- telling the sender ---- */

static bool read_file(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    const struct taking *t = ctx;

    return io_pread_all(t->fd, out, n, t->message_at + offset, why);
}

/* true: it is told, or cannot be. */
static bool tell_refused(struct taking *t, struct fail *why)
{
    struct intake_setting    *s = &t->in->setting;
    const struct body_limits  limits = {.memory_max = BODY_MEMORY, .size_max = UINT64_MAX, .spool_dir = s->spool_dir};
    struct delivery_recipient to = {.address = t->sender};
    SCOPED(body_destroy) struct body *body = NULL;
    struct envelope_options envelope;
    size_t                  wanted = 0;

    for (size_t i = 0; i < t->refused_count; i++) {
        if (dsn_wanted(t->sender, &t->refused[i].options, DSN_FAILED))
            t->refused[wanted++] = t->refused[i];
    }
    if (wanted == 0)
        return true;
    const struct dsn_request request = {
        .hostname = slice_of(s->hostname), .sender = t->sender, .trace = slice_of(t->trace.text), .options = &t->drop.options,
        .received = (int64_t)t->st.st_mtime, .now = clock_now(), .recipients = t->refused, .recipient_count = wanted,
        .size = t->unclean ? 0 : (uint64_t)t->st.st_size - t->message_at, .full_max = DSN_FULL_MAX, .read = read_file, .read_ctx = t,
    };
    if (!dsn_write(&request, &limits, &body, &envelope, why) ||
        !directory_route(s->directory, to.address, &t->arena, &to.route, why))
        return false;
    if (to.route.kind != ROUTE_LOCAL && to.route.kind != ROUTE_REMOTE) { /* nobody of that name: the postmaster is told */
        to.address = SLICE("postmaster");
        if (!directory_route(s->directory, to.address, &t->arena, &to.route, why))
            return false;
    }
    if (to.route.kind != ROUTE_LOCAL && to.route.kind != ROUTE_REMOTE) {
        log_event(LOG_WARNING, "sendmail.bounce_lost", LOG_CSTR("trace", t->trace.text), LOG_TEXT("to", t->sender));
        return true;
    }
    const struct delivery d = {.recipients = &to, .recipient_count = 1, .body = body, .received = clock_now(),
                               .trace = slice_of(t->trace.text), .options = envelope};
    if (!deliver_message(s->deliver, &d, why))
        return false;
    log_event(LOG_INFO, "sendmail.bounced", LOG_CSTR("trace", t->trace.text), LOG_TEXT("to", to.address));
    return true;
}

/* Nothing of it can be taken. */
static void refuse_all(struct taking *t, const struct fail *no)
{
    t->taker_count = 0;
    t->refused_count = 0;
    for (size_t i = 0; i < t->drop.recipient_count; i++)
        refuse(t, whole_address(t, t->drop.recipients[i].address), &t->drop.recipients[i].options, no, "5.0.0");
}

/* ---- one file ---- */

/* true: it is done with; false: later. */
static bool take_message(struct taking *t, struct fail *why)
{
    if (!find_sender(t, why) || !make_body(t, why) || !deliver(t, why)) {
        bool over = why->kind == FAIL_PERM || clock_now() - (int64_t)t->st.st_mtime > LIFETIME;
        if (!over)
            return false;
        refuse_all(t, why);
    }
    return t->refused_count == 0 || tell_refused(t, why);
}

static bool take_open_file(struct taking *t)
{
    struct fail why = {0};
    bool        done;

    find_user(t);
    t->trace = log_new_id();
    if (!read_head(t, &why)) {
        log_event(LOG_WARNING, "sendmail.dropped", LOG_CSTR("file", t->file), LOG_CSTR("user", t->user), LOG_FAIL(&why));
        return why.kind == FAIL_PERM;
    }
    t->refused = arena_new_array(&t->arena, struct dsn_recipient, t->drop.recipient_count);
    t->takers = arena_new_array(&t->arena, struct delivery_recipient, t->drop.recipient_count);
    limit_options(t);
    t->drop.options.source = arena_keep(&t->arena, slice_of(t->user));
    done = t->refused != NULL && t->takers != NULL && take_message(t, &why);
    if (!done)
        log_event(LOG_WARNING, "sendmail.waits", LOG_CSTR("file", t->file), LOG_CSTR("user", t->user), LOG_FAIL(&why));
    return done;
}

/* Is it whole?  A link, or something that is no plain file, is not ours to read. */
static bool is_ready(const struct taking *t)
{
    return S_ISREG(t->st.st_mode) && t->st.st_nlink == 1 && (t->st.st_mode & S_IXUSR) != 0 && t->st.st_size >= 0;
}

/* false: something is left for later. */
static bool take_file(struct intake *in, const char *name)
{
    struct taking t = {.in = in, .file = name};
    bool          done = true;

    t.fd = openat(in->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (t.fd < 0) /* a link, or a socket, is not ours to read; all else may be otherwise in a minute: no descriptor free */
        return errno == ENOENT || errno == ELOOP || errno == ENXIO;
    if (fstat(t.fd, &t.st) != 0) {
        (void)close(t.fd);
        return false;
    }
    if (is_ready(&t)) {
        arena_init(&t.arena, ARENA_MAX);
        buf_init(&t.head, MAILDROP_HEAD_MAX + HEADER_MAX);
        done = take_open_file(&t);
        body_destroy(&t.body);
        buf_finish(&t.head);
        arena_finish(&t.arena);
    } else {
        done = S_ISREG(t.st.st_mode) && clock_now() - (int64_t)t.st.st_mtime > ABANDONED;
    }
    (void)close(t.fd);
    if (done && unlinkat(in->folder, name, 0) != 0 && errno != ENOENT)
        log_event(LOG_ERROR, "sendmail.cannot_remove", LOG_CSTR("file", name), LOG_I64("errno", errno));
    return done;
}

/* ---- the thread ---- */

static bool take_all(struct intake *in)
{
    int            fd = openat(in->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    bool           all = true;
    eventfd_t      unused;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    while ((entry = readdir(dir)) != NULL && eventfd_read(in->stop, &unused) != 0) {
        if (entry->d_name[0] != '.')
            all = take_file(in, entry->d_name) && all;
    }
    if (entry != NULL) /* told to stop while we were at it: the thread must hear of it again */
        (void)eventfd_write(in->stop, 1);
    (void)closedir(dir);
    return all;
}

static void drain(int notify)
{
    char events[16 * 1024];

    while (read(notify, events, sizeof events) > 0)
        ;
}

static void *intake_run(void *arg)
{
    struct intake *in = arg;
    struct pollfd  wait[] = {{.fd = in->stop, .events = POLLIN}, {.fd = in->notify, .events = POLLIN}};

    for (;;) {
        bool all = take_all(in);
        if (poll(wait, ARRAY_LEN(wait), all ? -1 : RETRY_MS) > 0 && wait[0].revents != 0)
            return NULL;
        drain(in->notify); /* first: what comes while the folder is read is seen there or wakes us again */
    }
}

bool intake_start(const struct intake_setting *setting, struct intake **out, struct fail *why)
{
    struct intake *in = xcalloc(1, sizeof *in);
    int            errnum = 0;

    in->setting = *setting;
    in->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    in->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    in->folder = open(setting->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (in->stop < 0 || in->notify < 0 || in->folder < 0 ||
        inotify_add_watch(in->notify, setting->folder, IN_CLOSE_WRITE | IN_MOVED_TO) < 0)
        errnum = errno;
    else
        errnum = pthread_create(&in->thread, NULL, intake_run, in);
    in->running = errnum == 0;
    *out = in;
    if (in->running)
        return true;
    intake_stop(out);
    return fail_errno(why, errnum, "%s", setting->folder);
}

void intake_stop(struct intake **intake)
{
    struct intake *in = *intake;

    if (in == NULL)
        return;
    if (in->running) {
        (void)eventfd_write(in->stop, 1);
        (void)pthread_join(in->thread, NULL);
    }
    scoped_close(&in->stop);
    scoped_close(&in->notify);
    scoped_close(&in->folder);
    free(in);
    *intake = NULL;
}
