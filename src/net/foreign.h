/*
 * net/foreign.h - does a line belong to another protocol?
 *
 * Layer: net.  A web browser can be made to send what somebody else has written to any port, inside an HTTP request
 * or in the names of a TLS handshake ("cross-protocol request forgery").  Whoever goes on after its first lines comes to
 * lines that look like commands.  So protocols hang up at the first line that they do not know and that shows that the
 * client speaks something else.
 */
#ifndef NET_FOREIGN_H
#define NET_FOREIGN_H

#include "base/slice.h"

/* Of a line that is no command, without its line end: is it a request of HTTP, or how TLS begins? */
bool foreign_line(struct slice line);
/* Is it what SMTP's clients begin with?  For the other protocols. */
bool foreign_hello(struct slice line);

#endif
