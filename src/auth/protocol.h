/*
 * auth/protocol.h - what `mail` and the administrator say to `auth`, over net/ipc.h.
 *
 * Layer: auth, private to it.  Fields in order; <x> is one field.
 *
 * From `mail`:
 *   START     <service> <peer> <session> <domain> <binding> <tls> <mechanism> <has initial> <initial>
 *   PASSWORD  <service> <peer> <session> <domain> <binding> <tls> <user> <password>
 *   RESPOND   <exchange> <response>
 *   ABANDON   <exchange>                            a notice
 * Each of the first three is answered by a state (enum auth_state) and
 *   AUTH_CONTINUE  <exchange> <challenge>
 *   AUTH_OK        <account> <login>
 *   AUTH_FAILED    <login> <delay in ms> <temporary> <reason> <code> <text>
 *
 *   SIGN      <kind> <scheme> <key> <input>         answered by the signature: net/tls_signer.h
 *
 * To `mail`:
 *   CHANGED   <account>                             a notice
 *
 * On the control socket:
 *   SET_PASSWORD  <account> <login> <password>      answered by nothing
 *   SET_HASH      <account> <login> <hash>          likewise
 *   REMOVE        <account>                         likewise
 *   LIST          <after>       answered by a page: <account> <login> <changed> <last used> <service> <peer>
 *   APP_ADD       <account> <name> <services>       answered by the password
 *   APP_REMOVE    <account> <name>                  answered by nothing
 *   APP_LIST      <account>     answered by: <name> <services> <created> <last used> <service> <peer>
 *   COPY                        answered by the path of a copy of the database, for a backup
 * ...
 */
#ifndef AUTH_PROTOCOL_H
#define AUTH_PROTOCOL_H

enum auth_message {
    AUTH_MSG_START = 1,
    AUTH_MSG_PASSWORD,
    AUTH_MSG_RESPOND,
    AUTH_MSG_ABANDON,
    AUTH_MSG_CHANGED,
    AUTH_MSG_SET_PASSWORD,
    AUTH_MSG_REMOVE,
    AUTH_MSG_LIST,
    AUTH_MSG_APP_ADD,
    AUTH_MSG_APP_REMOVE,
    AUTH_MSG_APP_LIST,
    AUTH_MSG_COPY,
    AUTH_MSG_SIGN,
    AUTH_MSG_SET_HASH,
};

/* The longest that these can be; what is longer makes a message malformed. */
enum {
    AUTH_SERVICE_MAX = 32,
    AUTH_PEER_MAX = 64,
    AUTH_SESSION_MAX = 64,
    AUTH_DOMAIN_MAX = 255,
    AUTH_BINDING_MAX = 64,
};

#endif
