/*
 * relay: whole attempts, with a queue that holds what a test puts in, a resolver that answers from a table, and SMTP
 * servers in threads of this test, each at an address of its own (127.0.0.x, all at one port).
 */
#include "relay/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "net/tls_client.h"
#include "tests/unit/check.h"
#include "tests/unit/net/fake_dns.h"

/* ---- the queue ---- */

enum { CLAIMS_MAX = 64 };

struct item {
    struct queue_claim claim;
    struct queue_attempt recipients[4];
    struct queue_outcome outcomes[4];
    enum queue_health health;
    char texts[4][300], remotes[4][100], status[4][20];
    bool done;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct item items[CLAIMS_MAX];
    size_t count, next, reported;
    bool stopped;
    bool serial;        /* one at a time, and who reported has the first right to the next */
    bool has_reporter;
    pthread_t reporter;
};

static struct queue q = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static const char message[] = "Subject: x\r\n\r\n.dot\r\nend\r\n";

struct queue_claim *queue_claim(struct queue *from)
{
    struct queue_claim *c = NULL;

    (void)pthread_mutex_lock(&from->lock);
    if (from->has_reporter && pthread_equal(from->reporter, pthread_self())) {
        from->has_reporter = false;
        (void)pthread_cond_broadcast(&from->changed);
    }
    while (!from->stopped && (from->next == from->count || (from->serial && (from->has_reporter || from->next > from->reported))))
        (void)pthread_cond_wait(&from->changed, &from->lock);
    if (!from->stopped)
        c = &from->items[from->next++].claim;
    (void)pthread_mutex_unlock(&from->lock);
    return c;
}

struct queue_claim *queue_claim_more(struct queue *from, struct slice destination)
{
    struct queue_claim *c = NULL;

    (void)pthread_mutex_lock(&from->lock);
    from->has_reporter = false;
    (void)pthread_cond_broadcast(&from->changed);
    if (!from->stopped && from->next < from->count && slice_eq(from->items[from->next].claim.destination, destination))
        c = &from->items[from->next++].claim;
    (void)pthread_mutex_unlock(&from->lock);
    return c;
}

void queue_stop_claims(struct queue *from)
{
    (void)pthread_mutex_lock(&from->lock);
    from->stopped = true;
    (void)pthread_cond_broadcast(&from->changed);
    (void)pthread_mutex_unlock(&from->lock);
}

bool queue_read(struct queue *from, const struct queue_claim *c, uint64_t offset, void *out, size_t n, struct fail *why)
{
    (void)from;
    if (offset + n > c->size)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "beyond the end");
    memcpy(out, message + offset, n);
    return true;
}

static void keep(char *out, size_t size, struct slice text)
{
    (void)snprintf(out, size, PRIslice, SLICE_ARG(text));
}

void queue_pass(struct queue *from, struct slice destination)
{
    (void)destination;
    (void)pthread_mutex_lock(&from->lock);
    from->has_reporter = false;
    (void)pthread_cond_broadcast(&from->changed);
    (void)pthread_mutex_unlock(&from->lock);
}

void queue_report_more(struct queue *from, struct queue_claim **c, enum queue_health health, const struct queue_outcome *outcomes)
{
    struct item *item = (struct item *)(void *)*c;

    (void)pthread_mutex_lock(&from->lock);
    item->health = health;
    for (size_t i = 0; i < item->claim.recipient_count; i++) {
        item->outcomes[i] = outcomes[i];
        keep(item->texts[i], sizeof item->texts[i], outcomes[i].text);
        keep(item->remotes[i], sizeof item->remotes[i], outcomes[i].remote);
        keep(item->status[i], sizeof item->status[i], outcomes[i].status);
    }
    item->done = true;
    from->reported++;
    from->has_reporter = from->serial;
    from->reporter = pthread_self();
    (void)pthread_cond_broadcast(&from->changed);
    (void)pthread_mutex_unlock(&from->lock);
    *c = NULL;
}

/* ---- servers ---- */

/* What the server at 127.0.0.x does.  A reply "" closes the connection in place of it. */
struct server {
    const char *note;
    const char *greeting, *mail, *rcpt, *data, *final; /* NULL: yes */
    const char *rcpt_of;                               /* `rcpt` only for addresses with this in them; NULL: all */
    unsigned hangs_after;                              /* messages; 0: never */
    bool lmtp, ehlo_fails;
    int fd;
    atomic_uint sessions, messages, recipients;
};

