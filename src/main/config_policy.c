/*
 * main/config_policy.c - see main/config_policy.h.
 *
 * Layer: main.  A section is made into policy's own struct twice: to be checked while libconfuse still knows its line, and to
 * be kept.
 */
#include "main/config_policy.h"

#include "fetch/where.h"

enum { SECONDS_MAX = 3600, WEIGHT_MAX = 1000, LIST_MAX = 100000 };

void config_policy_sections(cfg_opt_t out[CONFIG_POLICY_SECTIONS])
{
    static cfg_opt_t access[] = {
        CFG_STR("stage", "", CFGF_NONE),   CFG_STR_LIST("match", NULL, CFGF_NODEFAULT), CFG_STR("file", "", CFGF_NONE),
        CFG_STR("action", "", CFGF_NONE),  CFG_STR("text", "", CFGF_NONE),              CFG_STR("to", "", CFGF_NONE),
        CFG_END(),
    };
    static cfg_opt_t dnslist[] = {
        CFG_STR("of", "client", CFGF_NONE),  CFG_STR("action", "reject", CFGF_NONE), CFG_INT("weight", 1, CFGF_NONE),
        CFG_STR_LIST("answers", NULL, CFGF_NODEFAULT), CFG_STR("text", "", CFGF_NONE), CFG_END(),
    };
    static cfg_opt_t rspamd[] = {
        CFG_STR("url", "", CFGF_NONE),           CFG_STR("password", "", CFGF_NONE),
        CFG_INT("seconds", 20, CFGF_NONE),       CFG_STR_LIST("for", NULL, CFGF_NODEFAULT),
        CFG_INT("message_megabytes", 20, CFGF_NONE), CFG_STR("unavailable", "defer", CFGF_NONE),
        CFG_BOOL("tag_header", cfg_true, CFGF_NONE), CFG_END(),
    };
    static cfg_opt_t milter[] = {
        CFG_STR("socket", "", CFGF_NONE),        CFG_STR_LIST("for", NULL, CFGF_NODEFAULT),
        CFG_INT("connect_seconds", 10, CFGF_NONE), CFG_INT("command_seconds", 30, CFGF_NONE),
        CFG_INT("content_seconds", 300, CFGF_NONE), CFG_STR("unavailable", "defer", CFGF_NONE),
        CFG_BOOL("always", cfg_false, CFGF_NONE), CFG_END(),
    };
    out[0] = (cfg_opt_t)CFG_SEC("access", access, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    out[1] = (cfg_opt_t)CFG_SEC("dnslist", dnslist, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    out[2] = (cfg_opt_t)CFG_SEC("rspamd", rspamd, CFGF_NONE);
    out[3] = (cfg_opt_t)CFG_SEC("milter", milter, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
}

/* ---- from libconfuse's values to policy's; texts are kept in `a` ---- */

static const char *text_of(struct arena *a, cfg_t *sec, const char *name)
{
    return arena_cstr(a, slice_of(cfg_getstr(sec, name)));
}

static const char *const *texts_of(struct arena *a, cfg_t *sec, const char *name, size_t *count)
{
    const char **texts = arena_new_array(a, const char *, cfg_size(sec, name) + 1);

    *count = 0;
    for (unsigned i = 0; texts != NULL && i < cfg_size(sec, name); i++)
        texts[(*count)++] = arena_cstr(a, slice_of(cfg_getnstr(sec, name, i)));
    return texts;
}

/* "for": smtp, submission, lmtp; all but lmtp if it is not said. */
static bool take_services(cfg_t *sec, unsigned *out, struct fail *why)
{
    static const struct { const char *word; unsigned bit; } words[] = {
        {"smtp", FOR_SMTP}, {"submission", FOR_SUBMISSION}, {"lmtp", FOR_LMTP}};

    *out = cfg_size(sec, "for") == 0 ? FOR_SMTP | FOR_SUBMISSION : 0;
    for (unsigned i = 0; i < cfg_size(sec, "for"); i++) {
        unsigned bit = 0;
        for (size_t k = 0; k < ARRAY_LEN(words); k++)
            if (strcmp(cfg_getnstr(sec, "for", i), words[k].word) == 0)
                bit = words[k].bit;
        if (bit == 0)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "for is a list of smtp, submission, lmtp");
        *out |= bit;
    }
    return true;
}

static bool take_seconds(cfg_t *sec, const char *name, unsigned *out, struct fail *why)
{
    const long n = cfg_getint(sec, name);

    if (n < 1 || n > SECONDS_MAX)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is a number from 1 to %d", name, (int)SECONDS_MAX);
    *out = (unsigned)n;
    return true;
}

static bool take_unavailable(cfg_t *sec, enum policy_unavailable *out, struct fail *why)
{
    return policy_unavailable_parse(slice_of(cfg_getstr(sec, "unavailable")), out) ||
           fail_set(why, FAIL_PERM, FAIL_INVALID, "unavailable is defer, accept or reject");
}

static bool take_access(struct arena *a, cfg_t *sec, struct policy_access *out, struct fail *why)
{
    *out = (struct policy_access){.name = arena_cstr(a, slice_of(cfg_title(sec))), .file = text_of(a, sec, "file"),
                                  .text = text_of(a, sec, "text"), .to = text_of(a, sec, "to")};
    out->match = texts_of(a, sec, "match", &out->match_count);
    if (!access_stage_parse(slice_of(cfg_getstr(sec, "stage")), &out->stage))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "needs a stage: client, helo, sender or recipient");
    if (!access_action_parse(slice_of(cfg_getstr(sec, "action")), &out->action))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "needs an action: allow, reject, defer, tag, discard, redirect or next");
    if (out->file[0] != '\0' && out->file[0] != '/')
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "file is a path from the root (it begins with /)");
    return policy_access_check(out, why);
}

