/*
 * fuzz/ipc_admin.c - the control socket: what an administrator's command is told by a role that was taken over, and any
 * requests to `mail`, over a real store and directory.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/unicode.h"
#include "directory/directory.h"
#include "fuzz.h"
#include "main/control.h"
#include "room.h"
#include "storage/volume.h"
#include "store/store.h"

enum { ACCOUNTS = 200 };

/* ---- the side that asks ---- */

/* Nothing that a terminal would obey. */
static void check_clean(const json_t *value) // NOLINT(misc-no-recursion)
{
    const char *key;
    json_t *part;
    size_t i;

    if (json_is_string(value)) {
        struct slice text = slice_make(json_string_value(value), json_string_length(value));
        for (size_t at = 0; at < text.len;) {
            uint32_t c = utf8_next(text, &at);
            FUZZ_CHECK(c == '\n' || c == '\t' || (c >= ' ' && (c < 0x7f || c > 0x9f)));
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, part)
            check_clean(part);
    } else if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, part)
            check_clean(part);
    }
}

static void see_progress(void *ctx, const json_t *line)
{
    (void)ctx;
    check_clean(line);
}

static void fuzz_client(struct slice in)
{
    struct control_client c;
    json_t *result = NULL;
    struct fail why = {0};
    int ends[2];

    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    in = slice_sub(in, 0, 32 << 10); /* which the socket takes whole */
    FUZZ_CHECK(in.len == 0 || write(ends[1], in.ptr, in.len) == (ssize_t)in.len);
    (void)shutdown(ends[1], SHUT_WR);
    control_client_open(&c, ends[0]);
    if (control_ask(&c, json_pack("{s:s}", "do", "status"), see_progress, NULL, &result, &why)) {
        FUZZ_CHECK(json_is_object(result));
        check_clean(result);
        json_decref(result);
    } else {
        FUZZ_CHECK(why.text[0] != '\0');
    }
    control_client_close(&c);
    (void)close(ends[1]);
}

/* ---- the side that answers ---- */

static const struct admin *open_admin(void)
{
    static struct admin admin;
    struct directory_limits d;
    struct volume_limits v;
    struct store_limits s;
    struct fail why;
    uint64_t id;

    if (admin.store != NULL)
        return &admin;
    log_set_level(LOG_ERROR);
    volume_limits_default(&v);
    v.volume_bytes = 4 << 20;
    v.prewrite_bytes = 1 << 20;
    v.reserve_percent = 0;
    v.reserve_bytes = 0;
    store_limits_default(&s);
    directory_limits_default(&d);
    room_must(volumes_open(room_path("volumes").text, &v, &admin.volumes, &why), "volumes", &why);
    room_must(store_open(room_folder(), admin.volumes, &s, &admin.store, &why), "store", &why);
    room_must(directory_open(room_path("directory.db").text, &d, &admin.directory, &why), "directory", &why);
    room_must(directory_domain_add(admin.directory, SLICE("example.test"), &why), "domain", &why);
    room_must(directory_account_add(admin.directory, SLICE("ann@example.test"), &id, &why), "add", &why);
    room_must(store_account_create(admin.store, id, &why), "create", &why);
    admin.spool_dir = room_folder();
    admin.backup_dir = room_folder();
    return &admin;
}

static bool stream_read(void *ctx, void *out, size_t n, size_t *got, struct fail *why)
{
    struct slice *in = ctx;

    (void)why;
    *got = in->len < n ? in->len : n;
    if (*got > 0)
        memcpy(out, in->ptr, *got);
    *in = slice_from(*in, *got);
    return true;
}

static bool stream_write(void *ctx, struct slice bytes, struct fail *why)
{
    (void)ctx, (void)bytes, (void)why;
    return true;
}

static void stream_stop(void *ctx)
{
    (void)ctx;
}

static void drop_progress(void *ctx, const json_t *line)
{
    (void)ctx, (void)line;
}

/* A line for each request; what follows the last is its bytes. */
static void fuzz_server(struct slice in)
{
    static unsigned accounts;
    const struct admin *admin = open_admin();
    const struct admin_progress progress = {.tell = drop_progress};

    for (unsigned i = 0; i < 4 && in.len > 0; i++) {
        struct slice line = slice_cut(&in, '\n');
        const struct admin_stream stream = {.read = stream_read, .write = stream_write, .stop = stream_stop, .ctx = &in};
        json_error_t error;
        json_t *request = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, &error), *result = NULL;
        struct fail why = {0};
        const char *what = json_string_value(json_object_get(request, "do"));
        if (request == NULL)
            continue;
        bool adds = what != NULL && strcmp(what, "account.add") == 0;
        if (adds && accounts >= ACCOUNTS) {
            json_decref(request);
            continue;
        }
        bool ok = admin_run(admin, request, &progress, &stream, &result, &why);
        FUZZ_CHECK(ok ? json_is_object(result) : why.text[0] != '\0');
        accounts += adds && ok;
        json_decref(result);
        json_decref(request);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    if (fuzz_take(&in) % 2 == 0)
        fuzz_client(in);
    else
        fuzz_server(in);
    return 0;
}