static bool say(int fd, const char *reply, const char *otherwise)
{
    const char *text = reply != NULL ? reply : otherwise;
    char line[600];

    if (text[0] == '\0')
        return false;
    int n = snprintf(line, sizeof line, "%s\r\n", text);
    return send(fd, line, (size_t)n, MSG_NOSIGNAL) == n;
}

static bool starts(const char *line, const char *word)
{
    return strncmp(line, word, strlen(word)) == 0;
}

static void serve(struct server *s, FILE *in, int fd)
{
    char line[2000];
    unsigned accepted = 0, sent = 0;
    bool data = false, more = say(fd, s->greeting, "220 test");

    while (more && fgets(line, sizeof line, in) != NULL) {
        bool last = s->hangs_after != 0 && sent + 1 >= s->hangs_after;
        if (data && strcmp(line, ".\r\n") != 0)
            continue;
        if (data) {
            data = false;
            if (s->final == NULL) {
                atomic_fetch_add(&s->messages, 1);
                atomic_fetch_add(&s->recipients, accepted);
            }
            for (unsigned i = 0; more && i < (s->lmtp ? accepted : 1); i++)
                more = say(fd, s->final, "250 2.0.0 taken");
            sent++;
            more = more && !last;
        } else if (starts(line, "EHLO") || starts(line, "LHLO") || starts(line, "HELO")) {
            more = say(fd, s->ehlo_fails && !starts(line, "HELO") ? "502 no" : NULL, starts(line, "HELO") ? "250 test" : "250-test\r\n250 ENHANCEDSTATUSCODES");
        } else if (starts(line, "MAIL")) {
            accepted = 0;
            more = say(fd, s->mail, "250 2.1.0 yes");
        } else if (starts(line, "RCPT")) {
            bool no = s->rcpt != NULL && (s->rcpt_of == NULL || strstr(line, s->rcpt_of) != NULL);
            accepted += no ? 0 : 1;
            more = say(fd, no ? s->rcpt : NULL, "250 2.1.5 yes");
        } else if (starts(line, "DATA")) {
            data = s->data == NULL;
            more = say(fd, s->data, "354 go on");
        } else if (starts(line, "QUIT")) {
            (void)say(fd, NULL, "221 bye");
            more = false;
        } else {
            more = say(fd, NULL, "250 yes");
        }
    }
}

struct session {
    struct server *server;
    int fd;
};

static void *session_main(void *arg)
{
    struct session *s = arg;
    FILE *in = fdopen(dup(s->fd), "r");

    if (in != NULL) {
        serve(s->server, in, s->fd);
        (void)fclose(in);
    }
    (void)close(s->fd);
    free(s);
    return NULL;
}

static void *server_main(void *arg)
{
    struct server *s = arg;

    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        pthread_t thread;
        if (fd < 0)
            return NULL;
        atomic_fetch_add(&s->sessions, 1);
        struct session *session = xcalloc(1, sizeof *session);
        *session = (struct session){s, fd};
        if (pthread_create(&thread, NULL, session_main, session) != 0 || pthread_detach(thread) != 0)
            bug("thread");
    }
}

enum { GOOD = 1, GREYLISTS, REFUSES, GREETS_554, CLOSES, ONE_EACH, DATA_451, ONE_RCPT_NO, BUSY_421, OLD, LMTP_SERVER, SERVERS };
static struct server servers[SERVERS] = {
    [GOOD] = {.note = "takes everything"},
    [GREYLISTS] = {.note = "puts off", .rcpt = "450 4.2.0 greylisted"},
    [REFUSES] = {.note = "refuses", .rcpt = "550 5.1.1 no such user"},
    [GREETS_554] = {.note = "greets with 554", .greeting = "554 5.7.1 not you"},
    [CLOSES] = {.note = "closes at MAIL", .mail = ""},
    [ONE_EACH] = {.note = "one message for each session", .hangs_after = 1},
    [DATA_451] = {.note = "puts off after the dot", .final = "451 4.3.0 not now"},
    [ONE_RCPT_NO] = {.note = "refuses one", .rcpt = "550 5.1.1 who", .rcpt_of = "nobody"},
    [BUSY_421] = {.note = "too busy", .greeting = "421 4.3.2 too many"},
    [OLD] = {.note = "knows no EHLO", .ehlo_fails = true},
    [LMTP_SERVER] = {.note = "LMTP", .lmtp = true, .rcpt = "550 5.1.1 who", .rcpt_of = "nobody"},
};
static unsigned port;

