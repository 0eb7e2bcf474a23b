/*
 * main/notify.h - tells systemd how far we are (sd_notify(3)), where it wants to know.
 *
 * Layer: main.
 */
#ifndef MAIN_NOTIFY_H
#define MAIN_NOTIFY_H

/* "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=..." to $NOTIFY_SOCKET; nothing without one. */
void notify_systemd(const char *state);

#endif
