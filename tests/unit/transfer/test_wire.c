/* transfer/wire.h: what is told on one side arrives on the other, whatever it is; failures go both ways. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/transfer/recorder.h"
#include "transfer/wire.h"

static const struct body_limits bodies = {.memory_max = 1000, .size_max = 300000, .spool_dir = "/tmp"};

static bool io_read(void *ctx, void *out, size_t n, size_t *got, struct fail *why)
{
    ssize_t came = read(*(int *)ctx, out, n);

    (void)why;
    *got = came > 0 ? (size_t)came : 0;
    return came >= 0;
}

static bool io_write(void *ctx, struct slice bytes, struct fail *why)
{
    while (bytes.len > 0) {
        ssize_t n = send(*(int *)ctx, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the other side is gone");
        bytes = slice_from(bytes, (size_t)n);
    }
    return true;
}

static void io_stop(void *ctx)
{
    (void)shutdown(*(int *)ctx, SHUT_RDWR);
}

/* The side that is told. */
struct far {
    int                   fd;
    struct recorder       recorder;
    unsigned              refuse_after; /* messages; 0: never */
    const struct transfer_digest *known;
    size_t                known_count;
    uint64_t              notes;
    bool                  ok;
    struct fail           why;
    pthread_t             thread;
    struct wire_receiver *receiver;
};

static bool far_message(void *ctx, const struct transfer_message *m, struct fail *why)
{
    struct far *f = ctx;

    if (f->refuse_after != 0 && f->recorder.messages + 1 > f->refuse_after)
        return fail_code(why, FAIL_PERM, FAIL_OVER_QUOTA, "5.2.2", "no room");
    f->recorder.messages++;
    wire_note(f->receiver, m->uid % 2 == 0, m->key, "noted");
    buf_addf(&f->recorder.text, "%u %u " PRIslice " " PRIslice " %zu %lld %d %lld\n", m->uid, m->flags, SLICE_ARG(m->key),
             SLICE_ARG(m->uidl), m->keyword_count, (long long)m->internal_date, m->internal_zone,
             m->body != NULL ? (long long)body_size(m->body) : -1);
    return true;
}

static bool far_mailbox(void *ctx, const struct transfer_mailbox *m, struct fail *why)
{
    struct far *f = ctx;

    (void)why;
    buf_addf(&f->recorder.text, "mailbox " PRIslice " %u %u %d%d%d " PRIslice "\n", SLICE_ARG(m->name), m->uidvalidity, m->uidnext,
             (int)m->use, (int)m->subscribed, (int)m->no_select, SLICE_ARG(m->source));
    return true;
}

static bool far_known(void *ctx, bool (*each)(void *each_ctx, const struct transfer_digest *d), void *each_ctx, struct fail *why)
{
    const struct far *f = ctx;

    (void)why;
    for (size_t i = 0; i < f->known_count && each(each_ctx, &f->known[i]); i++)
        ;
    return true;
}

static uint64_t far_durable(void *ctx)
{
    return ((struct far *)ctx)->recorder.messages;
}

static bool far_end(void *ctx, bool whole, struct fail *why)
{
    (void)why;
    buf_addf(&((struct far *)ctx)->recorder.text, "end %d\n", (int)whole);
    return true;
}

static bool far_subscription(void *ctx, struct slice name, struct fail *why)
{
    (void)why;
    buf_addf(&((struct far *)ctx)->recorder.text, "subscribed " PRIslice "\n", SLICE_ARG(name));
    return true;
}

static bool far_script(void *ctx, struct slice name, bool active, struct slice text, struct fail *why)
{
    (void)why;
    buf_addf(&((struct far *)ctx)->recorder.text, "script " PRIslice " %d %zu\n", SLICE_ARG(name), (int)active, text.len);
    return true;
}

static void far_left_out(void *ctx, struct slice what, const char *reason)
{
    buf_addf(&((struct far *)ctx)->recorder.text, "left out " PRIslice ": %s\n", SLICE_ARG(what), reason);
}