static void start_servers(void)
{
    for (unsigned i = 1; i < SERVERS; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + 100 + i), .sin_port = htons((uint16_t)port)};
        socklen_t len = sizeof at;
        pthread_t thread;
        servers[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(servers[i].fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(servers[i].fd, 50) != 0 ||
            getsockname(servers[i].fd, (struct sockaddr *)&at, &len) != 0)
            bug("bind: %s", strerror(errno));
        port = ntohs(at.sin_port);
        if (pthread_create(&thread, NULL, server_main, &servers[i]) != 0 || pthread_detach(thread) != 0)
            bug("thread");
    }
}

/* ---- names ---- */

#define ADDRESS(n) "127.0.0." #n
static const struct fake_dns_row names[] = {
    {"good.host", DNS_A, .ttl = 60, .records = {ADDRESS(101)}},     {"grey.host", DNS_A, .ttl = 60, .records = {ADDRESS(102)}},
    {"no.host", DNS_A, .ttl = 60, .records = {ADDRESS(103)}},       {"554.host", DNS_A, .ttl = 60, .records = {ADDRESS(104)}},
    {"closes.host", DNS_A, .ttl = 60, .records = {ADDRESS(105)}},   {"one.host", DNS_A, .ttl = 60, .records = {ADDRESS(106)}},
    {"dead.host", DNS_A, .ttl = 60, .records = {ADDRESS(199)}},     {"451.host", DNS_A, .ttl = 60, .records = {ADDRESS(107)}},
    {"some.host", DNS_A, .ttl = 60, .records = {ADDRESS(108)}},     {"421.host", DNS_A, .ttl = 60, .records = {ADDRESS(109)}},
    {"old.host", DNS_A, .ttl = 60, .records = {ADDRESS(110)}},      {"broken.host", DNS_A, .status = DNS_FAILED},
    {"broken.host", DNS_AAAA, .status = DNS_FAILED},
    {"good.example", DNS_MX, .ttl = 60, .records = {"10 good.host"}},
    {"grey.example", DNS_MX, .ttl = 60, .records = {"10 grey.host", "20 good.host"}},
    {"onlygrey.example", DNS_MX, .ttl = 60, .records = {"10 grey.host"}},
    {"no.example", DNS_MX, .ttl = 60, .records = {"10 no.host", "20 good.host"}},
    {"554.example", DNS_MX, .ttl = 60, .records = {"10 554.host"}},
    {"554then.example", DNS_MX, .ttl = 60, .records = {"10 554.host", "20 good.host"}},
    {"554dead.example", DNS_MX, .ttl = 60, .records = {"10 554.host", "20 dead.host"}},
    {"closes.example", DNS_MX, .ttl = 60, .records = {"10 closes.host"}},
    {"closesthen.example", DNS_MX, .ttl = 60, .records = {"10 closes.host", "20 good.host"}},
    {"dead.example", DNS_MX, .ttl = 60, .records = {"10 dead.host"}},
    {"deadthen.example", DNS_MX, .ttl = 60, .records = {"10 dead.host", "20 good.host"}},
    {"one.example", DNS_MX, .ttl = 60, .records = {"10 one.host"}},
    {"451.example", DNS_MX, .ttl = 60, .records = {"10 451.host"}},
    {"some.example", DNS_MX, .ttl = 60, .records = {"10 some.host"}},
    {"421.example", DNS_MX, .ttl = 60, .records = {"10 421.host"}},
    {"old.example", DNS_MX, .ttl = 60, .records = {"10 old.host"}},
    {"brokenhost.example", DNS_MX, .ttl = 60, .records = {"10 broken.host"}},
    {"null.example", DNS_MX, .ttl = 60, .records = {"0 "}},
    {"nohost.example", DNS_MX, .ttl = 60, .records = {"10 nowhere.host"}},
    {"servfail.example", DNS_MX, .status = DNS_FAILED},
    {"us.example", DNS_MX, .ttl = 60, .records = {"10 here.example"}},
};

