/*
 * main/moving_summary.c - what was moved, and what was not.
 *
 * Layer: main.
 */
#include "main/moving_internal.h"

#include "admin/admin.h"

bool moving_is_clean(const struct moving *m)
{
    return m->left_out.count == 0 && m->errors.count == 0;
}

static json_t *remarks_json(const struct remarks *r)
{
    json_t *list = json_array();

    for (uint64_t i = 0; i < r->count && i < SHOWN_MOST; i++)
        (void)json_array_append_new(list, json_pack("{s:o, s:o}", "what", admin_json(slice_of(r->shown[i].what)), "reason",
                                                    admin_json(slice_of(r->shown[i].reason))));
    return json_pack("{s:I, s:o}", "count", (json_int_t)r->count, "first", list);
}

static void print_json(const struct moving *m)
{
    const struct totals *t = &m->totals;
    json_t *all = json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "complete",
                            (int)moving_is_clean(m), "dry_run", (int)m->dry_run, "accounts", (json_int_t)m->accounts,
                            "mailboxes", (json_int_t)t->mailboxes, "new_mailboxes", (json_int_t)t->new_mailboxes,
                            "messages", (json_int_t)t->messages, "bytes", (json_int_t)t->bytes, "known",
                            (json_int_t)t->known, "flags", (json_int_t)t->flags, "gone", (json_int_t)t->gone,
                            "renumbered", (json_int_t)t->renumbered, "scripts", (json_int_t)t->scripts);

    (void)json_object_set_new(all, "left_out", remarks_json(&m->left_out));
    (void)json_object_set_new(all, "notes", remarks_json(&m->notes));
    (void)json_object_set_new(all, "errors", remarks_json(&m->errors));
    (void)json_dumpf(all, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(all);
}

static void print_remarks(const struct moving *m, const char *title, const struct remarks *r)
{
    if (r->count == 0)
        return;
    printf("%s: %llu\n", title, (unsigned long long)r->count);
    for (uint64_t i = 0; i < r->count && i < SHOWN_MOST; i++)
        printf("  %s: %s\n", r->shown[i].what, r->shown[i].reason);
    if (r->count > SHOWN_MOST)
        printf("  and %llu more%s\n", (unsigned long long)(r->count - SHOWN_MOST),
               m->report != NULL ? ", all in the report" : " (--report FILE names them all)");
}

static const char *done_word(const struct moving *m)
{
    if (m->dry_run)
        return slice_eq(slice_of(m->verb), SLICE("export")) ? "would be exported:" : "would be imported:";
    if (slice_eq(slice_of(m->verb), SLICE("restore")))
        return "restored:";
    return slice_eq(slice_of(m->verb), SLICE("export")) ? "exported:" : "imported:";
}

static void print_text(const struct moving *m)
{
    const struct totals *t = &m->totals;

    printf("%s %llu message%s (%.1f MB) in %llu mailbox%s", done_word(m), (unsigned long long)t->messages,
           t->messages == 1 ? "" : "s", (double)t->bytes / 1e6, (unsigned long long)t->mailboxes,
           t->mailboxes == 1 ? "" : "es");
    if (t->known > 0)
        printf("; %llu %s there already", (unsigned long long)t->known, t->known == 1 ? "was" : "were");
    if (t->flags > 0)
        printf(", %llu of them with new flags", (unsigned long long)t->flags);
    if (t->gone > 0)
        printf("; %llu taken out, gone at the source", (unsigned long long)t->gone);
    if (t->scripts > 0)
        printf("; %llu Sieve script%s", (unsigned long long)t->scripts, t->scripts == 1 ? "" : "s");
    printf("\n");
    print_remarks(m, "worth knowing", &m->notes);
    print_remarks(m, "left out", &m->left_out);
    print_remarks(m, "failed", &m->errors);
    if (!moving_is_clean(m) && m->errors.count > 0 && !m->dry_run)
        printf("what came stays; the same command again goes on from there\n");
}

void moving_summary(struct moving *m)
{
    if (m->cli->json)
        print_json(m);
    else
        print_text(m);
}