static void *run_far(void *arg)
{
    struct far                *f = arg;
    const struct wire_io       io = {.read = io_read, .write = io_write, .stop = io_stop, .ctx = &f->fd};
    const struct transfer_into into = {.ctx = f, .mailbox = far_mailbox, .known = far_known, .durable = far_durable,
                                       .message = far_message, .mailbox_end = far_end, .subscription = far_subscription,
                                       .script = far_script, .left_out = far_left_out};

    f->receiver = wire_receiver_create(&io, &bodies);
    f->ok = wire_receive(f->receiver, &into, NULL, &f->why);
    wire_receiver_destroy(&f->receiver);
    return NULL;
}

static int begin(struct far *f)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        exit(1);
    f->fd = ends[1];
    buf_init(&f->recorder.text, SIZE_MAX);
    if (pthread_create(&f->thread, NULL, run_far, f) != 0)
        exit(1);
    return ends[0];
}

static void finish(struct far *f, int fd)
{
    (void)pthread_join(f->thread, NULL);
    buf_finish(&f->recorder.text);
    (void)close(f->fd);
    (void)close(fd);
}

static bool tell(const struct transfer_into *into, uint32_t uid, const char *key, size_t size, struct fail *why)
{
    static const struct slice keywords[] = {{"a", 1}, {"$b", 2}};
    struct body              *body = NULL;
    bool                      ok = true;

    if (size != SIZE_MAX) {
        char *text = xcalloc(1, size + 1);
        memset(text, 'x', size);
        body = body_create(&(struct body_limits){.memory_max = 5000, .size_max = 1 << 20, .spool_dir = "/tmp"});
        ok = body_add(body, slice_make(text, size), why);
        free(text);
    }
    const struct transfer_message m = {.uid = uid, .flags = STORE_SEEN, .keywords = keywords, .keyword_count = 2, .internal_date = -5,
                                       .internal_zone = -90, .uidl = SLICE("u"), .key = slice_of(key), .body = body};
    ok = ok && into->message(into->ctx, &m, why);
    body_destroy(&body);
    return ok;
}

static void note(void *ctx, bool left_out, struct slice what, struct slice reason)
{
    (void)what;
    *(unsigned *)ctx += left_out ? 100 : 1;
    CHECK_SLICE("the note's text", reason, SLICE("noted"));
}

static void arrives(void)
{
    const struct transfer_message known = {.key = SLICE("there")};
    const struct transfer_digest  digest = transfer_digest(7, &known);
    struct far                    f = {.known = &digest, .known_count = 1};
    unsigned                      notes = 0;
    int                           fd = begin(&f);
    const struct wire_io          io = {.read = io_read, .write = io_write, .stop = io_stop, .ctx = &fd};
    const struct wire_events      events = {.note = note, .ctx = &notes};
    struct fail                   why = {.text = ""};
    struct wire_sender           *s = wire_sender_create(&io, &events, &why);
    struct transfer_into          into = wire_sender_into(s);
    const struct transfer_mailbox box = {.name = SLICE("A/\xc3\xbc"), .uidvalidity = 7, .uidnext = 9, .use = USE_SENT, .subscribed = true, .source = SLICE("src")};
    const struct transfer_message other = {.key = SLICE("other")};

    CHECK("mailbox", into.mailbox(into.ctx, &box, &why));
    CHECK("what it has is known", into.has(into.ctx, &known) && !into.has(into.ctx, &other));
    CHECK("nothing in it", tell(&into, 1, "empty", 0, &why));
    CHECK("without a body", tell(&into, 2, "there", SIZE_MAX, &why));
    CHECK("in pieces", tell(&into, 3, "large", 200000, &why));
    CHECK("too large for the other side", tell(&into, 4, "huge", 400000, &why));
    into.left_out(into.ctx, SLICE("w"), "r");
    CHECK("end", into.mailbox_end(into.ctx, true, &why));
    CHECK("subscription", into.subscription(into.ctx, SLICE("gone"), &why));
    CHECK("script", into.script(into.ctx, SLICE("main"), true, SLICE("keep;"), &why) && into.script(into.ctx, SLICE("none"), false, SLICE(""), &why));
    CHECK("all is kept", wire_sender_end(s, NULL, &why));
    wire_sender_destroy(&s);
    (void)pthread_join(f.thread, NULL);
    CHECK("the other side says so too", f.ok);
    CHECK_SLICE("what arrived", buf_slice(&f.recorder.text),
                SLICE(                "mailbox A/\xc3\xbc 7 9 610 src\n1 1 empty u 2 -5 -90 0\n2 1 there u 2 -5 -90 -1\n3 1 large u 2 -5 -90 200000\n"
                "left out huge: larger than 300000 bytes\nleft out w: r\nend 1\nsubscribed gone\nscript main 1 5\nscript none 0 0\n"));
    CHECK("notes came back", notes == 102);
    buf_finish(&f.recorder.text);
    (void)close(f.fd);
    (void)close(fd);
}