/* ---- tests ---- */

static struct relay_setting setting;

static struct item *put(const char *destination, const char *const *addresses)
{
    (void)pthread_mutex_lock(&q.lock);
    struct item *item = &q.items[q.count];
    *item = (struct item){.claim = {.message = q.count + 1, .destination = slice_of(destination), .sender = SLICE("me@here.example"),
                                    .trace = SLICE("t"), .size = sizeof message - 1, .recipients = item->recipients}};
    for (; addresses[item->claim.recipient_count] != NULL; item->claim.recipient_count++)
        item->recipients[item->claim.recipient_count].address = slice_of(addresses[item->claim.recipient_count]);
    q.count++;
    (void)pthread_cond_broadcast(&q.changed);
    (void)pthread_mutex_unlock(&q.lock);
    return item;
}

static void wait_for_all(void)
{
    (void)pthread_mutex_lock(&q.lock);
    while (q.reported < q.count)
        (void)pthread_cond_wait(&q.changed, &q.lock);
    (void)pthread_mutex_unlock(&q.lock);
}

static struct relay *start(void)
{
    struct relay *r = NULL;
    struct fail why;

    q.count = q.next = q.reported = 0;
    q.stopped = q.serial = q.has_reporter = false;
    for (unsigned i = 1; i < SERVERS; i++) {
        atomic_store(&servers[i].sessions, 0);
        atomic_store(&servers[i].messages, 0);
        atomic_store(&servers[i].recipients, 0);
    }
    if (!relay_start(&setting, &r, &why))
        bug("%s", why.text);
    return r;
}

static void test_fates(void)
{
    static const struct { const char *destination; enum queue_fate fate; unsigned code; const char *status, *remote; enum queue_health health; } cases[] = {
        {"good.example", QUEUE_RELAYED, 250, "2.0.0", "good.host", QUEUE_WELL},
        {"old.example", QUEUE_RELAYED, 250, "2.0.0", "old.host", QUEUE_WELL},
        {"grey.example", QUEUE_RELAYED, 250, "2.0.0", "good.host", QUEUE_WELL},
        {"onlygrey.example", QUEUE_LATER, 450, "4.2.0", "grey.host", QUEUE_WELL},
        {"no.example", QUEUE_NEVER, 550, "5.1.1", "no.host", QUEUE_WELL},
        {"554.example", QUEUE_NEVER, 554, "5.7.1", "554.host", QUEUE_WELL},
        {"554then.example", QUEUE_RELAYED, 250, "2.0.0", "good.host", QUEUE_WELL},
        {"554dead.example", QUEUE_LATER, 0, NULL, "", QUEUE_WELL},
        {"closes.example", QUEUE_LATER, 0, "4.4.2", "closes.host", QUEUE_WELL},
        {"closesthen.example", QUEUE_RELAYED, 250, "2.0.0", "good.host", QUEUE_WELL},
        {"dead.example", QUEUE_LATER, 0, "4.4.1", "", QUEUE_DEAD},
        {"deadthen.example", QUEUE_RELAYED, 250, "2.0.0", "good.host", QUEUE_WELL},
        {"451.example", QUEUE_LATER, 451, "4.3.0", "451.host", QUEUE_WELL},
        {"421.example", QUEUE_LATER, 421, "4.3.2", "421.host", QUEUE_BUSY},
        {"brokenhost.example", QUEUE_LATER, 0, "4.4.3", "", QUEUE_DEAD},
        {"null.example", QUEUE_NEVER, 0, "5.1.10", "", QUEUE_WELL},
        {"nohost.example", QUEUE_NEVER, 0, "5.4.4", "", QUEUE_WELL},
        {"servfail.example", QUEUE_LATER, 0, "4.4.3", "", QUEUE_DEAD},
        {"us.example", QUEUE_NEVER, 0, "5.4.6", "", QUEUE_WELL},
        {"nosuch.example", QUEUE_NEVER, 0, "5.1.2", "", QUEUE_WELL},
        {"invalid", QUEUE_NEVER, 0, "5.1.3", "", QUEUE_WELL},
    };
    struct relay *r = start();
    char addresses[ARRAY_LEN(cases)][80];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool no_domain = strcmp(cases[i].destination, "invalid") == 0;
        (void)snprintf(addresses[i], sizeof addresses[i], "bob%s%s", no_domain ? "" : "@", no_domain ? "" : cases[i].destination);
        const char *list[] = {addresses[i], NULL};
        (void)put(cases[i].destination, list);
    }
    wait_for_all();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct item *item = &q.items[i];
        CHECK(cases[i].destination, item->outcomes[0].fate == cases[i].fate && item->outcomes[0].code == cases[i].code);
        CHECK(cases[i].destination, item->health == cases[i].health);
        if (cases[i].status != NULL)
            CHECK_SLICE(cases[i].destination, slice_of(item->status[0]), slice_of(cases[i].status));
        CHECK_SLICE(cases[i].destination, slice_of(item->remotes[0]), slice_of(cases[i].remote));
        CHECK(cases[i].destination, item->texts[0][0] != '\0');
    }
    relay_stop(&r, 5);
    CHECK("a second stop is nothing", r == NULL);
    relay_stop(&r, 5);
}