static bool take_dnslist(struct arena *a, cfg_t *sec, struct policy_dnslist *out, struct fail *why)
{
    const long weight = cfg_getint(sec, "weight");

    *out = (struct policy_dnslist){.zone = arena_cstr(a, slice_of(cfg_title(sec))), .text = text_of(a, sec, "text"), .weight = (int)weight};
    out->answers = texts_of(a, sec, "answers", &out->answer_count);
    if (!dnslist_of_parse(slice_of(cfg_getstr(sec, "of")), &out->of))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "of is client, helo or sender");
    if (!access_action_parse(slice_of(cfg_getstr(sec, "action")), &out->action))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "action is reject, defer, tag or allow");
    if (weight < -WEIGHT_MAX || weight > WEIGHT_MAX)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "weight is a number from -%d to %d", (int)WEIGHT_MAX, (int)WEIGHT_MAX);
    return policy_dnslist_check(out, why);
}

static bool take_rspamd(struct arena *a, cfg_t *sec, struct policy_rspamd *out, struct fail *why)
{
    struct fetch_helper helper;
    const long megabytes = cfg_getint(sec, "message_megabytes");

    *out = (struct policy_rspamd){.url = text_of(a, sec, "url"), .password = text_of(a, sec, "password"),
                                  .tag_header = cfg_getbool(sec, "tag_header") != cfg_false};
    if (out->url[0] != '\0' && (!fetch_helper_parse(out->url, &helper, why) || helper.kind != HELPER_WEB))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "url is http://host:port or https://host:port");
    if (megabytes < 1 || megabytes > 4096)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "message_megabytes is a number from 1 to 4096");
    out->message_bytes = (uint64_t)megabytes << 20;
    return take_seconds(sec, "seconds", &out->seconds, why) && take_services(sec, &out->services, why) &&
           take_unavailable(sec, &out->unavailable, why);
}

