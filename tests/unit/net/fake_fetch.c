/* See fake_fetch.h. */
#include "tests/unit/net/fake_fetch.h"

#include <stdlib.h>
#include <unistd.h>

#include "net/fetch_wire.h"

static void take_body(struct fake_fetch *f, struct ipc_reader *r, struct slice type)
{
    buf_reset(&f->posted);
    buf_reset(&f->posted_type);
    buf_add(&f->posted_type, type);
    (void)ipc_get_text(r, &f->posted, NULL);
}

static bool handle(void *ctx, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    struct fake_fetch *f = ctx;
    struct slice       url = ipc_get_bytes(r), type = ipc_get_bytes(r);
    int                fd;

    (void)ipc_get_bytes(r);
    (void)ipc_get_bytes(r);
    (void)ipc_get_bool(r);
    (void)ipc_get_bool(r);
    (void)ipc_get_u64(r);
    (void)ipc_get_u64(r);
    (void)pthread_mutex_lock(&f->lock);
    take_body(f, r, type);
    f->asked++;
    (void)pthread_cond_broadcast(&f->change);
    while (f->held)
        (void)pthread_cond_wait(&f->change, &f->lock);
    const struct fake_page *p = f->pages;
    while (p->url != NULL && !slice_eq(slice_of(p->url), url))
        p++;
    (void)pthread_mutex_unlock(&f->lock);
    if (p->url == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_NOT_FOUND, "the fake has no such page");
    if (p->failure != FAIL_OTHER)
        return fail_set(why, FAIL_TEMP, p->failure, "the fake fails");
    ipc_add_u64(answer, p->status);
    ipc_add_bytes(answer, slice_of(p->type));
    ipc_add_i64(answer, -1);
    return ipc_add_text(answer, slice_of(p->body), &fd, why);
}

struct fake_fetch *fake_fetch_start(const struct fake_page *pages)
{
    struct fake_fetch  *f = xcalloc(1, sizeof *f);
    struct ipc_service  service = {.name = "fake fetch", .handle = handle, .ctx = f};
    struct ipc_limits   ipc;
    struct fetch_limits limits;
    int                 ends[2];

    ipc_limits_default(&ipc);
    fetch_limits_default(&limits);
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->change, NULL);
    f->pages = pages;
    buf_init(&f->posted, 1 << 24);
    buf_init(&f->posted_type, 1000);
    f->server = ipc_server_create(&ipc, &service, NULL);
    f->client = fetch_client_create(&limits, &ipc, NULL);
    if (f->server == NULL || f->client == NULL || !ipc_socket_pair(ends, NULL) || !ipc_server_attach(f->server, ends[1], NULL))
        bug("fake_fetch");
    fetch_client_attach(f->client, ends[0]);
    return f;
}

void fake_fetch_stop(struct fake_fetch **fp)
{
    struct fake_fetch *f = *fp;

    fake_fetch_hold(f, false);
    fetch_client_destroy(&f->client);
    ipc_server_destroy(&f->server);
    buf_finish(&f->posted);
    buf_finish(&f->posted_type);
    (void)pthread_cond_destroy(&f->change);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
    *fp = NULL;
}

void fake_fetch_set(struct fake_fetch *f, const struct fake_page *pages)
{
    (void)pthread_mutex_lock(&f->lock);
    f->pages = pages;
    (void)pthread_mutex_unlock(&f->lock);
}

void fake_fetch_hold(struct fake_fetch *f, bool held)
{
    (void)pthread_mutex_lock(&f->lock);
    f->held = held;
    (void)pthread_cond_broadcast(&f->change);
    (void)pthread_mutex_unlock(&f->lock);
}

unsigned fake_fetch_asked(struct fake_fetch *f)
{
    (void)pthread_mutex_lock(&f->lock);
    unsigned asked = f->asked;
    (void)pthread_mutex_unlock(&f->lock);
    return asked;
}

void fake_fetch_await(struct fake_fetch *f, unsigned asked)
{
    (void)pthread_mutex_lock(&f->lock);
    while (f->asked < asked)
        (void)pthread_cond_wait(&f->change, &f->lock);
    (void)pthread_mutex_unlock(&f->lock);
}
