/*
 * imap/arrange.c - what SORT and THREAD have in common.
 *
 * Layer: imap.
 */
#include "imap/arrange.h"
#include "imap/limit.h"

#include "imap/comparator.h"
#include "imap/saved.h"

void arrange_read(struct imap_session *s, struct imap_reader *r, struct arrange *a)
{
    struct search_scope scope = search_scope_selected(s);

    imap_expect_space(r);
    search_charset_read(r, &a->args);
    imap_expect_space(r);
    search_keys_read(r, &scope, &a->args);
}

bool arrange_begin(struct imap_session *s, struct imap_reader *r, struct arrange *a)
{
    if (!search_args_accept(s, r, &a->args))
        return false;
    if (!imap_limit_allows_search(s, a->args.tree))
        return false;
    s->holds_gone = a->args.numbers;
    a->view = view_ref(s->box.view);
    a->search = search_start(s->box.account, s->box.mailbox, a->view, a->args.tree, &s->arena);
    return true;
}

void arrange_end(struct arrange *a)
{
    search_end(&a->search);
    view_release(&a->view);
}

int arrange_search(struct imap_session *s, struct arrange *a)
{
    struct fail why;

    if (a->searched)
        return 1;
    int status = search_continue(a->search, ARRANGE_BUDGET_MS, &a->found, &a->count, &why);
    if (status < 0) {
        if (a->args.options.returns & RETURN_SAVE)
            imap_saved_clear(s); /* RFC 5182 section 2.1 */
        imap_no_because(s, &why);
    }
    a->searched = status == 1;
    return status;
}

void arrange_progress(struct imap_session *s, const struct arrange *a)
{
    uint32_t done, total;

    search_progress(a->search, &done, &total);
    imap_in_progress(s, done, total);
}

struct sort_request arrange_request(const struct imap_session *s, const struct arrange *a)
{
    return (struct sort_request){
        .account = s->box.account,
        .mailbox_id = s->box.mailbox,
        .view = a->view,
        .collation = imap_collation(s),
        .found = a->found,
        .count = a->count,
        .scores = search_scores(a->search),
    };
}
