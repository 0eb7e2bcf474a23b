/*
 * transfer/eml.h - a folder of messages, one to a file (.eml).
 *
 * Layer: transfer.  Each folder below it becomes a mailbox of the same name; what lies in the
 * folder itself goes to "Imported".  Messages are told as read (\Seen): such folders are archives.  The
 * internal date is that of the topmost Received field, else of Date, else the file's.
 */
#ifndef TRANSFER_EML_H
#define TRANSFER_EML_H

#include "transfer/transfer.h"

struct eml;

bool eml_open(const char *path, const struct body_limits *bodies, struct eml **out, struct fail *why);
void eml_destroy(struct eml **e);
/* A transfer_read; ctx: the folder. */
transfer_read eml_read;

#endif
