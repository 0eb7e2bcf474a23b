/*
 * main/probe_meaning.c - what capabilities mean, in a few words.
 *
 * Layer: main.
 */
#include "main/probe.h"

static const struct { const char *name, *meaning; } smtp[] = {
    {"8BITMIME", "text beyond ASCII as it is (RFC 6152)"},
    {"ATRN", "on-demand relay (RFC 2645)"},
    {"AUTH", "ways to log in (RFC 4954)"},
    {"BINARYMIME", "any bytes (RFC 3030)"},
    {"BURL", "parts fetched from IMAP (RFC 4468)"},
    {"CHUNKING", "messages in counted chunks (RFC 3030)"},
    {"DELIVERBY", "deliver within a time (RFC 2852)"},
    {"DSN", "notifications of success, failure, delay (RFC 3461)"},
    {"ENHANCEDSTATUSCODES", "replies with exact reasons (RFC 2034)"},
    {"ETRN", "asks for queued mail (RFC 1985)"},
    {"FUTURERELEASE", "send later (RFC 4865)"},
    {"HELP", "a text about commands"},
    {"LIMITS", "how much it takes (RFC 9422)"},
    {"MT-PRIORITY", "priorities (RFC 6710)"},
    {"NO-SOLICITING", "no advertisements (RFC 3865)"},
    {"PIPELINING", "commands without waiting for each reply (RFC 2920)"},
    {"REQUIRETLS", "encryption all the way, or not at all (RFC 8689)"},
    {"SIZE", "largest message, in bytes (RFC 1870)"},
    {"SMTPUTF8", "addresses beyond ASCII (RFC 6531)"},
    {"STARTTLS", "encryption on this connection (RFC 3207)"},
    {"VRFY", "asks whether an address exists"},
    {"XCLIENT", "a proxy may say who the client is"},
    {"XFORWARD", "a proxy may say who the client was"},
};

static const struct { const char *name, *meaning; } imap[] = {
    {"ACL", "shared mailboxes' rights (RFC 4314)"},
    {"APPENDLIMIT", "largest message (RFC 7889)"},
    {"AUTH", "a way to log in"},
    {"BINARY", "decoded parts (RFC 3516)"},
    {"CATENATE", "messages put together there (RFC 4469)"},
    {"COMPRESS", "compressed connection (RFC 4978)"},
    {"CONDSTORE", "quick resynchronisation of flags (RFC 7162)"},
    {"CREATE-SPECIAL-USE", "makes Sent, Drafts and the like (RFC 6154)"},
    {"ENABLE", "extensions switched on (RFC 5161)"},
    {"ESEARCH", "shorter search results (RFC 4731)"},
    {"ID", "who the server is (RFC 2971)"},
    {"IDLE", "new mail at once (RFC 2177)"},
    {"IMAP4rev1", "IMAP, RFC 3501"},
    {"IMAP4rev2", "IMAP, RFC 9051"},
    {"LIST-EXTENDED", "richer lists (RFC 5258)"},
    {"LIST-STATUS", "lists with counts (RFC 5819)"},
    {"LITERAL+", "literals without waiting (RFC 7888)"},
    {"LITERAL-", "short literals without waiting (RFC 7888)"},
    {"LOGINDISABLED", "no passwords before TLS"},
    {"LOGIN-REFERRALS", "sends clients elsewhere (RFC 2221)"},
    {"METADATA", "annotations (RFC 5464)"},
    {"MOVE", "moves messages (RFC 6851)"},
    {"MULTIAPPEND", "several messages at once (RFC 3502)"},
    {"NAMESPACE", "whose mailboxes are where (RFC 2342)"},
    {"NOTIFY", "news of other mailboxes (RFC 5465)"},
    {"OBJECTID", "lasting ids (RFC 8474)"},
    {"QRESYNC", "quick resynchronisation (RFC 7162)"},
    {"QUOTA", "how much an account may hold (RFC 9208)"},
    {"SASL-IR", "logs in with one step less (RFC 4959)"},
    {"SEARCHRES", "search results used again (RFC 5182)"},
    {"SORT", "sorts there (RFC 5256)"},
    {"SPECIAL-USE", "which mailbox is Sent, Trash, ... (RFC 6154)"},
    {"STARTTLS", "encryption on this connection"},
    {"THREAD", "conversations (RFC 5256)"},
    {"UIDPLUS", "tells new messages' numbers (RFC 4315)"},
    {"UNSELECT", "leaves a mailbox (RFC 3691)"},
    {"UTF8", "UTF-8 in names and headers (RFC 6855)"},
    {"WITHIN", "searches by age (RFC 5032)"},
};

static const struct { const char *name, *meaning; } pop3[] = {
    {"AUTH-RESP-CODE", "tells why a login fails (RFC 3206)"},
    {"EXPIRE", "how long mail is kept"},
    {"IMPLEMENTATION", "which program it is"},
    {"LANG", "languages (RFC 6856)"},
    {"LOGIN-DELAY", "seconds between logins"},
    {"PIPELINING", "commands without waiting"},
    {"RESP-CODES", "reasons in brackets (RFC 2449)"},
    {"SASL", "ways to log in (RFC 5034)"},
    {"STLS", "encryption on this connection (RFC 2595)"},
    {"TOP", "the head of a message alone"},
    {"UIDL", "lasting ids of messages"},
    {"USER", "login with user name and password"},
    {"UTF8", "UTF-8 (RFC 6856)"},
};

#define FIND(table)                                                            \
    for (size_t i = 0; i < ARRAY_LEN(table); i++)                              \
        if (slice_eq_nocase(slice_of((table)[i].name), word))                  \
            return (table)[i].meaning

const char *probe_meaning(enum probe_protocol protocol, struct slice capability)
{
    struct slice word = capability;
    size_t       end = 0;

    while (end < word.len && word.ptr[end] != ' ' && word.ptr[end] != '=')
        end++;
    word.len = end;
    switch (protocol) {
    case PROBE_SMTP:
    case PROBE_LMTP: FIND(smtp); break;
    case PROBE_IMAP: FIND(imap); break;
    case PROBE_POP3: FIND(pop3); break;
    case PROBE_GUESS: break;
    }
    return "";
}
