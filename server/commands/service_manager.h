/* Tells a service manager like systemd what is the matter, by the protocol of sd_notify(3). */
#ifndef COMMANDS_SERVICE_MANAGER_H
#define COMMANDS_SERVICE_MANAGER_H

/* "READY=1", "WATCHDOG=1", … to the socket that $NOTIFY_SOCKET names; without one nothing happens. Any thread. */
void service_manager_tell(const char *state);

#endif
