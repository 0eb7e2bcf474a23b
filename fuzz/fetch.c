/*
 * fuzz/fetch.c - what reaches the fetch role: its messages, URLs, helpers and fields.  Nothing is asked: the only address that the
 * messages could reach is refused before that.
 */
#include "base/fail.h"
#include "base/log.h"
#include "fetch/server.h"
#include "fetch/web.h"
#include "fuzz.h"
#include "net/fetch_wire.h"

static void fuzz_url(struct slice in)
{
    struct fetch_url u;

    if (!fetch_url_parse(in, &u, NULL))
        return;
    FUZZ_CHECK(u.host.len > 0 && u.host.ptr > in.ptr && u.host.ptr + u.host.len <= in.ptr + in.len && u.port >= 1 && u.port <= 65535);
    for (size_t i = 0; i < in.len; i++)
        FUZZ_CHECK(in.ptr[i] > ' ' && in.ptr[i] <= '~' && in.ptr[i] != '\\' && in.ptr[i] != '#');
    for (size_t i = 0; i < u.host.len; i++)
        FUZZ_CHECK(u.host.ptr[i] != '@' && u.host.ptr[i] != '/' && u.host.ptr[i] != '?');
}

static void fuzz_helper(struct slice in)
{
    char               *text = xslicedup(in);
    struct fetch_helper h;

    if (fetch_helper_parse(text, &h, NULL))
        FUZZ_CHECK(h.kind == HELPER_UNIX ? h.path[0] == '/' : h.url.port >= 1 && h.url.host.len > 0);
    free(text);
}

static void fuzz_fields(struct slice in)
{
    FUZZ_CHECK(web_max_age(in) >= -1);
    if (web_fields_are_fit(in))
        FUZZ_CHECK(in.len == 0 || (slice_ends(in, SLICE("\r\n")) && slice_find(in, SLICE("\r\n\r\n")) == in.len));
}

/* Without a type it is a message that asks for a URL nobody may be asked for. */
static void fuzz_message(struct slice in)
{
    static struct fetch_server *server;
    struct fetch_setting        setting = {.authorities = ""};
    struct ipc_message          answer;
    struct fail                 why;
    int                         fd = -1;

    if (server == NULL) {
        log_set_level(LOG_ERROR);
        fetch_limits_default(&setting.limits);
        FUZZ_CHECK(fetch_server_create(&setting, &server, &why));
    }
    struct ipc_service service = fetch_server_service(server);
    struct ipc_reader  r = {.type = (uint16_t)(FETCH_MSG_REQUEST + fuzz_take(&in) % 3), .rest = in, .fd = &fd};
    if (slice_find_nocase(in, SLICE("https://")) < in.len)
        return; /* it would be asked for */
    ipc_message_init(&answer, r.type);
    FUZZ_CHECK(!service.handle(service.ctx, &r, &answer, &why));
    ipc_message_finish(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    switch (fuzz_take(&in) % 4) {
    case 0: fuzz_url(in); break;
    case 1: fuzz_helper(in); break;
    case 2: fuzz_fields(in); break;
    case 3: fuzz_message(in); break;
    }
    return 0;
}