static void test_recipients(void)
{
    static const char *const three[] = {"ann@some.example", "nobody@some.example", "cid@some.example", NULL};
    struct relay *r = start();
    struct item *item = put("some.example", three);

    wait_for_all();
    CHECK("two taken, one not", item->outcomes[0].fate == QUEUE_RELAYED && item->outcomes[1].fate == QUEUE_NEVER && item->outcomes[2].fate == QUEUE_RELAYED);
    CHECK("in one transaction", atomic_load(&servers[ONE_RCPT_NO].messages) == 1 && atomic_load(&servers[ONE_RCPT_NO].recipients) == 2);
    relay_stop(&r, 5);

    setting.limits.recipients = 1;
    r = start();
    item = put("one.example", (const char *const[]){"ann@one.example", "bob@one.example", "cid@one.example", NULL});
    wait_for_all();
    CHECK("a host that hangs up after each message gets the rest by other sessions",
          item->outcomes[0].fate == QUEUE_RELAYED && item->outcomes[1].fate == QUEUE_RELAYED && item->outcomes[2].fate == QUEUE_RELAYED);
    CHECK("three sessions", atomic_load(&servers[ONE_EACH].sessions) == 3);
    setting.limits.recipients = 100;
    relay_stop(&r, 5);

    r = start();
    item = &q.items[0];
    item->recipients[0].prefix = SLICE("");
    (void)pthread_mutex_lock(&q.lock);
    *item = (struct item){.claim = {.destination = SLICE("good.example"), .sender = SLICE("me@here.example"), .size = sizeof message - 1,
                                    .recipients = item->recipients, .recipient_count = 2},
                          .recipients = {{.address = SLICE("a@good.example"), .prefix = SLICE("Delivered-To: a@x\r\n")},
                                         {.address = SLICE("b@good.example"), .prefix = SLICE("Delivered-To: b@x\r\n")}}};
    q.count = 1;
    (void)pthread_cond_broadcast(&q.changed);
    (void)pthread_mutex_unlock(&q.lock);
    wait_for_all();
    CHECK("each prefix is another message", atomic_load(&servers[GOOD].messages) == 2 && item->outcomes[1].fate == QUEUE_RELAYED);
    relay_stop(&r, 5);
}

static void test_reuse(void)
{
    static const char *const one[] = {"ann@good.example", NULL};
    struct relay *r = start();

    q.serial = true;
    for (unsigned i = 0; i < 10; i++)
        (void)put("good.example", one);
    wait_for_all();
    CHECK("ten messages one after the other", atomic_load(&servers[GOOD].messages) == 10);
    CHECK("over one connection", atomic_load(&servers[GOOD].sessions) == 1);
    relay_stop(&r, 5);

    setting.limits.reuse_messages = 3;
    r = start();
    q.serial = true;
    for (unsigned i = 0; i < 7; i++)
        (void)put("good.example", one);
    wait_for_all();
    CHECK("three to a connection", atomic_load(&servers[GOOD].messages) == 7 && atomic_load(&servers[GOOD].sessions) == 3);
    setting.limits.reuse_messages = 100;
    relay_stop(&r, 5);
}