static bool take_milter(struct arena *a, cfg_t *sec, struct policy_milter *out, struct fail *why)
{
    struct fetch_helper helper;

    *out = (struct policy_milter){.name = arena_cstr(a, slice_of(cfg_title(sec))), .socket = text_of(a, sec, "socket"),
                                  .always = cfg_getbool(sec, "always") != cfg_false};
    if (!fetch_helper_parse(out->socket, &helper, why) || helper.kind == HELPER_WEB)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "needs a socket: unix:/path, inet:port@host or inet6:port@host");
    return take_seconds(sec, "connect_seconds", &out->connect_seconds, why) &&
           take_seconds(sec, "command_seconds", &out->command_seconds, why) &&
           take_seconds(sec, "content_seconds", &out->content_seconds, why) && take_services(sec, &out->services, why) &&
           take_unavailable(sec, &out->unavailable, why);
}

/* ---- checks while the line is known ---- */

/* What is made for a check is thrown away. */
#define CHECK(kind)                                                                    \
    static int validate_##kind(cfg_t *cfg, cfg_opt_t *opt)                             \
    {                                                                                  \
        cfg_t               *sec = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);        \
        struct policy_##kind made;                                                     \
        struct arena         a;                                                        \
        struct fail          why;                                                      \
        arena_init(&a, SIZE_MAX / 4);                                                  \
        bool ok = take_##kind(&a, sec, &made, &why);                                   \
        if (!ok)                                                                       \
            cfg_error(cfg, "%s%s%s%s: %s", cfg_opt_name(opt), cfg_title(sec) != NULL ? " \"" : "",  \
                      cfg_title(sec) != NULL ? cfg_title(sec) : "", cfg_title(sec) != NULL ? "\"" : "", why.text); \
        arena_finish(&a);                                                              \
        return ok ? 0 : -1;                                                            \
    }
CHECK(access)
CHECK(dnslist)
CHECK(rspamd)
CHECK(milter)

void config_policy_set_checks(cfg_t *cfg)
{
    (void)cfg_set_validate_func(cfg, "access", validate_access);
    (void)cfg_set_validate_func(cfg, "dnslist", validate_dnslist);
    (void)cfg_set_validate_func(cfg, "rspamd", validate_rspamd);
    (void)cfg_set_validate_func(cfg, "milter", validate_milter);
}

void config_policy_take(struct config *c, cfg_t *cfg)
{
    struct policy_config *p = &c->admission;
    struct policy_access *access = arena_new_array(&c->arena, struct policy_access, cfg_size(cfg, "access") + 1);
    struct policy_dnslist *lists = arena_new_array(&c->arena, struct policy_dnslist, cfg_size(cfg, "dnslist") + 1);
    struct policy_milter *milters = arena_new_array(&c->arena, struct policy_milter, cfg_size(cfg, "milter") + 1);

    if (access == NULL || lists == NULL || milters == NULL)
        return; /* the arena remembers */
    for (unsigned i = 0; i < cfg_size(cfg, "access"); i++)
        (void)take_access(&c->arena, cfg_getnsec(cfg, "access", i), &access[p->access_count++], NULL); /* checked before */
    for (unsigned i = 0; i < cfg_size(cfg, "dnslist"); i++)
        (void)take_dnslist(&c->arena, cfg_getnsec(cfg, "dnslist", i), &lists[p->dnslist_count++], NULL);
    for (unsigned i = 0; i < cfg_size(cfg, "milter"); i++) {
        struct policy_milter *m = &milters[p->milter_count++];
        (void)take_milter(&c->arena, cfg_getnsec(cfg, "milter", i), m, NULL);
        config_add_helper(c, m->socket);
    }
    (void)take_rspamd(&c->arena, cfg_getsec(cfg, "rspamd"), &p->rspamd, NULL);
    if (p->rspamd.url[0] != '\0')
        config_add_helper(c, p->rspamd.url);
    p->limits = &c->policy;
    p->access = access;
    p->dnslists = lists;
    p->milters = milters;
}
