/*
 * main/setup.c - what init and demo have in common: a config file and first accounts.
 *
 * Layer: main.
 */
#include "main/setup.h"

#include <unistd.h>

#include "auth/control.h"
#include "base/io.h"
#include "main/config.h"
#include "net/tls.h"

enum { CONFIG_MAX = 64 * 1024 };

bool setup_config(const struct config_draft *d, const char *path, struct config **out, struct fail *why)
{
    struct buf text;

    buf_init(&text, CONFIG_MAX);
    config_draft_write(d, &text);
    /* Read before it is written: what we write ourselves must be right too. */
    bool ok = !text.failed || fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "%s: too large", path);
    ok = ok && config_parse(path, buf_slice(&text), out, why);
    if (ok && !io_replace_file(path, buf_slice(&text), 0644, why)) {
        config_destroy(out);
        ok = false;
    }
    buf_finish(&text);
    return ok;
}

bool setup_certificate(const char *hostname, const char *certificate, const char *key, struct fail *why)
{
    if (access(certificate, F_OK) == 0 && access(key, F_OK) == 0)
        return true;
    return tls_self_sign(hostname, certificate, key, why);
}

bool setup_domain(struct reach *r, const char *domain, struct fail *why)
{
    json_t *result = NULL, *one;
    bool    there = false;
    size_t  i;

    if (!reach_ask(r, json_pack("{s:s}", "do", "domain.list"), &result, why))
        return false;
    json_array_foreach (json_object_get(result, "domains"), i, one)
        there = there || slice_eq_nocase(slice_of(json_string_value(one)), slice_of(domain));
    json_decref(result);
    result = NULL;
    if (!there && !reach_ask(r, json_pack("{s:s, s:s}", "do", "domain.add", "domain", domain), &result, why))
        return false;
    json_decref(result);
    return true;
}

bool setup_account(struct reach *r, const char *address, struct slice password, struct fail *why)
{
    json_t     *account = NULL;
    struct fail local;

    /* Added first: that also finishes one that was cut short. */
    if (!reach_ask(r, json_pack("{s:s, s:s}", "do", "account.add", "address", address), &account, why) &&
        !reach_ask(r, json_pack("{s:s, s:s}", "do", "account.find", "address", address), &account, &local))
        return false;
    uint64_t    id = (uint64_t)json_integer_value(json_object_get(account, "id"));
    const char *login = json_string_value(json_object_get(account, "address"));
    bool ok = reach_auth(r, why) && auth_control_set_password(r->auth, id, slice_of(login), password, why);
    json_decref(account);
    return ok;
}