static void test_routes(void)
{
    static char host[3][40];
    static const char *const smart[] = {host[0], host[1], NULL}, *const lmtp[] = {host[2], NULL};
    static const char *const net[] = {"far.example", NULL}, *const here[] = {"lmtp.example", NULL}, *const closed[] = {"closed.example", NULL},
                      *const never[] = {"never.example", NULL};
    static const struct route_row rows[] = {
        {.name = "smart", .recipient_domains = net, .hosts = smart, .tls = ROUTE_TLS_MAY},
        {.name = "lmtp", .recipient_domains = here, .hosts = lmtp, .protocol = ROUTE_LMTP, .tls = ROUTE_TLS_NONE},
        {.name = "closed", .recipient_domains = closed, .defer = "4.3.2 closed for now"},
        {.name = "never", .recipient_domains = never, .reject = "we do not write there"},
    };
    static const struct route_table table = {rows, ARRAY_LEN(rows)};

    (void)snprintf(host[0], sizeof host[0], "127.0.0.199:%u", port);
    (void)snprintf(host[1], sizeof host[1], "good.host:%u", port);
    (void)snprintf(host[2], sizeof host[2], "127.0.0.111:%u", port);
    setting.routes = &table;
    struct relay *r = start();
    struct item *far = put("route:smart", (const char *const[]){"a@far.example", "b@far.example", NULL});
    struct item *mixed = put("route:gone", (const char *const[]){"a@far.example", "b@good.example", NULL});
    struct item *by_lmtp = put("route:lmtp", (const char *const[]){"a@lmtp.example", "nobody@lmtp.example", "c@lmtp.example", NULL});
    struct item *waits = put("route:closed", (const char *const[]){"a@closed.example", NULL});
    struct item *fails = put("route:never", (const char *const[]){"a@never.example", NULL});

    wait_for_all();
    CHECK("the second smart host stands in for the first", far->outcomes[0].fate == QUEUE_RELAYED && far->outcomes[1].fate == QUEUE_RELAYED);
    CHECK("whoever has another way now is left alone", mixed->outcomes[0].fate == QUEUE_RELAYED && mixed->outcomes[1].fate == QUEUE_UNTOUCHED);
    CHECK("LMTP answers for each", by_lmtp->outcomes[0].fate == QUEUE_RELAYED && by_lmtp->outcomes[1].fate == QUEUE_NEVER && by_lmtp->outcomes[2].fate == QUEUE_RELAYED);
    CHECK("waits", waits->outcomes[0].fate == QUEUE_LATER && strcmp(waits->status[0], "4.3.2") == 0 && strcmp(waits->texts[0], "closed for now") == 0);
    CHECK("fails", fails->outcomes[0].fate == QUEUE_NEVER && strcmp(fails->status[0], "5.7.1") == 0 && strcmp(fails->texts[0], "we do not write there") == 0);
    setting.routes = NULL;
    relay_stop(&r, 5);
}

/* Many at once, and stopped in the middle: each claim is reported. */
static void test_stop(void)
{
    static const char *const one[] = {"ann@good.example", NULL};
    struct relay *r = start();

    for (unsigned i = 0; i < CLAIMS_MAX; i++)
        (void)put("good.example", one);
    relay_stop(&r, 5);
    CHECK("what was claimed was reported", q.reported == q.next);
    for (size_t i = 0; i < q.next; i++)
        CHECK("sent, or left as it was, or broken off", q.items[i].done && q.items[i].outcomes[0].fate != QUEUE_NEVER);
}

int main(void)
{
    struct fake_dns *f = fake_dns_start(names, ARRAY_LEN(names));
    struct fail why;

    log_set_level(LOG_ERROR);
    start_servers();
    setting = (struct relay_setting){.hostname = "here.example", .queue = &q, .dns = f->client};
    relay_limits_default(&setting.limits);
    smtp_client_limits_default(&setting.client);
    setting.limits.port = port;
    if (!tls_client_create(NULL, &setting.tls, &why))
        bug("%s", why.text);
    test_fates();
    test_recipients();
    test_reuse();
    test_routes();
    test_stop();
    tls_client_destroy(&setting.tls);
    fake_dns_stop(&f);
    return check_done();
}