/* The keeper fails: the teller hears why, and the stream still ends where it should. */
static void keeper_fails(void)
{
    struct far                    f = {.refuse_after = 3};
    int                           fd = begin(&f);
    const struct wire_io          io = {.read = io_read, .write = io_write, .stop = io_stop, .ctx = &fd};
    struct fail                   why = {.text = ""};
    struct wire_sender           *s = wire_sender_create(&io, NULL, &why);
    struct transfer_into          into = wire_sender_into(s);
    const struct transfer_mailbox box = {.name = SLICE("INBOX")};
    bool                          ok = into.mailbox(into.ctx, &box, &why);

    for (uint32_t i = 1; ok && i < 100000; i++)
        ok = tell(&into, i, "", 3000, &why);
    CHECK("it ends", !ok);
    CHECK("its words come through", !wire_sender_end(s, &why, &why) && strcmp(why.text, "no room") == 0 && why.reason == FAIL_OVER_QUOTA);
    wire_sender_destroy(&s);
    finish(&f, fd);
    CHECK("what came before stays", f.recorder.messages == 3 && !f.ok);
}

static void teller_fails(void)
{
    struct far                    f = {.refuse_after = 0};
    int                           fd = begin(&f);
    const struct wire_io          io = {.read = io_read, .write = io_write, .stop = io_stop, .ctx = &fd};
    struct fail                   why = {.text = ""}, mine = {.kind = FAIL_TEMP, .text = "the disk is gone"};
    struct wire_sender           *s = wire_sender_create(&io, NULL, &why);
    struct transfer_into          into = wire_sender_into(s);
    const struct transfer_mailbox box = {.name = SLICE("INBOX")};

    CHECK("told", into.mailbox(into.ctx, &box, &why) && tell(&into, 1, "", 10, &why));
    CHECK("it was not all", !wire_sender_end(s, &mine, &why) && strcmp(why.text, "the disk is gone") == 0);
    wire_sender_destroy(&s);
    finish(&f, fd);
    CHECK("the other side hears why", !f.ok && strcmp(f.why.text, "the disk is gone") == 0);
}

static void other_side_dies(void)
{
    struct far           f = {.refuse_after = 0};
    int                  fd = begin(&f);
    const struct wire_io io = {.read = io_read, .write = io_write, .stop = io_stop, .ctx = &fd};
    struct fail          why = {.text = ""};
    struct wire_sender  *s = wire_sender_create(&io, NULL, &why);

    (void)shutdown(f.fd, SHUT_RDWR);
    CHECK("no success", !wire_sender_end(s, NULL, &why) && why.text[0] != '\0');
    wire_sender_destroy(&s);
    finish(&f, fd);
}

int main(void)
{
    arrives();
    keeper_fails();
    teller_fails();
    other_side_dies();
    return check_done();
}
